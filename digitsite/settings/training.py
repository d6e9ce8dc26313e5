"""Retraining: schedule, time limits and retention of model versions."""

import os

from digitsite import env

# Whether this site has a trainer. Without one, the supervisor starts no trainer and no training is requested.
TRAINER = env.boolean("TRAINER", True)
# A training is due when the last one is this many hours old and there are new labels (0: no schedule), ...
RETRAIN_SCHEDULE = env.schedule("RETRAIN_SCHEDULE", "daily")
# ... and when this many labels have been settled since (0: labels do not start a training).
RETRAIN_AFTER_LABELS = env.integer("RETRAIN_AFTER_LABELS", 100)
RETRAIN_TIME_LIMIT = env.number("RETRAIN_TIME_LIMIT", 3600, minimum=1, maximum=7 * 24 * 3600)
# A trainer sends a heartbeat every 2 s. After this long without one, its run is marked as failed.
TRAINER_SILENCE_SECONDS = env.number("TRAINER_SILENCE_SECONDS", 30, minimum=5, maximum=3600)
# One core stays free for the web server and the prediction worker.
TRAINING_THREADS = env.integer("TRAINING_THREADS", max(1, (os.cpu_count() or 1) - 1), minimum=1, maximum=256)
# Number of versions whose files are kept, besides those that are in use. Metrics of all versions are kept.
KEEP_VERSIONS = env.integer("KEEP_VERSIONS", 10, minimum=1)
