"""A router in a folder: long queries go to the dearest LLM, short ones to the cheapest."""

import json
from pathlib import Path

from llmrouter.models.router import Router


class MyRouter(Router):
    """Routes by the length of the query."""

    def __init__(self, yaml_path):
        super().__init__(yaml_path)
        self.max_length = self.cfg["hparam"].get("max_length", 60)
        by_cost = sorted(self.llm_data, key=lambda name: self.llm_data[name]["cost"])
        self.cheapest, self.dearest = by_cost[0], by_cost[-1]

    def route_single(self, query_input):
        is_long = len(query_input["query"]) > self.max_length
        return {"model_name": self.dearest if is_long else self.cheapest}

    def save_router(self, path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps({"max_length": self.max_length}))

    def load_router(self, path):
        self.max_length = json.loads(Path(path).read_text())["max_length"]
