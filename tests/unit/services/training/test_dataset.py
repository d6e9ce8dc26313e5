"""Selection of the labels for training: filters, caps, fingerprint and contested labels."""

from dataclasses import replace

import numpy as np
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from ml.evaluation.gate import evaluate_classifier
from ml.preprocessing import PREPROCESSING_VERSION
from ml.training.label_noise import NoiseThresholds
from ml.training.site_recipe import SITE
from recognizer.models import Fold, Label, LabelKind, LabelReason, TruthState
from recognizer.services.identity.actors import Actor
from recognizer.services.registry import versions
from recognizer.services.training import dataset
from tests.factories import make_boxed_submission, make_submission
from tests.image_samples import seven_pixels

pytestmark = pytest.mark.django_db
VERSION = PREPROCESSING_VERSION


@pytest.fixture
def champion():
    return versions.classifier_of(versions.live_version())


def settled(truth: str = "4", **columns: object):
    pixels = np.random.default_rng(len(truth)).integers(0, 255, 784, dtype=np.uint8).tobytes()
    base = {"truth": truth, "truth_state": TruthState.SETTLED, "pixels": pixels, "preprocessing_version": VERSION}
    return make_submission(**base | columns)


def test_only_settled_labels_of_the_train_fold_with_consent_are_used(champion):
    settled("4")
    settled("not_a_digit")
    settled("5", fold=Fold.HOLDOUT)
    settled("6", may_train=False)
    settled("7", truth_state=TruthState.PROVISIONAL)
    settled("several")
    settled("unreadable")
    training_data = dataset.build_dataset(champion, SITE)
    assert training_data.data.labels.tolist() == [4]
    assert len(training_data.data.non_digits) == 1
    with CaptureQueriesContext(connection) as queries:
        assert dataset.holdout_datasets()[0].labels.tolist() == [5]
    assert not [query for query in queries if "REGEXP" in query["sql"]]


def test_copies_of_an_image_are_counted_once(champion):
    first = settled("4")
    settled("4", digest=first.digest)
    assert dataset.build_dataset(champion, SITE).counts["digits"] == 1


def test_images_are_capped_per_drawer_and_in_total(champion, monkeypatch):
    monkeypatch.setattr(dataset, "MIN_PER_DRAWER", 3)
    capped = [settled("1", visitor="a" * 32) for _ in range(6)]
    for i in range(4):
        settled("2", visitor=f"{i}" * 32)
    training_data = dataset.build_dataset(champion, SITE)
    assert training_data.counts["per_digit"][1:3] == [3, 4]
    assert training_data.counts["left_out"] == 3
    monkeypatch.setattr(dataset, "MAX_DIGITS", 5)
    assert dataset.build_dataset(champion, SITE).counts["digits"] == 5
    assert len(capped) == 6


def test_the_fingerprint_depends_on_labels_and_recipe_but_not_on_their_order(champion):
    rows = [settled("4"), settled("5")]
    fingerprint = dataset.build_dataset(champion, SITE).fingerprint
    assert dataset.build_dataset(champion, SITE).fingerprint == fingerprint
    for changes in (
        {"seed": 2},
        {"interpolation": 0.6},
        {"replay_rows": 9_000},
        {"noise_thresholds": NoiseThresholds(certainty=0.7)},
    ):
        assert dataset.build_dataset(champion, replace(SITE, **changes)).fingerprint != fingerprint
    # The same rows in another order.
    digests = [row.digest for row in rows]
    for row, digest, truth in zip(rows, reversed(digests), "54", strict=True):
        row.digest, row.truth = digest, truth
        row.save()
    assert dataset.build_dataset(champion, SITE).fingerprint == fingerprint
    rows[0].truth = "6"
    rows[0].save()
    assert dataset.build_dataset(champion, SITE).fingerprint != fingerprint


def test_images_are_the_readings_that_the_live_version_chooses(champion):
    make_boxed_submission(truth="7", truth_state=TruthState.SETTLED)
    plain_only = settled("7", pixels=seven_pixels().tobytes())
    images = dataset.build_dataset(champion, SITE).data.images
    assert [(image == seven_pixels()).all() for image in images] == [True, True]
    fingerprint = dataset.build_dataset(champion, SITE).fingerprint
    plain_only.pixels = bytes(784)
    plain_only.save()
    assert dataset.build_dataset(champion, SITE).fingerprint != fingerprint


def test_a_model_chooses_the_readings_on_which_it_is_evaluated(champion):
    make_boxed_submission(truth="7", truth_state=TruthState.SETTLED, fold=Fold.HOLDOUT)
    [holdout] = dataset.holdout_datasets()
    assert not holdout.images.any()
    assert evaluate_classifier(champion, [holdout])["holdout"].metrics["accuracy"] == 1


def sure_image(champion) -> tuple[bytes, int]:
    from ml.data.mnist import load_mnist

    images = load_mnist().validation_images[:50]
    answers = champion.answer(images)
    i = next(i for i, answer in enumerate(answers) if answer.verdict == "sure")
    return images[i].tobytes(), answers[i].digit


def review(submission, actor: Actor, reason: str = LabelReason.DOUBT) -> None:
    Label.objects.create(
        submission=submission, kind=LabelKind.REVIEW, value=submission.truth, user=actor.user, reason=reason
    )


def test_a_label_that_contradicts_a_sure_answer_is_contested_until_a_second_review(champion, reviewer, operator):
    pixels, digit = sure_image(champion)
    wrong = settled(str((digit + 1) % 10), pixels=pixels)
    settled(str(digit), pixels=pixels)
    review(wrong, reviewer)
    training_data = dataset.build_dataset(champion, SITE)
    assert training_data.counts["contested"] == 1
    assert training_data.data.labels[training_data.data.contested].tolist() == [(digit + 1) % 10]
    review(wrong, operator)
    confirmed = dataset.build_dataset(champion, SITE)
    assert confirmed.counts["contested"] == 0
    assert confirmed.fingerprint != training_data.fingerprint


def test_a_blind_second_review_by_the_same_reviewer_confirms_a_label(champion, reviewer):
    pixels, digit = sure_image(champion)
    wrong = settled(str((digit + 1) % 10), pixels=pixels)
    review(wrong, reviewer)
    review(wrong, reviewer)
    assert dataset.build_dataset(champion, SITE).counts["contested"] == 1
    review(wrong, reviewer, LabelReason.SUSPECT)
    assert dataset.build_dataset(champion, SITE).counts["contested"] == 0
