"""JSON API: Django REST framework, OpenAPI description, personal tokens and CORS."""

from digitsite import env

from .base import BASE_DIR

REST_FRAMEWORK = {
    # The challenge of the first class is sent with every 401.
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "recognizer.api.authentication.token.TokenAuthentication",
        "recognizer.api.authentication.cookie.CookieAuthentication",
    ],
    # Object permissions are checked in services.identity.permissions.
    "DEFAULT_PERMISSION_CLASSES": ["recognizer.api.permissions.HasTokenScope"],
    "DEFAULT_THROTTLE_CLASSES": ["recognizer.api.http.throttles.Throttle"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["recognizer.api.http.parsers.JsonParser"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "recognizer.api.http.requests.JsonOnlyNegotiation",
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "recognizer.api.openapi.hooks.Schema",
    # Escape non-ASCII characters: a lone surrogate in a message cannot be encoded as UTF-8.
    "UNICODE_JSON": False,
    "EXCEPTION_HANDLER": "recognizer.api.http.problems.problem_response",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
}

# --- OpenAPI -----------------------------------------------------------------------------------------------------

SPECTACULAR_SETTINGS = {
    "TITLE": "Handwritten digits",
    "DESCRIPTION": (BASE_DIR / "recognizer" / "api" / "openapi" / "description.md").read_text(encoding="utf-8").strip(),
    "TAGS": [
        {"name": "submissions", "description": "Images and drawings of one digit each, with their latest prediction."},
        {"name": "preview", "description": "Predictions that are not stored."},
        {"name": "labels", "description": "Digits that users and reviewers assign to a submission."},
        {"name": "predictions", "description": "Predictions of every model version for a submission."},
        {"name": "review", "description": "The review queue, for reviewers."},
        {"name": "models", "description": "Model versions, the live version, and training."},
        {"name": "exports", "description": "Download of settled images and labels."},
        {"name": "account", "description": "The authenticated account and its personal tokens."},
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
        "recognizer.api.openapi.hooks.close_request_bodies",
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

# --- Personal tokens ---------------------------------------------------------------------------------------------

# Default and maximum lifetime of a token, in days.
TOKEN_DAYS: int = env.read("TOKEN_DAYS")
TOKEN_MAX_DAYS: int = env.read("TOKEN_MAX_DAYS")

# --- CORS --------------------------------------------------------------------------------------------------------
# https://github.com/adamchainz/django-cors-headers

# Origins whose pages may use the API, with a token or anonymously. Cookies of this site are never sent along.
CORS_ORIGINS: list[str] = env.read("CORS_ORIGINS")
CORS_ALLOW_ALL_ORIGINS = CORS_ORIGINS == ["*"]
CORS_ALLOWED_ORIGINS = [] if CORS_ALLOW_ALL_ORIGINS else CORS_ORIGINS
CORS_ALLOW_CREDENTIALS = False
CORS_URLS_REGEX = r"^/api/"
CORS_ALLOW_HEADERS = ["authorization", "content-type", "idempotency-key", "if-none-match", "prefer", "x-manage-key"]
CORS_EXPOSE_HEADERS = ["content-disposition", "etag", "location", "retry-after", "www-authenticate", "x-content-hash"]
