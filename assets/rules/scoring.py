"""What a ratee's ratings say about him, whoever happened to rate him: adjusted share of fives, interval, band.

Belongs here: the response, weights of pairs, the evidence that a band needs, bands and their explanation. Does not
belong here: the equations (`mixed_model.py`), what is suspicious (`signals.py`), windows and what is published of which
scope (`assets/scores.py`, `hidden_scores.py`).

A plain mean rewards whoever has lenient raters. So scores are explained by ratee, rater and pair at once, and
what is told is the share of fives that the ratee would get from raters of all kinds.

    1. A linear model of the grades (expected normal values of the scores) gives the variances, by REML
       (`mixed_model.py`).
    2. The graded response model with these variances gives everybody's place (`graded_response.py`).
    3. Pairs that differ from everybody else's judgement weigh less (`mixed_model.doubted`), in one more step.
    4. Bounds come from the prediction error variance and from how lopsided the evidence is.

Hidden ratings get a band by the linear model alone (`hidden_scores.py`): only there it can be proved that no single
rater decides it.

Raters' effects and residuals stay inside: score minus adjusted score is the rater's severity, and with it his name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from assets.rules import graded_response, mixed_model
from assets.rules.graded_response import Graded
from assets.rules.mixed_model import Floats, Pairs, Ratios, Solution
from assets.rules.wording_ru import counted

METHOD_VERSION = "graded-1"
"""Name of this rule set, stamped on every score."""

ABOVE, NORMAL, BELOW, INSUFFICIENT = "Стабильно выше", "В норме", "Стабильно ниже", "Недостаточно данных"
BANDS = (ABOVE, NORMAL, BELOW, INSUFFICIENT)

FIVE = 5
PAIR_CAP = 3
"""So many ratings of a pair count in a window; if there are more, they share this weight. Otherwise one friend who
sends a task a day would outweigh everybody else."""

DOUBT = 8.0
"""Degrees of freedom of pair effects: a pair three deviations off counts for about half."""

Z = 1.645
"""Bounds of a two-sided interval of 90 %: each bound by itself holds with 95 %."""

PEERS = 5
"""Fewest ratees of a component: with fewer there is nobody to compare with."""

SCORE_COLUMNS = [
    "ratee_id",
    "ratings",
    "raters",
    "months",
    "effective_ratings",
    "coverage",
    "mean_score",
    "share_of_fives",
    "adjusted_share",
    "lower_bound",
    "upper_bound",
    "sensitivity_share",
    "sensitivity_band",
    "component",
    "component_share",
    "band",
    "explanation",
]


@dataclass(frozen=True)
class Evidence:
    """The least that a band other than `INSUFFICIENT` rests on.

    Attributes:
        effective_ratings: ratings, no more than `PAIR_CAP` per rater.
        raters: distinct raters.
        months: months with ratings.
        coverage: share of the expected ratings that were given, if it is known.
    """

    effective_ratings: float = 8.0
    raters: int = 4
    months: int = 3
    coverage: float = 0.6


@dataclass(frozen=True)
class Fit:
    """The model fitted to the ratings of a window; never published.

    Attributes:
        ratees: ids, sorted; the order of effects.
        raters: ids, sorted.
        five: the model of "five or not".
        grade: the model of the score's grade.
        edges: one row per pair: rater_id, ratee_id, ratings, fives, mean_score, and z_five, z_grade: how far its mean
            lies from what all other ratings foretell, in standard deviations of that forecast.
        expected: share of fives that the model foretells each pair of `edges`, 0..1.
        residuals: grade minus fitted grade of each rating, by the index of the ratings.
    """

    ratees: npt.NDArray[np.int64]
    raters: npt.NDArray[np.int64]
    five: Solution
    grade: Solution
    edges: pd.DataFrame
    expected: Floats
    residuals: pd.Series


def fit(ratings: pd.DataFrame, *, dropped: pd.DataFrame | None = None) -> Fit:
    """Fits both models, every pair at its full weight.

    Args:
        ratings: counted ratings of one window; columns ratee_id, rater_id, score (1..5). A rating without a score is
            left out.
        dropped: pairs to leave out; columns rater_id, ratee_id.
    """
    window = _Window.of(ratings, dropped)
    five = mixed_model.fit(window.five)
    grade = mixed_model.fit(window.grade)
    edges = pd.DataFrame(
        {
            "rater_id": window.raters[window.five.rater],
            "ratee_id": window.ratees[window.five.ratee],
            "ratings": window.size,
            "fives": np.rint(window.five.mean * window.size).astype("int64"),
            "mean_score": np.bincount(window.pair, window.score, minlength=len(window.size)) / window.size,
            "z_five": mixed_model.deviations(window.five, five),
            "z_grade": mixed_model.deviations(window.grade, grade),
        }
    )
    residuals = pd.Series(window.grades - grade.fitted[window.pair], window.index, dtype="float64")
    return Fit(window.ratees, window.raters, five, grade, edges, np.clip(five.fitted, 0.0, 1.0), residuals)


@dataclass(frozen=True)
class _Window:
    """The ratings of a window as the model takes them."""

    ratees: npt.NDArray[np.int64]
    raters: npt.NDArray[np.int64]
    pair: npt.NDArray[np.int64]
    """Place of each rating's pair."""
    size: npt.NDArray[np.int64]
    """Ratings of each pair."""
    weight: Floats
    score: Floats
    grades: Floats
    five: Pairs
    grade: Pairs
    rows: pd.DataFrame
    index: pd.Index

    @classmethod
    def of(cls, ratings: pd.DataFrame, dropped: pd.DataFrame | None) -> _Window:
        rows = ratings[ratings["score"].notna().to_numpy(dtype=bool)]
        if dropped is not None and not dropped.empty:
            pairs = pd.MultiIndex.from_frame(rows[["rater_id", "ratee_id"]])
            rows = rows[~pairs.isin(pd.MultiIndex.from_frame(dropped[["rater_id", "ratee_id"]]))]
        ratees, ratee = np.unique(rows["ratee_id"].to_numpy(dtype="int64"), return_inverse=True)
        raters, rater = np.unique(rows["rater_id"].to_numpy(dtype="int64"), return_inverse=True)
        _, pair, size = np.unique(ratee * max(len(raters), 1) + rater, return_inverse=True, return_counts=True)
        score = rows["score"].to_numpy(dtype="float64")
        weight = np.minimum(1.0, PAIR_CAP / size[pair])
        _, grades = graded_response.grades(score)
        return cls(
            ratees=ratees,
            raters=raters,
            pair=pair,
            size=size,
            weight=weight,
            score=score,
            grades=grades,
            five=Pairs.of(ratee, rater, (score == FIVE).astype("float64"), weight),
            grade=Pairs.of(ratee, rater, grades, weight),
            rows=rows,
            index=rows.index,
        )


