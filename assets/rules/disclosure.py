"""Disclosure rules: what may be published of ratings whose rater is hidden.

Belongs here: thresholds, the two cuts with their rounding and clamps, complementary suppression, and the decision of
a month (`plan`), as pure functions over frames. Does not belong here: which ratings are hidden (`policy.py`), shares
and comments of hidden scope (`shares.py`, `pool.py`), how state is kept (`assets/hidden.py`).

Two cuts only, each row decided once, when its last month is frozen:

- ratee blocks: ratee x process over 1 to 6 whole months that never overlap. A month with fewer than k raters waits for
  the next ones; after six months the oldest is given up;
- pairs: rater department x ratee department x process x quarter.

k counts distinct raters, never rows, and every rater weighs 1 whatever the number of ratings: one busy rater must not
pass for four, and the clamp's proof needs equal weights. A decision looks at numbers of raters first; scores decide
only whether a number that passed the thresholds has to be held back (complementary suppression, linear audit).

What changes after the freeze goes into the ratee's next block: the numbers that are out stay as they are, because the
difference between two versions of a number is the rating that changed.
"""

from __future__ import annotations

import hmac
import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from assets.rules.thresholds import SEEN_BY_HR, shielded

if TYPE_CHECKING:
    from assets.rules.linear_audit import AuditResult

ProfileName = Literal["default", "strict", "small_company"]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Cut = Literal["rating_block", "department_pair"]

KEYS: dict[Cut, list[str]] = {
    "rating_block": ["ratee_id"],
    "department_pair": ["rater_department_id", "ratee_department_id"],
}
"""What a published number of a cut is about, beside process and window."""

BLOCK_MODES = frozenset({"named_to_hr", "pseudonymous", "aggregate"})
"""Modes whose ratings count toward a ratee's block; `department_only` never does."""

BLOCK_MONTHS = 6
BLOCK_STEP = 0.25
BLOCK_TOP = 4.75
PAIR_PARTS = 10
PAIR_RATERS = 5
PAIR_RATEES = 2
PAIR_LOW = 2.0
"""Lowest published mean of a pair. Lower ones would be held back by the linear audit for being too plain, and so an
empty place would tell that everybody gave 1; from here on no part of a pair is narrow for its low scores alone."""

METHOD = "blocks-2"
"""Name of this rule set, stamped on every released row's ledger entry."""

FLOOR = 3
"""Fewest raters that any profile may ask for."""


@dataclass(frozen=True)
class Profile:
    """Thresholds of a release profile.

    Attributes:
        k: fewest distinct raters of a block.
        lows: lowest published mean of a block, by number of raters; the last holds for more. With n raters, one of
            them colluding with the ratee, a "low or less" proves a score below 5 for the others unless the band
            reaches above (n + 8) / n, see `least_top`.
    """

    k: int
    lows: Mapping[int, float]

    def __post_init__(self) -> None:
        if self.k < FLOOR:
            raise ValueError(f"k = {self.k} is below the floor of {FLOOR} distinct raters")
        for raters in range(self.k, max(self.k, *self.lows) + 1):
            low = self._low(raters)
            if low % BLOCK_STEP != 0:
                raise ValueError(f"the lowest band {low} is no multiple of {BLOCK_STEP}: it would reach less far")
            if low + BLOCK_STEP / 2 <= least_top(raters, known=1):
                raise ValueError(
                    f"the lowest band {low} of {raters} raters would let a ratee and one colluder prove a low score: "
                    f"it must reach above {least_top(raters, known=1):.2f}"
                )

    def _low(self, raters: int) -> float:
        return self.lows[max(at for at in self.lows if at <= max(raters, min(self.lows)))]

    def low(self, raters: int, known: int = 0) -> float:
        """Lowest published mean of a block.

        Args:
            raters: distinct raters of the block.
            known: of how many of them a reader of the block knows the score: those who read the dashboards
                themselves, and for HR those it reads by name.

        Returns:
            The clamp; above `BLOCK_TOP` if no band would be wide enough.
        """
        low = self._low(raters)
        while low + BLOCK_STEP / 2 <= least_top(raters, known=1 + known):
            low += BLOCK_STEP
        return low


