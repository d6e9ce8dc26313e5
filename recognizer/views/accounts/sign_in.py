"""Views for signing in and out, signing up, passwords and one-time sign-in links, on top of Django's own views."""

import math
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth import views as auth_views
from django.contrib.auth.forms import AuthenticationForm, PasswordResetForm
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from recognizer.forms import NewPasswordForm, PasswordForm, SignInForm, SignUpForm
from recognizer.requests import AccountRequest, SiteRequest
from recognizer.services.identity import login_throttle, passwords, sessions, throttling, users
from recognizer.views.errors import error_page

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"

# Django's form views also accept PUT, which no page sends.
FORM_METHODS = ["get", "head", "post"]


class Login(auth_views.LoginView):
    """Sign in by name and password. With `switch` in the query, a signed-in user can change to another account."""

    request: SiteRequest
    http_method_names = FORM_METHODS
    authentication_form = SignInForm
    # Overrides the site name of Django's view, which is the host.
    extra_context = {
        "can_sign_up": settings.SIGN_UP,
        "sends_mail": settings.SENDS_MAIL,
        "site_name": settings.SITE_NAME,
    }

    def setup(self, request: HttpRequest, *args: object, **kwargs: object) -> None:
        """Redirect users who are signed in already, unless the query has `switch`."""
        super().setup(request, *args, **kwargs)
        self.redirect_authenticated_user = "switch" not in request.GET

    def form_invalid(self, form: AuthenticationForm) -> HttpResponse:
        """Answer 429 with Retry-After if the login throttle rejected the attempt."""
        response = super().form_invalid(form)
        if isinstance(form, SignInForm) and form.wait:
            response.status_code = 429
            response["Retry-After"] = str(math.ceil(form.wait))
        return response


class Logout(auth_views.LogoutView):
    """End the session."""

    request: SiteRequest

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        """Count the request as a change, then sign out."""
        throttling.count(self.request.actor, throttling.Kind.CHANGE)
        return super().post(request, *args, **kwargs)


@require_safe
def admin_login(request: SiteRequest) -> HttpResponse:
    """Redirect the admin's own login form to the site's, which is throttled."""
    if request.user.is_authenticated:
        raise PermissionDenied
    return redirect_to_login(request.GET.get("next", reverse("admin:index")))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_up(request: SiteRequest) -> HttpResponse:
    """Create an account and sign in. 404 if only operators may create accounts."""
    if not settings.SIGN_UP:
        raise Http404
    if request.user.is_authenticated:
        return redirect("draw")
    form = SignUpForm(request.POST or None)
    if form.is_valid():
        try:
            user = passwords.sign_up(
                name=form.cleaned_data["username"],
                password=form.cleaned_data["password1"],
                email=form.cleaned_data.get("email", ""),
                actor=request.actor,
            )
        except ValueError as error:
            form.add_error("username", str(error))
        else:
            login(request, user, backend=MODEL_BACKEND)
            messages.success(request, "Welcome. What you draw from now on is in your History wherever you sign in.")
            return redirect("draw")
    return render(request, "registration/sign_up.html", {"form": form}, status=422 if form.is_bound else 200)


class _MailRequiredView(View):
    """Answer 404 if the site sends no mail; operators hand out one-time links instead."""

    http_method_names = FORM_METHODS

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        """Raise Http404 if the site sends no mail."""
        if not settings.SENDS_MAIL:
            raise Http404
        return super().dispatch(request, *args, **kwargs)


