"""Extensions of drf-spectacular: security requirements, common problem responses and links between operations.

`Schema` and the hooks are registered in the settings. Parameters and responses of single views are in `params`.
"""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.openapi import AutoSchema

from recognizer.api.http.problems import CONTENT_TYPE
from recognizer.api.permissions import required_scopes
from recognizer.models import Scope

PRIVILEGED = {Scope.REVIEW, Scope.OPERATE}
METHODS = {"get", "post", "put", "patch", "delete"}

CHALLENGE = {"description": "The error of the token (RFC 6750).", "schema": {"type": "string"}}
RETRY_AFTER = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}

# Problems of every operation: status -> name, description, header.
COMMON = {
    "401": (
        "BadToken",
        "The token is unknown, expired or deleted. The request is not treated as anonymous.",
        "WWW-Authenticate",
    ),
    "503": (
        "Busy",
        "The site is busy (`busy`), or its database (`unavailable`) or storage (`storage_unavailable`) is unreachable.",
        "Retry-After",
    ),
    "429": ("TooMany", "The limit of requests per minute or of storage per day is exceeded.", "Retry-After"),
}
# Problems of operations with a request body.
COMMON_WITH_BODY = {
    "408": ("BodyTimeout", "The body was received too slowly (`body_timeout`). Nothing was changed.", "Retry-After"),
    "507": ("StorageFull", "The disk is full (`storage_full`). Nothing was stored.", "Retry-After"),
}
# Links: operation, response statuses, parameters taken from the response, and target operations.
SUBMISSION = {"public_id": "$response.body#/id", "key": "$response.body#/read_key"}
MANAGED = {"public_id": "$response.body#/id", "header.X-Manage-Key": "$response.body#/manage_key"}
LINKS = (
    (
        "create_submission",
        ("201", "202"),
        SUBMISSION,
        (
            *("read_submission", "read_submission_image", "read_submission_pixels", "read_submission_explanation"),
            "list_labels_of_submission",
        ),
    ),
    (
        "create_submission",
        ("201", "202"),
        MANAGED,
        ("create_label", "share_submission", "unshare_submission", "revoke_read_key", "delete_submission"),
    ),
    ("create_label", ("201",), {"id": "$response.body#/id"}, ("read_label", "retract_label")),
    ("create_token", ("201",), {"id": "$response.body#/id"}, ("delete_token",)),
    ("start_training_run", ("201",), {"id": "$response.body#/id"}, ("read_training_run", "cancel_training_run")),
)
HEADERS = {"WWW-Authenticate": CHALLENGE, "Retry-After": RETRY_AFTER}


class Schema(AutoSchema):
    """Names the pages of lists, and adds whether anonymous clients may call an operation."""

    def get_paginated_name(self, serializer_name: str) -> str:
        """Return the component name of a page of rows."""
        return f"{serializer_name}Page"

    def _get_paginator(self) -> Any:
        # Only GET returns pages: the response to a batch is a plain list.
        return super()._get_paginator() if self.method == "GET" else None  # type: ignore[no-untyped-call] # its own

    def get_auth(self) -> list[dict[str, Any]]:
        """Return the security requirements; an empty one stands for anonymous access."""
        required = required_scopes(self.view, self.method)
        is_public = required is not None and not (required and PRIVILEGED.issuperset(required))
        return [*super().get_auth(), *([{}] if is_public else [])]


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call] # of drf-spectacular
    """The security scheme of bearer tokens."""

    target_class = "recognizer.api.authentication.token.TokenAuthentication"
    name = "token"

    def get_security_requirement(self, auto_schema: AutoSchema) -> dict[str, list[Any]]:
        """Return the scopes of which the token needs one."""
        required = required_scopes(auto_schema.view, auto_schema.method)
        # None: the operation does not accept tokens. drf-spectacular skips the scheme, which its annotations omit.
        return None if required is None else {self.name: list(required)}  # type: ignore[return-value]

    def get_security_definition(self, _auto_schema: AutoSchema) -> dict[str, Any]:
        """Return the description of the scheme."""
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A personal token, `Authorization: Bearer digits_…`, created on the page Tokens and shown "
            "once. It has the permissions of its account, limited by its scopes: `read`; `submit` (create, label, "
            "share and delete own submissions); `review` and `operate`. Each operation lists the scopes of which the "
            "token needs one.",
        }


def add_links(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """Add links between operations (postprocessing hook of drf-spectacular)."""
    operations = {
        path[method]["operationId"]: path[method]
        for path in result["paths"].values()
        for method in METHODS & path.keys()
    }
    for operation_id, statuses, parameters, targets in LINKS:
        for status in statuses:
            operations[operation_id]["responses"][status].setdefault("links", {}).update(
                {target: {"operationId": target, "parameters": parameters} for target in targets}
            )
    return result


def add_common_problems(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """Add the problems of every operation (postprocessing hook of drf-spectacular)."""
    content = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    result["components"]["responses"] = {
        name: {"description": description, "headers": {header: HEADERS[header]}, "content": content}
        for name, description, header in (COMMON | COMMON_WITH_BODY).values()
    }
    for path in result["paths"].values():
        for method in METHODS & path.keys():
            responses = path[method]["responses"]
            common = COMMON | (COMMON_WITH_BODY if "requestBody" in path[method] else {})
            for status, (name, _, _) in common.items():
                responses[status] = {"$ref": f"#/components/responses/{name}"}
            if "403" not in responses and any(scheme.get("token") for scheme in path[method].get("security", [])):
                responses["403"] = {"description": "The token's scopes do not allow this.", "content": content}
            if "413" not in responses and "requestBody" in path[method]:
                responses["413"] = {
                    "description": "The body is larger than this operation accepts.",
                    "content": content,
                }
            path[method]["responses"] = dict(sorted(responses.items()))
    return result


# Strings without NUL, which the framework rejects everywhere.
NO_NUL_PATTERN = "^[^\\u0000]*$"
# Keywords of strings that restrict the value already.
RESTRICTING_KEYWORDS = {"pattern", "format", "enum", "const"}


def close_request_bodies(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """Describe what each `StrictSerializer` rejects: unknown fields, NUL (postprocessing hook of drf-spectacular)."""
    for name, schema in result["components"]["schemas"].items():
        if name.endswith("Request") and "properties" in schema:
            for field in schema["properties"].values():
                if field.get("type") == "string" and RESTRICTING_KEYWORDS.isdisjoint(field):
                    field["pattern"] = NO_NUL_PATTERN
            schema["additionalProperties"] = False
    return result
