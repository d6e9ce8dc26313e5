"""Tests of the History page: visibility, filters and pagination."""

import re

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from recognizer.models import Source, Submission, Verdict
from recognizer.services.identity.actors import Actor
from recognizer.views.submissions.history import PAGE_SIZE
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db

HISTORY = "/history/"


def make_answered(actor: Actor, **prediction: object) -> Submission:
    submission = make_submission(actor)
    make_prediction(submission, **prediction)
    return submission


def shown(client: Client, address: str = HISTORY) -> list[str]:
    """Return the public ids on the page, in order."""
    response = client.get(address)
    assert response.status_code == 200
    return re.findall(r'class="tile" href="/s/([^/]+)/"', response.content.decode())


def test_users_see_their_own_submissions_and_reviewers_see_all(
    owner_client: Client,
    other_client: Client,
    reviewer_client: Client,
    operator_client: Client,
    visitor: Actor,
    reviewer: Actor,
) -> None:
    visitors, own = make_answered(visitor), make_answered(reviewer)
    assert shown(owner_client) == [visitors.public_id]
    assert shown(other_client) == []
    assert shown(reviewer_client) == shown(operator_client) == [own.public_id, visitors.public_id]
    assert shown(reviewer_client, f"{HISTORY}?mine=true") == [own.public_id]


def test_an_empty_history_says_what_to_do_next(owner_client: Client) -> None:
    text = owner_client.get(HISTORY).content.decode()
    assert "Nothing here yet" in text
    assert f'href="{reverse("draw")}">Draw a digit' in text
    assert "Filter and order" not in text


def test_tile_shows_the_verdict_and_the_consensus(owner_client: Client, visitor: Actor) -> None:
    submission = make_answered(visitor, verdict=Verdict.UNSURE)
    Submission.objects.filter(pk=submission.pk).update(truth="1", truth_state="provisional")
    make_submission(visitor)
    text = owner_client.get(HISTORY).content.decode()
    for words in ("Not sure", "99.0\u00a0%", "Suggested:", "Waiting"):
        assert words in text


def test_filters_are_query_parameters(owner_client: Client, visitor: Actor) -> None:
    seven = make_answered(visitor)
    doubtful = make_answered(visitor, digit=3, runner_up=5, certainty=0.55, verdict=Verdict.UNSURE)
    uploaded = make_submission(visitor, source=Source.UPLOAD)
    assert shown(owner_client, f"{HISTORY}?digit=3") == [doubtful.public_id]
    assert shown(owner_client, f"{HISTORY}?digit=3&digit=7") == [doubtful.public_id, seven.public_id]
    assert shown(owner_client, f"{HISTORY}?verdict=sure") == [seven.public_id]
    assert shown(owner_client, f"{HISTORY}?certainty_max=0.8") == [doubtful.public_id]
    assert shown(owner_client, f"{HISTORY}?source=upload") == [uploaded.public_id]
    assert shown(owner_client, f"{HISTORY}?version=1&ordering=created") == [seven.public_id, doubtful.public_id]
    assert shown(owner_client, f"{HISTORY}?created_before=2020-01-01") == []
    text = owner_client.get(f"{HISTORY}?digit=3").content.decode()
    assert re.search(r'name="digit"\s+value="3"\s+checked', text)


def test_corrected_submissions_can_be_filtered(owner_client: Client, visitor: Actor) -> None:
    right, wrong = make_answered(visitor), make_answered(visitor)
    Submission.objects.filter(pk=right.pk).update(truth="7", truth_state="provisional")
    Submission.objects.filter(pk=wrong.pk).update(truth="1", truth_state="provisional")
    assert shown(owner_client, f"{HISTORY}?corrected=true") == [wrong.public_id]
    assert shown(owner_client, f"{HISTORY}?corrected=false") == [right.public_id]


def test_filters_without_matches_show_a_message(owner_client: Client, visitor: Actor) -> None:
    make_answered(visitor)
    text = owner_client.get(f"{HISTORY}?digit=0").content.decode()
    assert "Nothing fits these filters" in text


@pytest.mark.parametrize(
    "query", ["digit=12", "colour=blue", "certainty_min=x", "cursor=rubbish", "created_after=soon"]
)
def test_invalid_query_shows_an_error(owner_client: Client, query: str) -> None:
    response = owner_client.get(f"{HISTORY}?{query}")
    assert response.status_code == 400
    assert f"{query.split('=', maxsplit=1)[0]}: " in response.content.decode()


def test_empty_fields_are_removed_from_the_query(owner_client: Client) -> None:
    response = owner_client.get(f"{HISTORY}?digit=3&ordering=&corrected=&created_after=")
    assert response.url == f"{HISTORY}?digit=3"
    assert owner_client.get(f"{HISTORY}?ordering=").url == HISTORY


def test_pagination_keeps_the_filters(owner_client: Client, visitor: Actor) -> None:
    ids = [make_answered(visitor).public_id for _ in range(PAGE_SIZE + 3)]
    newest_first = ids[::-1]
    first = owner_client.get(f"{HISTORY}?digit=7").content.decode()
    following = re.search(r'href="(\?[^"]+)"\s+rel="next"', first)[1].replace("&amp;", "&")
    assert "digit=7" in following
    assert 'rel="prev"' not in first
    assert shown(owner_client, f"{HISTORY}?digit=7") == newest_first[:PAGE_SIZE]
    make_answered(visitor)
    assert shown(owner_client, HISTORY + following) == newest_first[PAGE_SIZE:]
    second = owner_client.get(HISTORY + following).content.decode()
    back = re.search(r'href="(\?[^"]+)"\s+rel="prev"', second)[1].replace("&amp;", "&")
    assert shown(owner_client, HISTORY + back) == newest_first[:PAGE_SIZE]


def test_the_number_of_queries_does_not_grow_with_the_rows(reviewer_client: Client, visitor: Actor) -> None:
    def count() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            shown(reviewer_client)
        return len(queries)

    make_answered(visitor)
    few = count()
    for _ in range(20):
        make_answered(visitor)
    assert count() == few <= 8
