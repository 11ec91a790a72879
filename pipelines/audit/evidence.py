"""What an adversary holds, and how the success of an attack is counted.

Belongs here: the published frames of one company beside its truth, which ratings stand behind a published number, the
verdict with its bound. Does not belong here: how a company is read or made up (`warehouse.py`, `company.py`), any
attack.

The adversary is taken to know who rated whom, how often and in which month: he knows his tasks and their executors.
What he must not learn are the scores. Nothing here asks the pipeline what it did: members of a number, intervals of a
band and weights of raters are worked out again from the truth and the published text, so that the suite does not share
its mistakes.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date

import numpy as np
import pandas as pd
from scipy.stats import beta

from assets.rules.hidden import HiddenState

BLOCK_MODES = ("named_to_hr", "pseudonymous", "aggregate")
"""Modes that a ratee's block may rest on."""

CONFIDENCE = 0.95
SLACK = 1e-9
TRIALS = 3_000
"""Trials that an attack needs before its failure says anything."""

NONE_ALLOWED = 0.001
"""What the bound reaches when none of 3 000 trials succeeded: for attacks of which not one may succeed."""

K = {"default": 4, "strict": 5, "small_company": 3}
"""Promised numbers of distinct raters behind a ratee's block, by profile."""


@dataclass(frozen=True)
class Result:
    """How an attack went.

    Attributes:
        attack: its number and name.
        baseline: accuracy of the best guess without anything published.
        advantage: (accuracy - baseline) / (1 - baseline).
        bound: one-sided 95 % bound on the advantage (Clopper-Pearson); the advantage itself where everything there is
            was looked at.
        pass_level: what the bound must not exceed.
        passed: whether it does not.
        trials: how often it was tried.
        note: what else there is to say, in a few words.
    """

    attack: str
    baseline: float
    advantage: float
    bound: float
    pass_level: float
    passed: bool
    trials: int
    note: str = ""


def measured(attack: str, successes: float, trials: int, baseline: float, pass_level: float, note: str = "") -> Result:
    """An attack that may succeed as often as a guess.

    Args:
        attack: its number and name.
        successes: expected or counted successes; a part of one counts as one.
        trials: how many there were; none at all fails.
        baseline: accuracy of the guess.
        pass_level: largest advantage allowed.
        note: what else to say.
    """
    scale = 1 - baseline
    if not trials or scale <= 0:
        return Result(attack, baseline, 0.0, 1.0, pass_level, passed=False, trials=trials, note="nothing to try it on")
    advantage = (successes / trials - baseline) / scale
    bound = (_upper(int(np.ceil(successes)), trials) - baseline) / scale
    return Result(attack, baseline, advantage, bound, pass_level, bool(bound <= pass_level), trials, note)


def none_allowed(attack: str, successes: int, trials: int, note: str = "") -> Result:
    """An attack of which no trial may succeed; with fewer than 3 000 trials its failure does not count."""
    result = measured(attack, successes, trials, 0.0, NONE_ALLOWED, note)
    return replace(result, passed=result.passed and not successes)


def all_looked_at(attack: str, found: int, looked_at: int, note: str = "") -> Result:
    """An attack that goes through everything there is: what it does not find is not there."""
    share = found / max(looked_at, found, 1)
    return Result(attack, 0.0, share, share, 0.0, not found, looked_at, note)


def _upper(successes: int, trials: int) -> float:
    return 1.0 if successes >= trials else float(beta.ppf(CONFIDENCE, successes + 1, trials - successes))


