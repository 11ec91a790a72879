"""Audit by linear programming: how narrow all released numbers together make what was not released.

Belongs here: the linear model of what was released, the ranges it leaves, which of them are too narrow. Does not belong
here: what is released and what is held back for failing (`disclosure.py`).

The unknowns are scores between 1 and 5. Every released number says that a weighted mean of some of them lies in an
interval. The adversary knows everything but the scores: who rated whom, how often and when. A range counts as wide
when two sets of scores, both in keeping with every released number, differ by more than `width` in it; one such pair
of sets serves many ranges at once, so that few programmes are solved. A range counts as narrow when its own two
programmes, or one released number alone, say so, and whenever the solver gives no answer.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from scipy.optimize import linprog
from scipy.sparse.csgraph import connected_components

View = Literal["analyst", "hr"]
Kind = Literal["cell", "rater_month", "rater_block", "rater_pair"]
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

BOTTOM, TOP = 1.0, 5.0
"""A score is one of 1..5, so a mean of scores is anything between."""

WIDTH = 1.0
"""Points that must stay open between the lowest and the highest possible value (privacy.md A5)."""

MARGIN = 1e-6
"""A range must be wider than asked for by this much: what the solver's tolerance could feign is less."""

TOLERANCE = 1e-7
"""How far a set of scores may miss a released interval and still count as in keeping with it."""

SOLVER = {"primal_feasibility_tolerance": 1e-9, "dual_feasibility_tolerance": 1e-9}
BATCH = 4_000
"""Unknowns of one programme: small components share one, a larger one has its own."""

SWINGS = 4
"""Rounds, of two programmes each, that try all targets at once before they are taken few by few."""

IDLE_ROUNDS = 3
"""Rounds without any newly proved range after which the rest are solved one by one."""

WHOLE = 1e-9
"""Weights of one released number add up to 1 within this."""

VIEWS: tuple[View, ...] = ("analyst", "hr")
KINDS: tuple[Kind, ...] = ("cell", "rater_month", "rater_block", "rater_pair")


class AuditError(ValueError):
    """What was given to the audit is no register of released numbers."""


@dataclass(frozen=True)
class AuditResult:
    """What an audit found.

    Attributes:
        narrow: targets that are not wide enough: kind (cell, rater_month, rater_block, rater_pair), process_key,
            ratee_id (0 for a pair), rater_id (0 for a cell), period (first month of the window for blocks and pairs),
            view (analyst, hr), width (points), release_ids (released numbers that hold ratings of the target),
            component (all released numbers connected with them); the last two are sorted tuples.
        targets: how many ranges were examined, over both views.
        smallest: smallest width proved or found, points; 4.0 when nothing was examined.
        witnesses: the sets of scores that showed ranges wide, for `audit(after=...)`.
    """

    narrow: pd.DataFrame
    targets: int
    smallest: float
    witnesses: Witnesses = field(repr=False)


@dataclass(frozen=True)
class Witnesses:
    """Sets of scores that were in keeping with everything released.

    Attributes:
        versions: process_key, rating_id and score of each version of a rating.
        scores: by view, sets x versions.
    """

    versions: pd.MultiIndex
    scores: dict[View, Floats]


@dataclass(frozen=True)
class Ranges:
    """Widths of targets, one entry per target.

    Attributes:
        width: points; of a wide target, what was shown to be open (the whole range may be wider).
        narrow: whether the target failed.
        points: the sets of scores that show it, sets x unknowns.
    """

    width: Floats
    narrow: Flags
    points: Floats


