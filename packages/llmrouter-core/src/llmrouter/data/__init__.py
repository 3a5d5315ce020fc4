"""Read what users give: candidate LLMs, queries, routing data, embeddings. No reader writes anything."""
