"""knnrouter keeps the contract, and so does its trainer."""

from llmrouter_testing import router_suite, trainer_suite

TestKnnRouter = router_suite("knnrouter")
TestKnnTrainer = trainer_suite("knnrouter")
