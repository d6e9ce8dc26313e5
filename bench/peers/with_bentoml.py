"""BentoML, with adaptive batching (`predict_batch`) and without (`predict`).

PEER_ENGINE=function bentoml serve bench.peers.with_bentoml:Digits --port 9001
"""

from pathlib import Path

import bentoml
import numpy as np

from bench.peers import reading


@bentoml.service(workers=1, traffic={"timeout": 60, "max_concurrency": 512})
class Digits:
    """The service, with the two endpoints that are compared."""

    def __init__(self) -> None:
        self._classify = reading.engine()

    @bentoml.api(batchable=True, max_batch_size=reading.BATCH, max_latency_ms=1000)
    def predict_batch(self, image: list[Path]) -> list[int]:
        """Predict a batch that BentoML has collected."""
        batch = np.stack([reading.pixels(file.read_bytes()) for file in image])
        return [int(digit) for digit in self._classify(batch)]

    @bentoml.api
    def predict(self, image: Path) -> dict[str, int]:
        """Predict one image."""
        return {"digit": int(self._classify(reading.pixels(image.read_bytes())[np.newaxis])[0])}
