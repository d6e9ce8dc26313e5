"""Names in Dockerfile and compose.yaml exist. The tests cannot run these files."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from digitsite import env
from digitsite.testing.site import BASE_DIR
from recognizer.services.ops import liveness

# Variables of Python, glibc and the shell.
ELSEWHERE = {
    *("PATH", "HOME", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE", "MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_"),
    "MALLOC_TRIM_THRESHOLD_",
    *("PIP_NO_CACHE_DIR", "PIP_DISABLE_PIP_VERSION_CHECK", "PIP_ONLY_BINARY"),
}
OWN_SERVICES = ("prepare", "web", "predictions", "default", "trainer")


@pytest.fixture(scope="module")
def compose() -> dict:
    return yaml.safe_load(Path(BASE_DIR, "compose.yaml").read_text())


@pytest.fixture(scope="module")
def dockerfile() -> str:
    return Path(BASE_DIR, "Dockerfile").read_text()


def test_all_settings_in_compose_exist(compose: dict) -> None:
    known = set(env.SETTINGS)
    for name in OWN_SERVICES:
        assert set(compose["services"][name]["environment"]) <= known


def test_all_settings_in_the_dockerfile_exist(dockerfile: str) -> None:
    named = set(re.findall(r"([A-Z_]+)=[^ \n]", "".join(re.findall(r"^ENV (?:.*\\\n)*.*$", dockerfile, re.MULTILINE))))
    assert named - ELSEWHERE <= set(env.SETTINGS)
    assert {"DATA_DIR", "LOG_FORMAT"} <= named


def test_env_example_has_all_variables_of_compose(compose: dict) -> None:
    text = Path(BASE_DIR, "compose.yaml").read_text()
    required = set(re.findall(r"(?<!\$)\$\{([A-Z_]+)", text))
    provided = set(re.findall(r"^([A-Z_]+)=", Path(BASE_DIR, ".env.example").read_text(), re.MULTILINE))
    assert required == provided


def test_files_copied_by_the_dockerfile_exist_and_are_not_ignored(dockerfile: str) -> None:
    allowed = re.findall(r"^!(\S+)$", Path(BASE_DIR, ".dockerignore").read_text(), re.MULTILINE)
    copied = [
        word for line in re.findall(r"^COPY (?!--from)(.+)$", dockerfile, re.MULTILINE) for word in line.split()[:-1]
    ]
    assert sorted(copied) == sorted(allowed)
    assert all(Path(BASE_DIR, name).exists() for name in copied)


def test_no_service_runs_as_root_or_can_gain_privileges(compose: dict, dockerfile: str) -> None:
    assert re.findall(r"^USER (\d+)", dockerfile, re.MULTILINE) == ["10001"]
    for name in OWN_SERVICES:
        service = compose["services"][name]
        assert service["cap_drop"] == ["ALL"]
        assert service["read_only"] is True
        assert service["security_opt"] == ["no-new-privileges:true"]


def test_databases_are_reachable_only_from_the_internal_network(compose: dict) -> None:
    for name in ("redis", "postgres"):
        assert compose["services"][name]["networks"] == ["inside"]
        assert "ports" not in compose["services"][name]
    assert compose["networks"]["inside"]["internal"] is True


def test_compose_has_a_worker_for_each_queue(compose: dict) -> None:
    commands = [compose["services"][name].get("command", []) for name in OWN_SERVICES]
    assert {command[-1] for command in commands if "digitsite.worker" in command} == set(liveness.CHECKS)


def test_only_the_trainer_image_has_tensorflow() -> None:
    small, large = (Path(BASE_DIR, name).read_text() for name in ("requirements-serve.txt", "requirements.txt"))
    assert not re.search(r"^(keras|tensorflow)", small, re.MULTILINE)
    assert "-r requirements-serve.txt" in large
    assert re.search(r"^tensorflow", large, re.MULTILINE)


@pytest.mark.parametrize(
    ("requirements", "lock"),
    [("requirements-serve.txt", "serve"), ("requirements.txt", "site"), ("requirements-dev.txt", "dev")],
)
def test_lock_pins_each_required_version_with_hashes(requirements: str, lock: str) -> None:
    pins = re.compile(r"^([a-z0-9._-]+)(?:\[[a-z]+\])?==(\S+)", re.MULTILINE | re.IGNORECASE)
    required = {pin for name in included_files(requirements) for pin in pins.findall((BASE_DIR / name).read_text())}
    text = (BASE_DIR / "deploy" / "locks" / f"{lock}.txt").read_text()
    locked = set(pins.findall(text))
    assert {(name.lower(), version) for name, version in required} <= locked, "run make lock"
    assert len(re.findall(r"^\S+==.*\\\n    --hash=sha256:", text, re.MULTILINE)) == len(pins.findall(text))


def included_files(name: str) -> list[str]:
    """Return a requirements file and those that it includes."""
    text = (BASE_DIR / name).read_text()
    return [
        name,
        *(part for included in re.findall(r"^-r (\S+)", text, re.MULTILINE) for part in included_files(included)),
    ]


WITHOUT_TENSORFLOW = """
import os, sys
for name in ("tensorflow", "keras", "tqdm"):
    sys.modules[name] = None
import django
django.setup()
from django.urls import get_resolver
get_resolver().url_patterns
import digitsite.wsgi, digitsite.bootsteps, recognizer.tasks
from recognizer.services import training
from recognizer.services.inference import backfill, background, recovery
from recognizer.services.ops import health
from recognizer.services.registry import deployments, versions
from recognizer.services.training import presenters, subprocess_runner
import numpy as np
versions.live_classifier.current()[1].answer(np.zeros((1, 28, 28), np.uint8))
assert {check.name for check in health.run_checks()} >= {"model", "mnist", "training"}
training.run_maintenance(), deployments.prune(), backfill.enqueue_remaining(), recovery.recover_submissions()
"""


def test_all_processes_except_the_trainer_run_without_tensorflow(tmp_path: Path, template_database: Path) -> None:
    (tmp_path / "db.sqlite3").write_bytes(template_database.read_bytes())
    (tmp_path / "static").mkdir()
    environment = {"PATH": "/usr/bin:/bin", "DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "digitsite.settings"}
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_TENSORFLOW],
        cwd=BASE_DIR, env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
