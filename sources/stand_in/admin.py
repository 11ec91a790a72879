"""The company behind the portal: whoever edits, deletes, hires and moves while the pipeline reads.

Belongs here: changes to the state, dated as the portal dates them. Does not belong here: REST methods
(`writing.py`), what happens when (`chronicle.py`).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime, timedelta

from sources.stand_in.limits import Clock
from sources.stand_in.state import PortalState, Record, SmartProcess
from sources.stand_in.truth import ObligationRow, TruthRow, obligation_truth, rating_truth


class Admin:
    """Changes the company behind the portal's back, as people in the CRM would.

    Args:
        state: what the portal holds.
        clock: the portal's clock, which dates every change.
        actor_id: the user id written as `updatedBy`, `createdBy` and `movedBy`.
        lock: held while the state changes; requests hold it while they read.
        changed: called after elements came or went.

    Attributes:
        hidden_items: (entity type id, item id) that the webhook's owner may not see.
        hidden_tasks: ids of tasks that the webhook's owner may not see.
    """

    def __init__(
        self,
        state: PortalState,
        clock: Clock,
        actor_id: int = 1,
        lock: threading.RLock | None = None,
        changed: Callable[[], None] = lambda: None,
    ) -> None:
        self.state = state
        self.clock = clock
        self.actor_id = actor_id
        self._lock = lock or threading.RLock()
        self._changed = changed
        self.hidden_items: set[tuple[int, int]] = set()
        self.hidden_tasks: set[int] = set()

    def _now(self) -> str:
        return self.state.timestamp(self.clock.now())

    def _process(self, entity_type_id: int) -> SmartProcess:
        return self.state.processes[entity_type_id]

    def edit_item(self, entity_type_id: int, id: int, fields: Record) -> bool:  # noqa: A002 - the portal's own name
        """Edits an element as `crm.item.update` does.

        Args:
            entity_type_id: the process.
            id: the element.
            fields: REST names to new values; `updatedTime` or `updatedBy` among them are taken as given.

        Returns:
            Whether anything changed: if not, `updatedTime` stays.

        Raises:
            KeyError: there is no such process or element.
        """
        with self._lock:
            items = self._process(entity_type_id).items
            row = items[id]
            changes = {name: value for name, value in fields.items() if name not in row or row[name] != value}
            if not changes:
                return False
            stamps: Record = {"updatedTime": self._now(), "updatedBy": self.actor_id}
            if "stageId" in changes:
                stamps |= {
                    "movedTime": stamps["updatedTime"],
                    "movedBy": self.actor_id,
                    "previousStageId": row.get("stageId", ""),
                }
            items[id] = {**row, **stamps, **changes}
            return True

    def delete_item(self, entity_type_id: int, id: int) -> None:  # noqa: A002
        """Deletes an element; it is kept aside for `restore_item`. Raises KeyError if it is not there."""
        with self._lock:
            process = self._process(entity_type_id)
            process.deleted[id] = process.items.pop(id)
            self._changed()

    def restore_item(self, entity_type_id: int, id: int) -> None:  # noqa: A002
        """Brings a deleted element back as it was, its old `updatedTime` included. Raises KeyError if unknown."""
        with self._lock:
            process = self._process(entity_type_id)
            process.items[id] = process.deleted.pop(id)
            self._changed()

    def insert_item(self, entity_type_id: int, fields: Record, created: datetime | str | None = None) -> int:
        """Adds an element; every field not given is empty, the stage is the first of its funnel.

        Args:
            entity_type_id: the process.
            fields: REST names to values.
            created: `createdTime` and, unless given, `updatedTime`; a past one is a back-dated import.

        Returns:
            The new id.

        Raises:
            KeyError: there is no such process.
        """
        with self._lock:
            process = self._process(entity_type_id)
            number = process.next_id
            process.items[number] = self._new_item(process, number, fields, created)
            self._changed()
            return number

    def put_item(self, entity_type_id: int, item: Record) -> None:
        """Puts a complete element in as it is, under its own id. Raises KeyError if there is no such process."""
        with self._lock:
            self._process(entity_type_id).items[item["id"]] = item
            self._changed()

    def put_task(self, id: int, row: Record) -> None:  # noqa: A002
        """Adds a task, or replaces it."""
        self._put(self.state.tasks, id, row)

    def edit_task(self, id: int, fields: Record) -> bool:  # noqa: A002
        """Edits a task as `tasks.task.update` does.

        Args:
            id: the task.
            fields: names as in the state, camelCase; `changedDate` among them is taken as given.

        Returns:
            Whether anything changed: if not, `changedDate` stays.

        Raises:
            KeyError: there is no such task.
        """
        with self._lock:
            row = self.state.tasks[id]
            changes = {name: value for name, value in fields.items() if name not in row or row[name] != value}
            if changes:
                stamps = {"changedDate": self._now(), "changedBy": str(self.actor_id)}
                self.state.tasks[id] = {**row, **stamps, **changes}
                self._changed()
            return bool(changes)

    def close_task(self, id: int) -> None:  # noqa: A002
        """Completes a task now. Raises KeyError if it is not there."""
        done = {"status": "5", "closedDate": self._now(), "closedBy": str(self.actor_id)}
        self.edit_task(id, done | {"statusChangedDate": done["closedDate"]})

    def reopen_task(self, id: int) -> None:  # noqa: A002
        """Takes a completed task up again: it has no day of closing any more. Raises KeyError if it is not there."""
        self.edit_task(id, {"status": "3", "closedDate": None, "closedBy": "0", "statusChangedDate": self._now()})

    def delete_task(self, id: int) -> None:  # noqa: A002
        """Deletes a task; it is kept aside for `restore_task`. Raises KeyError if it is not there."""
        with self._lock:
            self.state.deleted_tasks[id] = self.state.tasks.pop(id)
            self._changed()

    def restore_task(self, id: int) -> None:  # noqa: A002
        """Brings a deleted task back as it was. Raises KeyError if unknown."""
        with self._lock:
            self.state.tasks[id] = self.state.deleted_tasks.pop(id)
            self._changed()

    def put_user(self, id: int, row: Record | None) -> None:  # noqa: A002
        """Adds an employee, or replaces them; without a row, `user.get` no longer shows them."""
        self._put(self.state.users, id, row)

    def put_department(self, id: int, row: Record | None) -> None:  # noqa: A002
        """Adds a department, or replaces it; without a row it is gone."""
        self._put(self.state.departments, id, row)

    def _put(self, rows: dict[int, Record], number: int, row: Record | None) -> None:
        with self._lock:
            if row is None:
                del rows[number]
            else:
                rows[number] = row
            self._changed()

    def _new_item(self, process: SmartProcess, number: int, fields: Record, created: datetime | str | None) -> Record:
        stamp = self._now() if created is None else created
        if isinstance(stamp, datetime):
            stamp = self.state.timestamp(stamp)
        empty: Record = {name: [] if entry.get("isMultiple") else None for name, entry in process.fields.items()}
        default = next(
            (row for row in process.categories if row.get("isDefault") == "Y"), next(iter(process.categories), {})
        )
        category = fields.get("categoryId", default.get("id", 0))
        first_stage = next(
            (row["STATUS_ID"] for row in process.statuses if str(row.get("CATEGORY_ID")) == str(category)), ""
        )
        authors = dict.fromkeys(("createdBy", "updatedBy", "movedBy", "assignedById"), self.actor_id)
        return {
            **empty,
            "id": number,
            "xmlId": "",
            "title": f"{process.title} #{number}",
            **authors,
            **dict.fromkeys(("createdTime", "updatedTime", "movedTime"), stamp),
            "categoryId": category,
            "opened": "Y",
            "stageId": first_stage,
            "previousStageId": "",
            "entityTypeId": process.entity_type_id,
            **fields,
        }

    def hide_item(self, entity_type_id: int, id: int) -> None:  # noqa: A002
        """Takes away the right to see an element: lists leave it out, `crm.item.get` says ACCESS_DENIED."""
        with self._lock:
            self.hidden_items.add((entity_type_id, id))

    def show_item(self, entity_type_id: int, id: int) -> None:  # noqa: A002
        """Gives the right to see an element back."""
        with self._lock:
            self.hidden_items.discard((entity_type_id, id))

    def advance_clock(self, seconds: float) -> datetime:
        """Moves the portal's clock on, at most to the host's time; returns the new time."""
        return self.clock.advance(timedelta(seconds=seconds))

    def set_clock(self, moment: datetime) -> datetime:
        """Sets the portal's clock, at most to the host's time; returns the new time."""
        return self.clock.set(moment)

    def truth(self) -> list[TruthRow]:
        """What the company's ratings really are, one row per rating."""
        with self._lock:
            return rating_truth(self.state)

    def obligations(self) -> list[ObligationRow]:
        """What ratings the company's closed tasks ask for, one row per expected rating."""
        with self._lock:
            return obligation_truth(self.state)
