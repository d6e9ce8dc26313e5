"""Redis: Celery's broker, the queue of submissions and worker heartbeats."""

from digitsite import env, redis_urls

from .storage import DATA_DIR

REDIS_URL: str = env.read("REDIS_URL") or redis_urls.unix_url(redis_urls.embedded_socket(DATA_DIR))
# Short for all connections, so that an unresponsive Redis does not block the pages.
REDIS_TIMEOUT: float = env.read("REDIS_TIMEOUT")
HANDOFF_URL = redis_urls.database_url(REDIS_URL, redis_urls.HANDOFF)
