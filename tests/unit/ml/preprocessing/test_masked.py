"""Masked mean and standard deviation equal OpenCV's to the last bit; other values would change the model's input."""

import cv2
import numpy as np

from ml.preprocessing.masked import masked_mean, masked_std


def test_masked_statistics_equal_opencv():
    random = np.random.default_rng(3)
    for number in range(300):
        values = random.integers(0, 256, random.integers(1, 300, 2), dtype=np.uint8)
        if number % 3 == 0:
            values = (values > 200).astype(np.uint8) * np.uint8(number % 256)
        mask = cv2.threshold(values, int(random.integers(0, 255)), 255, cv2.THRESH_BINARY)[1]
        for selection in (mask, cv2.bitwise_not(mask)):
            assert masked_mean(values, selection) == cv2.mean(values, mask=selection)[0]
            assert masked_std(values, selection) == cv2.meanStdDev(values, mask=selection)[1][0, 0]