class PasswordReset(_MailRequiredView, auth_views.PasswordResetView):
    """Request a mail with a link for a new password."""

    request: SiteRequest
    template_name = "registration/forgotten.html"
    email_template_name = "registration/forgotten_mail.txt"
    subject_template_name = "registration/forgotten_subject.txt"
    extra_email_context = {"site_name": settings.SITE_NAME}

    def form_valid(self, form: PasswordResetForm) -> HttpResponse:
        """Count the attempt and send the mail."""
        login_throttle.record_attempt(
            login_throttle.Kind.MAIL, account=form.cleaned_data["email"], address=self.request.actor.address
        )
        # Never the host of the request: with a forged Host header the link would lead to another site.
        site_url = urlsplit(settings.SITE_URL)
        form.save(
            domain_override=site_url.netloc,
            use_https=site_url.scheme == "https",
            subject_template_name=self.subject_template_name,
            email_template_name=self.email_template_name,
            extra_email_context=self.extra_email_context,
        )
        return redirect("password_reset_done")


class PasswordResetSent(_MailRequiredView, auth_views.PasswordResetDoneView):
    """Confirm that the mail was sent, whether or not the address has an account."""

    template_name = "registration/forgotten_sent.html"


class PasswordResetConfirm(_MailRequiredView, auth_views.PasswordResetConfirmView):
    """Set a new password by a mailed link, and sign in."""

    request: SiteRequest
    template_name = "registration/new_password.html"
    success_url = reverse_lazy("draw")
    form_class = NewPasswordForm

    def form_valid(self, form: NewPasswordForm) -> HttpResponse:  # type: ignore[override] # of form_class
        """Store the password, end all sessions of the account and sign in."""
        user = form.user
        ended = change_password(self.request, form)
        sessions.end_all(user)
        del self.request.session[auth_views.INTERNAL_RESET_SESSION_TOKEN]
        login(self.request, user, backend=MODEL_BACKEND)
        messages.success(self.request, password_message(ended))
        return redirect("draw")


class PasswordChange(auth_views.PasswordChangeView):
    """Change the password, or set the first one of an account that signed in by a one-time link."""

    request: AccountRequest
    http_method_names = FORM_METHODS
    template_name = "registration/password.html"
    success_url = reverse_lazy("draw")

    def get_form_class(self) -> type[NewPasswordForm]:  # type: ignore[override] # both are SetPasswordForms
        """Return the form with the old password, if the account has one."""
        return PasswordForm if self.request.user.has_usable_password() else NewPasswordForm

    def form_valid(self, form: NewPasswordForm) -> HttpResponse:  # type: ignore[override] # see get_form_class
        """Store the password and end the account's other sessions."""
        user = form.user
        try:
            ended = change_password(self.request, form)
        except passwords.WrongPasswordError as error:
            form.add_error("old_password", str(error))
            return self.form_invalid(form)  # type: ignore[arg-type] # see get_form_class
        update_session_auth_hash(self.request, user)
        sessions.keep_only(user, self.request.session.session_key or "")
        messages.success(self.request, password_message(ended))
        return redirect("draw")


def change_password(request: SiteRequest, form: NewPasswordForm) -> int:
    """Store the password of a valid form, and return how many tokens of the account have ended."""
    return passwords.change(
        actor=request.actor,
        user=form.user,
        old=form.cleaned_data.get("old_password"),
        new=form.cleaned_data["new_password1"],
        keep_tokens=form.cleaned_data.get("keep_tokens", False),
    )


def password_message(ended: int) -> str:
    """Return the message after a password change that ended `ended` tokens."""
    if not ended:
        return "Your password is set."
    return f"Your password is set, and your {'token has' if ended == 1 else f'{ended} tokens have'} ended."


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: SiteRequest, uid: str, token: str) -> HttpResponse:
    """Sign in by a one-time link on POST. GET shows a button only, so that link previews do not use the link up."""
    if request.method != "POST":
        user = users.find(uid, token)
        if user is None:
            return error_page(request, 410)
        return render(request, "registration/sign_in.html", {"name": user.get_username()})
    user = users.redeem_link(uid, token, actor=request.actor)
    if user is None:
        return error_page(request, 410)
    login(request, user, backend=MODEL_BACKEND)
    if user.has_usable_password():
        return redirect("draw")
    messages.info(request, "You are signed in. Set a password now, so that you can sign in again without a link.")
    return redirect("password_change")
