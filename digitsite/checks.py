"""System checks of the settings. `manage.py check` lists all errors; any other start is refused with the first one."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register

from . import env

LOCAL_HOSTS = {"localhost", "127.0.0.1", "[::1]", "::1"}
# Minimum of the browsers' preload list (hstspreload.org).
MIN_PRELOAD_SECONDS = 31_536_000


@register(Tags.security)
def check_settings(app_configs: object = None, **kwargs: object) -> list[CheckMessage]:  # noqa: ARG001 - Django's signature
    """Return an error for each invalid setting, and for settings that contradict each other."""
    return [Error(message, id="digitsite.E001") for message in find_errors(settings)]


def find_errors(site: Any) -> list[str]:
    """Return one line for each error.

    Args:
        site: The settings of a site.
    """
    return [*env.find_errors(), *_contradictions(site)]


def _contradictions(site: Any) -> Iterator[str]:
    if not site.ALLOWED_HOSTS or any("*" in host for host in site.ALLOWED_HOSTS):
        yield "ALLOWED_HOSTS must name the hosts under which people reach the site; it must be neither empty nor *."
    # A client that can reach the port can also send "Host: localhost", so the bind address counts too.
    if site.DEBUG and not {*site.ALLOWED_HOSTS, env.read("HOST")} <= LOCAL_HOSTS:
        yield "DEBUG=1 shows secrets to strangers; with HOST or ALLOWED_HOSTS set, leave DEBUG out."
    if not env.is_set("HTTPS") and (names := env.public_names(site.ALLOWED_HOSTS)):
        yield (
            f"ALLOWED_HOSTS holds {names[0]}, which the internet can reach. Write HTTPS=1 when a proxy serves it with "
            "a certificate; HTTPS=0 when passwords may really travel unencrypted."
        )
    if site.SECURE_HSTS_INCLUDE_SUBDOMAINS and not (site.HTTPS and site.SECURE_HSTS_SECONDS):
        yield "HSTS_INCLUDE_SUBDOMAINS=1 needs HTTPS=1 and HSTS_SECONDS above 0."
    is_long = site.SECURE_HSTS_SECONDS >= MIN_PRELOAD_SECONDS
    if site.SECURE_HSTS_PRELOAD and not (site.SECURE_HSTS_INCLUDE_SUBDOMAINS and is_long):
        yield f"HSTS_PRELOAD=1 needs HSTS_INCLUDE_SUBDOMAINS=1 and HSTS_SECONDS of at least {MIN_PRELOAD_SECONDS}."
    if env.is_set("TRUSTED_PROXIES") and not site.BEHIND_PROXY:
        yield "TRUSTED_PROXIES has no effect without BEHIND_PROXY=1; set both or neither."
    if site.TOKEN_DAYS > site.TOKEN_MAX_DAYS:
        yield f"TOKEN_DAYS is {site.TOKEN_DAYS}; it must not be more than TOKEN_MAX_DAYS, {site.TOKEN_MAX_DAYS}."
    if site.SENDS_MAIL and not env.is_set("SITE_URL"):
        host = next(iter(env.public_names(site.ALLOWED_HOSTS) or site.ALLOWED_HOSTS), "")
        if host.startswith("."):
            yield f"ALLOWED_HOSTS names every host below {host}; set SITE_URL for mailed links."
