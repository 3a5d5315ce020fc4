"""The lifecycle of routers, served beside the gateway; the only part that imports `llmrouter_lifecycle`.

It is imported where ``--lifecycle`` asks for it, so that the gateway does without that package.
"""
