"""A policy is never looser for the past than it was: what was promised to a rater stays promised."""

from __future__ import annotations

from datetime import date
from typing import Any

import pandas as pd
import pytest

from assets.rules.organisation import FIRST_DAY, NO_END, Organisation
from assets.rules.policy import Mode, PolicyBook, PolicyEntry, PolicyLoosenedError

UNTIL = date(2026, 3, 20)
COMPANY = Organisation(
    pd.DataFrame({"employee_id": [1, 2, 3], "department_id": [7, 8, 9]}).assign(valid_from=FIRST_DAY),
    pd.DataFrame({"department_id": [7, 8, 9], "parent_id": [0, 0, 0]}).assign(valid_from=FIRST_DAY, valid_to=NO_END),
)
RATINGS = pd.DataFrame(
    {
        "process_key": "a",
        "rater_id": [1, 1, 3],
        "ratee_id": 2,
        "rated_on": [date(2026, 1, 15), date(2026, 3, 20), date(2026, 3, 21)],
    }
)


def line(mode: Mode, valid_from: date = date(2026, 1, 1), **key: Any) -> PolicyEntry:
    return PolicyEntry(mode=mode, valid_from=valid_from, **key)


def check(before: list[PolicyEntry], after: list[PolicyEntry], ratings: pd.DataFrame = RATINGS) -> None:
    PolicyBook.build(after).refuse_loosened(PolicyBook.build(before), UNTIL, ratings, COMPANY, [UNTIL])


def test_a_line_edited_to_a_looser_mode_is_refused_with_its_text_and_the_number_of_ratings() -> None:
    with pytest.raises(PolicyLoosenedError) as refusal:
        check([line("aggregate")], [line("open")])
    told = str(refusal.value)
    assert "for 2 ratings" in told, "the rating given after the last run was under no promise yet"
    assert "valid_from: 2026-01-01, mode: open" in told
    assert "a valid_from after 2026-03-20" in told


def test_a_backdated_line_is_refused_and_one_from_tomorrow_on_is_not() -> None:
    hidden = line("aggregate")
    with pytest.raises(PolicyLoosenedError, match="for 1 ratings"):
        check([hidden], [hidden, line("open", date(2026, 3, 20))], RATINGS.iloc[1:])
    check([hidden], [hidden, line("open", date(2026, 3, 21))])


def test_a_tighter_line_is_always_taken() -> None:
    check([line("open")], [line("department_only")])
    check([line("open")], [])
    check([line("named_to_hr")], [line("named_to_hr"), line("aggregate", rater_department=7)])


def test_a_stricter_line_is_not_taken_back_even_if_nothing_was_given_under_it() -> None:
    """It hid what was given before it."""
    before = [line("open"), line("aggregate", date(2026, 3, 1))]
    with pytest.raises(PolicyLoosenedError):
        check(before, before[:1], RATINGS.iloc[:1])


def test_only_the_departments_that_are_opened_count() -> None:
    hidden = line("aggregate")
    with pytest.raises(PolicyLoosenedError, match="for 2 ratings"):
        check([hidden], [hidden, line("open", rater_department=7)])
    check([hidden], [hidden, line("open", rater_department=9)])


def test_no_line_at_all_before_means_aggregate() -> None:
    with pytest.raises(PolicyLoosenedError):
        check([], [line("named_to_hr")])
    check([], [line("aggregate")])


def test_a_contradiction_of_the_past_can_be_mended() -> None:
    """Lines that met in no rating may do so after a move; then the run failed, so nothing rests on them."""
    sides = [line("aggregate", rater_department=7, ratee_department="*"), line("open", process="a")]
    before = PolicyBook(tuple(sides))
    mended = PolicyBook.build([line("aggregate")])
    mended.refuse_loosened(before, UNTIL, RATINGS, COMPANY, [UNTIL])
