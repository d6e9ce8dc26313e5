"""Periodic jobs of the default worker: one task each."""

from celery import current_app
from django.conf import settings

from digitsite.testing.site import Site, wait_until
from recognizer.models import RunState, Submission, TrainingRun
from tests.factories import make_prediction, make_submission


def test_every_scheduled_task_is_registered():
    current_app.loader.import_default_modules()
    assert {entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values()} <= set(current_app.tasks)


def test_failing_job_does_not_stop_other_jobs(make_site):
    site: Site = make_site(RECOVERY_INTERVAL_SECONDS="3600")  # no scheduled tasks during the test
    site.start_redis()
    site.start_worker()
    worker = site.start_default_worker()
    with site.entered():
        submission = make_submission()
        make_prediction(submission)
        Submission.objects.filter(pk=submission.pk).update(answered_by=99)
        # The job `tend_training_runs` expects a mapping here.
        TrainingRun.objects.create(trigger="person", state=RunState.QUEUED, progress=[])
        current_app.send_task("recognizer.tasks.tend", retry=False)
        wait_until(lambda: Submission.objects.filter(pk=submission.pk, answered_by=1).exists())
    worker.wait_for_words("'list' object has no attribute 'get'")
