"""What preprocessing costs: processor time of the quick path, of the full search, and of a phone's photo.

    python -m bench.preprocessing

The smallest of many tries counts: whatever else a machine does only ever adds to it.
"""

from digitsite.testing.preprocessing_costs import PROMISED, pictures, processor_milliseconds


def main() -> None:
    """Print each cost beside what is promised."""
    for name, work in pictures().items():
        print(f"{name:<46} {processor_milliseconds(work):6.2f} ms of processor time (promised: {PROMISED[name]:g})")


if __name__ == "__main__":
    main()