def audit(
    units: pd.DataFrame,
    register: pd.DataFrame,
    sums: pd.DataFrame | None = None,
    width: float = WIDTH,
    touching: Collection[str] | None = None,
    after: AuditResult | None = None,
) -> AuditResult:
    """Examines every range that the released numbers must leave open.

    Targets: each ratee x process x month over its hidden ratings that are in no block; each rater x ratee x process x
    month; each rater inside each block and each pair. A rating that was edited after a release, or has since gone, is
    released in its old version: that score is an unknown of its own, and where a month holds one the month is
    examined as it is now and as it was. Two views: the analyst knows no score (but `sums`), HR knows the score of
    every `named_to_hr` rating and is asked only about the others.

    Args:
        units: all hidden ratings of one or more processes, those in no released number too: process_key, rating_id,
            period, ratee_id, rater_id, rater_department_id, ratee_department_id, score, mode.
        register: ratings inside released numbers, published and proposed: release_id, cut ("rating_block" or
            "department_pair"), process_key, window_from, rating_id, period, ratee_id, rater_id, score, mode, weight,
            low, high. Weights of a release_id add up to 1, or less where a period of it was destroyed.
        sums: what pseudonymous rows tell of whole cells: process_key, period, rater_department_id,
            ratee_department_id, low, high of the mean over the cell's pseudonymous ratings.
        width: points that must be exceeded.
        touching: examine only components with one of these release ids; None examines all.
        after: an earlier audit, most usefully of the same register before something was held back: the sets of scores
            it found are tried first. Each is checked against this register, so a wrong one costs time and no safety.

    Returns:
        The failing targets and how many were examined.

    Raises:
        AuditError: a rating stands twice in `units`; a weight is not positive; weights of a release add up to more
            than 1; an interval is not a number or does not hold the mean of its own ratings; `touching` names what
            is not in the register.
    """
    if touching is not None:
        wanted = register["release_id"].isin(list(touching)).to_numpy(dtype=bool)
        processes = register.loc[wanted, "process_key"].unique()
        units = units[units["process_key"].isin(processes)]
        register = register[register["process_key"].isin(processes)]
        sums = None if sums is None else sums[sums["process_key"].isin(processes)]
    model = model_of(units, register, sums)
    touched = model.component
    if touching is not None:
        missing = len(set(touching) - set(model.names))
        if missing:
            raise AuditError(f"{missing} released numbers to examine are not in the register: pass ids that it holds")
        touched = np.unique(touched[np.isin(model.names, list(touching))])
    wide = touching is None
    parts: dict[View, tuple[pd.DataFrame, Ranges]] = {
        view: _examine(model, view, touched, width, _starts(model, view, after), everything=wide) for view in VIEWS
    }
    ranges = [found for _, found in parts.values()]
    return AuditResult(
        narrow=pd.concat([narrow for narrow, _ in parts.values()], ignore_index=True),
        targets=sum(found.width.size for found in ranges),
        smallest=min((float(found.width.min()) for found in ranges if found.width.size), default=TOP - BOTTOM),
        witnesses=Witnesses(
            versions=model.ratings.index(),
            scores={view: found.points[:, model.class_of] for view, (_, found) in parts.items()},
        ),
    )


def narrow_targets(
    statements: sparse.csr_array,
    low: Floats,
    high: Floats,
    targets: sparse.csr_array,
    width: float = WIDTH,
    points: Floats | None = None,
) -> Ranges:
    """Which linear functions of unknown scores are pinned down by linear statements about them.

    Args:
        statements: statements x unknowns, coefficients >= 0.
        low: lower end of each statement.
        high: upper end of each statement.
        targets: targets x unknowns, coefficients >= 0.
        width: a target is narrow unless its highest and lowest value differ by more than this.
        points: sets x unknowns, sets of scores to begin with, such as the true ones (checked, not believed).

    Returns:
        Width and verdict of each target.
    """
    need = width + MARGIN
    statements = sparse.csr_array(statements, copy=True)
    statements.eliminate_zeros()
    free = statements.count_nonzero(axis=0) == 0
    spread = (TOP - BOTTOM) * (targets @ free.astype("float64"))
    bound = sparse.csr_array(targets @ sparse.diags_array((~free).astype("float64")))
    bound.eliminate_zeros()
    bottom, top, exact = _by_one_statement(statements, low, high, bound)
    found = spread + np.where(exact, top - bottom, 0.0)
    narrow = ~(spread + (top - bottom) > need)
    found[narrow] = np.maximum(spread + (top - bottom), 0.0)[narrow]
    left = np.flatnonzero(~narrow & ~(found > need))
    starts = np.empty((0, statements.shape[1])) if points is None else points
    seen: list[tuple[Ints, list[Floats]]] = []
    for columns, rows, chosen in _batches(statements, bound, left):
        shown, failed, witnesses = _search(
            Programme(statements[rows][:, columns], low[rows], high[rows]),
            sparse.csr_array(bound[chosen][:, columns]),
            need - spread[chosen],
            (bottom[chosen], top[chosen]),
            starts[:, columns],
        )
        found[chosen] = spread[chosen] + shown
        narrow[chosen] = failed
        seen.append((columns, witnesses))
    # Programmes share no unknown, so their sets are put side by side; what no programme held is as at the start.
    others = starts[0] if len(starts) else np.full(statements.shape[1], (BOTTOM + TOP) / 2)
    together = np.tile(others, (max((len(part) for _, part in seen), default=0), 1))
    for columns, witnesses in seen:
        for number, witness in enumerate(witnesses):
            together[number, columns] = witness
    return Ranges(width=found, narrow=narrow, points=together)


