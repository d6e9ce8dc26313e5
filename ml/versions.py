"""Versions that much of the code asks for, where asking loads nothing: OpenCV alone takes 15 MB of a worker."""

# Raised whenever ml.preprocessing may give other pixels for the same input: cached pixels are then computed again.
PREPROCESSING_VERSION = 2
