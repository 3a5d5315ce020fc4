"""thresholdrouter keeps the contract, and so does its trainer."""

import pytest

from llmrouter_testing import router_suite, trainer_suite

pytestmark = pytest.mark.torch

TestThresholdRouter = router_suite("thresholdrouter")
TestThresholdTrainer = trainer_suite("thresholdrouter")
