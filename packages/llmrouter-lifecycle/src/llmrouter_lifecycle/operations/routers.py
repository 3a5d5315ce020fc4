"""Operations on routers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llmrouter_lifecycle.errors import InvalidParameterError, ResourceNotFoundError
from llmrouter_lifecycle.home import Caller, Home
from llmrouter_lifecycle.models import Models
from llmrouter_lifecycle.names import check_id, check_version, refuse_unknown, shown
from llmrouter_lifecycle.operations.wire import router_json
from llmrouter_lifecycle.store.checkpoints import has_checkpoint

EXECUTOR = "ModelExecutor"


def create_router(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    """Create a router that goes to the LLMs of its points."""
    id = check_id(query.get("routerId"), "routerId")
    spec = router_spec(home, caller, body.get("routerSpec"))
    return router_json(home.routers.create(caller.org, id, spec, description(body)))


def list_routers(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any]) -> Any:
    """Return the latest version of each router."""
    return {"routers": [router_json(version) for version in home.routers.list(caller.org)]}


def get_router(home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any], id: str) -> Any:
    """Return a version of a router, by default the latest."""
    return router_json(home.routers.get(caller.org, id, check_version(query.get("version"))))


def router_versions(
    home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any], id: str
) -> Any:
    """Return all versions of a router, the newest first."""
    return {"routers": [router_json(version) for version in home.routers.versions(caller.org, id)]}


def update_router(
    home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any], id: str
) -> Any:
    """Add a version to a router."""
    spec = router_spec(home, caller, body.get("routerSpec"))
    return router_json(home.routers.update(caller.org, id, spec, description(body)))


def delete_router(
    home: Home, caller: Caller, query: Mapping[str, Any], body: Mapping[str, Any], id: str
) -> Any:
    """Delete a router with all its versions."""
    home.routers.delete(caller.org, id)
    return {}


def router_spec(home: Home, caller: Caller, told: Any) -> dict[str, Any]:
    """Return the spec of a router that can be used: points given by hand, or one of an earlier training.

    Raises:
        InvalidParameterError: It is malformed; the message names the key.
        ResourceNotFoundError: It names an LLM, or a checkpoint, that is not there.
    """
    if (
        not isinstance(told, Mapping)
        or not isinstance(told.get("points"), list | tuple)
        or not told["points"]
    ):
        raise InvalidParameterError(
            f"routerSpec.points: expected a list of at least one point, found {shown(told)}",
            param="routerSpec.points",
        )
    points = [
        _point(home.models, point, f"routerSpec.points.{index}") for index, point in enumerate(told["points"])
    ]
    trained = told.get("router")
    if trained is None:
        refuse_unknown(told, ("points",), "routerSpec")
        return {"points": points}
    digest = trained.get("checkpoint") if isinstance(trained, Mapping) else None
    if not isinstance(digest, str) or "\0" in digest or not has_checkpoint(home.database, caller.org, digest):
        raise ResourceNotFoundError(
            f"routerSpec.router.checkpoint: there is no {shown(digest)}; train a router to get one",
            param="routerSpec.router.checkpoint",
        )
    return {**told, "points": points}


def description(body: Mapping[str, Any]) -> str | None:
    """Return the description in a body.

    Raises:
        InvalidParameterError: It is no text, or holds NUL, which PostgreSQL does not keep.
    """
    told = body.get("description")
    if not isinstance(told, str | None) or "\0" in (told or ""):
        raise InvalidParameterError(
            f"description: expected text without NUL, found {shown(told)}", param="description"
        )
    return told


def _point(models: Models, told: Any, param: str) -> dict[str, Any]:
    try:
        spec, place = told["executor"]["spec"], told["point"]
        kind, name, x, y = spec["executor_type"], spec["model_name"], place["x"], place["y"]
    except (KeyError, TypeError, IndexError):
        raise InvalidParameterError(
            f'{param}: expected {{"point": {{"x": …, "y": …}}, "executor": {{"spec": {{"executor_type": '
            f'"{EXECUTOR}", "model_name": …}}}}}}',
            param=param,
        ) from None
    if kind != EXECUTOR:
        raise InvalidParameterError(
            f"{param}.executor.spec.executor_type: expected {EXECUTOR!r}, found {shown(kind)}",
            param=f"{param}.executor.spec.executor_type",
        )
    for axis, value in (("x", x), ("y", y)):
        # A trained router does not know the cost of an LLM without a price.
        if value is None and axis == "x":
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise InvalidParameterError(
                f"{param}.point.{axis}: expected a number from 0 to 1, found {shown(value)}",
                param=f"{param}.point.{axis}",
            )
    name = models.resolve(name, f"{param}.executor.spec.model_name")
    return {
        **{key: told[key] for key in ("frontier",) if key in told},
        "point": {"x": x, "y": y},
        "executor": {"spec": {"executor_type": EXECUTOR, "model_name": name}},
    }
