"""Retraining: schedule, time limits and retention of model versions."""

from digitsite import env

# Whether this site has a trainer. Without one, the supervisor starts no trainer and no training is requested.
TRAINER: bool = env.read("TRAINER")
# A training is due when the last one is this many hours old and there are new labels (0: no schedule), ...
RETRAIN_SCHEDULE: float = env.read("RETRAIN_SCHEDULE")
# ... and when this many labels have been settled since (0: labels do not start a training).
RETRAIN_AFTER_LABELS: int = env.read("RETRAIN_AFTER_LABELS")
RETRAIN_TIME_LIMIT: float = env.read("RETRAIN_TIME_LIMIT")
# A trainer sends a heartbeat every 2 s. After this long without one, its run is marked as failed.
TRAINER_SILENCE_SECONDS: float = env.read("TRAINER_SILENCE_SECONDS")
# One core stays free for the web server and the prediction worker.
TRAINING_THREADS: int = env.read("TRAINING_THREADS")
# Number of versions whose files are kept, besides those that are in use. Metrics of all versions are kept.
KEEP_VERSIONS: int = env.read("KEEP_VERSIONS")
