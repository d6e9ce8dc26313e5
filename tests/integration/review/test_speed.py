"""Speed of queue, History and matrix with many rows: fast, by indexes, with a constant number of queries.

5,000 submissions in `make test`, 100,000 in `make acceptance`.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from digitsite.testing import populated_site
from recognizer.models import LabelReason, Lease, ModelVersion
from recognizer.services.identity.actors import Actor
from recognizer.services.ops import submission_stats
from recognizer.services.review import confusion_matrix, labels, queue, statistics
from tests.support.people import client_of

pytestmark = pytest.mark.django_db

MILLISECONDS = 150
# Filters of History that use different columns of its index.
FILTERS = (
    "",
    "digit=7",
    "digit=7&verdict=unsure&certainty_max=0.6",
    "certainty_min=0.999",
    "truth=3&truth_state=settled&predicted=1:4",
    "corrected=true",
    "version=1",
    "source=api&digit=4&truth_state=disputed",
)
# The index that each rule uses.
INDEXES = {
    LabelReason.DOUBT: "submission_doubt",
    LabelReason.DISAGREEMENT: "submission_disagree",
    LabelReason.SUSPECT: "submission_truth",
    LabelReason.NEWEST: "submission_narrow",
    LabelReason.RANDOM: "submission_digest",
}


def milliseconds(act: Callable[[], object]) -> float:
    """Return the CPU time of this process, which includes SQLite; the best of five runs."""
    times = []
    for _ in range(5):
        started = time.process_time()
        act()
        times.append((time.process_time() - started) * 1000)
    return min(times)


def plans(act: Callable[[], object]) -> str:
    """Return SQLite's query plans for the submissions that `act` reads."""
    with CaptureQueriesContext(connection) as queries:
        act()
    lines = []
    with connection.cursor() as cursor:
        for query in queries.captured_queries:
            if query["sql"].startswith("SELECT") and "recognizer_submission" in query["sql"]:
                cursor.execute("EXPLAIN QUERY PLAN " + query["sql"].replace("%", "%%"))
                lines += [row[3] for row in cursor.fetchall()]
    return "\n".join(lines)


def count(act: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as queries:
        act()
    return len(queries)


def lease_items(actor: Actor, rule: LabelReason, number: int = 16) -> Callable[[], object]:
    def take() -> None:
        Lease.objects.filter(reviewer=actor.user).delete()
        assert queue.lease_next(actor=actor, rule=rule, count=number, randomness=random.Random(1))

    return take


@pytest.mark.parametrize("size", [5_000, pytest.param(100_000, marks=pytest.mark.acceptance)])
def test_queue_and_labels_are_fast_with_many_rows(size, reviewer, second_reviewer, settings, capsys):
    settings.REVIEW_RANDOM_SHARE = 0.15
    populated_site.fill(size, reviewers=[reviewer, second_reviewer])
    client = client_of(reviewer)
    history = {
        f"history {query_string}": lambda query_string=query_string: client.get(f"/history/?{query_string}")
        for query_string in FILTERS
    }
    versions = ModelVersion.objects.in_bulk(field_name="number")
    matrix = {
        f"matrix {number}": lambda query_string=query_string: confusion_matrix.matrix_for_version(query_string)
        for number, query_string in versions.items()
    }
    rules = {f"next by {rule}": lease_items(reviewer, rule) for rule in queue.RULES}
    api = {"POST review/next": lambda: client.post("/api/v1/review/next", {"count": 16}, "application/json")}
    grid = {
        "grid": lambda: (
            Lease.objects.filter(reviewer=reviewer.user).delete(),
            queue.lease_grid(actor=reviewer, digit=7),
        )
    }
    durations = {name: milliseconds(act) for name, act in (rules | grid | api | history | matrix).items()}
    with capsys.disabled():
        print(
            f"\n{size} submissions:",
            *(f"{name or 'all'} {figure:.0f} ms" for name, figure in durations.items()),
            sep="\n  ",
        )
    assert {name: figure for name, figure in durations.items() if figure > MILLISECONDS} == {}


def test_every_rule_uses_an_index(reviewer, second_reviewer, settings):
    settings.REVIEW_RANDOM_SHARE = 0
    # Enough rows for every rule: suspects are one in a hundred.
    populated_site.fill(2_000, reviewers=[reviewer, second_reviewer])
    for rule, index in INDEXES.items():
        plan = plans(lease_items(reviewer, rule, 4))
        assert index in plan, f"{rule}\n{plan}"
        assert "SCAN recognizer_submission\n" not in plan + "\n", f"{rule}\n{plan}"
    assert "submission_doubt" in plans(lambda: queue.lease_grid(actor=reviewer, digit=7))
    client = client_of(reviewer)
    for query_string in FILTERS:
        plan = plans(lambda query_string=query_string: client.get(f"/history/?{query_string}"))
        assert "SCAN recognizer_submission USING COVERING INDEX submission_narrow" in plan or query_string == "", (
            f"{query_string}\n{plan}"
        )
    assert "COVERING INDEX submission_truth" in plans(lambda: submission_stats.stats_for(reviewer))
    assert "SCAN" not in plans(lambda: submission_stats.stats_for(Actor(visitor=f"{7:032d}")))
    assert "COVERING INDEX submission_truth" in plans(
        lambda: confusion_matrix.matrix_for_version(ModelVersion.objects.get(number=2))
    )


def test_query_count_does_not_grow_with_rows(reviewer, second_reviewer, settings):
    settings.REVIEW_RANDOM_SHARE = 0
    populated_site.fill(300, reviewers=[reviewer, second_reviewer])
    client = client_of(reviewer)
    lease_items(reviewer, LabelReason.NEWEST)()  # permissions are cached after the first query
    assert (
        count(lease_items(reviewer, LabelReason.NEWEST, 2))
        == count(lease_items(reviewer, LabelReason.NEWEST, 40))
        <= 14
    )
    # This rule queries second opinions, suspects, suggestions and doubtful submissions in turn.
    assert count(lease_items(reviewer, LabelReason.DOUBT, 40)) <= 26
    for url in ("/review/", "/review/grid/?digit=7", "/review/figures/", "/history/", "/history/matrix/"):
        client.get(url)
        few = count(lambda url=url: client.get(url))
        assert few <= 24, url
        assert few == count(lambda url=url: client.get(url)), url
    assert count(lambda: statistics.progress(reviewer)) <= 6
    [item, *_] = queue.lease_next(actor=reviewer, rule=LabelReason.DOUBT, count=1)
    decide = lambda: labels.record_label(  # noqa: E731 - as the others
        actor=reviewer, submission=item.submission, value="7", reason=LabelReason.API
    )
    assert count(decide) <= 14
