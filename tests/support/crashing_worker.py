"""A prediction worker whose model dies, as of a fault in native code, of pictures that begin with a 13.

No picture is known that kills the real model; this one stands in for the one that nobody has met yet. All but the
model is the real worker, and is started like it: `python -m tests.support.crashing_worker predictions`.
"""

import os
import sys
from collections.abc import Mapping, Sequence

import numpy as np

from digitsite import worker
from ml.serving import classifier
from ml.serving.classifier import Answer, Classifier

DEADLY = 13


def main() -> None:
    load = classifier.load_classifier

    def load_mortal(*args: object, **kwargs: object) -> Classifier:
        loaded = load(*args, **kwargs)
        answer = loaded.answer

        def answer_or_die(pixels: np.ndarray, ink: Sequence[Mapping] | None = None) -> list[Answer]:
            if (pixels[:, 0, 0] == DEADLY).any():
                os.abort()
            return answer(pixels, ink)

        loaded.answer = answer_or_die
        return loaded

    # Before anything of the site is imported, which may take the function by its name.
    classifier.load_classifier = load_mortal
    sys.exit(worker.main(sys.argv[1:]))


if __name__ == "__main__":
    main()
