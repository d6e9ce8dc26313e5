"""Every setting, read from the environment with a default that works; the README lists them in one table.

https://docs.djangoproject.com/en/5.2/ref/settings/
"""

import hmac
import os
from pathlib import Path

from csp.constants import NONE, SELF
from django.core.exceptions import ImproperlyConfigured
from kombu import Exchange, Queue

from . import __version__, env, redis_urls

BASE_DIR = Path(__file__).resolve().parent.parent
VERSION = __version__

# --- Where things are kept ---------------------------------------------------------------------------------------

DATA_DIR = env.data_dir()
MEDIA_ROOT = DATA_DIR / "media"
STATIC_ROOT = DATA_DIR / "static"
# Temporary files of the web server. Beside the data: the system's own folder may be in memory.
TEMPORARY_DIR = DATA_DIR / "tmp"

# --- The site and who may reach it -------------------------------------------------------------------------------

DEBUG = env.boolean("DEBUG", False)
SECRET_KEY = env.secret_key(DATA_DIR)
LOCAL_HOSTS = ("localhost", "127.0.0.1", "[::1]")
ALLOWED_HOSTS = env.hosts("ALLOWED_HOSTS", LOCAL_HOSTS)
CSRF_TRUSTED_ORIGINS = env.origins("CSRF_TRUSTED_ORIGINS", wildcard=rf"https?://\*\.(?:{env.HOST})(?::[0-9]+)?")
CSRF_FAILURE_VIEW = "recognizer.views.errors.csrf_failure"
SITE_NAME = env.text("SITE_NAME", "Digits")

if not ALLOWED_HOSTS or any("*" in host for host in ALLOWED_HOSTS):
    raise ImproperlyConfigured(
        "ALLOWED_HOSTS must name the hosts under which people reach the site; it must be neither empty nor *."
    )
# Whoever can reach the port can also say that the host is localhost.
if DEBUG and not {*ALLOWED_HOSTS, env.text("HOST") or "localhost"} <= {*LOCAL_HOSTS, "::1"}:
    raise ImproperlyConfigured("DEBUG=1 shows secrets to strangers; with HOST or ALLOWED_HOSTS set, leave DEBUG out.")

# Plain http is what a laptop and a phone on the same network use; a site with a certificate says HTTPS=1, and one with
# a public name says which of the two it means.
HTTPS = env.boolean("HTTPS", False)
if not env.text("HTTPS") and (names := env.public_names(ALLOWED_HOSTS)):
    raise ImproperlyConfigured(
        f"ALLOWED_HOSTS holds {names[0]}, which the internet can reach. Write HTTPS=1 when a proxy serves it with a "
        "certificate; HTTPS=0 when passwords may really travel unencrypted."
    )
SECURE_SSL_REDIRECT = HTTPS
SECURE_REDIRECT_EXEMPT = ["^healthz$", "^readyz$", "^metrics$"]  # asked from inside, by load balancers and Prometheus
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
YEAR_SECONDS = 31_536_000
SECURE_HSTS_SECONDS = env.integer("HSTS_SECONDS", YEAR_SECONDS if HTTPS else 0)
# Both bind host names that are not this site's, and preloading cannot be taken back for months: never by default.
SECURE_HSTS_INCLUDE_SUBDOMAINS = env.boolean("HSTS_INCLUDE_SUBDOMAINS", False)
SECURE_HSTS_PRELOAD = env.boolean("HSTS_PRELOAD", False)
if SECURE_HSTS_INCLUDE_SUBDOMAINS and not (HTTPS and SECURE_HSTS_SECONDS):
    raise ImproperlyConfigured("HSTS_INCLUDE_SUBDOMAINS=1 needs HTTPS=1 and HSTS_SECONDS above 0.")
if SECURE_HSTS_PRELOAD and not (SECURE_HSTS_INCLUDE_SUBDOMAINS and SECURE_HSTS_SECONDS >= YEAR_SECONDS):
    raise ImproperlyConfigured(
        f"HSTS_PRELOAD=1 needs HSTS_INCLUDE_SUBDOMAINS=1 and HSTS_SECONDS of at least {YEAR_SECONDS} (hstspreload.org)."
    )