class Programme:
    """Statements over unknown scores, ready to be optimised again and again."""

    def __init__(self, statements: sparse.csr_array, low: Floats, high: Floats) -> None:
        self.statements = sparse.csr_array(statements)
        self.low, self.high = low, high
        count, size = self.statements.shape
        self.size = size
        # Each statement's value becomes an unknown of its own between the statement's two ends: one row instead of two.
        self._rows = sparse.hstack([self.statements, -sparse.eye_array(count)], format="csc")
        self._zeros = np.zeros(count)
        self._bounds = np.vstack([np.tile([BOTTOM, TOP], (size, 1)), np.column_stack([low, high])])

    def holds(self, point: Floats) -> bool:
        """Whether scores are in keeping with every statement."""
        value = self.statements @ point
        return bool(np.all(value >= self.low - TOLERANCE) and np.all(value <= self.high + TOLERANCE))

    def lowest(self, objective: Floats) -> Floats | None:
        """Scores in keeping with all statements that make the objective lowest; None if the solver gives none."""
        if np.any(self.low > self.high):
            return None
        answer: Any = linprog(
            np.concatenate([objective, self._zeros]),
            A_eq=self._rows,
            b_eq=self._zeros,
            bounds=self._bounds,
            method="highs-ds",
            options=SOLVER,
        )
        if answer.status != 0 or answer.x is None:
            return None
        point: Floats = np.clip(answer.x[: self.size], BOTTOM, TOP)
        return point if self.holds(point) else None


class _Shown:
    """How far apart two sets of scores were seen in each target, and the sets that show it."""

    def __init__(self, programme: Programme, targets: sparse.csr_array, need: Floats) -> None:
        self._programme, self.targets, self._need = programme, targets, need
        self.lowest = np.full(targets.shape[0], np.inf)
        self.highest = np.full(targets.shape[0], -np.inf)
        self.witnesses: list[Floats] = []

    def see(self, point: Floats) -> None:
        """Takes note of a set of scores that is in keeping with all statements."""
        value = self.targets @ point
        if np.any(value < self.lowest) or np.any(value > self.highest):
            self.witnesses.append(point)
        np.minimum(self.lowest, value, out=self.lowest)
        np.maximum(self.highest, value, out=self.highest)

    def seek(self, objective: Floats) -> None:
        """Looks for the set of scores that makes an objective lowest."""
        point = self._programme.lowest(objective)
        if point is not None:
            self.see(point)

    def open(self) -> Ints:
        """Targets not shown wide yet."""
        return np.flatnonzero(~(self.highest - self.lowest > self._need))


