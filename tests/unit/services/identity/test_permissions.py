"""The owner, a colleague with rights, and a stranger."""

import pytest
from django.contrib.auth.models import User

from recognizer.services.identity import permissions
from recognizer.services.identity.actors import Actor
from tests.factories import make_submission

pytestmark = pytest.mark.django_db


@pytest.fixture
def submission(visitor):
    return make_submission(visitor)


def test_a_visitor_sees_their_own_and_nobody_elses(visitor, stranger, submission):
    other = make_submission(stranger)
    assert list(permissions.visible_submissions(visitor)) == [submission]
    assert permissions.can_see(visitor, submission)
    assert not permissions.can_see(visitor, other)


def test_reviewers_and_operators_see_all(reviewer, operator, submission):
    for colleague in (reviewer, operator):
        assert list(permissions.visible_submissions(colleague)) == [submission]
        assert permissions.can_see(colleague, submission)


def test_somebody_without_cookie_or_account_sees_nothing(submission):
    make_submission(Actor(user=User.objects.create_user("ann")))
    assert not permissions.visible_submissions(Actor()).exists()
    assert not permissions.can_see(Actor(), submission)


def test_an_account_without_rights_sees_its_own_only(submission):
    ann = Actor(user=User.objects.create_user("ann"))
    mine = make_submission(ann)
    assert list(permissions.visible_submissions(ann)) == [mine]
    assert not permissions.can_label(ann, submission)


def test_a_read_key_opens_the_one_submission_it_was_made_for(visitor, submission):
    other = make_submission(visitor)
    key = permissions.read_key(submission)
    assert permissions.can_see(Actor(), submission, key=key)
    assert not permissions.can_see(Actor(), other, key=key)
    assert not permissions.can_see(Actor(), submission, key=key[:-1])


def test_a_read_key_of_another_site_opens_nothing(submission, settings):
    key = permissions.read_key(submission)
    settings.SECRET_KEY = "another site's, which is long enough for a key of its own, and no more"
    assert not permissions.can_see(Actor(), submission, key=key)
    assert permissions.can_see(Actor(), submission, key=permissions.read_key(submission))


def test_a_share_key_opens_until_it_is_revoked(submission):
    submission.share_key = "c" * 22
    assert permissions.can_see(Actor(), submission, key="c" * 22)
    submission.share_key = ""
    assert not permissions.can_see(Actor(), submission, key="c" * 22)
    assert not permissions.can_see(Actor(), submission, key="")


def test_only_owner_and_operator_delete(visitor, stranger, reviewer, operator, submission):
    assert permissions.can_delete(visitor, submission)
    assert permissions.can_delete(operator, submission)
    assert not permissions.can_delete(reviewer, submission)
    assert not permissions.can_delete(stranger, submission)
