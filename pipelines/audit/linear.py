"""What all published numbers together leave open of a single score, by linear programming.

Belongs here: the polytope of scores that fit everything published, and how wide it is in the direction of a target.
Does not belong here: the product's own audit (`assets/rules/linear_audit.py`), on purpose: two programmes that share no
line cannot share a mistake.

Unknown is the sum of the scores of each class: the ratings of one ratee by one rater in one month, from one department
and in one mode. A sum of c ratings lies between c and 5 c. A published number says that a weighted sum of such sums
lies in its interval. A target is pinned if its mean can move by less than one point among all sums that fit.

A range is proved wide by two sets of sums that fit and differ enough in it. Vertices found with random objectives serve
all targets at once; what they leave is solved by its own two programmes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components

WIDTH = 1.0
SLACK = 1e-6
VERTICES = 24
"""Random objectives before a target gets its own programmes."""

CLASS = ["process_key", "ratee_id", "rater_id", "rater_department_id", "month", "mode", "since"]


@dataclass(frozen=True)
class Pinned:
    """What was found.

    Attributes:
        targets: how many ranges were examined.
        widths: width of each that is closed to less than a point.
        smallest: the smallest width found.
    """

    targets: int
    widths: tuple[float, ...]
    smallest: float


@dataclass(frozen=True)
class _System:
    """Statements over sums of classes: low <= matrix @ sums <= high, floor <= sums <= roof."""

    matrix: csr_array
    low: np.ndarray
    high: np.ndarray
    floor: np.ndarray
    roof: np.ndarray

    def part(self, columns: np.ndarray, rows: np.ndarray) -> _System:
        return _System(
            csr_array(self.matrix[rows][:, columns]),
            self.low[rows],
            self.high[rows],
            self.floor[columns],
            self.roof[columns],
        )

    def vertex(self, objective: np.ndarray) -> np.ndarray | None:
        """Sums that fit and make the objective smallest; None if the solver gives none that really fit."""
        both = csr_array(np.vstack([self.matrix.toarray(), -self.matrix.toarray()]))
        found = linprog(
            objective,
            A_ub=both,
            b_ub=np.concatenate([self.high, -self.low]),
            bounds=np.column_stack([self.floor, self.roof]),
            method="highs",
        )
        if found.x is None or not self.fits(found.x):
            return None
        return np.asarray(found.x)

    def fits(self, sums: np.ndarray) -> bool:
        told = self.matrix @ sums
        return bool(
            (told >= self.low - SLACK).all()
            and (told <= self.high + SLACK).all()
            and (sums >= self.floor - SLACK).all()
            and (sums <= self.roof + SLACK).all()
        )


def pinned(
    units: pd.DataFrame, members: pd.DataFrame, published: pd.DataFrame, sums: pd.DataFrame, view: str
) -> Pinned:
    """Examines ratee months outside blocks, rater months, and each rater in each number.

    Args:
        units: hidden ratings, every version: CLASS columns, score, is_now (the current version).
        members: `evidence.members` of `published`, with the class columns.
        published: `evidence.numbers`.
        sums: what pseudonymous rows tell: process_key, month, rater_department_id, ratee_department_id, low, high of
            the sum of scores of the cell's pseudonymous ratings.
        view: "analyst" sees pseudonymous rows; "hr" knows the scores of mode named_to_hr; "head" knows no score.
    """
    classes = (
        units.groupby(CLASS, sort=False)
        .agg(
            size=("score", "size"),
            total=("score", "sum"),
            ratee_department_id=("ratee_department_id", "first"),
            is_now=("is_now", "first"),
        )
        .reset_index()
    )
    classes["at"] = np.arange(len(classes))
    system = _system(
        classes, members, published, sums if view == "analyst" else sums.iloc[:0], knows_named=view == "hr"
    )
    targets = _targets(classes, members, skip_named=view == "hr")
    return _examined(system, targets)


def _system(
    classes: pd.DataFrame, members: pd.DataFrame, published: pd.DataFrame, sums: pd.DataFrame, *, knows_named: bool
) -> _System:
    of = members.merge(classes[[*CLASS, "at"]], on=CLASS)
    # Ratings of a class weigh the same in a number, so the weight of one is the coefficient of their sum.
    cells = of.groupby(["number", "at"])["weight"].first().reset_index()
    stated = np.sort(cells["number"].unique())
    row_of = {number: row for row, number in enumerate(stated.tolist())}
    rows = [row_of[number] for number in cells["number"]]
    columns, values = cells["at"].tolist(), cells["weight"].tolist()
    low, high = published["low"].to_numpy()[stated].tolist(), published["high"].to_numpy()[stated].tolist()
    pseudonymous = classes[classes["mode"].eq("pseudonymous").to_numpy()]
    keys = ["process_key", "month", "rater_department_id", "ratee_department_id"]
    for cell in sums.merge(pseudonymous, on=keys).groupby(keys):
        rows += [len(low)] * len(cell[1])
        columns += cell[1]["at"].tolist()
        values += [1.0] * len(cell[1])
        low.append(float(cell[1]["low"].iloc[0]))
        high.append(float(cell[1]["high"].iloc[0]))
    size = classes["size"].to_numpy(dtype="float64")
    is_known = classes["mode"].eq("named_to_hr").to_numpy() & knows_named
    total = classes["total"].to_numpy(dtype="float64")
    matrix = csr_array(coo_array((values, (rows, columns)), shape=(len(low), len(classes))))
    return _System(
        matrix, np.array(low), np.array(high), np.where(is_known, total, size), np.where(is_known, total, 5 * size)
    )


def _targets(classes: pd.DataFrame, members: pd.DataFrame, *, skip_named: bool) -> csr_array:
    """One row per target: the coefficients of its mean over the sums of classes."""
    frame = classes[classes["mode"].ne("named_to_hr").to_numpy()] if skip_named else classes
    in_blocks = members[members["cut"].eq("block").to_numpy()][CLASS].drop_duplicates().assign(is_in_block=True)
    marked = frame.merge(in_blocks, on=CLASS, how="left")
    now = marked[marked["is_now"].to_numpy(dtype=bool)]
    outside = now[now["is_in_block"].isna().to_numpy() & now["mode"].ne("department_only").to_numpy()]
    lists = [
        *_grouped(outside, ["process_key", "ratee_id", "month"]),
        *_grouped(now, ["process_key", "ratee_id", "month", "rater_id"]),
        *_grouped(members.merge(frame[[*CLASS, "at", "size"]].drop_duplicates("at"), on=CLASS), ["number", "rater_id"]),
    ]
    distinct = {tuple(sorted(set(zip(at, size, strict=True)))) for at, size in lists}
    rows, columns, values = [], [], []
    for row, target in enumerate(sorted(distinct)):
        whole = sum(size for _, size in target)
        for at, _ in target:
            rows.append(row)
            columns.append(at)
            values.append(1.0 / whole)
    return csr_array(coo_array((values, (rows, columns)), shape=(len(distinct), len(classes))))


def _grouped(frame: pd.DataFrame, keys: list[str]) -> list[tuple[list[int], list[int]]]:
    return [(rows["at"].tolist(), rows["size"].tolist()) for _, rows in frame.groupby(keys)]


def _examined(system: _System, targets: csr_array) -> Pinned:
    """Examines each connected part by itself: parts that share no statement cannot narrow each other."""
    count = system.matrix.shape[1]
    links = (
        csr_array(abs(system.matrix).T @ abs(system.matrix)) if system.matrix.shape[0] else csr_array((count, count))
    )
    together = csr_array(links + csr_array(abs(targets).T @ abs(targets)))
    _, part_of = connected_components(together, directed=False)
    widths = np.zeros(targets.shape[0])
    of_target = part_of[targets.indices[targets.indptr[:-1]]] if targets.shape[0] else np.array([], dtype=int)
    of_row = part_of[system.matrix.indices[system.matrix.indptr[:-1]]] if system.matrix.shape[0] else np.array([], int)
    for part in np.unique(of_target):
        mine, columns, rows = of_target == part, np.flatnonzero(part_of == part), np.flatnonzero(of_row == part)
        own = csr_array(targets[np.flatnonzero(mine)][:, columns])
        local = system.part(columns, rows)
        widths[mine] = own @ (local.roof - local.floor) if not len(rows) else _widths(local, own)
    closed = np.sort(widths[widths < WIDTH - SLACK])
    return Pinned(len(widths), tuple(closed.tolist()), float(widths.min(initial=4.0)))


def _widths(system: _System, targets: csr_array) -> np.ndarray:
    """Width of each target, or at least a point for those that were seen to be that wide."""
    chance = np.random.default_rng(5)
    lowest, highest = np.full(targets.shape[0], np.inf), np.full(targets.shape[0], -np.inf)
    waiting = np.arange(targets.shape[0])
    for turn in range(VERTICES):
        signs = (
            chance.choice([-1.0, 1.0], len(waiting)) * chance.random(len(waiting))
            if turn > 1
            else np.ones(len(waiting))
        )
        sums = system.vertex((targets[waiting].T @ signs) * (-1.0) ** turn)
        if sums is not None:
            seen = targets @ sums
            lowest, highest = np.minimum(lowest, seen), np.maximum(highest, seen)
        waiting = np.flatnonzero(highest - lowest < WIDTH)
        if not len(waiting):
            return np.asarray(highest - lowest)
    widths = highest - lowest
    for target in waiting.tolist():
        direction = targets[[target]].toarray()[0]
        ends = [system.vertex(sign * direction) for sign in (1.0, -1.0)]
        values = [float(direction @ end) for end in ends if end is not None]
        # Without an answer from the solver nothing is proved, and what is not proved counts as pinned.
        widths[target] = values[1] - values[0] if len(values) == 2 else 0.0
    return np.asarray(widths)
