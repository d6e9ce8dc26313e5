"""A site of an earlier release goes on after an upgrade: no data is lost, and every user can still sign in."""

from __future__ import annotations

import json
import re
from collections import Counter

import pytest

from digitsite.testing.supervised import a_three
from tests.image_samples import boxed_seven, png

from .conftest import Folder, Upgraded


def test_all_submissions_keep_their_prediction_and_consensus(upgraded: Upgraded):
    rows = {row["id"]: row for row in upgraded.submissions()}
    facts = upgraded.facts
    assert len(facts["truths"]) == facts["counts"]["submissions"]
    remaining = set(facts["truths"]) - {facts["died"]["id"]}  # which another test deletes
    assert remaining <= set(rows)
    for public_id, digit in facts["digits"].items():
        assert rows[public_id]["prediction"]["digit"] == digit
    assert all((rows[public_id]["truth"] or "") == facts["truths"][public_id] for public_id in remaining)
    states = Counter(rows[public_id]["truth_state"] for public_id in remaining)
    assert states["settled"] == facts["counts"]["settled"]
    assert rows[facts["failed"]]["state"] == "failed"


def test_rows_images_and_models_are_consistent(upgraded: Upgraded):
    assert "nothing is missing or damaged" in upgraded.folder.manage("sanity")


def test_read_key_still_grants_access_to_its_submission_only(upgraded: Upgraded):
    keys = upgraded.facts["read_keys"]
    with upgraded.browser() as stranger:
        for public_id, key in keys.items():
            address = f"api/v1/submissions/{public_id}"
            assert stranger.get(address, params={"key": key}).json()["id"] == public_id
            other_keys = [other for other in keys.values() if other != key]
            assert stranger.get(address, params={"key": other_keys[0]}).status_code == 404


def test_share_link_still_works(upgraded: Upgraded):
    share = upgraded.facts["share"]
    with upgraded.browser() as stranger:
        assert stranger.get(f"s/{share['id']}/", params={"key": share["key"]}).status_code == 200
        assert stranger.get(f"s/{share['id']}/").status_code == 404


def test_visitor_cookie_still_identifies_the_owner_of_drawings(upgraded: Upgraded):
    suggested = upgraded.facts["suggested"]
    with upgraded.browser(visitor=upgraded.facts["visitors"]["owner"]["cookie"]) as owner:
        assert owner.get("api/v1/me").json()["visitor"] is True
        assert suggested in {row["id"] for row in owner.get("api/v1/submissions?page_size=100").json()["results"]}
        assert [row["value"] for row in owner.get(f"api/v1/submissions/{suggested}/labels").json()["results"]] == ["9"]
    with upgraded.browser(visitor=upgraded.facts["visitors"]["opted_out"]["cookie"]) as other:
        assert other.get(f"api/v1/submissions/{suggested}").status_code == 404
        assert "Nothing of yours trains" in other.get("account/data/").text


@pytest.mark.parametrize("name", ["olga", "rita", "rob", "vera"])
def test_session_still_signs_in_an_account_with_its_role(upgraded: Upgraded, name: str):
    with upgraded.browser(session=upgraded.facts["sessions"][name]) as client:
        about = client.get("api/v1/me").json()
        assert (about["user"], about["may_operate"]) == (name, name == "olga")
        assert about["may_review"] == (name != "vera")
        assert client.get("history/").status_code == 200


def test_password_still_works(upgraded: Upgraded):
    with upgraded.browser() as client:
        page = client.get("account/login/").text
        form = {
            "csrfmiddlewaretoken": re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1],
            "username": "vera",
            "password": upgraded.facts["password"],
        }
        assert client.post("account/login/", data=form, headers={"Referer": str(client.base_url)}).status_code == 302
        assert client.get("api/v1/me").json()["user"] == "vera"


def test_tokens_still_authenticate_and_an_expired_one_does_not(upgraded: Upgraded):
    tokens = dict(upgraded.facts["tokens"])
    with upgraded.browser(token=tokens.pop("expired")) as client:
        assert client.get("api/v1/me").status_code == 401
    for name, key in tokens.items():
        with upgraded.browser(token=key) as client:
            assert client.get("api/v1/me").json()["token"]["name"] == name


def test_pending_submissions_are_predicted(upgraded: Upgraded):
    for public_id in upgraded.facts["pending"]:
        assert upgraded.wait_for_state(public_id, "predicted")["prediction"]["version"] >= 1


def test_repeated_idempotent_request_gets_the_response_from_before_the_upgrade(upgraded: Upgraded):
    facts = upgraded.facts
    with upgraded.browser(token=facts["tokens"]["vera's scanner"]) as client:
        for key, original in facts["idempotent"].items():
            again = send(client, key, original["body"])
            assert (again.status_code, again.json()) == (original["status"], original["answer"])
        upgraded.wait_for_state(facts["died"]["id"], "predicted")
        assert send(client, "died", facts["died"]["body"]).json()["id"] == facts["died"]["id"]
        # The answer of before the upgrade goes with the submission that it tells of.
        client.delete(f"api/v1/submissions/{facts['died']['id']}").raise_for_status()
        assert send(client, "died", facts["died"]["body"]).status_code == 410


def send(client, key: str, body: object):
    headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
    return client.post("api/v1/submissions", content=json.dumps(body), headers=headers)


def test_live_version_and_all_older_versions_after_a_rollback_predict(upgraded: Upgraded):
    with upgraded.operator as operator:
        live = operator.get("api/v1/deployments").json()["results"][0]["to_version"]
        assert live == 3
        for version in (3, 2, 1):
            if version != live:
                operator.post(f"api/v1/models/{version}/rollback", json={}).raise_for_status()
            with upgraded.browser() as stranger:
                drawn = stranger.post(
                    "api/v1/submissions", json={"strokes": [a_three()]}, headers={"Prefer": "wait=10"}
                )
            assert drawn.status_code == 201
            assert (drawn.json()["prediction"]["digit"], drawn.json()["prediction"]["version"]) == (3, version)
        operator.post(f"api/v1/models/{live}/rollback", json={}).raise_for_status()


def test_version_of_the_release_predicts_the_plain_reading(upgraded: Upgraded):
    """Its bundle has format 1, without handicaps for further readings."""
    headers = {"Content-Type": "image/png", "Prefer": "wait=10"}
    with upgraded.browser() as stranger:
        sent = stranger.post("api/v1/submissions", content=png(boxed_seven()), headers=headers)
    assert sent.status_code == 201
    assert (sent.json()["prediction"]["version"], sent.json()["prediction"]["reading"]) == (3, "plain")


def test_backup_of_the_release_is_restored_into_an_empty_directory(empty_folder: Folder, tmp_path):
    folder, file = empty_folder, tmp_path / "backup.tar"
    file.write_bytes(folder.release.file(folder.engine, "backup.tar"))
    assert "was verified and restored" in folder.manage("restore", str(file))
    looked_at = folder.manage("sanity")
    count = folder.release.facts(folder.engine)["counts"]["submissions"]
    assert f"checked {count} submissions" in looked_at
    assert "nothing is missing or damaged" in looked_at
    assert (folder.path / "secret_key").read_bytes() == folder.release.secret_key(folder.engine)