# W005 and W021 ask for the two settings above. Without a certificate the other four are what they have to be.
# https://docs.djangoproject.com/en/5.2/ref/checks/#security
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]
if not HTTPS:
    SILENCED_SYSTEM_CHECKS += ["security.W004", "security.W008", "security.W012", "security.W016"]
# See recognizer/proxies.py.
BEHIND_PROXY = env.boolean("BEHIND_PROXY", False)
TRUSTED_PROXIES = env.integer("TRUSTED_PROXIES", 1, minimum=1, maximum=20)
if BEHIND_PROXY:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
elif env.text("TRUSTED_PROXIES"):
    raise ImproperlyConfigured("TRUSTED_PROXIES has no effect without BEHIND_PROXY=1; set both or neither.")
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# Browsers send the cookies of a host to all of its ports, so two sites on one host need names of their own. The id
# derives from the random secret key: all hosts of one site share it without another setting, a backup carries it, and
# a new key, which ends every session anyway, is the only thing that changes it. See recognizer/cookies.py.
SITE_ID = hmac.new(SECRET_KEY.encode(), b"recognizer.site_id", "sha256").hexdigest()[:12]
SESSION_COOKIE_NAME = f"sessionid_{SITE_ID}"
CSRF_COOKIE_NAME = f"csrftoken_{SITE_ID}"
MESSAGE_STORAGE = "recognizer.cookies.MessageStorage"
# The signed cookie that identifies a visitor without an account.
VISITOR_COOKIE = f"visitor_{SITE_ID}"
VISITOR_COOKIE_AGE = 365 * 24 * 3600

# No inline script, nothing from another host. blob: and data: are the visitor's own picture before it is sent.
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

# --- What is installed -------------------------------------------------------------------------------------------

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
    "recognizer.views.errors.StorageErrorMiddleware",
    "recognizer.middleware.PageMessageMiddleware",
    "recognizer.views.limits.ThrottleMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "digitsite.urls"
WSGI_APPLICATION = "digitsite.wsgi.application"
ASGI_APPLICATION = "digitsite.asgi.application"

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

# --- Database ----------------------------------------------------------------------------------------------------

DATABASES = {
    "default": env.database("DATABASE_URL", DATA_DIR / "db.sqlite3")
    # A request that waits for its own commit would never end in a transaction around the whole request.
    | {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True, "ATOMIC_REQUESTS": False}
}
if DATABASES["default"]["ENGINE"] == env.SQLITE:
    # WAL lets pages read while the worker writes; IMMEDIATE takes the write lock at BEGIN, where busy_timeout
    # applies, instead of failing half-way. FULL costs 0.23 ms a commit against 0.02 for NORMAL and is what keeps
    # "nothing accepted is ever lost" true when the power goes. Where that would be waited for in a row,
    # services.lib.fsync has it waited for together. https://www.sqlite.org/pragma.html#pragma_synchronous
    # secure_delete overwrites deleted rows with zeros; not every build of SQLite does so unless told to.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 10,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;",
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Redis: broker, hand-off list ----------------------------------------------------------------------------------

REDIS_URL = env.text("REDIS_URL") or redis_urls.unix_url(redis_urls.embedded_socket(DATA_DIR))
# Short, everywhere: a frozen Redis must not freeze the pages with it.
REDIS_TIMEOUT = env.number("REDIS_TIMEOUT", 2.0, minimum=0.1, maximum=60)
HANDOFF_URL = redis_urls.database_url(REDIS_URL, redis_urls.HANDOFF)

# --- Celery ------------------------------------------------------------------------------------------------------
# https://docs.celeryq.dev/en/stable/userguide/configuration.html

