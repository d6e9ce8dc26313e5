"""Installed apps, middleware, templates, language and static files."""

from pathlib import Path

from digitsite import __version__, env

BASE_DIR = Path(__file__).resolve().parent.parent.parent
VERSION = __version__

DEBUG: bool = env.read("DEBUG")
SITE_NAME: str = env.read("SITE_NAME")
SECURITY_CONTACT: str = env.read("SECURITY_CONTACT")

INSTALLED_APPS = [
    "digitsite",
    "recognizer",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "csp",
    "corsheaders",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
]

MIDDLEWARE = [
    "recognizer.proxies.ProxyMiddleware",
    "recognizer.middleware.RequestMiddleware",
    "corsheaders.middleware.CorsMiddleware",
    "recognizer.api.http.problems.ProblemMiddleware",
    "recognizer.middleware.RequestLimitsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "recognizer.middleware.PolicyMiddleware",
    "recognizer.views.receive_errors.ReceiveErrorMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "recognizer.cookies.OldCookieMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "recognizer.middleware.NoNulMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "recognizer.middleware.ActorMiddleware",
    "recognizer.views.accounts.page_account.PageAccountMiddleware",
    "recognizer.views.errors.ErrorPageMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "recognizer.views.limits.ThrottleMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "digitsite.urls"
WSGI_APPLICATION = "digitsite.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "recognizer.context_processors.site",
            ],
        },
    },
]

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False

STATIC_URL = "static/"
