"""Models: what is live and what was, every version with its figures, training runs. Operators only.

Who signed in and is no operator gets 403; who did not is asked to sign in.
"""

from collections.abc import Callable
from functools import wraps

from django.contrib import messages
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from recognizer.models import Deployment, ModelFiles, ModelVersion, TrainingRun
from recognizer.services import training as services_training
from recognizer.services.registry import deployments, plots
from recognizer.services.registry import versions as model_versions
from recognizer.services.review import confusion_matrix, statistics
from recognizer.services.training import presenters as training
from recognizer.templatetags.charts import curves

# Rows of the tables on the Models page; older versions are reached through their children's pages.
VERSIONS, DEPLOYMENTS, RUNS = 50, 20, 10


def operators_only(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    @wraps(view)
    def guarded(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if request.actor.user is None:
            return redirect_to_login(request.get_full_path())
        if not request.actor.is_operator:
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return guarded


@never_cache
@require_safe
@operators_only
def overview(request: HttpRequest) -> HttpResponse:
    live = model_versions.live_deployment()
    versions = list(ModelVersion.objects.select_related("parent").defer("history", "gate")[:VERSIONS])
    by_day, by_version = statistics.accuracy_on_traffic()
    with_files = set(ModelFiles.objects.values_list("version_id", flat=True))
    context = {
        "live": live,
        "rows": [
            {"version": one, "figures": training.metrics_vs_parent(one), "has_files": one.pk in with_files}
            for one in versions
        ],
        "active": services_training.active_run(),
        "runs": TrainingRun.objects.select_related("requested_by", "version").defer("log")[:RUNS],
        "deployments": Deployment.objects.select_related("from_version", "to_version", "who")[:DEPLOYMENTS],
        "next": training.next_run(),
        "traffic_by_day": by_day,
        "traffic_by_version": by_version,
        "days": statistics.PERIOD.days,
    }
    return render(request, "recognizer/models.html", context)


@never_cache
@require_safe
@operators_only
def version(request: HttpRequest, number: int) -> HttpResponse:
    found = _version(number)
    live = model_versions.live_deployment()
    context = {
        "version": found,
        "live": live,
        "is_live": live.to_version_id == found.pk,
        "was_live": found.deployments.exists(),
        "has_files": ModelFiles.objects.filter(version=found).exists(),
        "figures": training.metrics_vs_parent(found),
        "checks": training.checks_of(found),
        "plots": plots.names(found),
        "matrix": confusion_matrix.matrix_for_version(found),
        "deployments": found.deployments.select_related("from_version", "who"),
        "run": TrainingRun.objects.filter(version=found).defer("log").first(),
    }
    return render(request, "recognizer/model.html", context)


@require_safe
@operators_only
def plot(request: HttpRequest, number: int, name: str) -> HttpResponse:
    found = _version(number)
    if name not in plots.names(found):
        raise Http404
    try:
        drawn = plots.render_png(found, name)
    except plots.PlotError as error:
        messages.error(request, str(error))
        return redirect("model", number)
    # A version's figures never change.
    headers = {
        "Content-Disposition": f'attachment; filename="version-{number}-{name}.png"',
        "Cache-Control": "private, max-age=86400",
    }
    return HttpResponse(drawn, content_type="image/png", headers=headers)


@require_POST
@operators_only
def promote(request: HttpRequest, number: int) -> HttpResponse:
    """With `force` also a version that the gate refused; `why` is needed then."""
    return _deploy(request, number, deployments.promote, force="force" in request.POST)


@require_POST
@operators_only
def roll_back(request: HttpRequest, number: int) -> HttpResponse:
    return _deploy(request, number, deployments.roll_back)


def _deploy(request: HttpRequest, number: int, act: Callable[..., Deployment], **options: bool) -> HttpResponse:
    found = _version(number)
    seen = request.POST.get("seen", "")
    try:
        act(
            actor=request.actor,
            version=found,
            why=request.POST.get("why", ""),
            seen=int(seen) if seen.isdecimal() and len(seen) < 10 else None,
            **options,
        )
    except model_versions.RegistryError as error:
        messages.error(request, str(error))
        return redirect("model", number)
    messages.success(request, f"Version {number} is live. Workers answer with it from their next batch on.")
    return redirect("models")


@require_POST
@operators_only
def start(request: HttpRequest) -> HttpResponse:
    try:
        begun = services_training.request_run(
            trigger=TrainingRun.Trigger.PERSON, actor=request.actor, recipe=request.POST.get("recipe", "site")
        )
    except services_training.AlreadyRunningError as error:
        messages.error(request, str(error))
        begun = error.run
    except (services_training.NoTrainerError, ValueError) as error:
        messages.error(request, str(error))
        return redirect("models")
    return redirect("training-run", begun.pk)


@never_cache
@require_safe
@operators_only
def run(request: HttpRequest, pk: int) -> HttpResponse:
    services_training.expire_stale()
    found = _run(pk)
    return render(request, "recognizer/training_run.html", {"run": found, "now": training.state_of(found)})


@never_cache
@require_safe
@operators_only
def progress(request: HttpRequest, pk: int) -> JsonResponse:  # noqa: ARG001 - Django gives it
    """What the page of a run asks for every second; `curves` is ready to be shown."""
    services_training.expire_stale()
    found = _run(pk)
    return JsonResponse(training.state_of(found) | {"log": found.log, "curves": curves(training.history_of(found))})


@require_POST
@operators_only
def cancel(request: HttpRequest, pk: int) -> HttpResponse:
    if services_training.cancel(actor=request.actor, run=_run(pk)):
        messages.success(request, "It stops within seconds. Nothing of it is kept.")
    else:
        messages.error(request, "It had ended already.")
    return redirect("training-run", pk)


def _version(number: int) -> ModelVersion:
    return get_object_or_404(ModelVersion.objects.select_related("parent"), number=number)


def _run(pk: int) -> TrainingRun:
    return get_object_or_404(TrainingRun.objects.select_related("requested_by", "version"), pk=pk)
