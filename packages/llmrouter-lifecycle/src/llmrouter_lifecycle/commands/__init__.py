"""The commands that this distribution adds, one group a module."""
