"""Rows of mode pseudonymous: no name, no number that few have, and no more rows than that allows."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules.policy import MODES
from assets.rules.pseudonyms import (
    ALIKE,
    CELL_RATERS,
    ROW_COLUMNS,
    SUM_COLUMNS,
    cell_sums,
    digest,
    key_expires,
    pseudonym,
    pseudonymous_rows,
)

Row = dict[str, Any]

JANUARY, FEBRUARY = date(2026, 1, 1), date(2026, 2, 1)
KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
CELL = ["process_key", "period", "rater_department_id", "ratee_department_id"]


def unit(**values: Any) -> Row:
    return {
        "process_key": "a",
        "rating_id": 1,
        "period": JANUARY,
        "ratee_id": 1,
        "rater_id": 11,
        "rater_department_id": 7,
        "ratee_department_id": 8,
        "score": 5.0,
        "mode": "pseudonymous",
        "is_viewer": False,
    } | values


def frame(rows: Iterable[Row]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=list(unit()))
    kinds = {column: "int64" for column in unit() if column.endswith("_id")}
    return table.astype(kinds | {"process_key": "str", "mode": "str", "score": "float64", "is_viewer": "bool"})


def cell(*numbers: int, **values: Any) -> list[Row]:
    """Raters 11, 12, … with so many ratings each, of ratees 1 and 2 in turn."""
    rows = [
        unit(rater_id=rater, score=float(1 + place % 5))
        for rater, number in enumerate(numbers, start=11)
        for place in range(number)
    ]
    return [{**row, "ratee_id": 1 + number % 2, **values} for number, row in enumerate(rows)]


def published(*cells: list[Row], month: date = JANUARY, key: bytes = KEY, **options: Any) -> pd.DataFrame:
    rows = [row | {"rating_id": number} for number, row in enumerate([row for rows in cells for row in rows])]
    return pseudonymous_rows(frame(rows), month, key, **options)


def numbers_of(rows: pd.DataFrame) -> list[int]:
    """How many rows each pseudonym has, sorted."""
    return sorted(Counter(rows["pseudonym"]).values())


# --- pseudonyms ---------------------------------------------------------------------------------------------------


def test_a_pseudonym_is_half_an_hmac_in_hexadecimal() -> None:
    message = b"s\0\0\0\5rater" + b"i\0\0\0\1" + b"7" + b"i\0\0\0\2" + b"12"
    assert pseudonym(KEY, 7, 12) == hmac.new(KEY, message, hashlib.sha256).hexdigest()[:32]


people = st.tuples(st.integers(0, 5000), st.integers(1, 10**6))


@given(people, people, st.sampled_from((KEY, OTHER_KEY)), st.sampled_from((KEY, OTHER_KEY)))
def test_pseudonyms_are_equal_for_one_person_of_one_department_and_period_only(
    one: tuple[int, int], other: tuple[int, int], key: bytes, other_key: bytes
) -> None:
    assert (pseudonym(key, *one) == pseudonym(other_key, *other)) == ((one, key) == (other, other_key))


@given(st.lists(st.one_of(st.integers(), st.text(max_size=3)), max_size=4), st.lists(st.text(max_size=3), max_size=4))
def test_fields_of_a_digest_never_run_into_one_another(one: list[int | str], other: list[str]) -> None:
    assert (digest(KEY, *one) == digest(KEY, *other)) == (one == other)


def test_fields_that_join_to_the_same_text_differ() -> None:
    assert len({digest(KEY, *of) for of in ((1, 12), (11, 2), (112,), ("1", "12"), ("112",), (1, 1, 2))}) == 6


@pytest.mark.parametrize(
    ("period", "freeze_day", "expires"),
    [
        (date(2026, 1, 1), 8, date(2026, 5, 8)),
        (date(2026, 9, 1), 28, date(2027, 1, 28)),
        (date(2026, 12, 1), 1, date(2027, 4, 1)),
    ],
)
def test_a_key_expires_three_months_after_its_period_was_frozen(period: date, freeze_day: int, expires: date) -> None:
    assert key_expires(period, freeze_day) == expires


# --- which cells --------------------------------------------------------------------------------------------------


def test_a_cell_of_ten_raters_and_two_ratees_has_rows() -> None:
    rows = published(cell(*[1] * 10, score=4.0))
    assert tuple(rows.columns) == ROW_COLUMNS
    assert numbers_of(rows) == [1] * 10
    assert set(rows["pseudonym"]) == {pseudonym(KEY, 7, rater) for rater in range(11, 21)}
    assert rows.iloc[0].drop("pseudonym").tolist() == ["a", JANUARY, 7, 8, 4.0]


def test_ten_rows_of_nine_raters_are_nine_raters() -> None:
    assert published(cell(*[1] * 9)).empty
    assert published(cell(*[3] * 9)).empty


def test_a_cell_that_has_no_rows_takes_none_from_another() -> None:
    of_one_ratee = cell(*[2] * 14, ratee_id=3, ratee_department_id=9)
    assert set(published(of_one_ratee, cell(*[1] * 10))["ratee_department_id"]) == {8}


def test_one_ratee_is_no_cell() -> None:
    assert published(cell(*[2] * 10, ratee_id=1)).empty


@pytest.mark.parametrize(
    "values",
    [
        *({"mode": mode} for mode in MODES if mode != "pseudonymous"),
        {"period": FEBRUARY},
        {"is_viewer": True},
        {"rater_department_id": 0},
        {"ratee_department_id": 0},
        {"ratee_department_id": 9},
        {"rater_department_id": 6},
        {"process_key": "b"},
    ],
)
def test_the_tenth_rater_must_be_of_the_cell(values: Row) -> None:
    rows = cell(*[1] * 10)
    assert len(published(rows)) == 10
    assert published(rows[:9], [rows[9] | values]).empty


# --- how many rows ------------------------------------------------------------------------------------------------


def test_equal_numbers_need_no_cap() -> None:
    assert numbers_of(published(cell(*[3] * 12))) == [3] * 12
    assert numbers_of(published(cell(*[1] * 6, *[4] * 6))) == [1] * 6 + [4] * 6


def test_whoever_has_more_than_the_others_is_cut_to_what_they_have() -> None:
    assert numbers_of(published(cell(*[1] * 6, *[2] * 3, 7, 9, 30))) == [1] * 6 + [2] * 6
    assert numbers_of(published(cell(*[1] * 9, 30))) == [1] * 10


def test_up_to_a_tenth_with_numbers_of_their_own_are_left_out() -> None:
    rows = published(cell(*[1] * 8, *[3] * 11, 2))
    assert numbers_of(rows) == [1] * 8 + [3] * 11
    assert pseudonym(KEY, 7, 30) not in set(rows["pseudonym"])
    # Two of twenty too, three of them are too many: the cap falls.
    assert numbers_of(published(cell(*[1] * 8, *[3] * 10, 2, 2))) == [1] * 8 + [3] * 10
    assert numbers_of(published(cell(*[1] * 8, *[3] * 9, 2, 2, 2))) == [1] * 8 + [2] * 12


def test_nobody_is_left_out_of_a_cell_that_would_fall_below_ten() -> None:
    assert numbers_of(published(cell(*[3] * 9, 2))) == [2] * 10


def test_scores_decide_nothing() -> None:
    numbers = (1, 1, 1, 1, 2, 2, 2, 3, 3, 5, 8, 1)
    shown = [sorted(Counter(published(cell(*numbers, score=score))["pseudonym"]).items()) for score in (1.0, 5.0)]
    assert shown[0] == shown[1]


def test_rows_in_two_cells_are_shown_where_several_raters_have_both() -> None:
    second = [unit(rater_id=rater, ratee_department_id=9, ratee_id=3 + rater % 2) for rater in range(18, 28)]
    rows = published(cell(*[1] * 12), second)
    combinations = Counter(tuple(sorted(own)) for _, own in rows.groupby("pseudonym")["ratee_department_id"])
    assert combinations == {(8,): 7, (9,): 5, (8, 9): 5}


def test_one_rater_alone_in_two_cells_is_not_shown_to_be_so() -> None:
    second = [unit(rater_id=rater, ratee_department_id=9, ratee_id=3 + rater % 2) for rater in range(22, 34)]
    rows = published(cell(*[1] * 12), second)
    shared = pseudonym(KEY, 7, 22)
    assert len(rows) == 22
    assert shared not in set(rows["pseudonym"])


def test_rows_of_another_process_are_looked_at_together() -> None:
    first = published(cell(*[1] * 12))
    second = [row | {"process_key": "b", "rater_id": row["rater_id"] + 11} for row in cell(*[1] * 12)]
    assert len(published(second)) == 12
    # Rater 22 would be the only one of both processes; he is left out of the second.
    rows = published(second, earlier=first)
    assert len(rows) == 11
    assert set(rows["pseudonym"]).isdisjoint(first["pseudonym"])
    # Rater 11 would be the only one who is in the first alone.
    most = [row | {"process_key": "b"} for row in cell(0, *[1] * 11)]
    assert len(published(most)) == 11
    assert published(most, earlier=first).empty
    assert len(published(most, earlier=first.assign(period=FEBRUARY))) == 11


# --- order --------------------------------------------------------------------------------------------------------


def test_which_rows_and_their_order_follow_the_key_alone() -> None:
    rows = [row | {"rating_id": number} for number, row in enumerate(cell(*[1] * 9, 5))]
    shuffled = Random(1).sample(rows, len(rows))
    pd.testing.assert_frame_equal(
        pseudonymous_rows(frame(rows), JANUARY, KEY), pseudonymous_rows(frame(shuffled), JANUARY, KEY)
    )
    orders = set()
    scores = set()
    for number in range(12):
        key = bytes([number]) * 32
        names = {pseudonym(key, 7, rater): rater for rater in range(11, 21)}
        shown = pseudonymous_rows(frame(rows), JANUARY, key)
        orders.add(tuple(names[name] for name in shown["pseudonym"]))
        scores |= set(shown.loc[shown["pseudonym"].eq(pseudonym(key, 7, 20)), "score"])
    assert len(orders) == 12
    assert len(scores) > 2


def test_departments_and_processes_are_shuffled_into_one_another() -> None:
    rows = published(cell(*[1] * 10), cell(*[1] * 10, rater_department_id=6), cell(*[1] * 10, process_key="b"))
    for column in ("rater_department_id", "process_key"):
        assert list(rows[column]) not in (sorted(rows[column]), sorted(rows[column], reverse=True))


# --- what an analyst can derive -----------------------------------------------------------------------------------


def test_whole_cells_tell_their_mean_and_thinned_ones_an_interval() -> None:
    units = frame(
        row | {"rating_id": number}
        for number, row in enumerate(
            [*cell(*[1] * 10, score=4.0), *cell(*[1] * 9, 3, score=2.0, rater_department_id=6), unit(mode="aggregate")]
        )
    )
    sums = cell_sums(pseudonymous_rows(units, JANUARY, KEY), units)
    assert tuple(sums.columns) == SUM_COLUMNS
    assert sums.to_numpy().tolist() == [["a", JANUARY, 6, 8, 22 / 12, 30 / 12], ["a", JANUARY, 7, 8, 4.0, 4.0]]


def test_a_rating_that_left_a_published_cell_leaves_an_interval() -> None:
    rows = [row | {"rating_id": number} for number, row in enumerate(cell(*[1] * 11, score=2.0))]
    shown = pseudonymous_rows(frame(rows), JANUARY, KEY)
    assert cell_sums(shown, frame(rows))[["low", "high"]].to_numpy().tolist() == [[2.0, 2.0]]
    left = [*rows[1:], rows[0] | {"mode": "aggregate"}]
    assert cell_sums(shown, frame(left))[["low", "high"]].to_numpy().tolist() == [[1.7, 2.1]]
    assert cell_sums(shown, frame([])).empty


def test_nothing_in_gives_nothing_out() -> None:
    rows = published([])
    assert tuple(rows.columns) == ROW_COLUMNS
    assert rows.empty
    sums = cell_sums(rows, frame([]))
    assert tuple(sums.columns) == SUM_COLUMNS
    assert sums.empty


# --- any month ----------------------------------------------------------------------------------------------------


def any_units(seed: int) -> list[Row]:
    random = Random(seed)
    busy = random.choice((1, 2, 6))
    raters = random.randint(9, 30)
    rows = [
        unit(
            process_key=process,
            ratee_id=10 * department + random.randint(1, 3),
            rater_id=rater,
            rater_department_id=6 + rater % 7 // 6,
            ratee_department_id=department,
            score=float(random.randint(1, 5)),
            mode="aggregate" if random.random() < 0.05 else "pseudonymous",
            is_viewer=random.random() < 0.03,
        )
        for process in ("a", "b")
        for department in (8, 9)
        for rater in range(11, 11 + raters)
        if random.random() < random.choice((0.95, 0.7))
        for _ in range(random.randint(1, busy))
    ]
    return [row | {"rating_id": number} for number, row in enumerate(rows)]


@given(st.integers(0, 10**9).map(any_units))
@settings(max_examples=20, deadline=None)
def test_in_any_month_nobody_stands_out_by_the_number_of_rows(units: list[Row]) -> None:
    table = frame(units)
    first = pseudonymous_rows(table[table["process_key"].eq("a")], JANUARY, KEY)
    second = pseudonymous_rows(table[table["process_key"].eq("b")], JANUARY, KEY, first)
    rows = pd.concat([first, second])
    signatures: dict[tuple[int, str], Counter[tuple[Any, ...]]] = defaultdict(Counter)
    for process, _, rater_side, ratee_side, name, _ in rows[list(ROW_COLUMNS)].itertuples(index=False, name=None):
        signatures[rater_side, name][process, ratee_side] += 1
    alike = Counter((key[0], frozenset(numbers.items())) for key, numbers in signatures.items())
    assert min(alike.values(), default=ALIKE) >= ALIKE
    for told in cell_sums(rows, table).to_dict("records"):
        key = [told[column] for column in CELL]
        whole = [row for row in units if [row[column] for column in CELL] == key and row["mode"] == "pseudonymous"]
        pool = [row for row in whole if not row["is_viewer"]]
        shown = rows[rows[CELL].eq(key).all(axis="columns")]
        names = set(shown["pseudonym"])
        assert len(names) >= CELL_RATERS
        assert len(names) >= 0.9 * len({row["rater_id"] for row in pool})
        assert len({row["ratee_id"] for row in pool}) >= 2
        for rater in {row["rater_id"] for row in pool}:
            own = Counter(row["score"] for row in pool if row["rater_id"] == rater)
            assert Counter(shown.loc[shown["pseudonym"].eq(pseudonym(KEY, key[2], rater)), "score"]) <= own
        mean = sum(row["score"] for row in whole) / len(whole)
        assert told["low"] - 1e-9 <= mean <= told["high"] + 1e-9