@dataclass(frozen=True)
class Truth:
    """What really was said; no reader of the warehouse has it.

    Attributes:
        ratings: every rating: process_key, rating_id, period, rated_on, ratee_id, rater_id, rater_department_id,
            ratee_department_id, task_id, score, comment, exclusion_code, is_counted, mode, is_viewer, and `since` and
            `until`, the months (as year * 12 + month - 1) in whose decisions this version of it was the current one.
        closed: by process, the frozen months.
        expected: expected ratings with mode, where they are known.
        rater_of: pseudonym to rater_id, where the keys are known.
    """

    ratings: pd.DataFrame
    closed: dict[str, set[date]]
    expected: pd.DataFrame = field(default_factory=pd.DataFrame)
    rater_of: dict[str, int] = field(default_factory=dict)

    @property
    def hidden(self) -> pd.DataFrame:
        """Counted hidden ratings of closed months, every version."""
        rows = self.ratings
        months = pd.MultiIndex.from_tuples([(key, month) for key, of in self.closed.items() for month in of])
        found: pd.DataFrame = rows[
            rows["mode"].ne("open").to_numpy()
            & rows["is_counted"].to_numpy(dtype=bool)
            & pd.MultiIndex.from_arrays([rows["process_key"], rows["period"]]).isin(months)
        ]
        return found


@dataclass(frozen=True)
class Release:
    """What is published of one company, in the order in which a reader finds it.

    Attributes:
        name: of the company, for people.
        profile: release profile.
        blocks: ratee_id, process_key, block_from, block_to, rater_band, score_band.
        pairs: hidden department pairs: process_key, rater_department_id, ratee_department_id, period_from, period_to,
            rater_band, mean_score.
        rows: pseudonymous rows: process_key, period, rater_department_id, ratee_department_id, pseudonym, score.
        comments: process_key, ratee_department_id, comment.
        reasons: hidden shares of reasons: ratee_department_id, period_from, reason_code, share.
        violations: hidden shares of broken rules: rater_department_id, period_from, rule_code, share.
        coverage: hidden coverage: process_key, period_from, rater_department_id, ratee_department_id, coverage.
        bands: bands of hidden scope: ratee_id, window_from, window_to, band.
        snapshots: blocks and pairs as they were after each release, oldest first, with the last decided month.
        truth: None for a company whose truth nobody has.
        state: what the release rules remember of a company released in memory.
    """

    name: str
    profile: str
    blocks: pd.DataFrame
    pairs: pd.DataFrame
    rows: pd.DataFrame
    comments: pd.DataFrame
    reasons: pd.DataFrame
    violations: pd.DataFrame
    coverage: pd.DataFrame
    bands: pd.DataFrame
    snapshots: tuple[tuple[int, pd.DataFrame, pd.DataFrame], ...] = ()
    truth: Truth | None = None
    state: HiddenState = field(default_factory=HiddenState.empty)

    @property
    def known(self) -> Truth:
        """The truth, of a company that has one."""
        if self.truth is None:
            raise LookupError(f"The truth of {self.name} is not known.")
        return self.truth


def ordinal(period: date) -> int:
    """Months since year 0."""
    return period.year * 12 + period.month - 1


def ordinals(periods: pd.Series[date]) -> np.ndarray:
    """`ordinal` of each."""
    return np.array([ordinal(period) for period in periods], dtype="int64")


def interval(band: str) -> tuple[float, float]:
    """Between which values a published score band says that the mean lies; one that is not rounded says it exactly."""
    value = float(band.split()[-1])
    half = 0.125 if (value * 4).is_integer() else 0.0
    return 1.0 if band.startswith("<=") else value - half, 5.0 if band.startswith(">=") else value + half


def numbers(blocks: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """Published blocks and pairs as one list: cut, process_key, who, first, last (months), low, high."""
    ranges = [interval(band) for band in blocks["score_band"]]
    means = pairs["mean_score"].to_numpy(dtype="float64")
    half = np.where(np.abs(means * 10 - np.round(means * 10)) < SLACK, 0.05, 0.0)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "cut": "block",
                    "process_key": blocks["process_key"].astype(object),
                    "who": [(int(ratee),) for ratee in blocks["ratee_id"]],
                    "first": ordinals(blocks["block_from"]),
                    "last": ordinals(blocks["block_to"]),
                    "low": [low for low, _ in ranges],
                    "high": [high for _, high in ranges],
                }
            ),
            pd.DataFrame(
                {
                    "cut": "pair",
                    "process_key": pairs["process_key"].astype(object),
                    "who": [
                        (int(rater), int(ratee))
                        for rater, ratee in zip(pairs["rater_department_id"], pairs["ratee_department_id"], strict=True)
                    ],
                    "first": ordinals(pairs["period_from"]),
                    "last": ordinals(pairs["period_to"]),
                    "low": np.maximum(1.0, means - half),
                    "high": np.minimum(5.0, means + half),
                }
            ),
        ],
        ignore_index=True,
    )


