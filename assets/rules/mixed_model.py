"""Crossed random effects of ratee, rater and pair, fitted exactly by REML.

Belongs here: the mixed-model equations, variance components, prediction error variances, deletion of one pair. Does not
belong here: what a response means, windows, bands (`scoring.py`).

    y = mu[component] + a[ratee] + b[rater] + c[ratee, rater] + e
    a ~ N(0, s2a),  b ~ N(0, s2b),  c ~ N(0, s2c),  e ~ N(0, s2e / weight)

b is how lenient a rater is: minus his severity. c is what two people have with each other; without it ten ratings by
one partner would count as ten witnesses, and intervals would be too narrow by far (on a ceiling scale even if nobody
has favourites: a strict rater tells good from bad, a lenient one gives everybody a five). People who are tied by no
chain of ratings cannot be compared, so every connected component of the graph ratee - rater has a mean of its own; the
four variances are those of the whole window.

The mean of a pair is all that the model needs of its ratings, beside the sum of squares within pairs; it has variance
s2c + s2e / weight. The equations are Henderson's (1975, Biometrics 31:423): for given ratios s2a / s2e, s2b / s2e and
s2c / s2e they are linear. Their rater block is diagonal, so it is absorbed, and what is left is one dense matrix per
component, as large as its ratees are many. The restricted likelihood (Patterson and Thompson 1971, Biometrika 58:545)
is profiled over s2e and maximised over the log ratios with its exact gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import linalg, optimize, sparse

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

LOG_RATIO_BOUNDS = ((-4.0, 4.0), (-9.0, 4.0), (-9.0, 4.0))
"""Where log ratios of ratee, rater and pair are looked for. Few ratings often have their maximum where ratees do not
differ at all; then all intervals would be of width 0. Nobody believes that, so ratees always differ a little."""


LEAST_CHANCE = 0.3
"""Least part of a pair's own variance that trust may leave to it."""


@dataclass(frozen=True)
class Ratios:
    """Variances of effects in units of the residual variance: s2a / s2e, s2b / s2e and s2c / s2e."""

    ratee: float
    rater: float
    pair: float


START = Ratios(0.15, 0.25, 0.1)
"""Where the search for variances starts."""


@dataclass(frozen=True)
class Pairs:
    """Ratings summed up by pair: all that the model needs to know.

    Attributes:
        ratee: index of the ratee of each pair, 0..ratees-1.
        rater: index of the rater of each pair, 0..raters-1.
        weight: sum of the weights of the pair's ratings, > 0.
        mean: their weighted mean.
        component: which connected component each pair belongs to.
        ratees: how many ratees there are.
        raters: how many raters there are.
        within: weighted sum of squares around the means of the pairs.
        observations: number of ratings.
    """

    ratee: Ints
    rater: Ints
    weight: Floats
    mean: Floats
    component: Ints
    ratees: int
    raters: int
    within: float
    observations: int

    @classmethod
    def of(cls, ratee: Ints, rater: Ints, y: Floats, weight: Floats) -> Pairs:
        """Sums ratings up.

        Args:
            ratee: indices 0..m-1, one per rating, each of them met.
            rater: indices 0..q-1, likewise.
            y: responses, finite.
            weight: weights, > 0.
        """
        ratees, raters = _size(ratee), _size(rater)
        numbers, place = np.unique(ratee * max(raters, 1) + rater, return_inverse=True)
        # Of nothing, counts are whole numbers.
        total = np.bincount(place, weight, minlength=len(numbers)).astype(np.float64)
        mean = np.bincount(place, weight * y, minlength=len(numbers)) / total
        of_ratee, of_rater = np.divmod(numbers, max(raters, 1))
        graph = sparse.coo_array((np.ones(len(numbers)), (of_ratee, ratees + of_rater)), shape=(ratees + raters,) * 2)
        _, label = sparse.csgraph.connected_components(graph, directed=False)
        return cls(
            ratee=of_ratee,
            rater=of_rater,
            weight=total,
            mean=mean,
            component=label[of_ratee].astype(np.int64),
            ratees=ratees,
            raters=raters,
            within=float(weight @ (y - mean[place]) ** 2),
            observations=len(y),
        )


