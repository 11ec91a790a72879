"""What the stand-in portal holds: the shapes that its company writes and its server reads.

Belongs here: plain containers of REST-shaped records. Does not belong here: how a company is made up
(`company.py`), what the records mean for the warehouse (`truth.py`), how they are served (`server.py`).

Records are dictionaries in exactly the shape and types a real portal returns them: ids of items are integers,
ids of users, departments, tasks and statuses are strings, dates are ISO strings with the portal's offset.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta, timezone
from typing import Any

Record = dict[str, Any]


@dataclass
class SmartProcess:
    """One smart process (CRM type) with its fields, funnels, stages and items.

    Attributes:
        entity_type_id: what `crm.item.*` methods are called with.
        type_id: the other id, which builds field names (`ufCrm7_…`); never equal to `entity_type_id`.
        title: what people call the process.
        fields: `crm.item.fields` answer: REST name to definition; enumerations carry `items`.
        categories: rows of `crm.category.list`.
        statuses: rows of `crm.status.list`, of all funnels (`ENTITY_ID` tells which).
        items: live elements by id, complete REST records.
        deleted: elements as they were when they were deleted, by id.
    """

    entity_type_id: int
    type_id: int
    title: str
    fields: dict[str, Record]
    categories: list[Record]
    statuses: list[Record]
    items: dict[int, Record] = field(default_factory=dict)
    deleted: dict[int, Record] = field(default_factory=dict)

    @property
    def next_id(self) -> int:
        """The id the next new element gets: ids are never reused."""
        return max([0, *self.items, *self.deleted]) + 1


@dataclass
class PeopleTruth:
    """What the scores of a made-up company were made from; what no portal knows, and scoring has to find.

    A score is a cut of `quality of the ratee - severity of the rater + chance`; not below `five_from` it is a five.

    Attributes:
        quality: how well somebody sets tasks, by employee id; no unit, deviates by 0.6 (plus 0.3 by department).
        severity: how strictly somebody scores, in the same unit; deviates by 0.8.
        five_from: the least satisfaction that gives a five.
        improved: since when somebody sets tasks better (by 0.8), by employee id.
        reciprocal_strong: pairs that send 35 % of their tasks to each other and give each other fives.
        reciprocal_subtle: the same with 10 %.
        ring: (rater, ratee) of three people who praise each other in a circle.
        sinkers: (rater, ratee) where every score is as low as it gets.
        straight_liners: raters who give everybody a five.
        stricter: since when a rater is stricter by one, by employee id.
    """

    quality: dict[int, float] = field(default_factory=dict)
    severity: dict[int, float] = field(default_factory=dict)
    five_from: float = 0.0
    improved: dict[int, date] = field(default_factory=dict)
    reciprocal_strong: list[tuple[int, int]] = field(default_factory=list)
    reciprocal_subtle: list[tuple[int, int]] = field(default_factory=list)
    ring: list[tuple[int, int]] = field(default_factory=list)
    sinkers: list[tuple[int, int]] = field(default_factory=list)
    straight_liners: list[int] = field(default_factory=list)
    stricter: dict[int, date] = field(default_factory=dict)


@dataclass
class PortalState:
    """Everything one portal knows, mutable by the admin side.

    Attributes:
        now: the portal's clock when the server starts (aware); it runs on from there with real time.
        timezone: offset that every date string of the portal carries.
        users: `user.get` rows by numeric id.
        departments: `department.get` rows by numeric id.
        tasks: `tasks.task.list` rows (camelCase, all scalars strings) by numeric id.
        processes: smart processes by entity type id.
        config: the estafeta.yaml contents (parsed) that fit this portal: portal, processes, policies, release.
        webhook_user: the employee whose webhook the portal's robots and integrations use.
        planted: what the company put into the data on purpose: event name to (process key, item id) pairs.
        people: what the scores were made from.
        deleted_tasks: tasks as they were when they were deleted, by id.
    """

    now: datetime
    timezone: timezone
    users: dict[int, Record]
    departments: dict[int, Record]
    tasks: dict[int, Record]
    processes: dict[int, SmartProcess]
    config: Record
    webhook_user: int = 1
    planted: dict[str, list[tuple[str, int]]] = field(default_factory=dict)
    people: PeopleTruth = field(default_factory=PeopleTruth)
    deleted_tasks: dict[int, Record] = field(default_factory=dict)

    def timestamp(self, moment: datetime) -> str:
        """Writes a moment the way the portal does: its own offset, second resolution."""
        return moment.astimezone(self.timezone).replace(microsecond=0).isoformat()


MOSCOW = timezone(timedelta(hours=3))
"""Europe/Moscow has had no daylight saving since 2014, so a fixed offset is exact for every date we make."""
