"""People and departments over time: a version a day, and every rating in the departments of its day."""

from __future__ import annotations

from datetime import date, timedelta
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules.organisation import (
    DEPARTMENT_ATTRIBUTES,
    EMPLOYEE_ATTRIBUTES,
    FIRST_DAY,
    NO_END,
    VERSION_COLUMNS,
    Organisation,
    department_versions,
    employee_versions,
)

MONDAY, TUESDAY, FRIDAY = date(2026, 3, 2), date(2026, 3, 3), date(2026, 3, 6)


def nobody() -> pd.DataFrame:
    return pd.DataFrame(columns=["employee_id", *EMPLOYEE_ATTRIBUTES, *VERSION_COLUMNS])


def nothing() -> pd.DataFrame:
    return pd.DataFrame(columns=["department_id", *DEPARTMENT_ATTRIBUTES, *VERSION_COLUMNS])


def people(*rows: dict[str, Any]) -> pd.DataFrame:
    plain = {"employee_id": 7, "full_name": "Иванова Анна", "position": "", "department_id": 3, "is_active": True}
    return pd.DataFrame([plain | row for row in rows], columns=list(plain))


def tree(**parents: int) -> pd.DataFrame:
    rows = [
        {"department_id": int(key[1:]), "name": key, "parent_id": parent, "level": 1, "head_employee_id": 0}
        for key, parent in parents.items()
    ]
    return pd.DataFrame(rows, columns=["department_id", *DEPARTMENT_ATTRIBUTES])


def told(versions: pd.DataFrame, attribute: str) -> list[tuple[Any, ...]]:
    columns = [attribute, "valid_from", "valid_to", "is_current", "is_inferred"]
    return [tuple(row) for row in versions[columns].itertuples(index=False)]


def seen(*days: tuple[date, pd.DataFrame]) -> pd.DataFrame:
    versions = nobody()
    for day, rows in days:
        versions = employee_versions(versions, rows, day)
    return versions


def test_the_first_version_holds_for_ever_and_is_inferred() -> None:
    assert told(seen((MONDAY, people({}))), "department_id") == [(3, FIRST_DAY, NO_END, True, True)]


def test_a_move_starts_a_version_on_the_day_a_run_first_saw_it() -> None:
    versions = seen((MONDAY, people({})), (TUESDAY, people({})), (FRIDAY, people({"department_id": 4})))
    assert told(versions, "department_id") == [
        (3, FIRST_DAY, FRIDAY, False, True),
        (4, FRIDAY, NO_END, True, False),
    ]


@pytest.mark.parametrize("change", [{"full_name": "Петрова Анна"}, {"position": "Директор"}, {"is_active": False}])
def test_every_attribute_makes_a_version(change: dict[str, Any]) -> None:
    assert len(seen((MONDAY, people({})), (FRIDAY, people(change)))) == 2


def test_of_one_day_the_last_sighting_stands_and_a_change_taken_back_leaves_no_version() -> None:
    twice = seen((MONDAY, people({})), (FRIDAY, people({"department_id": 4})), (FRIDAY, people({"department_id": 5})))
    assert told(twice, "department_id") == [(3, FIRST_DAY, FRIDAY, False, True), (5, FRIDAY, NO_END, True, False)]
    back = seen((MONDAY, people({})), (FRIDAY, people({"department_id": 4})), (FRIDAY, people({})))
    assert told(back, "department_id") == [(3, FIRST_DAY, NO_END, True, True)]


def test_somebody_dismissed_keeps_the_last_department_when_the_portal_shows_none() -> None:
    versions = seen((MONDAY, people({})), (FRIDAY, people({"is_active": False, "department_id": 0})))
    assert told(versions, "department_id")[-1] == (3, FRIDAY, NO_END, True, False)


def test_somebody_the_portal_no_longer_shows_counts_as_dismissed_until_he_is_back() -> None:
    versions = seen((MONDAY, people({})), (TUESDAY, people()), (FRIDAY, people({})))
    assert told(versions, "is_active") == [
        (True, FIRST_DAY, TUESDAY, False, True),
        (False, TUESDAY, FRIDAY, False, False),
        (True, FRIDAY, NO_END, True, False),
    ]