@dataclass(frozen=True)
class Solution:
    """The model fitted.

    Attributes:
        ratios: variance ratios it was fitted with.
        residual_variance: s2e.
        component: component of each ratee.
        mean: mu of each ratee's component.
        effect: predicted effect of each ratee, around mu.
        variance: its prediction error variance.
        weight: weight of each pair's mean, in units of 1 / s2e.
        fitted: mu + a + b of each pair.
        leverage: how much of its own fitted value each pair's mean makes, 0..1.
        influence: change of the ratee's effect per unit of the pair's mean.
    """

    ratios: Ratios
    residual_variance: float
    component: Ints
    mean: Floats
    effect: Floats
    variance: Floats
    weight: Floats
    fitted: Floats
    leverage: Floats
    influence: Floats


def fit(pairs: Pairs, ratios: Ratios | None = None, chance: float | None = None) -> Solution:
    """Fits the model.

    Args:
        pairs: ratings by pair.
        ratios: variance ratios to take instead of estimating them.
        chance: s2e, where it is known; with `ratios` only.

    Returns:
        The solution; all effects and variances are 0 if the responses do not differ or are too few to tell.
    """
    blocks = [*_blocks(pairs)]
    freedom = pairs.observations - len(blocks)
    spread = pairs.within + sum(float(block.weight @ block.mean**2) for block in blocks)
    if freedom <= 0 or spread <= 1e-12 * pairs.observations:
        return _solution(pairs, blocks, Ratios(0.0, 0.0, 0.0), 0)
    return _solution(pairs, blocks, ratios or _reml(blocks, pairs.within, freedom), freedom, chance)


def predict(pairs: Pairs, ratios: Ratios) -> Floats:
    """What the model foretells each pair, its own effect c included; half the work of `fit`.

    Args:
        pairs: ratings by pair.
        ratios: variance ratios.
    """
    foretold = np.zeros(len(pairs.mean))
    for block in _blocks(pairs):
        solved = _solve(block, ratios, inverted=False)
        own = ratios.pair * solved.weight * (block.mean - solved.fitted)
        foretold[block.place] = block.centre + solved.fitted + own
    return foretold


@dataclass(frozen=True)
class _Block:
    """One connected component, with indices of its own."""

    place: Ints
    """Places of its pairs."""
    ratees: Ints
    """Numbers of its ratees."""
    raters: int
    ratee: Ints
    rater: Ints
    weight: Floats
    mean: Floats
    """Around `centre`: a constant that is far from 0 would cost digits."""
    centre: float


def _blocks(pairs: Pairs) -> Iterator[_Block]:
    order = np.argsort(pairs.component, kind="stable")
    starts = np.flatnonzero(np.diff(pairs.component[order], prepend=-1))
    for place in np.split(order, starts[1:]) if len(order) else []:
        ratees, ratee = np.unique(pairs.ratee[place], return_inverse=True)
        raters, rater = np.unique(pairs.rater[place], return_inverse=True)
        weight = pairs.weight[place]
        centre = float(np.average(pairs.mean[place], weights=weight))
        yield _Block(place, ratees, len(raters), ratee, rater, weight, pairs.mean[place] - centre, centre)


@dataclass(frozen=True)
class _Solved:
    """The equations of one block, solved for given ratios; everything in units of the residual variance."""

    weight: Floats
    """Of the pairs' means."""
    effects: Floats
    """Mean (around the centre), then ratees."""
    of_rater: Floats
    inverse: Floats
    """Of the absorbed equations, mean and ratees; only if asked for."""
    scaled: sparse.csc_array
    """Weights by mean and ratee (rows) and rater (columns), divided by the diagonal of the raters."""
    diagonal: Floats
    """Of the absorbed rater block."""
    fitted: Floats
    log_det: float
    left_over: float
    """Weighted sum of squares that the effects do not explain, penalties included."""


