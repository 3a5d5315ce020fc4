"""``rulesrouter``: ordered rules, each for an LLM or for another router."""
