"""What the REST methods of the stand-in portal answer, `batch` included.

Belongs here: one function per method over `PortalState`, scopes, error codes. Does not belong here: HTTP, request
limits and faults (`server.py`, `limits.py`), how filters work (`query.py`).
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sources.stand_in import query
from sources.stand_in.admin import Admin
from sources.stand_in.answers import (
    Answer,
    Method,
    RestError,
    denied_error,
    limit_error,
    no_element_error,
    not_found_error,
    operating_error,
    whole,
)
from sources.stand_in.fields import UserFields
from sources.stand_in.limits import Clock, CommandFault, FaultKind, OperatingMeter
from sources.stand_in.quirks import Quirks
from sources.stand_in.state import PortalState, Record, SmartProcess
from sources.stand_in.writing import Writing

DEFAULT_SCOPES = frozenset({"crm", "user_brief", "department", "task"})
BATCH_LIMIT = 50

_FIELD_SCOPES = frozenset({"userfieldconfig"})
_USER_SCOPES = frozenset({"user_brief", "user_basic", "user"})
_CONTACTS = frozenset(
    {"EMAIL", "PERSONAL_MOBILE", "PERSONAL_PHONE", "WORK_PHONE", "UF_PHONE_INNER", "PERSONAL_WWW", "UF_SKYPE"}
)


# --- Fields -------------------------------------------------------------------------------------------------------

_SYSTEM_KINDS: dict[str, query.Kind] = {
    "id": "number",
    "xmlId": "string",
    "title": "string",
    "createdBy": "link",
    "updatedBy": "link",
    "movedBy": "link",
    "createdTime": "datetime",
    "updatedTime": "datetime",
    "movedTime": "datetime",
    "categoryId": "number",
    "opened": "string",
    "stageId": "string",
    "previousStageId": "string",
    "begindate": "date",
    "closedate": "date",
    "companyId": "link",
    "contactId": "link",
    "observers": "link",
    "opportunity": "number",
    "currencyId": "string",
    "isManualOpportunity": "string",
    "sourceId": "string",
    "sourceDescription": "string",
    "webformId": "link",
    "assignedById": "link",
    "lastActivityBy": "link",
    "lastActivityTime": "datetime",
    "parentId2": "link",
}

_KIND_BY_TYPE: dict[str, query.Kind] = {
    "integer": "number",
    "double": "number",
    "datetime": "datetime",
    "date": "date",
    "user": "link",
    "employee": "link",
    "enumeration": "link",
    "iblock_element": "link",
    "iblock_section": "link",
    "crm_category": "number",
    "crm_company": "link",
    "crm_contact": "link",
}

_USER_KINDS: dict[str, query.Kind] = {
    "ID": "number",
    "ACTIVE": "active",
    "UF_DEPARTMENT": "link",
    "DATE_REGISTER": "datetime",
    "LAST_LOGIN": "datetime",
    "LAST_ACTIVITY_DATE": "datetime",
    "TIMESTAMP_X": "datetime",
    **dict.fromkeys(
        ("XML_ID", "NAME", "LAST_NAME", "SECOND_NAME", "EMAIL", "WORK_POSITION", "USER_TYPE", "IS_ONLINE"), "string"
    ),
}

_DEPARTMENT_KINDS: dict[str, query.Kind] = {
    "ID": "number",
    "NAME": "string",
    "SORT": "number",
    "PARENT": "link",
    "UF_HEAD": "link",
}

_STATUS_KINDS: dict[str, query.Kind] = {
    "ID": "number",
    "SORT": "number",
    "CATEGORY_ID": "number",
    **dict.fromkeys(("ENTITY_ID", "STATUS_ID", "NAME", "NAME_INIT", "SYSTEM", "COLOR", "SEMANTICS"), "string"),
}

_TASK_KINDS: dict[str, query.Kind] = {
    **dict.fromkeys(
        (
            *("ID", "STATUS", "REAL_STATUS", "PRIORITY", "MARK", "FORUM_TOPIC_ID"),
            *("STAGE_ID", "COMMENTS_COUNT", "TIME_ESTIMATE"),
        ),
        "number",
    ),
    **dict.fromkeys(
        (
            *("GROUP_ID", "CREATED_BY", "RESPONSIBLE_ID", "CLOSED_BY", "CHANGED_BY", "PARENT_ID"),
            *("STATUS_CHANGED_BY", "ACCOMPLICE", "AUDITOR", "ACCOMPLICES", "AUDITORS"),
        ),
        "link",
    ),
    **dict.fromkeys(
        (
            *("CREATED_DATE", "CHANGED_DATE", "CLOSED_DATE", "DEADLINE", "DATE_START", "ACTIVITY_DATE"),
            *("START_DATE_PLAN", "END_DATE_PLAN", "STATUS_CHANGED_DATE", "VIEWED_DATE"),
        ),
        "datetime",
    ),
    **dict.fromkeys(("TITLE", "DESCRIPTION", "XML_ID", "GUID", "TAG", "UF_CRM_TASK"), "string"),
}


def _field_kind(name: str, definition: Mapping[str, Any]) -> query.Kind:
    written = str(definition.get("type", "string"))
    if written == "boolean" and name.startswith(("uf", "UF_")):
        return "flag"  # boolean user fields filter by 1 and 0, system ones by Y and N
    return _KIND_BY_TYPE.get(written, "string")


def _camel(name: str) -> str:
    """`RESPONSIBLE_ID` to `responsibleId`; REAL_STATUS is stored as the status it is."""
    if name == "REAL_STATUS":
        return "status"
    first, *others = name.lower().split("_")
    return first + "".join(part.capitalize() for part in others)


# --- Methods ------------------------------------------------------------------------------------------------------


class Methods:
    """The methods a portal offers.

    Args:
        state: what the portal holds.
        clock: what time it is there.
        scopes: what the webhook may use.
        user_id: who owns the webhook.
        lock: held while the state changes.
        quirks: where this portal differs from others.

    Attributes:
        admin: changes the state.
        hidden_items: (entity type id, item id) pairs the webhook's owner has no right to see.
        notifications: what `im.notify.system.add` was asked to send.
    """

    def __init__(
        self,
        state: PortalState,
        clock: Clock,
        scopes: set[str],
        user_id: int,
        lock: threading.RLock,
        quirks: Quirks,
    ) -> None:
        self.state = state
        self.clock = clock
        self.scopes = scopes
        self.user_id = user_id
        self.quirks = quirks
        self.admin = Admin(state, clock, user_id, lock, self.forget)
        self.hidden_items = self.admin.hidden_items
        self.notifications: list[Record] = []
        writing = Writing(self.admin, user_id)
        self._tables: dict[str, query.Table] = {}
        self._methods: dict[str, tuple[Method, frozenset[str]]] = {
            "crm.item.list": (self._item_list, frozenset({"crm"})),
            "crm.item.get": (self._item_get, frozenset({"crm"})),
            "crm.item.fields": (self._item_fields, frozenset({"crm"})),
            "crm.category.list": (self._category_list, frozenset({"crm"})),
            "crm.status.list": (self._status_list, frozenset({"crm"})),
            "crm.type.list": (self._type_list, frozenset({"crm"})),
            "crm.type.get": (self._type_get, frozenset({"crm"})),
            "crm.type.getbyentitytypeid": (self._type_by_entity, frozenset({"crm"})),
            "crm.stagehistory.list": (self._stage_history, frozenset({"crm"})),
            **{name: (method, _FIELD_SCOPES) for name, method in UserFields(state).methods().items()},
            "im.notify.system.add": (self._notify, frozenset({"im"})),
            **{name: (method, frozenset({"crm"})) for name, method in writing.methods().items()},
            "user.get": (self._user_get, _USER_SCOPES),
            "user.current": (self._user_current, _USER_SCOPES),
            "department.get": (self._department_get, frozenset({"department"})),
            "tasks.task.list": (self._task_list, frozenset({"task"})),
            "tasks.task.get": (self._task_get, frozenset({"task"})),
            "profile": (self._profile, frozenset()),
            "scope": (lambda _: Answer(sorted(self.scopes)), frozenset()),
            "server.time": (lambda _: Answer(self.clock.written(self.clock.epoch())), frozenset()),
        }

    def call(self, name: str, params: Record) -> Answer:
        """Answers one method.

        Args:
            name: the method, lower case.
            params: decoded parameters.

        Raises:
            RestError: what the portal answers instead.
        """
        if name not in self._methods:
            raise not_found_error()
        method, scopes = self._methods[name]
        if scopes and not scopes & self.scopes:
            raise RestError(
                403,
                "insufficient_scope",
                "The request requires higher privileges than provided by the webhook token",
            )
        if scopes is _FIELD_SCOPES and "crm" not in self.scopes:
            raise RestError(400, "", "The current method required more scopes. (crm)")
        try:
            return method(params)
        except query.QueryError as error:
            if name.startswith("tasks."):
                raise RestError(400, "0", str(error)) from None
            raise RestError(400, "INVALID_ARG_VALUE", str(error)) from None

    def forget(self) -> None:
        """Drops everything derived from the state, after changes the tables cannot notice themselves."""
        for table in self._tables.values():
            table.forget()

    def _table(self, name: str, rows: dict[int, Record]) -> query.Table:
        table = self._tables.get(name)
        if table is None or table.rows is not rows:
            table = self._tables[name] = query.Table(rows)
        return table

    # crm

    def _process(self, params: Record) -> SmartProcess:
        number = whole(params, "entityTypeId")
        process = self.state.processes.get(number)
        if process is None:
            raise RestError(400, "NOT_FOUND", f"Smart process with entityTypeId {number} not found")
        return process

    def _item_schema(self, process: SmartProcess) -> query.Schema:
        kinds = dict(_SYSTEM_KINDS)
        for name, definition in process.fields.items():
            if name not in kinds:
                kinds[name] = _field_kind(name, definition)
        return query.Schema(kinds, self.state.timezone, is_iso_read=self.quirks.iso_datetime_filter)

    def _item_list(self, params: Record) -> Answer:
        process = self._process(params)
        schema = self._item_schema(process)
        hidden = {number for kind, number in self.hidden_items if kind == process.entity_type_id}
        page = query.list_page(
            self._table(f"items {process.entity_type_id}", process.items),
            query.compile_filter(params.get("filter"), schema),
            query.parse_order(params.get("order"), schema, aliases={"ID": "id"}),
            query.parse_start(params.get("start")),
            schema,
            hidden,
        )
        return Answer({"items": self._item_rows(page.rows, process, params)}, page.total, page.next)

    def _item_get(self, params: Record) -> Answer:
        process = self._process(params)
        number = whole(params, "id")
        if (process.entity_type_id, number) in self.hidden_items:
            raise denied_error()
        if number not in process.items:
            raise no_element_error()
        plain = {name: value for name, value in params.items() if name != "select"}
        return Answer({"item": self._item_rows([process.items[number]], process, plain)[0]})

    def _item_rows(self, rows: list[Record], process: SmartProcess, params: Record) -> list[Any]:
        select = query.as_list(params.get("select"))
        if str(params.get("useOriginalUfNames", "N")).upper() == "Y":
            if select and "*" not in select:
                return [[] for _ in rows]  # a known defect of the portal: with select, original names lose the row
            return _upper_named(rows, process)
        rows = query.project(rows, select)
        return _upper_named(rows, process) if self.quirks.upper_field_names else rows

    def _item_fields(self, params: Record) -> Answer:
        return Answer({"fields": self._process(params).fields})

    def _category_list(self, params: Record) -> Answer:
        categories = self._process(params).categories
        return Answer({"categories": categories}, len(categories))

    def _status_list(self, params: Record) -> Answer:
        statuses = [row for process in self.state.processes.values() for row in process.statuses]
        schema = query.Schema(_STATUS_KINDS, self.state.timezone, id_name="ID", strict=False)
        wanted = query.compile_filter(query.lookup(params, "filter", "FILTER"), schema)
        order = query.parse_order(query.lookup(params, "order", "ORDER"), schema)
        rows = query.select_rows(statuses, wanted, order, schema)
        return Answer(rows, len(rows))

    def _type_list(self, params: Record) -> Answer:
        if "ID" in query.as_map(params.get("order")):
            raise RestError(
                400, 100, "Unknown field definition `I_D` (I_D) for \\Bitrix\\Crm\\Model\\Dynamic\\Type Entity."
            )
        kinds: dict[str, query.Kind] = {"id": "number", "entityTypeId": "number", "title": "string"}
        schema = query.Schema(kinds, self.state.timezone)
        page = query.list_page(
            query.Table({process.type_id: type_row(process) for process in self.state.processes.values()}),
            query.compile_filter(params.get("filter"), schema),
            query.parse_order(params.get("order"), schema),
            query.parse_start(params.get("start")),
            schema,
        )
        return Answer({"types": page.rows}, page.total, page.next)

    def _type_get(self, params: Record) -> Answer:
        return self._type(lambda process: process.type_id, whole(params, "id"))

    def _type_by_entity(self, params: Record) -> Answer:
        return self._type(lambda process: process.entity_type_id, whole(params, "entityTypeId"))

    def _type(self, number_of: Callable[[SmartProcess], int], number: int) -> Answer:
        for process in self.state.processes.values():
            if number_of(process) == number:
                return Answer({"type": type_row(process)})
        raise RestError(400, 0, "Smart process not found")

    def _stage_history(self, params: Record) -> Answer:
        process = self._process(params)
        schema = query.Schema(_HISTORY_KINDS, self.state.timezone, id_name="ID")
        page = query.list_page(
            query.Table({row["ID"]: row for row in _stage_moves(process)}),
            query.compile_filter(params.get("filter"), schema),
            query.parse_order(params.get("order"), schema),
            query.parse_start(params.get("start")),
            schema,
        )
        rows = query.project(page.rows, params.get("select"), always="ID")
        return Answer({"items": rows}, page.total, page.next)

    def _notify(self, params: Record) -> Answer:
        for name in ("USER_ID", "MESSAGE"):
            if not params.get(name):
                raise RestError(400, f"{name}_EMPTY", f"{name} is empty")
        self.notifications.append(params)
        return Answer(len(self.notifications))

    # users and departments

    def _shown_user(self, row: Record) -> Record:
        if self.quirks.active_as_text and "ACTIVE" in row:
            row = row | {"ACTIVE": "Y" if row["ACTIVE"] else "N"}
        if self.scopes & {"user_basic", "user"}:
            return row
        return {name: value for name, value in row.items() if name not in _CONTACTS}

    def _user_get(self, params: Record) -> Answer:
        kinds = dict(_USER_KINDS)
        written = query.lookup(params, "FILTER", "filter")
        if written is None:
            written = {name: value for name, value in params.items() if _names(name, kinds)}
        schema = query.Schema(kinds, self.state.timezone, id_name="ID", strict=False)
        page = query.list_page(
            self._table("users", self.state.users),
            query.compile_filter(written, schema),
            _sorting(params, schema),
            query.parse_start(query.lookup(params, "start", "START")),
            schema,
        )
        rows = [self._shown_user(row) for row in page.rows]
        select = query.as_list(params.get("select"))
        if "UF_*" in select:
            select = [*select, *{name for row in rows for name in row if name.startswith("UF_")}]
        return Answer(query.project(rows, select, always="ID"), page.total, page.next)

    def _user_current(self, _: Record) -> Answer:
        row = self.state.users.get(self.user_id, {"ID": str(self.user_id), "ACTIVE": True})
        return Answer(self._shown_user(row))

    def _profile(self, _: Record) -> Answer:
        """The owner, whatever the scopes; here only whose robots and integrations the portal runs is administrator."""
        row = self.state.users.get(self.user_id, {})
        return Answer(
            {
                "ID": str(self.user_id),
                "ADMIN": self.user_id == self.state.webhook_user,
                "NAME": row.get("NAME", ""),
                "LAST_NAME": row.get("LAST_NAME", ""),
                "PERSONAL_GENDER": row.get("PERSONAL_GENDER", ""),
                "PERSONAL_PHOTO": row.get("PERSONAL_PHOTO", ""),
                "TIME_ZONE": row.get("TIME_ZONE") or None,
                "TIME_ZONE_OFFSET": 0,
            }
        )

    def _department_get(self, params: Record) -> Answer:
        schema = query.Schema(_DEPARTMENT_KINDS, self.state.timezone, id_name="ID", strict=False)
        # SORT is both a field to filter by and another spelling of `sort`: a field name in it means the latter.
        written = {
            name: value
            for name, value in params.items()
            if _names(name, schema.kinds) and not (name == "SORT" and str(value).upper() in schema.kinds)
        }
        page = query.list_page(
            self._table("departments", self.state.departments),
            query.compile_filter(written, schema),
            _sorting(params, schema),
            query.parse_start(query.lookup(params, "START", "start")),
            schema,
        )
        return Answer(page.rows, page.total, page.next)

    # tasks

    def _task_list(self, params: Record) -> Answer:
        schema = query.Schema(_TASK_KINDS, self.state.timezone, id_name="ID", prefixes=query.TASK_PREFIXES, key=_camel)
        order = query.parse_order(query.lookup(params, "order", "ORDER"), schema)
        page = query.list_page(
            self._table("tasks", self.state.tasks),
            query.compile_filter(query.lookup(params, "filter", "FILTER"), schema),
            order or [query.Order("ID", descending=True)],
            query.parse_start(query.lookup(params, "start", "START")),
            schema,
            self.admin.hidden_tasks,
        )
        select = query.lookup(params, "select", "SELECT")
        return Answer({"tasks": [_task_row(row, select) for row in page.rows]}, page.total, page.next)

    def _task_get(self, params: Record) -> Answer:
        number = whole(params, "taskId", "TASK_ID", "id", "ID")
        row = self.state.tasks.get(number)
        if row is None or number in self.admin.hidden_tasks:
            return Answer([])  # the portal has no error for a task that is missing or closed to the caller
        return Answer({"task": _task_row(row, params.get("select"))})


def _names(parameter: str, kinds: Mapping[str, query.Kind]) -> bool:
    return query.split_prefix(parameter, query.ALL_PREFIXES)[1] in kinds


def _sorting(params: Record, schema: query.Schema) -> list[query.Order]:
    """`sort` names the field, `order` the direction; an order given without a sort is passed over."""
    name = query.lookup(params, "sort", "SORT")
    direction = query.lookup(params, "order", "ORDER")
    if not isinstance(name, str) or name.upper() not in schema.kinds:
        return []
    descending = isinstance(direction, str) and direction.upper() == "DESC"
    return [query.Order(name.upper(), descending)]


def _upper_named(rows: list[Record], process: SmartProcess) -> list[Record]:
    """Rows with user fields under their original names."""
    names = {name: str(entry.get("upperName", name)) for name, entry in process.fields.items() if name.startswith("uf")}
    return [{names.get(name, name): value for name, value in row.items()} for row in rows]


_HISTORY_KINDS: dict[str, query.Kind] = {
    **dict.fromkeys(("ID", "TYPE_ID", "CATEGORY_ID"), "number"),
    "OWNER_ID": "link",
    "CREATED_TIME": "datetime",
    **dict.fromkeys(("STAGE_SEMANTIC_ID", "STAGE_ID"), "string"),
}


def _stage_moves(process: SmartProcess) -> list[Record]:
    """The first stage of every element and the last one: of those in between the stand-in keeps no record."""
    semantics = {row["STATUS_ID"]: row.get("SEMANTICS") or "P" for row in process.statuses}
    rows = []
    for number, item in sorted(process.items.items()):
        first = item.get("previousStageId") or item["stageId"]
        moves = [(1, item["createdTime"], first)]
        if first != item["stageId"]:
            is_final = semantics.get(item["stageId"], "P") != "P"
            moves.append((3 if is_final else 2, item["movedTime"], item["stageId"]))
        for place, (kind, moment, stage) in enumerate(moves):
            rows.append(
                {
                    "ID": 2 * number - 1 + place,
                    "TYPE_ID": kind,
                    "OWNER_ID": number,
                    "CREATED_TIME": moment,
                    "CATEGORY_ID": item["categoryId"],
                    "STAGE_SEMANTIC_ID": semantics.get(stage, "P"),
                    "STAGE_ID": stage,
                }
            )
    return rows


def type_row(process: SmartProcess) -> Record:
    """A row of `crm.type.list`."""
    flags = dict.fromkeys(("isCategoriesEnabled", "isStagesEnabled", "isBeginCloseDatesEnabled"), "Y")
    return {
        "id": process.type_id,
        "title": process.title,
        "entityTypeId": process.entity_type_id,
        **flags,
        "isRecyclebinEnabled": "N",
    }


def _task_row(row: Record, select: query.Value) -> Record:
    wanted = [str(name) for name in query.as_list(select)]
    everything = not wanted or "*" in wanted
    names = {"id", *(_camel(name) for name in wanted)}
    user_fields = "UF_*" in wanted
    return {
        name: value
        for name, value in row.items()
        if name in names or (user_fields if name.startswith("uf") else everything)
    }


# --- batch --------------------------------------------------------------------------------------------------------

_REFERENCE = re.compile(r"\$result((?:\[[^\]]*\])+)")
_STEP = re.compile(r"\[([^\]]*)\]")


class Timer:
    """Writes `time` blocks and books what calls cost.

    Args:
        clock: the portal's clock.
        meter: the portal's time meter.
        quirks: what the blocks leave out.
    """

    def __init__(self, clock: Clock, meter: OperatingMeter, quirks: Quirks) -> None:
        self.clock = clock
        self.meter = meter
        self.quirks = quirks

    def block(self, method: str, start: float, processing: float) -> Record:
        """The `time` block of a call that began at `start` (epoch) and computed for `processing` seconds."""
        finish = self.clock.epoch()
        operating, reset_at = self.meter.reading(method, finish)
        block: Record = {
            "start": start,
            "finish": finish,
            "duration": max(0.0, finish - start),
            "processing": processing,
            "date_start": self.clock.written(start),
            "date_finish": self.clock.written(finish),
        }
        if self.quirks.integer_time:
            block |= {"start": int(start), "finish": int(finish), "duration": int(finish) - int(start), "processing": 0}
        if self.quirks.operating_reset_at:
            block["operating_reset_at"] = reset_at
        if self.quirks.operating:
            block["operating"] = operating
        return block

    def run(self, name: str, call: Callable[[], Answer], *, is_inner: bool = False) -> tuple[Answer, Record]:
        """Calls a method, books its cost, and returns its answer with the `time` block.

        Args:
            name: the method.
            call: what answers it.
            is_inner: whether it is a command of a batch, which some portals bill to the batch alone.

        Raises:
            RestError: what the method answers instead, or 429 while it is blocked.
        """
        start = self.clock.epoch()
        is_billed = self.meter.bills(name, is_inner=is_inner)
        if is_billed and self.meter.blocked(name, start):
            raise operating_error()
        try:
            answer = call()
        finally:
            spent = max(0.0, self.clock.epoch() - start)
            if is_billed:
                self.meter.charge(name, spent, start)
        return answer, self.block(name, start, spent)


def batch_commands(params: Record) -> list[tuple[str, str, str]]:
    """Key, method (lower case) and query of every command of a batch."""
    commands = []
    for key, command in query.as_map(query.lookup(params, "cmd", "CMD")).items():
        method, _, arguments = str(command).partition("?")
        commands.append((key, method.strip("/").removesuffix(".json").lower(), arguments))
    return commands


def run_batch(methods: Methods, timer: Timer, params: Record, failing: CommandFault | None = None) -> Answer:
    """Runs the commands of a batch one after the other.

    Args:
        methods: what the portal offers.
        timer: where costs are booked.
        params: `cmd` and `halt`.
        failing: a command that has to fail, and how (scripted fault).

    Returns:
        The five maps of a batch answer; commands that failed are in `result_error` only.
    """
    halt = str(query.lookup(params, "halt", "HALT") or "0").lower() not in ("0", "false", "n")
    results: Record = {}
    errors: Record = {}
    totals: Record = {}
    nexts: Record = {}
    times: Record = {}
    seen: dict[str, Answer] = {}
    for number, (key, method, arguments) in enumerate(batch_commands(params)):
        spoiled = failing.kind if failing is not None and failing.command == number else None
        if spoiled == "batch_missing_command":
            continue
        if spoiled == "batch_result_is_error":
            results[key] = {"error": "INTERNAL_SERVER_ERROR", "error_description": "Internal server error"}
            continue
        try:
            _refuse(number, method, spoiled)
            resolved = {name: _resolve(value, results) for name, value in query.decode(arguments).items()}
            answer, times[key] = timer.run(method, partial(_once, methods, method, resolved, seen), is_inner=True)
        except RestError as error:
            errors[key] = error.envelope()
            if spoiled == "batch_operation_time_limit":
                times[key] = timer.block(method, timer.clock.epoch(), 0.0)
            if halt:
                break
            continue
        results[key] = answer.result
        if answer.total is not None and methods.quirks.total:
            totals[key] = answer.total
        if answer.next is not None:
            nexts[key] = answer.next
    maps = {
        "result": results,
        "result_error": errors,
        "result_total": totals,
        "result_next": nexts,
        "result_time": times,
    }
    return Answer({name: query.php_map(values) for name, values in maps.items()})


def _once(methods: Methods, method: str, params: Record, seen: dict[str, Answer]) -> Answer:
    # Behind the end of a chain all commands are alike ("id greater than nothing"): on half a million rows, scanning
    # for each of them would take seconds. While nothing is written, one answer serves them all.
    if method not in ("crm.item.list", "tasks.task.list"):
        seen.clear()
        return methods.call(method, params)
    key = f"{method} {params!r}"
    if key not in seen:
        seen[key] = methods.call(method, params)
    return seen[key]


def _refuse(number: int, method: str, spoiled: FaultKind | None) -> None:
    if number >= BATCH_LIMIT:
        raise RestError(400, "ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")
    if method == "batch":
        raise RestError(405, "ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage")
    if spoiled == "batch_command_error":
        raise limit_error()
    if spoiled == "batch_operation_time_limit":
        raise operating_error()


def _resolve(value: query.Value, results: Record) -> query.Value:
    if isinstance(value, dict):
        return {key: _resolve(child, results) for key, child in value.items()}
    if isinstance(value, list):
        return [_resolve(child, results) for child in value]
    if not isinstance(value, str) or "$result" not in value:
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole is not None:
        found = _follow(whole.group(1), results)
        return found if isinstance(found, (dict, list)) else _plain(found)
    return _REFERENCE.sub(lambda match: _plain(_follow(match.group(1), results)), value)


def _follow(path: str, results: Record) -> query.Value:
    node: Any = results
    for step in _STEP.findall(path):
        if isinstance(node, dict) and step in node:
            node = node[step]
        elif isinstance(node, list) and step.isdigit() and int(step) < len(node):
            node = node[int(step)]
        else:
            return ""  # a path that leads nowhere becomes nothing, not an error
    return node


def _plain(value: query.Value) -> str:
    if isinstance(value, bool):
        return "1" if value else ""
    return "" if value is None or isinstance(value, (dict, list)) else str(value)
