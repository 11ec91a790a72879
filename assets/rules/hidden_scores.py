"""Bands of ratees from hidden ratings: told by half-year, and only if no single rater makes them.

Belongs here: which ratings a band of hidden scope rests on, who gets a row, what a band must withstand, what is said
with it. Does not belong here: the model (`scoring.py`), when a half-year is decided and what was decided before
(`hidden.py`).

HR reads these bands beside everything else: ratings of mode named_to_hr by name, blocks, pairs, rows without names. So

    scope           a rating that HR reads, or ever read, by name has no part in them, neither counted nor fitted; named
                    scores in turn rest on named ratings alone: nothing can be taken away from anything
    presence        a row needs k raters who are neither viewers nor named; that, and `INSUFFICIENT`, hangs on who rated
                    how often and when, never on what was said
    one rater       `ABOVE` and `BELOW` stand whatever any one of the ratee's raters had said, or if he had said nothing
    no proof        `BELOW` leaves room for a five of everybody, even to a reader who knows all other ratings of the
                    company and what one of the ratee's raters gave

A deviation from the average that does not withstand this is `NORMAL`, and so is one that vanishes without the pairs
that signals find suspicious; nobody is told which of these it was. Figures are never told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from assets.rules import scoring, signals
from assets.rules.obligations import FULFILLED, WAIVED
from assets.rules.scoring import ABOVE, BELOW, INSUFFICIENT, NORMAL, Evidence

UNNAMED = ("pseudonymous", "aggregate")
"""Modes whose ratings are shown to nobody by name, and may be summed up by ratee."""

MONTHS = 6

BAND_COLUMNS = ["ratee_id", "band", "explanation", "method_version"]

EXPLANATIONS = {
    ABOVE: "оценки за полугодие выше, чем у сопоставимых коллег, и этот вывод не держится на ком-то одном",
    NORMAL: "устойчивого отличия от сопоставимых коллег нет: оно невелико или держится на отдельных оценивших",
    BELOW: "оценки за полугодие ниже, чем у сопоставимых коллег, и этот вывод не держится на ком-то одном",
    INSUFFICIENT: "оценок, оценивших, месяцев с оценками или коллег для сравнения меньше, чем нужно для вывода",
}
"""What is said with a band, without a figure: the figures are those of people who were promised confidence."""


def bands(ratings: pd.DataFrame, expected: pd.DataFrame, k: int) -> pd.DataFrame:
    """Bands of a half-year.

    Args:
        ratings: counted ratings of the half-year in a mode of `UNNAMED` that nobody ever read by name; columns
            process_key, rating_id, period, rated_on, ratee_id, rater_id, score (1..5), is_viewer.
        expected: expected ratings of the same modes and months; columns ratee_id, status.
        k: fewest distinct raters, viewers not counted, behind a row.

    Returns:
        One row per ratee with enough raters, sorted by ratee_id; columns `BAND_COLUMNS`.
    """
    unseen = ratings[~ratings["is_viewer"].to_numpy(dtype=bool)]
    people = unseen.groupby("ratee_id")["rater_id"].nunique()
    shown = people.index[people.ge(k)]
    if shown.empty:
        return pd.DataFrame(columns=BAND_COLUMNS)
    fitted = scoring.fit(ratings)
    is_above, is_below = _withstood(ratings, fitted)
    flagged = signals.flagged_pairs(signals.find(ratings, fitted), fitted)
    if len(flagged):
        rest = scoring.fit(ratings, dropped=flagged)
        # Who has no ratings left is neither.
        place = np.searchsorted(fitted.ratees, rest.ratees)
        without = np.zeros((2, len(fitted.ratees)), dtype=bool)
        without[:, place] = _withstood(ratings, rest)
        is_above, is_below = is_above & without[0], is_below & without[1]
    is_enough = _is_enough(ratings, expected, fitted)
    told = np.select([~is_enough, is_above, is_below], [INSUFFICIENT, ABOVE, BELOW], NORMAL).tolist()
    rows = pd.DataFrame(
        {
            "ratee_id": fitted.ratees,
            "band": told,
            "explanation": [f"{band}: {EXPLANATIONS[band]}." for band in told],
            "method_version": scoring.METHOD_VERSION,
        }
    )
    return rows[rows["ratee_id"].isin(shown).to_numpy(dtype=bool)].reset_index(drop=True)


def _is_enough(ratings: pd.DataFrame, expected: pd.DataFrame, fitted: scoring.Fit) -> npt.NDArray[np.bool_]:
    """Whether there is enough to judge each ratee by: counts alone, not even whether scores differ at all."""
    least = Evidence()
    effective = ratings.groupby(["ratee_id", "rater_id"]).size().clip(upper=scoring.PAIR_CAP).groupby("ratee_id")
    months = ratings.groupby("ratee_id")["period"].nunique()
    asked = expected[expected["status"].ne(WAIVED).to_numpy(dtype=bool)]
    coverage = asked["status"].eq(FULFILLED).astype("float64").groupby(asked["ratee_id"]).mean()
    component = fitted.grade.component
    peers = np.bincount(component)[component]
    found = (
        effective.sum().ge(least.effective_ratings)
        & effective.size().ge(least.raters)
        & months.ge(least.months)
        & ~coverage.reindex(months.index).lt(least.coverage)
    )
    return np.asarray(found & (peers >= scoring.PEERS), dtype=bool)


def _withstood(ratings: pd.DataFrame, fitted: scoring.Fit) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Whether a ratee's effect would lie on the same side of the average whatever one of his raters did.

    The model is linear in the pairs' means once its variances and the grades of scores are given, so no rater has to be
    left out in turn: what a pair does to the effect of its ratee, and to its variance, is known
    (Cook and Weisberg 1982, Residuals and Influence, ch. 2.2).

    Returns:
        (who is above the mean of his component, who is below it), in the order of the fit's ratees.
    """
    grade, edges = fitted.grade, fitted.edges
    if not grade.residual_variance:
        nobody = np.zeros(len(fitted.ratees), dtype=bool)
        return nobody, nobody
    keys = ["rater_id", "ratee_id"]
    # A residual is grade minus fitted grade.
    residuals = ratings[keys].assign(residual=fitted.residuals).groupby(keys)["residual"].mean()
    apart = residuals.reindex(pd.MultiIndex.from_frame(edges[keys])).to_numpy(dtype="float64")
    mean = grade.fitted + apart
    low, high = _ends(ratings.loc[fitted.residuals.index, "score"])
    at = np.searchsorted(fitted.ratees, edges["ratee_id"].to_numpy(dtype="int64"))
    left = np.maximum(1 - grade.leverage, np.finfo(float).eps)
    without = grade.effect[at] - grade.influence * apart / left
    added = grade.influence**2 * grade.residual_variance / (grade.weight * left)
    deviation_without = scoring.Z * np.sqrt(grade.variance[at] + added)
    deviation = scoring.Z * np.sqrt(grade.variance)
    reach = pd.DataFrame(
        {
            "ratee": at,
            "down": grade.influence * (mean - low),
            "up": grade.influence * (high - mean),
            "span": grade.influence * (high - low),
            "least": without - deviation_without,
            "most": without + deviation_without,
            "deviation": deviation_without,
        }
    )
    of_ratee = reach.groupby("ratee")
    # Two fives and one more in place of any other score, all others at the lowest. It hangs on no score that was given,
    # or the band would tell by this very rule that somebody had not given a five.
    widest = reach.sort_values("span", ascending=False).groupby("ratee").head(3).groupby("ratee")["span"].sum()
    most_harmless = grade.effect - of_ratee["down"].sum() + widest + of_ratee["deviation"].max()
    is_above = (grade.effect - of_ratee["down"].max() - deviation > 0) & of_ratee["least"].min().gt(0)
    is_below = (
        (grade.effect + of_ratee["up"].max() + deviation < 0) & of_ratee["most"].max().lt(0) & most_harmless.lt(0)
    )
    return np.asarray(is_above, dtype=bool), np.asarray(is_below, dtype=bool)


def _ends(scores: pd.Series[float]) -> tuple[float, float]:
    """Grades of the lowest and the highest score that can be given, whether or not anybody did."""
    ends = []
    for score in (1, scoring.FIVE):
        share = max(int(scores.eq(score).sum()), 1) / len(scores)
        ends.append(float(stats.norm.pdf(stats.norm.ppf(share)) / share))
    return -ends[0], ends[1]


def months_of(half_year: date) -> list[date]:
    """First days of a half-year's months."""
    return [date(half_year.year, half_year.month + step, 1) for step in range(MONTHS)]


def complete_half_years(closed: Iterable[Collection[date]]) -> set[date]:
    """First days of calendar half-years all of whose months are closed in every process."""
    processes = [set(months) for months in closed]
    months = set.intersection(*processes) if processes else set()
    starts = {date(month.year, 1 if month.month <= MONTHS else 1 + MONTHS, 1) for month in months}
    return {start for start in starts if months.issuperset(months_of(start))}
