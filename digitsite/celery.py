"""The Celery app and how its workers are started. The supervisor does it with digitsite/worker.py; the same with
Celery's own command:

celery --app digitsite worker --pool solo --queues predictions --hostname predictions@%h
celery --app digitsite worker --pool threads --concurrency 2 --queues default --hostname default@%h
celery --app digitsite worker --pool threads --concurrency 1 --queues train --hostname train@%h

each with --without-gossip --without-mingle --loglevel INFO. There may be several prediction workers, each with a
hostname of its own; more than one worker of another queue does no harm. A worker finds out from its queues what it
does beside tasks (digitsite/bootsteps.py): one of `predictions` loads the model and sends heartbeats, one of
`default` keeps the beat, so no `celery beat` is needed, and one of these or of `train` sends itself a canary.
"""

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "digitsite.settings")

app = Celery("digitsite")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()

# By name: only a worker imports them.
app.steps["worker"].update({"digitsite.bootsteps:LoadModel", "digitsite.bootsteps:Beat"})
app.steps["consumer"].update({"digitsite.bootsteps:Heartbeat", "digitsite.bootsteps:FirstCanary"})
