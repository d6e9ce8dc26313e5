"""Client address and scheme from the headers of trusted proxies. test_proxies.py runs real ones."""

import pytest
from django.test import Client
from hypothesis import given, settings
from hypothesis import strategies as st

from recognizer.middleware import client_ip
from recognizer.proxies import UNKNOWN_ADDRESS, client_address, client_scheme
from recognizer.services.lib.addresses import UNKNOWN_NETWORK, is_loopback, rate_key


@pytest.mark.parametrize(
    ("header", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7:5678", "192.0.2.7"),
        ("10.9.8.7, 192.0.2.7:5678", "192.0.2.7"),
        ("10.9.8.7,192.0.2.7 ", "192.0.2.7"),
        ("\xff, 192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::1"),
        ("2001:0DB8:0::0001", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:5678", "2001:db8::1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[::1]:56", "::1"),
        ("", UNKNOWN_ADDRESS),
        (" ", UNKNOWN_ADDRESS),
        ("192.0.2.7,", UNKNOWN_ADDRESS),
        ("unknown", UNKNOWN_ADDRESS),
        ("_hidden:56", UNKNOWN_ADDRESS),
        ("192.0.2.7:port", UNKNOWN_ADDRESS),
        ("192.0.2.7, \xff", UNKNOWN_ADDRESS),
        ("192.0.2.\xb2", UNKNOWN_ADDRESS),
    ],
)
def test_last_entry_is_the_client_of_a_single_proxy(header: str, address: str) -> None:
    assert client_address(header, proxies=1) == address


def test_each_trusted_proxy_appends_one_entry() -> None:
    header = "198.51.100.1, 203.0.113.2, 192.0.2.3"
    assert [client_address(header, proxies=count) for count in (1, 2, 3)] == [
        "192.0.2.3",
        "203.0.113.2",
        "198.51.100.1",
    ]
    # The client wrote the entries before that of the outermost proxy.
    assert client_address(header, proxies=4) == UNKNOWN_ADDRESS


@settings(deadline=None)
@given(st.text(max_size=40), st.ip_addresses(), st.lists(st.ip_addresses(), max_size=3))
def test_client_cannot_change_its_address_with_a_header(client_entry: str, address: object, proxies: list) -> None:
    header = ", ".join([client_entry, str(address), *map(str, proxies)])
    result = client_address(header, proxies=len(proxies) + 1)
    assert result == str(address).partition("%")[0]


@settings(deadline=None)
@given(st.text(max_size=60), st.integers(1, 3))
def test_every_header_yields_an_address_for_rate_limits(header: str, proxies: int) -> None:
    assert rate_key(client_address(header, proxies=proxies)) != UNKNOWN_NETWORK
    assert client_scheme(header, proxies=proxies) == "http"


@pytest.mark.parametrize(
    ("header", "proxies", "scheme"),
    [
        ("https", 1, "https"),
        (" HTTPS ", 1, "https"),
        ("http", 1, "http"),
        ("", 1, "http"),
        ("https, http", 1, "http"),
        ("http, https", 1, "https"),
        ("https, http", 2, "https"),
        ("https", 2, "https"),
        ("https, http, http", 2, "http"),
        ("wss", 1, "http"),
    ],
)
def test_scheme_comes_from_the_outermost_trusted_proxy(header: str, proxies: int, scheme: str) -> None:
    assert client_scheme(header, proxies=proxies) == scheme


@pytest.mark.django_db
def test_address_in_front_of_two_proxies(settings) -> None:
    settings.BEHIND_PROXY, settings.TRUSTED_PROXIES = True, 2
    for header, address in (("192.0.2.7, 10.0.0.1", "192.0.2.7"), ("10.0.0.1", UNKNOWN_ADDRESS)):
        request = Client().get("/robots.txt", headers={"X-Forwarded-For": header}).wsgi_request
        assert client_ip(request) == address


@pytest.mark.django_db
def test_unconfigured_proxy_is_logged_once(caplog, settings) -> None:
    client = Client()
    client.get("/robots.txt", headers={"X-Forwarded-For": "192.0.2.7"}, REMOTE_ADDR="192.0.2.1")
    assert "recognizer.proxies" not in {record.name for record in caplog.records}
    for _ in range(2):
        client.get("/robots.txt", headers={"X-Forwarded-For": "192.0.2.7"})
    (record,) = [record for record in caplog.records if record.name == "recognizer.proxies"]
    assert "set BEHIND_PROXY=1" in record.message
    settings.BEHIND_PROXY = True
    caplog.clear()
    Client().get("/robots.txt", headers={"X-Forwarded-For": "192.0.2.7"})
    assert "recognizer.proxies" not in {record.name for record in caplog.records}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("behind_proxy", "headers", "address", "is_secure"),
    [
        (False, {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}, "127.0.0.1", False),
        (True, {"X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https"}, "192.0.2.7", True),
        (True, {"X-Forwarded-For": "\xff", "X-Forwarded-Proto": "https, http"}, UNKNOWN_ADDRESS, False),
        (True, {}, UNKNOWN_ADDRESS, False),
    ],
)
def test_socket_address_is_never_used_for_the_client_behind_a_proxy(
    behind_proxy: bool, headers: dict[str, str], address: str, is_secure: bool, settings
) -> None:
    settings.BEHIND_PROXY = behind_proxy
    if behind_proxy:
        settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    request = Client(REMOTE_ADDR="127.0.0.1").get("/account/login/", headers=headers).wsgi_request
    assert client_ip(request) == address
    assert request.actor.caller_key == f"network:{address}"
    assert is_loopback(client_ip(request)) != behind_proxy
    assert request.is_secure() == is_secure
