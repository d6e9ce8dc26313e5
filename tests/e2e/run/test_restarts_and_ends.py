"""Restarts of failed processes, and complete stops after signals and kills."""

import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from digitsite.server.__main__ import metrics_folder
from digitsite.supervisor.options import own_addresses
from digitsite.supervisor.supervisor import STOP_SECONDS
from digitsite.testing.site import wait_until
from digitsite.testing.supervised import Supervised

# Time limit for Ctrl-C, and for the guard after a kill -9 of the supervisor.
SECONDS = 5.0

# A supervisor whose web server and worker do not react to SIGTERM.
STUBBORN_SITE = """
import sys
from digitsite.supervisor import __main__, commands, startup_cache
startup_cache.is_current = lambda options: True
stubborn = ["sh", "-c", "trap '' TERM; echo ignores SIGTERM; while true; do sleep 0.1; done"]
commands.web = commands.worker = lambda *_: stubborn
sys.exit(__main__.main())
"""

Start = Callable[..., Supervised]


def test_killed_processes_are_restarted_and_logged(start: Start) -> None:
    site = start()
    site.wait_until_all_run()
    for name in ("web", "predictions", "redis", "default"):
        killed = site.part(name)
        killed.kill()
        site.wait_for_words(f"{name} ended unexpectedly (SIGKILL); starting it again in 0.2 s")
        wait_until(lambda name=name, old=killed.pid: _runs_again(site, name, old), event=f"the return of {name}")
        wait_until(lambda: _answers(site), seconds=30, event=f"an answer after the return of {name}")


def test_restart_delay_doubles_with_each_failure(start: Start) -> None:
    site = start(TRAINER="0")
    site.wait_until_it_answers()
    for count in range(1, 4):
        old = site.part("web")
        old.kill()
        site.wait_for_words("web ended unexpectedly (SIGKILL)", count=count)
        wait_until(lambda old=old: _runs_again(site, "web", old.pid), event="the return of web")
    # Redis starts empty if its file is damaged: the database has the pending submissions.
    (file,) = (site.folder / "redis" / "appendonlydir").glob("*.incr.aof")
    with file.open("r+b") as content:
        content.write(b"?" * 30)  # at its beginning; Redis repairs a truncated end itself
    site.part("redis").kill()
    site.wait_for_words("it starts empty")
    wait_until(lambda: _answers(site), seconds=30, event="an answer with an empty Redis")
    delays = [line.rpartition(" in ")[2] for line in site.output.splitlines() if "web ended unexpectedly" in line]
    assert delays == ["0.2 s", "0.4 s", "0.8 s"]


def test_several_web_processes_are_restarted_and_end_with_the_site(start: Start) -> None:
    site = start(WEB_PROCESSES="2", TRAINER="0")
    site.wait_until_it_answers()
    web = site.part("web")
    victim = web.children()[-1]
    victim.kill()
    wait_until(lambda: len(web.children()) == 2 and _answers(site), seconds=30, event="the restart of a web process")
    assert "web ended unexpectedly" not in site.output
    port = int(site.url.rstrip("/").rpartition(":")[2])
    assert site.stop() < SECONDS
    shutil.rmtree(metrics_folder("127.0.0.1", port))
    assert site.left_behind() == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_signal_stops_all_processes_in_time(start: Start, how: signal.Signals) -> None:
    site = start()
    site.wait_until_all_run()
    assert site.draw_a_three().status_code == 201  # starts a worker session
    seconds = site.stop(how)
    assert site.process.returncode == 0
    assert site.left_behind() == []
    assert seconds < SECONDS
    assert not (site.folder / "address").exists()


def test_second_ctrl_c_kills_processes_that_do_not_end(start: Start) -> None:
    site = start(command=(sys.executable, "-c", STUBBORN_SITE), REDIS_URL="redis://localhost:1", TRAINER="0")
    site.wait_for_words("ignores SIGTERM", count=2)
    site.process.send_signal(signal.SIGINT)
    site.wait_for_words("stopping")
    site.process.send_signal(signal.SIGTERM)  # has no effect
    started = time.monotonic()
    site.stop(signal.SIGINT)
    assert time.monotonic() - started < STOP_SECONDS / 2
    assert site.left_behind() == []


@pytest.mark.parametrize("words", ["starting", "redis ", "serving model version"])
def test_signal_during_the_start_stops_all_processes(start: Start, words: str) -> None:
    site = start()
    site.wait_for_words(words)
    assert site.stop() < SECONDS
    assert site.left_behind() == []


def test_no_process_outlives_a_killed_supervisor_and_the_next_start_keeps_all_data(start: Start) -> None:
    first = start(TRAINER="0")
    first.wait_until_it_answers()
    assert first.part("default").cmdline()[-1] == "default"  # it does not serve the queue `train`
    drawn = first.draw_a_three().json()
    for name in ("predictions", "redis"):  # suspended processes do not react to SIGTERM
        first.part(name).suspend()
    first.stop(signal.SIGKILL)
    second = start(TRAINER="0", HOST="0.0.0.0")  # at once: it waits until the processes of the first site have ended
    wait_until(lambda: not first.left_behind(), seconds=SECONDS, event="the end of every process")
    second.wait_until_it_answers()
    with second.client() as client:
        response = client.get(drawn["url"].replace(first.url, second.url))
        assert response.json()["prediction"]["digit"] == 3
        for address in own_addresses():  # as a phone in the same network
            assert client.get(second.url.replace("127.0.0.1", address)).status_code == 200
        assert client.get("/", headers={"Host": "evil.example.com"}).status_code == 400


@pytest.mark.acceptance
def test_replaced_database_is_migrated_although_no_source_file_changed(start: Start, folder: Path) -> None:
    site = start()
    site.wait_until_it_answers()
    site.stop()
    for file in folder.glob("db.sqlite3*"):
        file.unlink()
    (folder / "db.sqlite3").touch()
    site = start()
    site.wait_until_it_answers()
    assert site.draw_a_three().status_code == 201


@pytest.mark.acceptance
def test_second_start_predicts_within_five_seconds(start: Start) -> None:
    took = []
    for _ in range(3):
        site = start()
        site.wait_until_it_answers()
        assert site.draw_a_three().json()["prediction"]["digit"] == 3
        took.append(time.monotonic() - site.started)
        site.stop()
    print("seconds to the first right answer:", ", ".join(f"{seconds:.2f}" for seconds in took))
    assert min(took) < 5


def _runs_again(site: Supervised, name: str, old: int) -> bool:
    try:
        return site.part(name).pid != old
    except AssertionError:
        return False


def _answers(site: Supervised) -> bool:
    try:
        return site.draw_a_three().status_code == 201
    except httpx.TransportError:
        return False
