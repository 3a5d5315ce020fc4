"""An OpenAI-compatible gateway that routes each request to the LLM that should answer it."""
