"""`make run`: one process that starts every part of the site, keeps each running, and ends them all together.

Started as `python -m digitsite.supervisor`. It imports neither Django's machinery nor Celery, so it stays small.
"""
