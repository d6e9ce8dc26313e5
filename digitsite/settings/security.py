"""Hosts, HTTPS, proxies, cookies and the content security policy."""

import hmac

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured

from digitsite import env
from digitsite.data_directory import secret_key

from .base import DEBUG
from .storage import DATA_DIR

SECRET_KEY = secret_key(DATA_DIR)

# --- Hosts -------------------------------------------------------------------------------------------------------

LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS", LOCAL_HOSTS)
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS", wildcard=rf"https?://\*\.(?:{env.HOST})(?::[0-9]+)?")
CSRF_FAILURE_VIEW = "recognizer.views.errors.csrf_failure"

if not ALLOWED_HOSTS or any("*" in host for host in ALLOWED_HOSTS):
    raise ImproperlyConfigured(
        "ALLOWED_HOSTS must name the hosts under which people reach the site; it must be neither empty nor *."
    )
# A client that can reach the port can also send "Host: localhost", so the bind address counts too.
if DEBUG and not {*ALLOWED_HOSTS, env.text("HOST") or "localhost"} <= {*LOCAL_HOSTS, "::1"}:
    raise ImproperlyConfigured("DEBUG=1 shows secrets to strangers; with HOST or ALLOWED_HOSTS set, leave DEBUG out.")

# --- HTTPS and proxies -------------------------------------------------------------------------------------------

# Plain HTTP is the default, for a laptop and a phone on the same network. A site with a public name must set HTTPS
# explicitly.
HTTPS = env.boolean("HTTPS", False)
if not env.text("HTTPS") and (names := env.public_names(ALLOWED_HOSTS)):
    raise ImproperlyConfigured(
        f"ALLOWED_HOSTS holds {names[0]}, which the internet can reach. Write HTTPS=1 when a proxy serves it with a "
        "certificate; HTTPS=0 when passwords may really travel unencrypted."
    )
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$", "^metrics$"]  # requested internally by load balancers, Prometheus
YEAR_SECONDS = 31_536_000
SECURE_HSTS_SECONDS = env.integer("HSTS_SECONDS", YEAR_SECONDS if HTTPS else 0)
# Both affect host names that do not belong to this site, and preloading takes months to undo: off by default.
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.boolean("HSTS_INCLUDE_SUBDOMAINS", False)
SECURE_HSTS_PRELOAD = env.boolean("HSTS_PRELOAD", False)
if SECURE_HSTS_INCLUDE_SUBDOMAINS and not (HTTPS and SECURE_HSTS_SECONDS):
    raise ImproperlyConfigured("HSTS_INCLUDE_SUBDOMAINS=1 needs HTTPS=1 and HSTS_SECONDS above 0.")
if SECURE_HSTS_PRELOAD and not (SECURE_HSTS_INCLUDE_SUBDOMAINS and SECURE_HSTS_SECONDS >= YEAR_SECONDS):
    raise ImproperlyConfigured(
        f"HSTS_PRELOAD=1 needs HSTS_INCLUDE_SUBDOMAINS=1 and HSTS_SECONDS of at least {YEAR_SECONDS} (hstspreload.org)."
    )
# W005 and W021 recommend the two HSTS settings above. The other four do not apply to a site without a certificate.
# https://docs.djangoproject.com/en/5.2/ref/checks/#security
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
if not HTTPS:
    SILENCED_SYSTEM_CHECKS += ["security.W004", "security.W008", "security.W012", "security.W016"]

# See recognizer/proxies.py.
BEHIND_PROXY = env.boolean("BEHIND_PROXY", False)
TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", 1, minimum=1, maximum=20)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None
if env.text("TRUSTED_PROXIES") and not BEHIND_PROXY:
    raise ImproperlyConfigured("TRUSTED_PROXIES has no effect without BEHIND_PROXY=1; set both or neither.")

# --- Headers and cookies -----------------------------------------------------------------------------------------

SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# Browsers share the cookies of a host between all of its ports, so two sites on one host need different cookie names.
# The id is derived from the secret key: all hosts of one site share it without another setting, a backup contains it,
# and it changes only with the key, which ends all sessions anyway. See recognizer/cookies.py.
SITE_ID = hmac.new(SECRET_KEY.encode(), b"recognizer.site_id", "sha256").hexdigest()[:12]
SESSION_COOKIE_NAME = f"sessionid_{SITE_ID}"
CSRF_COOKIE_NAME = f"csrftoken_{SITE_ID}"
MESSAGE_STORAGE = "recognizer.cookies.MessageStorage"
# The signed cookie that identifies a visitor without an account.
VISITOR_COOKIE = f"visitor_{SITE_ID}"
VISITOR_COOKIE_AGE = 365 * 24 * 3600

# No inline scripts and no third-party content. blob: and data: show the visitor's own image before it is uploaded.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:", "blob:"],
        "object-src": [NONE],
        "base-uri": [NONE],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
