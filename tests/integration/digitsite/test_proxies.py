"""Sites behind real proxies: no client can choose its address, and the shipped files limit connections."""

import base64
import re
import socket
import ssl
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from django.contrib.auth.models import User
from pytest_django import DjangoDbBlocker

from digitsite.testing.packages import GetError
from digitsite.testing.populated_site import second_version
from digitsite.testing.site import BASE_DIR, Site
from tests.support import proxies

PASSWORD, READS = "three grey cats 7", 40
NFT_FILE = Path(BASE_DIR, "deploy", "connections.nft")
UPLOAD = b"POST /api/v1/submissions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n\r\n{"


@dataclass(frozen=True)
class Proxy:
    """A proxy in front of the site, with two addresses of this machine that no other test of this module uses."""

    url: str
    attacker: str
    victim: str

    def client(self, address: str, **options: object) -> httpx.Client:
        """An HTTP client that connects from `address`."""
        transport = httpx.HTTPTransport(local_address=address, verify=False)  # a certificate of the test's own
        return httpx.Client(base_url=self.url, transport=transport, timeout=30, **options)


@pytest.fixture(scope="module")
def behind_proxy(template_database: Path, django_db_blocker: DjangoDbBlocker) -> Iterator[Site]:
    """A site with BEHIND_PROXY=1 and an account."""
    site = Site(
        template_database, BEHIND_PROXY="1", READS_PER_MINUTE=f"{READS},6000,6000", MAX_LOGIN_ATTEMPTS="3",
        PREDICTION_WAIT_SECONDS="0",
    )  # fmt: skip
    try:
        site.start_redis()
        with django_db_blocker.unblock(), site.entered():
            User.objects.create_user("ann", password=PASSWORD)
            second_version()
        site.collect_static_files()
        site.start_web()
        yield site
    finally:
        site.stop()


def appending(text: str) -> str:
    """Return nginx's file as many guides write it, which keeps the client's header in front of its address."""
    return text.replace("X-Forwarded-For $remote_addr;", "X-Forwarded-For $proxy_add_x_forwarded_for;")


STARTS: dict[str, Callable[[Site], object]] = {
    "nginx": proxies.nginx,
    "nginx that appends": lambda site: proxies.nginx(site, edit=appending),
    "Caddy that folds": lambda site: proxies.caddy(
        site, version=proxies.CADDY_THAT_FOLDS, caddyfile=proxies.PLAIN_CADDYFILE
    ),
    "old Caddy with the shipped file": lambda site: proxies.caddy(
        site, version=proxies.CADDY_THAT_FOLDS, caddyfile=proxies.shipped_caddyfile()
    ),
    "Caddy": lambda site: proxies.caddy(site, version=proxies.CADDY, caddyfile=proxies.shipped_caddyfile()),
}


@pytest.fixture(scope="module")
def start(behind_proxy: Site) -> Iterator[Callable[[str], Proxy]]:
    """Starts each proxy when the first test asks for it."""
    started: dict[str, Proxy] = {}
    with ExitStack() as stack:

        def start(name: str) -> Proxy:
            if name not in started:
                try:
                    url = stack.enter_context(STARTS[name](behind_proxy))
                except GetError as error:
                    pytest.skip(f"{name} is not here: {error}")
                number = 2 * list(STARTS).index(name)
                started[name] = Proxy(url, attacker=f"127.0.1.{number + 2}", victim=f"127.0.1.{number + 3}")
            return started[name]

        yield start


def forged(address: str, number: int = 0) -> list[tuple[bytes, bytes]]:
    """Headers that claim to come from `address`, in one of three ways.

    All spellings with underscores are one key of WSGI's. Which of them wins there depends on the number of headers.
    """
    claim = address.encode()
    spellings = (b"X_Forwarded_For", b"X-Forwarded_For", b"X_FORWARDED-For")
    padding = [(b"X-Padding-%d" % padded, b"0") for padded in range(4)]
    return [
        [(name, claim) for name in spellings] + padding,
        [(b"X-Forwarded-For", b"\xff"), (b"X-Real-IP", claim), (b"Forwarded", b"for=" + claim)],
        [(b"X-Forwarded-For", b"\xff, " + claim), (b"X-Forwarded-For", claim), (b"X_Forwarded_For", claim)],
    ][number % 3]


