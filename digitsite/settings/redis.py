"""Redis: Celery's broker, the queue of submissions and worker heartbeats."""

from digitsite import env, redis_urls

from .storage import DATA_DIR

REDIS_URL = env.text("REDIS_URL") or redis_urls.unix_url(redis_urls.embedded_socket(DATA_DIR))
# Short for all connections, so that an unresponsive Redis does not block the pages.
REDIS_TIMEOUT = env.number("REDIS_TIMEOUT", 2.0, minimum=0.1, maximum=60)
HANDOFF_URL = redis_urls.database_url(REDIS_URL, redis_urls.HANDOFF)
