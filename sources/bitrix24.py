"""The portal as the pipeline asks for it: complete or failed, never silently short.

Belongs here: what is asked for and what the answers mean. Does not belong here: sending, repeating and paging
(`connection.py`), errors and their sentences (`envelope.py`), the shape of a record (`contracts.py`), what a rating
means (`assets/rules`).

No filter depends on anything that people can edit, except where edits are asked for: a rating whose month, stage or
people change while it is read stays in the list that is walked. Months are cut out of what was read afterwards.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import TracebackType
from typing import Any, Self, TypeVar
from zoneinfo import ZoneInfo

import pyarrow as pa

from sources.agreements import agreements_table
from sources.connection import BATCH, Connection
from sources.contracts import (
    COMPLETED,
    FIRST_PERIOD,
    AgreementProcess,
    ContractBrokenError,
    DecisionProcess,
    Department,
    FieldDefinition,
    GroupTask,
    Mapped,
    Process,
    Profile,
    Status,
    Task,
    User,
    parse_records,
    ratings_table,
    stubs_table,
    tasks_table,
)
from sources.decisions import decisions_table
from sources.envelope import (
    PAGE,
    FilterBrokenError,
    PortalBusyError,
    PortalError,
    PortalUnreachableError,
    Refusal,
    RequestRefusedError,
    RightsLostError,
    ScopeMissingError,
    UnknownFieldError,
    UnknownProcessError,
    Walk,
    WebhookRefusedError,
    WrongTimeZoneError,
    encode,
    redact,
    rows_of,
)

__all__ = [
    "Bitrix24",
    "Census",
    "FilterBrokenError",
    "PortalBusyError",
    "PortalError",
    "PortalUnreachableError",
    "ProcessOnPortal",
    "RequestRefusedError",
    "RightsLostError",
    "ScopeMissingError",
    "TasksNow",
    "UnknownFieldError",
    "UnknownProcessError",
    "WebhookRefusedError",
    "WrongClockError",
    "WrongTimeZoneError",
    "redact",
]

FURTHEST_AHEAD = timedelta(days=1)
"""How far the portal's clock may be ahead of the host's; no time zone and no careless clock explains more."""

MARGIN = timedelta(days=1)
"""How much wider than asked tasks are filtered by time: which zone such a filter is read in is not documented."""

PROBES = 3
"""How often the probe starts again because somebody edits the very element it looks at."""


_GROUP_TASK_FIELDS = ["ID", "TITLE", "STATUS", "GROUP_ID", "CREATED_BY", "RESPONSIBLE_ID", "ACCOMPLICES", "CLOSED_DATE"]

AnyTask = TypeVar("AnyTask", bound=Task)


class WrongClockError(PortalError):
    """The portal's clock is so far ahead that one of the two clocks must be wrong."""


@dataclass(frozen=True)
class ProcessOnPortal:
    """What the portal says of one smart process.

    Attributes:
        definitions: mapped fields by REST name.
        stages: ids of the stages of all its funnels, without the prefix of the funnel.
        failure_stages: those of them that mean failure.
    """

    definitions: Mapping[str, FieldDefinition]
    stages: frozenset[str]
    failure_stages: frozenset[str]


@dataclass(frozen=True)
class Census:
    """How many elements one smart process has.

    Attributes:
        last_id: greatest element id now, 0 without elements.
        elements: how many ids there are up to `last_id`.
        known: how many ids there are up to the id asked about.
    """

    last_id: int
    elements: int
    known: int


@dataclass(frozen=True)
class TasksNow:
    """Tasks as the portal shows them.

    Attributes:
        task_ids: all that it shows, whatever their state.
        closed: of them the completed ones, columns of `contracts.TASK_COLUMNS`.
    """

    task_ids: frozenset[int]
    closed: pa.Table


