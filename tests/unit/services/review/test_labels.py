"""What people say, and which truth follows from it."""

from dataclasses import replace
from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, User
from django.utils import timezone

from recognizer.models import Label, LabelKind, LabelReason, Scope, Submission, TruthState
from recognizer.models.labels import AppendOnlyError
from recognizer.services.identity.actors import Actor
from recognizer.services.review import labels
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db


@pytest.fixture
def second_reviewer() -> Actor:
    user = User.objects.create_user("rolf")
    user.groups.add(Group.objects.get(name="reviewer"))
    return Actor(user=user)


@pytest.fixture
def submission(visitor: Actor) -> Submission:
    return make_submission(visitor)


def say(actor: Actor, submission: Submission, value: str) -> Label:
    return labels.create_label(actor=actor, submission=submission, value=value, reason=LabelReason.DOUBT)


def truth(submission: Submission) -> tuple[str, str]:
    submission.refresh_from_db()
    return submission.truth, submission.truth_state


def test_a_new_submission_has_no_truth(submission):
    assert truth(submission) == ("", TruthState.NONE)


def test_a_visitors_word_is_a_suggestion_and_settles_nothing(visitor, submission):
    said = say(visitor, submission, "7")
    assert said.kind == LabelKind.SUGGESTION
    assert truth(submission) == ("7", TruthState.PROVISIONAL)


def test_a_reviewers_word_settles(reviewer, submission):
    said = say(reviewer, submission, "7")
    assert said.kind == LabelKind.REVIEW
    assert truth(submission) == ("7", TruthState.SETTLED)


def test_a_reviewer_is_believed_about_their_own_drawing_at_once(reviewer):
    mine = make_submission(reviewer)
    labels.create_label(actor=reviewer, submission=mine, value="4", reason=LabelReason.OWN_PAGE)
    assert truth(mine) == ("4", TruthState.SETTLED)


def test_a_review_outweighs_every_suggestion(visitor, reviewer, submission):
    say(reviewer, submission, "1")
    say(visitor, submission, "7")
    assert truth(submission) == ("1", TruthState.SETTLED)


def test_a_stranger_cannot_label_another_visitors_drawing(stranger, submission):
    with pytest.raises(labels.NotAllowedError):
        say(stranger, submission, "7")
    assert not Label.objects.exists()
    assert truth(submission) == ("", TruthState.NONE)


def test_what_is_no_label_is_refused_and_changes_nothing(reviewer, submission):
    with pytest.raises(labels.LabelError, match="not_a_digit"):
        say(reviewer, submission, "12")
    assert not Label.objects.exists()


def test_a_persons_newer_word_replaces_the_older_and_keeps_it_on_record(reviewer, submission):
    say(reviewer, submission, "1")
    say(reviewer, submission, "7")
    assert truth(submission) == ("7", TruthState.SETTLED)
    assert [one.value for one in submission.labels.all()] == ["1", "7"]


def test_undo_brings_back_what_was_said_before(reviewer, submission):
    say(reviewer, submission, "1")
    wrong = say(reviewer, submission, "7")
    labels.retract(actor=reviewer, label=wrong)
    assert truth(submission) == ("1", TruthState.SETTLED)
    assert submission.labels.count() == 3


def test_undoing_everything_leaves_no_truth(reviewer, submission):
    labels.retract(actor=reviewer, label=say(reviewer, submission, "1"))
    assert truth(submission) == ("", TruthState.NONE)


def test_nobody_takes_back_another_persons_word(reviewer, visitor, stranger, submission):
    said = say(visitor, submission, "1")
    for other in (reviewer, stranger, Actor()):
        with pytest.raises(labels.NotAllowedError):
            labels.retract(actor=other, label=said)
    assert truth(submission) == ("1", TruthState.PROVISIONAL)


def test_a_token_takes_back_only_words_of_a_kind_that_it_could_say(reviewer, submission):
    review = say(reviewer, submission, "1")
    with pytest.raises(labels.NotAllowedError):
        labels.retract(actor=replace(reviewer, scopes=frozenset({Scope.SUBMIT})), label=review)
    assert truth(submission) == ("1", TruthState.SETTLED)
    labels.retract(actor=replace(reviewer, scopes=frozenset({Scope.REVIEW})), label=review)
    assert truth(submission) == ("", TruthState.NONE)


def test_nothing_is_taken_back_twice(reviewer, submission):
    said = say(reviewer, submission, "1")
    retraction = labels.retract(actor=reviewer, label=said)
    for gone in (said, retraction):
        with pytest.raises(labels.LabelError):
            labels.retract(actor=reviewer, label=gone)


def test_a_label_is_never_changed(reviewer, submission):
    said = say(reviewer, submission, "1")
    said.value = "2"
    with pytest.raises(AppendOnlyError):
        said.save()


def test_two_reviewers_who_differ_leave_a_dispute_and_a_third_decides_it(
    reviewer, second_reviewer, operator, submission
):
    say(reviewer, submission, "1")
    say(second_reviewer, submission, "7")
    assert truth(submission) == ("", TruthState.DISPUTED)
    say(operator, submission, "7")
    assert truth(submission) == ("7", TruthState.SETTLED)


def test_contradicting_a_sure_answer_waits_for_a_second_reviewer_where_there_is_one(
    reviewer, second_reviewer, visitor, submission
):
    say(second_reviewer, make_submission(visitor), "3")
    make_prediction(submission)
    say(reviewer, submission, "1")
    assert truth(submission) == ("1", TruthState.PROVISIONAL)
    say(second_reviewer, submission, "1")
    assert truth(submission) == ("1", TruthState.SETTLED)


def test_a_lone_reviewer_settles_even_against_a_sure_answer(reviewer, submission):
    make_prediction(submission)
    say(reviewer, submission, "1")
    assert truth(submission) == ("1", TruthState.SETTLED)


def test_a_reviewer_who_left_long_ago_is_not_waited_for(reviewer, second_reviewer, visitor, submission):
    old = say(second_reviewer, make_submission(visitor), "3")
    Label.objects.filter(pk=old.pk).update(created=timezone.now() - timedelta(days=31))
    make_prediction(submission)
    say(reviewer, submission, "1")
    assert truth(submission) == ("1", TruthState.SETTLED)


def test_what_a_visitor_said_stays_theirs_when_they_sign_in(visitor, submission):
    said = say(visitor, submission, "1")
    signed_in = Actor(user=User.objects.create_user("ann"), visitor=visitor.visitor)
    labels.retract(actor=signed_in, label=said)
    assert truth(submission) == ("", TruthState.NONE)
