"""A process that cannot start stops the start with its output, instead of being restarted forever."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from digitsite.testing.site import BASE_DIR
from digitsite.testing.supervised import SETTINGS, Supervised

# The supervisor without a preparation, with an idle worker and one process that exits at once.
SUPERVISOR = """
import sys
from digitsite.supervisor import __main__, commands, startup_cache
startup_cache.is_current = lambda options: False
commands.prepare = lambda: ["true"]
commands.worker = lambda *queues: ["sleep", "60"]
code = "print('The colour of the sky is wrong.'); raise SystemExit(3)"
setattr(commands, sys.argv[1], lambda options: [sys.executable, "-c", code])
sys.exit(__main__.main())
"""


@pytest.mark.parametrize(("command", "part"), [("web", "web"), ("valkey", "redis")])
def test_start_stops_with_the_last_output_of_a_process_that_fails_three_times(
    tmp_path: Path, command: str, part: str
) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", SUPERVISOR, command],
        cwd=BASE_DIR,
        env=environment | {"PORT": "0", "TRAINER": "0", "DATA_DIR": str(tmp_path / "data")},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    reason = f"{part} cannot start: it ended 3 times (exit status 3)." + "\n    The colour of the sky is wrong." * 3
    assert done.stderr.endswith(f"{reason}\n")


@pytest.mark.acceptance
def test_site_listens_on_localhost(start: Callable[..., Supervised]) -> None:
    site = start(HOST="localhost", TRAINER="0")
    site.wait_until_it_answers(seconds=60)
    with site.client() as client:
        assert client.get("/healthz", headers={"Host": "localhost"}).status_code == 200
