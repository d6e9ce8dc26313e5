"""Tests of the admin: read-only, for operators."""

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from recognizer.models import Label, LabelKind, LabelReason, TrainingRun
from recognizer.services.registry import versions
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db

KINDS = [
    "submission",
    "prediction",
    "label",
    "lease",
    "skip",
    "token",
    "modelversion",
    "modelfiles",
    "trainingrun",
    "deployment",
]


@pytest.fixture
def rows():
    submission = make_submission()
    make_prediction(submission)
    Label.objects.create(submission=submission, kind=LabelKind.REVIEW, value="7", reason=LabelReason.DOUBT)
    TrainingRun.objects.create(trigger="person")
    return submission


@pytest.fixture
def operators_browser(client, operator):
    operator.user.is_staff = True
    operator.user.save()
    client.force_login(operator.user)
    return client


@pytest.mark.parametrize("kind", KINDS)
def test_operator_can_read_every_model(operators_browser, rows, kind):
    assert operators_browser.get(reverse(f"admin:recognizer_{kind}_changelist")).status_code == 200
    assert operators_browser.get(reverse(f"admin:recognizer_{kind}_add")).status_code == 403


def test_an_operator_reads_one_version_without_its_files_but_changes_nothing(operators_browser):
    address = reverse("admin:recognizer_modelversion_change", args=[versions.live_version().pk])
    page = operators_browser.get(address)
    assert page.status_code == 200
    assert b"keras_file" not in page.content
    assert operators_browser.post(address, {"number": 9}).status_code == 403


def test_a_reviewer_and_a_visitor_are_sent_to_the_login(client, reviewer):
    address = reverse("admin:recognizer_submission_changelist")
    assert client.get(address).status_code == 302
    client.force_login(reviewer.user)
    assert client.get(address).status_code == 302


def test_an_operator_cannot_make_themselves_superuser(operators_browser, operator):
    address = reverse("admin:auth_user_change", args=[operator.user.pk])
    assert operators_browser.post(address, {"is_superuser": "on"}).status_code == 403
    assert operators_browser.get(reverse("admin:auth_user_add")).status_code == 403


def test_superuser_deactivates_accounts_but_neither_adds_one_nor_sets_a_password(client):
    boss = User.objects.create_superuser("boss")
    ann = User.objects.create(username="ann")
    client.force_login(boss)
    address = reverse("admin:auth_user_change", args=[ann.pk])
    assert client.post(address, {"username": "BOSS", "email": "", "is_active": ""}).status_code == 302
    ann.refresh_from_db()
    assert (ann.username, ann.is_active) == ("ann", False)
    assert client.get(reverse("admin:auth_user_add")).status_code == 403
    assert client.get(f"/admin/auth/user/{ann.pk}/password/").status_code in (302, 404)
    assert ann.password == ""
