"""Scores and bands: what they rest on, when they are withheld, and what changes nothing."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from assets.rules import scoring
from assets.rules.scoring import ABOVE, BELOW, INSUFFICIENT, NORMAL, SCORE_COLUMNS

pytestmark = pytest.mark.filterwarnings("error")

MONTHS = [date(2026, month, 1) for month in range(1, 7)]
BEST, WORST, USUAL = 1, 2, 3


def company(people: int = 24, raters: int = 8, months: int = 6, seed: int = 1) -> pd.DataFrame:
    """A rating by each rater of each ratee in two of the months; ratee 1 gets fives, ratee 2 none, the others both."""
    rng = np.random.default_rng(seed)
    rows = [
        (ratee, 100 + rater, MONTHS[(ratee + rater + again) % months])
        for ratee in range(1, people + 1)
        for rater in range(raters)
        for again in range(2)
    ]
    frame = pd.DataFrame(rows, columns=["ratee_id", "rater_id", "period"])
    chance = np.clip(0.65 + 0.15 * ((frame["rater_id"] % 3) - 1), 0, 1)
    five = rng.random(len(frame)) < chance
    score = np.where(five, 5, rng.choice([3, 4], len(frame)))
    score = np.where(frame["ratee_id"].eq(BEST), 5, np.where(frame["ratee_id"].eq(WORST), 3, score))
    return frame.assign(score=score)


def pairs(*of: tuple[int, int]) -> pd.DataFrame:
    return pd.DataFrame(of, columns=["rater_id", "ratee_id"])


def row(scores: pd.DataFrame, ratee: int) -> dict[str, Any]:
    found = scores[scores["ratee_id"].eq(ratee)].to_dict("records")[0]
    return {str(name): value for name, value in found.items()}


# --- bands ----------------------------------------------------------------------------------------------------------


def test_who_stands_out_beyond_chance_gets_a_band_and_the_others_are_as_usual() -> None:
    scores = scoring.score(company())
    assert list(scores.columns) == SCORE_COLUMNS
    assert row(scores, BEST)["band"] == ABOVE
    assert row(scores, WORST)["band"] == BELOW
    assert scores["band"].eq(NORMAL).sum() >= 18
    assert row(scores, BEST)["lower_bound"] > row(scores, BEST)["component_share"]
    assert row(scores, WORST)["upper_bound"] < row(scores, WORST)["component_share"]


def test_the_adjusted_share_lies_within_its_bounds_and_is_less_extreme_than_the_plain_one() -> None:
    scores = scoring.score(company())
    assert (scores["lower_bound"] < scores["adjusted_share"]).all()
    assert (scores["adjusted_share"] < scores["upper_bound"]).all()
    assert row(scores, BEST)["component_share"] < row(scores, BEST)["adjusted_share"] < 1
    assert 0 < row(scores, WORST)["adjusted_share"] < row(scores, WORST)["component_share"]


def test_the_same_scores_count_for_more_from_the_strict() -> None:
    ratings = company()
    strict, lenient = 100, 101
    ratings.loc[ratings["rater_id"].eq(strict) & ratings["ratee_id"].gt(4), "score"] = 3
    ratings.loc[ratings["rater_id"].eq(lenient), "score"] = 5
    alone = [(3, strict), (4, lenient)]
    kept = ratings[~ratings["ratee_id"].isin([3, 4])]
    fives = pd.DataFrame(
        [(ratee, rater, month, 5) for ratee, rater in alone for month in MONTHS[:3]],
        columns=["ratee_id", "rater_id", "period", "score"],
    )
    scores = scoring.score(pd.concat([kept, fives], ignore_index=True))
    assert row(scores, 3)["share_of_fives"] == row(scores, 4)["share_of_fives"] == 1
    assert row(scores, 3)["adjusted_share"] > row(scores, 4)["adjusted_share"] + 0.02


# --- evidence -------------------------------------------------------------------------------------------------------


def with_ratee(ratings: list[tuple[int, date]]) -> pd.DataFrame:
    """The company and one more ratee, 99, with fives by these raters in these months."""
    more = pd.DataFrame([(99, rater, month, 5) for rater, month in ratings], columns=[*company().columns])
    return pd.concat([company(), more], ignore_index=True)


@pytest.mark.parametrize(
    ("given_by", "is_enough"),
    [
        ([(100 + at % 4, MONTHS[at % 3]) for at in range(8)], True),
        ([(100 + at % 4, MONTHS[at % 3]) for at in range(7)], False),
        ([(100 + at % 3, MONTHS[at % 3]) for at in range(9)], False),
        ([(100 + at % 4, MONTHS[at % 2]) for at in range(8)], False),
        # Ten by one rater count as three, so these thirteen are six.
        ([(100, MONTHS[at % 3]) for at in range(10)] + [(101 + at, MONTHS[0]) for at in range(3)], False),
        ([(100, MONTHS[at % 3]) for at in range(10)] + [(101 + at, MONTHS[0]) for at in range(5)], True),
    ],
    ids=["enough", "seven ratings", "three raters", "two months", "one friend", "one friend and five others"],
)
def test_a_band_needs_eight_ratings_by_four_raters_in_three_months(
    given_by: list[tuple[int, date]], is_enough: bool
) -> None:
    found = row(scoring.score(with_ratee(given_by)), 99)
    assert (found["band"] != INSUFFICIENT) is is_enough
    assert found["ratings"] == len(given_by)


@pytest.mark.parametrize(("coverage", "band"), [(0.6, ABOVE), (0.59, INSUFFICIENT), (np.nan, ABOVE)])
def test_a_band_needs_coverage_where_it_is_known(coverage: float, band: str) -> None:
    known = pd.DataFrame({"ratee_id": [BEST], "coverage": [coverage]})
    assert row(scoring.score(company(), coverage=known), BEST)["band"] == band


def test_four_colleagues_are_too_few_to_be_compared_with() -> None:
    apart = company(people=4).assign(ratee_id=lambda of: of["ratee_id"] + 500, rater_id=lambda of: of["rater_id"] + 500)
    scores = scoring.score(pd.concat([company(), apart], ignore_index=True))
    assert scores.loc[scores["ratee_id"].gt(500), "band"].eq(INSUFFICIENT).all()
    assert row(scores, 501)["component"] != row(scores, BEST)["component"]
    assert "сравнить не с кем" in row(scores, 501)["explanation"]
    assert row(scores, BEST)["band"] == ABOVE


# --- doubt ----------------------------------------------------------------------------------------------------------


def test_a_band_that_rests_on_flagged_pairs_is_withheld() -> None:
    ratings = company()
    own = ratings["ratee_id"].eq(USUAL)
    friends = (100, 101, 102, 103)
    ratings.loc[own, "score"] = np.where(ratings.loc[own, "rater_id"].isin(friends), 3, 4)
    assert row(scoring.score(ratings), USUAL)["band"] == BELOW
    ratings.loc[own & ~ratings["rater_id"].isin(friends), "score"] = 5
    flagged = pairs(*((rater, USUAL) for rater in friends))
    ratings.loc[own & ratings["rater_id"].isin(friends), "score"] = 1
    found = row(scoring.score(ratings, flagged=flagged), USUAL)
    assert row(scoring.score(ratings), USUAL)["band"] == BELOW
    assert found["band"] == NORMAL
    assert found["sensitivity_band"] != BELOW
    assert found["sensitivity_share"] > found["adjusted_share"]
    assert f"вывод был бы другим («{found['sensitivity_band']}»)" in found["explanation"]


def test_who_trades_fives_is_not_recommended_and_who_is_sunk_may_be() -> None:
    ratings = pd.concat([company(), company().assign(rater_id=BEST, ratee_id=100).head(3)], ignore_index=True)
    traded = row(scoring.score(ratings, flagged=pairs((100, BEST), (BEST, 100))), BEST)
    assert traded["band"] == NORMAL
    assert traded["sensitivity_band"] == ABOVE
    assert "взаимных пятёрок" in traded["explanation"]
    assert row(scoring.score(ratings, flagged=pairs((100, BEST))), BEST)["band"] == ABOVE


def test_flagging_all_ratings_leaves_nothing_to_recommend() -> None:
    ratings = company()
    scores = scoring.score(ratings, flagged=ratings[["rater_id", "ratee_id"]].drop_duplicates())
    assert set(scores["band"]) <= {NORMAL, INSUFFICIENT}
    assert scores["sensitivity_band"].eq(INSUFFICIENT).all()


# --- what changes nothing -------------------------------------------------------------------------------------------

FIGURES = ["adjusted_share", "lower_bound", "upper_bound", "sensitivity_share", "component_share"]


@settings(max_examples=4, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_ratings_and_the_names_of_people_change_nothing(chance: Any) -> None:
    ratings = company()
    flagged = pairs((100, 5), (103, 7))
    straight = scoring.score(ratings, flagged=flagged)
    people = sorted({*ratings["ratee_id"], *ratings["rater_id"]})
    renamed = dict(zip(people, chance.sample(range(1, 10_000), len(people)), strict=True))
    order = chance.sample(range(len(ratings)), len(ratings))
    other = ratings.iloc[order].assign(
        ratee_id=lambda of: of["ratee_id"].map(renamed), rater_id=lambda of: of["rater_id"].map(renamed)
    )
    found = scoring.score(other, flagged=flagged.apply(lambda column: column.map(renamed))).set_index("ratee_id")
    found = found.loc[[renamed[ratee] for ratee in straight["ratee_id"]]]
    assert found["band"].tolist() == straight["band"].tolist()
    assert found["explanation"].tolist() == straight["explanation"].tolist()
    for name in FIGURES:
        assert found[name].to_numpy() == pytest.approx(straight[name].to_numpy(), abs=1e-5)


def test_a_rater_who_turns_strict_moves_those_he_rates_less_than_their_plain_share() -> None:
    """Half of the people are rated by somebody who stops giving fives: the plain share blames them, the score him."""
    ratings = company()
    half = ratings[~(ratings["rater_id"].eq(100) & ratings["ratee_id"].gt(12))]
    stricter = half.assign(score=half["score"].mask(half["rater_id"].eq(100), half["score"] - 1))
    before, after = (scoring.score(of).set_index("ratee_id") for of in (half, stricter))
    his, others = [*range(3, 13)], [*range(13, 25)]
    plain, adjusted = (
        (before.loc[his, name] - after.loc[his, name]).mean()
        - (before.loc[others, name] - after.loc[others, name]).mean()
        for name in ("share_of_fives", "adjusted_share")
    )
    assert plain > 0.05
    assert abs(adjusted) < plain / 2


# --- odd input ------------------------------------------------------------------------------------------------------

ODD = {
    "nothing": company().head(0),
    "one rating": company().head(1),
    "one rater": company(raters=1),
    "one ratee": company(people=1),
    "all fives": company().assign(score=5),
    "all fours": company().assign(score=4),
    "no fives": company().assign(score=lambda of: of["score"].clip(upper=4)),
    "one month": company().assign(period=MONTHS[0]),
    "islands": company().assign(rater_id=lambda of: of["ratee_id"] + 1000),
    "no scores": company().assign(score=np.nan),
}


@pytest.mark.parametrize("name", sorted(ODD))
def test_where_there_is_no_evidence_there_is_no_band(name: str) -> None:
    ratings = ODD[name]
    scores = scoring.score(ratings, flagged=pairs((100, BEST)))
    fitted = scoring.fit(ratings)
    assert scores["band"].eq(INSUFFICIENT).all()
    assert len(scores) == ratings.dropna()["ratee_id"].nunique()
    assert not scores["explanation"].str.contains("nan").any()
    assert fitted.edges["z_five"].notna().all()
    assert fitted.residuals.notna().all()


def test_ratings_without_a_score_change_nothing() -> None:
    ratings = company()
    more = pd.concat([ratings, ratings.head(5).assign(score=np.nan)], ignore_index=True)
    pd.testing.assert_frame_equal(scoring.score(more), scoring.score(ratings))


# --- what people read -----------------------------------------------------------------------------------------------


def test_the_explanation_says_the_figures() -> None:
    found = row(scoring.score(company()), BEST)
    share, low, high, others = (
        f"{100 * found[name]:.0f} %" for name in ("adjusted_share", "lower_bound", "upper_bound", "component_share")
    )
    assert found["explanation"] == (
        f"Стабильно выше: доля пятёрок с поправкой на строгость оценивающих {share} (с вероятностью 90 % от {low} до "
        f"{high}), у типичного из сопоставимых коллег {others}; 16 оценок от 8 коллег за 6 месяцев."
    )


def test_the_explanation_says_what_is_missing() -> None:
    coverage = pd.DataFrame({"ratee_id": [99], "coverage": [0.5]})
    found = row(scoring.score(with_ratee([(100, MONTHS[0])]), coverage=coverage), 99)
    assert found["explanation"] == (
        "Недостаточно данных: 1 оценка от 1 коллеги за 1 месяц; нужно: не меньше 8 оценок (не больше 3 от одного "
        "коллеги), не меньше 4 оценивших, оценки не меньше чем за 3 месяца, охват не ниже 60 % (сейчас 50 %)."
    )
