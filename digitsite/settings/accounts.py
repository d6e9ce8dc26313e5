"""Accounts, passwords and email."""

from urllib.parse import SplitResult, unquote

from digitsite import env

from .security import ALLOWED_HOSTS, BEHIND_PROXY, HTTPS

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# Whether visitors may create accounts; if not, operators create them.
SIGN_UP: bool = env.read("SIGN_UP")
# Failed logins for one account from one address in 15 minutes; further attempts have to wait.
MAX_LOGIN_ATTEMPTS: int = env.read("MAX_LOGIN_ATTEMPTS")
PASSWORD_RESET_TIMEOUT = 24 * 3600  # how long a one-time sign-in link is valid
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "draw"
LOGOUT_REDIRECT_URL = "draw"

# Outgoing mail. Without it, passwords cannot be reset by mail: operators hand out one-time links.
_mail_url: SplitResult = env.read("EMAIL_URL")
SENDS_MAIL = bool(_mail_url.hostname)
EMAIL_HOST = _mail_url.hostname or "localhost"
EMAIL_PORT = _mail_url.port or {"smtp+tls": 587, "smtps": 465}.get(_mail_url.scheme, 25)
EMAIL_HOST_USER = unquote(_mail_url.username or "")
EMAIL_HOST_PASSWORD = unquote(_mail_url.password or "")
EMAIL_USE_TLS = _mail_url.scheme == "smtp+tls"
EMAIL_USE_SSL = _mail_url.scheme == "smtps"
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL: str = env.read("EMAIL_FROM")


def _derived_site_url() -> str:
    """Return the URL of the first public name, otherwise of the first name. A proxy listens on a default port."""
    host = (env.public_names(ALLOWED_HOSTS) or ALLOWED_HOSTS or ["localhost"])[0].removeprefix(".")
    port = 80 if HTTPS or BEHIND_PROXY else env.read("PORT")
    return f"{'https' if HTTPS else 'http'}://{host}{f':{port}' if port not in (0, 80) else ''}"


# Base address of links in mail. Never taken from the Host header of the request that triggered the mail.
SITE_URL: str = env.read("SITE_URL") or _derived_site_url()
