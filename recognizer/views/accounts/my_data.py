"""The My data page: summary, download and deletion of personal data, and consent to training."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import logout
from django.http import FileResponse, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from recognizer.middleware import ensure_visitor
from recognizer.requests import SiteRequest
from recognizer.services.data import personal_data
from recognizer.services.identity import training_consent
from recognizer.services.lib.errors import BusyError
from recognizer.views.errors import error_page


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: SiteRequest) -> HttpResponse:
    """Show the page. A POST stores the consent to training: given with `train`, withdrawn without it."""
    if request.method == "POST":
        actor = ensure_visitor(request)
        if "train" in request.POST:
            training_consent.opt_in(actor)
            messages.success(request, "What you send from now on may help this site to learn.")
        else:
            training_consent.opt_out(actor)
            messages.success(request, "Nothing of yours trains any more.")
        return redirect("my-data")
    return render(
        request,
        "registration/my_data.html",
        {"summary": personal_data.summarize(request.actor), "retention_days": settings.RETENTION_DAYS},
    )


@require_POST
def download(request: SiteRequest) -> HttpResponse | FileResponse:
    """Send the zip file of the actor's personal data."""
    try:
        file = personal_data.export_data(request.actor)
    except BusyError as error:
        return error_page(request, 503, retry_after=error.wait)
    return FileResponse(file, as_attachment=True, filename="my-digits.zip", content_type="application/zip")


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def delete(request: SiteRequest) -> HttpResponse:
    """Ask for confirmation; a POST deletes the data, and with `account` the account too."""
    if request.method != "POST":
        context = {"summary": personal_data.summarize(request.actor)}
        return render(request, "registration/my_data_delete.html", context)
    with_account = "account" in request.POST
    try:
        count = personal_data.delete_everything(request.actor, with_account=with_account)
    except personal_data.AccountNotDeletableError as error:
        messages.error(request, str(error))
        return redirect("my-data-delete")
    if with_account:
        logout(request)
    images = "1 picture is" if count == 1 else f"{count} pictures are"
    messages.success(
        request, f"{images} gone for good, with every answer and label{', and so is your account' * with_account}."
    )
    return redirect("draw" if with_account else "my-data")
