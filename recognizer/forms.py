"""Forms of the pages: they check the shape of what was sent; what may be done with it is for the services to say."""

from django import forms
from django.conf import settings
from django.contrib.auth.forms import UserCreationForm
from django.contrib.auth.models import User
from django.core.files.uploadedfile import UploadedFile


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