CELERY_BROKER_URL = redis_urls.broker_url(REDIS_URL)
CELERY_BROKER_USE_SSL = redis_urls.broker_tls(REDIS_URL)
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_DEFAULT_QUEUE = "default"
# Messages of shifts are not acknowledged: one that is lost with its worker costs a lease, no more. And a worker whose
# acknowledgement fails because Redis has just gone would count that message against its prefetch limit of one and
# take no other ever again: https://github.com/celery/kombu/blob/main/kombu/transport/redis.py (QoS.ack)
# Each queue has an exchange of its own: left out, all three would hang on the default one, under one key.
CELERY_TASK_QUEUES = [
    Queue("predictions", Exchange("predictions"), "predictions", no_ack=True),
    Queue("default", Exchange("default"), "default"),
    Queue("train", Exchange("train"), "train"),
]
CELERY_TASK_ROUTES = {
    "recognizer.tasks.serve_shift": {"queue": "predictions"},
    "recognizer.tasks.train": {"queue": "train"},
}
# A request that cannot publish goes on without: the sweeper rings later.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for Redis for as long as it takes
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "socket_timeout": REDIS_TIMEOUT,
    "socket_connect_timeout": REDIS_TIMEOUT,
    "max_retries": 0,
    # A message that its worker held for longer than this comes again: longer than any task of the default queue, or
    # it would run twice. What must come back sooner after a crash is found in the database, where every job has its
    # row. The trainer has a time of its own (digitsite/worker.py), and messages of shifts are never held.
    "visibility_timeout": 3600,
    # Look for such messages every 10 s and not, as kombu does by itself, every 100.
    "unacked_restore_interval": 10,
    "unacked_restore_throttle": 1,
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
# Where somebody ends a worker by SIGQUIT, its tasks get this long; after SIGTERM as long as they take. The supervisor
# sends SIGTERM and itself waits no longer than that: a process that is killed then has its messages come again.
CELERY_WORKER_SOFT_SHUTDOWN_TIMEOUT = 2.0
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_ENABLE_REMOTE_CONTROL = False  # heartbeats are rows and keys of our own
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_SCHEDULER = "digitsite.bootsteps:Scheduler"
SWEEP_SECONDS = env.number("SWEEP_SECONDS", 10, minimum=0.5, maximum=3600)
# How often each worker is asked whether it still takes work.
CANARY_SECONDS = env.number("CANARY_SECONDS", 60, minimum=1, maximum=3600)
# Seconds between two runs of each periodic task of recognizer/tasks.py.
PERIODIC_TASKS = {
    "sweep": SWEEP_SECONDS,
    "tend_training_runs": SWEEP_SECONDS,
    "prune_model_files": SWEEP_SECONDS,
    "predict_again": SWEEP_SECONDS,
    "enforce_retention": 3600,
    "clear_sessions": 3600,
    "empty_write_ahead_log": 3600,
    "sweep_orphans": 3600,
    "sweep_idempotency_keys": 3600,
    "forget_usage": 3600,
}
CELERY_BEAT_SCHEDULE = {
    **{
        name: {"task": f"recognizer.tasks.{name}", "schedule": seconds, "options": {"expires": seconds}}
        for name, seconds in PERIODIC_TASKS.items()
    },
    **{
        f"canary {queue}": {
            "task": "recognizer.tasks.canary",
            "args": (queue,),
            "schedule": CANARY_SECONDS,
            "options": {"queue": queue, "expires": CANARY_SECONDS},
        }
        for queue in ("default", "train")
    },
}

# --- Predictions -------------------------------------------------------------------------------------------------

INFERENCE_RUNTIME = env.choice("INFERENCE_RUNTIME", "litert", ("litert", "keras"))
PREDICTION_BATCH = env.integer("PREDICTION_BATCH", 64, minimum=1, maximum=1024)
SHIFT_IDLE_SECONDS = env.number("SHIFT_IDLE_SECONDS", 8, minimum=0.01, maximum=60)
SHIFT_SECONDS = env.number("SHIFT_SECONDS", 15, minimum=0.2, maximum=120)
PREDICTION_WAIT_SECONDS = env.number("PREDICTION_WAIT_SECONDS", 2, maximum=30)
MAX_WAITING_REQUESTS = env.integer("MAX_WAITING_REQUESTS", 48, minimum=1, maximum=1024)

# --- What people may send ----------------------------------------------------------------------------------------