def test_a_department_that_is_gone_ends_and_may_come_back() -> None:
    versions = nothing()
    for day, rows in ((MONDAY, tree(d1=0, d2=1)), (TUESDAY, tree(d1=0)), (FRIDAY, tree(d1=0, d2=1))):
        versions = department_versions(versions, rows, day)
    assert told(versions[versions["department_id"] == 2], "parent_id") == [
        (1, FIRST_DAY, TUESDAY, False, True),
        (1, FRIDAY, NO_END, True, False),
    ]


def test_a_department_gone_and_back_on_one_day_was_never_gone() -> None:
    versions = nothing()
    for day, rows in ((MONDAY, tree(d1=0, d2=1)), (FRIDAY, tree(d1=0)), (FRIDAY, tree(d1=0, d2=1))):
        versions = department_versions(versions, rows, day)
    assert told(versions[versions["department_id"] == 2], "parent_id") == [(1, FIRST_DAY, NO_END, True, True)]


def test_a_clock_that_was_set_back_makes_no_version_that_ends_before_it_starts() -> None:
    versions = seen(
        (MONDAY, people({})), (FRIDAY, people({"department_id": 4})), (TUESDAY, people({"department_id": 5}))
    )
    assert (versions["valid_from"] < versions["valid_to"]).all()
    assert told(versions, "department_id")[-1][0] == 5


def test_a_rating_belongs_to_the_departments_of_its_day() -> None:
    versions = seen((MONDAY, people({})), (FRIDAY, people({"department_id": 4})))
    departments = department_versions(nothing(), tree(d1=0, d3=1, d4=1), MONDAY)
    company = Organisation(versions, departments)
    days = pd.Series([date(2020, 1, 1), TUESDAY, FRIDAY, date(2027, 1, 1)])
    assert company.departments_of(pd.Series([7] * 4), days).tolist() == [3, 3, 4, 4]
    assert company.departments_of(pd.Series([8, 0]), days[:2]).tolist() == [0, 0]


def test_somebody_seen_late_was_always_where_he_was_first_seen() -> None:
    versions = seen((MONDAY, people({})), (FRIDAY, people({}, {"employee_id": 9, "department_id": 4})))
    departments = department_versions(nothing(), tree(d1=0, d3=1, d4=1), MONDAY)
    found = Organisation(versions, departments).departments_of(pd.Series([9]), pd.Series([MONDAY]))
    assert found.tolist() == [4]


def test_the_tree_is_that_of_the_day_and_the_last_one_remembers_what_is_gone() -> None:
    departments = department_versions(nothing(), tree(d1=0, d2=0, d3=1), MONDAY)
    departments = department_versions(departments, tree(d1=0, d2=0, d3=2), TUESDAY)
    departments = department_versions(departments, tree(d1=0, d2=0), FRIDAY)
    company = Organisation(people({}).assign(valid_from=FIRST_DAY), departments)
    days = pd.Series([MONDAY, TUESDAY, FRIDAY])
    threes = pd.Series([3, 3, 3])
    assert company.within(threes, days, {1}).tolist() == [True, False, False]
    assert company.within(threes, days, {2}).tolist() == [False, True, False]
    assert company.last_tree[3] == {3, 2}


states = st.lists(st.one_of(st.none(), st.tuples(st.integers(0, 2), st.booleans())), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None)
@given(states, st.lists(st.integers(0, 2), min_size=8, max_size=8))
def test_versions_never_overlap_and_the_last_sighting_is_the_current_one(
    sightings: list[tuple[int, bool] | None], steps: list[int]
) -> None:
    versions, day, last = nobody(), MONDAY, None
    for sighting, step in zip(sightings, steps, strict=False):
        day += timedelta(days=step)
        rows = people({"department_id": sighting[0] + 1, "is_active": sighting[1]}) if sighting else people()
        versions = employee_versions(versions, rows, day)
        last = sighting
    ordered = versions.sort_values("valid_from")
    assert (ordered["valid_from"] < ordered["valid_to"]).all()
    assert ordered["valid_from"].tolist()[1:] == ordered["valid_to"].tolist()[:-1]
    if len(versions):
        current = versions[versions["is_current"]].iloc[0]
        assert versions["is_current"].sum() == 1
        if last:
            assert (current["department_id"], bool(current["is_active"])) == (last[0] + 1, last[1])
        else:
            assert not current["is_active"]
