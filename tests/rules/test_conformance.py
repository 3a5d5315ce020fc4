"""rulesrouter keeps the contract."""

from llmrouter_testing import router_suite

RULES = [
    {"when": {"keywords": "code", "min_words": 3}, "then": "large"},
    {"when": {"regex": r"\d{3}"}, "then": "small"},
]
TestRulesRouter = router_suite("rulesrouter", hparam={"rules": RULES, "otherwise": "small"})
TestAskingAnother = router_suite(
    "rulesrouter", hparam={"rules": RULES, "otherwise": {"router": "randomrouter"}}
)
