"""A fresh machine: a clone, an empty pip cache, `make run`, and a 3 drawn in a browser."""

import os
import subprocess
import time
from pathlib import Path

import pytest

from digitsite.testing.site import BASE_DIR
from digitsite.testing.supervised import Supervised

from .people import draw_a_three_and_find_it

pytestmark = pytest.mark.acceptance

INSTALL_SECONDS = 1200
# Variables of this test run's virtual environment and make, which a fresh machine does not have.
NOT_FRESH = ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME", "MAKEFLAGS", "MAKELEVEL", "MFLAGS", "DJANGO_SETTINGS_MODULE")


def test_fresh_clone_starts_with_one_command_and_restarts_within_five_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", BASE_DIR, clone], check=True)
    for name in NOT_FRESH:
        monkeypatch.delenv(name, raising=False)
    inherited = [folder for folder in os.environ["PATH"].split(os.pathsep) if not folder.startswith(str(BASE_DIR))]
    monkeypatch.setenv("PATH", os.pathsep.join(inherited))
    monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "pip"))

    with Supervised(clone / "data", command=("make", "run"), code=clone) as site:
        site.wait_until_it_answers(seconds=INSTALL_SECONDS)
        print(f"first start, pip included: {time.monotonic() - site.started:.0f} s")
        draw_a_three_and_find_it(site.url)
        assert site.stop() < 5
        assert site.left_behind() == []

    with Supervised(clone / "data", command=("make", "run"), code=clone) as site:
        site.wait_until_it_answers()
        assert site.draw_a_three().json()["prediction"]["digit"] == 3
        seconds = time.monotonic() - site.started
        print(f"second start, to the first right answer: {seconds:.2f} s")
        assert seconds < 5
    changes = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert changes.stdout == ""
