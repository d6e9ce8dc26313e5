"""The ASGI application of the web server: `python -m digitsite.server` starts it."""

import contextlib
import gc
import tempfile
import time
from pathlib import Path

from django.conf import settings
from django.urls import reverse

from digitsite.wsgi import application as wsgi_application  # calls django.setup(), which all imports below need
from recognizer.proxies import address_of_client
from recognizer.services.lib.addresses import rate_key
from recognizer.services.lib.process_share import per_process
from recognizer.services.lib.units import MEGABYTE
from recognizer.views.receive_errors import ENVIRON_KEY

from .server.body import Limits
from .server.byte_budget import ByteBudget
from .server.environ import Environ
from .server.receiver import Application, Receiver
from .server.thread_pool import ThreadPool

# The limits below are for all web processes together.
# Threads that stay available for pages while the maximum number of requests waits for predictions.
PAGE_THREADS = 16
MAX_WAITING_JOBS = 1024
# Small request bodies, and large responses that are being sent.
MEMORY_BUDGET = 64 * MEGABYTE
# Previews that run at the same time. They compete for the GIL with submissions, which take precedence.
MAX_PREVIEWS = 8
# Total size of large request bodies that are processed at the same time.
MAX_LARGE_BYTES = 32 * MEGABYTE
DISK_BUDGET = settings.BODY_DISK_MEGABYTES * MEGABYTE
# With a smaller budget for a process, a single caller (see ByteBudget) could never send the largest form.
MIN_DISK_BUDGET = settings.UPLOAD_FORM_MAX_SIZE * 3 // 2
# Maximum body of a page's form and of an API view that accepts no images (`ApiView.max_body_bytes`).
MAX_SMALL_BODY = 64 * 1024
# Age, beyond the longest request, at which temporary files are removed.
TEMPORARY_FILE_SECONDS = 24 * 3600


def _use_temporary_folder(folder: Path) -> None:
    """Use this directory for the temporary files of all libraries, and remove those of killed processes."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for file in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another web process removed it
            if file.stat().st_mtime < time.time() - TEMPORARY_FILE_SECONDS:
                file.unlink()
    tempfile.tempdir = str(folder)


def _max_body_size(environ: Environ) -> int:
    path = environ["PATH_INFO"]
    if path == reverse("upload"):
        return settings.UPLOAD_FORM_MAX_SIZE
    if path in (reverse("api-submissions"), reverse("api-preview")):
        return settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return MAX_SMALL_BODY


PREVIEW_PATH = reverse("api-preview")
_use_temporary_folder(settings.TEMPORARY_DIR)
application = Receiver(
    Application(
        wsgi_application,
        caller_of=lambda environ: rate_key(address_of_client(environ)),
        max_body_size=_max_body_size,
        is_deferrable=lambda environ: environ["PATH_INFO"] == PREVIEW_PATH,
        error_key=ENVIRON_KEY,
    ),
    pool=ThreadPool(
        per_process(settings.MAX_WAITING_REQUESTS + PAGE_THREADS),
        max_waiting=per_process(MAX_WAITING_JOBS),
        max_large_bytes=per_process(MAX_LARGE_BYTES),
        max_deferrable=per_process(MAX_PREVIEWS),
    ),
    limits=Limits(
        timeout_seconds=settings.BODY_TIMEOUT_SECONDS,
        min_rate=settings.BODY_MIN_RATE,
        memory=ByteBudget(per_process(MEMORY_BUDGET)),
        disk=ByteBudget(max(per_process(DISK_BUDGET), min(DISK_BUDGET, MIN_DISK_BUDGET))),
        folder=settings.TEMPORARY_DIR,
    ),
    response_budget=ByteBudget(per_process(MEMORY_BUDGET)),
)

# Objects that exist now live as long as the process. Freezing them keeps the collector from scanning them, which took
# an eighth of a request's time under load.
gc.collect()
gc.freeze()
# A request allocates a thousand objects and hardly any reference cycles, so the default threshold of 700 is too low.
gc.set_threshold(10_000, 10, 10)
