"""Boot steps of the Celery workers: load the model, run the prediction consumer and beat, send liveness probes.

https://docs.celeryq.dev/en/stable/userguide/extending.html
"""

import logging
import time
from threading import Thread
from typing import Any, cast

import redis
from celery import Celery, beat, bootsteps
from celery.exceptions import WorkerShutdown
from celery.worker import WorkController
from celery.worker.consumer import Consumer
from django.conf import settings
from kombu import Producer
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)


def _serves(queue: str, app: Celery) -> bool:
    return queue in app.amqp.queues.consume_from


class LoadModel(bootsteps.StartStopStep):
    """Loads the live model before a prediction worker takes its first message, or stops the worker.

    The consumer and the Celery tasks run in two threads, each with a model of its own. Only the one that requests wait
    for is warmed up, because the first batch takes memory that is kept.
    """

    requires = ("celery.worker.components:Pool",)

    def include_if(self, parent: WorkController) -> bool:
        """Return whether this is a prediction worker."""
        return _serves("predictions", parent.app)

    def start(self, parent: WorkController) -> None:  # noqa: ARG002
        """Load the model, or stop the worker with one log line."""
        from recognizer.services.inference import predict, streams

        try:
            try:
                streams.check_server()
            except redis.ConnectionError as error:
                log.info("redis_unavailable: Celery retries the connection: %s", error)
            predict.load_live_model()
        except (streams.QueueError, *predict.SITE_ERRORS) as error:
            log.critical("worker_start_failed: The prediction worker cannot start: %s", error)
            raise WorkerShutdown(1) from error


class PredictionConsumer(bootsteps.StartStopStep):
    """Runs the consumer of the prediction queue in a thread of a prediction worker.

    A step of the worker, because steps of Celery's own consumer start again with each reconnection to the broker.
    """

    requires = (LoadModel,)

    def include_if(self, parent: WorkController) -> bool:
        """Return whether this is a prediction worker whose consumer is switched on."""
        return _serves("predictions", parent.app) and settings.PREDICTION_CONSUMER

    def create(self, parent: Any) -> Any:
        """Create the consumer, which Celery starts and stops."""
        from recognizer.services.inference.consumer import Consumer

        return Consumer(parent.hostname)


class FirstCanary(bootsteps.StartStopStep):
    """Sends a liveness probe as soon as a worker consumes, also after Redis was unavailable.

    The next probe of beat may be a minute away, and until then the worker would be reported as missing.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def start(self, parent: Consumer) -> None:
        """Send one probe to each queue of this worker."""
        for queue in parent.app.amqp.queues.consume_from:
            try:
                expires = settings.LIVENESS_INTERVAL_SECONDS
                parent.app.send_task("recognizer.tasks.canary", (queue,), queue=queue, expires=expires, retry=False)
            except OperationalError as error:
                log.warning("liveness_probe_failed: queue %s, beat sends the next one: %s", queue, error)


class Scheduler(beat.Scheduler):
    """Beat without a schedule file, on the monotonic clock.

    Periodic tasks look up in the database what is due. Celery's own scheduler uses the wall clock: after the clock is
    set back by three hours, it sends nothing for three hours.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._due: dict[str, float] = {}
        super().__init__(*args, **kwargs)

    def tick(self, *_args: object, **_kwargs: object) -> float:
        """Send the tasks that are due; return the seconds until the next one is."""
        for name, entry in self.schedule.items():
            now, interval = time.monotonic(), cast("Any", entry.schedule).run_every.total_seconds()
            if self._due.setdefault(name, now + interval) <= now:
                self.apply_entry(entry, producer=self.producer)
                self._due[name] = now + interval
        next_due = min(self._due.values(), default=time.monotonic() + (self.max_interval or 0))
        return max(0.0, next_due - time.monotonic())

    def apply_entry(self, entry: beat.ScheduleEntry, producer: Producer | None = None) -> None:
        """Send one task. Unlike the inherited method, log one line instead of a traceback if Redis is unavailable."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except beat.SchedulingError as error:
            log.warning("%s", error)


class Beat(bootsteps.StartStopStep):
    """Runs beat in a thread of the default worker; `celery worker --beat` forks a process of 60 MB for it."""

    requires = ("celery.worker.components:Pool",)

    def include_if(self, parent: WorkController) -> bool:
        """Return whether this is the default worker."""
        return _serves("default", parent.app)

    def create(self, parent: WorkController) -> Thread:  # type: ignore[override]  # Celery starts what it returns
        """Create the thread, which Celery starts and stops."""
        return beat.EmbeddedService(  # type: ignore[return-value]  # thread=True makes it a thread
            parent.app, thread=True, scheduler_cls=parent.app.conf.beat_scheduler
        )
