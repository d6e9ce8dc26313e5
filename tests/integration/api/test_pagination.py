"""Walking through a long history page by page while it grows."""

import statistics
import time

import pytest
from django.test import Client

from digitsite.testing.populated_site import fill
from recognizer.models import Prediction
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db

ORDERINGS = ("-created", "created", "-doubt")
PAGE = 200
# Pages at either end whose median is compared.
ENDS = 10


def walk(client: Client, ordering: str) -> tuple[list[int], list[float]]:
    """The ids of all pages, and what each page took; with every page somebody gets a new answer."""
    seen, took = [], []
    address = f"/api/v1/predictions?page_size={PAGE}&ordering={ordering}"
    while address:
        started = time.perf_counter()
        body = client.get(address).json()
        took.append(time.perf_counter() - started)
        seen += [one["id"] for one in body["results"]]
        make_prediction(make_submission(), doubt=len(took) / 10_000)
        address = body["next"]
    return seen, took


def walk_through(client: Client, ordering: str) -> list[float]:
    there = set(Prediction.objects.values_list("pk", flat=True))
    seen, took = walk(client, ordering)
    assert len(seen) == len(set(seen)), "some came twice"
    assert there <= set(seen), "some were missed"
    return took


def test_of_1000_predictions_none_is_missed_and_none_comes_twice_while_others_arrive(reviewer, reviewer_client):
    fill(500, reviewers=[reviewer])  # each was read by two versions
    for ordering in ORDERINGS:
        walk_through(reviewer_client, ordering)


@pytest.mark.acceptance
def test_the_last_page_of_100_000_predictions_takes_as_long_as_the_first(reviewer, reviewer_client, capsys):
    fill(50_000, reviewers=[reviewer])
    for ordering in ORDERINGS:
        took = walk_through(reviewer_client, ordering)
        first, last = statistics.median(took[1 : ENDS + 1]), statistics.median(took[-ENDS:])
        with capsys.disabled():
            print(f"\n{ordering}: {len(took)} pages of {PAGE}; first {first * 1000:.1f} ms, last {last * 1000:.1f} ms")
        assert last < 2 * first
