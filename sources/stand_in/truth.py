"""What the warehouse must say of ratings, given and expected: an oracle, written to be read rather than to be fast.

Belongs here: the rules of the design, one rating at a time, in plain Python. Does not belong here: anything shared
with the pipeline. The oracle would prove nothing if it ran the code that it judges.

The answer is what `dwh.fct_rating` holds when the mode of every process is open.

With sightings, which are copies of the portal as each run read it, the oracle also knows time: who worked where on
which day as far as any run could see, and what happened to a rating between two runs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cache
from typing import Any, Literal, TypeAlias

from sources.stand_in import phrases
from sources.stand_in.state import PortalState, Record, SmartProcess

FIRST_PERIOD = date(2020, 1, 1)
FIRST_DAY, NO_END = date(1970, 1, 1), date(2100, 1, 1)
"""Since when the first version of anything holds, and until when a version holds that has not ended."""


PASTED_DAYS, PASTED_TIMES, PASTED_RATEES = timedelta(days=90), 3, 2
"""A text is pasted when one rater gives it so often within so many days, and to so many people."""


@dataclass(frozen=True)
class TruthRow:
    """One rating as the warehouse must hold it; ids are 0 where the portal has none.

    Attributes:
        comment_level: `violation`, `weak` or `ok`; a score that needs no explanation is always `ok`.
        comment_rule: the comment rule behind that level, empty for `ok`.
    """

    process_key: str
    rating_id: int
    period: date
    rated_on: date
    rater_id: int
    ratee_id: int
    rater_department_id: int
    ratee_department_id: int
    task_id: int
    score: int | None
    comment: str
    exclusion_code: str
    is_deleted: bool
    comment_level: str
    comment_rule: str


@dataclass(frozen=True)
class ObligationRow:
    """One expected rating as the warehouse must hold it.

    Attributes:
        period: month of closing.
        task_id: 0 for a rating of a month.
        tasks: how many closed tasks ask for it and are still there.
        expected_on: day of closing, of the last of the tasks.
        due_on: day on which the month is frozen.
        status: `fulfilled`, `missed` or `waived`.
        waiver: why it is waived, else empty.
        rating_id: what fulfils it; 0 if nothing does.
        rated_on: when that was given.
    """

    process_key: str
    period: date
    rater_id: int
    ratee_id: int
    rater_department_id: int
    ratee_department_id: int
    task_id: int
    tasks: int
    expected_on: date
    due_on: date
    status: str
    waiver: str
    rating_id: int
    rated_on: date | None


@dataclass(frozen=True)
class Sighting:
    """The portal as one run read it.

    Attributes:
        day: the run's day in portal time.
        state: a copy of what the portal held; its clock shows the moment of the run.
    """

    day: date
    state: PortalState


@dataclass(frozen=True)
class EmployeeVersion:
    """What was known of an employee from one day to another; ids are 0 where the portal has none."""

    employee_id: int
    full_name: str
    position: str
    department_id: int
    is_active: bool
    valid_from: date
    valid_to: date
    is_current: bool
    is_inferred: bool


@dataclass(frozen=True)
class DepartmentVersion:
    """What was known of a department from one day to another; ids are 0 where the portal has none."""

    department_id: int
    name: str
    parent_id: int
    head_employee_id: int
    valid_from: date
    valid_to: date
    is_current: bool
    is_inferred: bool


@dataclass(frozen=True)
class RatingEvent:
    """What a run found to have happened to a rating since the run before.

    Attributes:
        period: the month that the rating stands in afterwards; for a delete, stood in before.
        observed_on: the run's day.
        is_after_freeze: whether that month was frozen when it happened.
        old_score: None for a create.
        new_score: None for a delete.
        changed: for an edit, the roles whose values differ, `stage` among them.
    """

    process_key: str
    rating_id: int
    event: Literal["create", "edit", "delete", "restore"]
    period: date
    observed_on: date
    is_after_freeze: bool
    old_score: int | None
    new_score: int | None
    changed: frozenset[str]


def sight(state: PortalState, moment: datetime) -> Sighting:
    """Keeps what the portal holds while a run reads it.

    Args:
        state: the portal.
        moment: when the run reads it, aware.
    """
    copied = replace(
        state,
        now=moment,
        users=_copied(state.users),
        departments=_copied(state.departments),
        tasks=_copied(state.tasks),
        deleted_tasks=_copied(state.deleted_tasks),
        processes={
            number: replace(process, items=_copied(process.items), deleted=_copied(process.deleted))
            for number, process in state.processes.items()
        },
    )
    return Sighting(moment.astimezone(state.timezone).date(), copied)


def _copied(rows: dict[int, Record]) -> dict[int, Record]:
    """Rows hold scalars and lists of scalars; a real deep copy of a year takes minutes."""
    return {
        number: {name: list(value) if isinstance(value, list) else value for name, value in row.items()}
        for number, row in rows.items()
    }


def rating_truth(
    state: PortalState, config: Record | None = None, sightings: Sequence[Sighting] | None = None
) -> list[TruthRow]:
    """Judges every rating of the portal, deleted ones included.

    Args:
        state: the portal.
        config: the estafeta.yaml contents to judge by; the portal's own by default.
        sightings: what the runs so far have read, in order. With them departments are those known for the day of a
            rating, people stay known, and a rating that no run has seen before its deletion is not there.

    Returns:
        Rows in the order of the configuration's processes, then by id.
    """
    settings = config if config is not None else state.config
    past = None if sightings is None else _Past(sightings)
    rows: list[TruthRow] = []
    for process in settings["processes"]:
        rows.extend(_ProcessTruth(state, settings, process, past).rows())
    return _pasted_are_weak(rows, {process["key"]: process for process in settings["processes"]})


def _pasted_are_weak(rows: list[TruthRow], processes: dict[str, Record]) -> list[TruthRow]:
    """A good reason that somebody gives to everybody is none."""
    told: dict[tuple[int, str], list[TruthRow]] = {}
    for row in rows:
        if not row.is_deleted and row.comment_level == "ok" and _needs_reason(row.score, processes[row.process_key]):
            told.setdefault((row.rater_id, row.comment), []).append(row)
    pasted: set[tuple[str, int]] = set()
    for same in told.values():
        for first in same:
            window = [row for row in same if timedelta() <= row.rated_on - first.rated_on < PASTED_DAYS]
            if len(window) >= PASTED_TIMES and len({row.ratee_id for row in window}) >= PASTED_RATEES:
                pasted |= {(row.process_key, row.rating_id) for row in window}
    return [
        replace(row, comment_level="weak", comment_rule="copy_paste")
        if (row.process_key, row.rating_id) in pasted
        else row
        for row in rows
    ]


def obligation_truth(
    state: PortalState,
    config: Record | None = None,
    sightings: Sequence[Sighting] | None = None,
    since: date | None = None,
) -> list[ObligationRow]:
    """Lists every rating that closed tasks ask for, and what became of it.

    Args:
        state: the portal.
        config: the estafeta.yaml contents to judge by; the portal's own by default.
        sightings: what the runs so far have read, in order. With them a deleted task is one that a run has seen.
        since: first month whose tasks were read; the month of the oldest rating by default.

    Returns:
        Rows in the order of the configuration's processes, then by month, task, rater and ratee.
    """
    settings = config if config is not None else state.config
    ratings = rating_truth(state, settings, sightings)
    if since is None:
        since = min((row.period for row in ratings), default=FIRST_PERIOD)
    past = None if sightings is None else _Past(sightings)
    today = state.now.astimezone(state.timezone).date() if sightings is None else sightings[-1].day
    signs = _signs_of_life(state, settings, ratings, past)
    rows: list[ObligationRow] = []
    for process in settings["processes"]:
        if process.get("tasks"):
            reader = _ProcessTruth(state, settings, process, past)
            given = [row for row in ratings if row.process_key == process["key"]]
            rows.extend(_ObligationTruth(reader, given, today, signs).rows(since))
    return rows


def _signs_of_life(
    state: PortalState, settings: Record, ratings: list[TruthRow], past: _Past | None
) -> dict[int, list[date]]:
    """By person, the days on which they gave a rating or closed a task as its executor, in any process."""
    signs: dict[int, list[date]] = {}
    for row in ratings:
        signs.setdefault(row.rater_id, []).append(row.rated_on)
    groups = {str(process["tasks"]["group_id"]) for process in settings["processes"] if process.get("tasks")}
    for task, _ in _closed_tasks(state, groups, past):
        for executor in _executors(task):
            signs.setdefault(executor, []).append(_closed_on(task, state))
    return signs


def _closed_tasks(state: PortalState, groups: set[str], past: _Past | None) -> Iterator[tuple[Record, bool]]:
    """Completed tasks of some groups, then those that were completed when they were seen last."""
    gone = state.deleted_tasks
    if past is not None:
        seen: dict[int, Record] = {}
        for sighting in past.sightings:
            seen |= sighting.state.tasks
        gone = {number: row for number, row in seen.items() if number not in state.tasks}
    for rows, is_deleted in ((state.tasks, False), (gone, True)):
        for task in rows.values():
            if task.get("groupId") in groups and task.get("status") == "5" and task.get("closedDate"):
                yield task, is_deleted


def _executors(task: Record) -> set[int]:
    return {int(person) for person in [task["responsibleId"], *(task.get("accomplices") or [])]}


def _closed_on(task: Record, state: PortalState) -> date:
    return datetime.fromisoformat(task["closedDate"]).astimezone(state.timezone).date()


class _ObligationTruth:
    """What is expected in one process."""

    def __init__(
        self, reader: _ProcessTruth, ratings: list[TruthRow], today: date, signs: dict[int, list[date]]
    ) -> None:
        self.reader = reader
        self.signs = signs
        self.ratings: dict[tuple[int, int], list[TruthRow]] = {}
        for row in ratings:
            self.ratings.setdefault((row.rater_id, row.ratee_id), []).append(row)
        self.today = today
        self.is_monthly: bool = reader.process["cadence"] == "month"

    def rows(self, since: date) -> Iterator[ObligationRow]:
        """Every expected rating of tasks closed in a month or later."""
        asked: dict[tuple[date, int, int, int], list[tuple[date, bool]]] = {}
        group = str(self.reader.process["tasks"]["group_id"])
        for task, is_deleted in _closed_tasks(self.reader.state, {group}, self.reader.past):
            closed_on = _closed_on(task, self.reader.state)
            setter = int(task["createdBy"])
            for executor in _executors(task):
                if executor == setter or not all(self.reader.is_known(person) for person in (executor, setter)):
                    continue
                occasion = (closed_on.replace(day=1), 0 if self.is_monthly else int(task["id"]), executor, setter)
                asked.setdefault(occasion, []).append((closed_on, is_deleted))
        for (period, task_id, rater, ratee), tasks in sorted(asked.items()):
            if period >= since:
                row = self._row(period, rater, ratee, task_id, tasks)
                if not self.reader.is_swapped(row.rater_department_id, row.ratee_department_id, row.expected_on):
                    yield row

    def _row(self, period: date, rater: int, ratee: int, task_id: int, tasks: list[tuple[date, bool]]) -> ObligationRow:
        there = [closed_on for closed_on, is_deleted in tasks if not is_deleted]
        expected_on = max(there or [closed_on for closed_on, _ in tasks])
        due_on = self.reader.freeze(period).date()
        fulfilling = [
            row
            for row in self.ratings.get((rater, ratee), ())
            if (row.period == period if self.is_monthly else row.task_id == task_id)
            and not row.is_deleted
            and row.exclusion_code not in ("no_score", "score_range", "out_of_window", "stage_not_counted", "deleted")
        ]
        rating = min(fulfilling, key=lambda row: row.rating_id, default=None)
        waiver = ""
        if rating is None:
            if not there:
                waiver = "task_deleted"
            elif self.reader.has_left(rater, min(due_on, self.today), self.signs.get(rater, [])):
                waiver = "left"
            elif len(there) < self.reader.process["tasks"].get("min_tasks", 1):
                waiver = "below_minimum"
        return ObligationRow(
            process_key=self.reader.process["key"],
            period=period,
            rater_id=rater,
            ratee_id=ratee,
            rater_department_id=self.reader.department_of(rater, expected_on),
            ratee_department_id=self.reader.department_of(ratee, expected_on),
            task_id=task_id,
            tasks=len(there),
            expected_on=expected_on,
            due_on=due_on,
            status="fulfilled" if rating else "waived" if waiver else "missed",
            waiver=waiver,
            rating_id=rating.rating_id if rating else 0,
            rated_on=rating.rated_on if rating else None,
        )


def employee_versions(sightings: Sequence[Sighting]) -> list[EmployeeVersion]:
    """What was known of employees, by id and start.

    Args:
        sightings: what the runs have read, in order of time.
    """
    history: _Versions = {}
    for sighting in sightings:
        _begin_day(history, sighting.day)
        users = sighting.state.users
        for number in sorted({*history, *users}):
            before = history[number][-1].values if history.get(number) else None
            _see(history, number, sighting.day, _employee(users.get(number), before))
    return [
        EmployeeVersion(number, name, position, department, is_active, v.start, v.end, is_current, v.start == FIRST_DAY)
        for number, versions in sorted(history.items())
        for v in versions
        for (name, position, department, is_active), is_current in [(v.values, v is versions[-1])]
    ]


def _employee(row: Record | None, before: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
    """Full name, position, department, whether active; nothing for somebody whom nobody has seen yet."""
    if row is None:
        return None if before is None else (*before[:3], False)
    parts = [str(row.get(name) or "").strip() for name in ("LAST_NAME", "NAME", "SECOND_NAME")]
    departments = row.get("UF_DEPARTMENT") or []
    department = int(departments[0]) if departments else 0
    is_active = bool(row.get("ACTIVE", True))
    if not departments and not is_active and before is not None:
        department = before[2]
    return " ".join(part for part in parts if part), str(row.get("WORK_POSITION") or ""), department, is_active


def department_versions(sightings: Sequence[Sighting]) -> list[DepartmentVersion]:
    """What was known of departments, by id and start.

    Args:
        sightings: what the runs have read, in order of time.
    """
    history: _Versions = {}
    for sighting in sightings:
        _begin_day(history, sighting.day)
        rows = sighting.state.departments
        for number in sorted({*history, *rows}):
            _see(history, number, sighting.day, _department(rows[number]) if number in rows else None)
    return [
        DepartmentVersion(number, name, parent, head, v.start, v.end, v.end == NO_END, v.start == FIRST_DAY)
        for number, versions in sorted(history.items())
        for v in versions
        for name, parent, head in [v.values]
    ]


def _department(row: Record) -> tuple[Any, ...]:
    return str(row.get("NAME", "")), int(row.get("PARENT") or 0), int(row.get("UF_HEAD") or 0)


@dataclass
class _Version:
    values: tuple[Any, ...]
    start: date
    end: date = NO_END


_Versions: TypeAlias = dict[int, list[_Version]]


def _begin_day(history: _Versions, day: date) -> None:
    """Takes back what an earlier run of the same day has added: of one day the last run counts."""
    for versions in history.values():
        versions[:] = [version for version in versions if version.start != day]
        if versions and versions[-1].end == day:
            versions[-1].end = NO_END


def _see(history: _Versions, number: int, day: date, values: tuple[Any, ...] | None) -> None:
    """One thing as one run saw it: the same as before, different, or not there."""
    versions = history.setdefault(number, [])
    standing = versions[-1] if versions and versions[-1].end == NO_END else None
    if standing is not None and standing.values != values:
        standing.end = day
        standing = None
    if standing is None and values is not None:
        versions.append(_Version(values, day if versions else FIRST_DAY))


class _Past:
    """What the runs so far have seen."""

    def __init__(self, sightings: Sequence[Sighting]) -> None:
        self.sightings = sightings
        self.employees: dict[int, list[EmployeeVersion]] = {}
        for employee in employee_versions(sightings):
            self.employees.setdefault(employee.employee_id, []).append(employee)
        self.departments: dict[int, list[DepartmentVersion]] = {}
        for department in department_versions(sightings):
            self.departments.setdefault(department.department_id, []).append(department)

    def department_of(self, user: int, day: date) -> int:
        """The department known for a day; 0 for strangers, and for a department that was not there that day."""
        for version in self.employees.get(user, ()):
            if version.valid_from <= day < version.valid_to:
                return version.department_id if self.department(version.department_id, day) else 0
        return 0

    def has_left(self, user: int, day: date, signs: list[date]) -> bool:
        """Whether somebody was known to have left by a day.

        Args:
            user: who.
            day: by when.
            signs: days of their signs of life: until the last, nobody had left whom no run has seen at work.
        """
        for version in self.employees.get(user, ()):
            if version.valid_from <= day < version.valid_to and not version.is_active:
                return not version.is_inferred or all(sign < day for sign in signs if sign < version.valid_to)
        return False

    def department(self, number: int, day: date) -> DepartmentVersion | None:
        """A department as it was on a day."""
        fitting = (v for v in self.departments.get(number, ()) if v.valid_from <= day < v.valid_to)
        return next(fitting, None)

    def last_seen(self, entity_type_id: int) -> dict[int, Record]:
        """Every element that a run has seen, as it was seen last."""
        seen: dict[int, Record] = {}
        for sighting in self.sightings:
            seen |= sighting.state.processes[entity_type_id].items
        return seen


def rating_events(sightings: Sequence[Sighting], config: Record) -> list[RatingEvent]:
    """What happened to ratings, as far as runs could see it.

    Args:
        sightings: what the runs have read, in order of time.
        config: the estafeta.yaml contents to read ratings by.

    Returns:
        Events by run, then in the order of the configuration's processes, then by id.
    """
    events: list[RatingEvent] = []
    last: dict[tuple[str, int], Record] = {}
    live: set[tuple[str, int]] = set()
    for sighting in sightings:
        for process in config["processes"]:
            reader = _ProcessTruth(sighting.state, config, process, None)
            items = reader.portal_process.items
            known = {number for key, number in last if key == process["key"]}
            for number in sorted(known | items.keys()):
                place = (process["key"], number)
                event = _event(reader, sighting.day, last.get(place), items.get(number), is_live=place in live)
                if event is not None:
                    events.append(event)
                if number in items:
                    last[place] = items[number]
                    live.add(place)
                else:
                    live.discard(place)
    return events


def _event(
    reader: _ProcessTruth, day: date, before: Record | None, after: Record | None, *, is_live: bool
) -> RatingEvent | None:
    """What one run finds of one rating, if anything.

    Args:
        reader: the rules of its process, over the portal as the run read it.
        day: the run's day.
        before: the rating as it was seen last.
        after: the rating now; None when it is not there.
        is_live: whether the run before has seen it.
    """
    if is_live and before == after:
        return None
    old, new = (None if row is None else reader.seen(row) for row in (before, after))
    changed: frozenset[str] = frozenset()
    event: Literal["create", "edit", "delete", "restore"]
    if new is None or after is None:
        if old is None or not is_live:
            return None
        event, moment, period = "delete", reader.state.now, old["period"]
    elif old is None:
        event, moment, period = "create", reader.created(after), new["period"]
    elif not is_live:
        event, moment, period = "restore", reader.state.now, new["period"]
    else:
        changed = frozenset(role for role in new if new[role] != old[role])
        if not changed:
            return None
        event, moment, period = "edit", datetime.fromisoformat(after["updatedTime"]), new["period"]
    return RatingEvent(
        process_key=reader.process["key"],
        rating_id=(after or before or {})["id"],
        event=event,
        period=period,
        observed_on=day,
        is_after_freeze=moment >= reader.freeze(period),
        old_score=None if old is None else old["score"],
        new_score=None if new is None else new["score"],
        changed=changed,
    )


class _ProcessTruth:
    """The rules applied to one process."""

    def __init__(self, state: PortalState, settings: Record, process: Record, past: _Past | None) -> None:
        self.state = state
        self.process = process
        self.past = past
        self.fields: dict[str, str] = process["fields"]
        self.freeze_day: int = settings["release"]["freeze_day"]
        self.portal_process: SmartProcess = state.processes[process["entity_type_id"]]

    def rows(self) -> Iterator[TruthRow]:
        """Every rating of the process, judged."""
        live = self.portal_process.items
        gone = self.portal_process.deleted
        if self.past is not None:
            seen = self.past.last_seen(self.process["entity_type_id"])
            gone = {number: row for number, row in seen.items() if number not in live}
        items = [(item, False) for item in live.values()]
        items += [(item, True) for item in gone.values()]
        items.sort(key=lambda pair: pair[0]["id"])
        plain = [(item, self._plain_row(item, is_deleted)) for item, is_deleted in items]
        standing = self._standing([row for _, row in plain])
        for item, row in plain:
            yield replace(row, exclusion_code=self._code(item, row, standing))

    def _plain_row(self, item: Record, is_deleted: bool) -> TruthRow:
        """The rating's own values, not judged yet."""
        rater, ratee = self._id(item, "rater"), self._id(item, "ratee")
        comment = self._value(item, "comment")
        score, _ = self._score(item)
        period, _ = self._period(item)
        text = "" if comment is None else str(comment)
        task = self.state.tasks.get(self._id(item, "task"))
        title = str(task.get("title") or "") if task else ""
        level, rule = _judge_comment(text, title) if _needs_reason(score, self.process) else ("ok", "")
        return TruthRow(
            process_key=self.process["key"],
            rating_id=item["id"],
            period=period,
            rated_on=self.created(item).date(),
            rater_id=rater,
            ratee_id=ratee,
            rater_department_id=self.department_of(rater, self.created(item).date()),
            ratee_department_id=self.department_of(ratee, self.created(item).date()),
            task_id=self._id(item, "task"),
            score=score,
            comment=text,
            exclusion_code="",
            is_deleted=is_deleted,
            comment_level=level,
            comment_rule=rule,
        )

    def _code(self, item: Record, row: TruthRow, standing: dict[tuple[Any, ...], int]) -> str:
        """The first rule that the rating breaks."""
        _, score_code = self._score(item)
        _, period_fits = self._period(item)
        same = self._same(row)
        rules = [
            (score_code, score_code != ""),
            ("no_rater", row.rater_id == 0),
            ("no_ratee", row.ratee_id == 0),
            ("unknown_rater", not self.is_known(row.rater_id)),
            ("unknown_ratee", not self.is_known(row.ratee_id)),
            ("self_rating", row.rater_id == row.ratee_id),
            ("duplicate_rating", not row.is_deleted and same is not None and standing[same] != row.rating_id),
            ("wrong_direction", self._is_wrong_direction(row)),
            ("out_of_window", not period_fits),
            ("stage_not_counted", not self._is_stage_counted(item)),
            ("deleted", row.is_deleted),
            ("unexplained", row.comment_level == "violation"),
        ]
        return next((code for code, broken in rules if broken), "")

    # Values

    def _value(self, item: Record, role: str) -> Any:  # noqa: ANN401 - the portal's values have every type
        """The value of a role's field; None when the process has no such field."""
        return item.get(self.fields[role]) if role in self.fields else None

    def _id(self, item: Record, role: str) -> int:
        """A user's or a task's id; 0 when there is none."""
        value = self._value(item, role)
        return int(value) if value else 0

    def created(self, item: Record) -> datetime:
        """When the rating was given, in portal time."""
        return datetime.fromisoformat(item["createdTime"]).astimezone(self.state.timezone)

    def seen(self, item: Record) -> dict[str, Any]:
        """What counts as a change of a rating when it differs, by role."""
        score, _ = self._score(item)
        period, _ = self._period(item)
        return {
            "score": score,
            "comment": str(self._value(item, "comment") or ""),
            "reason": str(self._value(item, "reason") or ""),
            **{role: self._id(item, role) for role in ("rater", "ratee", "task")},
            "period": period,
            "stage": str(item.get("stageId") or ""),
        }

    def is_known(self, user: int) -> bool:
        """Whether a user list knows somebody, or a run ever saw them in one."""
        return user in (self.state.users if self.past is None else self.past.employees)

    def department_of(self, user: int, day: date) -> int:
        """A person belongs to the first of their departments."""
        if self.past is not None:
            return self.past.department_of(user, day)
        if user not in self.state.users:
            return 0
        departments = self.state.users[user]["UF_DEPARTMENT"]
        return int(departments[0]) if departments else 0

    def has_left(self, user: int, day: date, signs: list[date]) -> bool:
        """Whether somebody was known to have left by a day: after the last sign of life, if no run saw them leave."""
        if self.past is not None:
            return self.past.has_left(user, day, signs)
        return not self.state.users[user].get("ACTIVE", True) and all(sign < day for sign in signs)

    # Scores

    def _score(self, item: Record) -> tuple[int | None, str]:
        """The score, or what is wrong with it."""
        value = self._value(item, "score")
        kind = self.portal_process.fields[self.fields["score"]]["type"]
        if value is None or str(value).strip() == "":
            return None, "no_score"
        if kind == "integer":
            score = int(value) if str(value) in ("1", "2", "3", "4", "5") else None
        elif kind == "enumeration":
            if str(value) == "0":
                return None, "no_score"
            score = self._score_of_text(self._option_text(str(value)))
        else:
            score = self._score_of_text(str(value))
        return (score, "") if score is not None else (None, "score_range")

    def _option_text(self, option: str) -> str:
        """The text of an enumeration's option; an unknown option has none."""
        definition = self.portal_process.fields[self.fields["score"]]
        for candidate in definition["items"]:
            if candidate["ID"] == option:
                return str(candidate["VALUE"])
        return ""

    def _score_of_text(self, text: str) -> int | None:
        """The score that the configuration gives to a text, or else the only number in it."""
        text = text.strip()
        values = self.process.get("score_values") or {}
        if text in values:
            return int(values[text])
        numbers = re.findall(r"[0-9]+", text)
        if len(numbers) != 1 or int(numbers[0]) not in (1, 2, 3, 4, 5):
            return None
        return int(numbers[0])

    # Time

    def _period(self, item: Record) -> tuple[date, bool]:
        """The month that the rating belongs to, and whether it came in that month's window."""
        created = self.created(item)
        month_of_creation = created.date().replace(day=1)
        written = self._value(item, "period")
        if self.process["cadence"] == "task" or not written:
            return month_of_creation, True
        # Portals write a date as midnight of some offset: only the date as written is meant.
        period = date.fromisoformat(str(written)[:10]).replace(day=1)
        if period < FIRST_PERIOD or period > month_of_creation:
            return month_of_creation, False
        return period, created < self.freeze(period)

    def freeze(self, period: date) -> datetime:
        """From when on nothing of a month changes what was published of it."""
        next_year, next_month = (period.year + 1, 1) if period.month == 12 else (period.year, period.month + 1)
        return datetime(next_year, next_month, self.freeze_day, tzinfo=self.state.timezone)

    # Relations

    def _same(self, row: TruthRow) -> tuple[Any, ...] | None:
        """What two ratings share when one of them is a duplicate; None when a rating cannot have one."""
        if self.process["cadence"] == "month":
            return (row.rater_id, row.ratee_id, row.period)
        return (row.rater_id, row.ratee_id, row.task_id) if row.task_id else None

    def _standing(self, rows: list[TruthRow]) -> dict[tuple[Any, ...], int]:
        """Of the ratings of the same thing that are not deleted, the one with the lowest id."""
        standing: dict[tuple[Any, ...], int] = {}
        for row in rows:
            same = self._same(row)
            if same is not None and not row.is_deleted:
                standing[same] = min(row.rating_id, standing.get(same, row.rating_id))
        return standing

    def _is_wrong_direction(self, row: TruthRow) -> bool:
        """The ratee did the task, or the departments are swapped."""
        task = self.state.tasks.get(row.task_id)
        if task is not None and int(task["responsibleId"]) == row.ratee_id and int(task["createdBy"]) != row.ratee_id:
            return True
        return self.is_swapped(row.rater_department_id, row.ratee_department_id, row.rated_on)

    def is_swapped(self, rater: int, ratee: int, day: date) -> bool:
        """Whether the rater's department sets and the ratee's executes, and not the other way round as well."""
        setters = self.process.get("setter_departments") or []
        executors = self.process.get("executor_departments") or []
        if not setters or not executors:
            return False
        swapped = self._is_below(rater, setters, day) and self._is_below(ratee, executors, day)
        right = self._is_below(rater, executors, day) and self._is_below(ratee, setters, day)
        return swapped and not right

    def _is_below(self, department: int, tops: list[int], day: date) -> bool:
        """Whether a department is one of those, or somewhere below one."""
        seen: set[int] = set()
        while department not in seen:
            parent = self._parent(department, day)
            if parent is None:
                return False
            if department in tops:
                return True
            seen.add(department)
            department = parent
        return False

    def _parent(self, department: int, day: date) -> int | None:
        """What is above a department, 0 for nothing; None when there is no such department."""
        if self.past is not None:
            version = self.past.department(department, day)
            return None if version is None else version.parent_id
        row = self.state.departments.get(department)
        return None if row is None else int(row.get("PARENT") or 0)

    # Stage

    def _is_stage_counted(self, item: Record) -> bool:
        stage = str(item.get("stageId") or "")
        counted = self.process.get("counted_stages")
        if counted:
            return stage.split(":")[-1] in counted
        semantics = {row["STATUS_ID"]: row["SEMANTICS"] for row in self.portal_process.statuses}
        return semantics.get(stage) != "F"


