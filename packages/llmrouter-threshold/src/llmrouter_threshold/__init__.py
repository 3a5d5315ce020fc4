"""A router that sends easy queries to a small LLM and hard ones to a large one."""
