"""Where the time of one stored prediction goes, and what it would cost at least. Called by `bench.serving`.

    python -m bench.breakdown

Runs the very functions of a request one after the other in this process, on a site of its own with a real worker, and
beside each the floor: decoding, arithmetic, one insert and one HTTP exchange without anything around them.
"""
