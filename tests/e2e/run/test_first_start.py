"""The first start of a site on an empty data directory, and the running site."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from digitsite.testing.site import BASE_DIR
from digitsite.testing.supervised import Supervised

from .people import draw_a_three_and_find_it

MB = 1_000_000


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """A site started on an empty directory, shared by all tests of this module."""
    with Supervised(tmp_path_factory.mktemp("new") / "data") as site:
        site.wait_until_all_run()
        yield site


def test_announced_site_predicts_the_right_digit(site: Supervised) -> None:
    with site.client() as client:
        assert client.get("/").status_code == 200
    response = site.draw_a_three()
    assert response.status_code == 201
    assert response.json()["prediction"]["digit"] == 3


def test_resident_memory_is_below_420_mb(site: Supervised) -> None:
    """Measure resident memory with shared pages counted in every process, as the sum of `ps` does."""
    for _ in range(20):
        site.draw_a_three()
    site.wait_until_the_start_is_over()
    processes = [psutil.Process(site.process.pid), *psutil.Process(site.process.pid).children(recursive=True)]
    resident = {process: process.memory_info().rss / MB for process in processes}
    for process, size in resident.items():
        print(f"{size:6.1f} MB  {' '.join(process.cmdline())[:100]}")
    print(f"{sum(resident.values()):6.1f} MB  together")
    assert resident[site.part("predictions")] < 150
    assert sum(resident.values()) < 420


def test_drawing_in_a_browser_is_predicted_and_listed_in_history(site: Supervised) -> None:
    draw_a_three_and_find_it(site.url)


def test_address_is_printed_on_one_line(site: Supervised) -> None:
    lines = [line for line in site.output.splitlines() if "http://" in line]
    assert re.fullmatch(r"The site answers at http://127\.0\.0\.1:\d+/", lines[0])


def test_printed_link_signs_in_the_operator_once(site: Supervised) -> None:
    link = site.sign_in_link
    with site.client() as client:
        page = client.get(link)
        assert page.status_code == 200  # as the link preview of a chat program does; it must not invalidate the link
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)[1]
        signed_in = client.post(link, data={"csrfmiddlewaretoken": token}, headers={"Referer": link})
        assert signed_in.status_code == 302
        assert client.get("/admin/").status_code == 200
    with site.client() as other_client:
        assert other_client.get(link).status_code == 410


def test_operator_command_prints_a_link_with_the_address_of_the_running_site(site: Supervised) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "operator", "olga"],
        cwd=BASE_DIR, env=os.environ | {"DATA_DIR": str(site.folder)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.startswith(site.url)
    with site.client() as client:
        assert "olga" in client.get(done.stdout.strip()).text


def test_secrets_are_readable_only_by_their_owner(site: Supervised) -> None:
    assert site.folder.stat().st_mode & 0o777 == 0o700
    assert (site.folder / "secret_key").stat().st_mode & 0o777 == 0o600
    assert (site.folder / "redis.sock").stat().st_mode & 0o777 == 0o700


def test_second_site_on_the_same_data_directory_is_rejected_in_one_line(site: Supervised) -> None:
    with Supervised(site.folder) as second:
        assert second.process.wait(30) == 1
        assert second.output.startswith(f"The site runs already on the data folder {site.folder} (process ")
        assert len(second.output.splitlines()) == 1
    assert site.draw_a_three().status_code == 201


def test_port_in_use_is_rejected_in_one_line(site: Supervised, tmp_path: Path) -> None:
    port = site.url.rstrip("/").rpartition(":")[2]
    with Supervised(tmp_path / "other", PORT=port) as second:
        assert second.process.wait(30) == 1
        assert second.output == (
            f"Port {port} is taken by another program. Choose another one: make run PORT={int(port) + 1}\n"
        )
    assert not (tmp_path / "other").exists()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="looks at the libraries of a process in /proc")
@pytest.mark.parametrize("name", ["web", "predictions", "default"])
def test_no_process_of_an_idle_site_has_loaded_tensorflow(site: Supervised, name: str) -> None:
    site.draw_a_three()
    part = site.part(name)
    for process in [part, *part.children(recursive=True)]:
        assert "tensorflow" not in Path(f"/proc/{process.pid}/maps").read_text()


def test_pages_respond_while_the_maximum_number_of_requests_waits(site: Supervised) -> None:
    """A suspended worker with a recent heartbeat delays submissions until their timeout, but not pages."""
    worker = site.part("predictions")
    with ThreadPoolExecutor(60) as people:
        worker.suspend()
        try:
            waiting = [people.submit(site.draw_a_three) for _ in range(60)]
            time.sleep(0.5)  # until they are received; their waiting cannot be observed
            started = time.monotonic()
            with site.client() as client:
                assert client.get("/").status_code == 200
            assert time.monotonic() - started < 1.5  # each submission waits for 2 s
            assert {future.result().status_code for future in waiting} == {202}
        finally:
            worker.resume()
