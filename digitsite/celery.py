"""The Celery app.

The supervisor starts workers with digitsite/worker.py. Celery's own command is equivalent:

    celery --app digitsite worker --pool solo --queues predictions --hostname predictions@%h
    celery --app digitsite worker --pool threads --concurrency 3 --queues default,train --hostname default@%h

each with --without-gossip --without-mingle --loglevel INFO. There may be several prediction workers, each with its own
hostname; several workers of another queue do no harm. The boot steps of a worker depend on its queues
(digitsite/bootsteps.py): `predictions` loads the model and reads the prediction queue in a thread, `default` runs beat,
so that no `celery beat` is needed, and each sends itself a first liveness probe.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "digitsite.settings")

app = Celery("digitsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# By name, so that only workers import them.
app.steps["worker"].update(
    {
        "digitsite.bootsteps:LoadModel",
        "digitsite.bootsteps:PredictionConsumer",
        "digitsite.bootsteps:Beat",
    }
)
app.steps["consumer"].add("digitsite.bootsteps:FirstCanary")
