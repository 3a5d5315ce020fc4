"""``knnrouter``: goes by how well each LLM answered the queries most like this one."""
