"""Review queue."""

from digitsite import env

# Share of each reviewer's queue that is sampled at random: only this sample measures accuracy on real traffic.
REVIEW_RANDOM_SHARE: float = env.read("REVIEW_RANDOM_SHARE")
