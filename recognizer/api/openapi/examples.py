"""The examples on the API page, for curl and in Python. Tests run them as the page shows them.

The code is in templates/recognizer/examples. `site` there is the base URL under which the reader opened the page.
"""

from dataclasses import dataclass

from django.template.loader import render_to_string

from recognizer.models import Scope

LANGUAGES = {"curl": "curl", "python": "Python"}


@dataclass(frozen=True, slots=True)
class Example:
    """An example of one task.

    Attributes:
        name: Base name of its template files.
        title: Heading on the page.
        text: Explanation on the page.
        scopes: Scopes of the token that it uses; empty without a token.
    """

    name: str
    title: str
    text: str
    scopes: tuple[Scope, ...] = ()

    def codes(self, site: str) -> list[dict[str, str]]:
        """Return title and code for each language, for the site at a base URL."""
        return [
            {
                "language": title,
                "code": render_to_string(f"recognizer/examples/{self.name}.{language}", {"site": site}).strip(),
            }
            for language, title in LANGUAGES.items()
        ]


READ, SUBMIT, REVIEW, OPERATE = Scope.READ, Scope.SUBMIT, Scope.REVIEW, Scope.OPERATE

EXAMPLES = (
    Example(
        "picture",
        "Send a picture",
        "A form with a file. The answer comes with the response (201); when it takes longer than two seconds, 202 says "
        "where to read it.",
    ),
    Example(
        "file",
        "Send a file as it is",
        "Its bytes are the body, its kind the Content-Type. may_train=false: the site does not learn from it.",
    ),
    Example("drawing", "Send a drawing", "Strokes as they were drawn are read better than a picture of them."),
    Example("preview", "Ask without storing", "A preview answers and stores nothing."),
    Example(
        "batch",
        "Send many at once",
        "Up to 100 in one request. What became of each comes back in the same order; a bad one spoils no other.",
    ),
    Example(
        "wait",
        "Send now, ask later",
        "With Prefer: respond-async nothing is waited for. The address in Location carries a key: whoever has it reads "
        "this one submission, without an account.",
    ),
    Example(
        "manage",
        "Correct and delete without an account",
        "The answer to sending holds a manage_key, once: keep it. In the header X-Manage-Key it corrects, shares and "
        "deletes that one submission. Read keys and share links only ever read.",
    ),
    Example(
        "crop",
        "Try with a box",
        "The stored picture is read again within left, top, right, bottom; null reads the whole picture. Labels and "
        "earlier answers stay.",
    ),
    Example(
        "retry",
        "Send again safely",
        "With an Idempotency-Key the same request gets the same answer for 24 hours and is stored once, however often "
        "a broken connection makes you repeat it.",
    ),
    Example(
        "token",
        "Act for an account",
        "Make a token on the page Tokens and put it into the environment: export DIGITS_TOKEN=digits_…",
        (READ,),
    ),
    Example(
        "history",
        "Read the history",
        "Everything that every model version said of your submissions, a page at a time: follow next to its end.",
        (READ,),
    ),
    Example("label", "Say what a picture shows", "Your word is a suggestion; a reviewer's is a review.", (SUBMIT,)),
    Example(
        "delete", "Delete a submission", "Its picture, its predictions and its labels go along, for good.", (SUBMIT,)
    ),
    Example(
        "review",
        "Review",
        "The next items are yours for ten minutes: nobody else is shown them. For reviewers.",
        (REVIEW,),
    ),
    Example(
        "export",
        "Take settled data away",
        "28 x 28 grey values with what reviewers say that they show, as a table with pictures or as NumPy arrays. The "
        "same data has the same X-Content-Hash. For reviewers and operators.",
        (REVIEW,),
    ),
    Example(
        "retrain",
        "Look at the models and train",
        "One training runs at a time; the gate decides whether its model goes live. For operators.",
        (READ, OPERATE),
    ),
)
