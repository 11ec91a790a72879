"""Bands of hidden ratings: nobody alone makes one, nothing is proved by one, and whose turn it is tells nothing."""

from __future__ import annotations

from datetime import date
from functools import cache
from random import Random

import numpy as np
import pandas as pd
import pytest

from assets.rules import mixed_model, scoring, signals
from assets.rules.hidden_scores import bands, complete_half_years
from assets.rules.mixed_model import Pairs
from assets.rules.scoring import ABOVE, BELOW, INSUFFICIENT, NORMAL

HALF_YEAR = [date(2026, month, 1) for month in range(1, 7)]
NOTHING_EXPECTED = pd.DataFrame({"ratee_id": [], "status": []}).astype({"ratee_id": "int64", "status": "str"})
GOOD, BAD = (1, 2), (3, 4)
EDGE, FEW = 5, 6


@cache
def _company(seed: int) -> pd.DataFrame:
    random = Random(seed)
    rows = []
    for ratee in range(1, 31):
        raters = {EDGE: 6, FEW: 4}.get(ratee, 12 if ratee in (*GOOD, *BAD) else random.choice((3, 5, 8)))
        for rater in random.sample(range(100, 140), raters):
            for _ in range(1 if ratee == FEW else 2):
                usual = random.choice((3, 4, 5, 5))
                score = 5 if ratee in (*GOOD, EDGE) else random.choice((1, 2)) if ratee in BAD else usual
                rows.append((ratee, rater, random.choice(HALF_YEAR), score))
    frame = pd.DataFrame(rows, columns=["ratee_id", "rater_id", "period", "score"]).astype({"score": "float64"})
    return frame.assign(process_key="p", rating_id=range(len(frame)), rated_on=frame["period"], is_viewer=False)


def company(seed: int = 1) -> pd.DataFrame:
    """Thirty ratees: two with fives of many, two with ones and twos of many, one with fives of few, one with little."""
    return _company(seed).copy()


def told(ratings: pd.DataFrame, k: int = 4) -> dict[int, str]:
    found = bands(ratings, NOTHING_EXPECTED, k)
    return dict(zip(found["ratee_id"].tolist(), found["band"].tolist(), strict=True))


def grades_of(ratings: pd.DataFrame) -> pd.Series:
    """Grade of each score: the mean of a normal variable between the quantiles that the share of the score takes."""
    drawn = np.sort(np.random.default_rng(1).standard_normal(len(ratings) * 200))
    order = ratings["score"].rank(method="first").astype("int64") - 1
    mean = pd.Series(drawn.reshape(len(ratings), 200).mean(axis=1)[order], index=ratings.index)
    return mean.groupby(ratings["score"]).transform("mean")


def sides(ratings: pd.DataFrame, grades: pd.Series, ratios: mixed_model.Ratios) -> dict[int, int]:
    """Who is above (1) and below (-1) the mean by a model that is solved anew, for given variances."""
    ratees, ratee = np.unique(ratings["ratee_id"], return_inverse=True)
    _, rater = np.unique(ratings["rater_id"], return_inverse=True)
    pair = ratings.groupby(["ratee_id", "rater_id"])["score"].transform("size").to_numpy(dtype="float64")
    pairs = Pairs.of(ratee, rater, grades.to_numpy(dtype="float64"), np.minimum(1.0, scoring.PAIR_CAP / pair))
    found = mixed_model.fit(pairs, ratios)
    deviation = scoring.Z * np.sqrt(found.variance)
    side = np.where(found.effect - deviation > 0, 1, np.where(found.effect + deviation < 0, -1, 0))
    return dict(zip(ratees.tolist(), side.tolist(), strict=True))