def _solve(block: _Block, ratios: Ratios, *, inverted: bool = True) -> _Solved:
    weight = 1 / (ratios.pair + 1 / block.weight)
    size, part = 1 + len(block.ratees), weight * block.mean
    of_rater: Floats = np.bincount(block.rater, weight).astype(np.float64)
    rows = np.concatenate([np.zeros(block.raters, dtype=np.int64), 1 + block.ratee])
    columns = np.concatenate([np.arange(block.raters), block.rater])
    links = sparse.csc_array((np.concatenate([of_rater, weight]), (rows, columns)), shape=(size, block.raters))
    diagonal = of_rater + 1 / ratios.rater
    scaled = links / diagonal[np.newaxis, :]
    own = np.bincount(block.ratee, weight)
    left = -(scaled @ links.T).toarray()
    place = np.arange(1, size)
    left[0, 0] += weight.sum()
    left[place, place] += own + 1 / ratios.ratee
    left[0, 1:] += own
    left[1:, 0] += own
    factor = linalg.cholesky(left, lower=True, overwrite_a=True, check_finite=False)
    log_det = float(2 * np.log(factor.diagonal()).sum() + np.log(diagonal).sum() - np.log(weight).sum())
    right, right_rater = np.concatenate([[part.sum()], np.bincount(block.ratee, part)]), np.bincount(block.rater, part)
    effects = linalg.cho_solve((factor, True), right - scaled @ right_rater, check_finite=False)
    inverse = _inverse(factor) if inverted else factor
    given = (right_rater - links.T @ effects) / diagonal
    return _Solved(
        weight=weight,
        effects=effects,
        of_rater=given,
        inverse=inverse,
        scaled=scaled,
        diagonal=diagonal,
        fitted=effects[0] + effects[1:][block.ratee] + given[block.rater],
        log_det=log_det,
        left_over=float(part @ block.mean - effects @ right - given @ right_rater),
    )


def _inverse(factor: Floats) -> Floats:
    """Inverse of the matrix with this lower Cholesky factor."""
    half, _ = linalg.lapack.dpotri(factor, lower=True, overwrite_c=True)
    # The upper half is empty.
    full: Floats = half + half.T
    full[np.diag_indices_from(full)] /= 2
    return full


def _of_pairs(block: _Block, solved: _Solved) -> tuple[Floats, Floats]:
    """Leverage of each pair, and what it does to the effect of its ratee."""
    inverse, at = solved.inverse, 1 + block.ratee
    # Covariances of the raters with mean and ratees, but for their sign.
    beside = inverse @ solved.scaled
    coupled = np.asarray(solved.scaled.multiply(beside).sum(axis=0)).ravel()
    own, with_mean, with_rater = inverse[at, at], inverse[0, at], -beside[at, block.rater]
    of_rater = (1 / solved.diagonal + coupled)[block.rater]
    spread = inverse[0, 0] + own + of_rater + 2 * (with_mean - beside[0, block.rater] + with_rater)
    return solved.weight * spread, solved.weight * (with_mean + own + with_rater)


