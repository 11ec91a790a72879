"""Disclosure rules: what is published of hidden ratings, and what nobody can prove from it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date
from fractions import Fraction
from itertools import combinations_with_replacement, count
from math import floor
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.rules import disclosure, linear_audit
from assets.rules.disclosure import (
    PROFILES,
    REGISTER_COLUMNS,
    Plan,
    Profile,
    complete_quarters,
    least_top,
    plan,
    quarter_start,
    rater_band,
    score_band,
)

Rating = dict[str, Any]

YEAR = [date(2026, month, 1) for month in range(1, 13)]
JANUARY, FEBRUARY, MARCH, APRIL, MAY, JUNE, JULY, *_ = YEAR
QUARTER = {JANUARY, FEBRUARY, MARCH}
DEFAULT = PROFILES["default"]
SEAL = bytes(range(32))

BLOCK = ["ratee_id", "block_from", "block_to", "rater_band", "score_band"]
PAIR = [
    "process_key",
    "rater_department_id",
    "ratee_department_id",
    "period_from",
    "period_to",
    "rater_band",
    "mean_score",
]

numbers = count(1)


def rating(**values: Any) -> Rating:
    """One hidden counted rating; no departments, so that it can be in no pair unless a test gives them."""
    return {
        "rating_id": next(numbers),
        "mode": "aggregate",
        "period": JANUARY,
        "ratee_id": 1,
        "rater_id": 11,
        "rater_department_id": 0,
        "ratee_department_id": 0,
        "score": 5,
        "is_viewer": False,
    } | values


def frame(rows: Iterable[Rating]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=list(rating()))
    whole = ("rating_id", "ratee_id", "rater_id", "rater_department_id", "ratee_department_id")
    return table.astype(dict.fromkeys(whole, "int64") | {"is_viewer": "bool", "score": "float64"})


def from_raters(*scores: int, **values: Any) -> list[Rating]:
    """One rating of each of so many raters."""
    return [rating(rater_id=rater, score=score, **values) for rater, score in enumerate(scores, start=11)]


def of_two_ratees(*scores: int, **values: Any) -> list[Rating]:
    """Ratings that make a pair and no block: each rater rates both ratees of another department."""
    sides = {"rater_department_id": 7, "ratee_department_id": 8, "mode": "department_only"}
    return [row for ratee in (1, 2) for row in from_raters(*scores, **(sides | {"ratee_id": ratee} | values))]


class Company:
    """Decides month after month like successive runs do, each with the ratings as they are then."""

    def __init__(self, profile: Profile = DEFAULT) -> None:
        self.profile = profile
        self.register = pd.DataFrame(columns=list(REGISTER_COLUMNS))
        self.blocks = pd.DataFrame(columns=list(disclosure.BLOCK_COLUMNS))
        self.pairs = pd.DataFrame(columns=list(disclosure.PAIR_COLUMNS))
        self.decided: set[date] = set()

    def run(self, rows: Iterable[Rating], months: Iterable[date]) -> Plan:
        months = set(months)
        made = plan("a", frame(rows), self.register, self.blocks, self.decided, months, self.profile, SEAL)
        self.decided |= months
        self.register = joined(self.register, made.register)
        self.blocks = joined(self.blocks, made.blocks)
        self.pairs = joined(self.pairs, made.pairs)
        return made

    def shown(self) -> list[tuple[Any, ...]]:
        return sorted(self.blocks[BLOCK].itertuples(index=False, name=None))


def joined(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame for frame in (old, new) if len(frame)], ignore_index=True) if len(old) + len(new) else new


def decide(rows: Iterable[Rating], months: Iterable[date] = QUARTER, profile: Profile = DEFAULT) -> Plan:
    return Company(profile).run(rows, months)


def blocks(
    rows: Iterable[Rating], months: Iterable[date] = (JANUARY,), profile: Profile = DEFAULT
) -> list[tuple[Any, ...]]:
    return sorted(decide(rows, months, profile).blocks[BLOCK].itertuples(index=False, name=None))


def pairs(rows: Iterable[Rating], months: Iterable[date] = QUARTER) -> list[tuple[Any, ...]]:
    return sorted(decide(rows, months).pairs[PAIR].itertuples(index=False, name=None))


@pytest.fixture
def no_linear_audit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thresholds alone: what passes them and is held back by the linear audit shows too."""
    nothing = SimpleNamespace(narrow=pd.DataFrame({"release_ids": [], "component": []}))
    monkeypatch.setattr(linear_audit, "audit", lambda *_, **__: nothing)


