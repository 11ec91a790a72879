"""Disclosure rules: what is published of hidden ratings, and what nobody can prove from it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import date
from fractions import Fraction
from itertools import combinations_with_replacement
from math import floor
from random import Random
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules.disclosure import (
    PROFILES,
    Profile,
    complete_quarters,
    department_pairs,
    quarter_start,
    ratee_blocks,
    rater_band,
    score_band,
)
from assets.rules.policy import MODES

Rating = dict[str, Any]

JANUARY, FEBRUARY, MARCH, APRIL = (date(2026, month, 1) for month in (1, 2, 3, 4))
QUARTER = {JANUARY, FEBRUARY, MARCH}
DEFAULT = PROFILES["default"]

BLOCK_COLUMNS = ["ratee_id", "process_key", "block_from", "block_to", "rater_band", "score_band"]
PAIR_COLUMNS = [
    "process_key",
    "rater_department_id",
    "ratee_department_id",
    "period_from",
    "period_to",
    "rater_band",
    "mean_score",
]


def rating(**values: Any) -> Rating:
    return {
        "mode": "aggregate",
        "is_counted": True,
        "process_key": "a",
        "period": JANUARY,
        "ratee_id": 1,
        "rater_id": 11,
        "rater_department_id": 7,
        "ratee_department_id": 8,
        "score": 5,
    } | values


def frame(rows: Iterable[Rating]) -> pd.DataFrame:
    table = pd.DataFrame(list(rows), columns=list(rating()))
    whole = ("ratee_id", "rater_id", "rater_department_id", "ratee_department_id")
    return table.astype(dict.fromkeys(whole, "int64") | {"is_counted": "bool", "score": "float64"})


def from_raters(*scores: int, **values: Any) -> list[Rating]:
    """One rating of each of so many raters."""
    return [rating(rater_id=rater, score=score, **values) for rater, score in enumerate(scores, start=11)]


def blocks(rows: Iterable[Rating], frozen: set[date] = QUARTER, profile: Profile = DEFAULT) -> list[tuple[Any, ...]]:
    return sorted(ratee_blocks(frame(rows), frozen, profile)[BLOCK_COLUMNS].itertuples(index=False, name=None))


def pairs(
    rows: Iterable[Rating], frozen: set[date] = QUARTER, quarters: Iterable[date] = (JANUARY,)
) -> list[tuple[Any, ...]]:
    return sorted(department_pairs(frame(rows), frozen, set(quarters))[PAIR_COLUMNS].itertuples(index=False, name=None))


many_ratings = st.lists(
    st.builds(
        rating,
        mode=st.sampled_from((*MODES, "aggregate", "aggregate")),
        is_counted=st.sampled_from((True, True, True, False)),
        process_key=st.sampled_from(("a", "a", "b")),
        period=st.sampled_from((JANUARY, JANUARY, MARCH, APRIL)),
        ratee_id=st.integers(1, 3),
        rater_id=st.integers(11, 17),
        rater_department_id=st.sampled_from((7, 7, 0)),
        ratee_department_id=st.sampled_from((8, 8, 9)),
        score=st.integers(1, 5),
    ),
    max_size=60,
)


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


def raters(rows: list[Rating]) -> int:
    return len({row["rater_id"] for row in rows})


def plain_band(mean: Fraction, low: float) -> str:
    rounded = floor(mean * 4 + Fraction(1, 2)) / 4
    return f"<= {low:.2f}" if rounded <= low else ">= 4.75" if rounded >= 4.75 else f"{rounded:.2f}"


@settings(max_examples=40, deadline=None)
@given(many_ratings, st.sampled_from(sorted(PROFILES)))
def test_blocks_are_exactly_the_groups_of_enough_distinct_hidden_raters(rows: list[Rating], name: Any) -> None:
    profile = PROFILES[name]
    hidden = [
        row
        for row in rows
        if row["is_counted"]
        and row["period"] in QUARTER
        and row["mode"] in {"named_to_hr", "pseudonymous", "aggregate"}
    ]
    expected = [
        (ratee, process, month, month, rater_band(raters(of)), plain_band(plain_mean(of), profile.low))
        for (ratee, process, month), of in groups(hidden, "ratee_id", "process_key", "period").items()
        if raters(of) >= profile.k
    ]
    assert blocks(rows, profile=profile) == sorted(expected)


@settings(max_examples=40, deadline=None)
@given(many_ratings)
def test_pairs_are_exactly_the_groups_of_five_raters_and_two_ratees(rows: list[Rating]) -> None:
    hidden = [
        row | {"quarter": JANUARY}
        for row in rows
        if row["is_counted"] and row["period"] in QUARTER and row["mode"] != "open" and row["rater_department_id"]
    ]
    expected = [
        (
            process,
            rater,
            ratee,
            JANUARY,
            MARCH,
            rater_band(raters(of)),
            floor(plain_mean(of) * 10 + Fraction(1, 2)) / 10,
        )
        for (process, rater, ratee), of in groups(
            hidden, "process_key", "rater_department_id", "ratee_department_id"
        ).items()
        if raters(of) >= 5 and len({row["ratee_id"] for row in of}) >= 2
    ]
    assert pairs(rows) == sorted(expected)


@settings(max_examples=15, deadline=None)
@given(many_ratings, st.lists(st.builds(rating, mode=st.just("open"), rater_id=st.integers(11, 30)), max_size=8))
def test_adding_open_ratings_changes_no_hidden_row(rows: list[Rating], added: list[Rating]) -> None:
    assert blocks([*rows, *added]) == blocks(rows)
    assert pairs([*rows, *added]) == pairs(rows)


@settings(max_examples=15, deadline=None)
@given(many_ratings, st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(rows: list[Rating], chance: Random) -> None:
    shuffled = chance.sample(rows, len(rows))
    assert blocks(shuffled) == blocks(rows)
    assert pairs(shuffled) == pairs(rows)


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_one_rater_fewer_than_the_threshold_publishes_nothing(name: Any) -> None:
    profile = PROFILES[name]
    enough = from_raters(*[5] * profile.k)
    assert len(blocks(enough, profile=profile)) == 1
    assert blocks(enough[1:] * 3, profile=profile) == []


def test_one_busy_rater_never_passes_for_several() -> None:
    assert blocks([rating()] * 20) == []
    assert pairs([rating(ratee_id=ratee) for ratee in range(1, 20)]) == []


def test_one_rater_with_many_ratings_weighs_one() -> None:
    busy = [rating(rater_id=11, score=1, ratee_id=ratee) for ratee in (1, 1, 1, 1, 2, 2, 2)]
    others = [rating(rater_id=rater, ratee_id=ratee) for rater in (12, 13, 14, 15) for ratee in (1, 2)]
    assert [row[-1] for row in blocks(busy + others)] == ["4.25", "4.25"]
    assert [row[-1] for row in pairs(busy + others)] == [4.2]


def test_several_ratings_of_one_rater_count_as_their_mean() -> None:
    torn = [rating(rater_id=11, score=score, ratee_id=ratee) for score in (1, 5) for ratee in (1, 2)]
    others = [rating(rater_id=rater, ratee_id=ratee) for rater in (12, 13, 14, 15) for ratee in (1, 2)]
    assert [row[-1] for row in blocks(torn + others)] == ["4.50", "4.50"]
    assert [row[-1] for row in pairs(torn + others)] == [4.6]


def test_department_only_ratings_reach_pairs_and_no_block() -> None:
    rows = [row | {"ratee_id": ratee} for ratee in (1, 2) for row in from_raters(5, 5, 5, 5, 5, mode="department_only")]
    assert blocks(rows) == []
    assert len(pairs(rows)) == 1


def test_a_pair_of_one_ratee_is_never_published() -> None:
    rows = from_raters(5, 5, 5, 5, 5, 5)
    assert pairs(rows) == []
    assert len(pairs([*rows, rating(ratee_id=2)])) == 1


def test_a_pair_with_an_unknown_department_is_never_published() -> None:
    rows = [row | {"ratee_id": ratee} for ratee in (1, 2) for row in from_raters(5, 5, 5, 5, 5)]
    assert pairs([row | {"rater_department_id": 0} for row in rows]) == []
    assert pairs([row | {"ratee_department_id": 0} for row in rows]) == []


def test_a_month_that_is_not_frozen_publishes_nothing() -> None:
    rows = [row | {"ratee_id": ratee} for ratee in (1, 2) for row in from_raters(5, 5, 5, 5, 5)]
    assert blocks(rows, frozen={FEBRUARY}) == []
    assert pairs(rows, frozen={JANUARY}, quarters=()) == []
    assert pairs([row | {"period": APRIL} for row in rows], frozen={APRIL}, quarters=(JANUARY,)) == []


def test_excluded_ratings_do_not_help_to_reach_the_threshold() -> None:
    assert blocks([*from_raters(5, 5, 5), rating(rater_id=19, is_counted=False)]) == []


def test_nothing_hidden_publishes_nothing() -> None:
    for rows in ([], from_raters(5, 5, 5, 5, 5, mode="open")):
        assert blocks(rows) == []
        assert pairs(rows) == []
        assert list(ratee_blocks(frame(rows), QUARTER, DEFAULT).columns) == BLOCK_COLUMNS
        assert list(department_pairs(frame(rows), QUARTER, {JANUARY}).columns) == PAIR_COLUMNS


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
    assert score_band(mean, DEFAULT.low) == band


@pytest.mark.parametrize(
    ("scores", "shown"),
    [((5, 5, 5, 5, 4), 4.8), ((5, 5, 4, 4, 4, 4), 4.3), ((1, 1, 1, 1, 1), 1.0), ((5, 5, 5, 4, 4, 4, 4), 4.4)],
)
def test_a_pair_shows_tenths_of_a_point_and_no_more_digits(scores: tuple[int, ...], shown: float) -> None:
    rows = [row | {"ratee_id": ratee} for ratee in (1, 2) for row in from_raters(*scores)]
    assert [str(row[-1]) for row in pairs(rows)] == [str(shown)]


def test_a_pair_in_the_middle_of_two_tenths_is_rounded_up() -> None:
    scores = [5] * 7 + [4] * 13
    rows = [row | {"ratee_id": ratee} for ratee in (1, 2) for row in from_raters(*scores)]
    assert [row[-1] for row in pairs(rows)] == [4.4]


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


def test_a_pair_names_the_first_and_the_last_month_of_its_quarter() -> None:
    rows = [row | {"ratee_id": ratee} for ratee in (1, 2) for row in from_raters(5, 5, 5, 5, 5, period=FEBRUARY)]
    assert [row[3:5] for row in pairs(rows)] == [(JANUARY, MARCH)]


# --- the clamp: no proof against anybody --------------------------------------------------------------------------


def provable(k: int, low: float, *, lowest_only: bool = True) -> list[tuple[Any, ...]]:
    """Blocks that prove to the ratee and one colluder that a certain other rater gave less than 5.

    Every multiset of scores is tried, and the number of raters is given away too. A block proves it when no multiset
    with the same band and the same score of the colluder has a five beside the colluder's.
    """
    found = []
    for raters_ in range(k, k + 3):
        multisets = [Counter(scores) for scores in combinations_with_replacement(range(1, 6), raters_)]
        by_band: dict[str, list[Counter[int]]] = defaultdict(list)
        for scores in multisets:
            by_band[score_band(scores.total() and sum(scores.elements()) / raters_, low)].append(scores)
        for band, possible in by_band.items():
            if lowest_only and not band.startswith("<="):
                continue
            for colluder in range(1, 6):
                with_colluder = [scores - Counter([colluder]) for scores in possible if scores[colluder]]
                if with_colluder and not any(others[5] for others in with_colluder):
                    found.append((raters_, band, colluder))
    return found


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_no_block_of_a_profile_proves_that_somebody_gave_less_than_five(name: Any) -> None:
    profile = PROFILES[name]
    assert provable(profile.k, profile.low, lowest_only=False) == []


@pytest.mark.parametrize("k", [3, 4, 5, 6])
@pytest.mark.parametrize("low", [quarters / 4 for quarters in range(4, 19)])
def test_a_profile_is_refused_exactly_when_its_clamp_lets_a_low_score_be_proved(k: int, low: float) -> None:
    if provable(k, low):
        with pytest.raises(ValueError, match="prove a low score"):
            Profile(k=k, low=low)
    else:
        assert Profile(k=k, low=low).low == low


@pytest.mark.parametrize("low", [2.9, 2.95, 3.05, float("nan")])
def test_a_clamp_between_two_bands_is_refused_for_it_reaches_less_far_than_it_says(low: float) -> None:
    with pytest.raises(ValueError, match="low"):
        Profile(k=4, low=low)


@pytest.mark.parametrize("k", [2, 1, 0, -1])
def test_fewer_than_three_raters_are_refused_whatever_the_clamp(k: int) -> None:
    with pytest.raises(ValueError, match="floor of 3"):
        Profile(k=k, low=4.5)


def test_profiles_promise_what_they_are_known_for() -> None:
    assert {name: (profile.k, profile.low) for name, profile in PROFILES.items()} == {
        "default": (4, 3.0),
        "strict": (5, 2.5),
        "small_company": (3, 3.75),
    }
