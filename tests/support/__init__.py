"""The real thing for tests: Valkey, Celery workers and the web server as processes of their own."""
