"""Personal data: summary, export, deletion, opt-out and retention."""

import json
import os
import zipfile
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.core.files.storage import default_storage
from django.db import connection, transaction
from django.db.models.signals import post_save
from django.utils import timezone

from recognizer.models import Label, LabelReason, OptOut, Prediction, Source, Submission, TruthState
from recognizer.services.data import personal_data
from recognizer.services.identity import tokens, training_consent
from recognizer.services.identity.actors import Actor
from recognizer.services.images import storage
from recognizer.services.lib import bulk_insert
from recognizer.services.review import labels
from recognizer.services.submissions import retention, service
from recognizer.services.submissions.intake import SubmissionInput
from tests.factories import make_prediction, make_submission
from tests.image_samples import SEVEN

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("media")]


def send(actor: Actor, *, shift: float = 0, may_train: bool = True) -> Submission:
    strokes = [[[60 + shift, 200, 120], SEVEN[0][1]]]
    payload = SubmissionInput(source=Source.CANVAS, strokes=strokes, may_train=may_train)
    return service.create_submission(actor=actor, payload=payload)


@pytest.fixture
def visitor_submissions(visitor, stranger, reviewer, django_capture_on_commit_callbacks) -> list[Submission]:
    """Two predicted and labelled submissions of the visitor; the stranger has sent the second image too."""
    with django_capture_on_commit_callbacks(execute=True):
        own = [send(visitor), send(visitor, shift=9)]
        send(stranger, shift=9)
        for row in own:
            make_prediction(row)
        labels.record_label(actor=visitor, submission=own[0], value="1", reason=LabelReason.OWN_PAGE)
        labels.record_label(actor=reviewer, submission=own[0], value="7", reason=LabelReason.DOUBT)
    return own


def files() -> set[str]:
    result = set()
    for folder in default_storage.listdir("pictures")[0]:
        result.update(default_storage.listdir(f"pictures/{folder}")[1])
    return result


def read_export(actor: Actor) -> tuple[dict, dict[str, bytes]]:
    with personal_data.export_data(actor) as file, zipfile.ZipFile(file) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    return json.loads(content.pop("data.json")), content


def test_summary_counts_own_data(visitor_submissions, visitor, stranger):
    result = personal_data.summarize(visitor)
    assert (result.pictures, result.answers, result.labels, result.in_training) == (2, 2, 1, 2)
    assert result.since == visitor_submissions[0].created
    assert personal_data.summarize(stranger).pictures == 1
    assert personal_data.summarize(Actor()) == personal_data.Summary(0, 0, 0, None, 0, opted_out=False)


def test_export_has_own_data_only(visitor_submissions, visitor, reviewer):
    data, images = read_export(visitor)
    assert [row["id"] for row in data["submissions"]] == [row.public_id for row in visitor_submissions]
    first = data["submissions"][0]
    assert first["strokes"] == visitor_submissions[0].strokes
    assert [row["digit"] for row in first["answers"]] == [7]
    assert [(row["value"], row["yours"]) for row in first["labels"]] == [("1", True), ("7", False)]
    assert set(images) == {row["picture"] for row in data["submissions"]}
    assert images[first["picture"]] == storage.read(visitor_submissions[0])
    assert "rita" not in json.dumps(data)

    data, _ = read_export(reviewer)
    assert (data["account"], data["submissions"]) == ("rita", [])
    assert [(row["submission"], row["value"]) for row in data["said_of_others"]] == [
        (visitor_submissions[0].public_id, "7")
    ]


def test_export_has_account_and_tokens_without_secrets(reviewer):
    user = reviewer.user
    user.email, user.last_login = "rita@example.org", timezone.now()
    user.set_password("correct horse")
    user.save()
    token, key = tokens.create(actor=reviewer, name="scanner", scopes=["read"], days=7)
    tokens.authenticate(key)
    token.refresh_from_db()
    data, _ = read_export(reviewer)
    assert data["account_details"] == {
        "email": "rita@example.org",
        "created": user.date_joined.isoformat(),
        "last_sign_in": user.last_login.isoformat(),
        "roles": ["reviewer"],
        "tokens": [
            {
                "name": "scanner",
                "scopes": ["read"],
                "created": token.created.isoformat(),
                "expires": token.expires.isoformat(),
                "last_used": token.last_used.isoformat(),
            }
        ],
    }
    for secret in (key, token.digest, user.password):
        assert secret not in json.dumps(data)
    assert read_export(Actor(visitor="a" * 32))[0]["account_details"] is None


def test_export_is_anonymous_file_in_data_folder(visitor_submissions, visitor, settings, tmp_path):
    settings.DATA_DIR = tmp_path / "elsewhere"
    settings.DATA_DIR.mkdir()
    with personal_data.export_data(visitor) as file:
        assert os.fstat(file.fileno()).st_dev == settings.DATA_DIR.stat().st_dev
        assert not list(settings.DATA_DIR.iterdir())
    settings.DATA_DIR.rmdir()
    with pytest.raises(FileNotFoundError, match="elsewhere"):
        personal_data.export_data(visitor)


