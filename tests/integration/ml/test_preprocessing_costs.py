"""Processor time of preprocessing."""

import pytest

from digitsite.testing.preprocessing_costs import PROMISED, cases, processor_milliseconds


@pytest.mark.acceptance
def test_preprocessing_takes_at_most_the_documented_time():
    costs = {name: processor_milliseconds(work, tries=300, seconds=20) for name, work in cases().items()}
    assert {name: cost for name, cost in costs.items() if cost > PROMISED[name]} == {}
