"""Data directory, uploaded images, static files and retention."""

from digitsite import env
from digitsite.data_directory import data_dir

DATA_DIR = data_dir()
MEDIA_ROOT = DATA_DIR / "media"
STATIC_ROOT = DATA_DIR / "static"
# Temporary files of the web server. In the data directory, because the system's /tmp may be in memory.
TEMPORARY_DIR = DATA_DIR / "tmp"

STORAGES = {
    "default": {"BACKEND": "recognizer.storage.DurableFileStorage"},
    "staticfiles": {"BACKEND": "recognizer.staticfiles.HashedModuleStorage"},
}

# Submissions older than this are deleted with all related data; 0: never.
RETENTION_DAYS: int = env.read("RETENTION_DAYS")
