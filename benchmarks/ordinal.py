"""Yardstick: the ordinal model with two random effects, which scores of simulated companies are really made by.

A score is the place of `a[ratee] + b[rater] + chance` between four cuts, with normal a, b and chance (cumulative
probit). Cuts, effects and their covariance come from penalised likelihood by Newton's method, the variances of a and b
from EM steps with the Laplace approximation. A pair counts for 3 ratings at most, as in the product's model. It knows
the form of the truth, which no model of a real company does: what it cannot find is not in the ratings.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import linalg, sparse
from scipy.stats import norm

from assets.rules.scoring import PAIR_CAP

Floats = npt.NDArray[np.float64]

ROUNDS = 40
CUTS = 4
FAR = 40.0
"""Stands for infinity: scores 1 and 5 are open to one side."""


@dataclass(frozen=True)
class Ordinal:
    """The model fitted: ratee ids, their effects around 0 and the standard deviations of these."""

    ratees: npt.NDArray[np.int64]
    effect: Floats
    deviation: Floats


def fit(ratings: pd.DataFrame) -> Ordinal:
    """Fits the model to ratings (ratee_id, rater_id, score of 1 to 5, all five of them met)."""
    ratees, ratee = np.unique(ratings["ratee_id"].to_numpy(dtype="int64"), return_inverse=True)
    raters, rater = np.unique(ratings["rater_id"].to_numpy(dtype="int64"), return_inverse=True)
    score = ratings["score"].to_numpy(dtype="int64")
    size = ratings.groupby(["ratee_id", "rater_id"])["score"].transform("size").to_numpy(dtype="float64")
    weight = np.minimum(1.0, PAIR_CAP / size)
    of_ratees, of_raters = slice(CUTS, CUTS + len(ratees)), slice(CUTS + len(ratees), CUTS + len(ratees) + len(raters))
    upper, lower = (_design(score - at, ratee, rater, len(ratees), len(raters)) for at in (0, 1))
    theta = np.zeros(of_raters.stop)
    theta[:CUTS] = norm.ppf(np.cumsum(np.bincount(score, minlength=6)[1:5]) / len(score)) * 1.3
    variances = {"ratee": 0.3, "rater": 0.3}
    covariance = np.zeros((len(theta), len(theta)))
    for _ in range(ROUNDS):
        penalty = np.zeros(len(theta))
        penalty[of_ratees], penalty[of_raters] = 1 / variances["ratee"], 1 / variances["rater"]
        gradient, information = _derivatives(theta, upper, lower, score, weight)
        covariance = linalg.inv(information + np.diag(penalty))
        theta = theta + covariance @ (gradient - penalty * theta)
        for name, part in (("ratee", of_ratees), ("rater", of_raters)):
            variances[name] = float(np.mean(theta[part] ** 2 + covariance.diagonal()[part]))
    return Ordinal(ratees, theta[of_ratees], np.sqrt(covariance.diagonal()[of_ratees]))


def _design(
    cut: npt.NDArray[np.int64], ratee: npt.NDArray[np.int64], rater: npt.NDArray[np.int64], ratees: int, raters: int
) -> sparse.csr_array:
    """A bound of each rating as a row over cuts, ratees and raters; a bound that is infinite has no cut."""
    size = len(cut)
    is_cut = (cut >= 1) & (cut <= CUTS)
    row = np.arange(size)
    rows = np.concatenate([row[is_cut], row, row])
    columns = np.concatenate([cut[is_cut] - 1, CUTS + ratee, CUTS + ratees + rater])
    values = np.concatenate([np.ones(is_cut.sum()), -np.ones(2 * size)])
    return sparse.csr_array((values, (rows, columns)), shape=(size, CUTS + ratees + raters))


def _derivatives(
    theta: Floats, upper: sparse.csr_array, lower: sparse.csr_array, score: npt.NDArray[np.int64], weight: Floats
) -> tuple[Floats, Floats]:
    """Gradient and observed information of the log likelihood."""
    high = np.where(score == 5, FAR, upper @ theta)
    low = np.where(score == 1, -FAR, lower @ theta)
    # Both tails on the left, where differences of the distribution function keep their digits.
    mirrored = low > 0
    chance = norm.cdf(np.where(mirrored, -low, high)) - norm.cdf(np.where(mirrored, -high, low))
    chance = np.maximum(chance, 1e-300)
    at_high, at_low = norm.pdf(high) / chance, norm.pdf(low) / chance
    gradient = upper.T @ (weight * at_high) - lower.T @ (weight * at_low)
    of_high = sparse.diags_array(weight * (high * at_high + at_high**2))
    of_low = sparse.diags_array(weight * (at_low**2 - low * at_low))
    both = lower.T @ sparse.diags_array(weight * at_high * at_low) @ upper
    information = upper.T @ of_high @ upper + lower.T @ of_low @ lower - both - both.T
    return gradient, information.toarray()
