"""A training that is the real one in small, and versions to deploy."""

import hashlib
from collections.abc import Callable

import pytest

from ml import gate, mixture, retraining
from ml.retraining import SITE


@pytest.fixture
def small_training(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything happens, with a tenth of the pictures: seconds instead of half a minute."""
    small = {"REPLAYED": 1_500, "DISTORTIONS": 1, "DRAWN_EACH": 20, "NON_DIGIT_POOL": 200, "NON_DIGIT_ROWS": 200}
    small |= {"REDRAWN_POOL": 100, "REDRAWN_ROWS": 100, "DRAWN_POOL": 200, "DRAWN_ROWS": 200}
    for name, value in small.items():
        monkeypatch.setattr(retraining, name, value)
    monkeypatch.setattr(mixture, "FROZEN_NON_DIGITS", 200)
    monkeypatch.setattr(mixture, "FROZEN_DRAWN", 100)
    # So little training is not what the bounds and tolerances were chosen for; tests of the gate have their own.
    monkeypatch.setattr(gate, "FLOORS", ())
    monkeypatch.setattr(gate.judge, "__kwdefaults__", {**gate.judge.__kwdefaults__, "floors": ()})
    assert SITE.epochs == 3


@pytest.fixture
def make_version() -> Callable:
    """Makes versions that are copies of the base with other bytes."""
    from recognizer.models import GateVerdict, ModelFiles, ModelVersion

    def make(*, passed: bool = True, parent: ModelVersion | None = None) -> ModelVersion:
        base = ModelVersion.objects.get(number=1)
        number = ModelVersion.objects.first().number + 1
        version = ModelVersion.objects.create(
            number=number,
            parent=parent or base,
            origin="training",
            keras_sha256=hashlib.sha256(bytes(base.files.keras_file)).hexdigest(),
            bundle_sha256=base.bundle_sha256,
            manifest=base.manifest,
            gate_verdict=GateVerdict.PASSED if passed else GateVerdict.REFUSED,
        )
        ModelFiles.objects.create(version=version, keras_file=base.files.keras_file, bundle=base.files.bundle)
        return version

    return make