def test_delete_everything_keeps_identical_images_of_others(
    visitor_submissions, visitor, stranger, django_capture_on_commit_callbacks
):
    assert len(files()) == 2
    with django_capture_on_commit_callbacks(execute=True):
        assert personal_data.delete_everything(visitor) == 2
    assert Submission.objects.count() == 1
    assert not Prediction.objects.exists()
    assert not Label.objects.exists()
    assert len(files()) == 1
    assert default_storage.exists(Submission.objects.get().picture)
    assert personal_data.summarize(visitor).pictures == 0
    with django_capture_on_commit_callbacks(execute=True):
        personal_data.delete_everything(stranger)
    assert files() == set()


def test_deleted_account_leaves_its_reviews(visitor_submissions, reviewer):
    own = make_submission(reviewer)
    personal_data.delete_everything(reviewer, with_account=True)
    assert not User.objects.filter(pk=reviewer.user.pk).exists()
    assert not Submission.objects.filter(pk=own.pk).exists()
    assert Label.objects.get(value="7").user is None


def test_submissions_during_account_deletion_are_deleted(reviewer, monkeypatch, django_capture_on_commit_callbacks):
    """A submission left behind would have no owner, and only operators could delete it."""
    monkeypatch.setattr(personal_data.idempotency, "delete_for", lambda actor: send(actor, shift=30))
    with django_capture_on_commit_callbacks(execute=True):
        assert personal_data.delete_everything(reviewer, with_account=True) == 1
    assert not Submission.objects.exists()
    assert not files()


def test_last_operator_cannot_be_deleted(operator):
    own = make_submission(operator)
    with pytest.raises(personal_data.AccountNotDeletableError, match="only operator"):
        personal_data.delete_everything(operator, with_account=True)
    assert Submission.objects.filter(pk=own.pk).exists()
    User.objects.create_superuser("olga")
    personal_data.delete_everything(operator, with_account=True)
    assert not User.objects.filter(pk=operator.user.pk).exists()


@pytest.mark.parametrize("owner", ["visitor", "reviewer"])
def test_opt_out_covers_earlier_and_later_submissions(owner, request, stranger):
    actor = request.getfixturevalue(owner)
    before = send(actor)
    training_consent.opt_out(actor)
    training_consent.opt_out(actor)  # idempotent
    assert OptOut.objects.count() == 1
    after, of_others = send(actor, shift=3), send(stranger, shift=6)
    Submission.objects.update(truth="7", truth_state=TruthState.SETTLED, fold="train")
    assert set(Submission.objects.trainable()) == {of_others}
    training_consent.opt_in(actor)
    assert send(actor, shift=9).may_train
    assert not send(actor, shift=12, may_train=False).may_train
    for row in (before, after):
        row.refresh_from_db()
        assert not row.may_train


def test_submission_stored_during_opt_out_is_not_used_for_training(
    visitor, monkeypatch, django_capture_on_commit_callbacks
):
    """On PostgreSQL neither transaction sees the other; here the opt-out comes after the check for it."""
    if connection.vendor == "sqlite":
        pytest.skip("on SQLite one transaction follows the other")
    insert = bulk_insert.insert

    def insert_and_opt_out(rows: list[Submission]) -> None:
        insert(rows)
        OptOut.objects.create(visitor=visitor.visitor)

    monkeypatch.setattr(bulk_insert, "insert", insert_and_opt_out)
    payload = SubmissionInput(source=Source.CANVAS, strokes=SEVEN)
    with django_capture_on_commit_callbacks(execute=True):
        row = service.create_submission(actor=visitor, payload=payload)
    row.refresh_from_db()
    assert not row.may_train


@pytest.mark.django_db(transaction=True)
def test_submission_stored_just_before_opt_out_is_not_used_for_training(visitor):
    stored = []

    def store(**_: object) -> None:
        transaction.on_commit(lambda: stored.append(make_submission(visitor)))

    post_save.connect(store, sender=OptOut)
    try:
        training_consent.opt_out(visitor)
    finally:
        post_save.disconnect(store, sender=OptOut)
    (row,) = stored
    assert row.may_train
    row.refresh_from_db()
    assert not row.may_train


def test_retention_deletes_only_expired_submissions(visitor_submissions, settings, django_capture_on_commit_callbacks):
    old = SessionStore()
    old["x"] = 1
    old.set_expiry(-1)
    old.save()
    retention.clear_sessions()
    assert not Session.objects.exists()
    assert retention.delete_expired_submissions() == 0
    settings.RETENTION_DAYS = 30
    Submission.objects.filter(pk=visitor_submissions[0].pk).update(created=timezone.now() - timedelta(days=31))
    Submission.objects.filter(pk=visitor_submissions[1].pk).update(created=timezone.now() - timedelta(days=29))
    with django_capture_on_commit_callbacks(execute=True):
        assert retention.delete_expired_submissions() == 1
    assert not Submission.objects.filter(pk=visitor_submissions[0].pk).exists()
    assert Submission.objects.count() == 2
    assert len(files()) == 1
