"""Settings that were renamed: the old environment variables work until release 2.0."""

import pytest
from django.apps import apps

from digitsite import env
from digitsite.supervisor import commands, options
from tests.support.settings import import_settings


@pytest.fixture(autouse=True)
def _no_renamed_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*env.DEPRECATED_NAMES, *env.DEPRECATED_NAMES.values()):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(("old", "new"), env.DEPRECATED_NAMES.items())
def test_a_setting_is_read_under_its_old_name(old: str, new: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"MAX_KEPT_SIDE": 512, "SWEEP_SECONDS": 3}.get(old, 7)
    monkeypatch.setenv(old, str(value))
    assert import_settings(monkeypatch)[new] == value


def test_the_new_name_takes_precedence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANARY_SECONDS", "7")
    monkeypatch.setenv("LIVENESS_INTERVAL_SECONDS", "9")
    assert import_settings(monkeypatch)["LIVENESS_INTERVAL_SECONDS"] == 9
    assert "CANARY_SECONDS is ignored" in env.deprecation_warnings()[0]


def test_the_start_logs_one_warning_for_each_old_name(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    apps.get_app_config("digitsite").ready()
    assert caplog.messages == []
    monkeypatch.setenv("SIGN_IN_TRIES", "3")
    apps.get_app_config("digitsite").ready()
    assert caplog.messages == [
        "setting_deprecated: SIGN_IN_TRIES is now called MAX_LOGIN_ATTEMPTS; the old name works until release 2.0"
    ]


def test_the_supervisor_starts_its_processes_with_the_new_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "0")
    monkeypatch.setenv("CANARY_SECONDS", "3")
    assert commands.stall_timeout("default") == commands.STALL_SECONDS + 3
    environment = commands.environment(options.read())
    assert environment["LIVENESS_INTERVAL_SECONDS"] == "3"
    assert "CANARY_SECONDS" not in environment


def test_removed_settings_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIFT_SECONDS", "7")
    assert env.deprecation_warnings() == ["setting_removed: SHIFT_SECONDS has no effect; unset it"]