def _reml(blocks: list[_Block], within: float, freedom: int) -> Ratios:
    """Maximises the restricted likelihood over the log ratios."""
    ratees = sum(len(block.ratees) for block in blocks)
    raters = sum(block.raters for block in blocks)

    def deviance(logs: Floats) -> tuple[float, Floats]:
        ratios = Ratios(*np.exp(logs).tolist())
        left_over, log_det = within, 0.0
        # Of ratee, rater and pair: what the effect's variance costs, and the squares that pay for it.
        costs, squares = np.array([ratees, raters, 0.0]), np.zeros(3)
        for block in blocks:
            solved = _solve(block, ratios)
            leverage, _ = _of_pairs(block, solved)
            left_over += solved.left_over
            log_det += solved.log_det
            pattern = (solved.scaled @ solved.scaled.T).tocoo()
            trace = float((1 / solved.diagonal).sum() + pattern.data @ solved.inverse[pattern.row, pattern.col])
            costs -= [solved.inverse.diagonal()[1:].sum() / ratios.ratee, trace / ratios.rater, 0.0]
            costs[2] += ratios.pair * float(solved.weight @ (1 - leverage))
            apart = solved.weight * (block.mean - solved.fitted)
            squares += [
                solved.effects[1:] @ solved.effects[1:] / ratios.ratee,
                solved.of_rater @ solved.of_rater / ratios.rater,
                ratios.pair * (apart @ apart),
            ]
        variance = left_over / freedom
        value = freedom * np.log(variance) + log_det + ratees * logs[0] + raters * logs[1]
        return float(value), costs - squares / variance

    found = optimize.minimize(
        deviance,
        np.log([START.ratee, START.rater, START.pair]),
        jac=True,
        method="L-BFGS-B",
        bounds=LOG_RATIO_BOUNDS,
        options={"ftol": 1e-10, "gtol": 1e-4},
    )
    return Ratios(*np.exp(found.x).tolist())


def _solution(
    pairs: Pairs, blocks: list[_Block], ratios: Ratios, freedom: int, chance: float | None = None
) -> Solution:
    component, mean = np.zeros(pairs.ratees, dtype=np.int64), np.zeros(pairs.ratees)
    effect, variance = np.zeros(pairs.ratees), np.zeros(pairs.ratees)
    weight, fitted, leverage, influence = (np.zeros(len(pairs.mean)) for _ in range(4))
    left_over = pairs.within
    for number, block in enumerate(blocks):
        component[block.ratees] = number
        mean[block.ratees] = block.centre
        fitted[block.place] = block.centre
        if not freedom:
            continue
        solved = _solve(block, ratios)
        left_over += solved.left_over
        mean[block.ratees] += solved.effects[0]
        effect[block.ratees] = solved.effects[1:]
        variance[block.ratees] = solved.inverse.diagonal()[1:]
        weight[block.place] = solved.weight
        fitted[block.place] += solved.fitted
        leverage[block.place], influence[block.place] = _of_pairs(block, solved)
    residual_variance = (chance or left_over / freedom) if freedom else 0.0
    return Solution(
        ratios,
        residual_variance,
        component,
        mean,
        effect,
        variance * residual_variance,
        weight,
        fitted,
        leverage,
        influence,
    )


def doubted(pairs: Pairs, found: Solution, freedom: float) -> Pairs:
    """The pairs, each with less weight the farther its mean lies from what all others foretell.

    One step towards pair effects with a t distribution (Lange, Little and Taylor 1989, JASA 84:881): a pair that
    differs from everybody else, be it from love or spite, counts for less, and nobody has to be accused for it.

    Args:
        pairs: ratings by pair.
        found: the model fitted to them.
        freedom: degrees of freedom of that distribution.
    """
    distance = deviations(pairs, found)
    trust = (freedom + 1) / (freedom + distance**2)
    # Doubt moves weight from odd pairs to the others, and takes none away.
    trust /= np.average(trust, weights=pairs.weight)
    # The variance of a mean is that of pair effect and chance; the model adds the former again.
    chance = (found.ratios.pair + 1 / pairs.weight) / trust - found.ratios.pair
    return replace(pairs, weight=1 / np.maximum(chance, LEAST_CHANCE / pairs.weight))


def deviations(pairs: Pairs, found: Solution) -> Floats:
    """How far each pair's mean lies from what all other ratings foretell, in standard deviations of that forecast.

    Deleting a pair need not be done to know what it changes: Cook and Weisberg 1982, Residuals and Influence, ch. 2.2.
    """
    if not found.residual_variance:
        return np.zeros(len(pairs.mean))
    left = np.maximum(1 - found.leverage, np.finfo(float).eps)
    deviation: Floats = (pairs.mean - found.fitted) * np.sqrt(found.weight / (found.residual_variance * left))
    return deviation


def _size(index: Ints) -> int:
    return int(index.max()) + 1 if len(index) else 0
