"""A15 against the rules of bands, and with each of them switched off: then it must succeed."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from random import Random

import numpy as np
import pandas as pd
import pytest

from assets.rules import hidden_scores
from assets.rules.hidden import HiddenState
from assets.rules.scoring import ABOVE, BELOW, INSUFFICIENT, NORMAL
from pipelines.audit import bands
from pipelines.audit.company import truth_of
from pipelines.audit.evidence import Release
from sources.stand_in.state import PortalState
from tests.audit.conftest import invented, weakened

HALF_YEAR = [date(2026, month, 1) for month in range(1, 7)]
GOOD, BAD, FEW_FIVES, FEW_ONES = 21, 22, 23, 24
NOTHING_EXPECTED = pd.DataFrame({"ratee_id": [0], "status": "fulfilled"})


@pytest.fixture(scope="module")
def company() -> Release:
    """Bands of a half-year: one ratee good by many, one bad by many, one good and one bad by a few."""
    chance = Random(3)
    raters = {GOOD: 12, BAD: 12, FEW_FIVES: 6, FEW_ONES: 4}
    scores = {GOOD: (5,), BAD: (1, 2), FEW_FIVES: (5,), FEW_ONES: (1,)}
    ratings: list[dict[str, object]] = [
        {
            "ratee_id": ratee,
            "rater_id": rater,
            "period": chance.choice(HALF_YEAR),
            "score": 5 if ratee == FEW_ONES and not place else chance.choice(scores.get(ratee, (3, 4, 5, 5))),
        }
        for ratee in range(21, 51)
        for place, rater in enumerate(chance.sample(range(100, 140), raters.get(ratee, 7)))
        for _ in range(2)
    ]
    truth = invented(ratings)
    told = hidden_scores.bands(truth.ratings, NOTHING_EXPECTED, 4)
    told = told.assign(window_from=HALF_YEAR[0], window_to=HALF_YEAR[-1])
    nothing = HiddenState.empty()
    empty = ("blocks", "pairs", "rows", "comments", "reasons", "violations", "coverage")
    parts = {name: getattr(nothing, name) for name in empty}
    return Release("half-year", "default", bands=told, truth=truth, **parts)


@pytest.fixture(scope="module")
def demo(state: PortalState, company: Release) -> Release:
    """Bands of a half-year of a demo company."""
    truth = truth_of(state)
    window = (HALF_YEAR[0], HALF_YEAR[-1])
    rows = bands.behind(truth, window).sort_values(["process_key", "rating_id"], ignore_index=True)
    told = hidden_scores.bands(rows, NOTHING_EXPECTED, 4).assign(window_from=window[0], window_to=window[1])
    return weakened(company, bands=told, truth=truth)


def with_band(company: Release, ratee: int, band: str) -> Release:
    told = company.bands
    return weakened(company, bands=told.assign(band=told["band"].mask(told["ratee_id"].eq(ratee), band)))


def test_bands_of_the_rules_give_nobody_away(company: Release, demo: Release) -> None:
    found = company.bands.set_index("ratee_id")["band"]
    assert found[[GOOD, BAD, FEW_FIVES, FEW_ONES]].tolist() == [ABOVE, BELOW, NORMAL, NORMAL]
    assert len(demo.bands) > 30
    for attack in (bands.widths, bands.one_rater, bands.proofs, bands.rows_of_bands):
        for release in (company, demo):
            result = attack([release])
            assert result.passed, result
            assert result.trials


def test_a_band_that_looks_at_the_bounds_alone_hangs_on_one_rater(company: Release) -> None:
    """The model has no doubt about six raters with nothing but fives."""
    own = bands.owns(company.known.ratings)[FEW_FIVES]
    assert own.side(own.grades) == 1
    found = bands.one_rater([with_band(company, FEW_FIVES, ABOVE)])
    assert not found.passed


def test_a_low_band_of_four_raters_proves_low_scores(company: Release) -> None:
    """One of them says that he gave fives, so the others cannot have."""
    own = bands.owns(company.known.ratings)[FEW_ONES]
    assert own.told(own.grades) == -1
    found = bands.proofs([with_band(company, FEW_ONES, BELOW)])
    assert not found.passed


def test_finer_bands_are_caught(company: Release) -> None:
    assert not bands.widths([with_band(company, GOOD, "4.75")]).passed


def test_few_raters_viewers_and_rolling_half_years_are_caught(company: Release) -> None:
    truth = company.known
    people = truth.ratings["rater_id"].isin(truth.ratings.query(f"ratee_id == {FEW_ONES}")["rater_id"].unique()[:1])
    for rows in (truth.ratings.assign(is_viewer=people), truth.ratings.assign(mode="named_to_hr")):
        assert not bands.rows_of_bands([weakened(company, truth=replace(truth, ratings=rows))]).passed
    rolling = company.bands.assign(window_from=HALF_YEAR[1], window_to=date(2026, 7, 1))
    both = pd.concat([company.bands, rolling], ignore_index=True)
    assert not bands.rows_of_bands([weakened(company, bands=both)]).passed


# --- what stands beside them ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def named() -> pd.DataFrame:
    """Rows that HR reads by name."""
    chance = Random(4)
    return pd.DataFrame(
        [
            (ratee, rater, chance.choice(HALF_YEAR), float(chance.randint(1, 5)))
            for ratee in (1, 2, 3)
            for rater in range(100, 108)
        ],
        columns=["ratee_id", "rater_id", "period", "score"],
    )


def scores_of(company: Release, named: pd.DataFrame) -> pd.DataFrame:
    """`hr.fct_score`: hidden bands, and named figures worked out from rows."""
    groups = named.groupby("ratee_id")
    shown = pd.DataFrame(
        {
            "scope": "named",
            "ratings": groups.size().astype("float64"),
            "raters": groups["rater_id"].nunique(),
            "months": groups["period"].nunique(),
            "mean_score": groups["score"].mean().round(4),
            "share_of_fives": groups["score"].agg(lambda given: given.eq(5).mean()).round(4),
            "window_from": HALF_YEAR[0],
            "window_to": HALF_YEAR[-1],
            "is_frozen": True,
        }
    ).reset_index()
    hidden = company.bands[["ratee_id", "window_from", "window_to", "band"]].assign(scope="hidden", is_frozen=True)
    return pd.concat([shown, hidden], ignore_index=True).reindex(
        columns=["scope", "ratee_id", "window_from", "window_to", "is_frozen", *bands.FIGURES]
    )


def test_a_figure_beside_a_hidden_band_is_caught(company: Release, named: pd.DataFrame) -> None:
    scores = scores_of(company, named)
    assert bands.figures(scores).passed
    assert bands.figures(scores).trials == len(company.bands)
    shown = scores.assign(raters=scores["raters"].fillna(9))
    assert not bands.figures(shown).passed


def test_a_named_figure_with_hidden_ratings_in_it_is_caught(company: Release, named: pd.DataFrame) -> None:
    assert bands.named_figures(scores_of(company, named), named, with_frozen=True).passed
    mixed = pd.concat([named, company.known.ratings.head(1).assign(ratee_id=1)[list(named)]], ignore_index=True)
    found = bands.named_figures(scores_of(company, mixed), named, with_frozen=True)
    assert found.trials == 3
    assert not found.passed
    assert bands.named_figures(scores_of(company, mixed), named, with_frozen=False).trials == 0


@pytest.mark.parametrize("name", ["rater_effect", "severity", "residual", "adjusted_score", "z_grade"])
def test_a_column_of_effects_is_caught(name: str) -> None:
    plain = [("hr.fct_score", figure) for figure in bands.FIGURES]
    assert bands.inner_columns(plain).passed
    assert not bands.inner_columns([*plain, ("hr.fct_score", name)]).passed


def test_a_hidden_raters_effect_under_any_name_is_caught(company: Release) -> None:
    harmless = np.array([0.35, 1.2345, 4.75])
    window = (HALF_YEAR[0], HALF_YEAR[-1])
    inner = bands._inner(bands.behind(company.known, window))
    assert bands.inner_values({"a": harmless}, company.known, company.bands).passed
    for leak in (np.append(harmless, inner[7]), np.append(harmless, inner[:40].round(4))):
        assert not bands.inner_values({"a": harmless, "b": np.unique(leak)}, company.known, company.bands).passed


def test_a_company_that_agrees_is_no_error(company: Release) -> None:
    ratings = company.known.ratings.assign(score=5.0)
    told = company.bands.assign(band=INSUFFICIENT)
    same = weakened(company, bands=told, truth=replace(company.known, ratings=ratings))
    assert bands.owns(ratings) == {}
    assert bands.widths([same]).passed
    assert bands.inner_values({"a": np.array([0.1234])}, same.known, same.bands).passed
