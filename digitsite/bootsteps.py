"""What our Celery workers do beside running tasks: load the model first, say that they live, keep the beat.

https://docs.celeryq.dev/en/stable/userguide/extending.html
"""

import logging
import time
from threading import Thread

import redis
from celery import Celery, beat, bootsteps
from celery.exceptions import WorkerShutdown
from celery.worker import WorkController
from celery.worker.consumer import Consumer
from django.conf import settings
from django.db import DatabaseError
from kombu import Producer
from kombu.exceptions import OperationalError

log = logging.getLogger(__name__)


def _serves(queue: str, app: Celery) -> bool:
    return queue in app.amqp.queues.consume_from


class LoadModel(bootsteps.StartStopStep):
    """Prediction workers load and warm the live model before they take the first message, or stop with one line."""

    requires = {"celery.worker.components:Pool"}

    def include_if(self, parent: WorkController) -> bool:
        return _serves("predictions", parent.app)

    def start(self, parent: WorkController) -> None:  # noqa: ARG002
        import numpy as np

        from ml.serving.bundle import BundleError
        from recognizer.services.inference import handoff
        from recognizer.services.registry import versions

        try:
            try:
                handoff.link().check_server()
            except redis.ConnectionError as error:
                log.info("Redis is not there yet (%s); Celery waits for it", error)
            _, classifier = versions.live_classifier.current()
            for size in (1, settings.PREDICTION_BATCH):
                classifier.answer(np.zeros((size, 28, 28), np.uint8))
        except (handoff.HandoffError, versions.RegistryError, BundleError, DatabaseError) as error:
            log.critical("The prediction worker cannot start: %s", error)
            raise WorkerShutdown(1) from error


class Heartbeat(bootsteps.StartStopStep):
    """Prediction workers say every second, from the timer of their main loop, that they live.

    A worker whose main loop hangs falls silent, and then no request waits for it. While a shift runs, which holds the
    main loop, the shift says so instead.
    """

    requires = {"celery.worker.consumer.tasks:Tasks"}

    def __init__(self, parent: Consumer, **kwargs) -> None:
        self._timers: list = []
        super().__init__(parent, **kwargs)

    def include_if(self, parent: Consumer) -> bool:
        return _serves("predictions", parent.app)

    def start(self, parent: Consumer) -> None:
        from recognizer.services.inference import handoff
        from recognizer.services.inference.handoff import serving

        self._beat(parent.hostname)
        self._timers = [
            parent.timer.call_repeatedly(serving.HEARTBEAT_SECONDS, self._beat, (parent.hostname,)),
            # What waits since before this worker started shall not wait for the next sweep. A worker that was killed
            # left a lease behind, which makes the first call a vain one.
            parent.timer.call_after(serving.LEASE_SECONDS, handoff.ring),
        ]
        handoff.ring()

    def stop(self, parent: Consumer) -> None:
        from recognizer.services.inference.handoff import serving

        while self._timers:
            parent.timer.cancel(self._timers.pop())
        try:
            serving.farewell(parent.hostname)
        except redis.RedisError as error:
            log.warning("Redis did not hear that this worker stops: %s", error)

    @staticmethod
    def _beat(worker: str) -> None:
        from recognizer.services.inference.handoff import serving

        try:
            serving.heartbeat(worker)
        except redis.RedisError as error:
            log.warning("Redis did not hear this worker's heartbeat: %s", error)


class FirstCanary(bootsteps.StartStopStep):
    """Workers of the other queues send themselves a canary when they begin to take work, or do again after Redis was
    away. The beat's next one may be a minute off, and until then nobody would know that they are there."""

    requires = {"celery.worker.consumer.tasks:Tasks"}

    def __init__(self, parent: Consumer, **kwargs) -> None:
        self._queues = [queue for queue in ("default", "train") if _serves(queue, parent.app)]
        super().__init__(parent, **kwargs)

    def include_if(self, parent: Consumer) -> bool:  # noqa: ARG002
        return bool(self._queues)

    def start(self, parent: Consumer) -> None:
        for queue in self._queues:
            try:
                parent.app.send_task(
                    "recognizer.tasks.canary",
                    (queue,),
                    queue=queue,
                    expires=settings.LIVENESS_INTERVAL_SECONDS,
                    retry=False,
                )
            except OperationalError as error:
                log.warning("the first canary of %s was not sent; the beat sends the next: %s", queue, error)


class Scheduler(beat.Scheduler):
    """Beat in memory, by the monotonic clock: what is periodic asks the database whether it is due.

    So no schedule file has to be kept. Celery's own scheduler goes by the wall clock: set back by three hours, it would
    send nothing for three hours.
    """

    def __init__(self, *args: object, **kwargs: object) -> None:
        self._due: dict[str, float] = {}
        super().__init__(*args, **kwargs)

    def tick(self, *_args: object, **_kwargs: object) -> float:
        """Send what is due. Returns the seconds until something is due next."""
        for name, entry in self.schedule.items():
            now, interval = time.monotonic(), entry.schedule.run_every.total_seconds()
            if self._due.setdefault(name, now + interval) <= now:
                self.apply_entry(entry, producer=self.producer)
                self._due[name] = now + interval
        return max(0.0, min(self._due.values(), default=self.max_interval) - time.monotonic())

    def apply_entry(self, entry: beat.ScheduleEntry, producer: Producer | None = None) -> None:
        """As inherited, but while Redis is away one line says so instead of sixty."""
        try:
            self.apply_async(entry, producer=producer, advance=False)
        except beat.SchedulingError as error:
            log.warning("%s", error)


class Beat(bootsteps.StartStopStep):
    """The default worker keeps the beat in a thread of its own; `celery worker --beat` would fork 60 MB for it."""

    requires = {"celery.worker.components:Pool"}

    def include_if(self, parent: WorkController) -> bool:
        return _serves("default", parent.app)

    def create(self, parent: WorkController) -> Thread:
        return beat.EmbeddedService(parent.app, thread=True, scheduler_cls=parent.app.conf.beat_scheduler)
