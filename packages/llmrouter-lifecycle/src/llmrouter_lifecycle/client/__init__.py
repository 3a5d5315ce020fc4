"""Clients: the same methods wherever the lifecycle lives."""