# --- Who is asking ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", STARTS)
def test_forged_headers_neither_bypass_a_limit_nor_consume_that_of_another_client(
    name: str, start: Callable[[str], Proxy]
) -> None:
    proxy = start(name)
    with proxy.client(proxy.attacker) as attacker:
        statuses = Counter(
            attacker.get("/api/v1/me", headers=forged(address, number)).status_code
            for number in range(50)
            for address in (proxy.victim, f"10.0.0.{number}")
        )
    # Twice as many if the minute ends in between.
    assert READS <= statuses[200] <= 2 * READS, statuses
    assert statuses[200] + statuses[429] == 100, statuses
    with proxy.client(proxy.victim) as victim:
        assert victim.get("/api/v1/me").status_code == 200


def test_failed_logins_are_never_counted_for_a_forged_address(start: Callable[[str], Proxy]) -> None:
    # Addresses whose reads are not used up.
    proxy = replace(start("Caddy that folds"), attacker="127.0.2.2", victim="127.0.2.3")
    with proxy.client(proxy.attacker) as attacker:
        for _ in range(3):
            assert sign_in(attacker, "wrong", forged(proxy.victim)).status_code == 200
        assert sign_in(attacker, "wrong").status_code == 429
    with proxy.client(proxy.victim) as victim:
        assert sign_in(victim, PASSWORD).status_code == 302


def sign_in(client: httpx.Client, password: str, headers: list[tuple[bytes, bytes]] | None = None) -> httpx.Response:
    page = client.get("/account/login/", headers=headers)
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    form = {"username": "ann", "password": password, "csrfmiddlewaretoken": token[1]}
    return client.post("/account/login/", data=form, headers=headers)


def test_clients_that_bypass_the_proxy_share_one_limit_and_are_not_loopback(behind_proxy: Site) -> None:
    statuses = Counter()
    for header in ({}, {"X-Forwarded-For": ""}, {"X-Forwarded-For": "unknown"}, {"X-Forwarded-For": b"\xff"}):
        with behind_proxy.client() as client:
            statuses += Counter(client.get("/api/v1/me", headers=header).status_code for _ in range(25))
    assert statuses[200] <= 2 * READS, statuses
    assert statuses[200] + statuses[429] == 100, statuses


def test_loopback_is_counted_behind_a_proxy(start: Callable[[str], Proxy]) -> None:
    with start("Caddy").client("127.0.0.1") as client:
        assert 429 in {client.get("/api/v1/me").status_code for _ in range(2 * READS + 1)}


@pytest.mark.parametrize("name", STARTS)
def test_scheme_comes_from_the_proxy_and_not_from_the_client(name: str, start: Callable[[str], Proxy]) -> None:
    proxy = start(name)
    other = "http" if proxy.url.startswith("https:") else "https"
    with proxy.client(proxy.victim) as client:
        for header in ("X-Forwarded-Proto", "X_Forwarded_Proto"):
            page = client.get("/api/v1/models", params={"page_size": 1}, headers={header: other})
            assert page.json()["next"].startswith(f"{proxy.url}/api/v1/models?")


@pytest.mark.parametrize("name", STARTS)
def test_metrics_are_not_available_through_the_proxy(
    name: str, start: Callable[[str], Proxy], behind_proxy: Site
) -> None:
    with start(name).client("127.0.0.1") as client:
        assert client.get("/metrics").status_code == (403 if name == "Caddy that folds" else 404)
    with behind_proxy.client() as client:
        assert client.get("/metrics").status_code == 403


# --- The shipped files ------------------------------------------------------------------------------------------------


def connect(proxy: Proxy, address: str) -> socket.socket:
    port = int(proxy.url.rpartition(":")[2])
    connection = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(address, 0))
    if proxy.url.startswith("https:"):
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return context.wrap_socket(connection)
    return connection


