"""The Django project: settings, root URLconf, Celery app, web server and supervisor."""

# PEP 440. `.dev0` until the release; CHANGELOG.md has a section for each release.
__version__ = "0.10.0.dev0"
