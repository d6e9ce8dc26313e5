"""Model runtime, prediction batches and worker sessions."""

from digitsite import env

INFERENCE_RUNTIME = env.choice("INFERENCE_RUNTIME", "litert", ("litert", "keras"))
PREDICTION_BATCH = env.integer("PREDICTION_BATCH", 64, minimum=1, maximum=1024)
# A worker session ends after this long without work, ...
WORKER_IDLE_SECONDS = env.number("WORKER_IDLE_SECONDS", 8, minimum=0.01, maximum=60)
# ... and after about this long in any case.
WORKER_SESSION_SECONDS = env.number("WORKER_SESSION_SECONDS", 15, minimum=0.2, maximum=120)
# How long a request waits for its prediction before it is answered without one.
PREDICTION_WAIT_SECONDS = env.number("PREDICTION_WAIT_SECONDS", 2, maximum=30)
MAX_WAITING_REQUESTS = env.integer("MAX_WAITING_REQUESTS", 48, minimum=1, maximum=1024)
