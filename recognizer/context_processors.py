"""What every page's template knows."""

from django.conf import settings
from django.http import HttpRequest

from recognizer.services.identity.account_tags import account_tag


def site(request: HttpRequest) -> dict:
    return {
        "site_name": settings.SITE_NAME,
        "actor": getattr(request, "actor", None),
        "csrf_cookie_name": settings.CSRF_COOKIE_NAME,
        "site_id": settings.SITE_ID,
        "account_tag": account_tag(getattr(request, "user", None)),
    }
