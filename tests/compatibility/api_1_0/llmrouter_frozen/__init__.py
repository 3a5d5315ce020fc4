"""Goes by the length of a query."""
