"""Put messages to the candidate LLMs: where each is called, with which key, at which price.

Everything but `client` is light and free of HTTP clients.
"""
