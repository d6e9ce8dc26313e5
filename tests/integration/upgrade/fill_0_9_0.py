"""Fill a site of release 0.9.0 with every kind of row that an upgrade must preserve.

`tests.upgrade.build` runs this file inside a checkout of commit 07961fc, so every import below is that release's code:

    DATA_DIR=... DATABASE_URL=... python fill_0_9_0.py people|late FACTS.json

`people` needs a running site; `late` runs after its workers have stopped, so that some rows stay pending. Both add to
FACTS.json what only the people know: keys, cookies, tokens and the answers they got.
"""

from __future__ import annotations

import io
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from unittest import mock

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "digitsite.settings")
django.setup()

import numpy as np  # noqa: E402
from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.contrib.sessions.models import Session  # noqa: E402
from django.core import signing  # noqa: E402
from django.core.files.uploadedfile import SimpleUploadedFile  # noqa: E402
from django.test import Client  # noqa: E402

from ml.photographs import KINDS, photograph  # noqa: E402
from ml.procedural import draw_digits  # noqa: E402
from recognizer.middleware import COOKIE_SALT  # noqa: E402
from recognizer.models import (  # noqa: E402
    Fold,
    IdempotencyKey,
    Label,
    LabelReason,
    Source,
    Submission,
    Token,
    TruthState,
)
from recognizer.services import accounts, handoff, labels, predictions, privacy, submissions  # noqa: E402
from recognizer.services.actors import Actor  # noqa: E402
from recognizer.services.demo import Hand  # noqa: E402

# The fixture must work for decades: what expires gets this date, and what is signed is signed by this clock.
LATER = datetime(2100, 1, 1, tzinfo=UTC)
PASSWORD = "a password of the fixture 07961fc"
VISITOR, OPTED_OUT = "5ca1ab1e" * 4, "0ddba11" * 4 + "0000"
DRAWINGS = 44


def browser(user: User | None = None, visitor: str = "") -> Client:
    client = Client(HTTP_HOST="localhost")
    if user is not None:
        client.force_login(user)
    if visitor:
        client.cookies[settings.VISITOR_COOKIE] = visitor_cookie(visitor)
    return client


def visitor_cookie(visitor: str) -> str:
    with mock.patch("time.time", LATER.timestamp):
        return signing.get_cookie_signer(salt=settings.VISITOR_COOKIE + COOKIE_SALT).sign(visitor)


def answer_of(response, status: int) -> dict:
    assert response.status_code == status, (response.status_code, response.content[:500])
    return response.json() if response.content else {}


def send(client: Client, body: object, **headers: str) -> object:
    return client.post("/api/v1/submissions", json.dumps(body), content_type="application/json", headers=headers)