def least_top(raters: int, known: int) -> float:
    """The top that the lowest band must exceed so that it proves nothing about any single rater.

    Of n raters, `known` of them known to have given 5 and all others at least 1, one can be proved to have given less
    than 5 only if n * mean < 5 + 5 * known + (n - 1 - known). For one colluder that is (n + 8) / n.
    """
    return (raters + 4 + 4 * known) / raters


PROFILES: dict[ProfileName, Profile] = {
    "default": Profile(k=4, lows={4: 3.0}),
    "strict": Profile(k=5, lows={5: 2.5}),
    "small_company": Profile(k=3, lows={3: 3.75, 4: 3.0}),
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
    # Means of thirds and sevenths miss the half by the last bit, now from one side and now from the other.
    rounded = math.floor(mean / BLOCK_STEP + 0.5 + ROUNDING_SLACK) * BLOCK_STEP
    if rounded <= low:
        return f"<= {low:.2f}"
    if rounded >= BLOCK_TOP:
        return f">= {BLOCK_TOP:.2f}"
    return f"{rounded:.2f}"


ROUNDING_SLACK = 1e-9


def band_interval(band: str) -> tuple[float, float]:
    """Between which values the mean behind a published score band lies."""
    value = float(band.removeprefix("<= ").removeprefix(">= "))
    low = 1.0 if band.startswith("<=") else value - BLOCK_STEP / 2
    high = 5.0 if band.startswith(">=") else value + BLOCK_STEP / 2
    return low, high


def rounded_mean(mean: float) -> float:
    """A pair's mean, rounded to 0.1 (half up) and clamped at the bottom."""
    return max(PAIR_LOW, math.floor(mean * PAIR_PARTS + 0.5 + ROUNDING_SLACK) / PAIR_PARTS)


def mean_interval(mean: float) -> tuple[float, float]:
    """Between which values the mean behind a pair's published score lies."""
    low = 1.0 if mean <= PAIR_LOW else mean - 0.5 / PAIR_PARTS
    return low, min(5.0, mean + 0.5 / PAIR_PARTS)


REGISTER_COLUMNS = (
    "release_id",
    "cut",
    "process_key",
    "window_from",
    "window_to",
    "rating_id",
    "period",
    "ratee_id",
    "rater_id",
    "rater_department_id",
    "ratee_department_id",
    "score",
    "mode",
    "weight",
    "low",
    "high",
)
BLOCK_COLUMNS = ("release_id", "ratee_id", "process_key", "block_from", "block_to", "rater_band", "score_band")
PAIR_COLUMNS = (
    "release_id",
    "process_key",
    "rater_department_id",
    "ratee_department_id",
    "period_from",
    "period_to",
    "rater_band",
    "mean_score",
)


@dataclass(frozen=True)
class Plan:
    """What was decided.

    Attributes:
        blocks: released blocks (`BLOCK_COLUMNS`).
        pairs: released pairs (`PAIR_COLUMNS`).
        register: which rating went into which of them (`REGISTER_COLUMNS`).
        windows: what is decided for good, with or without rows: cut, process_key, window_from, window_to.
        held: how many numbers that passed the thresholds were held back, by cut and reason.
    """

    blocks: pd.DataFrame
    pairs: pd.DataFrame
    register: pd.DataFrame
    windows: pd.DataFrame
    held: dict[str, int] = field(default_factory=dict)


def plan(
    process_key: str,
    units: pd.DataFrame,
    register: pd.DataFrame,
    blocks: pd.DataFrame,
    decided: Collection[date],
    to_decide: Iterable[date],
    profile: Profile,
    seal: bytes,
    sums: pd.DataFrame | None = None,
) -> Plan:
    """Decides months of one process, oldest first; the outcome is the same in one call as in a call for each month.

    Args:
        process_key: the process.
        units: its hidden counted ratings in the vault, one row each: rating_id, period, ratee_id, rater_id,
            rater_department_id, ratee_department_id, score, mode, is_viewer.
        register: what went into numbers released so far.
        blocks: blocks released so far, the withdrawn ones too: ratee_id, block_from, block_to.
        decided: months decided so far.
        to_decide: frozen months to decide now.
        profile: thresholds.
        seal: secret that makes ids of released numbers; they are equal for equal windows.
        sums: what an analyst knows of pseudonymous rows, see `linear_audit.audit`.

    Returns:
        What is new.
    """
    state = _Decisions(process_key, units, register, blocks, set(decided), profile, seal, sums)
    for month in sorted(set(to_decide) - set(decided)):
        state.decide(month)
    return state.plan()


class _Decisions:
    """The months of one process, decided one after another."""

    def __init__(
        self,
        process_key: str,
        units: pd.DataFrame,
        register: pd.DataFrame,
        blocks: pd.DataFrame,
        decided: set[date],
        profile: Profile,
        seal: bytes,
        sums: pd.DataFrame | None,
    ) -> None:
        self._process_key = process_key
        self._units = units.assign(month=_ordinals(units["period"]), process_key=process_key).reset_index(drop=True)
        self._months = self._units["month"].to_numpy(dtype="int64")
        codes, self._ratees = pd.factorize(self._units["ratee_id"])
        self._ratee = codes.astype("int64")
        self._sides: Ints = np.asarray(self._units.groupby(KEYS["department_pair"]).ngroup(), dtype="int64")
        self._in_blocks = self._units["mode"].isin(list(BLOCK_MODES)).to_numpy(dtype=bool)
        self._in_pairs = self._units[KEYS["department_pair"]].ne(0).all(axis=1).to_numpy(dtype=bool)
        self._register = register.reindex(columns=list(REGISTER_COLUMNS))
        self._old = len(register)
        self._before = [_window_of(row) for row in blocks.to_dict("records")]
        self._decided = decided
        self._profile = profile
        self._seal = seal
        self._sums = sums
        self._blocks: list[dict[str, Any]] = []
        self._pairs: list[dict[str, Any]] = []
        self._windows: list[tuple[str, str, date, date]] = []
        self._held: Counter[str] = Counter()
        self._late = self._find_late()
        self._audited: AuditResult | None = None

    def plan(self) -> Plan:
        """What was decided so far."""
        return Plan(
            pd.DataFrame(self._blocks, columns=list(BLOCK_COLUMNS)),
            pd.DataFrame(self._pairs, columns=list(PAIR_COLUMNS)),
            self._register.iloc[self._old :].reset_index(drop=True),
            pd.DataFrame(self._windows, columns=["cut", "process_key", "window_from", "window_to"]),
            dict(self._held),
        )

    def decide(self, month: date) -> None:
        """Decides the blocks that end with a month, and the pairs of the quarter that it completes."""
        self._decided.add(month)
        self._windows.append(("rating_block", self._process_key, month, month))
        candidates = self._block_candidates(month)
        quarter = quarter_start(month)
        if quarter in complete_quarters(self._decided):
            self._windows.append(("department_pair", self._process_key, quarter, quarter_end(quarter)))
            candidates = candidates.with_(self._pair_candidates(quarter))
        if not candidates.numbers:
            return
        kept = self._without_narrow(self._without_parts(candidates), month)
        for candidate in kept.numbers:
            (self._blocks if candidate.cut == "rating_block" else self._pairs).append(candidate.row)
        self._register = _stacked([self._register, kept.entries])
        self._late &= ~self._units["rating_id"].isin(kept.entries["rating_id"]).to_numpy(dtype=bool)

    def _block_candidates(self, month: date) -> _Candidates:
        """Blocks that end with the month: the waiting months of each ratee, and what changed in released ones."""
        end = _ordinal(month)
        last: dict[int, int] = {}
        for ratee, start, stop in [*self._before, *(_window_of(row) for row in self._blocks)]:
            if start <= end:
                last[ratee] = max(last.get(ratee, 0), stop)
        reached = np.array([last.get(ratee, 0) for ratee in self._ratees.tolist()], dtype="int64")[self._ratee]
        is_waiting = (self._months > max(0, end - BLOCK_MONTHS)) & (self._months > reached) & (self._months <= end)
        is_open = self._in_blocks & (reached < end)
        has_waiting = np.zeros(len(self._ratees), dtype=bool)
        has_waiting[self._ratee[is_open & is_waiting]] = True
        is_late = self._late & (self._months <= end)
        chosen = is_open & (is_waiting | is_late) & has_waiting[self._ratee]
        rows = self._units.assign(is_waiting=is_waiting)[chosen & self._with_enough(chosen, self._ratee)]
        counted = rows[~rows["is_viewer"].to_numpy(dtype=bool)]
        passed = shielded(counted, ["ratee_id"], "rater_id", self._profile.k)
        ratees = passed.index[passed.to_numpy(dtype=bool)]
        return self._cut("rating_block", rows[rows["ratee_id"].isin(ratees).to_numpy()], month)

    def _with_enough(self, chosen: Flags, group: Ints) -> Flags:
        """Which ratings are of a group with k raters; thresholds proper are slower and asked of these alone."""
        people = np.unique(np.column_stack([group, self._units["rater_id"]])[chosen], axis=0)[:, 0]
        enough: Flags = (np.bincount(people, minlength=int(group.max(initial=0)) + 1) >= self._profile.k)[group]
        return enough

    def _find_late(self) -> Flags:
        """Which ratings lie in a released block of their ratee, but not with the score they have now.

        Only blocks of earlier runs can have such: a block takes all ratings of its months.
        """
        spent = self._register[self._register["cut"].eq("rating_block").to_numpy()]
        # A block without entries was taken over from a warehouse: nobody knows what it held, so nothing of it is late.
        told = spent[["ratee_id", "window_from", "window_to"]].drop_duplicates()
        told = told.assign(start=_ordinals(told["window_from"]), end=_ordinals(told["window_to"]))
        beside = self._units[["rating_id", "ratee_id", "month"]].merge(told, on="ratee_id")
        within = beside.loc[beside["month"].between(beside["start"], beside["end"]).to_numpy(), "rating_id"]
        used = pd.MultiIndex.from_arrays([spent["rating_id"], spent["score"].astype("float64")])
        now = pd.MultiIndex.from_arrays([self._units["rating_id"], self._units["score"].astype("float64")])
        late: Flags = self._units["rating_id"].isin(within).to_numpy(dtype=bool) & ~now.isin(used)
        return late

    def _pair_candidates(self, quarter: date) -> _Candidates:
        keys = KEYS["department_pair"]
        start = _ordinal(quarter)
        chosen = (self._months >= start) & (self._months <= start + 2) & self._in_pairs
        rows = self._units[chosen & self._with_enough(chosen, self._sides)]
        counted = rows[~rows["is_viewer"].to_numpy(dtype=bool)]
        passed = shielded(counted, keys, "rater_id", PAIR_RATERS) & shielded(counted, keys, "ratee_id", PAIR_RATEES)
        rows = rows[pd.MultiIndex.from_frame(rows[keys]).isin(passed.index[passed.to_numpy(dtype=bool)])]
        return self._cut("department_pair", rows, quarter_end(quarter))

    def _cut(self, cut: Cut, rows: pd.DataFrame, window_to: date) -> _Candidates:
        """Makes the numbers of a cut from the ratings that passed its thresholds."""
        if rows.empty:
            return _Candidates([], self._register.iloc[:0])
        keys = KEYS[cut]
        of_group = rows.groupby(keys)["rater_id"].transform("nunique").to_numpy(dtype="float64")
        of_rater = rows.groupby([*keys, "rater_id"])["rating_id"].transform("size").to_numpy(dtype="float64")
        rows = rows.assign(weight=1.0 / (of_group * of_rater))
        is_named = rows["mode"].eq(SEEN_BY_HR)
        # Where HR reads some by name and others not, the named ones are as good as colluders against the others.
        is_mixed = is_named & rows.assign(unnamed=~is_named).groupby(keys)["unnamed"].transform("any")
        is_known = rows["is_viewer"].astype("bool") | is_mixed
        rows = rows.assign(part=rows["weight"] * rows["score"], known=rows["rater_id"].where(is_known))
        is_waiting = (
            rows["is_waiting"].to_numpy(dtype=bool) if cut == "rating_block" else np.ones(len(rows), dtype=bool)
        )
        first = rows[is_waiting].groupby(keys)["period"].min()
        groups = rows.groupby(keys).agg(
            raters=("rater_id", "nunique"), known=("known", "nunique"), mean=("part", "sum")
        )
        made, labels = [], []
        for key, raters, known, mean in zip(
            groups.index.tolist(),
            groups["raters"].tolist(),
            groups["known"].tolist(),
            groups["mean"].tolist(),
            strict=True,
        ):
            low_band = self._profile.low(raters, known)
            if cut == "rating_block" and low_band > BLOCK_TOP:
                self._held["rating_block: too many raters are known"] += 1
                continue
            window_from = first.loc[key] if cut == "rating_block" else quarter_start(window_to)
            who = [key] if cut == "rating_block" else list(key)
            release_id = _release_id(self._seal, [cut, self._process_key, who, str(window_from), str(window_to)])
            row: dict[str, Any] = {
                "release_id": release_id,
                "process_key": self._process_key,
                **dict(zip(keys, who, strict=True)),
                "rater_band": rater_band(raters),
            }
            if cut == "rating_block":
                band = score_band(mean, low_band)
                row |= {"block_from": window_from, "block_to": window_to, "score_band": band}
                low, high = band_interval(band)
            else:
                shown = rounded_mean(mean)
                row |= {"period_from": window_from, "period_to": window_to, "mean_score": shown}
                low, high = mean_interval(shown)
            made.append(_Candidate(cut, release_id, window_from, window_to, raters, row))
            labels.append((*who, release_id, window_from, low, high))
        told = pd.DataFrame(labels, columns=[*keys, "release_id", "window_from", "low", "high"])
        entries = rows.merge(told, on=keys).assign(cut=cut, window_to=window_to)
        return _Candidates(made, entries[list(REGISTER_COLUMNS)])

    def _without_parts(self, candidates: _Candidates) -> _Candidates:
        """Complementary suppression: no pair whose blocks, taken away from it, leave too few behind.

        Only blocks that lie wholly inside a pair can be taken away from it; what others tell is the linear audit's.
        """
        register = _stacked([self._register, candidates.entries])
        is_pair = register["cut"].eq("department_pair").to_numpy(dtype=bool)
        parts, totals = register[~is_pair], register[is_pair]
        fresh = candidates.ids()
        moved = set(parts.loc[parts["release_id"].isin(fresh).to_numpy(), "rating_id"])
        touched = set(totals.loc[totals["rating_id"].isin(moved).to_numpy(), "release_id"]) | (
            fresh & set(totals["release_id"])
        )
        dropped: set[str] = set()
        for pair_id, members in totals[totals["release_id"].isin(touched).to_numpy()].groupby("release_id"):
            blocks = _wholly_inside(parts, members)
            while blocks.keys() - dropped:
                inside = set().union(*(ratings for key, ratings in blocks.items() if key not in dropped))
                rest = members[~members["rating_id"].isin(inside).to_numpy()]
                victim = candidates.victim({str(pair_id), *blocks}, dropped)
                if rest.empty or _stands(rest, self._profile.k) or victim is None:
                    break
                dropped.add(victim.release_id)
                self._held[f"{victim.cut}: remainder too small"] += 1
                if victim.release_id == pair_id:
                    break
        return candidates.without(dropped)

    def _without_narrow(self, candidates: _Candidates, month: date) -> _Candidates:
        """The linear audit: holds numbers back until no score can be told closer than one point."""
        sums = None if self._sums is None else self._sums[self._sums["period"].le(month).to_numpy(dtype=bool)]
        # A second of scipy, and settings import this module for the profiles: paid by whoever decides something.
        from assets.rules import linear_audit

        known = self._units[self._months <= _ordinal(month)]
        touching = candidates.ids()
        while touching:
            register = _stacked([self._register, candidates.entries])
            self._audited = linear_audit.audit(known, register, sums=sums, touching=touching, after=self._audited)
            narrow = self._audited.narrow
            victims: dict[str, _Candidate] = {}
            connected: set[str] = set()
            for direct, component in _most_entangled(narrow):
                if not victims.keys() & set(direct):
                    victim = candidates.victim(direct, victims) or candidates.victim(component, victims)
                    if victim is not None:
                        victims[victim.release_id] = victim
                        connected |= set(component)
            self._held.update(f"{victim.cut}: score too narrow" for victim in victims.values())
            candidates = candidates.without(victims)
            touching = connected & candidates.ids()
        return candidates


@dataclass(frozen=True)
class _Candidate:
    """A number that passed the thresholds."""

    cut: Cut
    release_id: str
    window_from: date
    window_to: date
    raters: int
    row: dict[str, Any]

    def order(self) -> tuple[bool, int, int, str]:
        """The first in this order is held back first: the newest pair, then the newest block, of these the smallest."""
        return self.cut != "department_pair", -_ordinal(self.window_from), self.raters, self.release_id


@dataclass(frozen=True)
class _Candidates:
    """Numbers that passed the thresholds, and the ratings in them (`REGISTER_COLUMNS`)."""

    numbers: list[_Candidate]
    entries: pd.DataFrame

    def ids(self) -> set[str]:
        return {number.release_id for number in self.numbers}

    def with_(self, others: _Candidates) -> _Candidates:
        return _Candidates(self.numbers + others.numbers, _stacked([self.entries, others.entries]))

    def without(self, ids: Collection[str]) -> _Candidates:
        if not ids:
            return self
        return _Candidates(
            [number for number in self.numbers if number.release_id not in ids],
            self.entries[~self.entries["release_id"].isin(list(ids)).to_numpy()],
        )

    def victim(self, among: Collection[str], dropped: Collection[str]) -> _Candidate | None:
        """What to hold back of some numbers; None if all that are left of them are published already."""
        left = [number for number in self.numbers if number.release_id in among and number.release_id not in dropped]
        return min(left, key=_Candidate.order, default=None)


def _wholly_inside(parts: pd.DataFrame, members: pd.DataFrame) -> dict[str, set[int]]:
    """The blocks all of whose ratings are members of a pair, with their ratings."""
    is_inside = parts["rating_id"].isin(members["rating_id"]).to_numpy(dtype=bool)
    whole = parts.assign(held=np.where(is_inside, parts["weight"], 0.0)).groupby("release_id")["held"].sum()
    wholly = whole.index[whole.to_numpy(dtype="float64") > 1 - ROUNDING_SLACK]
    found = parts[parts["release_id"].isin(wholly).to_numpy()]
    return {str(key): set(of) for key, of in found.groupby("release_id")["rating_id"]}


def _most_entangled(narrow: pd.DataFrame) -> list[tuple[list[str], list[str]]]:
    """Failing targets as (numbers that hold them, numbers connected with them), the most entangled first."""
    found = list(zip(narrow["release_ids"], narrow["component"], strict=True))
    return sorted(found, key=lambda target: (-len(target[0]), sorted(target[0])))


def _stands(rest: pd.DataFrame, k: int) -> bool:
    """Whether a remainder could itself be published: enough people on both sides, not all of one score."""
    return bool(
        rest["rater_id"].nunique() >= k and rest["ratee_id"].nunique() >= PAIR_RATEES and rest["score"].nunique() > 1
    )


def _stacked(frames: list[pd.DataFrame]) -> pd.DataFrame:
    filled = [frame for frame in frames if not frame.empty]
    return pd.concat(filled, ignore_index=True) if filled else frames[0]


def _window_of(block: Mapping[Any, Any]) -> tuple[int, int, int]:
    return int(block["ratee_id"]), _ordinal(block["block_from"]), _ordinal(block["block_to"])


def _release_id(seal: bytes, parts: list[object]) -> str:
    return hmac.digest(seal, json.dumps(parts).encode(), "sha256").hex()[:32]


def _ordinal(period: date) -> int:
    return period.year * 12 + period.month - 1


def _ordinals(periods: pd.Series[date]) -> Ints:
    return np.array([_ordinal(period) for period in periods], dtype="int64")


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
