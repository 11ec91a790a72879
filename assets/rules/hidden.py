"""Release of hidden ratings: which windows are decided, in which order, and what was decided before.

Belongs here: the state of everything ever released of hidden scope, deciding the windows that are closed and not
decided yet, withdrawing what a stricter policy no longer allows. Does not belong here: thresholds and cuts themselves
(`disclosure.py`, `shares.py`, `pool.py`, `pseudonyms.py`, `hidden_scores.py`), where the state is kept and how it is
published (`assets/hidden.py`).

A window is decided once, when it is closed, and what was decided never changes: a second look at the same window would
show by the difference what changed in between. So a window without any row is remembered too, or a rating that arrives
late would make one appear and show that it was the one that was missing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from assets.rules import hidden_scores, pool, pseudonyms, shares
from assets.rules.disclosure import BLOCK_MODES, METHOD, Profile, ProfileName, complete_quarters, plan
from assets.rules.policy import MODES
from assets.rules.thresholds import SEEN_BY_HR

NO_TEXTS: frozenset[ProfileName] = frozenset({"strict"})
"""Profiles that publish no comment, however well redacted: the shares of reasons say what the comments are about."""

BLOCK, PAIR, REASON, VIOLATION = "rating_block", "department_pair", "reason", "rule_violation"
COVERAGE, COMMENT, ROWS = "coverage", "comment_feed", "pseudonymous"
SCORE = "fct_score"

ADOPTED = "adopted"
"""Not a cut: marks the last month that a warehouse had decided when it was taken over."""

KEY_DESTROYED = "pseudonymous: key destroyed"

CHECKS = {
    BLOCK: "k,rounding,clamp,complementary,lp",
    PAIR: "k,rounding,complementary,lp",
    REASON: "k,authors,rounding",
    VIOLATION: "k,authors,rounding",
    COVERAGE: "k,rounding",
    COMMENT: "k,authors,redaction,canary",
    SCORE: "k,one_rater,no_proof",
}
"""What every row of a cut has passed before it was released."""

_STAMP = [
    ("released_at", pa.date32()),
    ("policy_version", pa.string()),
    ("profile", pa.string()),
    ("method", pa.string()),
    ("checks_passed", pa.string()),
    ("withdrawn_at", pa.date32()),
]
_SIDES = [
    ("rater_department_id", pa.int64()),
    ("rater_department", pa.string()),
    ("ratee_department_id", pa.int64()),
    ("ratee_department", pa.string()),
]
_WINDOW = [("period_from", pa.date32()), ("period_to", pa.date32()), ("process_key", pa.string())]

SCHEMAS = {
    "blocks": pa.schema(
        [
            ("release_id", pa.string()),
            ("ratee_id", pa.int64()),
            ("process_key", pa.string()),
            ("block_from", pa.date32()),
            ("block_to", pa.date32()),
            ("rater_band", pa.string()),
            ("score_band", pa.string()),
            *_STAMP,
        ]
    ),
    "pairs": pa.schema(
        [
            ("release_id", pa.string()),
            *_WINDOW,
            *_SIDES,
            ("rater_band", pa.string()),
            ("mean_score", pa.float64()),
            *_STAMP,
        ]
    ),
    "reasons": pa.schema(
        [
            ("release_id", pa.string()),
            *_WINDOW,
            *_SIDES,
            ("reason_code", pa.string()),
            ("title", pa.string()),
            ("share", pa.float64()),
            *_STAMP,
        ]
    ),
    "violations": pa.schema(
        [
            ("release_id", pa.string()),
            *_WINDOW,
            *_SIDES[:2],
            ("rule_code", pa.string()),
            ("severity", pa.string()),
            ("title", pa.string()),
            ("hint", pa.string()),
            ("share", pa.float64()),
            *_STAMP,
        ]
    ),
    "coverage": pa.schema(
        [
            ("release_id", pa.string()),
            *_WINDOW,
            *_SIDES,
            ("coverage", pa.float64()),
            ("is_final", pa.bool_()),
            *_STAMP,
        ]
    ),
    "comments": pa.schema(
        [
            ("release_id", pa.string()),
            *_WINDOW,
            *_SIDES[2:],
            ("comment", pa.string()),
            *_STAMP,
        ]
    ),
    "bands": pa.schema(
        [
            ("release_id", pa.string()),
            ("process_key", pa.string()),
            ("ratee_id", pa.int64()),
            ("window_from", pa.date32()),
            ("window_to", pa.date32()),
            ("band", pa.string()),
            ("explanation", pa.string()),
            ("method_version", pa.string()),
            *_STAMP,
        ]
    ),
    "windows": pa.schema(
        [
            ("cut", pa.string()),
            ("process_key", pa.string()),
            ("window_from", pa.date32()),
            ("window_to", pa.date32()),
            ("released_at", pa.date32()),
        ]
    ),
    "register": pa.schema(
        [
            ("release_id", pa.string()),
            ("cut", pa.string()),
            ("process_key", pa.string()),
            ("window_from", pa.date32()),
            ("window_to", pa.date32()),
            ("rating_id", pa.int64()),
            ("period", pa.date32()),
            ("ratee_id", pa.int64()),
            ("rater_id", pa.int64()),
            ("rater_department_id", pa.int64()),
            ("ratee_department_id", pa.int64()),
            ("score", pa.float64()),
            ("mode", pa.string()),
            ("weight", pa.float64()),
            ("low", pa.float64()),
            ("high", pa.float64()),
        ]
    ),
    "members": pa.schema(
        [
            ("release_id", pa.string()),
            ("cut", pa.string()),
            ("process_key", pa.string()),
            ("rating_id", pa.int64()),
            ("period", pa.date32()),
        ]
    ),
    "rows": pa.schema(
        [
            ("release_id", pa.string()),
            ("process_key", pa.string()),
            ("period", pa.date32()),
            ("rater_department_id", pa.int64()),
            ("ratee_department_id", pa.int64()),
            ("pseudonym", pa.string()),
            ("score", pa.float64()),
            ("withdrawn_at", pa.date32()),
        ]
    ),
}
"""Columns of each part of `HiddenState`."""


@dataclass(frozen=True)
class HiddenState:
    """Everything ever released of hidden scope, and what went into it; the columns are those of `SCHEMAS`.

    Attributes:
        blocks: ratee blocks.
        pairs: department pairs.
        reasons: shares of reasons.
        violations: shares of broken comment rules.
        coverage: coverage of department pairs.
        comments: pooled comments; their window is the quarter whose close let them out, and is not published.
        bands: bands of ratees by half-year, all processes together.
        windows: what is decided for good, with or without rows.
        register: which rating went into which block or pair, with its weight; the vault's own.
        members: which rating stands behind which comment, share, band or cell of pseudonymous rows; the vault's
            own.
        rows: rows of mode pseudonymous.
    """

    blocks: pd.DataFrame
    pairs: pd.DataFrame
    reasons: pd.DataFrame
    violations: pd.DataFrame
    coverage: pd.DataFrame
    comments: pd.DataFrame
    bands: pd.DataFrame
    windows: pd.DataFrame
    register: pd.DataFrame
    members: pd.DataFrame
    rows: pd.DataFrame

    @classmethod
    def empty(cls) -> HiddenState:
        """Nothing was ever released."""
        return cls(**{name: schema.empty_table().to_pandas() for name, schema in SCHEMAS.items()})

    def decided(self, cut: str, process: str) -> set[date]:
        """First days of the windows of a cut and process that are decided."""
        own = self.windows["cut"].eq(cut) & self.windows["process_key"].eq(process)
        return set(self.windows.loc[own.to_numpy(dtype=bool), "window_from"])

    def grown(self, **added: pd.DataFrame) -> HiddenState:
        """The state with more rows in some of its parts."""
        return replace(self, **{name: _stacked(getattr(self, name), rows) for name, rows in added.items()})


OF_CUT = {
    BLOCK: "blocks",
    PAIR: "pairs",
    REASON: "reasons",
    VIOLATION: "violations",
    COVERAGE: "coverage",
    COMMENT: "comments",
    SCORE: "bands",
}
"""The part of the state that holds the rows of each published cut."""


UNIT_COLUMNS = [
    "process_key",
    "rating_id",
    "period",
    "ratee_id",
    "rater_id",
    "rater_department_id",
    "ratee_department_id",
    "score",
    "mode",
    "is_viewer",
    "is_counted",
]
"""What numbers are made of; comments and the rest only cost time."""


@dataclass(frozen=True)
class ReleaseTerms:
    """By what windows are decided.

    Attributes:
        profile_name: release profile.
        profile: its thresholds.
        seal: 32 random bytes of the vault; ids and orders of released rows rest on it.
        policy_version: digest of the policy, stamped on released rows.
        today: the portal's day, stamped on released rows.
        departments: names by id, as they are today.
        pseudonym_key: gives a month's 32 bytes, or None where they are destroyed.
        redactor: gives what takes people out of comments; asked only if a pool is to be decided, as it costs seconds.
        destroyed: months whose ratings the vault destroyed for good.
    """

    profile_name: ProfileName
    profile: Profile
    seal: bytes
    policy_version: str
    today: date
    departments: Mapping[int, str]
    pseudonym_key: Callable[[date], bytes | None]
    redactor: Callable[[], pool.Redactor]
    destroyed: Collection[date] = frozenset()


@dataclass(frozen=True)
class Decision:
    """What a run decided.

    Attributes:
        state: everything ever released, this run's part included.
        held: by process, how much was held back, by reason; counts only.
    """

    state: HiddenState
    held: dict[str, dict[str, int]]


def decide(
    ratings: pd.DataFrame,
    obligations: pd.DataFrame,
    state: HiddenState,
    closed: Mapping[str, Collection[date]],
    terms: ReleaseTerms,
) -> Decision:
    """Decides all closed windows that are not decided yet, oldest first, process by process.

    The same input gives the same output, and deciding month by month gives what deciding in one go does.

    Args:
        ratings: checked ratings (columns of `assets.ratings.CHECKED_COLUMNS`), each with mode, was_open and
            was_named (was shown by name, to everybody or to HR, before it was hidden) and is_viewer (see `viewers`).
        obligations: expected ratings (columns of `assets.obligations.OBLIGATION_COLUMNS`) with mode.
        state: what was decided before.
        closed: by process, the months that were read in full after they were frozen.
        terms: by what.

    Returns:
        The grown state, and counts of what was held back.
    """
    hidden = ratings[ratings["mode"].ne("open").to_numpy(dtype=bool) & ~ratings["was_open"].to_numpy(dtype=bool)]
    # HR does not forget what it read before the policy was tightened: to it they are named still.
    is_remembered = hidden["was_named"].astype("bool") & hidden["mode"].isin(["pseudonymous", "aggregate"])
    hidden = hidden.assign(mode=hidden["mode"].mask(is_remembered, SEEN_BY_HR))
    held: dict[str, Counter[str]] = {process: Counter() for process in sorted(closed)}
    for process, counts in held.items():
        months = closed[process]
        own = _of(hidden[UNIT_COLUMNS], process)
        units = own[own["is_counted"].to_numpy(dtype=bool) & own["period"].isin(list(months)).to_numpy(dtype=bool)]
        units = units.assign(score=units["score"].astype("float64"))
        state = _with_rows(state, process, units, months, terms, counts)
        state = _with_numbers(state, process, units, months, terms, counts)
        state = _with_coverage(state, process, obligations, months, terms)
    # Who reads the dashboards knows what he said himself, so he must not fill a threshold for others.
    heard = hidden[~hidden["is_viewer"].to_numpy(dtype=bool)]
    state = _with_comments(state, heard, closed, terms, held)
    state = _with_shares(state, heard, closed, terms)
    state = _with_bands(state, hidden, obligations, closed, terms)
    return Decision(state, {process: dict(+counts) for process, counts in held.items()})


def _with_rows(
    state: HiddenState,
    process: str,
    units: pd.DataFrame,
    months: Collection[date],
    terms: ReleaseTerms,
    held: Counter[str],
) -> HiddenState:
    """Adds the pseudonymous rows of months that have none decided yet."""
    for month in sorted(set(months) - state.decided(ROWS, process)):
        own = units[units["mode"].eq(pseudonyms.MODE).to_numpy() & units["period"].eq(month).to_numpy()]
        state = state.grown(windows=_windows(ROWS, process, month, month, terms))
        if own.empty:
            continue
        key = terms.pseudonym_key(month)
        if key is None:
            held[KEY_DESTROYED] += len(own)
            continue
        beside = state.rows[state.rows["period"].eq(month).to_numpy()]
        rows = pseudonyms.pseudonymous_rows(own, month, key, beside)
        sides = ["rater_department_id", "ratee_department_id"]
        rows = rows.assign(release_id=_ids(rows, ROWS, process, sides, month, month, terms.seal), withdrawn_at=None)
        members = own.merge(rows[[*sides, "release_id"]].drop_duplicates(), on=sides).assign(cut=ROWS)
        held["pseudonymous: cell too small or its raters too different"] += len(own) - len(members)
        state = state.grown(rows=rows, members=members)
    return state


def _with_numbers(
    state: HiddenState,
    process: str,
    units: pd.DataFrame,
    months: Collection[date],
    terms: ReleaseTerms,
    held: Counter[str],
) -> HiddenState:
    """Adds ratee blocks and department pairs."""
    before = state.decided(BLOCK, process)
    if set(months) <= before:
        return state
    ours = {name: _of(getattr(state, name), process) for name in ("blocks", "register", "rows")}
    sums = pseudonyms.cell_sums(ours["rows"], units)
    blocks = ours["blocks"][["ratee_id", "block_from", "block_to"]]
    for month in state.decided(ADOPTED, process):
        # Withdrawn blocks of a warehouse that was taken over are not known, so no block may reach back over them.
        blocks = _stacked(
            blocks, pd.DataFrame({"ratee_id": units["ratee_id"].unique()}).assign(block_from=month, block_to=month)
        )
    found = plan(process, units, ours["register"], blocks, before, months, terms.profile, terms.seal, sums)
    held.update(found.held)
    return state.grown(
        blocks=_stamped(found.blocks, BLOCK, terms),
        pairs=_stamped(_named(found.pairs, terms.departments), PAIR, terms),
        register=found.register,
        windows=found.windows.assign(released_at=terms.today),
    )


def _with_coverage(
    state: HiddenState, process: str, obligations: pd.DataFrame, months: Collection[date], terms: ReleaseTerms
) -> HiddenState:
    """Adds the coverage of months that have none decided yet."""
    columns = ["mode", "process_key", "period", "rater_id", "rater_department_id", "ratee_department_id", "status"]
    own = _of(obligations[columns], process)
    for month in sorted(set(months) - state.decided(COVERAGE, process)):
        state = state.grown(windows=_windows(COVERAGE, process, month, month, terms))
        expected = own[own["period"].eq(month).to_numpy(dtype=bool)]
        if expected.empty:
            continue
        rows = shares.coverage_shares(expected, month)
        sides = ["rater_department_id", "ratee_department_id"]
        rows = rows.assign(release_id=_ids(rows, COVERAGE, process, sides, month, month, terms.seal))
        state = state.grown(coverage=_stamped(_named(rows, terms.departments), COVERAGE, terms))
    return state


def _with_comments(
    state: HiddenState,
    hidden: pd.DataFrame,
    closed: Mapping[str, Collection[date]],
    terms: ReleaseTerms,
    held: Mapping[str, Counter[str]],
) -> HiddenState:
    """Adds the pools of quarters that have none decided yet; quarter by quarter, since no text is published twice."""
    due = {
        (quarter, process)
        for process, months in closed.items()
        for quarter in complete_quarters(months) - state.decided(COMMENT, process)
    }
    for quarter, process in sorted(due):
        first, _, last = shares.months_of(quarter)
        state = state.grown(windows=_windows(COMMENT, process, first, last, terms))
        # What is not frozen yet may still change.
        frozen = [month for month in closed[process] if month <= last]
        own = _of(hidden[hidden["period"].isin(frozen).to_numpy(dtype=bool)], process)
        if terms.profile_name in NO_TEXTS or own["comment"].eq("").all():
            continue
        taken = state.members[state.members["cut"].eq(COMMENT).to_numpy()]
        pools = pool.pool_comments(own, quarter, taken, state.comments["comment"], terms.redactor(), terms.seal)
        held[process].update(pools.held)
        rows = pools.rows.assign(period_from=first, period_to=last)
        state = state.grown(
            comments=_stamped(_named(rows, terms.departments), COMMENT, terms),
            members=pools.spent.assign(cut=COMMENT),
        )
    return state


def _with_shares(
    state: HiddenState, hidden: pd.DataFrame, closed: Mapping[str, Collection[date]], terms: ReleaseTerms
) -> HiddenState:
    """Adds reasons and broken comment rules of quarters that are closed in every process."""
    quarters = [complete_quarters(months) for months in closed.values()]
    complete = set.intersection(*quarters) if quarters else set()
    for cut, side, share in (
        (REASON, "ratee_department_id", shares.reason_shares),
        (VIOLATION, "rater_department_id", shares.violation_shares),
    ):
        for quarter in sorted(complete - state.decided(cut, shares.ALL_PROCESSES)):
            first, _, last = shares.months_of(quarter)
            rows = share(hidden, quarter)
            ids = _ids(rows, cut, shares.ALL_PROCESSES, [side], first, last, terms.seal)
            rows = rows.assign(release_id=ids)
            behind = hidden[
                hidden["mode"].isin(shares.SHARED_MODES).to_numpy()
                & hidden["exclusion_code"].isin(shares.GIVEN).to_numpy()
                & hidden["period"].isin(shares.months_of(quarter)).to_numpy()
            ]
            members = behind.merge(rows[[side, "release_id"]].drop_duplicates(), on=side).assign(cut=cut)
            state = state.grown(
                **{OF_CUT[cut]: _stamped(_named(rows, terms.departments), cut, terms)},
                members=members,
                windows=_windows(cut, shares.ALL_PROCESSES, first, last, terms),
            )
    return state


def _with_bands(
    state: HiddenState,
    hidden: pd.DataFrame,
    obligations: pd.DataFrame,
    closed: Mapping[str, Collection[date]],
    terms: ReleaseTerms,
) -> HiddenState:
    """Adds the bands of half-years that are closed in every process."""
    for first in sorted(
        hidden_scores.complete_half_years(closed.values()) - state.decided(SCORE, shares.ALL_PROCESSES)
    ):
        months = hidden_scores.months_of(first)
        window = _windows(SCORE, shares.ALL_PROCESSES, first, months[-1], terms)
        state = state.grown(windows=window)
        if not set(months).isdisjoint(terms.destroyed):
            # Half of what people said is not what they said.
            continue
        own, expected = (
            rows[
                rows["mode"].isin(hidden_scores.UNNAMED).to_numpy(dtype=bool)
                & rows["period"].isin(months).to_numpy(dtype=bool)
            ]
            for rows in (hidden, obligations)
        )
        own = own.loc[own["is_counted"].to_numpy(dtype=bool), [*UNIT_COLUMNS, "rated_on"]]
        own = own.astype({"score": "float64"}).sort_values(["process_key", "rating_id"], ignore_index=True)
        rows = hidden_scores.bands(own, expected, terms.profile.k)
        rows = rows.assign(
            process_key=shares.ALL_PROCESSES,
            window_from=first,
            window_to=months[-1],
            release_id=_ids(rows, SCORE, shares.ALL_PROCESSES, ["ratee_id"], first, months[-1], terms.seal),
        )
        members = own.merge(rows[["ratee_id", "release_id"]], on="ratee_id").assign(cut=SCORE)
        state = state.grown(bands=_stamped(rows, SCORE, terms), members=members)
    return state


def withdraw(
    state: HiddenState, ratings: pd.DataFrame, obligations: pd.DataFrame, today: date
) -> tuple[HiddenState, dict[str, int]]:
    """Withdraws what holds a rating that the policy no longer lets into it.

    A withdrawn row is never written again with the rest of its ratings: the difference would be the rating that left.
    Pairs stay, since a rating of the strictest mode may stand in them.

    Args:
        state: everything ever released.
        ratings: checked ratings with mode, as for `decide`.
        obligations: expected ratings with mode, as for `decide`.
        today: the portal's day.

    Returns:
        (the state, how many rows were withdrawn now, by cut).
    """
    now = ratings[["process_key", "rating_id", "mode"]]
    blocks = state.register[state.register["cut"].eq(BLOCK).to_numpy()].drop(columns="mode")
    blocks = blocks.merge(now, on=["process_key", "rating_id"])
    behind = state.members.merge(now, on=["process_key", "rating_id"])
    too_strict = behind["mode"].map(MODES.index).gt(MODES.index("pseudonymous"))
    may_stand = [
        mode in (hidden_scores.UNNAMED if cut == SCORE else shares.SHARED_MODES)
        for cut, mode in zip(behind["cut"], behind["mode"], strict=True)
    ]
    no_longer = np.where(behind["cut"].eq(ROWS), too_strict, ~np.array(may_stand, dtype=bool)).astype(bool)
    ids = {
        *blocks.loc[~blocks["mode"].isin(list(BLOCK_MODES)), "release_id"],
        *behind.loc[no_longer, "release_id"],
        *_uncovered(state.coverage, obligations),
    }
    counts: Counter[str] = Counter()
    changed: dict[str, pd.DataFrame] = {}
    for cut, name in {**OF_CUT, ROWS: "rows"}.items():
        frame = getattr(state, name)
        is_leaving = frame["release_id"].isin(list(ids)).to_numpy(dtype=bool) & frame["withdrawn_at"].isna().to_numpy()
        if is_leaving.any():
            counts[cut] = int(is_leaving.sum())
            days = [today if leaves else day for leaves, day in zip(is_leaving, frame["withdrawn_at"], strict=True)]
            changed[name] = frame.assign(withdrawn_at=pd.Series(days, index=frame.index, dtype="object"))
    return replace(state, **changed), dict(counts)


def _uncovered(coverage: pd.DataFrame, obligations: pd.DataFrame) -> set[str]:
    """Ids of coverage all of whose expected ratings are hidden from it by now; of destroyed months nothing is known."""
    keys = ["process_key", "period_from", "rater_department_id", "ratee_department_id"]
    may_stand = obligations.assign(
        period_from=obligations["period"], may_stand=obligations["mode"].isin(shares.SHARED_MODES)
    )
    cells = coverage[[*keys, "release_id"]].merge(may_stand.groupby(keys)["may_stand"].any().reset_index(), on=keys)
    return set(cells.loc[~cells["may_stand"].astype(bool), "release_id"])


def finished(state: HiddenState) -> HiddenState:
    """The state without what a run that was killed left of windows it had not decided.

    Windows are written last, so whatever belongs to none of them was never decided and is decided again.
    """
    windows = pd.MultiIndex.from_frame(state.windows[["cut", "process_key", "window_from"]])
    kept: dict[str, pd.DataFrame] = {}
    for cut, name in {**OF_CUT, ROWS: "rows"}.items():
        frame = getattr(state, name)
        start = {BLOCK: "block_to", ROWS: "period", SCORE: "window_from"}.get(cut, "period_from")
        own = pd.MultiIndex.from_arrays([[cut] * len(frame), frame["process_key"], frame[start]])
        kept[name] = frame[own.isin(windows)].reset_index(drop=True)
    known = {name: set(frame["release_id"]) for name, frame in kept.items()}
    register, members = state.register, state.members
    kept["register"] = register[register["release_id"].isin(list(known["blocks"] | known["pairs"])).to_numpy()]
    kept["members"] = members[members["release_id"].isin(list(set().union(*known.values()))).to_numpy()]
    return replace(state, **{name: frame.reset_index(drop=True) for name, frame in kept.items()})


def viewers(ratings: pd.DataFrame, departments: pd.DataFrame) -> npt.NDArray[np.bool_]:
    """Which ratings were given by somebody who reads the dashboards of the ratee's department.

    A head knows his own score, so among k raters with one head there are only k - 1 whom he cannot tell. Whoever ever
    headed the department, or one that was ever above it, counts.

    Args:
        ratings: columns rater_id, ratee_department_id.
        departments: versions; columns department_id, parent_id, head_employee_id.
    """
    heads: dict[int, set[int]] = {}
    above: dict[int, set[int]] = {}
    versions = zip(
        *(departments[name].tolist() for name in ("department_id", "parent_id", "head_employee_id")), strict=True
    )
    for department, parent, head in versions:
        heads.setdefault(department, set()).add(head)
        above.setdefault(department, set()).add(parent)
    pairs = set(zip(ratings["rater_id"].tolist(), ratings["ratee_department_id"].tolist(), strict=True))
    readers = {department: _readers(department, heads, above) for department in {pair[1] for pair in pairs}}
    watched = {pair for pair in pairs if pair[0] and pair[0] in readers[pair[1]]}
    people = zip(ratings["rater_id"].tolist(), ratings["ratee_department_id"].tolist(), strict=True)
    return np.array([pair in watched for pair in people], dtype=bool)


def _readers(department: int, heads: Mapping[int, set[int]], above: Mapping[int, set[int]]) -> set[int]:
    found: set[int] = set()
    seen: set[int] = set()
    waiting = {department}
    while waiting:
        current = waiting.pop()
        seen.add(current)
        found |= heads.get(current, set())
        waiting |= above.get(current, set()) - seen
    return found


def _of(frame: pd.DataFrame, process: str) -> pd.DataFrame:
    return frame[frame["process_key"].eq(process).to_numpy(dtype=bool)].reset_index(drop=True)


def _windows(cut: str, process: str, first: date, last: date, terms: ReleaseTerms) -> pd.DataFrame:
    return pd.DataFrame([(cut, process, first, last, terms.today)], columns=SCHEMAS["windows"].names)


def _ids(
    rows: pd.DataFrame, cut: str, process: str, keys: list[str], first: date, last: date, seal: bytes
) -> list[str]:
    """What a cut published of one window and the same departments has one id."""
    return [
        pseudonyms.digest(seal, cut, process, *map(int, who), first.isoformat(), last.isoformat()).hex()[:32]
        for who in rows[keys].itertuples(index=False, name=None)
    ]


def _named(rows: pd.DataFrame, departments: Mapping[int, str]) -> pd.DataFrame:
    names = {
        side: pd.Series([departments.get(number, "") for number in rows[f"{side}_id"]], index=rows.index, dtype="str")
        for side in ("rater_department", "ratee_department")
        if f"{side}_id" in rows
    }
    return rows.assign(**names)


def _stamped(rows: pd.DataFrame, cut: str, terms: ReleaseTerms) -> pd.DataFrame:
    return rows.assign(
        released_at=terms.today,
        policy_version=terms.policy_version,
        profile=terms.profile_name,
        method=METHOD,
        checks_passed=CHECKS[cut],
        withdrawn_at=None,
    )


def _stacked(before: pd.DataFrame, added: pd.DataFrame) -> pd.DataFrame:
    if added.empty:
        return before
    added = added[before.columns]
    return added.reset_index(drop=True) if before.empty else pd.concat([before, added], ignore_index=True)
