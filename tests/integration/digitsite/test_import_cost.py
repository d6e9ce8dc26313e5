"""Libraries that a process of an idle site does not load."""

import os
import subprocess
import sys

import pytest

from digitsite.settings import BASE_DIR

SCRIPT = """
import importlib, sys, django
django.setup()
for name in sys.argv[1].split():
    importlib.import_module(name)
print(*sorted({"numpy", "cv2", "ai_edge_litert", "keras", "tensorflow"} & set(sys.modules)))
"""
TASKS = "recognizer.tasks recognizer.admin recognizer.services.training recognizer.services.training.subprocess_runner"


@pytest.mark.parametrize(
    ("modules", "expected"),
    [
        pytest.param(TASKS, [], id="workers of periodic tasks and trainings"),
        pytest.param("recognizer.urls digitsite.asgi", ["cv2", "numpy"], id="web process"),
    ],
)
def test_a_process_loads_only_the_libraries_that_it_needs(modules, expected):
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "digitsite.settings"}
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, modules],
        cwd=BASE_DIR,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert process.stdout.split() == expected
