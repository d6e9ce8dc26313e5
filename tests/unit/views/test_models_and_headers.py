"""Tests of security headers, cookies and the safety of model files."""

import ast
import io
import json
import zipfile
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from digitsite.testing.site import BASE_DIR
from ml.serving import bundle as bundles
from ml.serving.export import load_keras
from recognizer.services.registry import versions
from tests.support.settings import read_settings

CODE = [path for folder in ("digitsite", "ml", "recognizer") for path in Path(BASE_DIR, folder).rglob("*.py")]


@pytest.fixture
def password(db: None, settings) -> str:
    """Return the password of the account ann."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    User.objects.create_user("ann", password="three grey cats 7")
    return "three grey cats 7"


# --- Headers ----------------------------------------------------------------------------------------------------------


@pytest.mark.django_db
@pytest.mark.parametrize("address", ["/", "/upload/", "/nothing", "/account/login/", "/api/v1/submissions", "/healthz"])
def test_responses_have_security_headers(address: str, client: Client) -> None:
    headers = client.get(address).headers
    policy = {part.split()[0]: part.split()[1:] for part in headers["Content-Security-Policy"].split("; ")}
    assert policy["default-src"] == ["'self'"]
    assert policy["object-src"] == policy["base-uri"] == policy["frame-ancestors"] == ["'none'"]
    assert not any("unsafe" in word or word == "*" for words in policy.values() for word in words)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "geolocation=()" in headers["Permissions-Policy"]
    assert "Server" not in headers


@pytest.mark.django_db
def test_cookies_are_http_only_and_same_site(settings, client: Client, password: str) -> None:
    client.get("/")
    client.post(reverse("login"), {"username": "ann", "password": password})
    for cookie in (client.cookies[settings.VISITOR_COOKIE], client.cookies[settings.SESSION_COOKIE_NAME]):
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"
    assert client.cookies[settings.CSRF_COOKIE_NAME]["samesite"] == "Lax"


@pytest.mark.django_db
def test_https_site_redirects_http_and_sets_secure_cookies(settings, client: Client) -> None:
    settings.SECURE_SSL_REDIRECT = settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.SECURE_HSTS_SECONDS = 31_536_000
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    client = Client()  # a new client, whose middleware reads the changed settings
    answer = client.get("/")
    assert answer.status_code == 301
    assert answer.url.startswith("https://")
    assert client.get("/healthz").status_code == 200
    answer = client.get("/", headers={"X-Forwarded-Proto": "https"})
    assert answer.status_code == 200
    assert answer["Strict-Transport-Security"].startswith("max-age=31536000")
    assert client.cookies[settings.VISITOR_COOKIE]["secure"]
    assert client.cookies[settings.CSRF_COOKIE_NAME]["secure"]


def test_https_setting_enables_all_https_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    read = read_settings(monkeypatch, tmp_path, {"HTTPS": "1", "BEHIND_PROXY": "1"})
    assert read["SECURE_SSL_REDIRECT"]
    assert read["SESSION_COOKIE_SECURE"]
    assert read["CSRF_COOKIE_SECURE"]
    assert read["SECURE_HSTS_SECONDS"] == 31_536_000
    assert read["SECURE_PROXY_SSL_HEADER"] == ("HTTP_X_FORWARDED_PROTO", "https")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("environment", "header"),
    [
        ({}, "max-age=31536000"),
        ({"HSTS_SECONDS": "600", "HSTS_INCLUDE_SUBDOMAINS": "1"}, "max-age=600; includeSubDomains"),
        (
            {"HSTS_INCLUDE_SUBDOMAINS": "1", "HSTS_PRELOAD": "1"},
            "max-age=31536000; includeSubDomains; preload",
        ),
    ],
)
def test_hsts_includes_subdomains_only_if_set(environment, header, settings, monkeypatch, tmp_path) -> None:
    read = read_settings(monkeypatch, tmp_path, {"HTTPS": "1", "BEHIND_PROXY": "1"} | environment)
    for name in read:
        if name.startswith("SECURE_"):
            setattr(settings, name, read[name])
    settings.BEHIND_PROXY = True
    answer = Client().get("/", headers={"X-Forwarded-Proto": "https"})
    assert answer["Strict-Transport-Security"] == header


@pytest.mark.django_db
def test_sign_in_ignores_redirects_to_other_sites(password: str) -> None:
    for elsewhere in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        form = {"username": "ann", "password": password, "next": elsewhere}
        assert Client().post(reverse("login"), form).url == "/"


@pytest.mark.django_db
def test_robots_txt_and_favicon_exist(client: Client) -> None:
    robots = client.get("/robots.txt")
    assert robots["Content-Type"] == "text/plain"
    assert "Disallow: /history/" in robots.content.decode()
    assert client.get("/favicon.ico").url.endswith(".svg")


def test_security_txt_names_the_contact_of_the_site(client: Client, settings) -> None:
    assert client.get("/.well-known/security.txt").status_code == 404
    settings.SECURITY_CONTACT = "mailto:security@example.org"
    response = client.get("/.well-known/security.txt")
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    fields = dict(line.split(": ", 1) for line in response.content.decode().splitlines())
    assert fields["Contact"] == "mailto:security@example.org"
    assert timedelta(days=90) < datetime.fromisoformat(fields["Expires"]) - timezone.now() < timedelta(days=365)


# --- Model files ------------------------------------------------------------------------------------------------------


def test_code_unpickles_nothing() -> None:
    """Unpickling runs code of the pickle's author: https://docs.python.org/3/library/pickle.html"""
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Import(names=names):
                    assert not {name.name for name in names} & {"pickle", "dill", "joblib", "shelve", "marshal"}, path
                case ast.ImportFrom(module=module):
                    assert module not in ("pickle", "dill", "joblib", "shelve", "marshal"), path
                case ast.Call(ast.Attribute(ast.Name("np"), "load")) as call:
                    options = {word.arg: ast.unparse(word.value) for word in call.keywords}
                    assert options.get("allow_pickle", "False") == "False", path
                case ast.Call(ast.Attribute(attr="load_model")) as call:
                    options = {word.arg: ast.unparse(word.value) for word in call.keywords}
                    assert options["safe_mode"] == "True", path
                case ast.Call(ast.Name("eval" | "exec")):
                    raise AssertionError(path)


