"""Processor time of preprocessing: the fast path, the full search and a phone's photo.

    python -m bench.preprocessing

The minimum of many runs is reported: other load on the machine can only add to it.
"""

from digitsite.testing.preprocessing_costs import PROMISED, cases, processor_milliseconds


def main() -> None:
    """Print each cost and its limit."""
    for name, work in cases().items():
        print(f"{name:<46} {processor_milliseconds(work):6.2f} ms of processor time (promised: {PROMISED[name]:g})")


if __name__ == "__main__":
    main()
