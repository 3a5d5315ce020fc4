"""The scripted upstream of llmrouter-testing, under the name by which the tests import it."""

from llmrouter_testing.upstream import Reply, Script, Upstream, completion, events, usage

__all__ = ["Reply", "Script", "Upstream", "completion", "events", "usage"]
