"""Forms of the pages: they check the shape of what was sent; what may be done with it is for the services to say."""

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm, UserCreationForm
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.views.decorators.debug import sensitive_variables

from recognizer.middleware import address_of
from recognizer.services import attempts


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
            attempt = attempts.begin(attempts.Kind.SIGN_IN, account=name, address=address_of(self.request))
        except attempts.TooManyError as error:
            self.wait = error.wait
            raise ValidationError(str(error), code="too_many") from error
        cleaned = super().clean()
        attempts.forgive(attempt)
        return cleaned


class SignUpForm(UserCreationForm):
    """An account; the address is asked for only where it is of use."""

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
