"""Attacks on recommendations: what a band of hidden ratings tells, and what stands beside it.

Belongs here: A15 of the suite but for the rounding of blocks (`numeric.py`). Does not belong here: how a band is
decided.

The model is solved again, the long way: one dense matrix over all pairs of people. Only its variances are taken from
the product. The adversary is granted them, the grades of scores, and every hidden rating of the company but those of
the ratee; of these he knows what one rater gave.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from scipy.stats import norm

from assets.rules import scoring
from assets.rules.mixed_model import Floats
from assets.rules.scoring import ABOVE, BANDS, BELOW, INSUFFICIENT
from pipelines.audit.evidence import K, Release, Result, Truth, all_looked_at, ordinal, ordinals

UNNAMED = ("pseudonymous", "aggregate")
"""Modes that a hidden band may rest on."""
STEP = 0.25
"""Least width of the means that fit a band: the rounding step of blocks."""
ROUNDED = 6e-5
"""Published figures have four digits."""
FEW = 5
"""So many values of a column may be those of hidden effects by chance."""

FIGURES = [
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
]

INNER = r"severity|lenien|strict|residual|effect(?!ive)|deviation|influence|leverage|z_five|z_grade|adjusted_score|^z$"
"""Names of numbers that tell how a rater rates."""


@dataclass(frozen=True)
class Own:
    """What the ratings of one ratee do to his effect, all others being as they are.

    Attributes:
        raters: who rated him.
        grades: mean grade that each gave.
        scores: mean score that each gave.
        ratings: how many ratings each gave.
        rest: his effect if all his grades were 0.
        gain: change of his effect per grade of each rater.
        inside: precision matrix of his pairs, the mean of the component and the effects of raters being unknown.
        outside: its product with everybody else's grades.
        variance: prediction error variance of his effect.
        ends: grades of a one and of a five.
    """

    raters: list[int]
    grades: Floats
    scores: Floats
    ratings: Floats
    rest: float
    gain: Floats
    inside: Floats
    outside: Floats
    variance: float
    ends: tuple[float, float]

    def side(self, grades: Floats, without: int | None = None) -> int:
        """1 if the ratee would be above the mean, -1 below, else 0.

        Args:
            grades: what his raters gave.
            without: a rater who is left out.
        """
        effect, variance = self.rest + self.gain @ grades, self.variance
        if without is not None:
            gain, precision = self.gain[without], self.inside[without, without]
            effect -= gain * (self.inside[without] @ grades + self.outside[without]) / precision
            variance += gain**2 / precision
        deviation = scoring.Z * np.sqrt(variance)
        return int(effect - deviation > 0) - int(effect + deviation < 0)

    def others(self, grades: Floats) -> Iterator[tuple[int, int]]:
        """Sides if one rater had given ones, had given fives, or had not rated: (rater, side)."""
        for place in range(len(grades)):
            for end in self.ends:
                changed = grades.copy()
                changed[place] = end
                yield place, self.side(changed)
            yield place, self.side(grades, without=place)

    def told(self, grades: Floats) -> int:
        """The side that a band may tell."""
        side = self.side(grades)
        return side if all(other == side for _, other in self.others(grades)) else 0

    def has_room(self, harmless: int, known: int) -> bool:
        """Whether a band below the mean still fits if one rater gave fives and another what he gave."""
        grades = np.full(len(self.grades), self.ends[0])
        grades[known] = self.grades[known]
        grades[harmless] = self.ends[1]
        return self.told(grades) == -1


def owns(rows: pd.DataFrame) -> dict[int, Own]:
    """Solves the model for the ratings of a half-year.

    Args:
        rows: ratee_id, rater_id, score.

    Returns:
        By ratee.
    """
    solved = _solved(rows)
    if solved is None:
        return {}
    counts = {score: max(int(rows["score"].eq(score).sum()), 1) / len(rows) for score in (1, 5)}
    tails = {score: float(norm.pdf(norm.ppf(share)) / share) for score, share in counts.items()}
    found = {}
    ratees = solved.pairs["ratee_id"].to_numpy(dtype="int64")
    for ratee in np.unique(ratees).tolist():
        places = np.flatnonzero(ratees == ratee)
        gains = solved.ratee_variance * solved.precision[places].sum(axis=0)
        inside = solved.precision[np.ix_(places, places)]
        own = solved.pairs.iloc[places]
        grades = own["grade"].to_numpy(dtype="float64")
        product = solved.precision[places] @ solved.pairs["grade"].to_numpy(dtype="float64")
        found[ratee] = Own(
            raters=own["rater_id"].tolist(),
            grades=grades,
            scores=own["score"].to_numpy(dtype="float64"),
            ratings=own["ratings"].to_numpy(dtype="float64"),
            rest=float(solved.ratee_variance * product.sum() - gains[places] @ grades),
            gain=gains[places],
            inside=inside,
            outside=product - inside @ grades,
            variance=float(solved.ratee_variance * (1 - gains[places].sum())),
            ends=(-tails[1], tails[5]),
        )
    return found


@dataclass(frozen=True)
class _Solved:
    pairs: pd.DataFrame
    precision: Floats
    ratee_variance: float
    rater_variance: float


def _solved(rows: pd.DataFrame) -> _Solved | None:
    """The dense model y ~ N(X mu, V) with V^-1 (I - X (X' V^-1 X)^-1 X' V^-1), or None if scores do not differ."""
    fitted = scoring.fit(rows)
    chance, ratios = fitted.grade.residual_variance, fitted.grade.ratios
    if not chance:
        return None
    shares = rows["score"].value_counts(normalize=True).sort_index()
    quantiles = norm.ppf(np.concatenate([[0.0], shares.cumsum().to_numpy(dtype="float64").clip(max=1.0)]))
    grade = dict(zip(shares.index, -np.diff(norm.pdf(quantiles)) / shares, strict=True))
    pairs = (
        rows.assign(grade=rows["score"].map(grade))
        .groupby(["ratee_id", "rater_id"])
        .agg(grade=("grade", "mean"), score=("score", "mean"), ratings=("score", "size"))
        .reset_index()
    )
    ratee, rater = (
        pairs[name].to_numpy()[:, None] == pairs[name].to_numpy()[None, :] for name in ("ratee_id", "rater_id")
    )
    variance = chance * (ratios.ratee * ratee + ratios.rater * rater).astype("float64")
    weight = np.minimum(pairs["ratings"].to_numpy(dtype="float64"), scoring.PAIR_CAP)
    variance[np.diag_indices(len(pairs))] += chance * (ratios.pair + 1 / weight)
    inverse = np.linalg.inv(variance)
    component = dict(zip(fitted.ratees.tolist(), fitted.grade.component.tolist(), strict=True))
    numbers = pairs["ratee_id"].map(component).to_numpy(dtype="int64")
    means = np.eye(int(numbers.max()) + 1)[numbers]
    through = inverse @ means
    precision = inverse - through @ np.linalg.inv(means.T @ through) @ through.T
    return _Solved(pairs, precision, chance * ratios.ratee, chance * ratios.rater)


def behind(truth: Truth, window: tuple[date, date]) -> pd.DataFrame:
    """The ratings that a half-year rests on, in the versions that were current when it closed."""
    rows = truth.ratings
    first, last = map(ordinal, window)
    month = ordinals(rows["period"])
    found: pd.DataFrame = rows[
        rows["mode"].isin(UNNAMED).to_numpy(dtype=bool)
        & rows["is_counted"].to_numpy(dtype=bool)
        & (month >= first)
        & (month <= last)
        & rows["since"].le(last).to_numpy(dtype=bool)
        & rows["until"].gt(last).to_numpy(dtype=bool)
    ]
    return found


def _windows(release: Release) -> Iterator[tuple[pd.DataFrame, pd.DataFrame]]:
    for window in windows_of(release.bands):
        yield _within(release.bands, window), behind(release.known, window)


def windows_of(rows: pd.DataFrame) -> list[tuple[date, date]]:
    """The half-years of a list, oldest first."""
    return sorted(set(zip(rows["window_from"], rows["window_to"], strict=True)))


def _within(rows: pd.DataFrame, window: tuple[date, date]) -> pd.DataFrame:
    first, last = window
    return rows[(rows["window_from"].eq(first) & rows["window_to"].eq(last)).to_numpy(dtype=bool)]


def one_rater(releases: Sequence[Release]) -> Result:
    """A15b: a band that one rater makes: with other scores of his, or none, it would not stand.

    A trial is a rater behind a band that says more than "as the others".
    """
    found = tried = 0
    for release in releases:
        for bands, rows in _windows(release):
            of = owns(rows)
            for ratee, band in _telling(bands):
                side = 1 if band == ABOVE else -1
                own = of.get(ratee)
                deciding = set() if own is None else {place for place, other in own.others(own.grades) if other != side}
                found += len(deciding) if own else 1
                tried += len(own.raters) if own else 1
    return all_looked_at("A15b one rater", found, tried, "raters without whose scores a band would not stand")


def proofs(releases: Sequence[Release]) -> Result:
    """A15c: a band that proves that somebody gave less than five, to a reader who knows what another one gave."""
    found = tried = 0
    for release in releases:
        for bands, rows in _windows(release):
            of = owns(rows)
            for ratee, band in _telling(bands):
                if band != BELOW or ratee not in of:
                    continue
                people = range(len(of[ratee].raters))
                rooms = [of[ratee].has_room(one, other) for one in people for other in people if one != other]
                found += rooms.count(False)
                tried += len(rooms)
    return all_looked_at("A15c proof", found, tried, "raters proved to have given less than five, with one colluder")


def widths(releases: Sequence[Release]) -> Result:
    """A15a: a payslip by formula of the band: which means of the ratee's hidden ratings fit it?

    Shown are means that fit, by some raters at one and the others at five; a trial is a band. Who has too few ratings
    has a band that fits every mean.
    """
    found = tried = 0
    for release in releases:
        for bands, rows in _windows(release):
            of = owns(rows)
            for ratee, band in zip(bands["ratee_id"], bands["band"], strict=True):
                tried += 1
                if band not in BANDS:
                    found += 1
                elif band != INSUFFICIENT and ratee in of:
                    means = _fitting(of[ratee], {ABOVE: 1, BELOW: -1}.get(band, 0))
                    found += max(means) - min(means) < STEP
    return all_looked_at("A15a bonus by band", found, tried, "bands that only means closer than a step fit")


def _telling(bands: pd.DataFrame) -> Iterator[tuple[int, str]]:
    for ratee, band in zip(bands["ratee_id"].tolist(), bands["band"].tolist(), strict=True):
        if band in {ABOVE, BELOW}:
            yield ratee, band


def _fitting(own: Own, side: int) -> list[float]:
    """Means of all ratings that fit a side: the true one, and those of fives by some raters and ones by the rest."""
    means = [float(np.average(own.scores, weights=own.ratings))]
    # Ones of those who rated most move the mean farthest, as a band counts few ratings of each.
    order = np.argsort(own.ratings, kind="stable")
    for places in (order, order[::-1]):
        for fives in range(len(order) + 1):
            is_five = np.zeros(len(order), dtype=bool)
            is_five[places[:fives]] = True
            if own.told(np.where(is_five, own.ends[1], own.ends[0])) == side:
                means.append(float(np.average(np.where(is_five, 5.0, 1.0), weights=own.ratings)))
    return means


def rows_of_bands(releases: Sequence[Release]) -> Result:
    """A15d: bands of half-years that overlap, or behind which fewer unnamed raters stand than promised."""
    found = tried = 0
    for release in releases:
        found += overlapping(release.bands)
        for bands, rows in _windows(release):
            raters = rows[~rows["is_viewer"].to_numpy(dtype=bool)].groupby("ratee_id")["rater_id"].nunique()
            found += int((raters.reindex(bands["ratee_id"]).fillna(0) < K[release.profile]).sum())
            tried += len(bands)
    return all_looked_at("A15d small bands", found, tried, "bands with too few raters, or whose half-years overlap")


def overlapping(bands: pd.DataFrame) -> int:
    """How many bands of a ratee begin before his last one has ended."""
    listed = bands.sort_values(["ratee_id", "window_from"])
    before = listed.groupby("ratee_id")["window_to"].shift()
    return sum(pd.notna(last) and first <= last for first, last in zip(listed["window_from"], before, strict=True))


def figures(scores: pd.DataFrame) -> Result:
    """A15e: figures beside hidden bands, and half-years of them that overlap.

    Args:
        scores: `hr.fct_score`.
    """
    hidden = scores[scores["scope"].eq("hidden").to_numpy(dtype=bool)]
    found = int(hidden[FIGURES].notna().any(axis=1).sum()) + overlapping(hidden)
    return all_looked_at("A15e figures", found, len(hidden), "hidden bands with a figure, or in overlapping half-years")


def named_figures(scores: pd.DataFrame, ratings: pd.DataFrame, *, with_frozen: bool) -> Result:
    """A15f: a named figure that is not made of named ratings alone.

    Args:
        scores: `hr.fct_score`.
        ratings: counted rows of `hr.fct_rating`: ratee_id, rater_id, period, score.
        with_frozen: whether frozen half-years are looked at: later edits change ratings and not them.
    """
    named = scores[scores["scope"].eq("named").to_numpy(dtype=bool) & scores["ratings"].notna().to_numpy(dtype=bool)]
    named = named if with_frozen else named[~named["is_frozen"].to_numpy(dtype=bool)]
    found = 0
    for first, last in windows_of(named):
        rows = _within(named, (first, last))
        own = ratings[ratings["period"].between(first, last).to_numpy(dtype=bool)].groupby("ratee_id")
        again = pd.DataFrame(
            {
                "ratings": own.size(),
                "raters": own["rater_id"].nunique(),
                "months": own["period"].nunique(),
                "mean_score": own["score"].mean(),
                "share_of_fives": own["score"].agg(lambda given: given.eq(5).mean()),
            }
        ).reindex(rows["ratee_id"])
        told = rows.set_index("ratee_id")[again.columns].astype("float64")
        found += int((~(told - again).abs().lt(ROUNDED)).any(axis=1).sum())
    return all_looked_at("A15f named figures", found, len(named), "named figures that named ratings do not make")


def inner_columns(columns: Sequence[tuple[str, str]]) -> Result:
    """A15g: published numbers whose name says that they are effects of raters or residuals.

    Args:
        columns: (table, name) of every column of numbers.
    """
    names = pd.Series([name for _, name in columns], dtype="str")
    return all_looked_at("A15g inner columns", int(names.str.contains(INNER).sum()), len(names), "columns of effects")


def inner_values(values: Mapping[str, Floats], truth: Truth, bands: pd.DataFrame) -> Result:
    """A15h: published numbers that are a hidden rater's effect, a residual or an adjusted score.

    Args:
        values: distinct published values by column of fractions.
        truth: what the hidden ratings say.
        bands: hidden bands, by whose half-years the model is solved.
    """
    found = tried = 0
    for window in windows_of(bands):
        inner = np.sort(_inner(behind(truth, window)))
        if not len(inner):
            continue
        for published in values.values():
            # Steps of a twentieth are what hidden scope publishes; an effect is there by chance.
            odd = published[np.abs(published * 20 - np.round(published * 20)) > 1e-6]
            gap = np.abs(inner[np.searchsorted(inner, odd).clip(max=len(inner) - 1)] - odd)
            gap = np.minimum(gap, np.abs(inner[(np.searchsorted(inner, odd) - 1).clip(min=0)] - odd))
            found += int((gap < 1e-9).sum())
            rounded = int((gap < ROUNDED).sum())
            found += rounded if rounded > max(FEW, len(odd) / 2) else 0
            tried += len(odd)
    return all_looked_at("A15h inner values", found, tried, "published numbers that are effects of hidden raters")


def _inner(rows: pd.DataFrame) -> Floats:
    solved = _solved(rows)
    if solved is None:
        return np.zeros(0)
    given = solved.pairs["grade"].to_numpy(dtype="float64")
    product = pd.Series(solved.precision @ given)
    effects = solved.rater_variance * product.groupby(solved.pairs["rater_id"]).sum()
    of_ratee = solved.ratee_variance * product.groupby(solved.pairs["ratee_id"]).sum()
    lenience = solved.pairs["rater_id"].map(effects).to_numpy(dtype="float64")
    apart = given - lenience - solved.pairs["ratee_id"].map(of_ratee).to_numpy(dtype="float64")
    scores = solved.pairs["score"].to_numpy(dtype="float64")
    return np.concatenate([effects.to_numpy(dtype="float64"), given - lenience, apart, scores - lenience])
