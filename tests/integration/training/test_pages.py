"""The Models pages: for operators, with everything on them, and nothing for anybody else."""

import sys
from io import BytesIO

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from recognizer.models import Deployment, Label, LabelKind, LabelReason, RunState, TrainingRun, TruthState
from recognizer.services import training
from recognizer.services.identity.actors import Actor
from recognizer.services.registry import plots, versions
from recognizer.services.training import run_state, scheduling
from tests.factories import make_prediction, make_submission

pytestmark = pytest.mark.django_db
CHECK = {
    "name": "validation.7", "title": "MNIST validation, digit 7", "kind": "paired", "passed": False, "candidate": 0.9,
    "champion": 0.99, "n": 500, "lost": 46, "won": 1, "loss": 0.09, "error": 0.01, "tolerance": 0.003, "limit": 0.03,
    "p": 0.0, "decides": True,
}  # fmt: skip


@pytest.fixture(autouse=True)
def no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduling, "_send_task", lambda run: None)


@pytest.fixture
def page(operator: Actor) -> Client:
    client = Client()
    client.force_login(operator.user)
    return client


def test_the_page_says_what_is_live_and_what_was(page, operator, make_version):
    version = make_version()
    versions.deploy(version=version, kind=Deployment.Kind.FORCE, why="Our writers need it.", user=operator.user)
    text = page.get("/models/").content.decode()
    for words in ("Version", "is live since", "Our writers need it.", "Roll back to version 1", "Retrain now", "otto"):
        assert words in text


def test_strangers_are_asked_to_sign_in_and_reviewers_are_turned_away(reviewer):
    run = training.request_run(trigger=TrainingRun.Trigger.SCHEDULE)
    pages = ["/models/", "/models/1/", f"/models/runs/{run.pk}/", f"/models/runs/{run.pk}/progress/"]
    actions = ["/models/1/promote/", "/models/1/rollback/", "/models/runs/", f"/models/runs/{run.pk}/cancel/"]
    visitor, rita = Client(), Client()
    rita.force_login(reviewer.user)
    for path in pages:
        assert visitor.get(path)["Location"].startswith("/account/login/")
        assert rita.get(path).status_code == 403
    for path in actions:
        assert visitor.post(path).status_code == 302
        assert rita.post(path).status_code == 403
    run.refresh_from_db()
    assert (run.state, Deployment.objects.count()) == (RunState.QUEUED, 1)


def test_a_refused_version_shows_why_and_can_be_forced_with_a_reason_only(page, make_version):
    version = make_version(passed=False)
    version.gate = [CHECK]
    version.history = {
        "loss": [0.5, 0.4],
        "accuracy": [0.9, 0.95],
        "val_loss": [0.3, 0.2],
        "val_accuracy": [0.97, 0.98],
    }
    version.save()
    text = page.get(f"/models/{version.number}/").content.decode()
    for words in ("✗ refused", "digit 7", "46 / 1 of 500", "Force version 2", "<svg", "my_model.keras"):
        assert words in text
    seen = versions.live_deployment().sequence
    page.post(f"/models/{version.number}/promote/", {"force": "1", "why": "", "seen": seen})
    assert versions.live_version().number == 1
    page.post(f"/models/{version.number}/promote/", {"force": "1", "why": "because", "seen": seen})
    assert versions.live_version() == version
    answer = page.post("/models/1/rollback/", {"seen": seen}, follow=True)  # from a page that is old by now
    assert "changed by somebody else" in answer.content.decode()
    assert versions.live_version() == version
    page.post("/models/1/rollback/", {"seen": seen + 1})
    assert versions.live_version().number == 1


def test_a_run_is_started_watched_and_cancelled(page):
    begun = page.post("/models/runs/")
    run = TrainingRun.objects.get()
    assert begun["Location"] == f"/models/runs/{run.pk}/"
    assert page.post("/models/runs/", follow=True).redirect_chain[-1][0] == f"/models/runs/{run.pk}/"
    assert TrainingRun.objects.count() == 1
    recorder = run_state.Recorder(run.pk, run_state.claim(run.pk))
    recorder.start_step("training", "Training: 3 epochs.")
    recorder.set_history({"loss": [0.5], "accuracy": [0.9], "val_loss": [0.3], "val_accuracy": [0.97]})
    now = page.get(f"/models/runs/{run.pk}/progress/").json()
    assert (now["state"], now["ended"]) == ("running", False)
    assert now["curves"].count("<svg") == 2
    assert now["log"][0][1] == "Training: 3 epochs."
    assert "Training: 3 epochs." in page.get(f"/models/runs/{run.pk}/").content.decode()
    assert "Watch training run" in page.get("/models/").content.decode()
    page.post(f"/models/runs/{run.pk}/cancel/")
    run.refresh_from_db()
    assert run.cancel_requested


def test_a_failed_run_says_why(page):
    run = TrainingRun.objects.create(
        trigger="person", state=RunState.FAILED, finished=timezone.now(), reasons=["MNIST could not be loaded."]
    )
    assert "MNIST could not be loaded." in page.get(f"/models/runs/{run.pk}/").content.decode()
    assert page.get("/models/runs/999/").status_code == 404
    assert page.get("/models/99/").status_code == 404


def test_the_page_takes_as_many_queries_for_many_versions_as_for_few(page, make_version, django_assert_max_num_queries):
    for _ in range(12):
        make_version()
    with django_assert_max_num_queries(20):
        page.get("/models/")


def test_it_says_beforehand_that_mnist_is_missing(page, monkeypatch, tmp_path):
    monkeypatch.setenv("MNIST_CACHE", str(tmp_path))
    monkeypatch.delenv("MNIST_PATH", raising=False)
    assert "MNIST is not here yet" in page.get("/models/").content.decode()