def _search(
    programme: Programme, targets: sparse.csr_array, need: Floats, outer: tuple[Floats, Floats], starts: Floats
) -> tuple[Floats, Flags, list[Floats]]:
    """Shows as many targets wide with as few programmes as it can; solves the others' own two.

    First some rounds send a random half of the targets down and the others up: a mean of many leaves most of them room
    for that. Then every round asks for one extreme of many targets that share no statement, of each the end that is
    farther from what was seen: alone in its statements a target reaches its extreme whatever the rest do.

    Returns:
        Width shown and verdict of each target, and the sets of scores that show it.
    """
    shown = _Shown(programme, targets, need)
    for start in starts:
        if programme.holds(start):
            shown.see(start)
    random = np.random.default_rng(0)
    for _ in range(SWINGS):
        open_ = shown.open()
        if open_.size:
            swing = targets[open_].T @ random.choice((-1.0, 1.0), open_.size)
            shown.seek(swing)
            shown.seek(-swing)
    touches = sparse.csr_array((targets @ programme.statements.T) > 0)
    tried = np.zeros((targets.shape[0], 2), dtype=bool)
    idle = 0
    while idle < IDLE_ROUNDS and (open_ := shown.open()).size:
        chosen = _apart(random.permutation(open_), touches)
        down = shown.lowest[chosen] - outer[0][chosen] > outer[1][chosen] - shown.highest[chosen]
        down = np.where(tried[chosen, down.astype("int64")], random.random(chosen.size) < 0.5, down)
        tried[chosen, down.astype("int64")] = True
        shown.seek(targets[chosen].T @ np.where(down, 1.0, -1.0))
        idle = 0 if shown.open().size < open_.size else idle + 1
    for target in shown.open():
        for sign in (1.0, -1.0):
            if target in shown.open():
                shown.seek(sign * targets[[target]].toarray()[0])
    width = shown.highest - shown.lowest
    return np.where(np.isfinite(width), width, 0.0), ~(width > need), shown.witnesses


def _apart(order: Ints, touches: sparse.csr_array) -> Ints:
    """Takes targets in order, leaving out each that shares a statement with one taken before."""
    used = np.zeros(touches.shape[1], dtype=bool)
    start, statements = touches.indptr, touches.indices
    taken = []
    for target in order:
        mine = statements[start[target] : start[target + 1]]
        if not used[mine].any():
            used[mine] = True
            taken.append(target)
    return np.array(taken, dtype="int64")


def _by_one_statement(
    statements: sparse.csr_array, low: Floats, high: Floats, targets: sparse.csr_array
) -> tuple[Floats, Floats, Flags]:
    """Ranges of targets as far as single statements tell, the other unknowns of the statement being anything.

    A target that is a multiple of a part of a statement lies between (end - the rest at its other end) over the
    part's weight. Several such statements hold together, so the ranges are cut with one another. The range is exact
    when the statement's unknowns are in no other one.

    Returns:
        Bottom and top of each target, and whether they are exact.
    """
    mass = targets.sum(axis=1)
    bottom, top = BOTTOM * mass, TOP * mass
    total = statements.sum(axis=1)
    pattern, other = _pattern(targets), _pattern(statements)
    # Coefficients are positive: the four products have their entries in the same places.
    target, statement, product = _entries(targets @ statements.T)
    shared = _entries(pattern @ other.T)[2]
    weight = _entries(pattern @ statements.T)[2]
    weight_square = _entries(pattern @ statements.power(2).T)[2]
    size = np.diff(targets.indptr)
    # Equality in the inequality of Cauchy and Schwarz: the target is a multiple of this part of the statement.
    square = targets.power(2).sum(axis=1)
    same = (shared == size[target]) & (
        np.abs(product**2 - weight_square * square[target]) <= 1e-12 * weight_square * square[target]
    )
    target, statement, weight = target[same], statement[same], weight[same]
    scale = mass[target] / weight
    rest = total[statement] - weight
    np.maximum.at(bottom, target, scale * (low[statement] - TOP * rest))
    np.minimum.at(top, target, scale * (high[statement] - BOTTOM * rest))
    alone = statements.count_nonzero(axis=0) <= 1
    possible = (low <= high) & (low <= TOP * total + TOLERANCE) & (high >= BOTTOM * total - TOLERANCE)
    lonely = ((other @ (~alone).astype("float64")) == 0) & possible
    exact = np.zeros(targets.shape[0], dtype=bool)
    exact[target[lonely[statement]]] = True
    exact |= size == 0
    return bottom, top, exact


