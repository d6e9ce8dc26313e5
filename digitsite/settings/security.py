"""Hosts, HTTPS, proxies, cookies and the content security policy."""

import hmac

from csp.constants import NONE, SELF

from digitsite import env
from digitsite.data_directory import secret_key

from .storage import DATA_DIR

SECRET_KEY = secret_key(DATA_DIR)

# --- Hosts -------------------------------------------------------------------------------------------------------

ALLOWED_HOSTS: list[str] = env.read("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS: list[str] = env.read("CSRF_TRUSTED_ORIGINS")
CSRF_FAILURE_VIEW = "recognizer.views.errors.csrf_failure"

# --- HTTPS and proxies -------------------------------------------------------------------------------------------

# Plain HTTP is the default, for a laptop and a phone on the same network. A site with a public name must set HTTPS
# explicitly.
HTTPS: bool = env.read("HTTPS")
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$", "^metrics$"]  # requested internally by load balancers, Prometheus
YEAR_SECONDS = 31_536_000
_hsts_seconds: int | None = env.read("HSTS_SECONDS")
SECURE_HSTS_SECONDS = _hsts_seconds if _hsts_seconds is not None else YEAR_SECONDS if HTTPS else 0
# Both affect host names that do not belong to this site, and preloading takes months to undo: off by default.
SECURE_HSTS_INCLUDE_SUBDOMAINS: bool = env.read("HSTS_INCLUDE_SUBDOMAINS")
SECURE_HSTS_PRELOAD: bool = env.read("HSTS_PRELOAD")
# W005 and W021 recommend the two HSTS settings above. The other four do not apply to a site without a certificate.
# https://docs.djangoproject.com/en/5.2/ref/checks/#security
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
if not HTTPS:
    SILENCED_SYSTEM_CHECKS += ["security.W004", "security.W008", "security.W012", "security.W016"]

# See recognizer/proxies.py.
BEHIND_PROXY: bool = env.read("BEHIND_PROXY")
TRUSTED_PROXIES: int = env.read("TRUSTED_PROXIES")
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if BEHIND_PROXY else None

# --- Headers and cookies -----------------------------------------------------------------------------------------

SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
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
