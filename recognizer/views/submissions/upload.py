"""The Upload page. Scripts send each image to the JSON API; without scripts one form sends all of them."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from ml.serving.images import FORMAT_NAMES
from recognizer.forms import UploadForm
from recognizer.middleware import ensure_visitor
from recognizer.models import Source, Submission
from recognizer.requests import SiteRequest
from recognizer.services.identity import permissions, quotas, training_consent
from recognizer.services.identity.throttling import ThrottledError
from recognizer.services.inference import producer
from recognizer.services.lib.errors import BusyError
from recognizer.services.submissions import service
from recognizer.services.submissions.intake import SubmissionInput, SubmissionRejectedError
from recognizer.templatetags.formatting import ANSWER_WORDS

# Django's limit for files in a form (DATA_UPLOAD_MAX_NUMBER_FILES).
MAX_RESULTS = 100
THROTTLED_TEXT = "that was a lot at once. Wait a minute, then send them again."


@require_http_methods(["GET", "HEAD", "POST"])
def upload(request: SiteRequest) -> HttpResponse:
    """Show the form; a POST creates a submission for each file."""
    # Set the visitor here: concurrent first requests of the scripts would get a different key each.
    ensure_visitor(request)
    form = UploadForm(request.POST, request.FILES) if request.method == "POST" else UploadForm()
    if form.is_valid():
        return _create_submissions(request, form)
    return _page(request, form, status=422 if form.is_bound else 200)


def _page(request: SiteRequest, form: UploadForm, *, status: int) -> HttpResponse:
    context = {
        "form": form,
        "formats": FORMAT_NAMES,
        "max_bytes": settings.MAX_UPLOAD_BYTES,
        "words": ANSWER_WORDS,
        "opted_out": training_consent.has_opted_out(request.actor),
    }
    return render(request, "recognizer/upload.html", context, status=status)


def _create_submissions(request: SiteRequest, form: UploadForm) -> HttpResponse:
    """Create the submissions one by one, so that a bad file does not affect the others."""
    accepted: list[Submission] = []
    busy: BusyError | None = None
    files = form.cleaned_data["images"]
    # A single file is awaited where it is stored; several share one timeout below.
    timeout = settings.PREDICTION_WAIT_SECONDS if len(files) == 1 else 0
    for file in files:
        # One byte more than the limit is enough to reject the file for its size.
        data = file.read(settings.MAX_UPLOAD_BYTES + 1)
        payload = SubmissionInput(source=Source.UPLOAD, image=data, may_train=form.cleaned_data["may_train"])
        try:
            accepted.append(service.create_submission(actor=request.actor, payload=payload, wait=True, timeout=timeout))
        except permissions.NotAllowedError as error:
            messages.error(request, str(error))
            return redirect("login")
        except ThrottledError:
            if not accepted:
                raise
            messages.error(request, f"{file.name} and what came after it were not taken: {THROTTLED_TEXT}")
            break
        except (SubmissionRejectedError, BusyError, quotas.QuotaError) as error:
            messages.error(request, f"{file.name}: {error}")
            busy = error if isinstance(error, BusyError) else busy
    if not accepted:
        response = _page(request, UploadForm(), status=422 if busy is None else 503)
        if busy is not None:
            response["Retry-After"] = str(busy.wait)
        return response
    if len(files) > 1:
        # Submissions without a prediction by then are shown as waiting.
        producer.enqueue_and_wait(accepted, timeout=settings.PREDICTION_WAIT_SECONDS, caller=request.actor.caller_key)
    if len(accepted) == 1:
        return redirect(accepted[0])
    query = QueryDict(mutable=True)
    query.setlist("s", [submission.public_id for submission in accepted])
    return redirect(f"{reverse('upload-results')}?{query.urlencode()}")


@never_cache
@require_safe
def results(request: SiteRequest) -> HttpResponse:
    """Show the submissions `s` of the query, in that order."""
    ids = request.GET.getlist("s")[:MAX_RESULTS]
    visible = permissions.visible_submissions(request.actor).with_latest_prediction().without_large_columns()
    rows = sorted(visible.filter(public_id__in=ids), key=lambda submission: ids.index(submission.public_id))
    return render(request, "recognizer/upload_results.html", {"submissions": rows})
