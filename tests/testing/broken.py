"""Routers, trainers, encoders and judges with one fault each, named after it."""

from __future__ import annotations

import json
import pickle
import random
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from llmrouter.models.base_trainer import BaseTrainer
from llmrouter.models.judge import Judge, Judgement
from llmrouter.models.router import Router

Query = dict[str, Any]
Result = dict[str, Any]


class LengthRouter(Router):
    """Without a fault: long queries go to the last candidate, short ones to the first."""

    def __init__(self, yaml_path: str) -> None:
        super().__init__(yaml_path)
        self.max_length = 60

    def route_single(self, query_input: Query) -> Result:
        return {"model_name": list(self.llm_data)[len(query_input["query"]) > self.max_length]}

    def save_router(self, path: Any) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps({"max_length": self.max_length}))

    def load_router(self, path: Any) -> None:
        self.max_length = json.loads(Path(path).read_text())["max_length"]


class LengthTrainer(BaseTrainer):
    """Without a fault: learns the mean length."""

    def train(self) -> None:
        router: Any = self.router
        rows = router.routing_data_train
        router.max_length = sum(len(row["query"]) for row in rows) / len(rows)
        router.save_router(self.config["model_path"]["save_model_path"])


class NeedsMore(LengthRouter):
    def __init__(self, yaml_path: str, limit: int) -> None:
        super().__init__(yaml_path)


class WithoutRouting(Router):
    pass


class Stranger(LengthRouter):
    def route_single(self, query_input: Query) -> Result:
        return {"model_name": "huge"}


class ScoresWithoutBounds(LengthRouter):
    def route_single(self, query_input: Query) -> Result:
        return {**super().route_single(query_input), "scores": {"small": float("nan")}}


class OverConfident(LengthRouter):
    def route_single(self, query_input: Query) -> Result:
        return {**super().route_single(query_input), "confidence": 1.5}


class Unwritable(LengthRouter):
    def route_single(self, query_input: Query) -> Result:
        return {**super().route_single(query_input), "why": object()}


class BatchDiffers(LengthRouter):
    def route_batch(self, batch: list[Query]) -> list[Result]:
        return [{"model_name": "large" if len(batch) > 1 else "small"} for _ in batch]


class BatchLosesOrder(LengthRouter):
    def route_batch(self, batch: list[Query]) -> list[Result]:
        return super().route_batch(sorted(batch, key=lambda query: len(query["query"])))


class BatchLosesDuplicates(LengthRouter):
    def route_batch(self, batch: list[Query]) -> list[Result]:
        return super().route_batch(batch)[:-1] or super().route_batch(batch)


class EmptyBatchFails(LengthRouter):
    def route_batch(self, batch: list[Query]) -> list[Result]:
        return [self.route_single(batch[0]), *map(self.route_single, batch[1:])]


class UnknownFieldsMatter(LengthRouter):
    def route_single(self, query_input: Query) -> Result:
        return {"model_name": "large" if len(query_input) > 1 else "small"}


class MissingTextEndsProcess(LengthRouter):
    def route_single(self, query_input: Query) -> Result:
        if "query" not in query_input:
            sys.exit("no query")
        return super().route_single(query_input)


class EmptyFails(LengthRouter):
    def route_single(self, query_input: Query) -> Result:
        query_input["query"].split()[0]
        return super().route_single(query_input)


class HugeFails(LengthRouter):
    def route_single(self, query_input: Query) -> Result:
        if len(query_input["query"]) > 100_000:
            raise ValueError("the context is too short")
        return super().route_single(query_input)


class NonLatinFails(LengthRouter):
    def route_single(self, query_input: Query) -> Result:
        query_input["query"].encode("latin-1")
        return super().route_single(query_input)


class Unseeded(LengthRouter):
    def __init__(self, yaml_path: str) -> None:
        super().__init__(yaml_path)
        self._random = random.Random()

    def route_single(self, query_input: Query) -> Result:
        return {"model_name": self._random.choice(list(self.llm_data))}


class ByHash(LengthRouter):
    def route_single(self, query_input: Query) -> Result:
        return {"model_name": list(self.llm_data)[hash(query_input["query"]) % 2]}


class SeedsEverybody(LengthRouter):
    def __init__(self, yaml_path: str) -> None:
        super().__init__(yaml_path)
        random.seed(0)


class DrawsFromEverybodys(LengthRouter):
    def route_single(self, query_input: Query) -> Result:
        state = random.getstate()
        choice = random.choice(list(self.llm_data))
        random.setstate(state)
        return {"model_name": choice}


class NotThreadSafe(LengthRouter):
    text = ""

    def route_single(self, query_input: Query) -> Result:
        self.text = query_input["query"]
        time.sleep(0.0001)
        return super().route_single({"query": self.text})


class WritesIntoQuery(LengthRouter):
    def route_single(self, query_input: Query) -> Result:
        query_input["length"] = len(query_input["query"])
        return super().route_single(query_input)


class EmptiesBatch(LengthRouter):
    def route_batch(self, batch: list[Query]) -> list[Result]:
        results = super().route_batch(batch)
        batch.clear()
        return results


