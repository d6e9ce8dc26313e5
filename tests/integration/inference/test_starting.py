"""Workers that cannot start."""

from digitsite.testing.site import Part, Site, wait_until
from recognizer.models import Deployment, ModelFiles


def start_refused_worker(site: Site) -> Part:
    worker = site.start_worker(ready=False)
    wait_until(lambda: not worker.is_running, seconds=30, event="the end of a worker that cannot serve")
    assert worker.exit_status == 1
    return worker


def wait_for_line(worker: Part) -> str:
    lines = [line for line in worker.output.splitlines() if "The prediction worker cannot start" in line]
    assert len(lines) == 1
    assert "Traceback" not in worker.output
    return lines[0]


def test_damaged_model_stops_worker_with_clear_message(site: Site) -> None:
    site.start_redis()
    with site.entered():
        files = ModelFiles.objects.get()
        damaged = bytearray(files.bundle)
        damaged[len(damaged) // 2] ^= 255
        ModelFiles.objects.update(bundle=bytes(damaged))
    assert "its sha256 differs" in wait_for_line(start_refused_worker(site))


def test_worker_without_live_model_says_what_to_do(site: Site) -> None:
    site.start_redis()
    with site.entered():
        Deployment.objects.all().delete()
    assert "manage.py migrate" in wait_for_line(start_refused_worker(site))
