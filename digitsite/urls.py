"""Which address leads to which door."""

from django.contrib import admin
from django.urls import include, path

from recognizer.api import health

urlpatterns = [
    path("", include("recognizer.urls")),
    path("api/v1/", include("recognizer.api.urls")),
    path("admin/", admin.site.urls),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
]
