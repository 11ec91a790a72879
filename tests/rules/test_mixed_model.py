"""The linear model: every figure equals that of a dense solution by other formulas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import minimize

from assets.rules import mixed_model
from assets.rules.mixed_model import Pairs, Ratios

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Data:
    ratee: npt.NDArray[np.int64]
    rater: npt.NDArray[np.int64]
    y: Floats
    weight: Floats

    def kept(self, is_kept: npt.NDArray[np.bool_]) -> Data:
        return Data(self.ratee[is_kept], self.rater[is_kept], self.y[is_kept], self.weight[is_kept])

    @property
    def pairs(self) -> Pairs:
        return Pairs.of(self.ratee, self.rater, self.y, self.weight)


RATEES, RATERS = 8, 7


def data(seed: int = 1, ratings: int = 90) -> Data:
    rng = np.random.default_rng(seed)
    ratee, rater = rng.integers(0, RATEES, ratings), rng.integers(0, RATERS, ratings)
    y = rng.normal(size=ratings) + rng.normal(size=(RATEES, RATERS))[ratee, rater]
    y += rng.normal(size=RATEES)[ratee] + rng.normal(size=RATERS)[rater] + 3
    return Data(ratee, rater, y, rng.choice([1.0, 0.5, 0.75], ratings))


@dataclass(frozen=True)
class Dense:
    """The model by its covariance matrix: generalised least squares, BLUP, restricted likelihood as in textbooks."""

    deviance: float
    residual_variance: float
    mean: float
    effect: Floats
    of_rater: Floats
    variance: Floats


def dense(of: Data, ratios: Ratios) -> Dense:
    ones, a, b = np.ones((len(of.y), 1)), np.eye(RATEES)[of.ratee], np.eye(RATERS)[of.rater]
    same_pair = (a @ a.T) * (b @ b.T)
    v = ratios.ratee * a @ a.T + ratios.rater * b @ b.T + ratios.pair * same_pair + np.diag(1 / of.weight)
    inverse = np.linalg.inv(v)
    information = ones.T @ inverse @ ones
    mean = np.linalg.solve(information, ones.T @ inverse @ of.y)
    apart = inverse @ (of.y - ones @ mean)
    p = inverse - inverse @ ones @ np.linalg.solve(information, ones.T @ inverse)
    s2 = float((of.y - ones @ mean) @ apart / (len(of.y) - 1))
    deviance = (len(of.y) - 1) * np.log(s2) + np.linalg.slogdet(v)[1] + np.linalg.slogdet(information)[1]
    effect = ratios.ratee * a.T @ apart
    variance = s2 * np.diag(ratios.ratee * np.eye(RATEES) - ratios.ratee * a.T @ p @ a * ratios.ratee)
    return Dense(float(deviance), s2, float(mean[0]), effect, ratios.rater * b.T @ apart, variance)


def test_estimates_and_their_variances_equal_a_dense_solution() -> None:
    of = data()
    found = mixed_model.fit(of.pairs)
    other = dense(of, found.ratios)
    assert found.residual_variance == pytest.approx(other.residual_variance, abs=1e-9)
    assert found.mean == pytest.approx(np.full(RATEES, other.mean), abs=1e-9)
    assert found.effect == pytest.approx(other.effect, abs=1e-9)
    assert found.variance == pytest.approx(other.variance, abs=1e-9)


@pytest.mark.parametrize("seed", [1, 2])
def test_variances_are_those_of_greatest_restricted_likelihood(seed: int) -> None:
    of = data(seed)
    options: Any = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000}
    other = minimize(
        lambda logs: dense(of, Ratios(*np.exp(logs))).deviance, [-1, -1, -1], method="Nelder-Mead", options=options
    )
    found = mixed_model.fit(of.pairs).ratios
    assert dense(of, found).deviance == pytest.approx(other.fun, abs=1e-7)
    assert np.log([found.ratee, found.rater, found.pair]) == pytest.approx(other.x, abs=2e-4)


def test_deviations_are_those_of_a_fit_without_the_pair() -> None:
    of = data()
    found, pairs = mixed_model.fit(of.pairs), of.pairs
    deviations = mixed_model.deviations(pairs, found)
    for at in (0, 5, len(pairs.mean) - 1):
        ratee, rater = pairs.ratee[at], pairs.rater[at]
        other = dense(of.kept((of.ratee != ratee) | (of.rater != rater)), found.ratios)
        apart = pairs.mean[at] - other.mean - other.effect[ratee] - other.of_rater[rater]
        inner = found.weight[at] * (1 - found.leverage[at])
        assert deviations[at] == pytest.approx(apart * np.sqrt(inner / found.residual_variance), abs=1e-8)


def test_influence_is_what_a_changed_rating_does() -> None:
    of = data()
    found, pairs = mixed_model.fit(of.pairs), of.pairs
    own = (of.ratee == pairs.ratee[3]) & (of.rater == pairs.rater[3])
    changed = mixed_model.fit(Data(of.ratee, of.rater, of.y + own, of.weight).pairs, found.ratios)
    moved = changed.effect[pairs.ratee[3]] - found.effect[pairs.ratee[3]]
    assert moved == pytest.approx(found.influence[3], abs=1e-9)


def test_components_are_told_apart_and_have_means_of_their_own() -> None:
    of, far = data(1), data(2)
    joined = Data(
        np.concatenate([of.ratee, far.ratee + RATEES]),
        np.concatenate([of.rater, far.rater + RATERS]),
        np.concatenate([of.y, far.y + 50]),
        np.concatenate([of.weight, far.weight]),
    )
    ratios = Ratios(0.3, 0.4, 0.2)
    found, alone = mixed_model.fit(joined.pairs, ratios), mixed_model.fit(of.pairs, ratios)
    assert found.component.tolist() == [0] * RATEES + [1] * RATEES
    assert found.effect[:RATEES] == pytest.approx(alone.effect)
    assert found.mean[RATEES] - found.mean[0] > 45


def test_a_constant_on_all_ratings_moves_the_mean_alone() -> None:
    of = data()
    found = mixed_model.fit(of.pairs)
    raised = mixed_model.fit(Data(of.ratee, of.rater, of.y + 7, of.weight).pairs)
    assert raised.mean == pytest.approx(found.mean + 7, abs=1e-6)
    assert raised.effect == pytest.approx(found.effect, abs=1e-5)
    assert raised.variance == pytest.approx(found.variance, abs=1e-5)


def test_a_constant_on_one_rater_is_laid_to_him_the_more_raters_differ() -> None:
    """With raters as different as can be, a stricter one changes nobody's place."""
    of = data()
    stricter = Data(of.ratee, of.rater, of.y - 2.0 * (of.rater == 0), of.weight)
    moved = [
        np.abs(mixed_model.fit(stricter.pairs, ratios).effect - mixed_model.fit(of.pairs, ratios).effect).max()
        for ratios in (Ratios(0.3, 0.01, 0.1), Ratios(0.3, 1.0, 0.1), Ratios(0.3, 1e6, 0.1))
    ]
    assert moved[0] > moved[1] > moved[2]
    assert moved[2] < 1e-5


def test_doubted_pairs_weigh_less_the_odder_they_are() -> None:
    pairs = data().pairs
    found = mixed_model.fit(pairs)
    odd = np.abs(mixed_model.deviations(pairs, found))
    doubted = mixed_model.doubted(pairs, found, 8.0)
    doubt = (found.ratios.pair + 1 / doubted.weight) / (found.ratios.pair + 1 / pairs.weight)
    by_oddness = doubt[np.argsort(odd)]
    assert (np.diff(by_oddness) > -1e-9).all()
    assert by_oddness[0] < 1 < 1.3 < by_oddness[-1]


@pytest.mark.parametrize("ratings", [0, 1])
def test_nothing_to_tell_gives_zeros(ratings: int) -> None:
    none = np.zeros(ratings, dtype=np.int64)
    found = mixed_model.fit(Pairs.of(none, none, np.full(ratings, 5.0), np.ones(ratings)))
    assert found.residual_variance == 0
    assert not found.effect.any()


def test_equal_responses_leave_no_variance() -> None:
    of = data()
    found = mixed_model.fit(Pairs.of(of.ratee, of.rater, np.ones(len(of.y)), of.weight))
    assert found.residual_variance == 0
    assert not found.variance.any()
