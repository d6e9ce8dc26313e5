"""What the way of a submission costs: insert, push, answer; with one who asks and with many at once.

Starts a site of its own (Valkey, worker, SQLite) in a temporary folder and works on it without a web server.

    python -m bench.handoff
"""

import itertools
import os
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import tests.environment  # noqa: F401  names a data folder of its own before Django reads its settings

ALONE, TOGETHER, ASKERS = 1000, 4000, 32


def main() -> int:
    import django

    django.setup()
    from django.db import connections

    from recognizer.models import Prediction
    from recognizer.services import handoff
    from tests.rows import make_submission
    from tests.support.site import Site, migrated_database, some_pixels

    def ask(number: int) -> tuple[float, float, float]:
        """Milliseconds for insert, push and answer."""
        times = [time.perf_counter()]
        submission = make_submission(pixels=some_pixels(number % 50))
        times.append(time.perf_counter())
        handoff.push([submission.pk])
        times.append(time.perf_counter())
        if handoff.wait_for(submission, 10) is None:
            raise RuntimeError(f"no answer to submission {submission.pk}")
        times.append(time.perf_counter())
        return tuple((after - before) * 1000 for before, after in itertools.pairwise(times))

    with tempfile.TemporaryDirectory() as folder:
        site = Site(migrated_database(Path(folder)))
        try:
            site.start_redis()
            worker = site.start_worker()
            with site.entered():
                for number in range(50):
                    ask(number)
                alone = [ask(number) for number in range(ALONE)]
                print(f"{'':16}{'insert':>8}{'push':>8}{'answer':>8}{'in all':>8}   ms, one who asks, {ALONE} times")
                for name, of in (("median", statistics.median), ("p99", lambda x: statistics.quantiles(x, n=100)[98])):
                    parts = [of(column) for column in zip(*alone, strict=True)]
                    print(f"{name:16}" + "".join(f"{one:8.2f}" for one in [*parts, of([sum(row) for row in alone])]))

                before, cpu = Prediction.objects.count(), worker.cpu_seconds()
                started = time.perf_counter()
                with ThreadPoolExecutor(ASKERS) as pool:
                    together = [sum(row) for row in pool.map(ask, range(TOGETHER))]
                    list(pool.map(lambda _: connections.close_all(), range(ASKERS)))
                seconds = time.perf_counter() - started
                done = Prediction.objects.count() - before
                print(
                    f"{ASKERS} who ask at once: {done / seconds:.0f} a second, median "
                    f"{statistics.median(together):.1f} ms, worker {(worker.cpu_seconds() - cpu) * 1000 / done:.2f} "
                    f"ms of CPU each, {worker.rss() / 2**20:.0f} MB"
                )
        finally:
            site.stop()
    return 0


if __name__ == "__main__":
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    sys.exit(main())
