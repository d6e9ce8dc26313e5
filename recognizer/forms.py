"""Forms of the pages. They validate the format of the input; permissions and limits are checked by the services."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, cast

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm, SetPasswordForm, UserCreationForm
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.views.decorators.debug import sensitive_variables

from recognizer.models import Scope
from recognizer.requests import SiteRequest
from recognizer.services.identity import login_throttle, passwords, users
from recognizer.services.lib.errors import BusyError

if TYPE_CHECKING:
    from django.core.files.uploadedfile import UploadedFile

SCOPE_TEXTS = {
    Scope.READ: "read: pictures, predictions, labels and models that you see",
    Scope.SUBMIT: "submit: send pictures; label, share and delete your own",
    Scope.REVIEW: "review: see every picture and be believed about it, as you are; export",
    Scope.OPERATE: "operate: train, promote and roll back models; delete pictures of other people",
}


class _ManyFilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class _ManyFilesField(forms.FileField):
    """A field for one or more files. Empty files are accepted here and rejected one by one when they are decoded."""

    widget = _ManyFilesInput

    def clean(self, data: object, initial: object = None) -> "list[UploadedFile[bytes]]":
        """Validate each file."""
        files = data if isinstance(data, list | tuple) else [data]
        return [super(_ManyFilesField, self).clean(file, initial) for file in files or [None]]


class UploadForm(forms.Form):
    """Images to recognize, and consent to training."""

    images = _ManyFilesField(
        allow_empty_file=True,
        max_length=255,
        error_messages={"required": "Choose at least one picture."},
    )
    may_train = forms.BooleanField(required=False)


class CropForm(forms.Form):
    """A crop of a submission: JSON of left, top, right, bottom; empty for the whole image."""

    crop = forms.JSONField(required=False)

    def clean_crop(self) -> list[float] | None:
        """Check that it is a list of four numbers."""
        box = self.cleaned_data["crop"]
        if box is None:
            return None
        if not isinstance(box, list) or len(box) != 4 or any(type(value) not in (int, float) for value in box):
            raise ValidationError("Draw a box round the digit.")
        return box


class SignInForm(AuthenticationForm):
    """Sign in by name and password, throttled.

    Attributes:
        wait: Seconds until the next attempt is allowed; 0 if this attempt was.
    """

    request: SiteRequest
    wait = 0.0

    @sensitive_variables()
    def clean(self) -> dict[str, Any]:
        """Check the password, unless there were too many attempts."""
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


class SignUpForm(UserCreationForm):  # type: ignore[type-arg] # not subscriptable at run time
    """Create an account. The e-mail field exists only if the site sends mail."""

    email = forms.EmailField(
        required=False, label="E-mail address", help_text="Only for a new password, should you forget yours."
    )

    class Meta:
        model = User
        fields = ("username", "email")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if not settings.SENDS_MAIL:
            del self.fields["email"]

    def clean_username(self) -> str:
        """Normalize the name and check that it is free."""
        try:
            return users.prepare_account(self.cleaned_data["username"]).get_username()
        except ValueError as error:
            raise ValidationError(str(error)) from error


class NewPasswordForm(SetPasswordForm):  # type: ignore[type-arg] # not subscriptable at run time
    """Set a new password. If the account has tokens, ask whether to keep them."""

    user: User

    keep_tokens = forms.BooleanField(required=False)

    def __init__(self, user: User | None, *args: Any, **kwargs: Any) -> None:
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


class PasswordForm(NewPasswordForm):
    """Change the password of an account that has one."""

    old_password = forms.CharField(
        label="Old password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password", "autofocus": True}),
    )
    field_order = ["old_password", "new_password1", "new_password2", "keep_tokens"]


class TokenForm(forms.Form):
    """Create a token: name, scopes and lifetime in days."""

    name = forms.CharField(label="Name", max_length=60, help_text="What it is for: the scanner in room 2, say.")
    scopes = forms.MultipleChoiceField(label="It may", widget=forms.CheckboxSelectMultiple)
    days = forms.IntegerField(label="Days", min_value=1, max_value=settings.TOKEN_MAX_DAYS)

    def __init__(self, data: QueryDict | None = None, *, scopes: Iterable[Scope]) -> None:
        super().__init__(data, initial={"scopes": [Scope.READ, Scope.SUBMIT], "days": settings.TOKEN_DAYS})
        field = cast("forms.MultipleChoiceField", self.fields["scopes"])
        field.choices = [(scope.value, SCOPE_TEXTS[scope]) for scope in scopes]
