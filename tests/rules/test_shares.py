"""Shares of hidden scope: only of enough people, everybody weighing the same, and never a count."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date
from fractions import Fraction
from math import floor
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules.comments import RULES
from assets.rules.policy import MODES
from assets.rules.reasons import REASONS
from assets.rules.shares import (
    COVERAGE_COLUMNS,
    REASON_COLUMNS,
    VIOLATION_COLUMNS,
    coverage_shares,
    reason_shares,
    violation_shares,
)

Row = dict[str, Any]

JANUARY, FEBRUARY, MARCH, APRIL = (date(2026, month, 1) for month in (1, 2, 3, 4))


def rating(**values: Any) -> Row:
    return {
        "mode": "aggregate",
        "exclusion_code": "",
        "process_key": "a",
        "period": JANUARY,
        "rater_id": 11,
        "rater_department_id": 7,
        "ratee_department_id": 8,
        "reason_codes": "",
        "comment_rules": "",
    } | values


def expected(**values: Any) -> Row:
    return {
        "mode": "aggregate",
        "process_key": "a",
        "period": JANUARY,
        "rater_id": 11,
        "rater_department_id": 7,
        "ratee_department_id": 8,
        "status": "fulfilled",
    } | values


def frame(rows: Iterable[Row], kind: Callable[[], Row] = rating) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=list(kind()))
    kinds = {column: "int64" if column.endswith("_id") else "str" for column in kind() if column != "period"}
    return table.astype(kinds)


def ratings_of(*codes: str, column: str = "reason_codes", **values: Any) -> list[Row]:
    """One rating of each of so many raters."""
    lowered = {} if column == "reason_codes" else {"reason_codes": "untagged"}
    return [
        rating(**({"rater_id": rater, column: code} | (lowered if code else {}) | values))
        for rater, code in enumerate(codes, start=11)
    ]


def reasons(rows: Iterable[Row], quarter: date = JANUARY) -> dict[tuple[int, str], float]:
    table = reason_shares(frame(rows), quarter)
    return {
        (department, code): share
        for department, code, share in zip(
            table["ratee_department_id"], table["reason_code"], table["share"], strict=True
        )
    }


def violations(rows: Iterable[Row]) -> dict[tuple[int, str], float]:
    table = violation_shares(frame(rows), JANUARY)
    return {
        (department, code): share
        for department, code, share in zip(
            table["rater_department_id"], table["rule_code"], table["share"], strict=True
        )
    }


def coverage(rows: Iterable[Row]) -> list[tuple[Any, ...]]:
    table = coverage_shares(frame(rows, expected), JANUARY)
    cells = ["process_key", "rater_department_id", "ratee_department_id", "coverage"]
    return list(table[cells].itertuples(index=False, name=None))


# --- reasons ------------------------------------------------------------------------------------------------------


def test_reasons_of_a_department_are_shares_of_its_authors() -> None:
    rows = ratings_of("brief", "brief", "deadline,tone", "", "")
    assert reasons(rows) == {(8, "brief"): 0.7, (8, "deadline"): 0.2, (8, "tone"): 0.2}


def test_reason_rows_look_as_published() -> None:
    table = reason_shares(frame(ratings_of("brief", "brief", "untagged", "", "", period=MARCH)), JANUARY)
    assert tuple(table.columns) == REASON_COLUMNS
    assert table.iloc[0].tolist() == [JANUARY, MARCH, "*", 0, 8, "brief", REASONS["brief"], 0.7]
    assert table.iloc[1].tolist() == [JANUARY, MARCH, "*", 0, 8, "untagged", REASONS["untagged"], 0.3]


def test_processes_months_and_rating_departments_of_a_quarter_are_one_group() -> None:
    rows = ratings_of("brief", "brief", "brief", "", "")
    for number, row in enumerate(rows):
        row["process_key"] = "ab"[number % 2]
        row["period"] = (JANUARY, FEBRUARY, MARCH)[number % 3]
        row["rater_department_id"] = number
    assert reasons(rows) == {(8, "brief"): 1.0}
    assert reasons(rows, APRIL) == {}
    rows[0]["period"] = APRIL
    assert reasons(rows) == {}


@pytest.mark.parametrize("codes", [("brief", "brief", "brief", ""), ("brief", "brief", "", "", "", "")])
def test_fewer_than_five_raters_or_three_authors_have_no_row(codes: tuple[str, ...]) -> None:
    assert reasons(ratings_of(*codes)) == {}


def test_ten_ratings_of_one_rater_are_one_rater() -> None:
    crowd = ratings_of("brief", "brief", "brief", "")
    assert reasons(crowd + [rating(rater_id=11, reason_codes="brief")] * 10) == {}
    authors = ratings_of("brief", "brief", "", "", "")
    assert reasons(authors + [rating(rater_id=11, reason_codes="brief")] * 10) == {}


def test_many_ratings_of_few_people_are_few_for_heads_even_if_hr_knows_them_all() -> None:
    rows = ratings_of("brief", "brief", "brief", "", mode="named_to_hr")
    assert reasons(rows * 3) == {}
    two_authors = ratings_of("brief", "brief", "", "", "", mode="named_to_hr")
    assert reasons(two_authors * 3) == {}


def test_a_busy_author_weighs_no_more_than_the_others() -> None:
    rows = ratings_of("brief", "brief", "brief", "tone", "", "")
    assert reasons(rows + [rating(rater_id=14, reason_codes="tone")] * 500) == {(8, "brief"): 0.8, (8, "tone"): 0.3}


def test_a_share_below_five_per_cent_has_no_row() -> None:
    rows = ratings_of(*["brief"] * 20, "tone")
    assert reasons(rows) == {(8, "brief"): 1.0}
    assert reasons(rows[1:]) == {(8, "brief"): 1.0, (8, "tone"): 0.1}


def test_what_hr_does_not_know_must_be_enough_people_or_nobody() -> None:
    rows = ratings_of(*["brief"] * 6, *[""] * 6)
    assert reasons([row | {"mode": "named_to_hr"} for row in rows]) == {(8, "brief"): 1.0}
    few_authors = [row | {"mode": "named_to_hr"} if number < 4 else row for number, row in enumerate(rows)]
    assert reasons(few_authors) == {}
    few_raters = [row | {"mode": "named_to_hr"} if number in range(3, 11) else row for number, row in enumerate(rows)]
    assert reasons(few_raters) == {}
    enough = [row | {"mode": "named_to_hr"} if number in (0, 1, 11) else row for number, row in enumerate(rows)]
    assert reasons(enough) == {(8, "brief"): 1.0}


@pytest.mark.parametrize(
    "values",
    [{"mode": "department_only"}, {"mode": "open"}, {"exclusion_code": "duplicate_rating"}, {"ratee_department_id": 0}],
)
def test_ratings_that_are_no_part_of_a_share_count_for_nothing(values: Row) -> None:
    rows = ratings_of("brief", "brief", "brief", "", "")
    assert reasons([*rows[:4], rows[4] | values]) == {}
    assert reasons([*rows[1:], rows[0] | values]) == {}
    assert reasons([*rows, rating(rater_id=99, reason_codes="tone") | values]) == {(8, "brief"): 1.0}


def test_a_score_lowered_without_a_word_is_lowered_all_the_same() -> None:
    assert reasons(ratings_of(*["untagged"] * 3, "", "", exclusion_code="unexplained")) == {(8, "untagged"): 1.0}


# --- violations ---------------------------------------------------------------------------------------------------


def test_violations_are_shares_of_the_authors_lowered_ratings() -> None:
    rows = ratings_of("empty", "empty", "no_reason,profanity", "", "", column="comment_rules")
    table = violation_shares(frame(rows), JANUARY)
    assert tuple(table.columns) == VIOLATION_COLUMNS
    assert table.iloc[0].tolist() == [
        JANUARY, MARCH, "*", 7, "empty", "violation", RULES["empty"].title, RULES["empty"].hint, 0.7,
    ]  # fmt: skip
    assert violations(rows) == {(7, "empty"): 0.7, (7, "no_reason"): 0.3}


def test_lowered_ratings_that_break_nothing_count_below_the_line() -> None:
    rows = ratings_of("empty", "empty", "empty", "empty", "", column="comment_rules")
    explained = [rating(rater_id=rater, reason_codes="brief") for rater in (11, 11, 11, 12)]
    assert violations(rows + explained) == {(7, "empty"): 0.7}
    assert violations(rows + [rating(rater_id=11)] * 9) == {(7, "empty"): 1.0}


def test_violations_need_people_too() -> None:
    rows = ratings_of("empty", "empty", "empty", "", "", column="comment_rules")
    assert violations(rows) == {(7, "empty"): 1.0}
    assert violations(rows[:4]) == violations(rows[1:]) == {}
    assert violations([*rows[:4], *[rows[0]] * 5]) == {}
    assert violations([row | {"rater_department_id": 0} for row in rows]) == {}


# --- coverage -----------------------------------------------------------------------------------------------------


def expected_of(*statuses: str, **values: Any) -> list[Row]:
    return [expected(rater_id=rater, status=status) | values for rater, status in enumerate(statuses, start=11)]


def test_coverage_is_the_mean_over_people_in_steps_of_five_per_cent() -> None:
    rows = expected_of("fulfilled", "fulfilled", "missed")
    assert coverage([*rows, expected(rater_id=14), expected(rater_id=14, status="missed")]) == [("a", 7, 8, 0.65)]
    table = coverage_shares(frame(expected_of(*["fulfilled"] * 4), expected), JANUARY)
    assert tuple(table.columns) == COVERAGE_COLUMNS
    assert table.iloc[0].tolist() == [JANUARY, JANUARY, "a", 7, 8, 1.0, True]


def test_coverage_of_fewer_than_four_people_is_not_published() -> None:
    three = expected_of("fulfilled", "missed", "missed")
    assert coverage(three + three + three) == []
    assert coverage([*three, expected(rater_id=14, status="waived")]) == []
    assert coverage([*three, expected(rater_id=14, period=FEBRUARY)]) == []
    assert coverage([*three, expected(rater_id=14, mode="department_only")]) == []
    assert coverage([*three, expected(rater_id=14, mode="open")]) == []
    assert coverage([*three, expected(rater_id=14)]) == [("a", 7, 8, 0.5)]


def test_a_busy_rater_does_not_carry_coverage() -> None:
    rows = expected_of("missed", "missed", "missed", "fulfilled")
    assert coverage(rows + [expected(rater_id=14)] * 300) == [("a", 7, 8, 0.25)]


def test_coverage_hides_from_hr_what_it_does_not_know() -> None:
    rows = expected_of(*["fulfilled"] * 4, mode="named_to_hr")
    assert coverage(rows) == [("a", 7, 8, 1.0)]
    others = [expected(rater_id=rater, status="missed") for rater in (21, 22, 23)]
    assert coverage(rows + others) == []
    assert coverage([*rows, *others, expected(rater_id=24, status="missed")]) == [("a", 7, 8, 0.5)]


def test_coverage_without_a_department_is_not_published() -> None:
    assert coverage(expected_of(*["fulfilled"] * 4, rater_department_id=0)) == []
    assert coverage(expected_of(*["fulfilled"] * 4, ratee_department_id=0)) == []


def test_nothing_in_gives_nothing_out() -> None:
    for table, columns in (
        (reason_shares(frame([]), JANUARY), REASON_COLUMNS),
        (violation_shares(frame([]), JANUARY), VIOLATION_COLUMNS),
        (coverage_shares(frame([], expected), JANUARY), COVERAGE_COLUMNS),
    ):
        assert tuple(table.columns) == columns
        assert table.empty


# --- any company --------------------------------------------------------------------------------------------------

many_ratings = st.lists(
    st.builds(
        rating,
        mode=st.sampled_from((*MODES, *["aggregate"] * 4)),
        exclusion_code=st.sampled_from(("", "", "", "unexplained", "deleted")),
        process_key=st.sampled_from(("a", "b")),
        period=st.sampled_from((JANUARY, JANUARY, MARCH, APRIL)),
        rater_id=st.integers(11, 19),
        rater_department_id=st.sampled_from((7, 7, 6, 0)),
        ratee_department_id=st.sampled_from((8, 8, 9)),
        reason_codes=st.sampled_from(("", "brief", "brief,tone", "deadline")),
        comment_rules=st.sampled_from(("", "empty", "no_reason,profanity")),
    ),
    min_size=15,
    max_size=60,
)
many_expected = st.lists(
    st.builds(
        expected,
        mode=st.sampled_from((*MODES, *["aggregate"] * 4)),
        process_key=st.sampled_from(("a", "b")),
        period=st.sampled_from((JANUARY, JANUARY, APRIL)),
        rater_id=st.integers(11, 17),
        rater_department_id=st.sampled_from((7, 7, 0)),
        ratee_department_id=st.sampled_from((8, 8, 9)),
        status=st.sampled_from(("fulfilled", "fulfilled", "missed", "waived")),
    ),
    min_size=8,
    max_size=30,
)


def half_up(share: Fraction, parts: int) -> float:
    return floor(share * parts + Fraction(1, 2)) / parts


def people(rows: Iterable[Row]) -> set[int]:
    return {row["rater_id"] for row in rows}


def is_shielded(rows: list[Row], least: int) -> bool:
    unseen = people(row for row in rows if row["mode"] != "named_to_hr")
    return len(people(rows)) >= least and (not unseen or len(unseen) >= least)


def told(rows: list[Row], side: str, codes: Callable[[Row], dict[str, Fraction]]) -> dict[tuple[int, str], float]:
    """Shares by the definition, in exact fractions."""
    by_department: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        if (
            row["mode"] in ("named_to_hr", "pseudonymous", "aggregate")
            and row["exclusion_code"] != "deleted"
            and row["period"] != APRIL
            and row[side]
        ):
            by_department[row[side]].append(row)
    found: dict[tuple[int, str], float] = {}
    for department, given_ in by_department.items():
        low = [row for row in given_ if row["reason_codes"]]
        if not is_shielded(given_, 5) or not is_shielded(low, 3):
            continue
        shares: dict[str, Fraction] = defaultdict(Fraction)
        for author in people(low):
            own = [row for row in low if row["rater_id"] == author]
            for row in own:
                for code, part in codes(row).items():
                    shares[code] += part / len(own) / len(people(low))
        found |= {(department, code): half_up(share, 10) for code, share in shares.items() if half_up(share, 10)}
    return found


def reason_parts(row: Row) -> dict[str, Fraction]:
    codes = row["reason_codes"].split(",")
    return {code: Fraction(1, len(codes)) for code in codes}


def rule_parts(row: Row) -> dict[str, Fraction]:
    return {code: Fraction(1) for code in row["comment_rules"].split(",") if code in ("empty", "no_reason")}


@given(many_ratings)
@settings(max_examples=40, deadline=None)
def test_reasons_and_violations_are_what_their_definition_says(rows: list[Row]) -> None:
    assert reasons(rows) == told(rows, "ratee_department_id", reason_parts)
    assert violations(rows) == told(rows, "rater_department_id", rule_parts)


@given(many_expected)
@settings(max_examples=30, deadline=None)
def test_coverage_is_what_its_definition_says(rows: list[Row]) -> None:
    cells: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        if (
            row["mode"] in ("named_to_hr", "pseudonymous", "aggregate")
            and row["period"] == JANUARY
            and row["status"] != "waived"
            and row["rater_department_id"]
        ):
            cells[row["process_key"], row["rater_department_id"], row["ratee_department_id"]].append(row)
    wanted = []
    for cell, own in sorted(cells.items()):
        if is_shielded(own, 4):
            parts = []
            for rater in people(own):
                statuses = [row["status"] for row in own if row["rater_id"] == rater]
                parts.append(Fraction(statuses.count("fulfilled"), len(statuses)))
            wanted.append((*cell, half_up(sum(parts, Fraction()) / len(parts), 20)))
    assert coverage(rows) == wanted


@given(many_ratings, st.randoms(use_true_random=False))
@settings(max_examples=10, deadline=None)
def test_the_order_of_the_ratings_changes_nothing(rows: list[Row], random: Random) -> None:
    shuffled = random.sample(rows, len(rows))
    pd.testing.assert_frame_equal(reason_shares(frame(rows), JANUARY), reason_shares(frame(shuffled), JANUARY))
    pd.testing.assert_frame_equal(violation_shares(frame(rows), JANUARY), violation_shares(frame(shuffled), JANUARY))
