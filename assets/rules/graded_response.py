"""Scores as cuts of a hidden satisfaction: the graded response model with ratee, rater and pair.

Belongs here: cuts, likelihood of a score and its derivatives, finding everybody's place. Does not belong here: the
linear equations it rests on (`mixed_model.py`), windows, bands (`scoring.py`).

    satisfaction = mu[component] + a[ratee] + b[rater] + c[ratee, rater] + e,   e ~ N(0, 1)
    score = 1 + number of cuts below it

This is Samejima's model (1969, Psychometrika Monograph 17) with a facet for raters (Linacre 1989, Many-Facet Rasch
Measurement) and a normal curve. A linear model takes a five from somebody who gives everybody a five for as good a
testimony as a five from somebody strict; here each rating weighs as much as it can tell.

Places are those of greatest penalised likelihood, found by scoring steps, each of them a linear mixed model (Schall
1991, Biometrika 78:719). Estimating variances by the same steps is known to shrink them (Breslow and Lin 1995,
Biometrika 82:81), so they are taken from a linear model of the grades, see `from_grades`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri
from scipy.stats import norm

from assets.rules import mixed_model
from assets.rules.mixed_model import Floats, Ints, Pairs, Ratios, Solution

STEPS = 30
PAIR_STEP = 3
"""The step at which the variance of pairs is estimated: the first are too far from everybody's place."""
NEAR = 1e-6
"""Steps end when no satisfaction moves farther."""

LEAST_INFORMATION = 0.02
"""Least weight of a rating: one that is a five for certain tells nothing, but it must not be divided by nothing."""
LEAST_CHANCE = 0.2
"""Least share of chance in the variance of satisfaction, for companies too small to estimate it."""
TINY = 1e-12


@dataclass(frozen=True)
class Graded:
    """Everybody's place.

    Attributes:
        solution: the linear model of the last step: effects, their variances, all in units of chance.
        pairs: what it was fitted to.
        cuts: thresholds of satisfaction between the scores that occur, ascending.
        third: third derivative of the log likelihood, summed up by pair: where evidence is lopsided.
        spread: standard deviation of satisfaction over raters and chance, for one ratee.
    """

    solution: Solution
    pairs: Pairs
    cuts: Floats
    third: Floats
    spread: float


def grades(score: Floats) -> tuple[Floats, Floats]:
    """What a normal variable is on average between the two cuts that the share of a score makes.

    Args:
        score: scores, one per rating.

    Returns:
        (the grade of each score that occurs, ascending; the grade of each rating), mean 0.
    """
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    shares = counts / max(len(score), 1)
    density = norm.pdf(ndtri(np.concatenate([[0.0], np.cumsum(shares)]).clip(0.0, 1.0)))
    scale: Floats = -np.diff(density) / shares
    return scale, scale[place]


def from_grades(found: Solution, variance: float) -> Ratios:
    """Variances of satisfaction in units of chance, from those of the grades.

    Grades are a coarse copy of satisfaction. The covariance of two copies is that of the originals times the square of
    the copy's variance (first term of the tetrachoric series, Pearson 1900; the copy's covariance with its original is
    its own variance). The pair's variance is not taken over: of the grades' most is coarseness.

    Args:
        found: the linear model of the grades.
        variance: the variance of the grades, > 0.
    """
    ratee, rater = (ratio * found.residual_variance / variance**2 for ratio in (found.ratios.ratee, found.ratios.rater))
    chance = max(LEAST_CHANCE, 1 - ratee - rater)
    return Ratios(ratee / chance, rater / chance, TINY)