def score(
    ratings: pd.DataFrame,
    *,
    fitted: Fit | None = None,
    flagged: pd.DataFrame | None = None,
    coverage: pd.DataFrame | None = None,
    evidence: Evidence | None = None,
) -> pd.DataFrame:
    """Scores all ratees of a window.

    Args:
        ratings: counted ratings of one window; columns ratee_id, rater_id, period (first of month), score (1..5).
        fitted: what `fit` made of the same ratings, where it is at hand: half of the work.
        flagged: suspicious pairs, which the sensitivity score leaves out; columns rater_id, ratee_id. Whoever is in one
            that is flagged both ways is not recommended.
        coverage: columns ratee_id, coverage (0..1, NaN if it is not known).
        evidence: the least that a band rests on.

    Returns:
        One row per ratee, sorted by ratee_id; columns `SCORE_COLUMNS`, shares 0..1.
    """
    evidence = evidence or Evidence()
    window = _Window.of(ratings, None)
    grade = fitted.grade if fitted else mixed_model.fit(window.grade)
    main = _scored(window, grade, None, coverage, evidence)
    rows = main.rows
    beside = rows
    if flagged is not None and not flagged.empty and not rows.empty:
        # With the same variances: they are the company's, and the band shall differ by the pairs alone.
        left = _Window.of(ratings, flagged)
        beside = _scored(left, mixed_model.fit(left.grade, grade.ratios), main.ratios, coverage, evidence).rows
    without = beside.set_index("ratee_id").reindex(rows["ratee_id"])
    rows = rows.assign(
        sensitivity_share=without["adjusted_share"].to_numpy(dtype="float64"),
        sensitivity_band=without["band"].fillna(INSUFFICIENT).to_numpy(dtype="object"),
    )
    is_mutual = rows["ratee_id"].isin(_mutual(flagged)) & rows["band"].eq(ABOVE)
    differs = rows["band"].isin([ABOVE, BELOW]) & rows["band"].ne(rows["sensitivity_band"])
    rows["withheld"] = np.select([is_mutual, differs], ["mutual", "differs"], "")
    rows["band"] = rows["band"].mask(rows["withheld"].ne(""), NORMAL)
    told = [_explanation(row, evidence) for row in rows.to_dict("records")]
    rows["explanation"] = pd.Series(told, rows.index, dtype="object")
    return rows[SCORE_COLUMNS].reset_index(drop=True)


