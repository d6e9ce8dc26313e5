"""Which labels train: settled, of the train fold, given for it, once each, capped; contested ones apart."""

from dataclasses import replace

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ml.preprocessing import PREPROCESSING_VERSION
from ml.training.label_noise import NoiseThresholds
from ml.training.site_recipe import SITE
from recognizer.models import Fold, Label, LabelKind, LabelReason, TruthState
from recognizer.services.identity.actors import Actor
from recognizer.services.registry import versions
from recognizer.services.training import dataset
from tests.factories import make_submission

pytestmark = pytest.mark.django_db
VERSION = PREPROCESSING_VERSION


@pytest.fixture
def champion():
    return versions.classifier_of(versions.live_version())


def settled(truth: str = "4", **columns: object):
    pixels = np.random.default_rng(len(truth)).integers(0, 255, 784, dtype=np.uint8).tobytes()
    base = {"truth": truth, "truth_state": TruthState.SETTLED, "pixels": pixels, "preprocessing_version": VERSION}
    return make_submission(**base | columns)


def test_only_settled_labels_of_the_train_fold_given_for_it_train(champion):
    settled("4")
    settled("not_a_digit")
    settled("5", fold=Fold.HOLDOUT)
    settled("6", may_train=False)
    settled("7", truth_state=TruthState.PROVISIONAL)
    settled("several")
    settled("unreadable")
    found = dataset.build_dataset(champion, SITE)
    assert found.data.labels.tolist() == [4]
    assert len(found.data.non_digits) == 1
    with CaptureQueriesContext(connection) as queries:
        assert dataset.holdout_set().labels.tolist() == [5]
    assert not [query for query in queries if "REGEXP" in query["sql"]]


def test_copies_of_a_picture_count_once(champion):
    first = settled("4")
    settled("4", digest=first.digest)
    assert dataset.build_dataset(champion, SITE).counts["digits"] == 1


def test_one_drawer_and_all_together_are_capped_and_the_newest_stay(champion, monkeypatch):
    monkeypatch.setattr(dataset, "MIN_PER_DRAWER", 3)
    many = [settled("1", visitor="a" * 32) for _ in range(6)]
    for i in range(4):
        settled("2", visitor=f"{i}" * 32)
    found = dataset.build_dataset(champion, SITE)
    assert found.counts["per_digit"][1:3] == [3, 4]
    assert found.counts["left_out"] == 3
    monkeypatch.setattr(dataset, "MAX_DIGITS", 5)
    assert dataset.build_dataset(champion, SITE).counts["digits"] == 5
    assert len(many) == 6


def test_the_fingerprint_depends_on_labels_and_recipe_and_on_no_order(champion):
    rows = [settled("4"), settled("5")]
    mark = dataset.build_dataset(champion, SITE).fingerprint
    assert dataset.build_dataset(champion, SITE).fingerprint == mark
    for other in (
        {"seed": 2},
        {"interpolation": 0.6},
        {"replay_rows": 9_000},
        {"noise_thresholds": NoiseThresholds(certainty=0.7)},
    ):
        assert dataset.build_dataset(champion, replace(SITE, **other)).fingerprint != mark
    # the same rows in another order
    digests = [row.digest for row in rows]
    for row, digest, truth in zip(rows, reversed(digests), "54", strict=True):
        row.digest, row.truth = digest, truth
        row.save()
    assert dataset.build_dataset(champion, SITE).fingerprint == mark
    rows[0].truth = "6"
    rows[0].save()
    assert dataset.build_dataset(champion, SITE).fingerprint != mark


def a_sure_picture(champion) -> tuple[bytes, int]:
    from ml.data.mnist import load_mnist

    images = load_mnist().validation_images[:50]
    said = champion.answer(images)
    i = next(i for i, one in enumerate(said) if one.verdict == "sure")
    return images[i].tobytes(), said[i].digit


def review(submission, actor: Actor, reason: str = LabelReason.DOUBT) -> None:
    Label.objects.create(
        submission=submission, kind=LabelKind.REVIEW, value=submission.truth, user=actor.user, reason=reason
    )


def test_a_label_against_a_sure_answer_is_contested_until_a_second_look(champion, reviewer, operator):
    pixels, digit = a_sure_picture(champion)
    wrong = settled(str((digit + 1) % 10), pixels=pixels)
    settled(str(digit), pixels=pixels)
    review(wrong, reviewer)
    found = dataset.build_dataset(champion, SITE)
    assert found.counts["contested"] == 1
    assert found.data.labels[found.data.contested].tolist() == [(digit + 1) % 10]
    review(wrong, operator)
    confirmed = dataset.build_dataset(champion, SITE)
    assert confirmed.counts["contested"] == 0
    assert confirmed.fingerprint != found.fingerprint


def test_the_same_reviewers_second_blind_look_confirms_too(champion, reviewer):
    pixels, digit = a_sure_picture(champion)
    wrong = settled(str((digit + 1) % 10), pixels=pixels)
    review(wrong, reviewer)
    review(wrong, reviewer)
    assert dataset.build_dataset(champion, SITE).counts["contested"] == 1
    review(wrong, reviewer, LabelReason.SUSPECT)
    assert dataset.build_dataset(champion, SITE).counts["contested"] == 0