def members(published: pd.DataFrame, truth: Truth) -> pd.DataFrame:
    """The ratings behind each published number, worked out as an adversary who knows everybody's tasks does.

    A block also takes what was edited after the freeze in an earlier block of its ratee.

    Args:
        published: `numbers`.
        truth: what was rated.

    Returns:
        Columns number (position in `published`), cut, version (position in the truth), rating_id, process_key, period,
        ratee_id, rater_id, rater_department_id, score, mode, is_viewer, month, is_late, weight: the part of the
        rating in the mean of its number, where each rater weighs the same.
    """
    hidden = truth.hidden
    hidden = hidden.assign(version=hidden.index, month=ordinals(hidden["period"]))
    listed = published.assign(number=np.arange(len(published)))
    blocks = listed[listed["cut"].eq("block").to_numpy()]
    blocks = blocks.assign(ratee_id=[who[0] for who in blocks["who"]])
    of_blocks = blocks.merge(hidden[hidden["mode"].isin(BLOCK_MODES).to_numpy()], on=["process_key", "ratee_id"])
    in_window = of_blocks["month"].between(of_blocks["first"], of_blocks["last"])
    is_current = of_blocks["since"].le(of_blocks["last"]) & of_blocks["until"].gt(of_blocks["last"])
    late = of_blocks[is_current & of_blocks["month"].lt(of_blocks["first"]) & of_blocks["since"].gt(of_blocks["month"])]
    # Only what an earlier block had taken is late, and only the first block after the edit takes it.
    earlier = blocks[["process_key", "ratee_id", "first", "last"]].rename(columns={"first": "a", "last": "z"})
    held = late.merge(earlier, on=["process_key", "ratee_id"])
    held = held[held["month"].between(held["a"], held["z"]) & held["z"].lt(held["since"])]
    late = late[late["version"].isin(held["version"])].sort_values("last").drop_duplicates("version")
    pairs = listed[listed["cut"].eq("pair").to_numpy()]
    pairs = pairs.assign(
        rater_department_id=[who[0] for who in pairs["who"]], ratee_department_id=[who[1] for who in pairs["who"]]
    )
    of_pairs = pairs.merge(hidden, on=["process_key", "rater_department_id", "ratee_department_id"])
    is_there = (
        of_pairs["month"].between(of_pairs["first"], of_pairs["last"])
        & of_pairs["since"].le(of_pairs["last"])
        & of_pairs["until"].gt(of_pairs["last"])
    )
    found = pd.concat(
        [
            of_blocks[in_window & is_current].assign(is_late=False),
            late.assign(is_late=True),
            of_pairs[is_there].assign(is_late=False),
        ],
        ignore_index=True,
    )
    return weighted(found)[
        [
            "number",
            "cut",
            "version",
            "rating_id",
            "process_key",
            "period",
            "ratee_id",
            "rater_id",
            "rater_department_id",
            "score",
            "mode",
            "is_viewer",
            "month",
            "is_late",
            "weight",
        ]
    ]


def weighted(rows: pd.DataFrame) -> pd.DataFrame:
    """Adds the weight of each rating in its number: raters weigh the same, so do the ratings of a rater."""
    raters = rows.groupby("number")["rater_id"].transform("nunique")
    own = rows.groupby(["number", "rater_id"])["version"].transform("size")
    return rows.assign(weight=1.0 / (raters * own))