class RoundTripLoses(LengthRouter):
    def __init__(self, yaml_path: str) -> None:
        super().__init__(yaml_path)
        self.max_length = 60

    def load_router(self, path: Any) -> None:
        self.max_length = json.loads(Path(path).read_text())["max_length"] + 10_000


class SavesElsewhere(LengthRouter):
    def save_router(self, path: Any) -> None:
        super().save_router(f"{path}.json")


class SavesOnly(Router):
    def route_single(self, query_input: Query) -> Result:
        return {"model_name": "small"}

    def save_router(self, path: Any) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()


class AcceptsDamage(LengthRouter):
    def load_router(self, path: Any) -> None:
        try:
            super().load_router(path)
        except (OSError, ValueError):
            self.max_length = 60


class Unpickles(LengthRouter):
    def load_router(self, path: Any) -> None:
        self.max_length = pickle.loads(Path(path).read_bytes())


class Unpicklable(LengthRouter):
    def __init__(self, yaml_path: str) -> None:
        super().__init__(yaml_path)
        self.lock = threading.Lock()


class PickleLoses(LengthRouter):
    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "max_length": 10_000}


class Slow(LengthRouter):
    def route_single(self, query_input: Query) -> Result:
        time.sleep(0.002)
        return super().route_single(query_input)


class NotQuick(Slow):
    quick = True


class NoTrainer:
    def __init__(self, router: Any, config: Any, device: str = "cpu") -> None:
        self.router, self.config = router, config

    def train(self) -> None:
        self.router.save_router(self.config["model_path"]["save_model_path"])


class Spoils(LengthTrainer):
    def train(self) -> None:
        super().train()
        self.router.llm_data = {}


class SavesNothing(LengthTrainer):
    def train(self) -> None:
        router: Any = self.router
        router.max_length = 1


class SavesTooEarly(LengthTrainer):
    def train(self) -> None:
        router: Any = self.router
        router.save_router(self.config["model_path"]["save_model_path"])
        router.max_length = 10_000


class TrainsDifferently(LengthTrainer):
    trained = 0

    def train(self) -> None:
        router: Any = self.router
        router.max_length = 0 if TrainsDifferently.trained % 2 else 10_000
        TrainsDifferently.trained += 1
        router.save_router(self.config["model_path"]["save_model_path"])


class ChangesRows(LengthTrainer):
    def train(self) -> None:
        rows: Any = self.router.routing_data_train
        for row in rows:
            del row["performance"]
        super().train()


class TrainsWithEverybodys(LengthTrainer):
    def train(self) -> None:
        random.random()
        super().train()


class WordsJudge(Judge):
    """Without a fault: longer answers are better."""

    def score(self, request: Mapping[str, Any], response: Mapping[str, Any]) -> Judgement:
        content = response.get("content")
        if not isinstance(content, str):
            raise ValueError("there is no text to judge")
        return Judgement(min(1.0, len(content.split()) / 100), "by its length")


class ScoresNoRequest(WordsJudge):
    def score(self, response: Mapping[str, Any]) -> Judgement:  # type: ignore[override]
        return super().score({}, response)


class TooHigh(WordsJudge):
    def score(self, request: Mapping[str, Any], response: Mapping[str, Any]) -> Judgement:
        return Judgement(7)


class NoJudgement(WordsJudge):
    def score(self, request: Mapping[str, Any], response: Mapping[str, Any]) -> Any:
        return 0.5


class NeedsContent(WordsJudge):
    def score(self, request: Mapping[str, Any], response: Mapping[str, Any]) -> Judgement:
        return Judgement(min(1.0, len(response["content"].split()) / 100))


class JudgesAtMostLong(WordsJudge):
    def score(self, request: Mapping[str, Any], response: Mapping[str, Any]) -> Judgement:
        if len(response.get("content") or "") > 100_000:
            raise MemoryError("too long")
        return super().score(request, response)


class JudgesByLot(WordsJudge):
    def score(self, request: Mapping[str, Any], response: Mapping[str, Any]) -> Judgement:
        return Judgement(random.random())


class JudgeNotThreadSafe(WordsJudge):
    answer: Mapping[str, Any] = {}

    def score(self, request: Mapping[str, Any], response: Mapping[str, Any]) -> Judgement:
        self.answer = response
        time.sleep(0.0001)
        return super().score(request, self.answer)


class WritesIntoAnswer(WordsJudge):
    def score(self, request: Mapping[str, Any], response: Any) -> Judgement:
        judgement = super().score(request, response)
        response["judged"] = True
        return judgement


class SlowJudge(WordsJudge):
    def score(self, request: Mapping[str, Any], response: Mapping[str, Any]) -> Judgement:
        time.sleep(0.002)
        return super().score(request, response)


def letters(texts: Sequence[str]) -> Any:
    """How often each letter occurs in each text."""
    import numpy as np

    rows = [[text.count(chr(ord("a") + number)) for number in range(26)] for text in texts]
    return np.array(rows, np.float32).reshape(len(texts), 26)