def test_nginx_limits_connections_per_ipv4_address_and_ipv6_network(behind_proxy: Site) -> None:
    """The addresses come from a header here, because this machine has no such networks."""

    def edit(text: str) -> str:
        realip = "http {\n    set_real_ip_from 127.0.0.0/8;\n    real_ip_header X-Test-Address;\n"
        return proxies.substitute(
            text, {r"^http \{\n": realip, r"limit_conn connections \d+;": "limit_conn connections 1;"}
        )

    with ExitStack() as stack:
        try:
            proxy = Proxy(stack.enter_context(proxies.nginx(behind_proxy, edit=edit)), "127.0.0.1", "127.0.0.1")
        except GetError as error:
            pytest.skip(f"nginx is not here: {error}")
        connection = stack.enter_context(closing(connect(proxy, "127.0.0.1")))
        connection.sendall(UPLOAD.replace(b"Host:", b"X-Test-Address: 2001:db8:1:2::1\r\nHost:"))
        client = stack.enter_context(proxy.client("127.0.0.1"))
        for address, status in (("2001:db8:1:2:ffff::9", 429), ("2001:db8:1:3::1", 200), ("192.0.2.7", 200)):
            assert client.get("/robots.txt", headers={"X-Test-Address": address}).status_code == status


@pytest.mark.parametrize("name", ["nginx", "Caddy"])
def test_largest_image_is_accepted_and_a_larger_body_is_413(name: str, start: Callable[[str], Proxy]) -> None:
    picture = base64.b64encode(bytes(10 * 1024 * 1024)).decode()
    with start(name).client("127.0.2.4") as client:
        url = "/api/v1/submissions"
        assert client.post(url, json={"image": f"data:image/png;base64,{picture}"}).json()["code"] == "not_an_image"
        assert client.post(url, content=bytes(15_000_000)).status_code == 413
        assert client.post("/upload/", content=bytes(20_000_000)).status_code == 403  # without a CSRF token
        assert client.post("/upload/", content=bytes(106_000_000)).status_code == 413


def test_proxy_forwards_413_for_a_body_that_is_too_large_for_the_site(start: Callable[[str], Proxy]) -> None:
    with start("Caddy that folds").client("127.0.2.5") as client:
        for _ in range(5):
            answer = client.post("/api/v1/submissions", content=bytes(20_000_000))
            assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("name", ["nginx", "Caddy"])
def test_proxies_close_connections_with_an_incomplete_header(name: str, start: Callable[[str], Proxy]) -> None:
    proxy = start(name)
    with closing(connect(proxy, proxy.attacker)) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
        started = time.monotonic()
        while connection.recv(1000):
            pass
        assert 4 < time.monotonic() - started < 8


def test_compose_uses_the_tested_caddy_version() -> None:
    compose = Path(BASE_DIR, "compose.yaml").read_text()
    assert re.findall(r"image: caddy:(\S+)", compose) == [f"{proxies.CADDY}-alpine"]


LIMITED = """
import socket, subprocess, sys
subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
subprocess.run(["nft", "-f", sys.argv[1]], check=True)
listener = socket.create_server(("127.0.0.1", 80), backlog=1000)
for address, connections in (("127.0.0.2", 300), ("127.0.0.3", 1)):
    kept = [socket.create_connection(("127.0.0.1", 80), 5, (address, 0)) for _ in range(connections)]
    if connections == 300:
        try:
            socket.create_connection(("127.0.0.1", 80), 0.2, (address, 0))
        except TimeoutError:
            print("limited")
    socket.SOCKETS = getattr(socket, "SOCKETS", []) + kept
print("others are served")
"""


def test_packet_filter_limits_connections_per_address() -> None:
    """In a network namespace of its own, where the rules concern nothing else."""
    try:
        done = subprocess.run(
            ["unshare", "--net", sys.executable, "-c", LIMITED, str(NFT_FILE)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    except FileNotFoundError:
        pytest.skip("unshare is not here")
    if "No such file or directory: 'nft'" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip(f"nftables or the rights to use it are not here: {done.stderr.splitlines()[-1]}")
    assert done.stdout.splitlines() == ["limited", "others are served"], done.stderr
