"""Obligations: who should have rated whom, and whether they did.

Belongs here: which closed tasks ask for a rating, what fulfils or waives it. Does not belong here: reading tasks
(`assets/crm.py`), whether a rating counts for scores (`structure.py`), shares of coverage (the marts).

Coverage asks whether people were heard, not whether what they said counts: a rating whose comment explains nothing was
given, and its giver has done what was asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import numpy.typing as npt
import pandas as pd

from assets.rules.organisation import Organisation
from assets.rules.structure import freeze_date

FULFILLED, MISSED, WAIVED = "fulfilled", "missed", "waived"
TASK_DELETED, LEFT, BELOW_MINIMUM = "task_deleted", "left", "below_minimum"
WAIVERS = (TASK_DELETED, LEFT, BELOW_MINIMUM)
"""First match wins, in this order."""

NOT_FULFILLING = ("no_score", "score_range", "out_of_window", "stage_not_counted", "deleted")
"""Exclusion codes of ratings that nobody has really given, or gave too late."""

_COLUMNS = (
    "process_key",
    "period",
    "rater_id",
    "ratee_id",
    "rater_department_id",
    "ratee_department_id",
    "task_id",
    "tasks",
    "expected_on",
    "due_on",
    "status",
    "waiver",
    "rating_id",
    "rated_on",
)


@dataclass(frozen=True)
class Expectation:
    """What of a process's configuration decides which ratings are expected.

    Attributes:
        group_id: workgroup whose closed tasks ask for a rating.
        is_monthly: one rating per pair and month instead of one per task and executor.
        min_tasks: fewer closed tasks of a pair in a month need no rating; 1 unless monthly.
        setter_departments: where ratees sit, sub-departments included; empty means anywhere.
        executor_departments: where raters sit, likewise.
    """

    group_id: int
    is_monthly: bool
    min_tasks: int = 1
    setter_departments: frozenset[int] = frozenset()
    executor_departments: frozenset[int] = frozenset()


def find_obligations(
    tasks: pd.DataFrame,
    ratings: pd.DataFrame,
    expectations: Mapping[str, Expectation],
    organisation: Organisation,
    freeze_day: int,
    today: date,
) -> pd.DataFrame:
    """Lists every rating that closed tasks ask for, and what became of it.

    With cadence task each executor of a task should rate its setter; with cadence month each executor every setter of
    whom he closed a task in the month. Nothing is expected of setters who did the task themselves, of or about people
    no user list ever showed (bots), and of pairs whose departments are swapped.

    A rating fulfils when it is that rater's of that ratee in that process, for that task in whatever month, or naming
    that month; of several the lowest id is shown. Its own exclusion does not matter (`unexplained` was given, and a
    duplicate was given twice), but for those in `NOT_FULFILLING`: they hold no score, were taken back, or came when
    the month was closed.

    What is not fulfilled is waived if all its tasks were deleted, if the rater had left when it was due (today, if
    that is still ahead), or if a month has fewer tasks than asked for. Everything else is `missed`; before `due_on`
    that only means "not given yet", which is why the day stands in the row.

    Of people who were dismissed already when a list of users first showed them nobody knows the day on which they
    left. It is taken to be the day after their last sign of life, a rating given (deleted ones too) or a task closed as
    its executor, in whatever process: what they missed while they worked does not depend on when the first run was.

    Args:
        tasks: columns of `sources.contracts.TASK_COLUMNS`, all periods together.
        ratings: columns process_key, rating_id, period, rated_on, rater_id, ratee_id, task_id, is_deleted,
            exclusion_code, all periods together.
        expectations: by process key; processes without tasks are absent.
        organisation: people and departments; its employees also have is_active, valid_to and is_inferred.
        freeze_day: day of the next month on which a month is closed.
        today: the portal's day.

    Returns:
        One row per expected rating, by period, process, task and people: process_key, period (month of closing),
        rater_id, ratee_id, both departments on the day of closing, task_id (0 for a month), tasks (how many were
        closed and are still there), expected_on (day of closing, of the last one in a month), due_on, status, waiver
        ('' unless waived), rating_id (0 if none), rated_on.
    """
    absences = _absences(organisation, tasks, ratings)
    found = [
        _of_process(key, expected, tasks, ratings, organisation, absences, freeze_day, today)
        for key, expected in expectations.items()
    ]
    rows = [part for part in found if not part.empty]
    if not rows:
        return pd.DataFrame(columns=list(_COLUMNS))
    order = ["period", "process_key", "task_id", "rater_id", "ratee_id"]
    return pd.concat(rows).sort_values(order, ignore_index=True)[list(_COLUMNS)]


def _of_process(
    key: str,
    expected: Expectation,
    tasks: pd.DataFrame,
    ratings: pd.DataFrame,
    organisation: Organisation,
    absences: pd.DataFrame,
    freeze_day: int,
    today: date,
) -> pd.DataFrame:
    rows = _occasions(tasks[tasks["group_id"].eq(expected.group_id)], expected, organisation)
    rows = rows.assign(
        process_key=key,
        rater_department_id=organisation.departments_of(rows["rater_id"], rows["expected_on"]),
        ratee_department_id=organisation.departments_of(rows["ratee_id"], rows["expected_on"]),
    )
    rows = rows[~_is_swapped(rows, expected, organisation)].reset_index(drop=True)
    due = {period: freeze_date(period, freeze_day) for period in rows["period"].unique()}
    rows["due_on"] = rows["period"].map(due)
    rows = _with_ratings(rows, ratings[ratings["process_key"].eq(key)], expected)
    is_given = rows["rating_id"].ne(0).to_numpy(dtype=bool)
    waivers = {
        TASK_DELETED: rows["tasks"].eq(0).to_numpy(dtype=bool),
        LEFT: _has_left(rows["rater_id"], rows["due_on"].where(rows["due_on"] <= today, today), absences),
        BELOW_MINIMUM: rows["tasks"].lt(expected.min_tasks).to_numpy(dtype=bool),
    }
    waiver = np.select([~is_given & waivers[name] for name in WAIVERS], WAIVERS, default="")
    status = np.select([is_given, waiver != ""], [FULFILLED, WAIVED], default=MISSED)
    return rows.assign(status=status, waiver=waiver)


def _occasions(tasks: pd.DataFrame, expected: Expectation, organisation: Organisation) -> pd.DataFrame:
    """What is to be rated: each task and executor, or each pair of a month; deleted tasks only if all are."""
    known = organisation.known_people
    is_asked = (
        tasks["setter_id"].ne(tasks["executor_id"]) & tasks["setter_id"].isin(known) & tasks["executor_id"].isin(known)
    )
    rows = tasks[is_asked].rename(columns={"executor_id": "rater_id", "setter_id": "ratee_id"})
    if expected.is_monthly:
        rows = rows.assign(task_id=0)
    keys = ["period", "rater_id", "ratee_id", "task_id"]
    rows = rows.assign(is_there=~rows["is_deleted"].astype(bool), closed_on=pd.to_datetime(rows["closed_on"]))
    stands = rows.groupby(keys)["is_there"].transform("any").astype(bool)
    counted = rows[rows["is_there"] | ~stands].groupby(keys, as_index=False)
    found = counted.agg(tasks=("is_there", "sum"), expected_on=("closed_on", "max"))
    return found.assign(expected_on=found["expected_on"].dt.date)


def _is_swapped(rows: pd.DataFrame, expected: Expectation, organisation: Organisation) -> npt.NDArray[np.bool_]:
    """The executor sits where setters do and the other way round: a rating of that would be in the wrong direction."""
    if rows.empty or not (expected.setter_departments and expected.executor_departments):
        return np.zeros(len(rows), dtype=bool)
    day = rows["expected_on"]
    sides = (expected.setter_departments, expected.executor_departments)
    rater_sets, rater_executes = (organisation.within(rows["rater_department_id"], day, tops) for tops in sides)
    ratee_sets, ratee_executes = (organisation.within(rows["ratee_department_id"], day, tops) for tops in sides)
    return np.asarray(rater_sets & ratee_executes & ~(rater_executes & ratee_sets), dtype=bool)


def _with_ratings(rows: pd.DataFrame, ratings: pd.DataFrame, expected: Expectation) -> pd.DataFrame:
    is_given = ~ratings["is_deleted"].astype(bool) & ~ratings["exclusion_code"].isin(NOT_FULFILLING)
    keys = ["rater_id", "ratee_id", "period" if expected.is_monthly else "task_id"]
    given = ratings[is_given].sort_values("rating_id").drop_duplicates(keys)[[*keys, "rating_id", "rated_on"]]
    merged = rows.merge(given, on=keys, how="left")
    is_rated = merged["rating_id"].notna()
    return merged.assign(
        rating_id=merged["rating_id"].fillna(0).astype("int64"),
        rated_on=merged["rated_on"].astype(object).where(is_rated, None),
    )


def _absences(organisation: Organisation, tasks: pd.DataFrame, ratings: pd.DataFrame) -> pd.DataFrame:
    """From which day (valid_from) to which (valid_to, not included) people (employee_id) count as having left."""
    versions = organisation.employees
    away = versions.loc[~versions["is_active"].astype(bool), ["employee_id", "valid_from", "valid_to", "is_inferred"]]
    guessed = away[away["is_inferred"].astype(bool)]
    signs = [
        frame.set_axis(["employee_id", "seen_on"], axis=1).astype({"employee_id": "int64"})
        for frame in (ratings[["rater_id", "rated_on"]], tasks[["executor_id", "closed_on"]])
    ]
    seen = pd.concat([part[part["employee_id"].isin(guessed["employee_id"])] for part in signs])
    seen = seen.merge(guessed, on="employee_id")
    # What somebody did after he was taken on again tells nothing of the day on which he had left.
    last = seen[seen["seen_on"] < seen["valid_to"]].groupby("employee_id")["seen_on"].max()
    starts = [
        last[person] + timedelta(days=1) if inferred and person in last.index else start
        for person, start, inferred in zip(away["employee_id"], away["valid_from"], away["is_inferred"], strict=True)
    ]
    return away[["employee_id", "valid_to"]].assign(valid_from=starts)


def _has_left(people: pd.Series[int], days: pd.Series[date], away: pd.DataFrame) -> npt.NDArray[np.bool_]:
    asked = pd.DataFrame({"row": np.arange(len(people)), "employee_id": people.to_numpy(), "day": days.to_numpy()})
    spells = asked.merge(away, on="employee_id")
    then = spells.loc[(spells["valid_from"] <= spells["day"]) & (spells["day"] < spells["valid_to"]), "row"]
    return np.isin(asked["row"].to_numpy(), then.to_numpy())