MAX_UPLOAD_BYTES = env.integer("MAX_UPLOAD_BYTES", 10 * 1024 * 1024, minimum=1024, maximum=200 * 1024 * 1024)
MAX_UPLOAD_PIXELS = env.integer("MAX_UPLOAD_PIXELS", 50_000_000, minimum=784, maximum=500_000_000)
MAX_KEPT_SIDE = env.integer("MAX_KEPT_SIDE", 1024, minimum=280, maximum=8192)
# Memory that pictures may take at once while they are decoded. A file of 100 KB may ask for a gigabyte; one that needs
# more than this by itself is refused.
DECODE_MEGABYTES = env.integer("DECODE_MEGABYTES", 120, minimum=16, maximum=4000)
# Room for the multipart envelope around the largest file, and for a data URL, which is a third longer.
DATA_UPLOAD_MAX_MEMORY_SIZE = MAX_UPLOAD_BYTES * 4 // 3 + 65_536
# Without scripts the Upload page sends several pictures in one form; no other page is sent any.
UPLOAD_FORM_MAX_SIZE = 10 * MAX_UPLOAD_BYTES + 65_536
# Larger ones wait in a temporary file: a form may hold a hundred.
FILE_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200
# A request's body must begin within this time; as many more bytes as the rate says buy another second.
BODY_TIMEOUT_SECONDS = env.number("BODY_TIMEOUT_SECONDS", 20, minimum=1, maximum=600)
BODY_MIN_RATE = env.integer("BODY_MIN_RATE", 500, minimum=1, maximum=1_000_000)
# Large bodies wait in files in the data folder, together at most this much.
BODY_DISK_MEGABYTES = env.integer("BODY_DISK_MEGABYTES", 512, minimum=16, maximum=1_000_000)
ANONYMOUS_SUBMISSIONS = env.boolean("ANONYMOUS_SUBMISSIONS", True)
# Requests in a minute of one address, one signed-in account, and one account's tokens; 0: as many as they like. Sized
# for a class of thirty that draws behind one address. This machine itself is not counted.
READS_PER_MINUTE = env.limits("READS_PER_MINUTE", (6000, 6000, 6000))
SUBMISSIONS_PER_MINUTE = env.limits("SUBMISSIONS_PER_MINUTE", (600, 600, 3000))
PREVIEWS_PER_MINUTE = env.limits("PREVIEWS_PER_MINUTE", (3000, 1200, 3000))
CHANGES_PER_MINUTE = env.limits("CHANGES_PER_MINUTE", (600, 1200, 3000))
# What one address, or one account, may have stored in a day; operators are not counted.
SUBMISSIONS_PER_DAY = env.limits("SUBMISSIONS_PER_DAY", (5000, 20_000))
MEGABYTES_PER_DAY = env.limits("MEGABYTES_PER_DAY", (500, 2000))

# --- Personal tokens ---------------------------------------------------------------------------------------------

# Days after which a token ends, unless its owner says otherwise, and at the latest.
TOKEN_DAYS = env.integer("TOKEN_DAYS", 90, minimum=1, maximum=3650)
TOKEN_MAX_DAYS = env.integer("TOKEN_MAX_DAYS", 365, minimum=1, maximum=3650)
if TOKEN_DAYS > TOKEN_MAX_DAYS:
    raise ImproperlyConfigured(
        f"TOKEN_DAYS is {TOKEN_DAYS}; it must not be more than TOKEN_MAX_DAYS, {TOKEN_MAX_DAYS}."
    )

# --- Programs in pages of other sites ----------------------------------------------------------------------------
# https://github.com/adamchainz/django-cors-headers

# Origins whose pages may use the API, without the cookies of this site: with a token, or as nobody.
CORS_ORIGINS = env.origins("CORS_ORIGINS", wildcard=r"\*")
CORS_ALLOW_ALL_ORIGINS = CORS_ORIGINS == ["*"]
CORS_ALLOWED_ORIGINS = [] if CORS_ALLOW_ALL_ORIGINS else CORS_ORIGINS
CORS_ALLOW_CREDENTIALS = False
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_HEADERS = ["authorization", "content-type", "idempotency-key", "if-none-match", "prefer", "x-manage-key"]
CORS_EXPOSE_HEADERS = ["content-disposition", "etag", "location", "retry-after", "www-authenticate", "x-content-hash"]

# Submissions older than this go, with all that belongs to them; 0: they stay until somebody deletes them.
RETENTION_DAYS = env.integer("RETENTION_DAYS", 0, maximum=36_500)

# --- Review ------------------------------------------------------------------------------------------------------

# The share of every reviewer's queue that is drawn at random: only this share measures accuracy on real traffic.
REVIEW_RANDOM_SHARE = env.number("REVIEW_RANDOM_SHARE", 0.15, minimum=0, maximum=1)

