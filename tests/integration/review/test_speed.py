"""The queue, History and the matrix on a site that was used for long: quick, by indexes, with constant queries.

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
from recognizer.models import LabelReason, ModelVersion
from recognizer.services.identity.actors import Actor
from recognizer.services.ops import submission_stats
from recognizer.services.review import confusion_matrix, decisions, queue, statistics
from tests.support.people import client_of

pytestmark = pytest.mark.django_db

MILLISECONDS = 150
# Filters of History that need different things of its index.
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
# What each rule finds its candidates by.
INDEXES = {
    LabelReason.DOUBT: "submission_doubt",
    LabelReason.DISAGREEMENT: "submission_disagree",
    LabelReason.SUSPECT: "submission_truth",
    LabelReason.NEWEST: "submission_narrow",
    LabelReason.RANDOM: "submission_digest",
}


def milliseconds(act: Callable[[], object]) -> float:
    """Of this process, in which SQLite works too: what else the machine does then counts little. The best of five."""
    times = []
    for _ in range(5):
        started = time.process_time()
        act()
        times.append((time.process_time() - started) * 1000)
    return min(times)


def plans(act: Callable[[], object]) -> str:
    """How SQLite finds the submissions that `act` asks for."""
    with CaptureQueriesContext(connection) as asked:
        act()
    lines = []
    with connection.cursor() as cursor:
        for query in asked.captured_queries:
            if query["sql"].startswith("SELECT") and "recognizer_submission" in query["sql"]:
                cursor.execute("EXPLAIN QUERY PLAN " + query["sql"].replace("%", "%%"))
                lines += [row[3] for row in cursor.fetchall()]
    return "\n".join(lines)


def count(act: Callable[[], object]) -> int:
    with CaptureQueriesContext(connection) as asked:
        act()
    return len(asked)


def taking(actor: Actor, rule: LabelReason, number: int = 16) -> Callable[[], object]:
    def take() -> None:
        queue.release_leases(actor=actor)
        assert queue.lease_next(actor=actor, rule=rule, count=number, randomness=random.Random(1))

    return take


@pytest.mark.parametrize("size", [5_000, pytest.param(100_000, marks=pytest.mark.acceptance)])
def test_queue_and_labels_are_fast_with_many_rows(size, reviewer, second_reviewer, settings, capsys):
    settings.REVIEW_RANDOM_SHARE = 0.15
    populated_site.fill(size, reviewers=[reviewer, second_reviewer])
    client = client_of(reviewer)
    history = {f"history {one}": lambda one=one: client.get(f"/history/?{one}") for one in FILTERS}
    versions = ModelVersion.objects.in_bulk(field_name="number")
    matrix = {
        f"matrix {number}": lambda one=one: confusion_matrix.matrix_for_version(one) for number, one in versions.items()
    }
    rules = {f"next by {rule}": taking(reviewer, rule) for rule in queue.RULES}
    api = {"POST review/next": lambda: client.post("/api/v1/review/next", {"count": 16}, "application/json")}
    grid = {"grid": lambda: (queue.release_leases(actor=reviewer), queue.lease_grid(actor=reviewer, digit=7))}
    took = {name: milliseconds(act) for name, act in (rules | grid | api | history | matrix).items()}
    with capsys.disabled():
        print(
            f"\n{size} submissions:", *(f"{name or 'all'} {figure:.0f} ms" for name, figure in took.items()), sep="\n  "
        )
    assert {name: figure for name, figure in took.items() if figure > MILLISECONDS} == {}


def test_every_rule_uses_an_index(reviewer, second_reviewer, settings):
    settings.REVIEW_RANDOM_SHARE = 0
    # So many that each rule has something to show: suspects are one in a hundred.
    populated_site.fill(2_000, reviewers=[reviewer, second_reviewer])
    for rule, index in INDEXES.items():
        plan = plans(taking(reviewer, rule, 4))
        assert index in plan, f"{rule}\n{plan}"
        assert "SCAN recognizer_submission\n" not in plan + "\n", f"{rule}\n{plan}"
    assert "submission_doubt" in plans(lambda: queue.lease_grid(actor=reviewer, digit=7))
    client = client_of(reviewer)
    for one in FILTERS:
        plan = plans(lambda one=one: client.get(f"/history/?{one}"))
        assert "SCAN recognizer_submission USING COVERING INDEX submission_narrow" in plan or one == "", (
            f"{one}\n{plan}"
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
    taking(reviewer, LabelReason.NEWEST)()  # what an account may do is asked for once
    assert count(taking(reviewer, LabelReason.NEWEST, 2)) == count(taking(reviewer, LabelReason.NEWEST, 40)) <= 14
    # Second opinions, suspects, suggestions and doubtful ones are asked for in turn.
    assert count(taking(reviewer, LabelReason.DOUBT, 40)) <= 26
    for url in ("/review/", "/review/grid/?digit=7", "/review/figures/", "/history/", "/history/matrix/"):
        client.get(url)
        few = count(lambda url=url: client.get(url))
        assert few <= 24, url
        assert few == count(lambda url=url: client.get(url)), url
    assert count(lambda: statistics.progress(reviewer)) <= 6
    [item, *_] = queue.lease_next(actor=reviewer, rule=LabelReason.DOUBT, count=1)
    decide = lambda: decisions.decide(  # noqa: E731 - as the others
        actor=reviewer, submission=item.submission, value="7", default_reason=LabelReason.API
    )
    assert count(decide) <= 14
