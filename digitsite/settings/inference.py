"""Model runtime, prediction batches and worker sessions."""

from digitsite import env

INFERENCE_RUNTIME: str = env.read("INFERENCE_RUNTIME")
PREDICTION_BATCH: int = env.read("PREDICTION_BATCH")
# A worker session ends after this long without work, ...
WORKER_IDLE_SECONDS: float = env.read("WORKER_IDLE_SECONDS")
# ... and after about this long in any case.
WORKER_SESSION_SECONDS: float = env.read("WORKER_SESSION_SECONDS")
# How long a request waits for its prediction before it is answered without one.
PREDICTION_WAIT_SECONDS: float = env.read("PREDICTION_WAIT_SECONDS")
MAX_WAITING_REQUESTS: int = env.read("MAX_WAITING_REQUESTS")
