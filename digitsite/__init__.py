"""The Django project: settings, addresses, the Celery app. Wiring only; the rules live below, in recognizer and ml."""

# PEP 440. `.dev0` until the release; CHANGELOG.md has a section for each release.
__version__ = "0.10.0.dev0"
