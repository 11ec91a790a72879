"""What the stand-in portal holds: the shapes that its company writes and its server reads.

Belongs here: plain containers of REST-shaped records. Does not belong here: how a company is made up
(`company.py`), what the records mean for the warehouse (`truth.py`), how they are served (`server.py`).

Records are dictionaries in exactly the shape and types a real portal returns them: ids of items are integers,
ids of users, departments, tasks and statuses are strings, dates are ISO strings with the portal's offset.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
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

    def timestamp(self, moment: datetime) -> str:
        """Writes a moment the way the portal does: its own offset, second resolution."""
        return moment.astimezone(self.timezone).replace(microsecond=0).isoformat()


MOSCOW = timezone(timedelta(hours=3))
"""Europe/Moscow has had no daylight saving since 2014, so a fixed offset is exact for every date we make."""