# --- Retraining --------------------------------------------------------------------------------------------------

# Whether this site has a trainer; without one the supervisor starts none and nothing asks for a training.
TRAINER = env.boolean("TRAINER", True)
# A training is due when the last one is this many hours old and there is something new (0: no schedule), ...
RETRAIN_SCHEDULE = env.schedule("RETRAIN_SCHEDULE", "daily")
# ... and whenever so many labels were settled since (0: labels start none).
RETRAIN_AFTER_LABELS = env.integer("RETRAIN_AFTER_LABELS", 100)
RETRAIN_TIME_LIMIT = env.number("RETRAIN_TIME_LIMIT", 3600, minimum=1, maximum=7 * 24 * 3600)
# A trainer says every 2 s that it lives; silent for so long, it is taken for dead and its run is over.
TRAINER_SILENCE_SECONDS = env.number("TRAINER_SILENCE_SECONDS", 30, minimum=5, maximum=3600)
# Threads of the trainer. One core stays free for those who wait for an answer.
TRAINING_THREADS = env.integer("TRAINING_THREADS", max(1, (os.cpu_count() or 1) - 1), minimum=1, maximum=256)
# Files of so many versions are kept beside those that must not go; their figures are kept for ever.
KEEP_VERSIONS = env.integer("KEEP_VERSIONS", 10, minimum=1)

# --- JSON API ----------------------------------------------------------------------------------------------------

REST_FRAMEWORK = {
    # The first one's challenge stands in every 401.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "recognizer.api.authentication.token.TokenAuthentication",
        "recognizer.api.authentication.cookie.CookieAuthentication",
    ],
    # Who may see and do what is decided on the object, in services.identity.permissions.
    "DEFAULT_PERMISSION_CLASSES": ["recognizer.api.authentication.token.HasTokenScope"],
    "DEFAULT_THROTTLE_CLASSES": ["recognizer.api.http.throttles.Throttle"],
    "DEFAULT_RENDERER_CLASSES": ["recognizer.api.http.renderers.JsonRenderer"],
    "DEFAULT_PARSER_CLASSES": ["recognizer.api.http.parsers.JsonParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "recognizer.api.http.requests.JsonOnlyNegotiation",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "recognizer.api.openapi.hooks.Schema",
    # Escaped, so that half a surrogate pair in a message can be sent back at all.
    "UNICODE_JSON": False,
    "EXCEPTION_HANDLER": "recognizer.api.http.problems.problem_response",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Handwritten digits",
    "DESCRIPTION": """Send a handwritten digit, read the answer, and later its whole history.

```
curl -F image=@digit.png http://127.0.0.1:8000/api/v1/submissions
```

The answer comes with the response (201), or, when it takes longer, at the address in `Location` (202). That address
carries a read key, so that a program without an account can read what it sent. What it needs to correct or delete it is
the `manage_key`, which the response to sending holds and nothing else: send it in the header `X-Manage-Key`.

**Who asks.** Without an account one can send and preview. A signed-in account uses its session; a program shows a
personal token, `Authorization: Bearer digits_…`, which acts for its account within its scopes. A token that is unknown,
expired or deleted gets 401; a good one that lacks a scope 403 with the code `insufficient_scope`.

**Errors** are problem documents (RFC 9457) with a `code` for programs, a `detail` for people, and `errors` by field.

**Limits.** Reading, sending, previews and changes are counted by the minute, from the API and the pages together, for
each address, account and its tokens (429, code `throttled`); what is stored, by the day (429, code `quota_exceeded`;
`GET /me` says what is left). `Retry-After` says in how many seconds to come back. How much is allowed is up to whoever
runs the site.
A body that is larger than its operation accepts is 413 (`body_too_large`), and so is JSON of more than 300,000 values,
or 30,000 lists, objects and fields (`too_many_values`). An address of more than 8 KB is 414, headers of more than 32 KB
are 431.

**Again and again.** With an `Idempotency-Key` a request that is sent again is done once. Lists are paged: follow
`next` until it is null; rows that come meanwhile double or hide nothing.""",
    "TAGS": [
        {"name": "submissions", "description": "Pictures and drawings of one digit each, with their latest answer."},
        {"name": "preview", "description": "Answers that are not stored."},
        {"name": "labels", "description": "What people say that a picture shows."},
        {"name": "predictions", "description": "What every model version said of every submission."},
        {"name": "review", "description": "The review queue, for reviewers."},
        {"name": "models", "description": "Model versions, which one is live, and training."},
        {"name": "exports", "description": "Settled pictures and labels, to take away."},
        {"name": "account", "description": "Who the caller is, and personal tokens."},
        {"name": "stats", "description": "Counts."},
    ],
    "SWAGGER_UI_SETTINGS": {"deepLinking": True, "defaultModelsExpandDepth": 0, "displayRequestDuration": True},
    "VERSION": "1",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "recognizer.api.openapi.hooks.add_common_problems",
        "recognizer.api.openapi.hooks.add_links",
    ],
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_NAME_OVERRIDES": {
        "Verdict": "recognizer.models.Verdict",
        "Source": "recognizer.models.Source",
        "SubmissionState": "recognizer.models.SubmissionState",
        "TruthState": "recognizer.models.TruthState",
        "TruthValue": "recognizer.models.TruthValue",
        "LabelKind": "recognizer.models.LabelKind",
        "LabelReason": "recognizer.models.LabelReason",
        "Origin": "recognizer.models.Origin",
        "GateVerdict": "recognizer.models.GateVerdict",
        "RunState": "recognizer.models.RunState",
        "Scope": "recognizer.models.Scope",
    },
}

