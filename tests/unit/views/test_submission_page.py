"""The page of one submission, for its owner, for reviewers and operators, and for strangers."""

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from recognizer.models import Label, Submission, SubmissionState, Verdict
from recognizer.services.identity.actors import Actor
from recognizer.services.review import labels
from recognizer.services.submissions import service
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db


@pytest.fixture
def submission(visitor: Actor) -> Submission:
    submission = make_submission(visitor)
    make_prediction(submission)
    return submission


def text_of(client: Client, submission: Submission, **query: str) -> str:
    response = client.get(submission.get_absolute_url(), query)
    assert response.status_code == 200
    return response.content.decode()


def act(client: Client, name: str, submission: Submission, **data: str) -> int:
    return client.post(reverse(name, args=[submission.public_id]), data).status_code


def test_the_owner_sees_the_answer_in_words_and_what_can_be_done(owner_client: Client, submission: Submission) -> None:
    text = text_of(owner_client, submission)
    assert "Sure" in text
    assert "99.0\u00a0% certain" in text
    assert f"/api/v1/submissions/{submission.public_id}/pixels.png" in text
    for action in ("submission-label", "submission-share", "submission-delete"):
        assert reverse(action, args=[submission.public_id]) in text


def test_a_stranger_gets_404_for_the_page_and_for_every_action(other_client: Client, submission: Submission) -> None:
    assert other_client.get(submission.get_absolute_url()).status_code == 404
    assert act(other_client, "submission-label", submission, value="7") == 404
    assert act(other_client, "submission-share", submission) == 404
    assert act(other_client, "submission-delete", submission) == 404
    assert Submission.objects.filter(pk=submission.pk, share_key="").exists()
    assert not Label.objects.exists()


def test_an_address_that_never_was_gives_the_same_404(other_client: Client) -> None:
    assert other_client.get(reverse("submission", args=["AAAAAAAAAAAAAAAA"])).status_code == 404


def test_a_reviewer_sees_it_and_is_believed_but_can_neither_share_nor_delete(
    reviewer_client: Client, submission: Submission
) -> None:
    text = text_of(reviewer_client, submission)
    assert reverse("submission-share", args=[submission.public_id]) not in text
    assert reverse("submission-delete", args=[submission.public_id]) not in text
    assert act(reviewer_client, "submission-share", submission) == 404
    assert act(reviewer_client, "submission-delete", submission) == 404
    assert act(reviewer_client, "submission-label", submission, value="7") == 302
    submission.refresh_from_db()
    assert (submission.truth, submission.truth_state) == ("7", "settled")


def test_an_operator_can_delete_what_others_sent(operator_client: Client, submission: Submission) -> None:
    assert act(operator_client, "submission-delete", submission) == 302
    assert not Submission.objects.exists()


def test_the_owners_word_is_a_suggestion_and_can_be_taken_back(owner_client: Client, submission: Submission) -> None:
    response = owner_client.post(reverse("submission-label", args=[submission.public_id]), {"value": "9"}, follow=True)
    assert "Noted: 9." in response.content.decode()
    said = Label.objects.get()
    assert (said.kind, said.value, said.reason) == ("suggestion", "9", "submission_page")
    response = owner_client.post(reverse("submission-retract", args=[submission.public_id, said.pk]), follow=True)
    assert "taken back" in response.content.decode()
    submission.refresh_from_db()
    assert submission.truth == ""


def test_what_was_pressed_stays_marked(owner_client: Client, visitor: Actor, submission: Submission) -> None:
    labels.create_label(actor=visitor, submission=submission, value="9", reason="submission_page")
    assert 'value="9" class="key" aria-pressed="true"' in " ".join(text_of(owner_client, submission).split())


def test_a_value_that_does_not_exist_is_refused_in_words(owner_client: Client, submission: Submission) -> None:
    response = owner_client.post(reverse("submission-label", args=[submission.public_id]), {"value": "12"}, follow=True)
    assert "is not a label" in response.content.decode()
    assert not Label.objects.exists()