# --- The same by the JSON API ---------------------------------------------------------------------------------------


def send(client: Client, path: str, **body: object):
    return client.post(path, body, content_type="application/json")


def test_a_program_promotes_forces_and_rolls_back(page, make_version):
    passed, refused = make_version(), make_version(passed=False)
    made = send(page, f"/api/v1/models/{passed.number}/promote")
    assert (made.status_code, made.json()["to_version"]) == (201, passed.number)
    assert send(page, f"/api/v1/models/{refused.number}/promote").status_code == 409
    forced = send(page, f"/api/v1/models/{refused.number}/promote", force=True, why="because")
    assert forced.json()["kind"] == "force"
    assert send(page, "/api/v1/models/1/rollback", seen=1).status_code == 409
    assert send(page, "/api/v1/models/1/rollback").status_code == 201
    assert [row["kind"] for row in page.get("/api/v1/deployments").json()["results"]] == [
        "rollback", "force", "promote", "install",
    ]  # fmt: skip


def test_a_program_starts_watches_and_cancels_a_run(page):
    begun = send(page, "/api/v1/training-runs", recipe="site")
    assert begun.status_code == 201
    assert begun["Location"].endswith(f"/api/v1/training-runs/{begun.json()['id']}")
    second = send(page, "/api/v1/training-runs")
    assert second.status_code == 409
    assert f"Training run {begun.json()['id']}" in second.json()["detail"]
    assert send(page, "/api/v1/training-runs", recipe="secret").status_code == 400
    assert page.get(begun["Location"]).json()["log"] == []
    cancelled = page.post(begun["Location"] + "/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    assert page.post(begun["Location"] + "/cancel").status_code == 409
    assert len(page.get("/api/v1/training-runs?state=cancelled").json()["results"]) == 1


def test_only_operators_may_by_the_api_either(reviewer, client):
    rita = Client()
    rita.force_login(reviewer.user)
    for who in (rita, client):
        assert who.get("/api/v1/training-runs").status_code == 403
        assert send(who, "/api/v1/training-runs").status_code == 403
        assert send(who, "/api/v1/models/1/promote", force=True, why="x").status_code == 403
        assert send(who, "/api/v1/models/1/rollback").status_code == 403
        assert who.get("/api/v1/deployments").status_code == 403
        assert who.get("/api/v1/models/1/my_model.keras").status_code == 403


def test_the_files_of_a_version_can_be_taken_away(page):
    base = versions.live_version()
    keras = page.get(reverse("api-model-keras", args=[1]))
    assert keras.content == bytes(base.files.keras_file)
    assert 'filename="my_model.keras"' in keras["Content-Disposition"]
    assert page.get(reverse("api-model-bundle", args=[1])).content == bytes(base.files.bundle)
    base.files.delete()
    assert page.get(reverse("api-model-bundle", args=[1])).status_code == 409
    assert page.get(reverse("api-model-bundle", args=[9])).status_code == 404


def test_plots_are_pngs_to_take_away_and_the_web_process_never_loads_what_draws_them(page, reviewer):
    loaded = "matplotlib" in sys.modules
    assert [f"/models/1/{name}.png" in page.get("/models/1/").content.decode() for name in plots.PLOTS] == [True] * 3
    for name in plots.PLOTS:
        answer = page.get(f"/models/1/{name}.png")
        assert answer["Content-Type"] == "image/png"
        with Image.open(BytesIO(answer.content)) as picture:
            assert min(picture.size) >= 400
    assert ("matplotlib" in sys.modules) == loaded
    assert page.get("/models/1/elephant.png").status_code == 404
    rita = Client()
    rita.force_login(reviewer.user)
    assert rita.get("/models/1/curves.png").status_code == 403


def test_a_plot_that_cannot_be_drawn_says_so(page, monkeypatch):
    monkeypatch.setattr(plots, "PLOT_TIMEOUT_SECONDS", 0.001)
    assert "machine is busy" in page.get("/models/1/curves.png", follow=True).content.decode()


def test_a_site_without_a_trainer_offers_no_training_and_says_why(page, settings):
    assert "Retrain now" in page.get("/models/").content.decode()
    settings.TRAINER = False
    text = page.get("/models/").content.decode()
    assert "Retrain now" not in text
    assert "TRAINER=0" in text
    assert "TRAINER=0" in page.post("/models/runs/", follow=True).content.decode()
    answer = page.post("/api/v1/training-runs", {}, content_type="application/json")
    assert (answer.status_code, "TRAINER=0" in answer.json()["detail"]) == (409, True)
    assert not TrainingRun.objects.exists()


def test_accuracy_on_real_traffic_is_a_plot_of_the_random_share(page, reviewer):
    text = page.get("/models/").content.decode()
    assert "Nothing to tell yet" in text
    for reason, truth in ((LabelReason.RANDOM, "7"), (LabelReason.RANDOM, "4"), (LabelReason.DOUBT, "4")):
        submission = make_submission(truth=truth, truth_state=TruthState.SETTLED)
        make_prediction(submission)  # a 7
        Label.objects.create(
            submission=submission, kind=LabelKind.REVIEW, value=truth, user=reviewer.user, reason=reason
        )
    text = page.get("/models/").content.decode()
    assert text.count("Accuracy on real traffic by") == 2
    assert "1 of 2" in text


def test_without_mnist_the_page_says_so_beforehand(page, monkeypatch, tmp_path):
    assert "MNIST is not here yet" not in page.get("/models/").content.decode()
    monkeypatch.setenv("MNIST_CACHE", str(tmp_path))
    assert "MNIST_PATH" in page.get("/models/").content.decode()