# --- Accounts and mail -------------------------------------------------------------------------------------------

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# Whether people may make accounts for themselves; where not, operators make them.
SIGN_UP = env.boolean("SIGN_UP", True)
# Wrong passwords for one account from one address within a quarter of an hour; then it has to wait.
SIGN_IN_TRIES = env.integer("SIGN_IN_TRIES", 10, minimum=1, maximum=1000)
# Where mail goes out. Without it nobody can ask for a new password by mail: operators hand out one-time links.
_email = env.email("EMAIL_URL")
SENDS_MAIL = bool(_email)
globals().update(_email)
# Mailed links begin with it, whatever host the request named that asked for the mail.
SITE_URL = env.site_url("SITE_URL", hosts=ALLOWED_HOSTS, https=HTTPS, behind_proxy=BEHIND_PROXY, needed=SENDS_MAIL)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = SERVER_EMAIL = env.sender("EMAIL_FROM", "digits@localhost")
PASSWORD_RESET_TIMEOUT = 24 * 3600  # how long a one-time sign-in link works
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "draw"
LOGOUT_REDIRECT_URL = "draw"

# --- Language, time, static files --------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = False
USE_TZ = True

STATIC_URL = "static/"
STORAGES = {
    "default": {"BACKEND": "recognizer.storage.DurableFileStorage"},
    "staticfiles": {"BACKEND": "recognizer.staticfiles.HashedModuleStorage"},
}

# --- Logs: one line an event, to standard error -------------------------------------------------------------------

LOG_LEVEL = env.choice("LOG_LEVEL", "INFO", ("DEBUG", "INFO", "WARNING", "ERROR"))
LOG_FORMAT = env.choice("LOG_FORMAT", "text", ("text", "json"))
_quieter = "DEBUG" if LOG_LEVEL == "DEBUG" else "WARNING"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"rejected": {"()": "digitsite.logs.RejectedRequest"}, "context": {"()": "digitsite.logs.Context"}},
    "formatters": {"text": {"()": "digitsite.logs.Text"}, "json": {"()": "digitsite.logs.json_formatter"}},
    "handlers": {
        "stderr": {"class": "logging.StreamHandler", "formatter": LOG_FORMAT, "filters": ["rejected", "context"]}
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    "loggers": {
        # Three lines for every task, and a sweep comes every ten seconds; failures still show.
        "celery.beat": {"level": _quieter},
        "celery.worker.strategy": {"level": _quieter},
        "celery.app.trace": {"level": _quieter},
        # Every request has its line with its status already; these would tell each refused one again.
        "django.request": {"level": "ERROR"},
    },
}
# The bearer token for /metrics. Without it only programs on this machine may read them, and nobody behind a proxy.
METRICS_TOKEN = env.secret("METRICS_TOKEN")
