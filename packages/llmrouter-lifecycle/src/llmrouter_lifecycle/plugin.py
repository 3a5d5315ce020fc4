"""What this distribution adds to llmrouter."""
