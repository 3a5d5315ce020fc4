"""The state of all resources, in SQLite or PostgreSQL."""
