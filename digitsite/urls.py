"""Root URLconf."""

from django.contrib import admin
from django.urls import include, path

from recognizer.api.views import health
from recognizer.views import well_known
from recognizer.views.accounts import sign_in

# Patterns are tried in this order: the most frequent come first.
urlpatterns = [
    path("api/v1/", include("recognizer.api.urls")),
    path("healthz", health.healthz, name="healthz"),
    path("", include("recognizer.urls")),
    path("admin/login/", sign_in.admin_login, name="admin-login"),
    path("admin/", admin.site.urls),
    path("readyz", health.readyz, name="readyz"),
    path("robots.txt", well_known.robots, name="robots"),
    path("favicon.ico", well_known.favicon, name="favicon"),
    path(".well-known/security.txt", well_known.security_txt, name="security-txt"),
    path("metrics", health.metrics_page, name="metrics"),
]

handler400 = "recognizer.views.errors.bad_request"
handler403 = "recognizer.views.errors.forbidden"
handler404 = "recognizer.views.errors.not_found"
handler500 = "recognizer.views.errors.server_error"
