"""Client address and scheme of requests that arrive through reverse proxies (`BEHIND_PROXY`, `TRUSTED_PROXIES`).

Each trusted proxy appends the address of its own client to X-Forwarded-For, so only the last `TRUSTED_PROXIES` entries
are trusted; the entries before them come from the client. The web server drops header names with underscores, which
WSGI cannot distinguish from this header (digitsite/server).
"""

import logging
import re
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse

from recognizer.services.lib.addresses import is_loopback

log = logging.getLogger(__name__)

# The address of every client behind the proxy whose address is missing or invalid: they share one limit.
UNKNOWN_ADDRESS = "0.0.0.0"  # noqa: S104 - nothing listens on it
# Some proxies append a port: 192.0.2.7:5678, [2001:db8::1]:5678.
BRACKETED = re.compile(r"\[(?P<address>[^\]]+)\](:\d+)?")
WITH_PORT = re.compile(r"(?P<address>[^:]+):\d+")


class ProxyMiddleware:
    """Replace the proxy's address and scheme in `request.META` with those of the client. The outermost middleware.

    The address of the socket is the proxy's, and is never used as the client's.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self._has_warned = False

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Set `REMOTE_ADDR` and the forwarded scheme, or warn once about a proxy that is missing in the settings."""
        meta = request.META
        if settings.BEHIND_PROXY:
            meta["REMOTE_ADDR"] = address_of_client(meta)
            forwarded_proto = meta.get("HTTP_X_FORWARDED_PROTO", "")
            meta["HTTP_X_FORWARDED_PROTO"] = client_scheme(forwarded_proto, proxies=settings.TRUSTED_PROXIES)
        elif "HTTP_X_FORWARDED_FOR" in meta and not self._has_warned and is_loopback(meta.get("REMOTE_ADDR", "")):
            self._has_warned = True
            log.warning("clients of this proxy are not limited: set BEHIND_PROXY=1")
        return self.get_response(request)


def address_of_client(environ: dict[str, Any]) -> str:
    """Return the client's address from a WSGI environ before `ProxyMiddleware`; behind a proxy, from its header."""
    if not settings.BEHIND_PROXY:
        return str(environ.get("REMOTE_ADDR", ""))
    return client_address(environ.get("HTTP_X_FORWARDED_FOR", ""), proxies=settings.TRUSTED_PROXIES)


def client_address(forwarded_for: str, *, proxies: int) -> str:
    """Return the address that the outermost trusted proxy saw, in canonical form and without a port.

    Args:
        forwarded_for: the value of X-Forwarded-For, several headers joined by commas; "" if there is none.
        proxies: the number of trusted proxies.

    Returns:
        The address, or `UNKNOWN_ADDRESS` if there are fewer entries than proxies or the entry is no IP address.
    """
    entries = forwarded_for.split(",")
    if len(entries) < proxies:
        return UNKNOWN_ADDRESS
    entry = entries[-proxies].strip()
    match = BRACKETED.fullmatch(entry) or WITH_PORT.fullmatch(entry)
    try:
        address = ip_address(match["address"] if match else entry)
    except ValueError:
        return UNKNOWN_ADDRESS
    return str(address).partition("%")[0]  # a zone such as that of fe80::1%eth0 is valid on the proxy's machine only


def client_scheme(forwarded_proto: str, *, proxies: int) -> str:
    """Return "https" if the outermost trusted proxy received the request over HTTPS, else "http".

    Unlike the address, most proxies set or forward the scheme instead of appending it. If there are fewer entries than
    proxies, the first one counts.
    """
    entries = forwarded_proto.split(",")[-proxies:]
    return "https" if entries[0].strip().lower() == "https" else "http"
