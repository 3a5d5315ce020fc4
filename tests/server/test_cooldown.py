from __future__ import annotations

from llmrouter_server.cooldown import Cooldown


def test_each_further_fault_doubles_the_time_up_to_the_longest() -> None:
    cooldown = Cooldown(2, 10)
    ends = []
    for _ in range(4):
        cooldown.fault(100)
        ends.append(cooldown.until - 100)
    assert ends == [2, 4, 8, 10]
    assert not cooldown.asked


def test_what_the_upstream_asks_for_is_honoured_within_bounds() -> None:
    cooldown = Cooldown(2, 10)
    cooldown.fault(100, retry_after=5, status=429)
    assert (cooldown.until, cooldown.asked, cooldown.status) == (105, True, 429)
    cooldown.fault(100, retry_after=1e9)
    assert cooldown.until == 110


def test_a_success_ends_it_and_the_doubling() -> None:
    cooldown = Cooldown(2, 10)
    cooldown.fault(100)
    cooldown.success()
    assert cooldown.until == 0
    cooldown.fault(200)
    assert cooldown.until == 202


def test_many_faults_do_not_overflow() -> None:
    cooldown = Cooldown(2, 60)
    for _ in range(5000):
        cooldown.fault(0)
    assert cooldown.until == 60