def people() -> dict:
    chance = np.random.default_rng(9)
    hands = [Hand.any(chance) for _ in range(4)]

    def strokes(digit: int) -> list:
        return hands[int(chance.integers(len(hands)))].write(digit, chance)

    # Accounts.
    olga = accounts.make_operator("olga")
    operator = Actor(user=olga)
    rita = accounts.add_person(actor=operator, name="rita", role="reviewer")
    rob = accounts.add_person(actor=operator, name="rob", role="reviewer")
    vera = User.objects.create_user("vera", "vera@example.org", PASSWORD)
    User.objects.filter(pk=rita.pk).update(email="rita@example.org")
    browsers = {user.username: browser(user) for user in (olga, rita, rob, vera)}
    facts: dict = {
        "password": PASSWORD,
        "sessions": {name: client.cookies["sessionid"].value for name, client in browsers.items()},
        "visitors": {
            "owner": {"key": VISITOR, "cookie": visitor_cookie(VISITOR)},
            "opted_out": {"key": OPTED_OUT, "cookie": visitor_cookie(OPTED_OUT)},
        },
        "tokens": {},
        "read_keys": {},
        "idempotent": {},
    }

    # Tokens: one of each owner, one that has expired.
    for client, name, scopes in (
        (browsers["vera"], "vera's scanner", ["read", "submit"]),
        (browsers["rita"], "rita's script", ["read", "review"]),
        (browsers["olga"], "olga's console", ["read", "operate"]),
        (browsers["vera"], "expired", ["read"]),
    ):
        body = {"name": name, "scopes": scopes, "days": 30}
        made = answer_of(client.post("/api/v1/tokens", json.dumps(body), content_type="application/json"), 201)
        facts["tokens"][name] = made["key"]

    # Drawings and photos.
    visitor, opted_out = browser(visitor=VISITOR), browser(visitor=OPTED_OUT)
    privacy.opt_out(Actor(visitor=OPTED_OUT))
    meant: dict[str, int] = {}
    for number in range(DRAWINGS):
        client = visitor if number % 3 else browsers["vera"]
        made = answer_of(send(client, {"strokes": strokes(number % 10)}, Prefer="wait=10"), 201)
        meant[made["id"]] = number % 10
    for number in range(4):
        answer_of(send(opted_out, {"strokes": strokes(number)}, Prefer="wait=10"), 201)
    images, digits = draw_digits(8, seed=9)
    for number, kind in enumerate(("tiny", "register", "chalk", "screen")):
        photo = io.BytesIO()
        photograph(images[number], images[4:], KINDS[kind], chance).convert("RGB").save(photo, "JPEG", quality=70)
        file = SimpleUploadedFile(f"{kind}.jpg", photo.getvalue(), "image/jpeg")
        made = answer_of(visitor.post("/api/v1/submissions", {"image": file}, headers={"Prefer": "wait=10"}), 201)
        meant[made["id"]] = int(digits[number])

    # Programs without an account, who have only their read key; and requests that may be sent again.
    program = Client(HTTP_HOST="localhost")
    for _ in range(2):
        made = answer_of(send(program, {"strokes": strokes(4)}, Prefer="wait=10"), 201)
        facts["read_keys"][made["id"]] = made["read_key"]
    token = {"Authorization": "Bearer " + facts["tokens"]["vera's scanner"]}
    for key, body, status in (
        ("single", {"strokes": strokes(5)}, 201),
        ("batch", [{"strokes": strokes(6)}, {"strokes": "no strokes"}, {"strokes": strokes(7)}], 207),
    ):
        response = send(program, body, Prefer="wait=10", **token, **{"Idempotency-Key": key})
        facts["idempotent"][key] = {"body": body, "status": status, "answer": answer_of(response, status)}

    # Labels of every kind. Most are settled, so that there is something to train on.
    rows = {row.public_id: row for row in Submission.objects.filter(public_id__in=meant)}
    reviewer, second, owner = Actor(user=rita), Actor(user=rob), Actor(visitor=VISITOR)
    ids = list(meant)
    for public_id in ids[:36] + ids[44:46]:
        labels.label(actor=reviewer, submission=rows[public_id], value=str(meant[public_id]), reason=LabelReason.RANDOM)
    special = [rows[public_id] for public_id in ids[36:44]]
    for row, value in zip(special, ("not_a_digit", "several", "unreadable"), strict=False):
        labels.label(actor=reviewer, submission=row, value=value, reason=LabelReason.DOUBT)
    labels.label(actor=reviewer, submission=special[3], value="1", reason=LabelReason.HISTORY)
    labels.label(actor=second, submission=special[3], value="7", reason=LabelReason.SECOND_OPINION)
    own = [rows[public_id] for public_id in ids[36:] if rows[public_id].visitor == VISITOR]
    suggested, retracted = own[-1], own[-2]
    labels.label(actor=owner, submission=suggested, value="9", reason=LabelReason.OWN_PAGE)
    said = labels.label(actor=owner, submission=retracted, value="8", reason=LabelReason.OWN_PAGE)
    labels.retract(actor=owner, label=said)
    facts["suggested"] = suggested.public_id

    # What is open at a reviewer, what was passed over, and what is shared.
    for_review = {"rule": "doubt", "count": 2}
    queue = answer_of(
        browsers["rita"].post("/api/v1/review/next", json.dumps(for_review), content_type="application/json"), 200
    )
    skipped = {"submission": queue["items"][0]["id"]}
    browsers["rita"].post("/api/v1/review/skips", json.dumps(skipped), content_type="application/json")
    shared = own[0]
    facts["share"] = {"id": shared.public_id, "key": submissions.share(actor=owner, submission=shared)}
    return facts


def late() -> dict:
    """Create rows without a prediction, a request that died before its response, and dates far ahead."""
    chance = np.random.default_rng(10)
    hand = Hand.any(chance)
    pending = []
    for digit in (1, 3, 8, 0):
        row = submissions.accept_strokes(
            actor=Actor(visitor=VISITOR), strokes=hand.write(digit, chance), source=Source.CANVAS
        )
        pending.append(row.public_id)
    failed = pending.pop(0)
    predictions.give_up([Submission.objects.get(public_id=failed).pk], "The worker stopped each of the 4 times.")
    body = {"strokes": hand.write(2, chance)}
    vera = User.objects.get(username="vera")
    client = browser(vera)
    with mock.patch("recognizer.services.idempotency.finish"):
        died = answer_of(send(client, body, **{"Idempotency-Key": "died", "Prefer": "respond-async"}), 202)
    key = IdempotencyKey.objects.get(key="died")
    key.busy_until = key.busy_until - timedelta(hours=1)
    key.save()
    pending.append(died["id"])
    IdempotencyKey.objects.update(expires=LATER)
    Session.objects.update(expire_date=LATER)
    Token.objects.exclude(name="expired").update(expires=LATER)
    Token.objects.filter(name="expired").update(expires=datetime(2026, 1, 1, tzinfo=UTC))
    return {
        "pending": pending,
        "failed": failed,
        "died": {"body": body, "id": died["id"], "session": client.cookies["sessionid"].value},
        "counts": {
            "submissions": Submission.objects.count(),
            "labels": Label.objects.count(),
            "settled": Submission.objects.filter(truth_state=TruthState.SETTLED).count(),
            "holdout": Submission.objects.filter(fold=Fold.HOLDOUT).count(),
        },
        "truths": dict(Submission.objects.values_list("public_id", "truth")),
        "digits": dict(Submission.objects.exclude(digit=None).values_list("public_id", "digit")),
    }


if __name__ == "__main__":
    file = Path(sys.argv[2])
    known = json.loads(file.read_text()) if file.exists() else {}
    assert sys.argv[1] == "late" or handoff.worker_alive(), "no worker answers"
    file.write_text(json.dumps(known | {"people": people, "late": late}[sys.argv[1]](), indent=1) + "\n")
