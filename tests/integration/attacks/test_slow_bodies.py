"""Four hundred slow bodies for a minute, directly and behind proxies, hardly slow down honest users."""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from digitsite.testing.site import Site, wait_until
from recognizer.models import Submission, SubmissionState
from tests.support import proxies
from tests.support.socket_clients import SlowBodies

from .honest import HonestUsers

pytestmark = pytest.mark.acceptance

SECONDS = 60
FORMS = (["Content-Length: 1000"], ["Transfer-Encoding: chunked"])


@contextlib.contextmanager
def directly(site: Site) -> Iterator[str]:
    yield f"http://127.0.0.1:{site.port}"


ROUTES = {
    "directly": directly,
    "caddy": partial(proxies.caddy, version=proxies.CADDY, caddyfile=proxies.shipped_caddyfile()),
    "nginx": proxies.nginx,
}


@pytest.mark.parametrize("route", ROUTES)
def test_honest_users_are_served_during_slow_bodies(make_site: Callable[..., Site], route: str) -> None:
    site = make_site(ALLOWED_HOSTS="localhost,127.0.0.1", **({} if route == "directly" else {"BEHIND_PROXY": "1"}))
    site.collect_static_files()
    site.start_redis()
    site.start_worker()
    site.start_web()
    with ROUTES[route](site) as url:
        with contextlib.ExitStack() as attack:
            for headers in FORMS:
                attack.enter_context(SlowBodies(url, 200, headers, path="/api/v1/submissions", persistent=True))
            with HonestUsers(url) as record:
                time.sleep(SECONDS)  # the duration of the attack is what is tested
        print(f"\n{route}\n{record.summary()}")
        assert not record.failures
        for kind in ("page", "health"):
            assert record.percentile(kind, 0.99) <= 1
        for kind in ("draw", "photo"):
            assert record.percentile(kind, 0.99) <= 2
        with site.entered():
            rows = Submission.objects.filter(public_id__in=record.ids)
            wait_until(lambda: not rows.filter(state=SubmissionState.PENDING).exists(), event="the last prediction")
            assert rows.count() == len(record.ids)
