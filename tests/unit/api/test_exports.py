"""Exports: archives of settled images and labels, reproducible for the same data."""

import base64
import csv
import hashlib
import io
import json
import tracemalloc
import zipfile

import numpy as np
import pytest
from django.http import HttpResponse
from django.test import Client
from PIL import Image

from digitsite.testing.site import some_pixels
from recognizer.models import Fold, Submission, TruthState
from recognizer.services.data import exports
from recognizer.services.lib import temp_files
from tests.factories import make_boxed_submission, make_prediction, make_submission

pytestmark = pytest.mark.django_db

EXPORTS = "/api/v1/exports"
NPZ, ZIP = f"{EXPORTS}/settled.npz", f"{EXPORTS}/settled.zip"


@pytest.fixture
def settled() -> list[Submission]:
    truths = ["7", "3", "not_a_digit", "0"]
    rows = [
        make_submission(truth=truth, truth_state=TruthState.SETTLED, pixels=some_pixels(n), fold=fold)
        for n, (truth, fold) in enumerate(zip(truths, [Fold.TRAIN, Fold.HOLDOUT] * 2, strict=True))
    ]
    make_submission()
    make_submission(truth="5", truth_state=TruthState.PROVISIONAL)
    make_submission(truth="5", truth_state=TruthState.SETTLED, may_train=False)
    return rows


def content(response: HttpResponse) -> bytes:
    assert response.status_code == 200, response.content
    return b"".join(response.streaming_content)


def test_arrays_contain_the_settled_data(settled: list[Submission], reviewer_client: Client) -> None:
    response = reviewer_client.get(NPZ)
    data = content(response)
    assert int(response.headers["Content-Length"]) == len(data)
    arrays = np.load(io.BytesIO(data), allow_pickle=False)
    assert (arrays["x"].shape, arrays["x"].dtype, arrays["y"].dtype) == ((4, 28, 28), np.uint8, np.int8)
    assert arrays["y"].tolist() == [7, 3, -1, 0]
    assert arrays["truth"].tolist() == ["7", "3", "not_a_digit", "0"]
    assert arrays["id"].tolist() == [item.public_id for item in settled]
    assert [row.tobytes() for row in arrays["x"]] == [bytes(item.pixels) for item in settled]
    assert arrays["created"][0].item().replace(microsecond=0) == settled[0].created.replace(tzinfo=None, microsecond=0)
    manifest = json.loads(arrays["manifest.json"])
    assert (manifest["count"], manifest["by_truth"]["7"], manifest["by_fold"]) == (4, 1, {"holdout": 2, "train": 2})
    assert manifest["content_hash"] == response.headers["X-Content-Hash"]


def test_table_matches_the_images(settled: list[Submission], operator_client: Client) -> None:
    archive = zipfile.ZipFile(io.BytesIO(content(operator_client.get(ZIP))))
    assert archive.testzip() is None
    rows = list(csv.DictReader(io.StringIO(archive.read("settled.csv").decode())))
    assert [row["truth"] for row in rows] == ["7", "3", "not_a_digit", "0"]
    assert rows[0]["created"] == settled[0].created.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
    pictures = [Image.open(io.BytesIO(archive.read(row["file"]))) for row in rows]
    assert [picture.tobytes() for picture in pictures] == [bytes(item.pixels) for item in settled]
    assert not {"owner", "visitor", "user"} & set(rows[0])


def test_archive_has_the_reading_that_the_latest_prediction_chose(reviewer_client: Client) -> None:
    labelled = {"truth": "7", "truth_state": TruthState.SETTLED}
    make_boxed_submission(**labelled)
    make_prediction(make_boxed_submission(**labelled), reading=0)
    make_prediction(make_boxed_submission(**labelled), reading=1)
    arrays = np.load(io.BytesIO(content(reviewer_client.get(NPZ))), allow_pickle=False)
    assert arrays["x"].any(axis=(1, 2)).tolist() == [False, False, True]


def test_archives_have_the_crop_of_each_image(reviewer_client: Client) -> None:
    for crop in (None, [10, 20, 110, 120]):
        make_submission(truth="7", truth_state=TruthState.SETTLED, crop=crop)
    arrays = np.load(io.BytesIO(content(reviewer_client.get(NPZ))), allow_pickle=False)
    assert arrays["crop"].tolist() == [[0, 0, 0, 0], [10, 20, 110, 120]]
    table = zipfile.ZipFile(io.BytesIO(content(reviewer_client.get(ZIP)))).read("settled.csv").decode()
    assert [row["crop"] for row in csv.DictReader(io.StringIO(table))] == ["", "10 20 110 120"]


