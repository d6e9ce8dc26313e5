"""Django with one Celery task for each request and a result backend, as in most tutorials. Stores nothing.

Starts a web server and a worker; Valkey is started separately:

    PEER_REDIS=/path/to/socket PORT=9001 python -m bench.peers.with_celery
"""

import base64
import os
import subprocess
import sys
from functools import cache
from wsgiref.types import StartResponse, WSGIEnvironment

import numpy as np
from celery import Celery
from django.conf import settings
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, HttpResponseBase, JsonResponse
from django.urls import path

from bench.peers import reading

REDIS = os.environ.get("PEER_REDIS", "")

app = Celery("peer", broker=f"redis+socket://{REDIS}", backend=f"redis+socket://{REDIS}")
classify = cache(reading.engine)


@app.task
def predict_task(file: str) -> int:
    """Predict an image, base64-encoded."""
    return int(classify()(reading.pixels(base64.b64decode(file))[np.newaxis])[0])


def predict(request: HttpRequest) -> JsonResponse:
    """Send the image to the worker and wait for the digit."""
    file = base64.b64encode(request.FILES.getlist("image")[0].read()).decode()
    return JsonResponse({"digit": predict_task.delay(file).get(timeout=60)})


urlpatterns = [path("predict", predict)]


def application(environ: WSGIEnvironment, start_response: StartResponse) -> HttpResponseBase:
    """Answer as the WSGI application, which is created for the first request."""
    return _django()(environ, start_response)


@cache
def _django() -> WSGIHandler:
    import django

    if not settings.configured:
        settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"], LOGGING_CONFIG=None)
        django.setup()
    return WSGIHandler()


def main() -> int:
    """Run the worker as a child process and the web server in the foreground."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "celery", "-A", __spec__.name, "worker", "--pool", "solo", "--loglevel", "WARNING"]
    )
    try:
        return subprocess.call(
            [
                sys.executable,
                "-m",
                "granian",
                "--interface",
                "wsgi",
                f"{__spec__.name}:application",
                "--port",
                os.environ["PORT"],
                "--blocking-threads",
                "64",
                "--no-ws",
                "--log-level",
                "error",
            ]
        )
    finally:
        worker.kill()


if __name__ == "__main__":
    sys.exit(main())
