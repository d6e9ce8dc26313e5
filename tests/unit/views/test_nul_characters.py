"""Tests of NUL characters in URLs and fields, which PostgreSQL rejects."""

import pytest
from django.test import Client

pytestmark = [pytest.mark.django_db, pytest.mark.both_databases]

NUL = [
    *("/s/%00/", "/upload/results/?s=%00", "/account/sign-in/MQ/%00/", "/account/sign-in/%00/x/"),
    *("/history/?said=%00", "/history/?cursor=%00", "/account/people/?name=%00"),
]


@pytest.mark.parametrize("address", NUL)
def test_nul_in_a_url_is_a_bad_request(address: str, operator_client: Client) -> None:
    response = operator_client.get(address)
    assert response.status_code == 400
    assert b"<h1" in response.content


@pytest.mark.parametrize(
    ("address", "field"), [("/history/bulk/", "s"), ("/review/decide/", "submission"), ("/account/people/add/", "name")]
)
def test_nul_in_a_field_is_a_bad_request(address: str, field: str, operator_client: Client) -> None:
    assert operator_client.post(address, {field: "\0", "act": "label", "value": "7"}).status_code == 400


@pytest.mark.parametrize("address", ["/api/v1/labels?submission=%00", "/api/v1/submissions?said=%00"])
def test_api_names_the_parameter_with_nul(address: str, operator_client: Client) -> None:
    response = operator_client.get(address)
    assert (response.status_code, response.json()["code"]) == (400, "invalid")
