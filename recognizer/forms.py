"""Forms of the pages: they check the shape of what was sent; what may be done with it is for the services to say."""

from collections.abc import Iterable

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm, SetPasswordForm, UserCreationForm
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.views.decorators.debug import sensitive_variables

from recognizer.models import Scope
from recognizer.services.identity import login_throttle, passwords, users
from recognizer.services.lib.errors import BusyError

SCOPE_WORDS = {
    Scope.READ: "read: pictures, predictions, labels and models that you see",
    Scope.SUBMIT: "submit: send pictures; label, share and delete your own",
    Scope.REVIEW: "review: see every picture and be believed about it, as you are; export",
    Scope.OPERATE: "operate: train, promote and roll back models; delete anybody's pictures",
}


class _ManyFilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class _ManyFilesField(forms.FileField):
    """One or several files. An empty file is not refused here: it gets its own plain error beside the others."""

    widget = _ManyFilesInput

    def clean(self, data: object, initial: object = None) -> list[UploadedFile]:
        files = data if isinstance(data, list | tuple) else [data]
        return [super(_ManyFilesField, self).clean(one, initial) for one in files or [None]]


class UploadForm(forms.Form):
    images = _ManyFilesField(
        allow_empty_file=True,
        max_length=255,
        error_messages={"required": "Choose at least one picture."},
    )
    may_train = forms.BooleanField(required=False)


class SignInForm(AuthenticationForm):
    """Name and password, as often as one may try. `wait`: seconds until the next try, 0 when this one was made."""

    wait = 0.0

    @sensitive_variables()
    def clean(self) -> dict:
        name = self.cleaned_data.get("username", "")
        if not name or not self.cleaned_data.get("password"):
            return self.cleaned_data
        try:
            self.user_cache = passwords.authenticate(
                name=name, password=self.cleaned_data["password"], actor=self.request.actor
            )
        except (login_throttle.TooManyAttemptsError, BusyError) as error:
            self.wait = error.wait
            raise ValidationError(str(error), code="too_many") from error
        if self.user_cache is None:
            raise self.get_invalid_login_error()
        self.confirm_login_allowed(self.user_cache)
        return self.cleaned_data


class SignUpForm(UserCreationForm):
    """What a new account needs; the mail address is asked for only where it is of use."""

    email = forms.EmailField(
        required=False, label="E-mail address", help_text="Only for a new password, should you forget yours."
    )

    class Meta:
        model = User
        fields = ("username", "email")

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        if not settings.SENDS_MAIL:
            del self.fields["email"]

    def clean_username(self) -> str:
        try:
            return users.prepare_account(self.cleaned_data["username"]).get_username()
        except ValueError as error:
            raise ValidationError(str(error)) from error


class NewPasswordForm(SetPasswordForm):
    """A new password, and whether the account's tokens go on working; that is asked where there are any."""

    keep_tokens = forms.BooleanField(required=False)

    def __init__(self, user: User, *args: object, **kwargs: object) -> None:
        super().__init__(user, *args, **kwargs)
        count = user.tokens.count() if user is not None else 0
        if not count:
            del self.fields["keep_tokens"]
            return
        tokens = "my token" if count == 1 else f"my {count} tokens"
        self.fields["keep_tokens"].label = f"Keep {tokens} working"
        self.fields[
            "keep_tokens"
        ].help_text = "Otherwise they end. Let them end if someone else may know your password."

    @property
    def change(self) -> dict[str, object]:
        """What `passwords.change` is to do."""
        return {
            "old": self.cleaned_data.get("old_password"),
            "new": self.cleaned_data["new_password1"],
            "keep_tokens": self.cleaned_data.get("keep_tokens", False),
        }


class PasswordForm(NewPasswordForm):
    """The same for a person who has a password already."""

    old_password = forms.CharField(
        label="Old password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )
    field_order = ["old_password", "new_password1", "new_password2", "keep_tokens"]


class TokenForm(forms.Form):
    """What a new token is called, what it may do, and for how long."""

    name = forms.CharField(label="Name", max_length=60, help_text="What it is for: the scanner in room 2, say.")
    scopes = forms.MultipleChoiceField(label="It may", widget=forms.CheckboxSelectMultiple)
    days = forms.IntegerField(label="Days", min_value=1, max_value=settings.TOKEN_MAX_DAYS)

    def __init__(self, *args: object, scopes: Iterable[Scope], **kwargs: object) -> None:
        initial = {"scopes": [Scope.READ, Scope.SUBMIT], "days": settings.TOKEN_DAYS}
        super().__init__(*args, initial=initial, **kwargs)
        self.fields["scopes"].choices = [(one.value, SCOPE_WORDS[one]) for one in scopes]
