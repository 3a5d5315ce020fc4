"""What learned routers have in common: the data that they learn from."""
