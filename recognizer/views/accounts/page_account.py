"""Middleware that rejects requests from pages of another account.

The account of an open page may have been signed out in another tab, have expired, or have been replaced by another
account. Without this check, the request would be stored under the account that is signed in now. Scripts state the
page's account in a header and get a problem document; forms state it in a field, which `forms.js` adds, and get an
error page.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from recognizer.api.http.problems import problem_json
from recognizer.middleware import is_api
from recognizer.services.identity.account_tags import PageAccountError, check_page_account
from recognizer.views.errors import page_account_error

HEADER = "X-Page-Account"
FIELD = "page_account"


class PageAccountMiddleware:
    """Reject requests of a page that another account opened. Runs after `AuthenticationMiddleware`."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Check the account that a script states in its header."""
        tag = request.headers.get(HEADER)
        if tag is None:
            return self.get_response(request)
        try:
            check_page_account(request.user, tag)
        except PageAccountError as error:
            headers = {"WWW-Authenticate": 'Bearer realm="api"'} if error.status == 401 else None
            return problem_json(error.status, str(error), code=error.code, headers=headers)
        response = self.get_response(request)
        if response.status_code == 302 and not is_api(request):
            # A script cannot read the target of a redirect, and must not follow it: that would use up the messages.
            return _with_location(response)
        return response

    def process_view(self, request: HttpRequest, *_view: object) -> HttpResponse | None:
        """Check the account that the form of a page states."""
        if request.method != "POST" or is_api(request) or HEADER in request.headers or FIELD not in request.POST:
            return None
        try:
            check_page_account(request.user, request.POST[FIELD])
        except PageAccountError as error:
            return page_account_error(request, error)
        return None


def _with_location(redirect: HttpResponse) -> HttpResponse:
    """Return a 204 response with the Location and the cookies of a redirect."""
    response = HttpResponse(status=204, headers={"Location": redirect["Location"]})
    response.cookies = redirect.cookies
    return response
