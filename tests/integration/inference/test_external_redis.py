"""An external Redis with TLS and a password. The embedded Redis is not running in these tests.

Uses Debian's redis-server, because the embedded Valkey is built without TLS. This also tests Redis itself.
"""

import shutil
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.parse import quote

import pytest
import trustme

from digitsite.testing.site import Part, Site, wait_until
from recognizer.services.inference import streams
from tests.image_samples import SEVEN

PASSWORD = "correct horse/battery:staple"

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="no redis-server is installed; Debian's package is called so"
)


def start_with_tls(site: Site, folder: Path) -> Path:
    """Start Redis with TLS, and configure the site; return the file of the CA."""
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "port": "0", "tls-port": str(port), "bind": "127.0.0.1", "tls-auth-clients": "no", "save": "",
        "tls-cert-file": str(folder / "server.pem"), "tls-key-file": str(folder / "server.pem"),
        "tls-ca-cert-file": str(folder / "ca.pem"), "requirepass": PASSWORD, "dir": str(folder),
    }  # fmt: skip
    site.start("redis", ["redis-server", *(word for name, value in options.items() for word in (f"--{name}", value))])
    site.redis_url = address(port, PASSWORD, folder / "ca.pem")
    wait_until(site._redis_answers, event="the first PONG")
    return folder / "ca.pem"


def address(port: int, password: str, ca: Path) -> str:
    return f"rediss://:{quote(password, safe='')}@localhost:{port}?ssl_ca_certs={quote(str(ca))}"


def test_site_works_with_tls_and_password(make_site: Callable[..., Site], tmp_path: Path) -> None:
    site = make_site(LIVENESS_INTERVAL_SECONDS="1")
    start_with_tls(site, tmp_path)
    site.start_worker()
    default = site.start_default_worker()
    site.start_web()
    with site.client() as program:
        assert program.post("/api/v1/submissions", json={"strokes": SEVEN}).status_code == 201
        assert program.get("/readyz").json()["redis"]
    assert "CERT_NONE" not in default.output
    with site.entered():
        assert streams.consumer_alive()
        wait_until(lambda: site.redis().hget("canaries", "default"), event="a task that went from the beat to a worker")


def has_line_with(worker: Part, *words: str) -> bool:
    """Return whether a line of output contains all words."""
    return any(all(word in line for word in words) for line in worker.output.splitlines())


def test_wrong_ca_and_wrong_password_are_rejected(site: Site, tmp_path: Path) -> None:
    ca = start_with_tls(site, tmp_path)
    port = int(site.redis_url.partition("@localhost:")[2].partition("?")[0])
    (tmp_path / "other").mkdir()
    trustme.CA().cert_pem.write_to_path(tmp_path / "other" / "ca.pem")
    for url, words in (
        (address(port, PASSWORD, tmp_path / "other" / "ca.pem"), "certificate verify failed"),
        (address(port, "wrong", ca), "invalid username-password pair"),
    ):
        site.redis_url = url
        worker = site.start_worker(ready=False)
        for event in ("redis_unavailable", "consumer: Cannot connect to rediss://"):  # the hand-off, and Celery
            wait_until(partial(has_line_with, worker, event, words), event=f"{event!r} with {words!r}")
        assert PASSWORD not in worker.output
        worker.kill()