def test_nobody_takes_back_another_persons_word(
    reviewer_client: Client, visitor: Actor, submission: Submission
) -> None:
    said = labels.create_label(actor=visitor, submission=submission, value="9", reason="submission_page")
    address = reverse("submission-retract", args=[submission.public_id, said.pk])
    assert reviewer_client.post(address).status_code == 404
    assert Label.objects.count() == 1


def test_deleting_asks_first_and_needs_a_post(owner_client: Client, submission: Submission) -> None:
    address = reverse("submission-delete", args=[submission.public_id])
    assert "Delete this for good?" in owner_client.get(address).content.decode()
    assert Submission.objects.exists()
    assert owner_client.post(address).url == reverse("history")
    assert not Submission.objects.exists()


def test_a_share_link_lets_a_stranger_look_and_nothing_else_until_it_is_stopped(
    owner_client: Client, other_client: Client, visitor: Actor, reviewer: Actor, submission: Submission
) -> None:
    labels.create_label(actor=reviewer, submission=submission, value="7", reason="submission_page")
    assert act(owner_client, "submission-share", submission) == 302
    submission.refresh_from_db()
    key = submission.share_key
    assert key in text_of(owner_client, submission)
    shared = text_of(other_client, submission, key=key)
    assert f"pixels.png?key={key}" in shared
    assert "rita" not in shared
    for action in ("submission-label", "submission-share", "submission-delete"):
        assert reverse(action, args=[submission.public_id]) not in shared
    assert act(other_client, "submission-label", submission, value="1", key=key) == 404
    assert act(owner_client, "submission-share", submission, stop="") == 302
    assert other_client.get(submission.get_absolute_url(), {"key": key}).status_code == 404


def test_reviewers_read_who_said_what(reviewer_client: Client, operator: Actor, submission: Submission) -> None:
    labels.create_label(actor=operator, submission=submission, value="7", reason="submission_page")
    text = text_of(reviewer_client, submission)
    assert "otto" in text
    assert "Settled: 7" in text


def test_a_pending_one_says_so_and_reloads_itself_without_scripts(owner_client: Client, visitor: Actor) -> None:
    submission = make_submission(visitor)
    text = text_of(owner_client, submission)
    assert "Waiting for the answer" in text
    assert '<meta http-equiv="refresh"' in text
    assert f'data-pending-url="/api/v1/submissions/{submission.public_id}"' in text


def test_a_failed_one_says_why(owner_client: Client, visitor: Actor) -> None:
    submission = make_submission(visitor, state=SubmissionState.FAILED, failure="The picture is gone.")
    assert "The picture is gone." in text_of(owner_client, submission)


@pytest.mark.parametrize(
    ("verdict", "sentence"),
    [
        (Verdict.UNSURE, "Not sure: 7 or 9?"),
        (Verdict.NOT_A_DIGIT, "This does not look like a digit"),
        (Verdict.SEVERAL, "This looks like several digits"),
    ],
)
def test_doubt_is_said_in_words(owner_client: Client, visitor: Actor, verdict: Verdict, sentence: str) -> None:
    submission = make_submission(visitor)
    make_prediction(submission, verdict=verdict)
    assert sentence in text_of(owner_client, submission)


def test_the_number_of_queries_does_not_grow_with_what_was_said(
    owner_client: Client,
    visitor: Actor,
    reviewer: Actor,
    submission: Submission,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(8):
        make_prediction(submission, preprocessing_version=submission.preprocessing_version + 1 + number)
        labels.create_label(actor=visitor, submission=submission, value=str(number), reason="submission_page")
    labels.create_label(actor=reviewer, submission=submission, value="7", reason="submission_page")
    with django_assert_max_num_queries(4):
        text_of(owner_client, submission)


def test_the_link_can_be_shared_only_by_a_post(owner_client: Client, submission: Submission) -> None:
    for action in ("submission-share", "submission-label"):
        assert owner_client.get(reverse(action, args=[submission.public_id])).status_code == 405
    assert service.Submission.objects.get().share_key == ""
