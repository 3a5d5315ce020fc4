import json
from pathlib import Path

from llmrouter.errors import LLMRouterError
from llmrouter.models.router import Router


class FrozenRouter(Router):
    """Sends short queries to the first candidate, long ones to the last."""

    def __init__(self, yaml_path: str):
        super().__init__(yaml_path)
        self.max_length = self.cfg["hparam"].get("max_length", 20)
        self.llm_names = list(self.llm_data.keys())

    def route_single(self, query_input: dict) -> dict:
        query = query_input.get("query", "")
        if query == "unroutable":
            raise LLMRouterError("it was told to fail")
        long = len(query) > self.max_length
        selected = self.llm_names[-1 if long else 0]
        return {
            "query": query,
            "model_name": selected,
            "predicted_llm": selected,
            "scores": {name: float(name == selected) for name in self.llm_names},
            "confidence": 0.75,
            "expected_cost": 0.001,
            "constraint": {"kind": "length"},
            "fallback": False,
            "fallback_reason": None,
            "max_length": self.max_length,
        }

    def route_batch(self, batch: list) -> list:
        return [self.route_single(item) for item in batch]

    def save_router(self, path):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps({"max_length": self.max_length}))

    def load_router(self, path):
        self.max_length = json.loads(Path(path).read_text())["max_length"]
