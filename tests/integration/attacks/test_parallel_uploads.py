"""Many concurrent large uploads: each is stored, or rejected with Retry-After, in bounded memory."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import psutil
import pytest

from digitsite.testing.site import Site
from recognizer.models import Submission
from tests.image_samples import digit, png

# As set by the supervisor and the container image.
MALLOC = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "1000000", "MALLOC_TRIM_THRESHOLD_": "2000000"}
# The web container of compose.yaml has 512 MB.
MAX_MEGABYTES = 450


@pytest.mark.parametrize("count", [12, pytest.param(64, marks=pytest.mark.acceptance)])
@pytest.mark.parametrize("disk_megabytes", ["512", "64"])
def test_each_of_many_large_uploads_is_stored_or_gets_retry_after(
    make_site: Callable[..., Site], count: int, disk_megabytes: str
) -> None:
    site = make_site(BODY_DISK_MEGABYTES=disk_megabytes, PREDICTION_WAIT_SECONDS="0", **MALLOC)
    site.start_redis()
    site.start_web()

    def upload(number: int) -> httpx.Response:
        data = png(digit(64, seed=number)) + bytes(10_000_000)
        with site.client() as client:
            return client.post("/api/v1/submissions", files={"image": ("a.png", data, "image/png")}, timeout=120)

    with ThreadPoolExecutor(count) as pool:
        responses = list(pool.map(upload, range(count)))
    statuses = Counter(response.status_code for response in responses)
    assert set(statuses) <= {202, 503}
    assert statuses[202] >= 4
    for response in responses:
        if response.status_code == 503:
            assert response.json()["code"] == "busy"
            assert int(response.headers["Retry-After"]) > 0
    with site.entered():
        assert Submission.objects.count() == statuses[202]
    assert not list((site.folder / "tmp").iterdir())
    resident = sum(process.memory_info().rss for process in psutil.Process(site.parts[-1].pid).children())
    print(f"\n{dict(statuses)}, {resident / 1e6:.0f} MB afterwards, at most {peak_megabytes(site)}")
    assert peak_megabytes(site) <= MAX_MEGABYTES


def peak_megabytes(site: Site) -> int:
    """Return the sum of the peak resident memory of the web server's processes."""
    server = psutil.Process(site.parts[-1].pid)
    peaks = []
    for process in (server, *server.children()):
        status = Path(f"/proc/{process.pid}/status").read_text()
        peaks += [int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")]
    return sum(peaks) // 1000
