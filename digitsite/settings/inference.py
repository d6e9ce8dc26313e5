"""Model runtime, prediction batches and the prediction queue."""

from typing import Literal

from digitsite import env

INFERENCE_RUNTIME: Literal["litert", "keras"] = env.read("INFERENCE_RUNTIME")
PREDICTION_BATCH: int = env.read("PREDICTION_BATCH")
# Whether prediction workers read the stream that requests wait for. Without it, Celery tasks predict everything, later.
PREDICTION_CONSUMER: bool = env.read("PREDICTION_CONSUMER")
# How long a request waits for its prediction before it is answered without one.
PREDICTION_WAIT_SECONDS: float = env.read("PREDICTION_WAIT_SECONDS")
MAX_WAITING_REQUESTS: int = env.read("MAX_WAITING_REQUESTS")
