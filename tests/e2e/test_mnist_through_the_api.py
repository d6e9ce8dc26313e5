"""MNIST's test images, posted as 28 x 28 PNG files through the API of a running site, give the published accuracy.

The published figure is `test_accuracy` in ml/base/metrics.json, measured on the arrays. Here each image passes
decoding, preprocessing, database, Redis and worker.
"""

import json
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from digitsite.testing.site import Site
from ml.data.mnist import load_mnist
from ml.serving.bundle import BASE_FOLDER
from ml.serving.classifier import load_classifier
from tests.image_samples import png

CLIENTS = 8


@pytest.fixture
def running(site: Site) -> Site:
    site.start_redis()
    site.start_web()
    site.start_worker()
    return site


def digits_read(site: Site, images: np.ndarray) -> np.ndarray:
    """Return the site's predictions of (N, 28, 28) images, sent by several clients, in the order of the images."""

    def send(rows: Iterable[np.ndarray]) -> list[int]:
        with site.client() as client:
            return [read(client, pixels) for pixels in rows]

    def read(client, pixels: np.ndarray) -> int:
        response = client.post("/api/v1/submissions", files={"image": ("digit.png", png(Image.fromarray(pixels)))})
        while response.status_code in (200, 202) and response.json()["state"] == "pending":
            response = client.get(response.headers.get("Location") or response.json()["url"])
        assert response.status_code in (200, 201), response.text
        return response.json()["prediction"]["digit"]

    with ThreadPoolExecutor(CLIENTS) as pool:
        return np.concatenate(list(pool.map(send, np.array_split(images, CLIENTS))))


@pytest.mark.acceptance
def test_accuracy_on_500_images_matches_that_on_arrays(running):
    mnist = load_mnist()
    images, labels = mnist.test_images[:500], mnist.test_labels[:500]
    through_the_site = digits_read(running, images)
    answers = load_classifier((BASE_FOLDER / "model.bundle").read_bytes()).answer(images)
    as_arrays = np.array([answer.digit for answer in answers])
    difference = np.mean(through_the_site == labels) - np.mean(as_arrays == labels)
    assert abs(difference) <= 0.01, f"{difference:+.1%} against the arrays"


@pytest.mark.acceptance
def test_accuracy_on_all_10000_images_matches_the_published_one(running):
    mnist = load_mnist()
    stated = json.loads((BASE_FOLDER / "metrics.json").read_text())["test_accuracy"]
    accuracy = np.mean(digits_read(running, mnist.test_images) == mnist.test_labels)
    print(f"{accuracy:.2%} through the site, {stated:.2%} stated")
    assert abs(accuracy - stated) <= 0.003, f"{accuracy:.2%} through the site, {stated:.2%} stated"
