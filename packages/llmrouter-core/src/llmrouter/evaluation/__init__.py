"""Evaluation of routers on held-out routing data, beside baselines.

The way: `outcomes` makes matrices of routing data, `evaluate` routes the queries (`routed`) and measures the
decisions with `deferral` (two LLMs: APGR, CPT, AUROC), `frontier` (any number: AIQ) and `bootstrap`, beside
`baselines`; `report`, `plot` and `page` show the result.
"""

from llmrouter.errors import MissingExtraError

try:
    import numpy as _numpy  # noqa: F401
except ModuleNotFoundError as error:
    raise MissingExtraError("evaluation", "llmrouter-core[numpy]") from error
