"""People and departments over time: versions, and who was where on the day of a rating.

Belongs here: making versions from what runs saw (SCD2), looking them up. Does not belong here: reading the portal
(`assets/crm.py`), what a department means for a rating (`structure.py`, `policy.py`).

The portal shows only today. A version therefore starts on the day a run first saw it; the first one is assumed to have
held for ever and marked so. Judging old ratings by today's departments would move them with the person, and somebody
who moves into a department with an open policy would open what was given under a promise.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

UNKNOWN_DEPARTMENT = 0
FIRST_DAY = date(1970, 1, 1)
"""Start of everybody's first version."""
NO_END = date(2100, 1, 1)
"""End of versions that hold."""

EMPLOYEE_ATTRIBUTES = ("full_name", "position", "department_id", "is_active")
DEPARTMENT_ATTRIBUTES = ("name", "parent_id", "level", "head_employee_id")
VERSION_COLUMNS = ("valid_from", "valid_to", "is_current", "is_inferred")


def employee_versions(before: pd.DataFrame, seen: pd.DataFrame, today: date) -> pd.DataFrame:
    """Adds what the portal shows today to the versions of employees.

    Args:
        before: versions so far; columns employee_id, `EMPLOYEE_ATTRIBUTES`, `VERSION_COLUMNS` (dates).
        seen: the portal's employees; columns employee_id, `EMPLOYEE_ATTRIBUTES`.
        today: the portal's day.

    Returns:
        All versions in the columns of `before`, by employee and start. Somebody dismissed who has no department any
        more keeps the last one; somebody the portal no longer shows counts as dismissed.
    """
    last = _standing(before, today).set_index("employee_id")
    kept = seen["employee_id"].map(last["department_id"]).fillna(UNKNOWN_DEPARTMENT)
    homeless = ~seen["is_active"].to_numpy(dtype=bool) & seen["department_id"].eq(UNKNOWN_DEPARTMENT).to_numpy(bool)
    seen = seen.assign(department_id=seen["department_id"].where(~homeless, kept).astype("int64"))
    gone = last[~last.index.isin(seen["employee_id"])].reset_index().assign(is_active=False)
    columns = ["employee_id", *EMPLOYEE_ATTRIBUTES]
    return _versions(before, pd.concat([seen[columns], gone[columns]], ignore_index=True), today, "employee_id")


def department_versions(before: pd.DataFrame, seen: pd.DataFrame, today: date) -> pd.DataFrame:
    """Adds what the portal shows today to the versions of departments.

    Args:
        before: versions so far; columns department_id, `DEPARTMENT_ATTRIBUTES`, `VERSION_COLUMNS` (dates).
        seen: the portal's departments; columns department_id, `DEPARTMENT_ATTRIBUTES`.
        today: the portal's day.

    Returns:
        All versions in the columns of `before`, by department and start. One that the portal no longer shows ends
        today and has no current version.
    """
    return _versions(before, seen[["department_id", *DEPARTMENT_ATTRIBUTES]], today, "department_id")


def _as_of_morning(before: pd.DataFrame, today: date) -> pd.DataFrame:
    """The versions without what earlier runs of the same day added: a day has one version, the last seen."""
    reopened = before[before["valid_from"] < today]
    return reopened.assign(valid_to=reopened["valid_to"].where(reopened["valid_to"] < today, NO_END))


def _standing(before: pd.DataFrame, today: date) -> pd.DataFrame:
    morning = _as_of_morning(before, today)
    return morning[morning["valid_to"] == NO_END]


def _versions(before: pd.DataFrame, seen: pd.DataFrame, today: date, key: str) -> pd.DataFrame:
    # A portal clock that was set back must not make a version end before it starts.
    today = max([today, *before["valid_from"]])
    history = _as_of_morning(before, today)
    attributes = [column for column in seen.columns if column != key]
    standing = history["valid_to"].eq(NO_END)
    merged = seen.merge(history[standing], on=key, how="left", suffixes=("", "_before"), indicator=True)
    is_same = merged["_merge"].eq("both").to_numpy(dtype=bool)
    for column in attributes:
        is_same = is_same & merged[column].eq(merged[f"{column}_before"]).to_numpy(dtype=bool)
    unchanged = merged.loc[is_same, key]
    started = seen[~seen[key].isin(unchanged)]
    is_first = ~started[key].isin(history[key]).to_numpy(dtype=bool)
    fresh = started.assign(
        valid_from=[FIRST_DAY if first else today for first in is_first], valid_to=NO_END, is_inferred=is_first
    )
    ended = standing & ~history[key].isin(unchanged)
    history = history.assign(valid_to=history["valid_to"].where(~ended, today))
    versions = pd.concat([frame for frame in (history, fresh) if not frame.empty] or [history], ignore_index=True)
    versions["is_current"] = versions["valid_to"].eq(NO_END)
    return versions[[key, *attributes, *VERSION_COLUMNS]].sort_values([key, "valid_from"], ignore_index=True)


