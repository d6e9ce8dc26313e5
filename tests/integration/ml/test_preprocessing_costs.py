"""What preprocessing may cost, in processor time."""

import pytest

from digitsite.testing.preprocessing_costs import PROMISED, cases, processor_milliseconds


@pytest.mark.acceptance
def test_preprocessing_costs_no_more_than_is_promised():
    costs = {name: processor_milliseconds(work, tries=300, seconds=20) for name, work in cases().items()}
    assert {name: cost for name, cost in costs.items() if cost > PROMISED[name]} == {}
