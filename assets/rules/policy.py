"""Policy: which mode a rating has, that is what may leave the vault and as what.

Belongs here: the policy's entries, their contradictions, the mode of each rating. Does not belong here: what a mode
lets out (`disclosure.py`, `assets/release.py`).

The most specific entry (fewest "*") wins; of entries with the same three keys the latest one valid on the day the
rating was made; no entry means `aggregate`. A rating keeps the stricter of its own day's mode and today's, so that
a looser line that begins today never opens what was given before it. A line that is backdated would: so the policy in
force at the last run is remembered, and one that is looser for the days up to then is refused. A department that is
not known takes the strictest mode of the process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import combinations
from typing import Any, Literal

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict

from assets.rules.organisation import Organisation

Mode = Literal["open", "named_to_hr", "pseudonymous", "aggregate", "department_only"]

MODES: tuple[Mode, ...] = ("open", "named_to_hr", "pseudonymous", "aggregate", "department_only")
"""From the most open to the strictest."""

DEFAULT_MODE: Mode = "aggregate"
DEFAULT_VERSION = "default"
ANY: Literal["*"] = "*"

HIDDEN_MODES = frozenset(MODES) - {"open"}
NAMED_MODES = frozenset({"open", "named_to_hr"})
"""Modes whose ratings stand named in `hr`."""


class PolicyError(Exception):
    """The policy contradicts itself; the message names the entries."""


class PolicyLoosenedError(PolicyError):
    """The policy opens what was given under a promise; the message names the line and counts the ratings."""


class PolicyEntry(BaseModel):
    """One line of the policy.

    Attributes:
        process: process key or "*".
        rater_department: department id (with everything below it) or "*".
        ratee_department: likewise.
        valid_from: first day it holds for ratings made on.
        mode: what may leave.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    process: str = ANY
    rater_department: int | Literal["*"] = ANY
    ratee_department: int | Literal["*"] = ANY
    valid_from: date
    mode: Mode

    @property
    def key(self) -> tuple[str, int | str, int | str]:
        """What it applies to."""
        return self.process, self.rater_department, self.ratee_department

    @property
    def wildcards(self) -> int:
        """How unspecific it is."""
        return self.key.count(ANY)

    @property
    def version(self) -> str:
        """Short digest of the whole entry: rows carry it, so that each names the line that decided."""
        canonical = json.dumps([*self.key, self.valid_from.isoformat(), self.mode], ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()[:12]

    def __str__(self) -> str:
        return (
            f"{{process: {self.process}, rater_department: {self.rater_department}, "
            f"ratee_department: {self.ratee_department}, valid_from: {self.valid_from}, mode: {self.mode}}}"
        )


def stricter(one: Mode, other: Mode) -> Mode:
    """The stricter of two modes."""
    return max(one, other, key=MODES.index)


@dataclass(frozen=True)
class PolicyBook:
    """All entries, free of contradictions that can be seen without the department tree."""

    entries: tuple[PolicyEntry, ...]

    @classmethod
    def build(cls, entries: Sequence[PolicyEntry]) -> PolicyBook:
        """Checks the entries against each other.

        Raises:
            PolicyError: two entries of equal specificity but different keys can meet in one rating, or an entry
                stands twice.
        """
        for one, other in combinations(entries, 2):
            if one.key == other.key and one.valid_from == other.valid_from:
                raise PolicyError(f"The policy has two entries for the same case and day: {one} and {other}; keep one.")
            if one.key != other.key and one.wildcards == other.wildcards and _surely_meet(one, other):
                raise _contradiction(one, other)
        return cls(tuple(entries))

    def resolve_people(
        self,
        ratings: pd.DataFrame,
        organisation: Organisation,
        sightings: Sequence[date],
        today: date,
        *,
        with_today: bool = True,
    ) -> tuple[pd.Series[str], pd.Series[str]]:
        """Finds mode and policy version of every rating from its people.

        A move is known by the day of the run that saw it, and ratings of that day lie before or after it. So the mode
        is the strictest over the departments of the day before, the day itself and the first run after it.

        Args:
            ratings: columns process_key, rater_id, ratee_id, rated_on.
            organisation: people and departments.
            sightings: days on which a run saw people, oldest first.
            today: the portal's day.
            with_today: whether the mode is the stricter of its own day's and today's; else its own day's alone.

        Returns:
            (mode, policy_version), one value per row.
        """
        day = pd.to_datetime(ratings["rated_on"])
        runs = (
            pd.Series(pd.to_datetime(pd.Series([*sightings, today], dtype=object))).to_numpy().astype("datetime64[s]")
        )
        after = np.searchsorted(runs, day.to_numpy().astype("datetime64[s]"), side="right").clip(max=len(runs) - 1)
        seen_after = np.maximum(runs[after], day.to_numpy().astype("datetime64[s]"))
        judged_on = today if with_today else None
        mode, version = self._resolve_on(day, ratings, organisation, judged_on)
        for moment in (day - pd.Timedelta(days=1), pd.Series(seen_after, index=ratings.index)):
            other_mode, other_version = self._resolve_on(moment, ratings, organisation, judged_on)
            is_stricter = other_mode.map(MODES.index).gt(mode.map(MODES.index))
            mode, version = mode.where(~is_stricter, other_mode), version.where(~is_stricter, other_version)
        return mode, version

    def resolve_obligations(
        self,
        obligations: pd.DataFrame,
        ratings: pd.DataFrame,
        organisation: Organisation,
        sightings: Sequence[date],
        today: date,
    ) -> tuple[pd.Series[str], pd.Series[str]]:
        """Finds mode and policy version of every expected rating.

        A row that says who was expected to rate whom, and which rating did it, tells as much as the rating: it has the
        stricter of the mode of its own day and people, and that of its rating.

        Args:
            obligations: columns process_key, rater_id, ratee_id, expected_on, rating_id (0: not given).
            ratings: columns process_key, rating_id, mode, policy_version; one that is not among them is as hidden as
                can be.
            organisation: people and departments.
            sightings: days on which a run saw people, oldest first.
            today: the portal's day.

        Returns:
            (mode, policy_version), one value per row.
        """
        mode, version = self.resolve_people(
            obligations.assign(rated_on=obligations["expected_on"]), organisation, sightings, today
        )
        identity = ["process_key", "rating_id"]
        known = ratings.set_index(identity).reindex(pd.MultiIndex.from_frame(obligations[identity]))
        of_rating = pd.Series(known["mode"].fillna(MODES[-1]).to_numpy(dtype=object), index=obligations.index)
        line = pd.Series(
            known["policy_version"].fillna(DEFAULT_VERSION).to_numpy(dtype=object), index=obligations.index
        )
        is_stricter = obligations["rating_id"].ne(0) & of_rating.map(MODES.index).gt(mode.map(MODES.index))
        return mode.where(~is_stricter, of_rating), version.where(~is_stricter, line)

    def _resolve_on(
        self, days: pd.Series[Any], ratings: pd.DataFrame, organisation: Organisation, today: date | None
    ) -> tuple[pd.Series[str], pd.Series[str]]:
        """Mode and version of every rating if its people had been where they were on another day."""
        cases = pd.DataFrame(
            {
                "process_key": ratings["process_key"],
                "rated_on": ratings["rated_on"],
                "tree_on": days,
                "rater_department_id": organisation.departments_of(ratings["rater_id"], days),
                "ratee_department_id": organisation.departments_of(ratings["ratee_id"], days),
            }
        )
        return self.resolve(cases, organisation, today)

    def resolve(
        self, ratings: pd.DataFrame, organisation: Organisation, today: date | None
    ) -> tuple[pd.Series[str], pd.Series[str]]:
        """Finds mode and policy version of every rating from its departments.

        Args:
            ratings: columns process_key, rater_department_id, ratee_department_id, rated_on, and optionally tree_on:
                the day of the department tree, else rated_on.
            organisation: the department trees of all days.
            today: the portal's day; None to look at the ratings' own days alone.

        Returns:
            (mode, policy_version), one value per row.

        Raises:
            PolicyError: two entries of equal specificity and different keys meet in a rating.
        """
        starts = sorted({entry.valid_from for entry in self.entries})
        # Between two starts nothing changes, so each distinct case is decided once per stretch, not per day.
        stretch = np.searchsorted(
            pd.to_datetime(pd.Series(starts, dtype="datetime64[s]")).to_numpy(),
            pd.to_datetime(ratings["rated_on"]).to_numpy().astype("datetime64[s]"),
            side="right",
        )
        cases = pd.DataFrame(
            {
                "process": ratings["process_key"].to_numpy(dtype=object),
                "rater": ratings["rater_department_id"].to_numpy(dtype="int64"),
                "ratee": ratings["ratee_department_id"].to_numpy(dtype="int64"),
                "stretch": stretch,
                "tree": organisation.tree_of(ratings["tree_on" if "tree_on" in ratings else "rated_on"]),
            },
            index=ratings.index,
        )
        number = cases.groupby(list(cases.columns), sort=False).ngroup().to_numpy()
        distinct = cases.drop_duplicates()
        verdicts = [
            self._decide(
                process, rater, ratee, starts[at - 1] if at else None, organisation.trees[tree], organisation, today
            )
            for process, rater, ratee, at, tree in zip(*(distinct[name].tolist() for name in distinct), strict=True)
        ]
        modes = np.array([mode for mode, _ in verdicts], dtype=object)
        versions = np.array([version for _, version in verdicts], dtype=object)
        return (
            pd.Series(modes[number] if len(number) else [], index=ratings.index, dtype="str"),
            pd.Series(versions[number] if len(number) else [], index=ratings.index, dtype="str"),
        )

    def refuse_loosened(
        self,
        before: PolicyBook,
        until: date,
        ratings: pd.DataFrame,
        organisation: Organisation,
        sightings: Sequence[date],
    ) -> None:
        """Fails when this policy is looser for the past than the one before.

        Looked at are the day on which each rating was given, and the day up to which the policy before was in force:
        a line that had hidden older ratings too must not be taken back either.

        Args:
            before: the policy in force at the last run.
            until: the day of that run.
            ratings: ratings held; columns process_key, rater_id, ratee_id, rated_on.
            organisation: people and departments.
            sightings: days on which a run saw people, oldest first.

        Raises:
            PolicyLoosenedError: naming the line that lets most of these ratings out.
        """
        held = ratings[[day <= until for day in ratings["rated_on"]]].reset_index(drop=True)
        if before.entries == self.entries or held.empty:
            return
        opened: dict[str, set[int]] = {}
        for moment in (held, held.assign(rated_on=until)):
            was, _ = _ForgivingBook(before.entries).resolve_people(
                moment, organisation, sightings, until, with_today=False
            )
            is_now, line = self.resolve_people(moment, organisation, sightings, until, with_today=False)
            looser = is_now.map(MODES.index).lt(was.map(MODES.index)).to_numpy(dtype=bool)
            for row in np.flatnonzero(looser):
                opened.setdefault(str(line[row]), set()).add(int(row))
        if not opened:
            return
        worst = max(opened, key=lambda version: (len(opened[version]), version))
        entry = next((str(entry) for entry in self.entries if entry.version == worst), "the default (aggregate)")
        raise PolicyLoosenedError(
            f"The policy is looser than it was up to {until} for {len(set().union(*opened.values()))} ratings given by "
            f"then, most of them by {entry}: people rated under the stricter promise. Put the old lines back and give "
            f"the new one a valid_from after {until}; nothing was published."
        )

    def rows(self) -> list[dict[str, object]]:
        """The policy as dimension rows; the default stands as a row of its own."""
        default = {
            "policy_version": DEFAULT_VERSION,
            "process_key": ANY,
            "rater_department": ANY,
            "ratee_department": ANY,
            "mode": DEFAULT_MODE,
            "valid_from": date(1970, 1, 1),
        }
        return [default] + [
            {
                "policy_version": entry.version,
                "process_key": entry.process,
                "rater_department": str(entry.rater_department),
                "ratee_department": str(entry.ratee_department),
                "mode": entry.mode,
                "valid_from": entry.valid_from,
            }
            for entry in self.entries
        ]

    def _decide(
        self,
        process: str,
        rater: int,
        ratee: int,
        day: date | None,
        tree: Mapping[int, frozenset[int]],
        organisation: Organisation,
        today: date | None,
    ) -> tuple[Mode, str]:
        """Mode and version of one case: a rating made on `day` (None: before any entry), seen today."""
        if rater not in tree or ratee not in tree:
            return self._strictest(process, day)
        then = self._on(process, rater, ratee, day, tree)
        if today is None:
            return then
        now = self._on(process, rater, ratee, today, organisation.last_tree)
        return now if MODES.index(now[0]) > MODES.index(then[0]) else then

    def _on(
        self, process: str, rater: int, ratee: int, day: date | None, lineage: Mapping[int, frozenset[int]]
    ) -> tuple[Mode, str]:
        matching = [
            entry
            for entry in self.entries
            if day is not None
            and entry.valid_from <= day
            and entry.process in {ANY, process}
            and (entry.rater_department == ANY or entry.rater_department in lineage.get(rater, ()))
            and (entry.ratee_department == ANY or entry.ratee_department in lineage.get(ratee, ()))
        ]
        if not matching:
            return DEFAULT_MODE, DEFAULT_VERSION
        fewest = min(entry.wildcards for entry in matching)
        best = [entry for entry in matching if entry.wildcards == fewest]
        for entry in best:
            if entry.key != best[0].key:
                raise _contradiction(best[0], entry)
        winner = max(best, key=lambda entry: entry.valid_from)
        return winner.mode, winner.version

    def _strictest(self, process: str, day: date | None) -> tuple[Mode, str]:
        """Of all entries that could concern the process, and of the default unless one held everywhere on the day."""
        entries = [entry for entry in self.entries if entry.process in {ANY, process}]
        verdicts = [(entry.mode, entry.version) for entry in entries]
        if not any(
            day is not None
            and entry.valid_from <= day
            and entry.rater_department == ANY
            and entry.ratee_department == ANY
            for entry in entries
        ):
            verdicts.append((DEFAULT_MODE, DEFAULT_VERSION))
        return max(verdicts, key=lambda verdict: MODES.index(verdict[0]))


class _ForgivingBook(PolicyBook):
    """A policy of the past: lines that met in no rating then may do so in a tree that has changed since.

    Such a contradiction is no error, and keeps nothing hidden.
    """

    def _on(
        self, process: str, rater: int, ratee: int, day: date | None, lineage: Mapping[int, frozenset[int]]
    ) -> tuple[Mode, str]:
        try:
            return super()._on(process, rater, ratee, day, lineage)
        except PolicyError:
            return MODES[0], DEFAULT_VERSION


def _surely_meet(one: PolicyEntry, other: PolicyEntry) -> bool:
    """Whether some rating matches both whatever the department tree: each key is equal, or free on one side."""
    return all(mine == theirs or ANY in {mine, theirs} for mine, theirs in zip(one.key, other.key, strict=True))


def _contradiction(one: PolicyEntry, other: PolicyEntry) -> PolicyError:
    return PolicyError(
        f"The policy contradicts itself: {one} and {other} are equally specific and meet in one rating; "
        "make one of them more specific."
    )
