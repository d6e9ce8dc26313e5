"""Environment of a test run with a temporary DATA_DIR; must be imported before Django reads its settings."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

DATA_FOLDER = Path(tempfile.mkdtemp(prefix="digits-test-"))
atexit.register(shutil.rmtree, DATA_FOLDER, ignore_errors=True)

for name in ("DATABASE_URL", "REDIS_URL", "ALLOWED_HOSTS", "DEBUG", "SECRET_KEY", "HTTPS", "INFERENCE_RUNTIME"):
    os.environ.pop(name, None)
os.environ["DJANGO_SETTINGS_MODULE"] = "digitsite.settings"
os.environ["DATA_DIR"] = str(DATA_FOLDER)
os.environ["WEB_PROCESSES"] = "1"  # on any number of cores
# WhiteNoise looks for the folder of collected files at its start.
(DATA_FOLDER / "static").mkdir()
