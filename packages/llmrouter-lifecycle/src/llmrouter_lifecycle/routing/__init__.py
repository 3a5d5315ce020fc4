"""Choose the LLM that a version of a router sends a request to."""
