"""Constants of preprocessing that can be read without importing OpenCV, which takes 15 MB of a worker's memory."""

# Side of the model's square input, in pixels.
SIDE = 28

# Increment when ml.preprocessing may return other pixels for the same input: cached pixels are then computed again.
PREPROCESSING_VERSION = 2
