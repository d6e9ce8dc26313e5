"""The Tokens page: API keys of an account. A new key is shown once, in the response that creates it."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from recognizer.forms import TokenForm
from recognizer.requests import SiteRequest
from recognizer.services.identity import tokens


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: SiteRequest) -> HttpResponse:
    """List the account's tokens; a POST creates one."""
    form = TokenForm(request.POST or None, scopes=tokens.scopes_for(request.actor))
    context: dict[str, object] = {"form": form, "max_days": settings.TOKEN_MAX_DAYS}
    if form.is_valid():
        try:
            context["new_token"], context["key"] = tokens.create(actor=request.actor, **form.cleaned_data)
            context["form"] = TokenForm(scopes=tokens.scopes_for(request.actor))
        except tokens.TokenError as error:
            form.add_error(error.field, str(error))
    context["tokens"] = tokens.for_actor(request.actor)
    return render(request, "registration/tokens.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def delete(request: SiteRequest, pk: int) -> HttpResponse:
    """Delete one of the account's tokens."""
    token = get_object_or_404(tokens.for_actor(request.actor), pk=pk)
    tokens.delete(actor=request.actor, token=token)
    messages.success(request, f"The token {token.name} opens nothing any more.")
    return redirect("tokens")
