"""Checks of what a router answers, and of what it does meanwhile."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Mapping
from typing import Any

from llmrouter.decision import decision_from_result, encode
from llmrouter.errors import RoutingError
from llmrouter_testing import samples
from llmrouter_testing.checks.common import (
    checked_random_state,
    duration,
    from_threads,
    median_seconds,
)
from llmrouter_testing.child import in_child
from llmrouter_testing.comparing import same
from llmrouter_testing.report import Checks, fail
from llmrouter_testing.subjects.router import Query, RouterSubject, make_router

# How long a router that says it is quick may take: a server calls it between other requests.
QUICK_SECONDS = 1e-3

router_checks: Checks[RouterSubject] = Checks()


def valid(subject: RouterSubject, result: Any, query: Query) -> Any:
    """Check what a router returned for a query; returns it."""
    shown = repr(query.get("query"))[:60]
    try:
        decision = decision_from_result(result, query, subject.candidates)
    except RoutingError as error:
        fail(f"for {shown}: {error}")
    scores: Any = decision.scores
    if scores is not None:
        if not isinstance(scores, Mapping) or set(scores) - set(subject.candidates):
            fail(f"for {shown}: 'scores' is no number for each candidate but {scores!r}")
        if not all(_is_number(score) for score in scores.values()):
            fail(f"for {shown}: 'scores' holds what is no finite number: {scores!r}")
    if decision.confidence is not None and not (
        _is_number(decision.confidence) and -1e-9 <= decision.confidence <= 1 + 1e-9
    ):
        fail(f"for {shown}: 'confidence' is {decision.confidence!r}, not from 0 to 1")
    if decision.expected_cost is not None and not (
        _is_number(decision.expected_cost) and decision.expected_cost >= 0
    ):
        fail(f"for {shown}: 'expected_cost' is {decision.expected_cost!r}, not an amount in USD")
    try:
        encode(decision)
    except (TypeError, ValueError) as error:
        fail(f"for {shown}: the result cannot be written as JSON: {error}")
    return result


def _is_number(value: Any) -> bool:
    try:
        return math.isfinite(float(value)) and not isinstance(value, str)
    except (TypeError, ValueError):
        return False


@router_checks
def result_contract(subject: RouterSubject) -> None:
    """A result is a dict that names one of the candidates, as 'model_name' or 'predicted_llm'.

    'scores' is a finite number for each candidate, 'confidence' is from 0 to 1, 'expected_cost' is an amount
    in USD, and whatever else it tells can be written as JSON.
    """
    for query, result in zip(subject.queries, subject.route(), strict=True):
        valid(subject, result, query)


@router_checks
def single_and_batch_agree(subject: RouterSubject) -> None:
    """Routers made alike give the same results one by one and in batches, in order, whatever their size.

    Files are routed in batches, requests one by one, and a batch that fails is routed one by one.
    """
    expected = subject.route()
    for size in (1, 3, len(expected)):
        router, queries = subject.make(), subject.queries
        results: list[Any] = []
        for start in range(0, len(queries), size):
            batch = queries[start : start + size]
            answer: Any = router.route_batch(batch)
            if not isinstance(answer, list | tuple) or len(answer) != len(batch):
                found = f"{len(answer)} results" if isinstance(answer, list | tuple) else repr(answer)
                fail(f"route_batch returned {found} for {len(batch)} queries")
            results += answer
        for number, (one, other) in enumerate(zip(expected, results, strict=True)):
            if not same(one, other):
                fail(f"query {number} alone gives {one!r}, in batches of {size} {other!r}")
    if (answer := subject.make().route_batch([])) not in ([], ()):
        fail(f"route_batch returned {answer!r} for an empty batch")


@router_checks
def unknown_fields(subject: RouterSubject) -> None:
    """A query with fields that the router does not know is routed like one without.

    Rows of data sets carry ids, tasks, labels and more.
    """
    more = {"id": 7, "x_colour": "blue", "x_nested": {"a": [1, None]}}
    with_more = [{**more, **query} for query in subject.queries]
    for number, (one, other) in enumerate(zip(subject.route(), subject.route(with_more), strict=True)):
        valid(subject, other, with_more[number])
        plain, same_but_id = ({k: v for k, v in r.items() if k not in more} for r in (one, other))
        if not same(plain, same_but_id):
            fail(f"query {number} gives {plain!r}, with fields it does not know {same_but_id!r}")


@router_checks
def missing_fields(subject: RouterSubject) -> None:
    """A query without its text is an ordinary error or is routed, and the next one is routed as ever.

    It must not end the process, nor leave something behind that changes other answers.
    """
    router = subject.make()
    for broken in ({}, {"id": 1}, {"query": None}):
        try:
            result = router.route_single(dict(broken))
        except Exception:  # noqa: S112 - any ordinary one will do: core says which row it was
            continue
        valid(subject, result, broken)
    for query in subject.queries[:3]:
        valid(subject, router.route_single(query), query)


def _routes(subject: RouterSubject, texts: list[str]) -> None:
    # What else these queries need, such as an embedding, is as in an ordinary one.
    ordinary = subject.queries[0]
    queries = [{**ordinary, "query": text} for text in texts]
    router = subject.make()
    for query in queries:
        valid(subject, router.route_single(dict(query)), query)
    for query, result in zip(queries, router.route_batch([dict(query) for query in queries]), strict=True):
        valid(subject, result, query)


@router_checks
def empty_queries(subject: RouterSubject) -> None:
    """Queries without a word are routed.

    They occur, as where a message holds nothing but a picture.
    """
    _routes(subject, samples.EMPTY)


@router_checks
def huge_queries(subject: RouterSubject) -> None:
    """A query of 200,000 characters is routed.

    Whole documents and long conversations are put to LLMs.
    """
    _routes(subject, [samples.HUGE])


@router_checks
def non_latin_queries(subject: RouterSubject) -> None:
    """Queries in any script are routed, with emoji, combining characters and control characters.

    Users write in every language.
    """
    _routes(subject, samples.NON_LATIN)


@router_checks
def deterministic_under_seed(subject: RouterSubject) -> None:
    """Routers made alike, with one 'hparam.seed', give the same results, in another process too.

    Otherwise no evaluation can be repeated. Beware of generators without a seed, of hash() of a text, which
    differs between processes, and of the order of sets.
    """
    expected = subject.route()
    if not same(expected, subject.route()):
        fail("two routers made alike gave different results for the same queries")
    _importable(subject)
    elsewhere = in_child("make_and_call", make_router, subject.options, "route_batch", subject.queries).value
    if not same(expected, elsewhere):
        fail("a router made alike in another process gave different results for the same queries")


def _importable(subject: RouterSubject) -> None:
    if "<locals>" in subject.found.__qualname__:
        fail("its class is defined in a function, where no other process finds it")


@router_checks
def own_random_state(subject: RouterSubject) -> None:
    """The router draws random numbers from a generator of its own, and leaves those of others alone.

    It shares its process with other code, whose results would change with it, and the other way round.
    """
    checked_random_state(subject.route)


@router_checks
def thread_safe(subject: RouterSubject) -> None:
    """Several threads may route with one router at once: each gets an answer to its own query.

    Servers do so. Keep what belongs to one query in local variables, not in attributes.
    """
    queries, router = subject.queries, subject.make()
    expected = subject.route()
    # A router that draws lots answers by the order of the queries, which threads do not keep.
    again = subject.route(queries[::-1] * (1 + 32 // len(queries)))[::-1]
    keeps_to_queries = same(again, expected * (len(again) // len(expected)))
    for results in from_threads(lambda query: router.route_single(dict(query)), queries):
        for number, result in enumerate(results):
            valid(subject, result, queries[number])
            if keeps_to_queries and not same(expected[number], result):
                fail(f"query {number} gives {expected[number]!r}, among threads {result!r}")


@router_checks
def changes_no_input(subject: RouterSubject) -> None:
    """Routing changes neither the queries, nor the batch, nor the candidates.

    They belong to the caller, who goes on using them.
    """
    router, queries = subject.make(), subject.queries
    before, candidates = copy.deepcopy(queries), copy.deepcopy(router.llm_data)
    batch = list(queries)
    for query in queries:
        router.route_single(query)
    router.route_batch(batch)
    if len(batch) != len(queries) or any(one is not two for one, two in zip(batch, queries, strict=True)):
        fail("route_batch changes the list that it is given")
    for query, was in zip(queries, before, strict=True):
        if query != was:
            changed = [key for key in query.keys() | was.keys() if query.get(key) != was.get(key)]
            fail(f"routing changes the query that it is given, its {', '.join(sorted(changed))}")
    if router.llm_data != candidates:
        fail("routing changes the candidates, llm_data")


@router_checks
def pickles_across_processes(subject: RouterSubject) -> None:
    """A router can be pickled into another process, and routes there as it does here.

    Worker processes get it so. Beware of locks, open files, lambdas and generators in attributes.
    """
    _importable(subject)
    router = subject.make()
    try:
        pickled = pickle.dumps(router)
    except Exception as error:
        fail(f"it cannot be pickled: {error}")
    elsewhere = in_child("call", pickled, "route_batch", subject.queries).value
    if not same(router.route_batch(subject.queries), elsewhere):
        fail("pickled into another process, it gives different results for the same queries")


@router_checks
def time_per_query(subject: RouterSubject) -> str:
    """A query is routed within a second, or what the suite was told; the time is reported.

    A router that calls itself quick takes less than a millisecond, for a server calls it between requests.
    """
    router, queries = subject.make(), subject.queries
    alone = median_seconds(router.route_single, queries)
    together = median_seconds(router.route_batch, [queries] * 3) / len(queries)
    limit = min(subject.seconds_per_query, QUICK_SECONDS) if router.quick else subject.seconds_per_query
    if alone > limit:
        fail(f"a query takes {duration(alone)}, more than {duration(limit)}")
    return f"{duration(alone)} a query alone, {duration(together)} in a batch of {len(queries)}"
