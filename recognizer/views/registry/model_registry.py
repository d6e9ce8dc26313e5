"""The Models pages: live version, deployments, versions with their metrics, and training runs. Operators only."""

from collections.abc import Callable

from django.contrib import messages
from django.http import Http404, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from ml.evaluation.charts import to_file
from recognizer.models import Deployment, ModelFiles, ModelVersion, TrainingRun
from recognizer.requests import SiteRequest
from recognizer.services import training as services_training
from recognizer.services.identity import permissions
from recognizer.services.registry import deployments
from recognizer.services.registry import versions as model_versions
from recognizer.services.review import confusion_matrix, statistics
from recognizer.services.training import presenters as training

# Rows in the tables of the Models page. Older versions are linked from the pages of their children.
MAX_VERSIONS, MAX_DEPLOYMENTS, MAX_RUNS = 50, 20, 10


@never_cache
@require_safe
def overview(request: SiteRequest) -> HttpResponse:
    """Show the live version, the next training and the newest versions, runs and deployments."""
    permissions.require_operator(request.actor)
    live = model_versions.live_deployment()
    versions = list(ModelVersion.objects.select_related("parent").defer("history", "gate")[:MAX_VERSIONS])
    by_day, by_version = statistics.accuracy_on_traffic()
    with_files = set(ModelFiles.objects.values_list("version_id", flat=True))
    context = {
        "live": live,
        "rows": [
            {
                "version": version,
                "figures": training.metrics_vs_parent(version),
                "has_files": version.pk in with_files,
            }
            for version in versions
        ],
        "active": services_training.active_run(),
        "runs": TrainingRun.objects.select_related("requested_by", "version").defer("log")[:MAX_RUNS],
        "deployments": Deployment.objects.select_related("from_version", "to_version", "who")[:MAX_DEPLOYMENTS],
        "next": training.next_run(),
        "traffic_by_day": by_day,
        "traffic_by_version": by_version,
        "days": statistics.PERIOD.days,
    }
    return render(request, "recognizer/models.html", context)


@never_cache
@require_safe
def version_detail(request: SiteRequest, number: int) -> HttpResponse:
    """Show one model version: metrics, gate checks, charts, confusion matrix and deployments."""
    permissions.require_operator(request.actor)
    version = _get_version(number)
    live = model_versions.live_deployment()
    context = {
        "version": version,
        "live": live,
        "is_live": live.to_version_id == version.pk,
        "was_live": version.deployments.exists(),
        "has_files": ModelFiles.objects.filter(version=version).exists(),
        "figures": training.metrics_vs_parent(version),
        "checks": training.checks_of(version),
        "charts": {name: SafeString(svg) for name, svg in training.charts_of(version).items()},
        "matrix": confusion_matrix.matrix_for_version(version),
        "deployments": version.deployments.select_related("from_version", "who"),
        "run": TrainingRun.objects.filter(version=version).defer("log").first(),
    }
    return render(request, "recognizer/model.html", context)


@require_safe
def chart(request: SiteRequest, number: int, name: str) -> HttpResponse:
    """Send a chart of a version as an SVG file."""
    permissions.require_operator(request.actor)
    svg = training.charts_of(_get_version(number)).get(name)
    if svg is None:
        raise Http404
    # The metrics of a version never change.
    headers = {
        "Content-Disposition": f'attachment; filename="version-{number}-{name}.svg"',
        "Cache-Control": "private, max-age=86400",
    }
    return HttpResponse(to_file(svg), content_type="image/svg+xml", headers=headers)


@require_POST
def promote(request: SiteRequest, number: int) -> HttpResponse:
    """Promote a version. With `force`, also one that the gate refused; this needs a reason in `why`."""
    return _deploy(request, number, deployments.promote, force="force" in request.POST)


@require_POST
def roll_back(request: SiteRequest, number: int) -> HttpResponse:
    """Roll back to an earlier version."""
    return _deploy(request, number, deployments.roll_back)


def _deploy(request: SiteRequest, number: int, deploy: Callable[..., Deployment], **options: bool) -> HttpResponse:
    version = _get_version(number)
    sequence = request.POST.get("seen", "")
    try:
        deploy(
            actor=request.actor,
            version=version,
            why=request.POST.get("why", ""),
            expected_sequence=int(sequence) if sequence.isdecimal() and len(sequence) < 10 else None,
            **options,
        )
    except model_versions.RegistryError as error:
        messages.error(request, str(error))
        return redirect("model", number)
    messages.success(request, f"Version {number} is live. Workers answer with it from their next batch on.")
    return redirect("models")


@require_POST
def start(request: SiteRequest) -> HttpResponse:
    """Request a training run, and show it or the run that is active already."""
    try:
        run = services_training.request_run(actor=request.actor, recipe=request.POST.get("recipe", "site"))
    except services_training.AlreadyRunningError as error:
        messages.error(request, str(error))
        run = error.run
    except (services_training.NoTrainerError, ValueError) as error:
        messages.error(request, str(error))
        return redirect("models")
    return redirect("training-run", run.pk)


@never_cache
@require_safe
def run_detail(request: SiteRequest, pk: int) -> HttpResponse:
    """Show the state, progress and log of a training run."""
    permissions.require_operator(request.actor)
    services_training.expire_stale()
    run = _get_run(pk)
    curves = SafeString(training.learning_curves_of(run))
    context = {"run": run, "now": training.state_of(run), "curves": curves}
    return render(request, "recognizer/training_run.html", context)


@never_cache
@require_safe
def progress(request: SiteRequest, pk: int) -> JsonResponse:
    """Return the state of a run, its log and its curves as HTML. Polled every second by the page of the run."""
    permissions.require_operator(request.actor)
    services_training.expire_stale()
    run = _get_run(pk)
    return JsonResponse(training.state_of(run) | {"log": run.log, "curves": training.learning_curves_of(run)})


@require_POST
def cancel(request: SiteRequest, pk: int) -> HttpResponse:
    """Cancel a training run."""
    if services_training.cancel(actor=request.actor, run=_get_run(pk)):
        messages.success(request, "It stops within seconds. Nothing of it is kept.")
    else:
        messages.error(request, "It had ended already.")
    return redirect("training-run", pk)


def _get_version(number: int) -> ModelVersion:
    return get_object_or_404(ModelVersion.objects.select_related("parent"), number=number)


def _get_run(pk: int) -> TrainingRun:
    return get_object_or_404(TrainingRun.objects.select_related("requested_by", "version"), pk=pk)
