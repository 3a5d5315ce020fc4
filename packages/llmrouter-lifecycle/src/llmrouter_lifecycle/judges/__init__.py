"""Judges score answers: by asking an LLM with a rubric, or by rules on this machine."""
