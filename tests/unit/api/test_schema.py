"""The OpenAPI document and the page that shows it."""

import re
from pathlib import Path

import pytest
import yaml
from django.core.management import call_command
from django.urls import reverse

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "openapi.yaml"


def test_committed_openapi_document_is_current(tmp_path):
    generated = tmp_path / "openapi.yaml"
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(generated))
    assert generated.read_text() == DOCUMENT.read_text(), (
        "The API changed. Look at the difference, then: manage.py spectacular --validate --fail-on-warn "
        "--file docs/openapi.yaml"
    )


def test_every_operation_documents_its_problems():
    document = yaml.load(DOCUMENT.read_text(), yaml.CSafeLoader)
    shared = {f"#/components/responses/{name}": item for name, item in document["components"]["responses"].items()}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            responses = operation["responses"]
            failures = [shared.get(item.get("$ref"), item) for status, item in responses.items() if int(status) >= 400]
            assert failures, (path, method)
            assert all(list(item["content"]) == ["application/problem+json"] for item in failures), (path, method)
            assert operation["description"], (path, method)


@pytest.mark.django_db
def test_openapi_document_is_served(anonymous_client):
    response = anonymous_client.get(reverse("api-schema"), headers={"Accept": "application/vnd.oai.openapi"})
    assert yaml.load(response.content, yaml.CSafeLoader)["openapi"].startswith("3.1")
    assert anonymous_client.get(reverse("api-schema") + "?format=json").json()["info"]["title"]


@pytest.mark.django_db
def test_api_page_complies_with_the_content_security_policy(anonymous_client):
    page = anonymous_client.get(reverse("api-docs"))
    assert page.status_code == 200
    text = page.content.decode()
    assert "'unsafe" not in page.headers["Content-Security-Policy"]
    assert not re.search(r"<style|\sstyle=|<script(?![^>]*\ssrc=)", text)
    script = anonymous_client.get(reverse("api-docs") + "?script=")
    assert script.headers["Content-Type"] == "application/javascript"
    assert reverse("api-schema") in script.content.decode()
