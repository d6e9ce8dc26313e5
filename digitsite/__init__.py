"""The Django project: settings, addresses, the Celery app. Wiring only; the rules live below, in recognizer and ml."""
