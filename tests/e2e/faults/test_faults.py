"""Short fault tests, with each kind of fault once. `make faults` runs for several minutes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from digitsite.testing import postgresql

from .run import Report, run

if TYPE_CHECKING:
    from pytest_django import DjangoDbBlocker


@pytest.fixture(autouse=True)
def _allow_databases_of_sites(django_db_blocker: DjangoDbBlocker) -> Iterator[None]:
    with django_db_blocker.unblock():
        yield


def assert_nothing_is_lost(report: Report) -> None:
    print(report)
    assert report.broken == []
    assert report.accepted > 0
    assert report.labels > 0


@pytest.mark.acceptance
def test_accepted_data_is_neither_lost_nor_doubled_after_each_kind_of_fault(tmp_path: Path) -> None:
    report = run(
        tmp_path / "data",
        seed=7,
        seconds=8,
        freeze_seconds=3,
        with_postgresql=postgresql.programs() is not None,
        every_kind=True,
    )
    assert_nothing_is_lost(report)
    assert len(report.faults) >= 6


@pytest.mark.acceptance
def test_accepted_data_survives_a_minute_of_faults_with_sqlite_and_a_trainer(tmp_path: Path) -> None:
    report = run(tmp_path / "data", seed=11, seconds=60, freeze_seconds=20, with_postgresql=False, TRAINER="1")
    assert_nothing_is_lost(report)
