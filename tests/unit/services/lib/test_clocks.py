"""Durations that include a suspension of the process: readings of a clock after a gap."""

import pytest

from recognizer.services.lib.clocks import AwakeClock, HeartbeatMonitor


class Monotonic:
    """A clock that the test sets."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


def test_awake_clock_limits_the_time_of_a_suspension(monotonic: Monotonic) -> None:
    clock = AwakeClock(monotonic)
    for seconds in (1.0, 1.5):
        monotonic.seconds += seconds
        clock.now(max_gap=2)
    assert clock.now(max_gap=2) == 2.5
    monotonic.seconds += 3600
    assert clock.now(max_gap=2) == 4.5
    monotonic.seconds -= 10
    assert clock.now(max_gap=2) == 4.5


def test_heartbeat_monitor_measures_from_the_last_change(monotonic: Monotonic) -> None:
    monitor = HeartbeatMonitor(monotonic)
    monotonic.seconds += 100
    assert monitor.unchanged_seconds("first", max_gap=10) == 0
    monotonic.seconds += 4
    assert monitor.unchanged_seconds("first", max_gap=10) == 4
    assert monitor.unchanged_seconds("second", max_gap=10) == 0
    monotonic.seconds += 3600
    assert monitor.unchanged_seconds("second", max_gap=10) == 10