def ratings_of(**choices: Any) -> Any:
    """Lists of ratings with distinct ids."""
    one = st.fixed_dictionaries(
        {
            "mode": st.sampled_from(("aggregate", "aggregate", "aggregate", "pseudonymous", "named_to_hr")),
            "period": st.sampled_from((JANUARY, JANUARY, FEBRUARY, MARCH, MAY)),
            "ratee_id": st.integers(1, 3),
            "rater_id": st.integers(11, 17),
            "score": st.integers(1, 5),
        }
        | choices
    )
    return st.lists(one, max_size=60).map(lambda rows: [rating(rating_id=at, **row) for at, row in enumerate(rows, 1)])


SIDES = {"rater_department_id": st.sampled_from((7, 7, 0)), "ratee_department_id": st.sampled_from((8, 8, 9))}


# --- thresholds: never fewer distinct raters ----------------------------------------------------------------------


def plain_mean(rows: list[Rating]) -> Fraction:
    """Every rater weighs 1, whatever the number of ratings."""
    scores: dict[int, list[int]] = defaultdict(list)
    for row in rows:
        scores[row["rater_id"]].append(row["score"])
    return sum((Fraction(sum(of), len(of)) for of in scores.values()), Fraction()) / len(scores)


def groups(rows: list[Rating], *keys: str) -> dict[tuple[Any, ...], list[Rating]]:
    found: dict[tuple[Any, ...], list[Rating]] = defaultdict(list)
    for row in rows:
        found[tuple(row[key] for key in keys)].append(row)
    return found


def enough(rows: list[Rating], people: str, least: int) -> bool:
    """Enough people for heads, and for HR who can take the named ones away."""
    unnamed = {row[people] for row in rows if row["mode"] != "named_to_hr"}
    return len({row[people] for row in rows}) >= least and (not unnamed or len(unnamed) >= least)


def plain_band(mean: Fraction, low: float) -> str:
    rounded = floor(mean * 4 + Fraction(1, 2)) / 4
    return f"<= {low:.2f}" if rounded <= low else ">= 4.75" if rounded >= 4.75 else f"{rounded:.2f}"


def known_to_hr(rows: list[Rating]) -> int:
    """Raters whose scores HR could use against the others it does not read by name."""
    named = {row["rater_id"] for row in rows if row["mode"] == "named_to_hr"}
    return len(named) if any(row["mode"] != "named_to_hr" for row in rows) else 0


def plain_blocks(rows: list[Rating], profile: Profile) -> list[tuple[Any, ...]]:
    """Adaptive blocks, one ratee after another: grow by months until enough raters not known, at most six."""
    found = []
    for (ratee,), of in groups(rows, "ratee_id").items():
        start = 0
        for end in range(len(YEAR)):
            start = max(start, end - 5)
            inside = [row for row in of if row["period"] in YEAR[start : end + 1]]
            if enough(inside, "rater_id", profile.k):
                raters = len({row["rater_id"] for row in inside})
                low = profile.low(raters, known_to_hr(inside))
                if low > 4.75:
                    continue
                band = plain_band(plain_mean(inside), low)
                found.append((ratee, min(row["period"] for row in inside), YEAR[end], rater_band(raters), band))
                start = end + 1
    return sorted(found)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ratings_of(), name=st.sampled_from(sorted(PROFILES)))
def test_blocks_are_exactly_the_shortest_runs_of_months_with_enough_distinct_raters(
    no_linear_audit: None, rows: list[Rating], name: Any
) -> None:
    assert blocks(rows, YEAR, PROFILES[name]) == plain_blocks(rows, PROFILES[name])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ratings_of(mode=st.sampled_from(("department_only", "department_only", "named_to_hr")), **SIDES))
