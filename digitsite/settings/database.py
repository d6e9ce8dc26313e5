"""Database: SQLite in the data directory, or PostgreSQL."""

from digitsite import env

from .storage import DATA_DIR

DATABASES = {
    "default": (env.read("DATABASE_URL") or {"ENGINE": env.SQLITE, "NAME": DATA_DIR / "db.sqlite3"})
    # ATOMIC_REQUESTS must be off: a request that waits for its own commit would otherwise never end.
    | {"CONN_MAX_AGE": 600, "CONN_HEALTH_CHECKS": True, "ATOMIC_REQUESTS": False}
}
if DATABASES["default"]["ENGINE"] == env.SQLITE:
    # WAL: readers are not blocked while a worker writes. IMMEDIATE: takes the write lock at BEGIN, where busy_timeout
    # applies, instead of failing at the first write. FULL: accepted submissions survive power loss; see
    # docs/adr/0006-group-commit.md. secure_delete: overwrites deleted rows with zeros, which is off by default in some
    # builds of SQLite.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 10,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA secure_delete=ON;",
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
