"""A router that draws an LLM at random."""