def test_pairs_are_exactly_the_groups_of_five_raters_and_two_ratees(no_linear_audit: None, rows: list[Rating]) -> None:
    rows = [row | {"mode": "department_only"} for row in rows]
    inside = [row for row in rows if row["rater_department_id"] and row["period"] in QUARTER]
    expected = [
        (
            "a",
            *key,
            JANUARY,
            MARCH,
            rater_band(len({row["rater_id"] for row in of})),
            floor(plain_mean(of) * 10 + Fraction(1, 2)) / 10,
        )
        for key, of in groups(inside, "rater_department_id", "ratee_department_id").items()
        if enough(of, "rater_id", 5) and enough(of, "ratee_id", 2)
    ]
    assert pairs(rows) == sorted(expected)


@settings(max_examples=10, deadline=None)
@given(rows=ratings_of(**SIDES), cuts=st.sets(st.integers(1, 11)))
def test_deciding_in_one_go_or_run_by_run_makes_no_difference(rows: list[Rating], cuts: set[int]) -> None:
    at_once, in_turn = Company(), Company()
    at_once.run(rows, YEAR)
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), 12], strict=True):
        in_turn.run(rows, YEAR[start:end])
    order = ["release_id", "rating_id"]
    for name in ("blocks", "pairs", "register"):
        one, other = (
            getattr(company, name).sort_values(
                [key for key in order if key in getattr(company, name)], ignore_index=True
            )
            for company in (at_once, in_turn)
        )
        assert one.equals(other)


@settings(max_examples=10, deadline=None)
@given(rows=ratings_of(**SIDES))
def test_the_register_tells_what_every_published_number_is_made_of(rows: list[Rating]) -> None:
    made = decide(rows, YEAR)
    entries = made.register.assign(part=made.register["weight"] * made.register["score"]).groupby("release_id")
    sums = entries.agg(weight=("weight", "sum"), mean=("part", "sum"), low=("low", "first"), high=("high", "first"))
    assert set(sums.index) == {*made.blocks["release_id"], *made.pairs["release_id"]}
    assert (sums["weight"] - 1).abs().max() < 1e-9 or sums.empty
    assert sums["mean"].between(sums["low"] - 1e-9, sums["high"] + 1e-9).all()


@settings(max_examples=10, deadline=None)
@given(rows=ratings_of(**SIDES))
def test_no_rating_is_in_two_blocks(rows: list[Rating]) -> None:
    register = decide(rows, YEAR).register
    spent = register.loc[register["cut"].eq("rating_block"), "rating_id"]
    assert spent.is_unique


def test_a_month_with_too_few_raters_waits_for_the_next(no_linear_audit: None) -> None:
    company = Company()
    rows = [*from_raters(5, 4), *from_raters(4, 3, 4, 4, period=FEBRUARY), *from_raters(4, 4, 4, 4, period=MARCH)]
    for month in (JANUARY, FEBRUARY, MARCH):
        company.run([row for row in rows if row["period"] <= month], [month])
    assert company.shown() == [(1, JANUARY, FEBRUARY, "4-6", "4.00"), (1, MARCH, MARCH, "4-6", "4.00")]


def test_a_month_is_given_up_when_six_months_do_not_make_a_block(no_linear_audit: None) -> None:
    rows = [rating(rater_id=11), *from_raters(4, 4, 4, 4, period=JULY)[1:]]
    assert blocks(rows, YEAR) == []
    rows = [rating(rater_id=11), *from_raters(4, 4, 4, 4, period=JUNE)[1:]]
    assert blocks(rows, YEAR) == [(1, JANUARY, JUNE, "4-6", "4.25")]


def test_ten_ratings_of_three_raters_are_no_block(no_linear_audit: None) -> None:
    assert blocks([*from_raters(4, 4, 4), *from_raters(4, 4, 4), *from_raters(4, 4, 4), rating()]) == []


