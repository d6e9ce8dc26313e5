"""Permissions of owners, reviewers, operators and strangers."""

import pytest
from django.contrib.auth.models import User

from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from tests.factories import make_submission

pytestmark = pytest.mark.django_db


@pytest.fixture
def submission(visitor):
    return make_submission(visitor)


def test_visitor_sees_only_their_own_submissions(visitor, stranger, submission):
    other = make_submission(stranger)
    assert list(permissions.visible_submissions(visitor)) == [submission]
    assert permissions.can_see(visitor, submission)
    assert not permissions.can_see(visitor, other)


def test_reviewers_and_operators_see_all_submissions(reviewer, operator, submission):
    for actor in (reviewer, operator):
        assert list(permissions.visible_submissions(actor)) == [submission]
        assert permissions.can_see(actor, submission)


def test_caller_without_cookie_or_account_sees_nothing(submission):
    make_submission(Actor(user=User.objects.create_user("ann")))
    assert not permissions.visible_submissions(Actor()).exists()
    assert not permissions.can_see(Actor(), submission)


def test_account_without_a_role_sees_only_its_own_submissions(submission):
    ann = Actor(user=User.objects.create_user("ann"))
    own = make_submission(ann)
    assert list(permissions.visible_submissions(ann)) == [own]
    assert not permissions.can_label(ann, submission)


def test_read_key_is_valid_for_its_submission_only(visitor, submission):
    other = make_submission(visitor)
    key = permissions.read_key(submission)
    assert permissions.can_see(Actor(), submission, key=key)
    assert not permissions.can_see(Actor(), other, key=key)
    assert not permissions.can_see(Actor(), submission, key=key[:-1])


def test_read_key_of_another_site_is_invalid(submission, settings):
    key = permissions.read_key(submission)
    settings.SECRET_KEY = "another site's, which is long enough for a key of its own, and no more"
    assert not permissions.can_see(Actor(), submission, key=key)
    assert permissions.can_see(Actor(), submission, key=permissions.read_key(submission))


def test_share_key_is_valid_until_it_is_revoked(submission):
    submission.share_key = "c" * 22
    assert permissions.can_see(Actor(), submission, key="c" * 22)
    submission.share_key = ""
    assert not permissions.can_see(Actor(), submission, key="c" * 22)
    assert not permissions.can_see(Actor(), submission, key="")


def test_only_owners_and_operators_can_delete(visitor, stranger, reviewer, operator, submission):
    assert permissions.can_delete(visitor, submission)
    assert permissions.can_delete(operator, submission)
    assert not permissions.can_delete(reviewer, submission)
    assert not permissions.can_delete(stranger, submission)
