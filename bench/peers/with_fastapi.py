"""FastAPI as in most tutorials: a form with a file, one call of the model for each request.

PORT=9001 PEER_ENGINE=predict python -m bench.peers.with_fastapi
"""

import os
from typing import Annotated

import numpy as np
import uvicorn
from fastapi import FastAPI, File

from bench.peers import reading

app = FastAPI()
classify = reading.engine()


@app.post("/predict")
def predict(image: Annotated[bytes, File()]) -> dict[str, int]:
    """Predict one image."""
    return {"digit": int(classify(reading.pixels(image)[np.newaxis])[0])}


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
