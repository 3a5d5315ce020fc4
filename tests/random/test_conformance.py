"""randomrouter keeps the contract."""

from llmrouter_testing import router_suite

TestRandomRouter = router_suite("randomrouter")
TestWeighted = router_suite("randomrouter", hparam={"weights": {"small": 3, "large": 1}})