def test_one_rater_with_many_ratings_weighs_one(no_linear_audit: None) -> None:
    sides = {"rater_department_id": 7, "ratee_department_id": 8}
    busy = [rating(rater_id=11, score=1, ratee_id=ratee, **sides) for ratee in (1, 1, 1, 1, 2, 2, 2)]
    others = [rating(rater_id=rater, ratee_id=ratee, **sides) for rater in (12, 13, 14, 15) for ratee in (1, 2)]
    assert [row[-1] for row in blocks(busy + others)] == ["4.25", "4.25"]
    assert [row[-1] for row in pairs([row | {"mode": "department_only"} for row in busy + others])] == [4.2]


def test_department_only_ratings_reach_pairs_and_no_block(no_linear_audit: None) -> None:
    made = decide(of_two_ratees(5, 5, 5, 5, 4))
    assert len(made.blocks) == 0
    assert len(made.pairs) == 1


def test_a_pair_of_one_ratee_is_never_published(no_linear_audit: None) -> None:
    rows = [row for row in of_two_ratees(4, 5, 4, 5, 4, 4) if row["ratee_id"] == 1]
    assert pairs(rows) == []
    assert len(pairs([*rows, rows[0] | {"ratee_id": 2, "rating_id": 0}])) == 1


def test_a_pair_with_an_unknown_department_is_never_published(no_linear_audit: None) -> None:
    rows = of_two_ratees(4, 5, 4, 5, 4)
    assert pairs([row | {"rater_department_id": 0} for row in rows]) == []
    assert pairs([row | {"ratee_department_id": 0} for row in rows]) == []


def test_a_quarter_with_a_month_that_is_not_frozen_has_no_pair(no_linear_audit: None) -> None:
    rows = of_two_ratees(4, 5, 4, 5, 4)
    assert pairs(rows, {JANUARY, FEBRUARY}) == []
    assert pairs([row | {"period": APRIL} for row in rows], QUARTER) == []


def test_nothing_hidden_publishes_nothing() -> None:
    made = decide([])
    assert made.blocks.empty
    assert made.pairs.empty
    assert set(made.windows["cut"]) == {"rating_block", "department_pair"}


# --- readers who know something -----------------------------------------------------------------------------------


def test_hr_cannot_take_named_raters_away_and_keep_one(no_linear_audit: None) -> None:
    named = from_raters(4, 5, 4, mode="named_to_hr")
    assert blocks([*named, rating(rater_id=19)]) == []
    assert len(blocks([*named, rating(rater_id=19, mode="named_to_hr")])) == 1
    assert len(blocks([*named, *(rating(rater_id=rater) for rater in (21, 22, 23, 24))])) == 1


def test_hr_cannot_take_named_raters_away_from_a_pair(no_linear_audit: None) -> None:
    rows = of_two_ratees(4, 5, 4, 5, 4, 4)
    mixed = [row | {"mode": "named_to_hr"} if row["rater_id"] < 15 else row for row in rows]
    assert pairs(mixed) == []
    assert len(pairs([row | {"mode": "named_to_hr"} for row in rows])) == 1


def test_a_rater_who_reads_the_dashboards_does_not_count(no_linear_audit: None) -> None:
    rows = from_raters(4, 5, 4, 4)
    assert len(blocks(rows)) == 1
    rows[0]["is_viewer"] = True
    assert blocks(rows) == []
    assert len(blocks([*rows, rating(rater_id=19)])) == 1


# --- changes after the freeze -------------------------------------------------------------------------------------


def released_january(company: Company) -> list[Rating]:
    rows = from_raters(4, 4, 4, 3)
    company.run(rows, [JANUARY])
    assert company.shown() == [(1, JANUARY, JANUARY, "4-6", "3.75")]
    return rows


