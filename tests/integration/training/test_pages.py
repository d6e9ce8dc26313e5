"""The Models pages and their JSON API: content, actions and access for operators only."""

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from ml.serving.bundle import BASE_FOLDER
from recognizer.models import Deployment, Label, LabelKind, LabelReason, RunState, TrainingRun, TruthState
from recognizer.services import training
from recognizer.services.identity.actors import Actor
from recognizer.services.registry import versions
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
def operator_client(operator: Actor) -> Client:
    client = Client()
    client.force_login(operator.user)
    return client


def test_the_page_shows_the_live_version_and_earlier_ones(operator_client, operator, make_version):
    version = make_version()
    versions.deploy(version=version, kind=Deployment.Kind.FORCE, why="Our writers need it.", user=operator.user)
    text = operator_client.get("/models/").content.decode()
    for words in ("Version", "is live since", "Our writers need it.", "Roll back to version 1", "Retrain now", "otto"):
        assert words in text


def test_visitors_are_asked_to_sign_in_and_reviewers_are_denied(reviewer):
    run = training.queue_run(trigger=TrainingRun.Trigger.SCHEDULE)
    pages = ["/models/", "/models/1/", f"/models/runs/{run.pk}/", f"/models/runs/{run.pk}/progress/"]
    actions = ["/models/1/promote/", "/models/1/rollback/", "/models/runs/", f"/models/runs/{run.pk}/cancel/"]
    visitor, rita = Client(), Client()
    rita.force_login(reviewer.user)
    for path in pages:
        assert f"/account/login/?next={path}" in visitor.get(path).content.decode()
        assert rita.get(path).status_code == 403
    for path in actions:
        assert visitor.post(path).status_code == 403
        assert rita.post(path).status_code == 403
    run.refresh_from_db()
    assert (run.state, Deployment.objects.count()) == (RunState.QUEUED, 1)


def test_a_refused_version_shows_its_reasons_and_can_be_forced_with_a_reason(operator_client, make_version):
    version = make_version(passed=False)
    version.gate = [CHECK]
    version.history = {
        "loss": [0.5, 0.4],
        "accuracy": [0.9, 0.95],
        "val_loss": [0.3, 0.2],
        "val_accuracy": [0.97, 0.98],
    }
    version.save()
    text = operator_client.get(f"/models/{version.number}/").content.decode()
    for words in ("✗ refused", "digit 7", "46 / 1 of 500", "Force version 2", "<svg", "my_model.keras"):
        assert words in text
    sequence = versions.live_deployment().sequence
    operator_client.post(f"/models/{version.number}/promote/", {"force": "1", "why": "", "seen": sequence})
    assert versions.live_version().number == 1
    operator_client.post(f"/models/{version.number}/promote/", {"force": "1", "why": "because", "seen": sequence})
    assert versions.live_version() == version
    # The request comes from an outdated page.
    answer = operator_client.post("/models/1/rollback/", {"seen": sequence}, follow=True)
    assert "changed by another operator" in answer.content.decode()
    assert versions.live_version() == version
    operator_client.post("/models/1/rollback/", {"seen": sequence + 1})
    assert versions.live_version().number == 1


def test_a_run_is_started_monitored_and_cancelled(operator_client):
    response = operator_client.post("/models/runs/")
    run = TrainingRun.objects.get()
    assert response["Location"] == f"/models/runs/{run.pk}/"
    assert operator_client.post("/models/runs/", follow=True).redirect_chain[-1][0] == f"/models/runs/{run.pk}/"
    assert TrainingRun.objects.count() == 1
    recorder = run_state.Recorder(run.pk, run_state.claim(run.pk))
    history = {"loss": [0.5], "accuracy": [0.9], "val_loss": [0.3], "val_accuracy": [0.97]}
    recorder.report("training", 0.3, "Training: 3 epochs.", history=history)
    progress = operator_client.get(f"/models/runs/{run.pk}/progress/").json()
    assert (progress["state"], progress["ended"]) == ("running", False)
    assert progress["curves"].count("<svg") == 2
    assert progress["log"][0][1] == "Training: 3 epochs."
    assert "Training: 3 epochs." in operator_client.get(f"/models/runs/{run.pk}/").content.decode()
    assert "Watch training run" in operator_client.get("/models/").content.decode()
    operator_client.post(f"/models/runs/{run.pk}/cancel/")
    run.refresh_from_db()
    assert run.cancel_requested


def test_a_failed_run_shows_its_reasons(operator_client):
    run = TrainingRun.objects.create(
        trigger="person", state=RunState.FAILED, finished=timezone.now(), reasons=["MNIST could not be loaded."]
    )
    assert "MNIST could not be loaded." in operator_client.get(f"/models/runs/{run.pk}/").content.decode()
    assert operator_client.get("/models/runs/999/").status_code == 404
    assert operator_client.get("/models/99/").status_code == 404


def test_the_number_of_queries_does_not_depend_on_the_number_of_versions(
    operator_client, make_version, django_assert_max_num_queries
):
    for _ in range(12):
        make_version()
    with django_assert_max_num_queries(20):
        operator_client.get("/models/")


def test_the_page_warns_that_mnist_is_missing(operator_client, monkeypatch, tmp_path):
    monkeypatch.setenv("MNIST_CACHE", str(tmp_path))
    monkeypatch.delenv("MNIST_PATH", raising=False)
    assert "MNIST is not here yet" in operator_client.get("/models/").content.decode()


# --- JSON API ---------------------------------------------------------------------------------------


