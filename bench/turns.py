"""Several sites that are driven in turns, so that a machine that changes its speed does so for all: ratios hold."""

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import load, processes, serving
from digitsite.testing.supervised import Supervised


@dataclass(frozen=True)
class Turn:
    """What one site did in one turn.

    Attributes:
        per_second: stored predictions.
        median: milliseconds from a request to the end of its answer.
        processor_milliseconds: of web server, worker and Redis, for each.
    """

    per_second: float
    median: float
    processor_milliseconds: float


def taken(
    sites: Mapping[str, Supervised],
    bodies: load.Bodies,
    *,
    clients: int,
    rounds: int,
    seconds: float,
    load_core: int | None,
) -> dict[str, list[Turn]]:
    """Each site's turns, one of every round: in a round each has one, in any order. A first round warms.

    Raises:
        load.LoadError: something was answered with an error, or nothing at all.
    """
    turns: dict[str, list[Turn]] = {name: [] for name in sites}
    sent = dict.fromkeys(sites, 0)
    for number in range(1 + rounds):
        for name in random.sample(list(sites), len(sites)):
            site = sites[name]
            pids = [site.part(part).pid for part in serving.PARTS]
            before = processes.processor_seconds(pids)
            loaded = load.run(
                f"{site.url}api/v1/submissions",
                bodies,
                clients=clients,
                seconds=seconds,
                core=load_core,
                offset=sent[name],
            )
            spent = processes.processor_seconds(pids) - before
            stored = loaded.answered + loaded.later
            if loaded.errors or not stored:
                raise load.LoadError(f"{name}: {loaded.errors} errors, {stored} stored; {loaded.statuses}")
            sent[name] += stored
            if number:
                turns[name].append(Turn(loaded.per_second, loaded.p50, spent * 1000 / stored))
    return turns


def ratio(some: Sequence[Turn], first: Sequence[Turn], figure: str) -> float:
    """The median, over the rounds, of how one site's figure compares to the other's in the same round."""
    return statistics.median(
        getattr(one, figure) / getattr(other, figure) for one, other in zip(some, first, strict=True)
    )


def median(some: Sequence[Turn], figure: str) -> float:
    return statistics.median(getattr(one, figure) for one in some)
