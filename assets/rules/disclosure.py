"""Disclosure rules: what may be published of ratings whose rater is hidden.

Belongs here: thresholds, cuts, rounding and clamps of hidden scope, as pure functions over frames. Does not belong
here: which ratings are hidden (`policy.py`), what was published before (`ops.release` remembers).

Two cuts only, each row written once, when its months are frozen: ratee blocks and department pairs. k counts distinct
raters, never rows, and every rater weighs 1 whatever the number of ratings: one busy rater must not pass for four,
and the clamp's proof needs equal weights.

For now a block is one month; months that miss k stay unpublished until blocks can grow.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Literal

import numpy as np
import pandas as pd

ProfileName = Literal["default", "strict", "small_company"]

BLOCK_MODES = frozenset({"named_to_hr", "pseudonymous", "aggregate"})
"""Modes whose ratings count toward a ratee's block; `department_only` never does."""

BLOCK_STEP = 0.25
BLOCK_TOP = 4.75
PAIR_PARTS = 10
PAIR_RATERS = 5
PAIR_RATEES = 2

METHOD = "plain-1"
"""Name of this rule set, stamped on every released row's ledger entry."""


@dataclass(frozen=True)
class Profile:
    """Thresholds of a release profile.

    Attributes:
        k: fewest distinct raters of a block.
        low: lowest published mean of a block. With n raters, one of them colluding with the ratee, a "low or less"
            proves a score below 5 for the others unless the band reaches above (n + 8) / n; checked when built
            for n = k (the bound falls with n).
    """

    k: int
    low: float

    def __post_init__(self) -> None:
        if self.k < 3:
            raise ValueError(f"k = {self.k} is below the floor of 3 distinct raters")
        if self.low % BLOCK_STEP != 0:
            raise ValueError(f"the lowest band {self.low} is no multiple of {BLOCK_STEP}: it would reach less far")
        if self.low + BLOCK_STEP / 2 <= (self.k + 8) / self.k:
            raise ValueError(
                f"the lowest band {self.low} with k = {self.k} would let a ratee and one colluder prove a low score: "
                f"it must reach above {(self.k + 8) / self.k:.2f}"
            )


PROFILES: dict[ProfileName, Profile] = {
    "default": Profile(k=4, low=3.0),
    "strict": Profile(k=5, low=2.5),
    "small_company": Profile(k=3, low=3.75),
}


def rater_band(raters: int) -> str:
    """Published instead of the number of raters."""
    if raters >= 10:
        return "10+"
    if raters >= 7:
        return "7-9"
    return "4-6" if raters >= 4 else "1-3"


def score_band(mean: float, low: float) -> str:
    """A block's mean, rounded to 0.25 (half up) and clamped on both sides."""
    rounded = math.floor(mean / BLOCK_STEP + 0.5) * BLOCK_STEP
    if rounded <= low:
        return f"<= {low:.2f}"
    if rounded >= BLOCK_TOP:
        return f">= {BLOCK_TOP:.2f}"
    return f"{rounded:.2f}"


def ratee_blocks(ratings: pd.DataFrame, frozen: Collection[date], profile: Profile) -> pd.DataFrame:
    """Cut 1: ratee x process x frozen month with at least k distinct hidden raters.

    Args:
        ratings: checked ratings with columns mode, is_counted, process_key, period, ratee_id, rater_id, score.
        frozen: months that may be published.
        profile: thresholds.

    Returns:
        ratee_id, process_key, block_from, block_to (first day of first and last month), rater_band, score_band.
    """
    hidden = _countable(ratings, BLOCK_MODES, frozen)
    by_rater = hidden.groupby(["ratee_id", "process_key", "period", "rater_id"], as_index=False)["score"].mean()
    cells = by_rater.groupby(["ratee_id", "process_key", "period"], as_index=False).agg(
        raters=("rater_id", "size"), mean=("score", "mean")
    )
    cells = cells[cells["raters"] >= profile.k]
    return pd.DataFrame(
        {
            "ratee_id": cells["ratee_id"].astype("int64"),
            "process_key": cells["process_key"].astype("str"),
            "block_from": cells["period"],
            "block_to": cells["period"],
            "rater_band": [rater_band(raters) for raters in cells["raters"]],
            "score_band": [score_band(mean, profile.low) for mean in cells["mean"]],
        }
    )


def department_pairs(ratings: pd.DataFrame, frozen: Collection[date], quarters: Collection[date]) -> pd.DataFrame:
    """Cut 2: rater department x ratee department x process x quarter, at least 5 raters and 2 ratees.

    Args:
        ratings: as for `ratee_blocks`, with rater_department_id and ratee_department_id.
        frozen: months that may be published.
        quarters: first days of the quarters to publish; all their months are frozen.

    Returns:
        process_key, rater_department_id, ratee_department_id, period_from, period_to, rater_band, mean_score.
    """
    hidden = _countable(ratings, frozenset(ratings["mode"].unique()) - {"open"}, frozen)
    hidden = hidden[(hidden["rater_department_id"] != 0) & (hidden["ratee_department_id"] != 0)]
    quarter = [quarter_start(period) for period in hidden["period"]]
    hidden = hidden.assign(period_from=quarter)
    hidden = hidden[hidden["period_from"].isin(list(quarters))]
    keys = ["process_key", "rater_department_id", "ratee_department_id", "period_from"]
    ratees = hidden.groupby(keys)["ratee_id"].nunique().rename("ratees").reset_index()
    by_rater = hidden.groupby([*keys, "rater_id"], as_index=False)["score"].mean()
    cells = by_rater.groupby(keys, as_index=False).agg(raters=("rater_id", "size"), mean=("score", "mean"))
    cells = cells.merge(ratees, on=keys)
    cells = cells[(cells["raters"] >= PAIR_RATERS) & (cells["ratees"] >= PAIR_RATEES)]
    return pd.DataFrame(
        {
            "process_key": cells["process_key"].astype("str"),
            "rater_department_id": cells["rater_department_id"].astype("int64"),
            "ratee_department_id": cells["ratee_department_id"].astype("int64"),
            "period_from": cells["period_from"],
            "period_to": [quarter_end(start) for start in cells["period_from"]],
            "rater_band": [rater_band(raters) for raters in cells["raters"]],
            "mean_score": np.floor(cells["mean"].to_numpy(dtype="float64") * PAIR_PARTS + 0.5) / PAIR_PARTS,
        }
    )


def quarter_start(period: date) -> date:
    """First day of the quarter a month lies in."""
    return date(period.year, period.month - (period.month - 1) % 3, 1)


def quarter_end(start: date) -> date:
    """First day of the last month of a quarter."""
    return date(start.year, start.month + 2, 1)


def complete_quarters(frozen: Collection[date]) -> set[date]:
    """Quarters all of whose months are frozen."""
    months = set(frozen)
    return {
        start
        for start in {quarter_start(period) for period in months}
        if all(date(start.year, start.month + step, 1) in months for step in range(3))
    }


def _countable(ratings: pd.DataFrame, modes: Collection[str], frozen: Collection[date]) -> pd.DataFrame:
    rows = ratings[
        ratings["is_counted"].to_numpy(dtype=bool)
        & ratings["mode"].isin(list(modes)).to_numpy(dtype=bool)
        & ratings["period"].isin(list(frozen)).to_numpy(dtype=bool)
    ]
    return rows.assign(score=rows["score"].astype("float64"))
