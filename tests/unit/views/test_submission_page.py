"""Tests of the page of a submission, for its owner, reviewers, operators and strangers."""

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from recognizer.models import Label, Source, Submission, SubmissionState, Verdict
from recognizer.services.identity.actors import Actor
from recognizer.services.inference import predict
from recognizer.services.review import labels
from recognizer.services.submissions import service
from tests.factories import make_boxed_submission, make_prediction, make_submission
from tests.image_samples import SEVEN

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


def test_owner_sees_the_prediction_and_the_actions(owner_client: Client, submission: Submission) -> None:
    text = text_of(owner_client, submission)
    assert "Sure" in text
    assert "99.0\u00a0% certain" in text
    assert f"/api/v1/submissions/{submission.public_id}/pixels.png" in text
    for action in ("submission-label", "submission-share", "submission-delete"):
        assert reverse(action, args=[submission.public_id]) in text


def test_page_says_which_reading_the_model_chose_unless_it_is_the_plain_one(
    owner_client: Client, submission: Submission, visitor: Actor
) -> None:
    assert "Read with" not in text_of(owner_client, submission)
    boxed = make_boxed_submission(visitor)
    make_prediction(boxed, reading=1)
    assert "Read without the frame, circle or line around it." in text_of(owner_client, boxed)


def test_a_stranger_gets_404_for_the_page_and_for_every_action(other_client: Client, submission: Submission) -> None:
    assert other_client.get(submission.get_absolute_url()).status_code == 404
    assert act(other_client, "submission-label", submission, value="7") == 404
    assert act(other_client, "submission-share", submission) == 404
    assert act(other_client, "submission-delete", submission) == 404
    assert Submission.objects.filter(pk=submission.pk, share_key="").exists()
    assert not Label.objects.exists()


def test_unknown_id_gives_the_same_404(other_client: Client) -> None:
    assert other_client.get(reverse("submission", args=["AAAAAAAAAAAAAAAA"])).status_code == 404


def test_reviewer_settles_the_label_but_can_neither_share_nor_delete(
    reviewer_client: Client, submission: Submission
) -> None:
    text = text_of(reviewer_client, submission)
    assert reverse("submission-share", args=[submission.public_id]) not in text
    assert reverse("submission-delete", args=[submission.public_id]) not in text
    assert act(reviewer_client, "submission-share", submission) == 403
    assert act(reviewer_client, "submission-delete", submission) == 403
    assert act(reviewer_client, "submission-label", submission, value="7") == 302
    submission.refresh_from_db()
    assert (submission.truth, submission.truth_state) == ("7", "settled")


def test_operator_can_delete_submissions_of_other_users(operator_client: Client, submission: Submission) -> None:
    assert act(operator_client, "submission-delete", submission) == 302
    assert not Submission.objects.exists()


def test_label_of_the_owner_is_a_suggestion_and_can_be_retracted(owner_client: Client, submission: Submission) -> None:
    response = owner_client.post(reverse("submission-label", args=[submission.public_id]), {"value": "9"}, follow=True)
    assert "Noted: 9." in response.content.decode()
    label = Label.objects.get()
    assert (label.kind, label.value, label.reason) == ("suggestion", "9", "submission_page")
    response = owner_client.post(reverse("submission-retract", args=[submission.public_id, label.pk]), follow=True)
    assert "taken back" in response.content.decode()
    submission.refresh_from_db()
    assert submission.truth == ""


def test_own_label_is_marked(owner_client: Client, visitor: Actor, submission: Submission) -> None:
    labels.record_label(actor=visitor, submission=submission, value="9", reason="submission_page")
    assert 'value="9" class="key" aria-pressed="true"' in " ".join(text_of(owner_client, submission).split())


def test_invalid_label_shows_an_error(owner_client: Client, submission: Submission) -> None:
    response = owner_client.post(reverse("submission-label", args=[submission.public_id]), {"value": "12"}, follow=True)
    assert "is not a label" in response.content.decode()
    assert not Label.objects.exists()


def test_user_cannot_retract_a_label_of_another_user(
    reviewer_client: Client, visitor: Actor, submission: Submission
) -> None:
    label = labels.record_label(actor=visitor, submission=submission, value="9", reason="submission_page").label
    address = reverse("submission-retract", args=[submission.public_id, label.pk])
    assert reviewer_client.post(address).status_code == 403
    assert Label.objects.count() == 1


def test_deleting_asks_first_and_needs_a_post(owner_client: Client, submission: Submission) -> None:
    address = reverse("submission-delete", args=[submission.public_id])
    assert "Delete this for good?" in owner_client.get(address).content.decode()
    assert Submission.objects.exists()
    assert owner_client.post(address).url == reverse("history")
    assert not Submission.objects.exists()


