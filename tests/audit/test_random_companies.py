"""Whatever a company looks like: nothing that the rules release can be pinned, and k holds counted per person.

`pycanon` checks k-anonymity of tables, but pins pandas 2 (1.3.6: pandas == 2.3.3), so k is counted here: the smallest
class of rows after all ratings of a rater in a class became one.
"""

from __future__ import annotations

from datetime import date
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.rules.disclosure import PROFILES, ProfileName
from pipelines.audit import numeric
from pipelines.audit.evidence import K, Truth, members, numbers
from tests.audit.conftest import invented, planned

MONTHS = [date(2026, month, 1) for month in range(1, 4)]


@st.composite
def companies(draw: Any) -> Truth:
    """Up to four ratees with up to nine raters, three months, all block modes."""
    modes = st.sampled_from(["aggregate", "aggregate", "named_to_hr", "department_only"])
    people = st.integers(1, draw(st.integers(4, 9)))
    ratings = draw(
        st.lists(
            st.tuples(st.integers(21, 24), people, st.sampled_from(MONTHS), st.integers(1, 5), modes),
            min_size=12,
            max_size=45,
        )
    )
    return invented(
        [
            {"ratee_id": ratee, "rater_id": rater, "period": month, "score": score, "mode": mode}
            for ratee, rater, month, score, mode in ratings
        ]
    )


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(companies(), st.sampled_from(list(PROFILES)))
def test_no_release_of_the_rules_can_be_pinned(truth: Truth, profile: ProfileName) -> None:
    company = planned(truth, profile)
    assert not [width for view in numeric.pinned_views(company) for width in view.widths]
    behind = members(numbers(company.blocks, company.pairs), truth)
    people = behind.drop_duplicates(["number", "rater_id"])
    of_blocks = people[people["cut"].eq("block").to_numpy()].groupby("number").size()
    assert (of_blocks >= K[profile]).all()
    assert numeric.small_cells([company]).advantage == 0
