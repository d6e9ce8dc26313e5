"""Accounts, passwords and email."""

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
SIGN_UP = env.boolean("SIGN_UP", True)
# Failed logins for one account from one address in 15 minutes; further attempts have to wait.
MAX_LOGIN_ATTEMPTS = env.integer("MAX_LOGIN_ATTEMPTS", 10, minimum=1, maximum=1000)
PASSWORD_RESET_TIMEOUT = 24 * 3600  # how long a one-time sign-in link is valid
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "draw"
LOGOUT_REDIRECT_URL = "draw"

# Outgoing mail. Without it, passwords cannot be reset by mail: operators hand out one-time links.
_mail_server = env.mail_server("EMAIL_URL")
SENDS_MAIL = _mail_server is not None
EMAIL_HOST = _mail_server.host if _mail_server else "localhost"
EMAIL_PORT = _mail_server.port if _mail_server else 25
EMAIL_HOST_USER = _mail_server.user if _mail_server else ""
EMAIL_HOST_PASSWORD = _mail_server.password if _mail_server else ""
EMAIL_USE_TLS = bool(_mail_server and _mail_server.use_tls)
EMAIL_USE_SSL = bool(_mail_server and _mail_server.use_ssl)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.sender("EMAIL_FROM", "digits@localhost")
# Base address of links in mail. Never taken from the Host header of the request that triggered the mail.
SITE_URL = env.site_url("SITE_URL", hosts=ALLOWED_HOSTS, https=HTTPS, behind_proxy=BEHIND_PROXY, needed=SENDS_MAIL)
