"""How long the audit by linear programming takes, against two programmes for every range.

    python benchmarks/linear_audit.py [RATEES] [MONTHS]

An invented company (default 300 ratees, 8 months): each ratee is rated 2 to 10 times a month by a pool of 2 to 9
people, most of them of one or two departments. Blocks grow until they hold 4 raters; pairs are by quarter, 5 raters and
2 ratees; a quarter of the departments rate under `named_to_hr`. What fails is held back, pairs first, and the rest is
audited again with the sets of scores of the audit before, until nothing fails. What is left is then audited once more
from nothing, beside the naive way: two programmes for each of its ranges, solved for a sample and extrapolated.
Processor time of one core.
"""

from __future__ import annotations

import math
import sys
import time
from datetime import date

import numpy as np
import pandas as pd

from assets.rules import linear_audit

DEPARTMENTS = 12
SAMPLE = 30
SCORES, CHANCES = np.arange(1, 6), [0.03, 0.05, 0.12, 0.25, 0.55]


def company(ratees: int, months: int, seed: int) -> pd.DataFrame:
    """All hidden ratings of one process."""
    random = np.random.default_rng(seed)
    people = np.arange(1, round(ratees * 1.4) + 1)
    department = random.integers(1, DEPARTMENTS + 1, people.size + 1)
    rows = []
    for ratee in people[:ratees]:
        near = random.integers(1, DEPARTMENTS + 1, 2)
        likely = np.where(np.isin(department[people], near), 6.0, 1.0) * (people != ratee)
        pool = random.choice(people, size=random.integers(2, 10), replace=False, p=likely / likely.sum())
        habit = 1.0 / np.arange(1, pool.size + 1)
        for month in range(months):
            for rater in random.choice(pool, size=random.integers(2, 11), p=habit / habit.sum()):
                rows.append((month, ratee, rater, department[rater], department[ratee]))  # noqa: PERF401
    units = pd.DataFrame(rows, columns=["month", "ratee_id", "rater_id", "rater_department_id", "ratee_department_id"])
    return units.assign(
        process_key="task",
        rating_id=np.arange(1, len(units) + 1),
        period=[first_day(month) for month in units["month"]],
        score=random.choice(SCORES, size=len(units), p=CHANCES).astype("float64"),
        mode=np.where(units["rater_department_id"] % 4 == 0, "named_to_hr", "aggregate"),
    )


def first_day(month: int) -> date:
    return date(2026 + month // 12, month % 12 + 1, 1)


def blocks(units: pd.DataFrame) -> pd.DataFrame:
    """A ratee's months, together until they hold 4 raters."""
    parts = []
    for ratee, rows in units.groupby("ratee_id"):
        start = 0
        for month in range(int(units["month"].max()) + 1):
            window = rows[(rows["month"] >= start) & (rows["month"] <= month)]
            if window["rater_id"].nunique() >= 4:
                parts.append(released(window, f"block-{ratee}-{start}", "rating_block", start, 0.25, (3.0, 4.75)))
                start = month + 1
            elif month - start == 5:
                start = month + 1
    return pd.concat(parts, ignore_index=True)


def pairs(units: pd.DataFrame) -> pd.DataFrame:
    """Department pairs by quarter."""
    whole = units[units["month"] < (units["month"].max() + 1) // 3 * 3]
    parts = []
    for (rater, ratee, quarter), rows in whole.groupby(
        ["rater_department_id", "ratee_department_id", whole["month"] // 3]
    ):
        if rows["rater_id"].nunique() >= 5 and rows["ratee_id"].nunique() >= 2:
            name = f"pair-{quarter}-{rater}-{ratee}"
            parts.append(released(rows, name, "department_pair", quarter * 3, 0.1, (1.0, 5.0)))
    return pd.concat(parts, ignore_index=True)


def released(
    rows: pd.DataFrame, name: str, cut: str, start: int, step: float, clamps: tuple[float, float]
) -> pd.DataFrame:
    """Register rows of one released number."""
    size = rows.groupby("rater_id")["rating_id"].transform("size")
    weight = 1.0 / (size * rows["rater_id"].nunique())
    mean = math.floor(float((weight * rows["score"]).sum()) / step + 0.5) * step
    mean = min(max(mean, clamps[0]), clamps[1])
    return rows.assign(
        release_id=name,
        cut=cut,
        window_from=first_day(start),
        weight=weight,
        low=1.0 if mean == clamps[0] else mean - step / 2,
        high=5.0 if mean == clamps[1] else min(mean + step / 2, 5.0),
    )


def naive(units: pd.DataFrame, register: pd.DataFrame) -> tuple[float, int]:
    """Seconds that two programmes for each distinct range would take, from a sample, and how many ranges there are."""
    model = linear_audit.model_of(units, register)
    programme = linear_audit.Programme(model.statements, model.low, model.high)
    rows = np.random.default_rng(1).choice(model.targets.shape[0], size=SAMPLE, replace=False)
    started = time.process_time()
    for row in rows:
        for sign in (1.0, -1.0):
            programme.lowest(sign * model.targets[[row]].toarray()[0])
    return (time.process_time() - started) / SAMPLE * model.targets.shape[0], model.targets.shape[0]


def main() -> None:
    """Prints seconds, what failed, and the ratio."""
    ratees, months = (int(value) for value in (sys.argv[1:] + ["300", "8"][len(sys.argv) - 1 :])[:2])
    units = company(ratees, months, seed=1)
    register = pd.concat([blocks(units), pairs(units)], ignore_index=True)
    print(f"{ratees:,} ratees, {months} months: {len(units):,} ratings, {register['release_id'].nunique():,} numbers")
    total, rounds, result = 0.0, 0, None
    while True:
        started = time.process_time()
        result = linear_audit.audit(units, register, after=result)
        seconds = time.process_time() - started
        total, rounds = total + seconds, rounds + 1
        print(
            f"audit {rounds}: {seconds:8.1f} s, {result.targets:,} ranges, {len(result.narrow):,} too narrow, "
            f"smallest {result.smallest:.2f} points"
        )
        failing = {name for names in result.narrow["release_ids"] for name in names}
        held = {name for name in failing if name.startswith("pair")} or failing
        if not held:
            break
        register = register[~register["release_id"].isin(held)]
    print(f"until nothing fails   {total:8.1f} s, {register['release_id'].nunique():,} numbers left")
    started = time.process_time()
    linear_audit.audit(units, register)
    alone = time.process_time() - started
    alternative, ranges = naive(units, register)
    print(f"the rest from nothing {alone:8.1f} s")
    print(f"naive, extrapolated   {alternative:8.1f} s ({ranges:,} ranges of the analyst's view alone)")
    print(f"ratio                 {alternative / alone:8.1f}")


if __name__ == "__main__":
    main()
