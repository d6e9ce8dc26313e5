"""Numbers: images of several digits to lines of digits, by over-segmentation and a lattice. Pure and deterministic."""

from ml.numbers.reader import Digit, NumberReading, read_number

__all__ = ["Digit", "NumberReading", "read_number"]