def test_a_late_rating_goes_into_the_next_block_and_leaves_the_old_one_alone(no_linear_audit: None) -> None:
    company = Company()
    rows = [*released_january(company), rating(rater_id=19, score=1)]
    assert company.run(rows, [FEBRUARY]).blocks.empty
    rows += from_raters(4, 4, 4, 4, period=MARCH)
    assert company.run(rows, [MARCH]).blocks[BLOCK].to_numpy().tolist() == [[1, MARCH, MARCH, "4-6", "3.50"]]
    rows += from_raters(4, 4, 4, 4, period=APRIL)
    assert company.run(rows, [APRIL]).blocks[BLOCK].to_numpy().tolist() == [[1, APRIL, APRIL, "4-6", "4.00"]]


def test_an_edited_score_goes_into_the_next_block_and_leaves_the_old_one_alone(no_linear_audit: None) -> None:
    company = Company()
    rows = released_january(company)
    rows[3]["score"] = 1
    rows += from_raters(4, 4, 4, period=FEBRUARY)
    made = company.run(rows, [FEBRUARY])
    assert made.blocks[BLOCK].to_numpy().tolist() == [[1, FEBRUARY, FEBRUARY, "4-6", "3.25"]]
    assert company.run(rows, [MARCH]).blocks.empty


def test_a_deleted_rating_changes_no_block(no_linear_audit: None) -> None:
    company = Company()
    rows = released_january(company)[1:] + from_raters(4, 4, 4, 4, period=FEBRUARY)
    company.run(rows, [FEBRUARY])
    assert company.shown() == [(1, JANUARY, JANUARY, "4-6", "3.75"), (1, FEBRUARY, FEBRUARY, "4-6", "4.00")]


def test_late_ratings_alone_make_no_block(no_linear_audit: None) -> None:
    company = Company()
    rows = released_january(company) + from_raters(1, 1, 1, 1, 1)
    assert company.run(rows, [FEBRUARY]).blocks.empty


def test_a_rating_that_comes_after_its_month_was_decided_waits_for_the_next_decision(no_linear_audit: None) -> None:
    company = Company()
    company.run(from_raters(4, 4, 4), [JANUARY])
    rows = from_raters(4, 4, 4, 4)
    assert company.run(rows, []).blocks.empty
    company.run(rows, [FEBRUARY])
    assert company.shown() == [(1, JANUARY, FEBRUARY, "4-6", "4.00")]


def test_a_month_that_is_released_is_never_released_again_whatever_the_register_still_knows(
    no_linear_audit: None,
) -> None:
    company = Company()
    rows = released_january(company)
    company.register = company.register.iloc[:0]
    assert company.run(rows, [FEBRUARY, MARCH]).blocks.empty


# --- what is held back --------------------------------------------------------------------------------------------


def test_a_pair_less_its_blocks_leaves_enough_people_or_is_held_back(no_linear_audit: None) -> None:
    sides = {"rater_department_id": 7, "ratee_department_id": 8}
    block = from_raters(4, 5, 4, 3, 4, **sides)
    rest = from_raters(3, 4, ratee_id=2, **sides)
    held = decide([*block, *rest])
    assert len(held.blocks) == 1
    assert held.pairs.empty
    assert held.held == {"department_pair: remainder too small": 1}
    other = from_raters(3, 4, 4, ratee_id=2, **sides) + from_raters(5, 4, 5, ratee_id=3, **sides)[1:]
    other.append(rating(ratee_id=3, rater_id=14, score=3, **sides))
    assert len(decide([*block, *other]).pairs) == 1


def test_a_remainder_of_one_score_is_held_back(no_linear_audit: None) -> None:
    sides = {"rater_department_id": 7, "ratee_department_id": 8, "mode": "department_only"}
    block = from_raters(4, 5, 4, 3, 4, **(sides | {"mode": "aggregate"}))
    rest = [row for ratee in (2, 3) for row in from_raters(2, 2, 2, 2, ratee_id=ratee, **sides)]
    assert decide([*block, *rest]).pairs.empty
    rest[0]["score"] = 3
    assert len(decide([*block, *rest]).pairs) == 1


