"""Tokens: the keys with which an account's programs use the API. Each is shown once, on the page that answers."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from recognizer.forms import TokenForm
from recognizer.services.identity import tokens


@never_cache
@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest) -> HttpResponse:
    """The account's tokens; POST makes one."""
    form = TokenForm(request.POST or None, scopes=tokens.scopes_for(request.actor))
    context = {"form": form, "longest": settings.TOKEN_MAX_DAYS}
    if form.is_valid():
        try:
            context["made"], context["key"] = tokens.create(actor=request.actor, **form.cleaned_data)
            context["form"] = TokenForm(scopes=tokens.scopes_for(request.actor))
        except tokens.TokenError as error:
            form.add_error(error.field, str(error))
    context["tokens"] = tokens.for_actor(request.actor)
    return render(request, "registration/tokens.html", context, status=422 if form.errors else 200)


@login_required
@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    token = get_object_or_404(tokens.for_actor(request.actor), pk=pk)
    tokens.delete(actor=request.actor, token=token)
    messages.success(request, f"The token {token.name} opens nothing any more.")
    return redirect("tokens")