@pytest.mark.acceptance  # loads TensorFlow, which takes as long as the other tests together
def test_keras_file_with_code_is_rejected(tmp_path: Path) -> None:
    """A Lambda layer carries marshalled code: https://nvd.nist.gov/vuln/detail/CVE-2024-3660"""
    good = (bundles.BASE_FOLDER / bundles.KERAS_FILE).read_bytes()
    evil = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as source, zipfile.ZipFile(evil, "w") as target:
        for name in source.namelist():
            data = source.read(name)
            if name == "config.json":
                config = json.loads(data)
                code = {"class_name": "__lambda__", "config": {"code": "4wEAAAA=", "defaults": None, "closure": None}}
                layer = {
                    "module": "keras.layers",
                    "class_name": "Lambda",
                    "config": {"name": "evil", "trainable": True, "dtype": "float32", "function": code},
                    "registered_name": None,
                }
                config["config"]["layers"].append(layer)
                data = json.dumps(config).encode()
            target.writestr(name, data)
    with pytest.raises(bundles.BundleError, match=r"(?i)lambda"):
        load_keras(evil.getvalue())


@pytest.mark.django_db
def test_modified_bundle_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    from recognizer.models import ModelFiles

    files = ModelFiles.objects.get(version__number=1)
    changed = bytearray(files.bundle)
    changed[-5_000] ^= 1
    ModelFiles.objects.update(bundle=bytes(changed))
    with pytest.raises(bundles.BundleError, match="sha256 differs"):
        versions.classifier_of(versions.live_version())