def test_a_block_that_would_open_a_published_pair_waits(no_linear_audit: None) -> None:
    sides = {"rater_department_id": 7, "ratee_department_id": 8}
    company = Company()
    march = (
        from_raters(4, 5, 4, ratee_id=1, period=MARCH, **sides)
        + from_raters(3, 4, 2, 5, 1, ratee_id=2, period=MARCH, **(sides | {"mode": "department_only"}))[2:]
    )
    march += [rating(ratee_id=2, rater_id=11, period=MARCH, score=2, **sides)]
    made = company.run(march, QUARTER)
    assert len(made.pairs) == 1
    assert made.blocks.empty
    late = [*march, rating(ratee_id=1, rater_id=15, score=4, period=MARCH, **sides)]
    assert len(company.run(late, [APRIL]).blocks) == 1


def test_a_pair_of_fives_that_would_name_every_rater_is_held_back() -> None:
    assert pairs(of_two_ratees(5, 5, 5, 5, 5)) == []
    assert len(pairs(of_two_ratees(5, 4, 5, 3, 4))) == 1


# --- rounding and bands -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mean", "band"),
    [
        (1.0, "<= 3.00"),
        (3.0, "<= 3.00"),
        (3.1249, "<= 3.00"),
        (3.125, "3.25"),
        (4.25, "4.25"),
        (4.3749, "4.25"),
        (4.375, "4.50"),
        (4.6249, "4.50"),
        (4.625, ">= 4.75"),
        (5.0, ">= 4.75"),
    ],
)
def test_a_block_shows_quarters_of_a_point_between_its_clamps(mean: float, band: str) -> None:
    assert score_band(mean, 3.0) == band


@pytest.mark.parametrize(
    ("scores", "shown"),
    [((5, 5, 5, 5, 4), 4.8), ((5, 5, 4, 4, 4, 4), 4.3), ((2, 2, 3, 2, 2), 2.2), ((5, 5, 5, 4, 4, 4, 4), 4.4)],
)
def test_a_pair_shows_tenths_of_a_point_and_no_more_digits(
    no_linear_audit: None, scores: tuple[int, ...], shown: float
) -> None:
    assert [str(row[-1]) for row in pairs(of_two_ratees(*scores))] == [str(shown)]


def test_a_pair_below_two_is_shown_as_two_so_that_its_absence_proves_nothing() -> None:
    assert [row[-1] for row in pairs(of_two_ratees(1, 1, 1, 1, 1))] == [2.0]
    assert [row[-1] for row in pairs(of_two_ratees(1, 2, 1, 3, 1))] == [2.0]


def test_hr_cannot_prove_a_low_score_of_those_it_does_not_read_by_name() -> None:
    """Named 5, 4, 4, 4, others 2, 2, 2, 1: "3.00 or less" of eight would say that each of the others is below 5."""
    named = from_raters(5, 4, 4, 4, mode="named_to_hr")
    others = [rating(rater_id=20 + at, score=score) for at, score in enumerate((2, 2, 2, 1))]
    assert [row[-1] for row in blocks([*named, *others])] == ["<= 4.00"]


def test_a_pair_in_the_middle_of_two_tenths_is_rounded_up(no_linear_audit: None) -> None:
    scores = [5] * 7 + [4] * 13
    assert [row[-1] for row in pairs(of_two_ratees(*scores))] == [4.4]


def test_numbers_of_raters_are_shown_as_bands() -> None:
    shown = [rater_band(number) for number in (1, 3, 4, 6, 7, 9, 10, 500)]
    assert shown == ["1-3", "1-3", "4-6", "4-6", "7-9", "7-9", "10+", "10+"]


@pytest.mark.parametrize(("month", "start"), [(1, 1), (3, 1), (4, 4), (6, 4), (9, 7), (10, 10), (12, 10)])
def test_a_month_lies_in_its_quarter(month: int, start: int) -> None:
    assert quarter_start(date(2026, month, 1)) == date(2026, start, 1)


def test_a_quarter_is_complete_with_its_third_month() -> None:
    assert complete_quarters({JANUARY, FEBRUARY}) == set()
    assert complete_quarters({JANUARY, FEBRUARY, MARCH, APRIL, date(2025, 12, 1)}) == {JANUARY}
    assert complete_quarters(set()) == set()