def test_share_link_lets_a_stranger_read_only_until_it_is_revoked(
    owner_client: Client, other_client: Client, visitor: Actor, reviewer: Actor, submission: Submission
) -> None:
    labels.record_label(actor=reviewer, submission=submission, value="7", reason="submission_page")
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


def test_reviewers_see_who_labelled(reviewer_client: Client, operator: Actor, submission: Submission) -> None:
    labels.record_label(actor=operator, submission=submission, value="7", reason="submission_page")
    text = text_of(reviewer_client, submission)
    assert "otto" in text
    assert "Settled: 7" in text


def test_pending_submission_reloads_without_scripts(owner_client: Client, visitor: Actor) -> None:
    submission = make_submission(visitor)
    text = text_of(owner_client, submission)
    assert "Waiting for the answer" in text
    assert '<meta http-equiv="refresh"' in text
    assert f'data-pending-url="/api/v1/submissions/{submission.public_id}"' in text


def test_failed_submission_shows_the_reason(owner_client: Client, visitor: Actor) -> None:
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
def test_unsure_verdict_names_both_digits(
    owner_client: Client, visitor: Actor, verdict: Verdict, sentence: str
) -> None:
    submission = make_submission(visitor)
    make_prediction(submission, verdict=verdict)
    assert sentence in text_of(owner_client, submission)


def test_number_of_queries_does_not_grow_with_the_labels(
    owner_client: Client,
    visitor: Actor,
    reviewer: Actor,
    submission: Submission,
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    for number in range(8):
        make_prediction(submission, preprocessing_version=submission.preprocessing_version + 1 + number)
        labels.record_label(actor=visitor, submission=submission, value=str(number), reason="submission_page")
    labels.record_label(actor=reviewer, submission=submission, value="7", reason="submission_page")
    with django_assert_max_num_queries(4):
        text_of(owner_client, submission)


def test_the_link_can_be_shared_only_by_a_post(owner_client: Client, submission: Submission) -> None:
    for action in ("submission-share", "submission-label"):
        assert owner_client.get(reverse(action, args=[submission.public_id])).status_code == 405
    assert service.Submission.objects.get().share_key == ""


# --- Crop -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def drawing(visitor: Actor, media: object) -> Submission:
    """A predicted drawing, with its image."""
    row = service.create_from_strokes(actor=visitor, strokes=SEVEN, source=Source.CANVAS)
    predict.predict_batch([row.pk])
    return Submission.objects.get(pk=row.pk)


def test_owner_has_the_submission_read_within_a_box_and_as_a_whole_again(
    owner_client: Client, drawing: Submission
) -> None:
    assert act(owner_client, "submission-crop", drawing, crop="[20, 10, 250, 260]") == 302
    assert "Waiting for the answer" in text_of(owner_client, drawing)
    predict.predict_batch([drawing.pk])
    address = reverse("submission-crop", args=[drawing.public_id])
    again = owner_client.post(address, {"crop": "[20, 10, 250, 260]"}, follow=True).content.decode()
    assert "Read again: 7." in again
    assert "20,10 250,10 250,260 20,260" in again  # the box on the image
    assert "230 × 250" in again  # among the predictions
    assert "Read the whole picture" in again
    assert act(owner_client, "submission-crop", drawing) == 302
    assert Submission.objects.get().crop is None


@pytest.mark.parametrize("crop", ["[1, 2, 3]", "box", "[0, 0, true, 9]", "[0, 0, 2, 280]", "[0, 0, 20, 20]"])
def test_box_without_a_digit_shows_an_error(owner_client: Client, drawing: Submission, crop: str) -> None:
    address = reverse("submission-crop", args=[drawing.public_id])
    text = owner_client.post(address, {"crop": crop}, follow=True).content.decode()
    assert 'class="message error"' in text
    assert Submission.objects.get().state == SubmissionState.PREDICTED


def test_stranger_gets_404_for_a_crop_and_reviewer_may_crop(
    other_client: Client, reviewer_client: Client, drawing: Submission
) -> None:
    assert act(other_client, "submission-crop", drawing, crop="[20, 10, 250, 260]") == 404
    assert act(reviewer_client, "submission-crop", drawing, crop="[20, 10, 250, 260]") == 302
    assert Submission.objects.get().crop == [20, 10, 250, 260]


@pytest.mark.parametrize("verdict", Verdict.values)
def test_page_hints_at_the_box_unless_the_answer_is_sure(
    owner_client: Client, other_client: Client, drawing: Submission, verdict: str
) -> None:
    hint = "Is the digit only a part of the picture?"
    drawing.predictions.update(verdict=verdict)
    assert (hint in text_of(owner_client, drawing)) == (verdict != Verdict.SURE)
    service.share(actor=Actor(visitor=drawing.visitor), submission=drawing)
    assert hint not in text_of(other_client, drawing, key=drawing.share_key)
