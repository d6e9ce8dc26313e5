"""Read-only admin for operators. Changes are made on the pages of the site, through the services."""

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import URLPattern

from recognizer import models

admin.site.unregister(User)


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # not subscriptable at run time
    """Base class for models that only the services may write."""

    show_full_result_count = False
    list_per_page = 50

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Deny; see the class."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object | None = None) -> bool:
        """Deny; see the class."""
        return False

    has_delete_permission = has_change_permission


admin.site.register(
    models.Submission,
    ReadOnlyAdmin,
    list_display=("public_id", "created", "source", "state", "latest_prediction", "truth", "truth_state", "fold"),
    list_filter=("source", "state", "truth_state", "fold"),
    list_select_related=("latest_prediction",),
    search_fields=("public_id", "digest"),
    exclude=("pixels", "further_pixels"),
)
admin.site.register(
    models.Prediction,
    ReadOnlyAdmin,
    list_display=("submission", "version", "digit", "certainty", "verdict", "created"),
    list_filter=("verdict", "digit"),
    list_select_related=("submission", "version"),
)
admin.site.register(
    models.Label,
    ReadOnlyAdmin,
    list_display=("submission", "kind", "value", "user", "reason", "created"),
    list_filter=("kind", "value", "reason"),
    list_select_related=("submission", "user"),
)
admin.site.register(models.Lease, ReadOnlyAdmin, list_display=("submission", "reviewer", "reason", "expires"))
admin.site.register(models.Skip, ReadOnlyAdmin, list_display=("submission", "reviewer", "created"))
admin.site.register(
    models.Token,
    ReadOnlyAdmin,
    list_display=("name", "user", "get_scopes_display", "created", "expires", "last_used"),
    list_select_related=("user",),
    exclude=("digest",),
)
admin.site.register(
    models.ModelVersion,
    ReadOnlyAdmin,
    list_display=("number", "created", "origin", "parent", "gate_verdict", "bundle_sha256"),
)
admin.site.register(
    models.TrainingRun,
    ReadOnlyAdmin,
    list_display=("id", "created", "trigger", "state", "requested_by", "version"),
    list_filter=("state", "trigger"),
)
admin.site.register(
    models.Deployment,
    ReadOnlyAdmin,
    list_display=("sequence", "created", "kind", "from_version", "to_version", "who", "why"),
)
admin.site.register(
    models.Attempt, ReadOnlyAdmin, list_display=("kind", "created", "account", "address"), list_filter=("kind",)
)


@admin.register(models.ModelFiles)
class ModelFilesAdmin(ReadOnlyAdmin):
    """Lists versions that have files, without reading the binary columns."""

    list_display = ("version",)
    list_select_related = ("version",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[models.ModelFiles]:
        """Defer the binary columns."""
        return super().get_queryset(request).defer("keras_file", "bundle")


@admin.register(User)
class AccountAdmin(UserAdmin):  # type: ignore[type-arg] # not subscriptable at run time
    """Activate accounts and change their rights. Names and passwords are changed on throttled pages."""

    fieldsets = (
        (None, {"fields": ("username", "email")}),
        ("Rights", {"fields": ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")}),
        ("Dates", {"fields": ("last_login", "date_joined")}),
    )
    readonly_fields = ("username", "last_login", "date_joined")

    def has_add_permission(self, request: HttpRequest) -> bool:
        """Deny; see the class."""
        return False

    def get_urls(self) -> list[URLPattern]:
        """Leave out the password form."""
        return [url for url in super().get_urls() if url.name != "auth_user_password_change"]
