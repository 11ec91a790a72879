"""The graded response model: places are those of greatest penalised likelihood, found by another way."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import minimize
from scipy.special import ndtr

from assets.rules import graded_response, mixed_model
from assets.rules.mixed_model import Pairs, Ratios

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
CUTS = np.array([-2.4, -1.8, -1.0, -0.2])


@dataclass(frozen=True)
class Company:
    ratee: Ints
    rater: Ints
    score: Floats
    weight: Floats

    @property
    def pairs(self) -> Pairs:
        return Pairs.of(self.ratee, self.rater, self.score, self.weight)

    @property
    def place(self) -> Ints:
        """Pair of each rating, pairs ordered by ratee and rater."""
        numbers = self.ratee * (int(self.rater.max()) + 1) + self.rater
        place: Ints = np.unique(numbers, return_inverse=True)[1]
        return place


def company(ratees: int, raters: int, ratings: int, quality: float, severity: float, pair: float = 0.0) -> Company:
    rng = np.random.default_rng(5)
    ratee, rater = rng.integers(0, ratees, ratings), rng.integers(0, raters, ratings)
    latent = rng.normal(0, quality, ratees)[ratee] - rng.normal(0, severity, raters)[rater]
    latent = latent + rng.normal(0, pair, (ratees, raters))[ratee, rater] + rng.normal(size=ratings)
    score = 1 + np.searchsorted(CUTS, latent)
    return Company(ratee, rater, score.astype(np.float64), rng.choice([1.0, 0.6], ratings))


def penalised(of: Company, ratios: Ratios, values: Floats) -> float:
    """Minus the logarithm of likelihood times prior; values are cuts, ratees, raters and pairs."""
    ratees, raters, pairs = int(of.ratee.max()) + 1, int(of.rater.max()) + 1, int(of.place.max()) + 1
    cuts, a, b, c = np.split(values, np.cumsum([4, ratees, raters]))
    assert len(c) == pairs
    edges = np.concatenate([[-np.inf], cuts, [np.inf]])
    latent = a[of.ratee] + b[of.rater] + c[of.place]
    level = of.score.astype(int) - 1
    chance = np.maximum(ndtr(edges[level + 1] - latent) - ndtr(edges[level] - latent), 1e-300)
    prior = a @ a / ratios.ratee + b @ b / ratios.rater + c @ c / ratios.pair
    return float(-of.weight @ np.log(chance) + prior / 2)


def test_places_are_those_of_greatest_penalised_likelihood() -> None:
    of, ratios = company(8, 7, 120, 0.6, 0.8, 0.3), Ratios(0.4, 0.6, 0.1)
    found = graded_response.fit(of.pairs, of.place, of.score, of.weight, ratios)
    start = np.concatenate([CUTS, np.zeros(8 + 7 + int(of.place.max()) + 1)])
    other = minimize(lambda values: penalised(of, ratios, values), start, method="BFGS", options={"gtol": 1e-7}).x
    # Cuts and mean may move together; what counts is how far they are apart.
    assert found.cuts - found.solution.mean[0] == pytest.approx(other[:4], abs=2e-6)
    assert found.solution.effect == pytest.approx(other[4:12], abs=2e-6)
    share = graded_response.share_of_fives(found, found.solution.effect)
    assert share == pytest.approx(ndtr((other[4:12] - other[3]) / np.sqrt(1 + 0.6 + 0.1)), abs=1e-6)


def test_derivatives_are_those_of_the_log_likelihood() -> None:
    latent, level = np.linspace(-3, 3, 25), np.arange(25) % 5

    def log(at: Floats) -> Floats:
        edges = np.concatenate([[-np.inf], CUTS, [np.inf]])
        likelihood: Floats = np.log(ndtr(edges[level + 1] - at) - ndtr(edges[level] - at))
        return likelihood

    first, information, third = graded_response._derivatives(latent, level, CUTS)
    step = 1e-3
    assert first == pytest.approx((log(latent + step) - log(latent - step)) / (2 * step), abs=1e-4)
    numeric = log(latent + 2 * step) - 2 * log(latent + step) + 2 * log(latent - step) - log(latent - 2 * step)
    assert third == pytest.approx(numeric / (2 * step**3), abs=1e-3)
    assert (information > 0).all()


def test_variances_of_a_company_are_found_again() -> None:
    of = company(150, 150, 6000, 0.6, 0.9)
    _, graded = graded_response.grades(of.score)
    linear = mixed_model.fit(Pairs.of(of.ratee, of.rater, graded, np.ones(len(of.score))))
    ratios = graded_response.from_grades(linear, float(graded.var()))
    assert ratios.ratee == pytest.approx(0.36, rel=0.35)
    assert ratios.rater == pytest.approx(0.81, rel=0.5)


@pytest.mark.parametrize(("pair", "low", "high"), [(0.0, 0.0, 0.1), (0.8, 0.3, 1.2)])
def test_the_variance_of_pairs_is_found_where_there_is_any(pair: float, low: float, high: float) -> None:
    of = company(40, 40, 4000, 0.6, 0.6, pair)
    ratios = Ratios(0.36, 0.36, graded_response.TINY)
    found = graded_response.fit(of.pairs, of.place, of.score, np.ones(len(of.score)), ratios)
    assert low <= found.solution.ratios.pair <= high


def test_grades_have_mean_zero_and_rise_with_the_score() -> None:
    score = np.array([5.0] * 70 + [4.0] * 20 + [2.0] * 10)
    scale, graded = graded_response.grades(score)
    assert graded.mean() == pytest.approx(0, abs=1e-12)
    assert len(scale) == 3
    assert (np.diff(scale) > 0).all()
    # The mean of a normal variable above its upper 70 %.
    assert scale[-1] == pytest.approx(0.4967, abs=1e-4)


def test_a_five_from_somebody_strict_tells_more_than_one_from_somebody_who_gives_nothing_else() -> None:
    """Two ratees with the same scores: the one rated by the strict stands higher, and is known better."""
    ratee = np.array([0] * 4 + [1] * 4 + list(range(2, 12)) * 4)
    rater = np.array([0] * 4 + [1] * 4 + [0] * 20 + [1] * 20)
    strict = np.tile([5.0, 3, 2, 4, 5, 2, 3, 4, 2, 3], 2)
    score = np.concatenate([np.full(8, 5.0), strict, np.full(20, 5.0)])
    weight = np.ones(len(score))
    place = np.unique(ratee * 2 + rater, return_inverse=True)[1]
    pairs = Pairs.of(ratee, rater, score, weight)
    found = graded_response.fit(pairs, place, score, weight, Ratios(0.4, 0.8, 0.01))
    assert found.solution.effect[0] > found.solution.effect[1]
    assert found.solution.variance[0] < found.solution.variance[1]
