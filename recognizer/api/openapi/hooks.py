"""What the OpenAPI document says of every operation alike: who may call it, and how any of them may be refused.

The framework is told of `Schema` and `add_common_problems` in the settings; schema.py holds what views say themselves.
"""

from drf_spectacular.extensions import OpenApiAuthenticationExtension, OpenApiSerializerExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.utils import Direction

from recognizer.api.authentication.token import needed_scopes
from recognizer.api.http.problems import CONTENT_TYPE
from recognizer.models import Scope

PRIVILEGED = {Scope.REVIEW, Scope.OPERATE}
METHODS = {"get", "post", "put", "patch", "delete"}

CHALLENGE = {"description": "What is wrong with the token (RFC 6750).", "schema": {"type": "string"}}
RETRY_AFTER = {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 0}}

# Problems that any operation may answer with: status -> name, description, header.
COMMON = {
    "401": (
        "BadToken",
        "The token is unknown, expired or deleted. It is not taken for nobody's.",
        "WWW-Authenticate",
    ),
    "503": (
        "Busy",
        "The site is busy (`busy`), or can reach no database (`unavailable`) or storage (`storage_unavailable`).",
        "Retry-After",
    ),
    "429": ("TooMany", "So much was asked for in a minute, or stored in a day, that it has to wait.", "Retry-After"),
}
# Problems of operations that take a body.
COMMON_WITH_BODY = {
    "408": ("BodyTimeout", "The body came too slowly (`body_timeout`). Nothing was done.", "Retry-After"),
    "507": ("StorageFull", "The disk is full (`storage_full`). Nothing was stored.", "Retry-After"),
}
# What an answer leads to: the operation that made it, its statuses, and by which parameters others go on from there.
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
    """The framework's own, and whether somebody without account and cookie may call the operation."""

    def get_auth(self) -> list[dict]:
        needed = needed_scopes(self.view, self.method)
        everybody = needed is not None and not (needed and PRIVILEGED.issuperset(needed))
        return [*super().get_auth(), *([{}] if everybody else [])]


class TokenScheme(OpenApiAuthenticationExtension):
    target_class = "recognizer.api.authentication.token.TokenAuthentication"
    name = "token"

    def get_security_requirement(self, auto_schema: AutoSchema) -> dict | None:
        """With the scopes of which the token must have one."""
        needed = needed_scopes(auto_schema.view, auto_schema.method)
        return None if needed is None else {self.name: list(needed)}

    def get_security_definition(self, _auto_schema: AutoSchema) -> dict:
        return {
            "type": "http",
            "scheme": "bearer",
            "description": "A personal token, `Authorization: Bearer digits_…`: made on the page Tokens, shown once. "
            "It acts as its account within its scopes: `read`; `submit` (send, label, share and delete one's own); "
            "`review` and `operate` for those who may. Each operation lists the scopes of which one is needed.",
        }


def add_links(result: dict, **_others: object) -> dict:
    """Say what answers lead to (a hook of drf-spectacular)."""
    operations = {
        path[method]["operationId"]: path[method]
        for path in result["paths"].values()
        for method in METHODS & path.keys()
    }
    for maker, statuses, parameters, targets in LINKS:
        for status in statuses:
            operations[maker]["responses"][status].setdefault("links", {}).update(
                {target: {"operationId": target, "parameters": parameters} for target in targets}
            )
    return result


def add_common_problems(result: dict, **_others: object) -> dict:
    """Add to every operation the refusals that come before it is even looked at (a hook of drf-spectacular)."""
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


# What text never holds; the framework refuses it everywhere.
NO_NULLS = "^[^\\u0000]*$"
SAYING_MORE = {"pattern", "format", "enum", "const"}


class StrictScheme(OpenApiSerializerExtension):
    """Bodies in which a name that means nothing is refused say so, and that text is text."""

    target_class = "recognizer.api.serializers.inputs.StrictSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> dict:
        schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)  # noqa: SLF001 - as documented
        for field in schema["properties"].values():
            if field.get("type") == "string" and SAYING_MORE.isdisjoint(field):
                field["pattern"] = NO_NULLS
        return schema | {"additionalProperties": False}
