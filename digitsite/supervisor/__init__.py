"""Process supervisor for `make run`: starts all processes of the site, restarts them and stops them together.

Run as `python -m digitsite.supervisor`. It loads neither Django's apps nor Celery, to keep its memory use small.
"""