def fit(pairs: Pairs, place: Ints, score: Floats, weight: Floats, ratios: Ratios) -> Graded:
    """Finds everybody's place for given variances of ratees and raters.

    Args:
        pairs: the ratings by pair; only who rated whom is taken from it.
        place: pair of each rating.
        score: scores of the ratings, of at least two kinds.
        weight: weights of the ratings, > 0.
        ratios: variances of satisfaction in units of chance; that of pairs is estimated if it is `TINY`.
    """
    _, level = np.unique(score, return_inverse=True)
    satisfaction = np.zeros(len(score))
    cuts = ndtri(np.cumsum(np.bincount(level, weight))[:-1] / weight.sum())

    def working() -> Pairs:
        slope, information, _ = _derivatives(satisfaction, level, cuts)
        response = satisfaction + slope / information
        return Pairs.of(pairs.ratee[place], pairs.rater[place], response, weight * information)

    for step in range(STEPS):
        near = working()
        if step == PAIR_STEP and ratios.pair <= TINY:
            ratios = Ratios(ratios.ratee, ratios.rater, _of_pairs(near, mixed_model.fit(near, ratios, chance=1.0)))
        before, satisfaction = satisfaction, mixed_model.predict(near, ratios)[place]
        cuts = _better(cuts, satisfaction, level, weight)
        if step > PAIR_STEP and np.abs(satisfaction - before).max() < NEAR:
            break
    last = working()
    _, _, third = _derivatives(satisfaction, level, cuts)
    return Graded(
        solution=mixed_model.fit(last, ratios, chance=1.0),
        pairs=last,
        cuts=cuts,
        third=np.bincount(place, weight * third, minlength=len(pairs.mean)).astype(np.float64),
        spread=float(np.sqrt(1 + ratios.rater + ratios.pair)),
    )


def share_of_fives(graded: Graded, effect: Floats) -> Floats:
    """Share of ratings in the highest level that a ratee would get from raters of all kinds.

    Args:
        graded: the model.
        effect: effects of ratees, or bounds of them, in the order of the solution.
    """
    share: Floats = ndtr((graded.solution.mean + effect - graded.cuts[-1]) / graded.spread)
    return share


def _of_pairs(pairs: Pairs, found: Solution) -> float:
    """Variance of pair effects by one step of restricted likelihood from 0 (Rao 1971, J. Multivar. Anal. 1:257).

    Nil if pairs do not differ more than chance makes them.
    """
    left = found.weight * (1 - found.leverage)
    apart = found.weight * (pairs.mean - found.fitted)
    return float(max(TINY, (apart @ apart - left.sum()) / max(left @ left, TINY)))


def _better(cuts: Floats, satisfaction: Floats, level: Ints, weight: Floats) -> Floats:
    """One scoring step of the thresholds."""
    apart = np.concatenate([[-np.inf], cuts, [np.inf]])[:, None] - satisfaction[None, :]
    density, chance = norm.pdf(apart[1:-1]), np.maximum(np.diff(ndtr(apart), axis=0), TINY)
    at = np.arange(len(satisfaction))
    own = weight / chance[level, at]
    slope = np.array(
        [
            own @ np.where(level == number, row, 0.0) - own @ np.where(level == number + 1, row, 0.0)
            for number, row in enumerate(density)
        ]
    )
    information = np.diag((density**2 * (1 / chance[:-1] + 1 / chance[1:])) @ weight)
    beside = -(density[:-1] * density[1:] / chance[1:-1]) @ weight
    information += np.diag(beside, 1) + np.diag(beside, -1)
    better: Floats = cuts + np.clip(np.linalg.solve(information, slope), -1.0, 1.0)
    # Thresholds that would swap places wait for the next step.
    return better if (np.diff(better) > 0).all() else cuts


def _derivatives(satisfaction: Floats, level: Ints, cuts: Floats) -> tuple[Floats, Floats, Floats]:
    """Slope of each rating's log likelihood, its expected information, and its third derivative."""
    edges = np.concatenate([[-np.inf], cuts, [np.inf]])
    density = norm.pdf(edges[:, None] - satisfaction[None, :])
    chance = np.maximum(np.diff(ndtr(edges[:, None] - satisfaction[None, :]), axis=0), TINY)
    rise = -np.diff(density, axis=0)
    information = np.maximum((rise**2 / chance).sum(axis=0), LEAST_INFORMATION)
    at = np.arange(len(satisfaction))
    low, high = edges[level] - satisfaction, edges[level + 1] - satisfaction
    low_density, high_density = density[level, at], density[level + 1, at]
    low, high = np.where(np.isfinite(low), low, 0.0), np.where(np.isfinite(high), high, 0.0)
    own = chance[level, at]
    first = rise[level, at] / own
    bend = (low * low_density - high * high_density) / own
    turn = ((low**2 - 1) * low_density - (high**2 - 1) * high_density) / own
    return first, information, turn - first * bend - 2 * first * (bend - first**2)