def _pattern(matrix: sparse.csr_array) -> sparse.csr_array:
    return sparse.csr_array((np.ones(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape)


def _entries(matrix: sparse.csr_array) -> tuple[Ints, Ints, Floats]:
    """Row, column and value of each entry, in order."""
    matrix = sparse.csr_array(matrix)
    matrix.sort_indices()
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), matrix.indices, matrix.data


def _batches(statements: sparse.csr_array, targets: sparse.csr_array, left: Ints) -> list[tuple[Ints, Ints, Ints]]:
    """Cuts the targets left into programmes that share no unknown: (unknowns, statements, targets) of each."""
    if left.size == 0:
        return []
    part_of, label = _components(sparse.csr_array(sparse.vstack([statements, targets[left]])))
    row_part = part_of[: statements.shape[0]]
    target_part = part_of[statements.shape[0] :]
    wanted = np.unique(target_part)
    sizes = np.bincount(label, minlength=max(part_of.max(), label.max()) + 1)[wanted]
    batch_of = np.full(max(part_of.max(), label.max()) + 1, -1, dtype="int64")
    batch_of[wanted] = np.cumsum(sizes) // BATCH
    return [
        (
            np.flatnonzero(batch_of[label] == batch),
            np.flatnonzero(batch_of[row_part] == batch),
            left[batch_of[target_part] == batch],
        )
        for batch in np.unique(batch_of[wanted])
    ]


def _components(matrix: sparse.csr_array) -> tuple[Ints, Ints]:
    """Labels of connected rows and columns."""
    rows = matrix.shape[0]
    _, label = connected_components(sparse.block_array([[None, matrix], [matrix.T, None]], format="csr"))
    return label[:rows].astype("int64"), label[rows:].astype("int64")


@dataclass(frozen=True)
class Model:
    """Statements and targets over classes of ratings that all of them treat alike.

    Attributes:
        statements: statements x classes; the released numbers first, then the sums.
        names: release ids of the released numbers.
        low, high: interval of each statement, the share of destroyed periods taken out.
        class_of: class of each version of a rating.
        truth: mean score of each class.
        named: classes whose scores HR reads.
        component: component of each released number.
        class_component: component of each class.
        targets: targets x classes, each row adding up to 1.
        about: kind, process_key, ratee_id, rater_id, period of each target, coded as `Ratings` codes them.
        ratings: the codes.
    """

    statements: sparse.csr_array
    names: list[str]
    low: Floats
    high: Floats
    class_of: Ints
    truth: Floats
    named: Flags
    component: Ints
    class_component: Ints
    targets: sparse.csr_array
    about: Ints
    ratings: Ratings


class Ratings:
    """Versions of ratings (one for each score a rating has or had when it was released) as plain arrays of numbers."""

    def __init__(self, units: pd.DataFrame, register: pd.DataFrame) -> None:
        def joined(column: str) -> pd.Series[Any]:
            return pd.concat([units[column], register[column]], ignore_index=True)

        process, self.processes = pd.factorize(joined("process_key"))
        windows = pd.concat([units["period"], register["period"], register["window_from"]], ignore_index=True)
        period, self.periods = pd.factorize(windows)
        rating, score = joined("rating_id").to_numpy(dtype="int64"), joined("score").to_numpy(dtype="float64")
        count = len(units)
        if len(_codes(process[:count], rating[:count])[1]) < count:
            raise AuditError("a rating stands twice among the hidden ratings: give each rating once, as it is now")
        version, first = _codes(process, rating, score)
        self.of_unit, self.of_entry = version[:count], version[count:]
        self.window = period[version.size :]
        self.process, self.period = process[first], period[first]
        self.ratee = joined("ratee_id").to_numpy(dtype="int64")[first]
        self.rater = joined("rater_id").to_numpy(dtype="int64")[first]
        self.id, self.score = rating[first], score[first]
        self.rating = _codes(process, rating)[0][first]
        self.current = np.zeros(first.size, dtype=bool)
        self.current[self.of_unit] = True
        self.edited = np.isin(self.rating, self.rating[~self.current])
        self.named = np.zeros(first.size, dtype=bool)
        self.named[version[(joined("mode") == "named_to_hr").to_numpy(dtype=bool)]] = True
        self.count = first.size

    def index(self) -> pd.MultiIndex:
        """What tells versions apart, whatever else is audited."""
        return pd.MultiIndex.from_arrays([np.asarray(self.processes)[self.process], self.id, self.score])


def model_of(units: pd.DataFrame, register: pd.DataFrame, sums: pd.DataFrame | None = None) -> Model:
    """Writes ratings and register as statements and targets; arguments and errors as for `audit`."""
    ratings = Ratings(units, register)
    names, entry, weight, low, high = _statements(register)
    told = _sum_statements(units, sums, ratings)
    version = np.concatenate([ratings.of_entry, told[0]])
    row = np.concatenate([entry, told[1] + len(names)])
    value = np.concatenate([weight, told[2]])
    low, high = np.concatenate([low, told[3]]), np.concatenate([high, told[4]])

    class_of, first = _codes(
        ratings.process,
        ratings.ratee,
        ratings.rater,
        ratings.period,
        ratings.named + 2 * ratings.current + 4 * ratings.edited,
        _signatures(ratings.count, version, row, value),
    )
    truth = np.bincount(class_of, weights=ratings.score) / np.bincount(class_of)
    statements = _matrix(value, row, class_of[version], (len(low), first.size))
    statement_component, class_component = _components(statements)

    blocks = (register["cut"] == "rating_block").to_numpy(dtype=bool)
    about, target, member, share = _targets(ratings, blocks, entry, weight)
    return Model(
        statements=statements,
        names=names,
        low=low,
        high=high,
        class_of=class_of,
        truth=truth,
        named=ratings.named[first],
        component=statement_component[: len(names)],
        class_component=class_component,
        targets=_whole(_matrix(share, target, class_of[member], (about.shape[1], first.size))),
        about=about,
        ratings=ratings,
    )


def _starts(model: Model, view: View, after: AuditResult | None) -> Floats:
    """The true scores and, of an earlier audit, the sets of scores that it found, over today's classes."""
    if after is None or not len(after.witnesses.scores[view]):
        return model.truth[np.newaxis]
    place = after.witnesses.versions.get_indexer(model.ratings.index())
    scores = np.where(place < 0, model.ratings.score, after.witnesses.scores[view][:, place])
    # Ratings that fewer released numbers tell apart share a class now: their mean stands for them in every number.
    mean = _matrix(np.ones(place.size), model.class_of, np.arange(place.size), (model.truth.size, place.size))
    return np.vstack([model.truth, (_whole(mean) @ scores.T).T])


def _examine(
    model: Model, view: View, touched: Ints, width: float, starts: Floats, *, everything: bool
) -> tuple[pd.DataFrame, Ranges]:
    statements, low, high, targets = model.statements, model.low, model.high, model.targets
    known = model.named if view == "hr" else np.zeros_like(model.named)
    near = np.isin(model.class_component, touched)
    asked = np.full(targets.shape[0], fill_value=True) if everything else (targets @ near.astype("float64")) > 0
    if view == "hr":
        # HR reads all that the analyst reads. Where it knows no score by name it knows no more than he does.
        aware = np.isin(model.class_component, np.unique(model.class_component[known]))
        asked &= (targets @ aware.astype("float64")) > 0
        if not asked.any():
            statements, low, high = statements[:0], low[:0], high[:0]
        fixed = statements @ np.where(known, model.truth, 0.0)
        low, high = low - fixed, high - fixed
        statements = sparse.csr_array(statements[:, ~known])
    targets = sparse.csr_array(targets[np.flatnonzero(asked)][:, ~known])
    kept = targets.sum(axis=1) > WHOLE
    targets = _whole(sparse.csr_array(targets[np.flatnonzero(kept)]))
    rows = np.flatnonzero(asked)[kept]
    ranges = _distinct_targets(statements, low, high, targets, width, starts[:, ~known])
    points = np.tile(model.truth, (len(ranges.points), 1))
    points[:, ~known] = ranges.points
    ranges = replace(ranges, points=points)
    bad = np.flatnonzero(ranges.narrow)
    incidence = sparse.csr_array(model.statements[: len(model.names)].T)
    direct, component = [], []
    for row in rows[bad]:
        classes = model.targets[[row]].indices
        direct.append(tuple(sorted({model.names[name] for name in np.unique(incidence[classes].indices)})))
        mine = np.isin(model.component, model.class_component[classes])
        component.append(tuple(sorted(model.names[name] for name in np.flatnonzero(mine))))
    kind, process, ratee, rater, period = model.about[:, rows[bad]]
    failing = pd.DataFrame(
        {
            "kind": pd.Series([KINDS[code] for code in kind], dtype="str"),
            "process_key": pd.Series(np.asarray(model.ratings.processes)[process], dtype="str"),
            "ratee_id": ratee,
            "rater_id": rater,
            "period": pd.Series(np.asarray(model.ratings.periods, dtype="object")[period], dtype="object"),
            "view": pd.Series([view] * bad.size, dtype="str"),
            "width": ranges.width[bad],
            "release_ids": pd.Series(direct, dtype="object"),
            "component": pd.Series(component, dtype="object"),
        }
    )
    return failing, ranges


def _distinct_targets(
    statements: sparse.csr_array, low: Floats, high: Floats, targets: sparse.csr_array, width: float, starts: Floats
) -> Ranges:
    """Solves equal targets once: a rater with one rating in a month is the same unknown in the month and its block."""
    targets.sort_indices()
    start, index, data = targets.indptr, targets.indices, targets.data
    seen: dict[tuple[bytes, bytes], int] = {}
    first: list[int] = []
    which = np.empty(targets.shape[0], dtype="int64")
    for row in range(targets.shape[0]):
        part = slice(start[row], start[row + 1])
        key = (index[part].tobytes(), data[part].tobytes())
        if key not in seen:
            seen[key] = len(first)
            first.append(row)
        which[row] = seen[key]
    ranges = narrow_targets(statements, low, high, sparse.csr_array(targets[first]), width, starts)
    return replace(ranges, width=ranges.width[which], narrow=ranges.narrow[which])


def _statements(register: pd.DataFrame) -> tuple[list[str], Ints, Floats, Floats, Floats]:
    """Release ids, the release of each register row, its weight, and each release's interval less destroyed shares."""
    entry, found = pd.factorize(register["release_id"])
    names = [str(name) for name in found]
    weight = register["weight"].to_numpy(dtype="float64")
    if not np.all(weight > 0):
        raise AuditError("a rating in the register weighs nothing or less: the register does not say what was released")
    total = np.bincount(entry, weights=weight, minlength=len(names))
    if np.any(total > 1 + WHOLE):
        raise AuditError("weights of a released number add up to more than 1: the register holds a rating twice")
    lows, highs = register["low"].to_numpy(dtype="float64"), register["high"].to_numpy(dtype="float64")
    if not (np.all(np.isfinite(lows)) and np.all(np.isfinite(highs))):
        raise AuditError("a released number has no interval: the register does not say what was released")
    low = np.full(len(names), -np.inf)
    high = np.full(len(names), np.inf)
    np.maximum.at(low, entry, lows)
    np.minimum.at(high, entry, highs)
    rest = np.where(total < 1 - WHOLE, 1 - total, 0.0)
    low, high = low - TOP * rest, high - BOTTOM * rest
    mean = np.bincount(entry, weights=weight * register["score"].to_numpy(dtype="float64"), minlength=len(names))
    wrong = int(np.sum((mean < low - MARGIN) | (mean > high + MARGIN)))
    if wrong:
        raise AuditError(
            f"the intervals of {wrong} released numbers do not hold the mean of their own ratings: somebody changed "
            "the register, or it was filled wrongly"
        )
    return names, entry.astype("int64"), weight, low, high


def _sum_statements(
    units: pd.DataFrame, sums: pd.DataFrame | None, ratings: Ratings
) -> tuple[Ints, Ints, Floats, Floats, Floats]:
    """Version, statement number and weight of each member of a pseudonymous cell, and each statement's interval."""
    if sums is None or sums.empty:
        none = np.empty(0, dtype="int64")
        return none, none, np.empty(0), np.empty(0), np.empty(0)
    low, high = sums["low"].to_numpy(dtype="float64"), sums["high"].to_numpy(dtype="float64")
    if not (np.all(np.isfinite(low)) and np.all(np.isfinite(high))):
        raise AuditError("a sum of pseudonymous ratings has no interval: give both ends")
    keys = ["process_key", "period", "rater_department_id", "ratee_department_id"]
    chosen = (units["mode"] == "pseudonymous").to_numpy(dtype=bool)
    members = units.loc[chosen, keys].assign(version=ratings.of_unit[chosen])
    members = members.merge(sums[keys].assign(statement=np.arange(len(sums))), on=keys)
    statement = members["statement"].to_numpy(dtype="int64")
    size = np.bincount(statement, minlength=len(sums))
    # The rows were published when the month was frozen: an edited rating stands in them as it was first released.
    released = ratings.of_entry[~ratings.current[ratings.of_entry]]
    earliest = np.full(ratings.count, -1, dtype="int64")
    earliest[ratings.rating[released[::-1]]] = released[::-1]
    now = members["version"].to_numpy(dtype="int64")
    then = earliest[ratings.rating[now]]
    return np.where(then < 0, now, then), statement, 1.0 / size[statement], low, high


def _targets(ratings: Ratings, blocks: Flags, entry: Ints, weight: Floats) -> tuple[Ints, Ints, Ints, Floats]:
    """What each target is about; target, version and share of each of its members.

    Args:
        ratings: versions.
        blocks: register rows that belong to a block; the others belong to pairs.
        entry: release of each register row.
        weight: weight of each register row.
    """
    about, targets, members, shares = [], [], [], []
    in_block = np.zeros(ratings.count, dtype=bool)
    in_block[ratings.of_entry[blocks]] = True
    done = 0
    then = ~ratings.current | ~ratings.edited
    for moment, is_past in ((ratings.current, False), (then, True)):
        for kind, wanted in (("cell", moment & ~in_block), ("rater_month", moment)):
            chosen = np.flatnonzero(wanted)
            rater = ratings.rater[chosen] if kind == "rater_month" else np.zeros(chosen.size, dtype="int64")
            process, ratee, period = ratings.process[chosen], ratings.ratee[chosen], ratings.period[chosen]
            code, first = _codes(process, ratee, rater, period)
            if is_past:
                changed = np.isin(code, code[~ratings.current[chosen]])
                chosen, rater, process = chosen[changed], rater[changed], process[changed]
                ratee, period = ratee[changed], period[changed]
                code, first = _codes(process, ratee, rater, period)
            kinds = np.full(first.size, KINDS.index(kind))
            about.append(np.stack([kinds, process[first], ratee[first], rater[first], period[first]]))
            targets.append(code + done)
            members.append(chosen)
            shares.append(np.ones(chosen.size))
            done += first.size
    for kind, inside in (("rater_block", blocks), ("rater_pair", ~blocks)):
        version = ratings.of_entry[inside]
        code, first = _codes(entry[inside], ratings.rater[version])
        one = version[first]
        ratee = ratings.ratee[one] if kind == "rater_block" else np.zeros(first.size, dtype="int64")
        kinds = np.full(first.size, KINDS.index(kind))
        about.append(np.stack([kinds, ratings.process[one], ratee, ratings.rater[one], ratings.window[inside][first]]))
        targets.append(code + done)
        members.append(version)
        shares.append(weight[inside])
        done += first.size
    return np.hstack(about), np.concatenate(targets), np.concatenate(members), np.concatenate(shares)


def _signatures(count: int, version: Ints, row: Ints, value: Floats) -> Ints:
    """Equal numbers for versions with the same weights in the same statements; exact, no hash."""
    order = np.lexsort((row, version))
    version, row, value = version[order], row[order], value[order]
    rank = np.arange(version.size) - np.searchsorted(version, version)
    label = np.zeros(count, dtype="int64")
    for step in range(int(rank.max()) + 1 if rank.size else 0):
        here = rank == step
        code, _ = _codes(label[version[here]], row[here], value[here])
        label[version[here]] = code + label.max() + 1
    return label


def _codes(*keys: npt.NDArray[Any]) -> tuple[Ints, Ints]:
    """Number of each row's combination of keys, and the first row of each combination."""
    code, first = np.zeros(keys[0].size, dtype="int64"), np.empty(0, dtype="int64")
    for key in keys:
        values, first, here = np.unique(key, return_index=True, return_inverse=True)
        _, first, code = np.unique(code * max(values.size, 1) + here, return_index=True, return_inverse=True)
    return code.astype("int64"), first.astype("int64")


def _matrix(value: Floats, row: Ints, column: Ints, shape: tuple[int, int]) -> sparse.csr_array:
    return sparse.csr_array(sparse.coo_array((value, (row, column)), shape=shape).tocsr())


def _whole(targets: sparse.csr_array) -> sparse.csr_array:
    """Targets with coefficients that add up to 1."""
    return sparse.csr_array(sparse.diags_array(1.0 / targets.sum(axis=1)) @ targets) if targets.shape[0] else targets
