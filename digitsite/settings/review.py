"""Review queue."""

from digitsite import env

# Share of each reviewer's queue that is sampled at random: only this sample measures accuracy on real traffic.
REVIEW_RANDOM_SHARE = env.number("REVIEW_RANDOM_SHARE", 0.15, minimum=0, maximum=1)
