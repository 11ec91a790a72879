"""What holds for every test. Does not belong here: fixtures, which stand beside the tests that use them."""

from __future__ import annotations

import pytest

REPEATING = (
    "stand_in/test_company",
    "stand_in/test_chronicle",
    "stand_in/test_load",
    "sources/test_bitrix24_faults",
    "test_the_demo_company",
    "[demo",
)
"""Many cases or a year of data through the same few lines: without them the figure is 97 % instead of 99 %."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Takes coverage from example tests: tracing doubles the time, and draws of hypothesis would make it chance."""
    for item in items:
        function = getattr(item, "obj", None)
        if getattr(function, "is_hypothesis_test", False) or any(name in item.nodeid for name in REPEATING):
            item.add_marker(pytest.mark.no_cover)