def _mutual(flagged: pd.DataFrame | None) -> list[int]:
    """People of pairs that are flagged both ways: whoever trades fives is not recommended until HR has looked at it."""
    if flagged is None:
        return []
    back = flagged.rename(columns={"rater_id": "ratee_id", "ratee_id": "rater_id"})
    return flagged.merge(back, on=["rater_id", "ratee_id"])["ratee_id"].unique().tolist()


@dataclass(frozen=True)
class _Scored:
    rows: pd.DataFrame
    ratios: Ratios | None
    """Of satisfaction."""


def _scored(
    window: _Window,
    grade: Solution,
    ratios: Ratios | None,
    coverage: pd.DataFrame | None,
    evidence: Evidence,
) -> _Scored:
    places = len(window.ratees)
    is_five = window.score == FIVE
    # If all scores are the same, or none is a five, so is the share of fives that could be told of anybody.
    differs = grade.residual_variance > 0 and bool(is_five.any())
    share: Floats = np.full(places, is_five.mean() if places else np.nan)
    low = high = typical = share
    is_above = is_below = np.zeros(places, dtype=bool)
    if differs:
        ratios = ratios or graded_response.from_grades(grade, float(window.grades.var()))
        graded = graded_response.fit(window.five, window.pair, window.score, window.weight, ratios)
        ratios = graded.solution.ratios
        effect, least, most = _bounds(graded)
        share, low, high, typical = (
            graded_response.share_of_fives(graded, at) for at in (effect, least, most, np.zeros(places))
        )
        is_above, is_below = least > 0, most < 0
    groups = window.rows.groupby("ratee_id", sort=True)
    rows = pd.DataFrame(
        {
            "ratee_id": window.ratees,
            "ratings": groups.size().to_numpy(dtype="int64"),
            "raters": np.bincount(window.five.ratee, minlength=places),
            "months": groups["period"].nunique().to_numpy(dtype="int64"),
            # Shares of the cap add up to whole numbers only nearly.
            "effective_ratings": np.bincount(window.five.ratee, window.five.weight, places).round(6),
            "coverage": _coverage(window.ratees, coverage),
            "mean_score": groups["score"].mean().to_numpy(dtype="float64"),
            "share_of_fives": window.rows["score"].eq(FIVE).groupby(window.rows["ratee_id"]).mean().to_numpy("float64"),
            "adjusted_share": share,
            "lower_bound": low,
            "upper_bound": high,
            "component": grade.component,
            "component_share": typical,
            "peers": np.bincount(grade.component, minlength=1)[grade.component],
        }
    )
    is_enough = (
        rows["effective_ratings"].ge(evidence.effective_ratings)
        & rows["raters"].ge(evidence.raters)
        & rows["months"].ge(evidence.months)
        & ~rows["coverage"].lt(evidence.coverage)
        & rows["peers"].ge(PEERS)
        & differs
    ).to_numpy(dtype=bool)
    rows["band"] = np.select([~is_enough, is_above, is_below], [INSUFFICIENT, ABOVE, BELOW], NORMAL).astype("object")
    return _Scored(rows, ratios)