def send(client: Client, path: str, **body: object):
    return client.post(path, body, content_type="application/json")


def test_the_api_promotes_forces_and_rolls_back(operator_client, make_version):
    passed, refused = make_version(), make_version(passed=False)
    promoted = send(operator_client, f"/api/v1/models/{passed.number}/promote")
    assert (promoted.status_code, promoted.json()["to_version"]) == (201, passed.number)
    assert send(operator_client, f"/api/v1/models/{refused.number}/promote").status_code == 409
    forced = send(operator_client, f"/api/v1/models/{refused.number}/promote", force=True, why="because")
    assert forced.json()["kind"] == "force"
    assert send(operator_client, "/api/v1/models/1/rollback", seen=1).status_code == 409
    assert send(operator_client, "/api/v1/models/1/rollback").status_code == 201
    assert [row["kind"] for row in operator_client.get("/api/v1/deployments").json()["results"]] == [
        "rollback", "force", "promote", "install",
    ]  # fmt: skip


def test_the_api_starts_monitors_and_cancels_a_run(operator_client):
    response = send(operator_client, "/api/v1/training-runs", recipe="site")
    assert response.status_code == 201
    assert response["Location"].endswith(f"/api/v1/training-runs/{response.json()['id']}")
    second = send(operator_client, "/api/v1/training-runs")
    assert second.status_code == 409
    assert f"Training run {response.json()['id']}" in second.json()["detail"]
    assert send(operator_client, "/api/v1/training-runs", recipe="secret").status_code == 400
    assert operator_client.get(response["Location"]).json()["log"] == []
    cancelled = operator_client.post(response["Location"] + "/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    assert operator_client.post(response["Location"] + "/cancel").status_code == 409
    assert len(operator_client.get("/api/v1/training-runs?state=cancelled").json()["results"]) == 1


def test_only_operators_may_use_the_api(reviewer, client):
    rita = Client()
    rita.force_login(reviewer.user)
    for other_client in (rita, client):
        assert other_client.get("/api/v1/training-runs").status_code == 403
        assert send(other_client, "/api/v1/training-runs").status_code == 403
        assert send(other_client, "/api/v1/models/1/promote", force=True, why="x").status_code == 403
        assert send(other_client, "/api/v1/models/1/rollback").status_code == 403
        assert other_client.get("/api/v1/deployments").status_code == 403
        assert other_client.get("/api/v1/models/1/my_model.keras").status_code == 403


def test_the_files_of_a_version_can_be_downloaded(operator_client):
    base = versions.live_version()
    keras = operator_client.get(reverse("api-model-keras", args=[1]))
    assert keras.content == bytes(base.files.keras_file)
    assert 'filename="my_model.keras"' in keras["Content-Disposition"]
    assert operator_client.get(reverse("api-model-bundle", args=[1])).content == bytes(base.files.bundle)
    base.files.delete()
    assert operator_client.get(reverse("api-model-bundle", args=[1])).status_code == 409
    assert operator_client.get(reverse("api-model-bundle", args=[9])).status_code == 404


def test_charts_of_a_version_are_shown_and_can_be_downloaded(operator_client, reviewer):
    text = operator_client.get("/models/1/").content.decode()
    assert text.count('<svg xmlns="http://www.w3.org/2000/svg" class="chart"') == 4
    for name in ("accuracy", "loss", "confusion_matrix", "reliability"):
        assert f"/models/1/{name}.svg" in text
        answer = operator_client.get(f"/models/1/{name}.svg")
        assert answer["Content-Type"] == "image/svg+xml"
        assert answer.content == (BASE_FOLDER / f"{name}.svg").read_bytes()
    assert operator_client.get("/models/1/elephant.svg").status_code == 404
    rita = Client()
    rita.force_login(reviewer.user)
    assert rita.get("/models/1/loss.svg").status_code == 403


def test_a_site_without_a_trainer_offers_no_training_and_explains_why(operator_client, settings):
    assert "Retrain now" in operator_client.get("/models/").content.decode()
    settings.TRAINER = False
    text = operator_client.get("/models/").content.decode()
    assert "Retrain now" not in text
    assert "TRAINER=0" in text
    assert "TRAINER=0" in operator_client.post("/models/runs/", follow=True).content.decode()
    answer = operator_client.post("/api/v1/training-runs", {}, content_type="application/json")
    assert (answer.status_code, "TRAINER=0" in answer.json()["detail"]) == (409, True)
    assert not TrainingRun.objects.exists()


def test_accuracy_on_real_traffic_is_plotted_from_the_random_sample(operator_client, reviewer):
    text = operator_client.get("/models/").content.decode()
    assert "Nothing to tell yet" in text
    for reason, truth in ((LabelReason.RANDOM, "7"), (LabelReason.RANDOM, "4"), (LabelReason.DOUBT, "4")):
        submission = make_submission(truth=truth, truth_state=TruthState.SETTLED)
        make_prediction(submission)  # predicted as 7
        Label.objects.create(
            submission=submission, kind=LabelKind.REVIEW, value=truth, user=reviewer.user, reason=reason
        )
    text = operator_client.get("/models/").content.decode()
    assert text.count("Accuracy on real traffic by") == 2
    assert "1 of 2" in text


def test_the_page_names_the_setting_for_mnist_if_it_is_missing(operator_client, monkeypatch, tmp_path):
    assert "MNIST is not here yet" not in operator_client.get("/models/").content.decode()
    monkeypatch.setenv("MNIST_CACHE", str(tmp_path))
    assert "MNIST_PATH" in operator_client.get("/models/").content.decode()
