"""Signals: each fires on what it is for and keeps quiet on the nearest innocent case."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from assets.rules import scoring, signals
from assets.rules.signals import SIGNAL_COLUMNS, SIGNALS

pytestmark = pytest.mark.filterwarnings("error")

MONTHS = [date(2026, month, 1) for month in range(1, 7)]
EXPERIMENTAL = [name for name, signal in SIGNALS.items() if signal.is_experimental]
Planted = Sequence[tuple[int, int, list[int]]]


def company(planted: Planted = (), people: int = 30, seed: int = 3) -> pd.DataFrame:
    """Everybody is rated by twelve colleagues, 70 % fives. Planted: (rater, ratee, scores) instead, month by month."""
    rng = np.random.default_rng(seed)
    rows = [
        (1 + (ratee - 1 + step) % people, ratee, int(rng.choice([5, 4, 3, 2], p=[0.7, 0.17, 0.08, 0.05])))
        for ratee in range(1, people + 1)
        for step in range(1, 13)
    ]
    rows = [(rater, ratee, score) for rater, ratee, score in rows if not any(p[:2] == (rater, ratee) for p in planted)]
    rows += [(rater, ratee, score) for rater, ratee, scores in planted for score in scores]
    frame = pd.DataFrame(rows, columns=["rater_id", "ratee_id", "score"])
    month = np.arange(len(frame)) % 6
    for rater, ratee, scores in planted:
        own = frame["rater_id"].eq(rater) & frame["ratee_id"].eq(ratee)
        month[own.to_numpy()] = np.arange(len(scores)) % 6
    days = [
        MONTHS[at] + timedelta(days=int(day)) for at, day in zip(month, rng.integers(0, 28, len(frame)), strict=True)
    ]
    return frame.assign(
        rating_id=range(1, len(frame) + 1), process_key="p", period=[MONTHS[at] for at in month], rated_on=days
    )


def found(ratings: pd.DataFrame, kind: str, events: pd.DataFrame | None = None) -> list[dict[str, Any]]:
    rows = signals.find(ratings, scoring.fit(ratings), events=events, experimental=EXPERIMENTAL)
    return [
        {str(name): value for name, value in row.items()}
        for row in rows[rows["signal_type"].eq(kind)].to_dict("records")
    ]


def people(rows: list[dict[str, Any]]) -> list[tuple[int, int]]:
    return [(row["rater_id"], row["ratee_id"]) for row in rows]


# --- reciprocal -----------------------------------------------------------------------------------------------------


def test_two_who_live_on_each_others_fives_are_found() -> None:
    rows = found(company([(20, 2, [5] * 8), (2, 20, [5] * 7)]), "reciprocal")
    assert people(rows) == [(2, 20)]
    assert rows[0]["ratings"] == 15
    assert rows[0]["explanation"].startswith("15 оценок друг другу, все пятёрки; в среднем это ")


@pytest.mark.parametrize(
    ("there", "back"),
    [([5] * 8, [5] * 6 + [4]), ([5] * 8, [5]), ([5] * 2, [5] * 3), ([5] * 8, [4] * 7)],
    ids=["one four", "one way", "too few", "fours back"],
)
def test_two_who_rate_each_other_honestly_or_seldom_are_not(there: list[int], back: list[int]) -> None:
    assert (2, 20) not in people(found(company([(20, 2, there), (2, 20, back)]), "reciprocal"))


# --- sinking --------------------------------------------------------------------------------------------------------


def test_who_sinks_one_colleague_is_found() -> None:
    rows = found(company([(20, 2, [1, 2, 1])]), "sinking")
    assert people(rows)[0] == (20, 2)
    assert rows[0]["explanation"].startswith("3 оценки со средней 1,3; это на ")


@pytest.mark.parametrize("scores", [[1, 1], [5, 4, 4], [5, 5, 5]], ids=["two ratings", "nearly usual", "fives"])
def test_two_low_scores_or_usual_ones_sink_nobody(scores: list[int]) -> None:
    assert (20, 2) not in people(found(company([(20, 2, scores)]), "sinking"))


def test_a_strict_rater_sinks_nobody_and_a_bad_setter_is_not_sunk() -> None:
    ratings = company([(20, 2, [2, 2, 3]), (20, 4, [2, 3, 2]), (20, 6, [3, 2, 2])])
    strict = ratings.assign(score=ratings["score"].mask(ratings["rater_id"].eq(20), 2))
    bad = company([(20, 2, [2, 3, 2])])
    bad = bad.assign(score=bad["score"].mask(bad["ratee_id"].eq(2), 2 + bad["rater_id"] % 2))
    assert not [pair for pair in people(found(strict, "sinking")) if pair[0] == 20]
    assert not [pair for pair in people(found(bad, "sinking")) if pair[1] == 2]


# --- pressure -------------------------------------------------------------------------------------------------------


def events(*of: tuple[str, int | None, int | None]) -> pd.DataFrame:
    frame = pd.DataFrame(of, columns=["event", "old_score", "score"]).astype({"old_score": "Int64", "score": "Int64"})
    return frame.assign(rater_id=5, ratee_id=6, is_after_freeze=True)


def test_raised_and_deleted_scores_are_added_up_by_pair() -> None:
    rows = found(company(), "pressure_edit", events(("edit", 3, 5), ("edit", 4, 5), ("delete", 2, 2)))
    assert people(rows) == [(5, 6)]
    assert (rows[0]["ratings"], rows[0]["strength"]) == (3, 6)
    assert rows[0]["explanation"] == (
        "После публикации изменено: 3 оценки; поднято в сумме на 3 балла, удалённые низкие оценки отстояли от пятёрки "
        "на 3 балла."
    )


def test_lowered_untouched_new_and_deleted_high_scores_are_no_pressure() -> None:
    quiet = events(("edit", 5, 4), ("edit", 4, 4), ("create", None, 5), ("delete", 5, 5), ("delete", 4, 4))
    assert found(company(), "pressure_edit", quiet) == []
    assert found(company(), "pressure_edit", events().head(0)) == []
    assert found(company(), "pressure_edit") == []


# --- raters ---------------------------------------------------------------------------------------------------------


def line(score: int, ratings: int, others: int = 0) -> pd.DataFrame:
    """The company, and rater 99 who gives everybody the same."""
    planted: Planted = [(99, 1 + at % 30, [score] * (1 + (ratings - 1 - at) // 30)) for at in range(min(30, ratings))]
    frame = company(planted)
    own = np.flatnonzero(frame["rater_id"].eq(99))
    frame.loc[own[:others], "score"] = 3
    return frame


def test_who_gives_everybody_the_same_is_found() -> None:
    rows = found(line(5, 60), "straight_line")
    assert people(rows) == [(99, 0)]
    assert rows[0]["explanation"] == "60 из 60 оценок — «5»; у других те же коллеги получают разные оценки."
    assert people(found(line(4, 20), "straight_line")) == [(99, 0)]
    assert people(found(line(5, 60, others=1), "straight_line")) == [(99, 0)]


def test_who_rates_seldom_or_sometimes_otherwise_is_not() -> None:
    assert found(line(4, 19), "straight_line") == []
    assert found(line(5, 60, others=2), "straight_line") == []
    # Twenty fives come about by chance where 70 % are fives.
    assert found(line(5, 20), "straight_line") == []


def shifted(by: int) -> pd.DataFrame:
    planted: Planted = [(99, ratee, [5, 5, 5, 5 - by, 5 - by, 5 - by]) for ratee in range(1, 16)]
    return company(planted)


def test_who_becomes_stricter_with_everybody_is_found() -> None:
    rows = found(shifted(1), "severity_shift")
    assert people(rows) == [(99, 0)]
    assert rows[0]["explanation"].startswith("После 03.2026 оценки стали строже для всех: разница в ")
    assert not [pair for pair in people(found(shifted(0), "severity_shift")) if pair[0] == 99]


# --- pairs that are experimental ------------------------------------------------------------------------------------


def test_praise_in_a_circle_is_found_and_back_and_forth_is_not() -> None:
    ring: Planted = [(3, 18, [5] * 4), (18, 9, [5] * 4), (9, 3, [5] * 4)]
    edges = set(people(found(company(ring), "ring")))
    assert {pair[:2] for pair in ring} <= edges
    open_end = company([*ring[:2], (9, 3, [5, 5, 5, 4])])
    assert not found(open_end, "ring")
    mutual = company([*ring, (18, 3, [5] * 4), (9, 18, [5] * 4), (3, 9, [5] * 4)])
    assert not found(mutual, "ring")


def answers(days: list[int], score: int = 1) -> pd.DataFrame:
    """5 gives 6 low scores on two days, 6 answers so many days later."""
    frame = company([(5, 6, [2, 2]), (6, 5, [score, score])])
    first = date(2026, 3, 1)
    for rater, ratee, late in ((5, 6, [0, 0]), (6, 5, days)):
        own = frame.index[frame["rater_id"].eq(rater) & frame["ratee_id"].eq(ratee)]
        for at, number in enumerate(own):
            frame.at[number, "rated_on"] = first + timedelta(days=40 * at + late[at])
    return frame


@pytest.mark.parametrize(
    ("days", "score", "is_found"),
    [([1, 14], 1, True), ([1, 15], 1, False), ([0, 1], 1, False), ([1, 14], 4, False)],
    ids=["within two weeks", "once too late", "once the same day", "not low"],
)
def test_low_scores_in_answer_to_low_ones_are_found(days: list[int], score: int, is_found: bool) -> None:
    rows = found(answers(days, score), "retaliation")
    assert ((6, 5) in people(rows)) is is_found
    if is_found:
        assert rows[0]["explanation"].startswith("2 оценки не выше 3 в ответ на такую же")


# --- all of them ----------------------------------------------------------------------------------------------------


def test_experimental_signals_are_off_unless_asked_for() -> None:
    ratings = company([(3, 18, [5] * 4), (18, 9, [5] * 4), (9, 3, [5] * 4)])
    fit = scoring.fit(ratings)
    assert not signals.find(ratings, fit)["is_experimental"].any()
    asked = signals.find(ratings, fit, experimental=["ring"])
    assert set(asked.loc[asked["is_experimental"].astype(bool), "signal_type"]) == {"ring"}


def test_a_sensitivity_score_leaves_out_both_directions_of_a_bargain_and_one_of_a_grudge() -> None:
    ratings = company([(20, 2, [5] * 8), (2, 20, [5] * 7), (25, 4, [1, 1, 1])])
    fit = scoring.fit(ratings)
    flagged = signals.flagged_pairs(signals.find(ratings, fit), fit)
    pairs = set(zip(flagged["rater_id"], flagged["ratee_id"], strict=True))
    assert {(20, 2), (2, 20), (25, 4)} <= pairs
    assert (4, 25) not in pairs


def test_order_and_numbers_of_people_change_nothing() -> None:
    ratings = company([(20, 2, [5] * 8), (2, 20, [5] * 7), (25, 4, [1, 1, 1])])
    straight = signals.find(ratings, scoring.fit(ratings))
    other = ratings.sample(frac=1, random_state=1).assign(
        rater_id=lambda of: of["rater_id"] + 500, ratee_id=lambda of: of["ratee_id"] + 500
    )
    moved = signals.find(other, scoring.fit(other))
    assert moved["explanation"].tolist() == straight["explanation"].tolist()
    assert (moved["rater_id"] - 500).tolist() == straight["rater_id"].tolist()
    assert moved["strength"].to_numpy() == pytest.approx(straight["strength"].to_numpy(), abs=1e-4)


@pytest.mark.parametrize("kind", ["reciprocal", "sinking", "straight_line", "ring", "severity_shift", "retaliation"])
def test_alerts_are_the_strongest_candidates(kind: str) -> None:
    ratings = company([(20, 2, [5] * 8), (2, 20, [5] * 7), (25, 4, [1, 1, 1])])
    candidates = signals.strengths(ratings, scoring.fit(ratings), kind)
    assert list(candidates.columns) == ["rater_id", "ratee_id", "strength"]
    assert not candidates.duplicated(["rater_id", "ratee_id"]).any()
    if kind in {"reciprocal", "sinking"}:
        best = candidates.sort_values("strength").iloc[-1]
        assert (best["rater_id"], best["ratee_id"]) == {"reciprocal": (2, 20), "sinking": (25, 4)}[kind]


@pytest.mark.parametrize(
    "ratings",
    [company().head(0), company().head(1), company().assign(score=5), company().assign(rater_id=1)],
    ids=["nothing", "one rating", "all fives", "one rater"],
)
def test_where_there_is_nothing_to_compare_nothing_is_suspicious(ratings: pd.DataFrame) -> None:
    rows = signals.find(ratings, scoring.fit(ratings), events=events().head(0), experimental=EXPERIMENTAL)
    assert list(rows.columns) == SIGNAL_COLUMNS
    assert set(rows["signal_type"]) <= {"straight_line", "reciprocal"}
    assert rows["strength"].dtype == "float64"


def test_explanations_hold_no_ids() -> None:
    ratings = company([(20, 2, [5] * 8), (2, 20, [5] * 7), (25, 4, [1, 1, 1])])
    shifted_ids = ratings.assign(rater_id=ratings["rater_id"] + 7000, ratee_id=ratings["ratee_id"] + 7000)
    rows = signals.find(shifted_ids, scoring.fit(shifted_ids), experimental=EXPERIMENTAL)
    assert len(rows) >= 2
    assert not rows["explanation"].str.contains("70[0-9][0-9]").any()
