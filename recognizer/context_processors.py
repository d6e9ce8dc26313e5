"""Context processors of the page templates."""

from django.conf import settings
from django.http import HttpRequest

from recognizer.services.identity.account_tags import account_tag


def site(request: HttpRequest) -> dict[str, object]:
    """Return the site's name, the actor and the values that the scripts need. Also works before the middleware ran."""
    return {
        "site_name": settings.SITE_NAME,
        "actor": getattr(request, "actor", None),
        "csrf_cookie_name": settings.CSRF_COOKIE_NAME,
        "site_id": settings.SITE_ID,
        "account_tag": account_tag(getattr(request, "user", None)),
    }