@pytest.mark.parametrize("seed", [1, 2])
def test_a_band_stands_whatever_one_rater_had_given_and_without_him(seed: int) -> None:
    ratings = company(seed)
    found = told(ratings)
    assert {found[ratee] for ratee in GOOD} == {ABOVE}
    assert {found[ratee] for ratee in BAD} == {BELOW}
    ratios = scoring.fit(ratings).grade.ratios
    grades = grades_of(ratings)
    for ratee in (*GOOD, *BAD):
        side = 1 if found[ratee] == ABOVE else -1
        for rater in ratings.loc[ratings["ratee_id"].eq(ratee), "rater_id"].unique():
            own = ratings["ratee_id"].eq(ratee) & ratings["rater_id"].eq(rater)
            for other in (grades.min(), grades.max()):
                assert sides(ratings, grades.mask(own, other), ratios)[ratee] == side
            assert sides(ratings[~own], grades[~own], ratios)[ratee] == side


def test_a_deviation_that_hangs_on_one_rater_is_not_told() -> None:
    ratings = company()
    assert sides(ratings, grades_of(ratings), scoring.fit(ratings).grade.ratios)[EDGE] == 1
    assert told(ratings)[EDGE] == NORMAL


def test_a_deviation_that_hangs_on_suspicious_pairs_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight friends of twelve raters: what the other four say is not enough, and nobody reads why."""
    ratings = company()
    friends = ratings.loc[ratings["ratee_id"].eq(GOOD[0]), ["rater_id", "ratee_id"]].drop_duplicates().iloc[:8]
    monkeypatch.setattr(signals, "flagged_pairs", lambda *_: friends)
    found = bands(ratings, NOTHING_EXPECTED, 4).set_index("ratee_id")
    assert found["band"][[*GOOD, EDGE]].tolist() == [NORMAL, ABOVE, NORMAL]
    assert found["explanation"][[GOOD[0], EDGE]].nunique() == 1


def test_who_gets_a_row_or_too_little_data_hangs_on_counts_and_not_on_scores() -> None:
    ratings = company()
    shapes = set()
    for scores in (ratings["score"], 5.0, 1.0, ratings["score"].sample(frac=1, random_state=1).to_numpy()):
        found = told(ratings.assign(score=scores))
        shapes.add(tuple((ratee, band == INSUFFICIENT) for ratee, band in found.items()))
    assert len(shapes) == 1
    (shape,) = shapes
    assert {is_short for _, is_short in shape} == {True, False}
    assert set(told(ratings.assign(score=5.0)).values()) <= {NORMAL, INSUFFICIENT}


def test_a_row_needs_k_raters_who_do_not_read_the_reports() -> None:
    ratings = company()
    raters = ratings.groupby("ratee_id")["rater_id"].nunique()
    assert set(told(ratings)) == set(raters.index[raters.ge(4)])
    of_five = int(raters.index[raters.eq(5)][0])
    viewers = ratings.loc[ratings["ratee_id"].eq(of_five), "rater_id"].unique()[:2]
    watched = ratings.assign(is_viewer=ratings["rater_id"].isin(viewers))
    assert of_five not in told(watched)
    assert told(watched, k=3).keys() >= {of_five}


def test_few_ratings_expected_and_not_given_are_too_little_data() -> None:
    ratings = company()
    expected = pd.DataFrame({"ratee_id": 1, "status": ["missed"] * 50 + ["fulfilled"] * 24})
    found = bands(ratings, expected, 4).set_index("ratee_id")["band"]
    assert found[1] == INSUFFICIENT
    assert found[2] == ABOVE


def test_what_is_said_with_a_band_holds_no_figure() -> None:
    found = bands(company(), NOTHING_EXPECTED, 4)
    assert not found["explanation"].str.contains(r"\d").any()
    assert found["explanation"].groupby(found["band"]).nunique().max() == 1


def test_a_few_ratings_are_no_error() -> None:
    ratings = company()
    one = ratings[ratings["ratee_id"].eq(1)]
    assert told(one) == {1: INSUFFICIENT}
    assert told(ratings.iloc[:0]) == {}
    assert told(ratings.iloc[:1]) == {}


def test_half_years_never_overlap_and_need_every_month_of_every_process() -> None:
    year = [date(2026, month, 1) for month in range(1, 13)]
    assert complete_half_years([year]) == {date(2026, 1, 1), date(2026, 7, 1)}
    assert complete_half_years([year, year[:11]]) == {date(2026, 1, 1)}
    assert complete_half_years([year[1:]]) == {date(2026, 7, 1)}
    assert complete_half_years([]) == set()
