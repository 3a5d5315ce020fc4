"""paretorouter keeps the contract, and so does its trainer."""

import pytest

from llmrouter_testing import router_suite, trainer_suite

pytestmark = pytest.mark.torch

TestParetoRouter = router_suite("paretorouter")
TestParetoTrainer = trainer_suite("paretorouter")