def test_same_data_has_the_same_bytes_and_the_same_hash_in_every_format(
    settled: list[Submission], reviewer_client: Client, operator_client: Client
) -> None:
    first, second = reviewer_client.get(NPZ), operator_client.get(NPZ)
    data = content(first)
    assert data == content(second)
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    assert first.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    summary = reviewer_client.get(EXPORTS).json()
    pictures = reviewer_client.get(ZIP)
    assert content(pictures) != data
    hashes = {first.headers["X-Content-Hash"], pictures.headers["X-Content-Hash"], summary["content_hash"]}
    assert len(hashes) == 1
    assert (summary["count"], summary["by_source"]) == (4, {"canvas": 4})
    assert reviewer_client.get(NPZ, headers={"If-None-Match": first.headers["ETag"]}).status_code == 304
    Submission.objects.filter(pk=settled[0].pk).update(truth="1")
    assert reviewer_client.get(EXPORTS).json()["content_hash"] not in hashes
    assert content(reviewer_client.get(NPZ, headers={"If-None-Match": first.headers["ETag"]})) != data


def test_export_can_be_filtered_and_unknown_filters_are_rejected(
    settled: list[Submission], reviewer_client: Client
) -> None:
    arrays = np.load(io.BytesIO(content(reviewer_client.get(f"{NPZ}?truth=7&truth=3&fold=holdout"))))
    assert arrays["y"].tolist() == [3]
    assert json.loads(arrays["manifest.json"])["filters"] == {"fold": ["holdout"], "truth": ["7", "3"]}
    summary = reviewer_client.get(f"{EXPORTS}?fold=train").json()
    assert summary["count"] == 2
    assert all(item["url"].endswith("?fold=train") for item in summary["formats"])
    for bad in ("truth=ten", "digit=7", "created_after=soon"):
        assert [reviewer_client.get(f"{address}?{bad}").status_code for address in (EXPORTS, NPZ, ZIP)] == [400] * 3


def test_export_without_settled_data_is_an_empty_archive(reviewer_client: Client) -> None:
    arrays = np.load(io.BytesIO(content(reviewer_client.get(NPZ))))
    assert (arrays["x"].shape, arrays["y"].shape, arrays["id"].shape) == ((0, 28, 28), (0,), (0,))
    assert zipfile.ZipFile(io.BytesIO(content(reviewer_client.get(ZIP)))).read("settled.csv").count(b"\n") == 1


def test_export_requires_reviewer_or_operator(
    settled: list[Submission], anonymous_client: Client, owner_client: Client, other_client: Client
) -> None:
    for client in (anonymous_client, owner_client, other_client):
        assert [client.get(address).status_code for address in (EXPORTS, NPZ, ZIP)] == [403] * 3


def test_exports_are_serialized_for_each_caller(
    settled: list[Submission], reviewer_client: Client, operator_client: Client, reviewer, monkeypatch
) -> None:
    """Regression test: one caller could block the exports of all others."""
    monkeypatch.setattr(temp_files, "WAIT_SECONDS", 0.05)
    with exports.snapshot(exports.settled_submissions(reviewer), caller=reviewer.caller_key):
        response = reviewer_client.get(NPZ)
        assert content(operator_client.get(NPZ))
    assert (response.status_code, response.json()["code"]) == (503, "busy")
    assert response.headers["Retry-After"]
    assert content(reviewer_client.get(NPZ))


@pytest.mark.sqlite_only
def test_export_needs_less_memory_than_its_archive(reviewer) -> None:
    first = make_submission(truth="7", truth_state=TruthState.SETTLED, pixels=some_pixels())
    names = [field.attname for field in Submission._meta.fields if field.attname not in ("id", "public_id", "digest")]
    columns = {name: getattr(first, name) for name in names}
    Submission.objects.bulk_create((Submission(digest=str(n), **columns) for n in range(4000)), batch_size=500)
    tracemalloc.start()
    with exports.snapshot(exports.settled_submissions(reviewer), caller="a") as data:
        with exports.write_archive(data, form="npz", filters={}) as file:
            size = file.seek(0, io.SEEK_END)
        _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size > 4000 * 784
    assert peak < size * 0.7
