"""Durations while the process is suspended: a clock that is read again after a gap."""

import pytest

from recognizer.services.lib.clocks import AwakeClock, HeartbeatMonitor


class Monotonic:
    """A clock that is moved by hand."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def monotonic() -> Monotonic:
    return Monotonic()


def test_time_counts_while_the_process_is_awake_and_hardly_while_it_is_suspended(monotonic: Monotonic) -> None:
    clock = AwakeClock(monotonic)
    for seconds in (1.0, 1.5):
        monotonic.seconds += seconds
        clock.now(max_gap=2)
    assert clock.now(max_gap=2) == 2.5
    monotonic.seconds += 3600
    assert clock.now(max_gap=2) == 4.5
    monotonic.seconds -= 10
    assert clock.now(max_gap=2) == 4.5


def test_silence_begins_with_the_first_look_and_anew_with_each_sign_of_life(monotonic: Monotonic) -> None:
    watch = HeartbeatMonitor(monotonic)
    monotonic.seconds += 100
    assert watch.unchanged_seconds("first", max_gap=10) == 0
    monotonic.seconds += 4
    assert watch.unchanged_seconds("first", max_gap=10) == 4
    assert watch.unchanged_seconds("second", max_gap=10) == 0
    monotonic.seconds += 3600
    assert watch.unchanged_seconds("second", max_gap=10) == 10
