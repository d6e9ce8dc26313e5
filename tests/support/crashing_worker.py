"""A prediction worker whose process crashes on images whose first pixel is 13, as after a fault in native code.

On images whose first pixel is 14, the thread that predicts them ends.

No image is known that crashes the real model. Everything except the model is the real worker, which is started the same
way: `python -m tests.support.crashing_worker predictions`.
"""

import os
import sys
from collections.abc import Sequence

from digitsite import worker
from ml.readings import Reading
from ml.serving import classifier
from ml.serving.classifier import Classifier
from ml.serving.verdicts import Answer

CRASHING_PIXEL, EXITING_PIXEL = 13, 14


def main() -> None:
    load = classifier.load_classifier

    def load_crashing(*args: object, **kwargs: object) -> Classifier:
        loaded = load(*args, **kwargs)
        answer = loaded.answer_readings

        def answer_or_crash(images: Sequence[Sequence[Reading]]) -> list[Answer]:
            first_pixels = {int(plain.pixels[0, 0]) for plain, *_ in images}
            if CRASHING_PIXEL in first_pixels:
                os.abort()
            if EXITING_PIXEL in first_pixels:
                raise SystemExit
            return answer(images)

        loaded.answer_readings = answer_or_crash
        return loaded

    # Before any module of the site imports the function by name.
    classifier.load_classifier = load_crashing
    sys.exit(worker.main(sys.argv[1:]))


if __name__ == "__main__":
    main()
