"""Pagination of a long history while rows are added."""

import statistics
import time

import pytest
from django.test import Client

from digitsite.testing.populated_site import fill
from recognizer.models import Prediction
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db

ORDERINGS = ("-created", "created", "-doubt")
PAGE_SIZE = 200
# Number of pages at either end whose median duration is compared.
COMPARED_PAGES = 10


def read_all_pages(client: Client, ordering: str) -> tuple[list[int], list[float]]:
    """Return the ids of all pages and the seconds of each page. A prediction is added after every page."""
    ids, durations = [], []
    address = f"/api/v1/predictions?page_size={PAGE_SIZE}&ordering={ordering}"
    while address:
        started = time.perf_counter()
        body = client.get(address).json()
        durations.append(time.perf_counter() - started)
        ids += [item["id"] for item in body["results"]]
        make_prediction(make_submission(), doubt=len(durations) / 10_000)
        address = body["next"]
    return ids, durations


def check_all_pages(client: Client, ordering: str) -> list[float]:
    existing_ids = set(Prediction.objects.values_list("pk", flat=True))
    ids, durations = read_all_pages(client, ordering)
    assert len(ids) == len(set(ids)), "rows were repeated"
    assert existing_ids <= set(ids), "rows are missing"
    return durations


def test_pages_contain_each_of_1000_predictions_once_while_rows_are_added(reviewer, reviewer_client):
    fill(500, reviewers=[reviewer])  # two predictions for each
    for ordering in ORDERINGS:
        check_all_pages(reviewer_client, ordering)


@pytest.mark.acceptance
def test_last_page_of_100_000_predictions_is_as_fast_as_the_first(reviewer, reviewer_client, capsys):
    fill(50_000, reviewers=[reviewer])
    for ordering in ORDERINGS:
        durations = check_all_pages(reviewer_client, ordering)
        first, last = (
            statistics.median(durations[1 : COMPARED_PAGES + 1]),
            statistics.median(durations[-COMPARED_PAGES:]),
        )
        with capsys.disabled():
            print(
                f"\n{ordering}: {len(durations)} pages of {PAGE_SIZE}; "
                f"first {first * 1000:.1f} ms, last {last * 1000:.1f} ms"
            )
        assert last < 2 * first
