"""Doors of accounts: the password, and one-time sign-in links. Signing in and out by password is Django's own."""

import math
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth import views as auth_views
from django.contrib.auth.forms import PasswordResetForm
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from recognizer.forms import NewPasswordForm, PasswordForm, SignInForm, SignUpForm
from recognizer.services.identity import login_throttle, passwords, sessions, throttling, users
from recognizer.views.errors import error_page

MODEL_BACKEND = "django.contrib.auth.backends.ModelBackend"


# Django's form views also take PUT, which no page sends.
FORM_METHODS = ["get", "head", "post"]


class Login(auth_views.LoginView):
    """Sign in by name and password; with `switch` in the address also from one account to another."""

    http_method_names = FORM_METHODS
    authentication_form = SignInForm
    # Django's view would call the site by its host.
    extra_context = {
        "can_sign_up": settings.SIGN_UP,
        "sends_mail": settings.SENDS_MAIL,
        "site_name": settings.SITE_NAME,
    }

    @property
    def redirect_authenticated_user(self) -> bool:
        return "switch" not in self.request.GET

    def form_invalid(self, form: SignInForm) -> HttpResponse:
        response = super().form_invalid(form)
        if form.wait:
            response.status_code = 429
            response["Retry-After"] = str(math.ceil(form.wait))
        return response


class Logout(auth_views.LogoutView):
    """Ends the session."""

    def post(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        throttling.count(request.actor, throttling.Kind.CHANGE)
        return super().post(request, *args, **kwargs)


@require_safe
def admin_login(request: HttpRequest) -> HttpResponse:
    """The admin pages' own form would be a second way in, where nobody counts."""
    if request.user.is_authenticated:
        raise PermissionDenied
    return redirect_to_login(request.GET.get("next", reverse("admin:index")))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_up(request: HttpRequest) -> HttpResponse:
    """Make an account and be signed in; 404 where the operators make them."""
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


class _ByMail:
    """404 where no mail is sent: there operators hand out one-time links."""

    http_method_names = FORM_METHODS

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if not settings.SENDS_MAIL:
            raise Http404
        return super().dispatch(request, *args, **kwargs)


class Forgotten(_ByMail, auth_views.PasswordResetView):
    template_name = "registration/forgotten.html"
    email_template_name = "registration/forgotten_mail.txt"
    subject_template_name = "registration/forgotten_subject.txt"
    extra_email_context = {"site_name": settings.SITE_NAME}

    def form_valid(self, form: PasswordResetForm) -> HttpResponse:
        login_throttle.record_attempt(
            login_throttle.Kind.MAIL, account=form.cleaned_data["email"], address=self.request.actor.address
        )
        # Never the host that the request names: whoever sends it could have the link lead elsewhere.
        address = urlsplit(settings.SITE_URL)
        form.save(
            domain_override=address.netloc,
            use_https=address.scheme == "https",
            subject_template_name=self.subject_template_name,
            email_template_name=self.email_template_name,
            extra_email_context=self.extra_email_context,
        )
        return redirect("password_reset_done")


class ForgottenSent(_ByMail, auth_views.PasswordResetDoneView):
    template_name = "registration/forgotten_sent.html"


class NewPassword(_ByMail, auth_views.PasswordResetConfirmView):
    template_name = "registration/new_password.html"
    success_url = reverse_lazy("draw")
    form_class = NewPasswordForm

    def form_valid(self, form: NewPasswordForm) -> HttpResponse:
        ended = passwords.change(actor=self.request.actor, user=self.user, **form.change)
        sessions.end_all(self.user)
        del self.request.session[auth_views.INTERNAL_RESET_SESSION_TOKEN]
        login(self.request, self.user, backend=MODEL_BACKEND)
        messages.success(self.request, password_message(ended))
        return redirect("draw")


class Password(auth_views.PasswordChangeView):
    """Change the password, or set the first one: who came by a one-time link has none to be asked for."""

    http_method_names = FORM_METHODS
    template_name = "registration/password.html"
    success_url = reverse_lazy("draw")

    def get_form_class(self) -> type[NewPasswordForm]:
        return PasswordForm if self.request.user.has_usable_password() else NewPasswordForm

    def form_valid(self, form: NewPasswordForm) -> HttpResponse:
        user = form.user
        try:
            ended = passwords.change(actor=self.request.actor, user=user, **form.change)
        except passwords.WrongPasswordError as error:
            form.add_error("old_password", str(error))
            return self.form_invalid(form)
        update_session_auth_hash(self.request, user)
        sessions.keep_only(user, self.request.session.session_key)
        messages.success(self.request, password_message(ended))
        return redirect("draw")


def password_message(ended: int) -> str:
    """Return what a person is told after a new password; `ended` tokens went with the old one."""
    if not ended:
        return "Your password is set."
    return f"Your password is set, and your {'token has' if ended == 1 else f'{ended} tokens have'} ended."


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def sign_in(request: HttpRequest, uid: str, token: str) -> HttpResponse:
    """GET only shows a button, so that a chat program's link preview does not use the link up; POST signs in."""
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