# Comments


def _needs_reason(score: int | None, process: Record) -> bool:
    """Whether a score is low enough for an explanation to be asked for."""
    return score is not None and score < process.get("comment_required_below", 5)


@cache
def _labels() -> dict[str, tuple[str, str]]:
    """Level and rule of the comments that the company's people write, by text; all others are real reasons."""
    return {
        **dict.fromkeys(phrases.CONTRADICTION, ("weak", "contradiction")),
        **{text: ("weak", rule) for rule, texts in phrases.VAGUE.items() for text in texts},
        **{text: ("violation", rule) for rule, texts in phrases.JUNK.items() for text in texts},
        **dict.fromkeys(phrases.PROFANITY_ONLY, ("violation", "profanity_only")),
    }


def _judge_comment(text: str, title: str) -> tuple[str, str]:
    """Level and rule of the explanation of a low score.

    Args:
        text: the comment as written.
        title: of the linked task; empty if there is none.
    """
    if text in _labels():
        return _labels()[text]
    if title and text == title:
        return "violation", "title_copy"
    letters = sum(char.isalpha() for char in text)
    if letters >= 3:
        return "ok", ""
    if all(char.isspace() or unicodedata.category(char) == "Cf" for char in text):
        return "violation", "empty"
    return "violation", "too_short" if letters else "no_letters"
