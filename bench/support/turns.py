"""Interleaved load on several sites: a change of the machine's speed affects all of them, so ratios are stable."""

import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench import processes, serving
from bench.support import load
from digitsite.testing.supervised import Supervised


@dataclass(frozen=True)
class Turn:
    """Result of one site in one turn.

    Attributes:
        per_second: Stored predictions a second.
        median: Median milliseconds from a request to the end of its response.
        processor_milliseconds: Processor time of web server, worker and Redis for each prediction.
        tail: The 99th percentile of the same milliseconds, divided by their median.
        megabytes: Memory of web server, worker and Redis after the turn.
    """

    per_second: float
    median: float
    processor_milliseconds: float
    tail: float
    megabytes: float


def take_turns(
    sites: Mapping[str, Supervised],
    bodies: load.Bodies,
    *,
    clients: int,
    rounds: int,
    seconds: float,
    load_core: int | None,
) -> dict[str, list[Turn]]:
    """Load each site once a round, in random order; an additional first round warms up.

    Args:
        sites: Running sites by name.
        bodies: Request bodies.
        clients: Number of connections.
        rounds: Number of rounds that count.
        seconds: Length of each turn.
        load_core: Processor to pin the load generator to.

    Returns:
        The turns of each site, one for each round.

    Raises:
        load.LoadError: If a response is an error or nothing was stored.
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
                turn = Turn(
                    per_second=loaded.per_second,
                    median=loaded.p50,
                    processor_milliseconds=spent * 1000 / stored,
                    tail=loaded.p99 / loaded.p50,
                    megabytes=processes.megabytes(pids),
                )
                turns[name].append(turn)
    return turns


def ratio(turns: Sequence[Turn], baseline: Sequence[Turn], figure: str) -> float:
    """Return the median over the rounds of the ratio of a figure between two sites."""
    ratios = [getattr(turn, figure) / getattr(other, figure) for turn, other in zip(turns, baseline, strict=True)]
    return float(statistics.median(ratios))


def median(turns: Sequence[Turn], figure: str) -> float:
    """Return the median of a figure over the turns."""
    return float(statistics.median(getattr(turn, figure) for turn in turns))
