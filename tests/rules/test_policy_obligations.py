"""Policy of expected ratings: one is no more open than its own day, its people and its rating allow."""

from __future__ import annotations

from datetime import date
from itertools import product
from typing import Any

import pandas as pd
import pytest

from assets.rules.organisation import Organisation
from assets.rules.policy import DEFAULT_VERSION, MODES, Mode, PolicyBook, PolicyEntry, stricter

ACCOUNTS, PRODUCTION = 2, 4
COMPANY = Organisation.build({20: ACCOUNTS, 30: PRODUCTION}, {1: 0, ACCOUNTS: 1, PRODUCTION: 1})
TODAY = date(2026, 11, 20)
CLOSED = date(2026, 4, 15)


def entry(mode: Mode, valid_from: date = date(2020, 1, 1)) -> PolicyEntry:
    return PolicyEntry(process="production", valid_from=valid_from, mode=mode)


def resolved(book: PolicyBook, known: list[dict[str, Any]], **values: Any) -> tuple[str, str]:
    expected = {"process_key": "production", "rater_id": 30, "ratee_id": 20, "expected_on": CLOSED, "rating_id": 0}
    columns = ["process_key", "rating_id", "mode", "policy_version"]
    mode, version = book.resolve_obligations(
        pd.DataFrame([expected | values], index=[7]), pd.DataFrame(known, columns=columns), COMPANY, [], TODAY
    )
    return mode[7], version[7]


@pytest.mark.parametrize(("own", "of_rating"), list(product(MODES, MODES)))
def test_an_expected_rating_has_the_stricter_mode_of_its_day_and_of_its_rating(own: Mode, of_rating: Mode) -> None:
    book = PolicyBook.build([entry(own)])
    rating = {"process_key": "production", "rating_id": 5, "mode": of_rating, "policy_version": "theirs"}
    mode, version = resolved(book, [rating], rating_id=5)
    assert mode == stricter(own, of_rating)
    assert version == (book.entries[0].version if mode == own else "theirs")


def test_a_rating_that_is_not_known_hides_what_it_fulfilled() -> None:
    book = PolicyBook.build([entry("open")])
    other = {"process_key": "salary", "rating_id": 5, "mode": "open", "policy_version": "theirs"}
    assert resolved(book, [other], rating_id=5) == ("department_only", DEFAULT_VERSION)
    assert resolved(book, [other], rating_id=0)[0] == "open"


def test_the_policy_of_the_closing_day_and_of_today_both_bind() -> None:
    closed_under = PolicyBook.build([entry("aggregate"), entry("open", date(2026, 5, 1))])
    assert resolved(closed_under, [])[0] == "aggregate"
    hidden_since = PolicyBook.build([entry("open"), entry("named_to_hr", date(2026, 11, 1))])
    assert resolved(hidden_since, [])[0] == "named_to_hr"


def test_people_nobody_knows_take_the_strictest_mode_of_the_process() -> None:
    book = PolicyBook.build(
        [entry("open"), PolicyEntry(process="production", rater_department=9, valid_from=CLOSED, mode="aggregate")]
    )
    assert resolved(book, [], rater_id=999)[0] == "aggregate"
    assert resolved(book, [])[0] == "open"


def test_no_obligations_have_no_modes() -> None:
    columns = ["process_key", "rater_id", "ratee_id", "expected_on", "rating_id"]
    empty = pd.DataFrame(
        {column: pd.Series(dtype=object if column == "process_key" else "int64") for column in columns}
    )
    known = pd.DataFrame(columns=["process_key", "rating_id", "mode", "policy_version"])
    mode, version = PolicyBook.build([entry("open")]).resolve_obligations(empty, known, COMPANY, [], TODAY)
    assert len(mode) == len(version) == 0