class Bitrix24:
    """One portal through one webhook; a context manager, not for use by several threads.

    Args:
        webhook: inbound webhook URL, with its secret; never shown.
        zone: the portal's time zone.
        backoff_seconds: first pause after a failed attempt; doubled each time, with jitter.
    """

    def __init__(self, webhook: str, *, zone: ZoneInfo, backoff_seconds: float = 0.5) -> None:
        self._zone = zone
        self._connection = Connection(webhook, backoff_seconds=backoff_seconds)
        self._writes_offset = True

    def __repr__(self) -> str:
        return "Bitrix24(***)"

    def __enter__(self) -> Self:
        self._connection.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.__exit__(kind, error, trace)

    @property
    def clock(self) -> datetime:
        """The portal's clock at the first answer of this session, with the offset the portal itself writes."""
        return self._connection.now

    @property
    def now(self) -> datetime:
        """The portal's clock at the first answer of this session, in the configured time zone.

        Raises:
            WrongTimeZoneError: the portal lives at another offset on that day.
            WrongClockError: the portal is more than a day ahead of this host.
        """
        theirs = self.clock
        ours = theirs.astimezone(self._zone)
        if ours.utcoffset() != theirs.utcoffset():
            # Zones of other names are fine as long as they agree on the hour: an offset is all the portal tells.
            raise WrongTimeZoneError(
                f"The portal writes its times at {_offset(theirs)}, but portal.timezone {self._zone.key} is at "
                f"{_offset(ours)} on that day: months would begin at the wrong hour; put the portal's own zone into "
                "portal.timezone, or update this host's time zone database if the zone is right."
            )
        host = datetime.now(UTC).astimezone(self._zone)
        if ours - host > FURTHEST_AHEAD:
            raise WrongClockError(
                f"The portal's clock shows {ours:%Y-%m-%d %H:%M}, this host's {host:%Y-%m-%d %H:%M}: months would be "
                "closed and destroyed too early; set the clock that is wrong (the host's by NTP, the portal's on its "
                "server), then run again."
            )
        return ours

    @property
    def requests(self) -> int:
        """How many requests were sent so far."""
        return self._connection.requests

    # --- the webhook itself -----------------------------------------------------------------------------------

    def scopes(self) -> frozenset[str]:
        """What the webhook may use, in lower case."""
        result = self._connection.call("scope", {})
        if not isinstance(result, list) or not all(isinstance(name, str) for name in result):
            raise ContractBrokenError("scope returned no list of scopes")
        return frozenset(name.lower() for name in result)

    def current_user(self) -> Profile:
        """Whose rights the webhook has; needs no scope."""
        return parse_records(Profile, [self._connection.call("profile", {})], "profile")[0]

    def notify(self, user_id: int, message: str) -> None:
        """Sends a notification; after a dropped connection it may arrive twice.

        Args:
            user_id: who gets it.
            message: its text.

        Raises:
            ScopeMissingError: the webhook lacks the scope im.
            RequestRefusedError: the portal did not take it.
        """
        if not self._connection.call("im.notify.system.add", {"USER_ID": user_id, "MESSAGE": message}):
            raise RequestRefusedError(
                "The portal did not take a notification: check that the user who should get it exists and is active."
            )

    # --- people and tasks -------------------------------------------------------------------------------------

    def users(self) -> list[User]:
        """All users that `user.get` shows, dismissed ones included."""
        walk = Walk("user.get", {"sort": "ID", "order": "ASC", "start": -1}, ("FILTER", ">ID"), (), "ID")
        return parse_records(User, self._connection.collect(walk), walk.method)

    def departments(self) -> list[Department]:
        """The department tree as it is today."""
        walk = Walk("department.get", {"sort": "ID", "order": "ASC", "start": -1}, (">ID",), (), "ID")
        return parse_records(Department, self._connection.collect(walk), walk.method)

    def tasks(self, task_ids: Sequence[int]) -> list[Task]:
        """Tasks by id; those the webhook's owner cannot see, or that are gone, are absent."""
        return self._tasks_by_id(Task, task_ids, ["ID", "CREATED_BY", "RESPONSIBLE_ID", "TITLE"])

    def closed_tasks(self, groups: Sequence[int], first: date, last: date) -> pa.Table:
        """Tasks of workgroups that were closed in whole months and are completed now.

        Args:
            groups: workgroup ids, at least one.
            first: first day of the first month.
            last: first day of the last month, included.

        Returns:
            Columns of `contracts.TASK_COLUMNS`, by rising task id; several rows for a task with accomplices.

        Raises:
            ContractBrokenError: the portal ignores the filter by group or by time.
            FilterBrokenError: the filter by time matches nothing, not even tasks that were closed in that time.
        """
        end = _next_month(last)
        begin, until = (datetime(day.year, day.month, 1, tzinfo=self._zone) for day in (first, end))
        known_at = self.clock
        # Upper and lower bound only narrow what is read: months are cut out of it afterwards.
        condition = {
            "GROUP_ID": list(groups),
            "REAL_STATUS": COMPLETED,
            ">=CLOSED_DATE": (begin - MARGIN).isoformat(),
            "<CLOSED_DATE": (until + MARGIN).isoformat(),
        }
        tasks = self._group_tasks(groups, condition, "closed tasks")
        if any(task.closed_at and not begin - 2 * MARGIN <= task.closed_at < until + 2 * MARGIN for task in tasks):
            raise ContractBrokenError(
                "tasks.task.list returned tasks closed at another time than asked for: it ignores the filter by "
                "CLOSED_DATE"
            )
        if not tasks:
            self._refuse_blind_filter(condition, begin, min(until, known_at))
        rows = tasks_table(tasks, self._zone)
        period = rows.column("period").to_pylist()
        return rows.filter(pa.array([first <= month <= last for month in period], pa.bool_()))

    def changed_tasks(self, groups: Sequence[int], since: datetime) -> TasksNow:
        """Tasks that stand in workgroups and were changed since a moment: closed, opened again, moved in, reassigned.

        A task that was moved out of all of them, or deleted, does not show here. Some that were changed up to a day
        earlier do.

        Args:
            groups: workgroup ids, at least one.
            since: by the portal's clock, aware.

        Raises:
            ContractBrokenError: the portal ignores the filter by group.
        """
        begin = (since - MARGIN).astimezone(self._zone)
        condition = {"GROUP_ID": list(groups), ">=CHANGED_DATE": begin.isoformat("T", "seconds")}
        tasks = self._group_tasks(groups, condition, "changed tasks")
        return TasksNow(frozenset(task.id for task in tasks), tasks_table(tasks, self._zone))

    def tasks_now(self, task_ids: Sequence[int]) -> TasksNow:
        """Tasks by id, wherever they stand by now; those that cannot be seen, or are gone, are absent."""
        tasks = self._tasks_by_id(GroupTask, task_ids, _GROUP_TASK_FIELDS)
        return TasksNow(frozenset(task.id for task in tasks), tasks_table(tasks, self._zone))

    def visible_tasks(self, group: int) -> int:
        """How many tasks of a workgroup the webhook's owner sees, open ones included.

        Raises:
            ContractBrokenError: the portal did not count.
        """
        command = "tasks.task.list?" + encode({"filter": {"GROUP_ID": group}, "select": ["ID"], "start": 0})
        answer = self._connection.linked({"all": command})
        answer.result("all", "tasks.task.list")
        total = answer.totals.get("all")
        if not isinstance(total, int):
            raise ContractBrokenError("tasks.task.list did not count the tasks of a workgroup (no usable total)")
        return total

    # --- what a process is ------------------------------------------------------------------------------------

    def describe(self, processes: Sequence[Process]) -> dict[str, ProcessOnPortal]:
        """Reads fields and stages of the processes and checks the field maps against them.

        Returns:
            By process key.

        Raises:
            UnknownProcessError: an entityTypeId that the portal does not have.
            UnknownFieldError: a mapped field that the smart process does not have.
        """
        asked = [
            f"{method}?{encode({'entityTypeId': process.entity_type_id})}"
            for process in processes
            for method in ("crm.item.fields", "crm.category.list")
        ]
        answers = self._connection.batch(asked)
        definitions: dict[str, dict[str, FieldDefinition]] = {}
        funnels: list[tuple[Process, int]] = []
        for process, fields, categories in zip(processes, answers[::2], answers[1::2], strict=True):
            definitions[process.key] = _read_fields(process, fields)
            funnels += [(process, category) for category in _read_categories(process, categories)]
        answered = self._connection.batch(
            [
                "crm.status.list?"
                + encode({"filter": {"ENTITY_ID": f"DYNAMIC_{process.entity_type_id}_STAGE_{category}"}})
                for process, category in funnels
            ]
        )
        stages: dict[str, set[str]] = {process.key: set() for process in processes}
        failures: dict[str, set[str]] = {process.key: set() for process in processes}
        for (process, _), answer in zip(funnels, answered, strict=True):
            statuses = parse_records(Status, _accepted(answer, "crm.status.list"), "crm.status.list")
            named = {status.status_id.rpartition(":")[2]: status for status in statuses}
            stages[process.key] |= named.keys()
            failures[process.key] |= {name for name, status in named.items() if status.semantics == "F"}
        return {
            key: ProcessOnPortal(definitions[key], frozenset(stages[key]), frozenset(failures[key]))
            for key in definitions
        }

    def probe(self, processes: Sequence[Process], described: Mapping[str, ProcessOnPortal]) -> None:
        """Checks on the newest elements that the portal reads filters and writes fields as this client expects.

        Every mapped field must come back, and filters by time must cut exactly there. Where times with an offset do
        not match (some portals), plain ones in portal time do from now on. Processes without elements prove nothing.

        Args:
            processes: whose newest elements.
            described: what `describe` said of them.

        Raises:
            FilterBrokenError: filters by time do not work in either form.
            ContractBrokenError: an element comes without a mapped field.
        """
        for _ in range(PROBES):
            pages = zip(processes, self._newest(processes), strict=True)
            newest = [(process, page[0]) for process, page in pages if page]
            for process, item in newest:
                portal = described[process.key]
                ratings_table(process, [item], portal.definitions, portal.failure_stages, self._zone)
            if not newest or self._find_time_form(*newest[-1]):
                return
        raise FilterBrokenError(
            "The portal does not filter elements by createdTime and updatedTime, neither with an offset nor in portal "
            "time, so no month can be read whole: check portal.timezone in the configuration, then ask Bitrix24 "
            "support."
        )

    def first_period(self, processes: Sequence[Process]) -> date | None:
        """The oldest month that any element belongs to, not before 2020-01; None without elements.

        Raises:
            UnknownProcessError: an entityTypeId that the portal does not have.
            UnknownFieldError: a mapped field that the smart process does not have.
        """
        self.describe(processes)
        commands = [
            "crm.item.list?"
            + encode(
                {
                    "entityTypeId": process.entity_type_id,
                    "order": {"createdTime": "ASC"},
                    "select": ["id", "createdTime", "updatedTime"],
                    "start": -1,
                }
            )
            for process in processes
            if process.cadence == "task"
        ]
        oldest: list[date] = []
        for process in processes:
            if process.cadence == "month":
                # Any element may name any month before its own: only all of them tell which is the first.
                oldest += self.stubs(process).column("period").unique().to_pylist()
        tasks = [process for process in processes if process.cadence == "task"]
        for process, result in zip(tasks, self._connection.batch(commands), strict=True):
            rows = rows_of(_accepted(result, "crm.item.list"), ("items",), "crm.item.list")[:1]
            oldest += stubs_table(process, rows, self._zone).column("period").to_pylist()
        return max(min(oldest), FIRST_PERIOD) if oldest else None

    # --- ratings ----------------------------------------------------------------------------------------------

    def ratings(self, process: Process, portal: ProcessOnPortal, first: date, last: date) -> pa.Table:
        """Reads the rating elements of whole months.

        Args:
            process: whose elements.
            portal: what `describe` said of it.
            first: first day of the first month.
            last: first day of the last month, included.

        Returns:
            Columns of `contracts.RATING_COLUMNS`, exactly the periods asked for, by rising id.
        """
        condition = {">=createdTime": self._moment(datetime(first.year, first.month, 1, tzinfo=self._zone))}
        if process.cadence == "task":
            end = _next_month(last)
            condition["<createdTime"] = self._moment(datetime(end.year, end.month, 1, tzinfo=self._zone))
        # A monthly rating belongs to the month it names, or to that of its creation: never to a later one. So all of
        # a month were created since it began; how much later nobody knows, and the month can be edited meanwhile.
        items = self._connection.collect(_elements(process, _rating_fields(process), condition))
        rows = ratings_table(process, items, portal.definitions, portal.failure_stages, self._zone)
        period = rows.column("period").to_pylist()
        return rows.filter(pa.array([first <= month <= last for month in period], pa.bool_()))

    def newest(self, process: Process) -> list[dict[str, Any]]:
        """The newest elements of a process as the portal writes them, at most a page, newest first."""
        return self._newest([process])[0]

    def census(self, asked: Mapping[int, int]) -> dict[int, Census]:
        """Counts the elements of processes: what a watermark cannot see shows here.

        Args:
            asked: entity type id to the last id that is known of it, 0 for none.

        Returns:
            By entity type id; one request for 16 processes.

        Raises:
            UnknownProcessError: an entityTypeId that the portal does not have.
            ContractBrokenError: the portal did not count.
        """
        found: dict[int, Census] = {}
        kinds = list(asked)
        for at in range(0, len(kinds), BATCH // 3):
            found |= self._census({kind: asked[kind] for kind in kinds[at : at + BATCH // 3]})
        return found

    def changed(self, process: Process, since: datetime) -> pa.Table:
        """Elements that were created or edited since a moment.

        Args:
            process: whose elements.
            since: by the portal's clock, aware; fractions of a second are dropped, the portal has none.

        Returns:
            Columns of `contracts.STUB_COLUMNS`, by rising id.
        """
        return self._stubs(process, {">=updatedTime": self._moment(since)})

    def stubs(self, process: Process) -> pa.Table:
        """All elements of a process, as much of them as shows what changed.

        Returns:
            Columns of `contracts.STUB_COLUMNS`, by rising id.
        """
        return self._stubs(process, {})

    def vanished(self, process: Process, portal: ProcessOnPortal, rating_ids: Sequence[int]) -> pa.Table:
        """Asks for elements one by one that a list no longer shows.

        Returns:
            The rows that still exist (they moved to another period); whoever is missing was deleted.

        Raises:
            RightsLostError: the portal denies one of them: it is hidden, not deleted.
            UnknownProcessError: the whole smart process is gone: nobody deleted its elements.
        """
        alive = self._alive(process, rating_ids)
        if len(alive) < len(rating_ids):
            # A smart process that is gone answers NOT_FOUND as well. Asked afterwards: it was there until now.
            (fields,) = self._connection.batch(["crm.item.fields?" + encode({"entityTypeId": process.entity_type_id})])
            _read_fields(process, fields)
        return ratings_table(process, alive, portal.definitions, portal.failure_stages, self._zone)

    # --- decisions and agreements -----------------------------------------------------------------------------

    def decisions(self, process: DecisionProcess, known: Collection[int]) -> pa.Table:
        """Reads all decisions on recommendations.

        Args:
            process: where they are taken.
            known: ids of decisions that were read before; those no longer listed are asked for one by one.

        Returns:
            Columns of `decisions.DECISION_COLUMNS`, by rising id; elements without decision and reason are left out.

        Raises:
            RightsLostError: a known decision is hidden from the webhook's owner, not deleted.
            UnknownProcessError: an entityTypeId that the portal does not have.
            UnknownFieldError: a mapped field that the smart process does not have.
        """
        definitions = self.mapped_fields(process)
        return decisions_table(process, self._whole(process, known), definitions, self._zone)

    def agreements(self, process: AgreementProcess, known: Collection[int]) -> pa.Table:
        """Reads all agreements of heads.

        Args:
            process: where they are kept.
            known: ids of agreements that were read before; those no longer listed are asked for one by one.

        Returns:
            Columns of `agreements.AGREEMENT_COLUMNS`, by rising id; elements without a text are left out.

        Raises:
            RightsLostError: a known agreement is hidden from the webhook's owner, not deleted.
            UnknownProcessError: an entityTypeId that the portal does not have.
            UnknownFieldError: a mapped field that the smart process does not have.
        """
        definitions = self.mapped_fields(process)
        return agreements_table(process, self._whole(process, known), definitions, self._zone)

    def _whole(self, process: Mapped, known: Collection[int]) -> list[dict[str, Any]]:
        """All elements of a small process, by rising id, deleted ones left out."""
        wanted = ["id", "createdTime", *process.fields.names().values()]
        items = self._connection.collect(_elements(process, wanted, {}))
        listed = {int(item["id"]) for item in items}
        items += self._alive(process, sorted(set(known) - listed))
        return sorted(items, key=lambda item: int(item["id"]))

    def mapped_fields(self, process: Mapped) -> dict[str, FieldDefinition]:
        """Reads the mapped fields of a smart process.

        Returns:
            By REST name.

        Raises:
            UnknownProcessError: an entityTypeId that the portal does not have.
            UnknownFieldError: a mapped field that the smart process does not have.
        """
        (fields,) = self._connection.batch(["crm.item.fields?" + encode({"entityTypeId": process.entity_type_id})])
        return _read_fields(process, fields)

    # --- how it is asked --------------------------------------------------------------------------------------

    def _moment(self, moment: datetime) -> str:
        """A moment as filters on times take it."""
        local = moment.astimezone(self._zone).replace(microsecond=0)
        return local.isoformat() if self._writes_offset else local.strftime("%Y-%m-%d %H:%M:%S")

    def _alive(self, process: Mapped, item_ids: Sequence[int]) -> list[dict[str, Any]]:
        """Those of some elements that still exist, asked for one by one; one that is hidden is an error."""
        commands = [
            "crm.item.get?" + encode({"entityTypeId": process.entity_type_id, "id": item_id}) for item_id in item_ids
        ]
        alive: list[dict[str, Any]] = []
        for item_id, result in zip(item_ids, self._connection.batch(commands), strict=True):
            if isinstance(result, Refusal) and result.code == "NOT_FOUND":
                continue
            item = _accepted(result, "crm.item.get")
            item = item.get("item") if isinstance(item, dict) else None
            if not isinstance(item, dict) or str(item.get("id")) != str(item_id):
                raise ContractBrokenError("crm.item.get returned neither the item asked for nor an error")
            alive.append(item)
        return alive

    def _tasks_by_id(self, model: type[AnyTask], task_ids: Sequence[int], fields: Sequence[str]) -> list[AnyTask]:
        wanted = sorted(set(task_ids))
        commands = [
            "tasks.task.list?"
            + encode(
                {
                    "filter": {"ID": wanted[at : at + PAGE]},
                    "order": {"ID": "asc"},
                    "select": list(fields),
                    "start": -1,
                }
            )
            for at in range(0, len(wanted), PAGE)
        ]
        tasks: list[AnyTask] = []
        for result in self._connection.batch(commands, title="linked tasks", rows_each=PAGE):
            rows = rows_of(_accepted(result, "tasks.task.list"), ("tasks",), "tasks.task.list")
            tasks += parse_records(model, rows, "tasks.task.list")
        if not {task.id for task in tasks} <= set(wanted):
            raise ContractBrokenError("tasks.task.list returned tasks nobody asked for: it ignores the filter by ID")
        return tasks

    def _group_tasks(self, groups: Sequence[int], condition: Mapping[str, Any], title: str) -> list[GroupTask]:
        walk = _group_walk(condition, title)
        tasks = parse_records(GroupTask, self._connection.collect(walk), walk.method)
        if not {task.group_id for task in tasks} <= set(groups):
            raise ContractBrokenError(
                "tasks.task.list returned tasks of other workgroups than asked for: it ignores the filter by GROUP_ID"
            )
        return tasks

    def _refuse_blind_filter(self, condition: Mapping[str, Any], begin: datetime, until: datetime) -> None:
        """Nothing was closed then, or the filter by time does not understand us: the last closed tasks tell."""
        anytime = {name: value for name, value in condition.items() if not name.endswith("CLOSED_DATE")}
        newest = {"filter": anytime, "order": {"CLOSED_DATE": "desc"}, "select": _GROUP_TASK_FIELDS, "start": -1}
        # Both at one moment: a task may have been moved into the group since the list was read.
        commands = {"then": _group_walk(condition).command(0), "newest": "tasks.task.list?" + encode(newest)}
        answer = self._connection.linked(commands)
        then, last = (
            rows_of(answer.result(name, "tasks.task.list"), ("tasks",), "tasks.task.list") for name in commands
        )
        tasks = parse_records(GroupTask, last, "tasks.task.list")
        # What was closed before this session began was closed before the list was read.
        missed = any(task.status == COMPLETED and task.closed_at and begin <= task.closed_at < until for task in tasks)
        if missed and not then:
            raise FilterBrokenError(
                "The portal does not filter tasks by CLOSED_DATE: it shows closed tasks of that time only when it is "
                "not asked for them, so no month can be read whole; take `tasks` out of the configuration and ask "
                "Bitrix24 support."
            )

    def _stubs(self, process: Process, condition: Mapping[str, Any]) -> pa.Table:
        fields = ["id", "createdTime", "updatedTime"]
        if process.cadence == "month" and process.fields.period:
            fields.append(process.fields.period)
        return stubs_table(process, self._connection.collect(_elements(process, fields, condition)), self._zone)

    def _census(self, asked: Mapping[int, int]) -> dict[int, Census]:
        commands: dict[str, str] = {}
        for kind, known in asked.items():
            counted = {"entityTypeId": kind, "select": ["id"], "start": 0}
            newest = {"entityTypeId": kind, "select": ["id"], "order": {"id": "DESC"}, "start": -1}
            last = f"$result[last{kind}][items][0][id]"
            commands[f"last{kind}"] = "crm.item.list?" + encode(newest)
            commands[f"all{kind}"] = "crm.item.list?" + encode(counted | {"filter": {"<=id": last}})
            commands[f"known{kind}"] = "crm.item.list?" + encode(counted | {"filter": {"<=id": known}})
        answer = self._connection.linked(commands)

        def rows(name: str) -> list[dict[str, Any]]:
            return rows_of(answer.result(name, "crm.item.list"), ("items",), "crm.item.list")

        def total(name: str) -> int:
            counted = answer.totals.get(name)
            if not isinstance(counted, int) or isinstance(counted, bool) or counted < len(rows(name)):
                raise ContractBrokenError(
                    "crm.item.list did not count the elements of a smart process (no usable total): deletions cannot "
                    "be noticed; ask Bitrix24 support"
                )
            return counted

        found: dict[int, Census] = {}
        for kind, known in asked.items():
            newest_rows = rows(f"last{kind}")
            last_id = Walk("crm.item.list", {}, (), (), "id").id_of(newest_rows[0]) if newest_rows else 0
            # Of an empty process the condition of the count refers to nothing, and so means nothing.
            found[kind] = Census(last_id, total(f"all{kind}") if last_id else 0, total(f"known{kind}") if known else 0)
        return found

    def _newest(self, processes: Sequence[Process]) -> list[list[dict[str, Any]]]:
        """The newest page of each process."""
        commands = [_elements(process, _rating_fields(process), {}).newest() for process in processes]
        return [
            rows_of(_accepted(result, "crm.item.list"), ("items",), "crm.item.list")
            for result in self._connection.batch(commands)
        ]

    def _find_time_form(self, process: Process, item: Mapping[str, Any]) -> bool:
        """Finds the form of times in which filters cut exactly at an element's own; False if none does."""
        born, edited = (datetime.fromisoformat(item[name]) for name in ("createdTime", "updatedTime"))
        second = timedelta(seconds=1)

        def command(condition: Mapping[str, str]) -> str:
            return _elements(process, ["id", "updatedTime"], {"=id": item["id"], **condition}).newest()

        for with_offset in (True, False):
            self._writes_offset = with_offset
            commands = {
                "there": {">=createdTime": self._moment(born), "<createdTime": self._moment(born + second)},
                "later": {">=createdTime": self._moment(born + second)},
                "sooner": {"<createdTime": self._moment(born)},
                "edited": {">=updatedTime": self._moment(edited)},
                "unedited": {">=updatedTime": self._moment(edited + second)},
            }
            answer = self._connection.linked({name: command(each) for name, each in commands.items()})
            found = {
                name: rows_of(answer.results[name], ("items",), "crm.item.list") if name in answer.results else None
                for name in commands
            }
            if [bool(found[name]) for name in commands] == [True, False, False, True, False] and None not in (
                found.values()
            ):
                return True
        self._writes_offset = True
        return False


def _rating_fields(process: Process) -> list[str]:
    """What a rating is read from."""
    return ["id", "createdTime", "updatedTime", "stageId", *process.fields.names().values()]


def _elements(process: Mapped, fields: Sequence[str], condition: Mapping[str, Any]) -> Walk:
    """All elements of a process under a condition, page by page along their ids."""
    params = {
        "entityTypeId": process.entity_type_id,
        "select": list(fields),
        "filter": dict(condition),
        "order": {"id": "ASC"},
        "start": -1,
    }
    return Walk("crm.item.list", params, ("filter", ">id"), ("items",), "id", f"process {process.key}")


def _group_walk(condition: Mapping[str, Any], title: str = "") -> Walk:
    """All tasks under a condition, page by page along their ids."""
    params = {"filter": dict(condition), "order": {"ID": "asc"}, "select": _GROUP_TASK_FIELDS, "start": -1}
    return Walk("tasks.task.list", params, ("filter", ">ID"), ("tasks",), "id", title)


def _accepted(result: object, method: str) -> object:
    """The result of a command that was not refused."""
    if isinstance(result, Refusal):
        raise result.exception(method)
    return result


def _read_fields(process: Mapped, result: object) -> dict[str, FieldDefinition]:
    if isinstance(result, Refusal) and result.code == "NOT_FOUND":
        raise UnknownProcessError(
            f"The portal has no smart process with entityTypeId {process.entity_type_id}: correct "
            f"entity_type_id of process {process.key}, or give the webhook's owner access to it."
        )
    result = _accepted(result, "crm.item.fields")
    fields = result.get("fields") if isinstance(result, dict) else None
    if not isinstance(fields, dict):
        raise ContractBrokenError("crm.item.fields returned no fields")
    mapped = process.fields.names()
    for role, name in mapped.items():
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            raise UnknownFieldError(
                f"Process {process.key} maps {role} to the field {name}, which the smart process "
                f"{process.entity_type_id} does not have; correct fields.{role} in the configuration"
                + (f" (did you mean {near[0]}?)." if near else ".")
            )
    return {name: parse_records(FieldDefinition, [fields[name]], "crm.item.fields")[0] for name in mapped.values()}


def _read_categories(process: Process, result: object) -> list[int]:
    result = _accepted(result, "crm.category.list")
    categories = result.get("categories") if isinstance(result, dict) else None
    if not isinstance(categories, list) or not categories:
        raise ContractBrokenError(f"crm.category.list returned no funnel of process {process.key}")
    try:
        return [int(category["id"]) for category in categories]
    except (KeyError, TypeError, ValueError):
        broken = "crm.category.list returned a funnel without a readable id"
    raise ContractBrokenError(broken)


def _offset(moment: datetime) -> str:
    return moment.isoformat(timespec="minutes")[-len("+00:00") :]


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
