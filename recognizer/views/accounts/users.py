"""The People page: operators add accounts, change roles and create one-time sign-in links."""

from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from recognizer import pagination
from recognizer.requests import SiteRequest
from recognizer.services.identity import permissions, users


@never_cache
@require_safe
def show(request: SiteRequest) -> HttpResponse:
    """List the accounts, filtered by `name`."""
    return _page(request)


@require_POST
def add(request: SiteRequest) -> HttpResponse:
    """Create an account and show its one-time link in the response."""
    role = request.POST.get("role", users.REVIEWER)
    try:
        user = users.add_user(actor=request.actor, name=request.POST.get("name", ""), role=role)
    except ValueError as error:
        messages.error(request, str(error))
        return _page(request, status=422)
    return _page(request, linked=user)


@require_POST
def link(request: SiteRequest, pk: int) -> HttpResponse:
    """Create a one-time sign-in link for an account and show it in the response."""
    return _page(request, linked=get_object_or_404(User, pk=pk))


@require_POST
def role(request: SiteRequest, pk: int) -> HttpResponse:
    """Change the role of an account."""
    permissions.require_operator(request.actor)
    user = get_object_or_404(User, pk=pk)
    try:
        users.set_role(actor=request.actor, user=user, role=request.POST.get("role", ""))
    except (ValueError, permissions.NotAllowedError) as error:
        messages.error(request, str(error))
    else:
        messages.success(request, f"{user.get_username()} is {request.POST['role']} now.")
    return redirect("people")


def _page(request: SiteRequest, *, linked: User | None = None, status: int = 200) -> HttpResponse:
    permissions.require_operator(request.actor)
    search = request.GET.get("name", "").strip()
    try:
        page = pagination.paginate(users.search_users(search), {"cursor": request.GET.get("cursor", "")})
    except ValidationError:  # invalid cursor: show the first page
        return redirect("people")
    context: dict[str, object] = {
        "people": users.list_users(page.rows),
        "page": page,
        "search": search,
        "roles": users.ROLES,
        "linked": linked,
    }
    if linked is not None:
        try:
            path = users.create_sign_in_link(actor=request.actor, user=linked)
        except (ValueError, permissions.NotAllowedError) as error:
            messages.error(request, str(error))
        else:
            context["link"] = request.build_absolute_uri(path)
    return render(request, "registration/people.html", context, status=status)