def test_a_pair_names_the_first_and_the_last_month_of_its_quarter(no_linear_audit: None) -> None:
    assert [row[3:5] for row in pairs(of_two_ratees(5, 5, 5, 5, 5, period=FEBRUARY))] == [(JANUARY, MARCH)]


# --- the clamp: no proof against anybody --------------------------------------------------------------------------


def provable(raters: int, low: float, *, lowest_only: bool = True, known: int = 1) -> list[tuple[Any, ...]]:
    """Blocks that prove to the ratee and those who tell him their scores that a certain other rater gave less than 5.

    Every multiset of scores is tried, and the number of raters is given away too. A block proves it when no multiset
    with the same band and the same known scores has a five beside them.
    """
    found = []
    multisets = [Counter(scores) for scores in combinations_with_replacement(range(1, 6), raters)]
    by_band: dict[str, list[Counter[int]]] = defaultdict(list)
    for scores in multisets:
        by_band[score_band(sum(scores.elements()) / raters, low)].append(scores)
    for band, possible in by_band.items():
        if lowest_only and not band.startswith("<="):
            continue
        for told in combinations_with_replacement(range(1, 6), known):
            others = [scores - Counter(told) for scores in possible if Counter(told) <= scores]
            if others and not any(rest[5] for rest in others):
                found.append((raters, band, told))
    return found


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_no_block_of_a_profile_proves_that_somebody_gave_less_than_five(name: Any) -> None:
    profile = PROFILES[name]
    for raters in range(profile.k, profile.k + 4):
        assert provable(raters, profile.low(raters), lowest_only=False) == []


@pytest.mark.parametrize("viewers", [1, 2])
def test_a_reader_among_the_raters_raises_the_clamp_until_nothing_is_proved(viewers: int) -> None:
    raters = DEFAULT.k + viewers
    low = DEFAULT.low(raters, viewers)
    assert low > DEFAULT.low(raters)
    assert provable(raters, low, lowest_only=False, known=1 + viewers) == []
    assert provable(raters, DEFAULT.low(raters), known=1 + viewers) != []


@pytest.mark.parametrize("k", [3, 4, 5, 6])
@pytest.mark.parametrize("low", [quarters / 4 for quarters in range(4, 19)])
def test_a_profile_is_refused_exactly_when_its_clamp_lets_a_low_score_be_proved(k: int, low: float) -> None:
    if provable(k, low):
        with pytest.raises(ValueError, match="prove a low score"):
            Profile(k=k, lows={k: low})
    else:
        assert Profile(k=k, lows={k: low}).low(k) == low


def test_a_clamp_is_checked_for_every_number_of_raters_that_has_one() -> None:
    with pytest.raises(ValueError, match="of 4 raters would let"):
        Profile(k=3, lows={3: 3.75, 4: 2.5})


@pytest.mark.parametrize("low", [2.9, 2.95, 3.05, float("nan")])
def test_a_clamp_between_two_bands_is_refused_for_it_reaches_less_far_than_it_says(low: float) -> None:
    with pytest.raises(ValueError, match="low"):
        Profile(k=4, lows={4: low})


@pytest.mark.parametrize("k", [2, 1, 0, -1])
def test_fewer_than_three_raters_are_refused_whatever_the_clamp(k: int) -> None:
    with pytest.raises(ValueError, match="floor of 3"):
        Profile(k=k, lows={3: 4.5})


def test_the_bound_is_the_one_of_the_proof() -> None:
    assert [least_top(raters, known=1) for raters in (4, 8)] == [3.0, 2.0]
    assert [least_top(raters, known=0) for raters in (4, 8)] == [2.0, 1.5]


def test_profiles_promise_what_they_are_known_for() -> None:
    assert {name: (profile.k, profile.low(profile.k), profile.low(9)) for name, profile in PROFILES.items()} == {
        "default": (4, 3.0, 3.0),
        "strict": (5, 2.5, 2.5),
        "small_company": (3, 3.75, 3.0),
    }