def _bounds(graded: Graded) -> tuple[Floats, Floats, Floats]:
    """Effects and their bounds: of the doubted pairs, corrected for how lopsided the evidence is.

    Somebody with nothing but fives may be much better than he seems and hardly worse. The third derivative of the
    likelihood moves mean and quantiles accordingly (Rue, Martino and Chopin 2009, J. R. Stat. Soc. B 71:319, 3.2.3;
    Cornish and Fisher 1938).
    """
    doubted = mixed_model.doubted(graded.pairs, graded.solution, DOUBT)
    found = mixed_model.fit(doubted, graded.solution.ratios, chance=1.0)
    deviation = np.sqrt(found.variance)
    # Covariance of each pair's satisfaction with the effect of its ratee, in standard deviations of the latter.
    along = found.influence / found.weight / deviation[doubted.ratee]
    third = graded.third * doubted.weight / graded.pairs.weight
    skew = np.bincount(doubted.ratee, third * along**3, len(deviation)).clip(-1.0, 1.0)
    mean = found.effect + deviation * skew / 2
    lift = deviation * skew * (Z**2 - 1) / 6
    return mean, mean + lift - Z * deviation, mean + lift + Z * deviation


def _coverage(ratees: npt.NDArray[np.int64], coverage: pd.DataFrame | None) -> Floats:
    if coverage is None:
        return np.full(len(ratees), np.nan)
    return coverage.set_index("ratee_id")["coverage"].reindex(ratees).to_numpy(dtype="float64")


# --- what people are told -----------------------------------------------------------------------------------------


def _explanation(row: Mapping[Any, Any], evidence: Evidence) -> str:
    """One Russian sentence that a committee can read out, with its figures."""
    ratings, raters, months = row["ratings"], row["raters"], row["months"]
    basis = (
        f"{counted(ratings, 'оценка', 'оценки', 'оценок')} от {counted(raters, 'коллеги', 'коллег', 'коллег')} "
        f"за {counted(months, 'месяц', 'месяца', 'месяцев')}"
    )
    if row["band"] == INSUFFICIENT:
        return f"{INSUFFICIENT}: {basis}; {_lacking(row, evidence)}."
    share, low, high, others = (
        _percent(row[name]) for name in ("adjusted_share", "lower_bound", "upper_bound", "component_share")
    )
    told = (
        f"доля пятёрок с поправкой на строгость оценивающих {share} (с вероятностью 90 % от {low} до {high}), "
        f"у типичного из сопоставимых коллег {others}; {basis}"
    )
    if row["withheld"] == "mutual":
        told += "; много взаимных пятёрок с одним из коллег, поэтому рекомендации нет: решает комитет"
    elif row["withheld"]:
        beside = row["sensitivity_band"]
        told += f"; без пар, отмеченных сигналами, вывод был бы другим («{beside}»), поэтому рекомендации нет"
    return f"{row['band']}: {told}."


def _lacking(row: Mapping[Any, Any], evidence: Evidence) -> str:
    """What of the evidence rule does not hold."""
    told = []
    effective = row["effective_ratings"]
    if effective < evidence.effective_ratings:
        told.append(f"не меньше {evidence.effective_ratings:.0f} оценок (не больше {PAIR_CAP} от одного коллеги)")
    if row["raters"] < evidence.raters:
        told.append(f"не меньше {evidence.raters} оценивших")
    if row["months"] < evidence.months:
        told.append(f"оценки не меньше чем за {counted(evidence.months, 'месяц', 'месяца', 'месяцев')}")
    if row["coverage"] < evidence.coverage:
        told.append(f"охват не ниже {_percent(evidence.coverage)} (сейчас {_percent(row['coverage'])})")
    if told:
        return f"нужно: {', '.join(told)}"
    if row["peers"] < PEERS:
        return f"сравнить не с кем: нужно не меньше {PEERS} коллег, связанных общими оценивающими"
    return "оценки не различаются, сравнивать нечего"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
