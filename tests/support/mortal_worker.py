"""A prediction worker whose model dies, as of a fault in native code, of pictures that begin with a 13.

No picture is known that kills the real model; this one stands in for the one that nobody has met yet. All but the
model is the real worker: `python -m tests.support.mortal_worker` takes the words of `celery`.
"""

import os
from collections.abc import Mapping, Sequence

import django
import numpy as np
from celery.bin.celery import celery

from ml.classifier import Answer, Classifier

DEADLY = 13


def main() -> None:
    django.setup()

    from recognizer.services import registry

    load = registry.load_classifier

    def load_mortal(*args: object, **kwargs: object) -> Classifier:
        classifier = load(*args, **kwargs)
        answer = classifier.answer

        def answer_or_die(pixels: np.ndarray, ink: Sequence[Mapping] | None = None) -> list[Answer]:
            if (pixels[:, 0, 0] == DEADLY).any():
                os.abort()
            return answer(pixels, ink)

        classifier.answer = answer_or_die
        return classifier

    registry.load_classifier = load_mortal
    celery(prog_name="celery")


if __name__ == "__main__":
    main()
