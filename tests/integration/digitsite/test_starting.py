"""Settings with which the site does not start, and Django's deployment checks with production settings."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from digitsite import checks
from digitsite.testing.site import BASE_DIR
from tests.support.settings import read_settings

NEEDED = ("PATH", "HOME", "LANG")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"ALLOWED_HOSTS": "*"}, "ALLOWED_HOSTS must name the hosts"),
        ({"ALLOWED_HOSTS": "*.example.com", "HTTPS": "1"}, "ALLOWED_HOSTS must name the hosts"),
        ({"ALLOWED_HOSTS": " ,"}, "ALLOWED_HOSTS must name the hosts"),
        ({"ALLOWED_HOSTS": "digits.example.com"}, "Write HTTPS=1 when a proxy serves it with a certificate"),
        ({"ALLOWED_HOSTS": "localhost,.example.com"}, "Write HTTPS=1"),
        ({"DEBUG": "1", "ALLOWED_HOSTS": "localhost,192.168.1.7"}, "DEBUG=1 shows secrets to strangers"),
        ({"DEBUG": "1", "HOST": "0.0.0.0"}, "DEBUG=1 shows secrets to strangers"),
        ({"SECRET_KEY": "short"}, "SECRET_KEY is shorter than 50 characters"),
        ({"SECRET_KEY": "x" * 64}, "SECRET_KEY is a placeholder that is easy to guess"),
        ({"SECRET_KEY": "django-insecure-" + "0123456789abcdef" * 4}, "SECRET_KEY is a placeholder"),
        ({"SECRET_KEY": "change-me-change-me-change-me-change-me-change-me-0123"}, "SECRET_KEY is a placeholder"),
        (
            {"ALLOWED_HOSTS": "https://digits.lan"},
            "ALLOWED_HOSTS holds 'https://digits.lan'; write names and addresses",
        ),
        ({"ALLOWED_HOSTS": "localhost:8000"}, "without scheme, port and path"),
        ({"ALLOWED_HOSTS": "::1"}, "IPv6 in brackets"),
        ({"ALLOWED_HOSTS": "digits.example.com", "HTTPS": ""}, "Write HTTPS=1"),
        (
            {"CSRF_TRUSTED_ORIGINS": "digits.example.com"},
            "CSRF_TRUSTED_ORIGINS holds 'digits.example.com'; write origins",
        ),
        ({"CSRF_TRUSTED_ORIGINS": "https://digits.example.com/"}, "without a path"),
        ({"CORS_ORIGINS": "https://*.example.com"}, "CORS_ORIGINS holds 'https://*.example.com'; write origins alone"),
        ({"EMAIL_FROM": "digits"}, "EMAIL_FROM is 'digits'; write an address"),
        ({"EMAIL_URL": "smtp://mail.example.org/digits"}, "EMAIL_URL must look like smtp+tls://"),
        ({"SITE_NAME": "Digits\nBcc: all"}, "SITE_NAME holds a line break"),
        ({"METRICS_TOKEN": "0123456789abcdefé"}, "METRICS_TOKEN holds a letter outside of ASCII"),
        ({"METRICS_TOKEN": "prometheus"}, "METRICS_TOKEN is shorter than 16 characters"),
        ({"TRUSTED_PROXIES": "2"}, "TRUSTED_PROXIES has no effect without BEHIND_PROXY=1"),
        ({"TRUSTED_PROXIES": "0", "BEHIND_PROXY": "1"}, "TRUSTED_PROXIES"),
        ({"HSTS_INCLUDE_SUBDOMAINS": "1"}, "HSTS_INCLUDE_SUBDOMAINS=1 needs HTTPS=1"),
        (
            {"HSTS_INCLUDE_SUBDOMAINS": "1", "HTTPS": "1", "HSTS_SECONDS": "0"},
            "HSTS_INCLUDE_SUBDOMAINS=1 needs HTTPS=1",
        ),
        ({"HSTS_PRELOAD": "1", "HTTPS": "1"}, "HSTS_PRELOAD=1 needs HSTS_INCLUDE_SUBDOMAINS=1"),
    ],
)
def test_invalid_setting_is_reported_in_one_line(
    settings: dict[str, str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = SimpleNamespace(**read_settings(monkeypatch, tmp_path, settings))
    (error,) = checks.find_errors(read)
    assert words in error
    assert "\n" not in error


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"CSRF_TRUSTED_ORIGINS": "https://Digits.example.com, http://[fd00::7]:8000,https://*.example.com"},
        {"CORS_ORIGINS": "*"},
        {"EMAIL_FROM": "Digits <digits@example.com>"},
        {"DEBUG": "1"},
        {"DEBUG": "1", "HOST": "127.0.0.1"},
        {"ALLOWED_HOSTS": "digits.example.com", "HTTPS": "0"},
        {"ALLOWED_HOSTS": "laptop,laptop.local,192.168.1.7,[fd00::7],digits.lan"},
        {"SECRET_KEY": "0123456789abcdef" * 4},
    ],
)
def test_https_is_off_by_default_on_a_local_network(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = read_settings(monkeypatch, tmp_path, environ)
    assert checks.find_errors(SimpleNamespace(**read)) == []
    assert not read["HTTPS"]
    assert not read["SECURE_SSL_REDIRECT"]
    assert read["SECURE_HSTS_SECONDS"] == 0


def run_manage(folder: Path, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: os.environ[name] for name in NEEDED if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", *command],
        cwd=BASE_DIR,
        env=inherited | {"DATA_DIR": str(folder)} | environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_invalid_settings_stop_the_start_and_are_listed_by_the_system_check(tmp_path: Path) -> None:
    environ = {"PREDICTION_BATCH": "many", "TOKEN_DAYS": "400"}
    refused = run_manage(tmp_path, "migrate", **environ)
    assert refused.returncode == 1
    assert refused.stderr == "PREDICTION_BATCH is 'many'; write a number.\n"
    checked = run_manage(tmp_path, "check", "--deploy", **environ)
    assert checked.returncode == 1
    assert "(digitsite.E001) PREDICTION_BATCH is 'many'; write a number." in checked.stderr
    assert "(digitsite.E001) TOKEN_DAYS is 400; it must not be more than TOKEN_MAX_DAYS, 365." in checked.stderr


@pytest.mark.parametrize(
    ("settings", "silenced"),
    [
        ({"ALLOWED_HOSTS": "digits.example.com", "HTTPS": "1", "BEHIND_PROXY": "1"}, 2),
        ({"ALLOWED_HOSTS": "digits.example.com", "HTTPS": "0"}, 4),
    ],
)
def test_deployment_check_reports_no_issues(settings: dict[str, str], silenced: int, tmp_path: Path) -> None:
    done = run_manage(
        tmp_path, "check", "--deploy", "--fail-level", "WARNING", SECRET_KEY="0123456789abcdef" * 4, **settings
    )
    assert done.returncode == 0, done.stderr
    assert f"no issues ({silenced} silenced)" in done.stdout + done.stderr
