"""A process that cannot start stops the start with its output, instead of being restarted forever."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from digitsite.testing.site import BASE_DIR
from digitsite.testing.supervised import SETTINGS, Supervised

# The supervisor with a given preparation, with an idle worker and one process that exits at once.
SUPERVISOR = """
import sys
from digitsite.supervisor import __main__, commands, startup_cache
startup_cache.is_current = lambda options: False
commands.prepare = lambda: ["sh", "-c", sys.argv[2]]
commands.worker = lambda *queues: ["sleep", "60"]
code = "print('The colour of the sky is wrong.'); open('$DATA_DIR/failed', 'w'); raise SystemExit(3)"
setattr(commands, sys.argv[1], lambda options: ["sh", "-c", f'{sys.executable} -c "{code}"'])
sys.exit(__main__.main())
"""


UNTIL_THE_FIRST_FAILURE = "until [ -e $DATA_DIR/failed ]; do sleep 0.05; done"


@pytest.mark.parametrize(("command", "part"), [("web", "web"), ("valkey", "redis")])
def test_start_stops_with_the_last_output_of_a_process_that_fails_three_times(
    tmp_path: Path, command: str, part: str
) -> None:
    prepare = UNTIL_THE_FIRST_FAILURE if part == "redis" else "true"  # Redis starts before the preparation
    environment = {name: value for name, value in os.environ.items() if name not in SETTINGS}
    done = subprocess.run(
        [sys.executable, "-c", SUPERVISOR, command, prepare],
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