@dataclass(frozen=True)
class Organisation:
    """Who was where, and which department lay below which, on any day.

    Attributes:
        employees: versions; columns employee_id, department_id, valid_from.
        departments: versions; columns department_id, parent_id, valid_from, valid_to.
    """

    employees: pd.DataFrame
    departments: pd.DataFrame

    @classmethod
    def build(cls, department_of: Mapping[int, int], parent_of: Mapping[int, int]) -> Organisation:
        """An organisation that never changed: employee id to department id, department id to the one above."""
        return cls(
            pd.DataFrame(
                {"employee_id": list(department_of), "department_id": list(department_of.values())}, dtype="int64"
            ).assign(valid_from=FIRST_DAY),
            pd.DataFrame(
                {"department_id": list(parent_of), "parent_id": list(parent_of.values())}, dtype="int64"
            ).assign(valid_from=FIRST_DAY, valid_to=NO_END),
        )

    @cached_property
    def known_people(self) -> npt.NDArray[np.int64]:
        """Ids of everybody a user list ever showed."""
        return self.employees["employee_id"].unique().astype("int64")

    @cached_property
    def tree_starts(self) -> list[date]:
        """Days on which the tree changed, the first day of all among them; each begins one tree."""
        ends = self.departments["valid_to"]
        return sorted({FIRST_DAY, *self.departments["valid_from"], *ends[ends != NO_END]})

    @cached_property
    def trees(self) -> list[dict[int, frozenset[int]]]:
        """Lineage (department id to itself and everything above it) of each tree, in the order of `tree_starts`."""
        return [
            _lineage(self.departments[(self.departments["valid_from"] <= day) & (self.departments["valid_to"] > day)])
            for day in self.tree_starts
        ]

    @cached_property
    def last_tree(self) -> dict[int, frozenset[int]]:
        """Lineage today; departments that are gone stand where they stood last."""
        last = self.departments.sort_values("valid_from").drop_duplicates("department_id", keep="last")
        return _lineage(last)

    def tree_of(self, days: pd.Series[Any]) -> npt.NDArray[np.int64]:
        """Number of the tree in force on each day."""
        starts = np.array(self.tree_starts, dtype="datetime64[s]")
        moments = pd.to_datetime(days).to_numpy().astype("datetime64[s]")
        return np.searchsorted(starts, moments, side="right").astype("int64") - 1

    def departments_of(self, people: pd.Series[int], days: pd.Series[Any]) -> pd.Series[int]:
        """Department of each person on each day; 0 where the person or the department was not known."""
        asked = pd.DataFrame(
            {
                "employee_id": people.to_numpy(dtype="int64"),
                "day": pd.to_datetime(days).to_numpy().astype("datetime64[s]"),
                "row": np.arange(len(people)),
            }
        ).sort_values("day", kind="stable")
        versions = pd.DataFrame(
            {
                "employee_id": self.employees["employee_id"].to_numpy(dtype="int64"),
                "day": pd.to_datetime(self.employees["valid_from"]).to_numpy().astype("datetime64[s]"),
                "department_id": self.employees["department_id"].to_numpy(dtype="int64"),
            }
        ).sort_values("day", kind="stable")
        found = pd.merge_asof(asked, versions, on="day", by="employee_id").sort_values("row")["department_id"]
        departments = pd.Series(found.fillna(UNKNOWN_DEPARTMENT).to_numpy(dtype="int64"), index=people.index)
        return departments.where(self._stands(departments, days), UNKNOWN_DEPARTMENT)

    def within(self, departments: pd.Series[int], days: pd.Series[Any], tops: Collection[int]) -> npt.NDArray[np.bool_]:
        """Whether each department was, on its day, one of `tops` or lay below one."""
        wanted = set(tops)
        return self._in_trees(
            departments, days, lambda tree: [department for department, line in tree.items() if line & wanted]
        )

    def _stands(self, departments: pd.Series[int], days: pd.Series[Any]) -> npt.NDArray[np.bool_]:
        return self._in_trees(departments, days, list)

    def _in_trees(
        self,
        departments: pd.Series[int],
        days: pd.Series[Any],
        chosen: Callable[[dict[int, frozenset[int]]], Iterable[int]],
    ) -> npt.NDArray[np.bool_]:
        number, found = self.tree_of(days), np.zeros(len(departments), dtype=bool)
        for at in np.unique(number):
            rows = number == at
            found[rows] = departments[rows].isin(chosen(self.trees[at])).to_numpy(dtype=bool)
        return found


def _lineage(departments: pd.DataFrame) -> dict[int, frozenset[int]]:
    """Each department with everything above it; a loop (the portal allows a moment of it) ends where it closes."""
    parent_of = dict(zip(departments["department_id"].tolist(), departments["parent_id"].tolist(), strict=True))
    lineage: dict[int, frozenset[int]] = {}
    for department in parent_of:
        line: list[int] = []
        current = department
        while current and current not in line:
            line.append(current)
            current = parent_of.get(current, 0)
        lineage[department] = frozenset(line)
    return lineage
