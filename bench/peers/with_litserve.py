"""LitServe with its batching: up to 32 requests that arrive within 5 ms share one call of the model.

PORT=9001 python -m bench.peers.with_litserve
"""

import os
from collections.abc import Sequence

import litserve
import numpy as np
from fastapi import Request

from bench.peers import reading


class Digits(litserve.LitAPI):
    """The API with LitServe's hooks."""

    def setup(self, device: str) -> None:  # noqa: ARG002  LitServe's signature
        """Load the model once for each worker."""
        self._classify = reading.engine()

    def decode_request(self, request: Request) -> np.ndarray:
        """Return the image of a form."""
        # LitServe parses a form because of the annotation `Request`.
        return reading.pixels(request["image"].file.read())

    def batch(self, inputs: Sequence[np.ndarray]) -> np.ndarray:
        """Stack images to a batch."""
        return np.stack(inputs)

    def predict(self, batch: np.ndarray) -> np.ndarray:
        """Predict a batch."""
        return self._classify(batch)

    def unbatch(self, output: np.ndarray) -> list[np.integer]:
        """Split a batch of digits."""
        return list(output)

    def encode_response(self, output: np.integer) -> dict[str, int]:
        """Return a digit as JSON."""
        return {"digit": int(output)}


if __name__ == "__main__":
    api = Digits(max_batch_size=reading.BATCH, batch_timeout=reading.BATCH_SECONDS)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning")
