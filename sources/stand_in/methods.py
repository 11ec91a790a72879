"""What the REST methods of the stand-in portal answer, `batch` included.

Belongs here: one function per method over `PortalState`, scopes, error codes. Does not belong here: HTTP, request
limits and faults (`server.py`, `limits.py`), how filters work (`query.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from sources.stand_in import query
from sources.stand_in.limits import Clock, OperatingMeter
from sources.stand_in.state import PortalState, Record, SmartProcess

DEFAULT_SCOPES = frozenset({"crm", "user_brief", "department", "task"})
BATCH_LIMIT = 50

_USER_SCOPES = frozenset({"user_brief", "user_basic", "user"})
_CONTACTS = frozenset(
    {"EMAIL", "PERSONAL_MOBILE", "PERSONAL_PHONE", "WORK_PHONE", "UF_PHONE_INNER", "PERSONAL_WWW", "UF_SKYPE"}
)


class RestError(Exception):
    """An error answer of the portal.

    Attributes:
        status: HTTP status when it answers a whole request.
        code: `error` of the envelope, a string or a number as the portal has it.
        description: `error_description`.
    """

    def __init__(self, status: int, code: str | int, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.code = code
        self.description = description

    def envelope(self) -> Record:
        """The body that says so."""
        return {"error": self.code, "error_description": self.description}


@dataclass
class Answer:
    """What a method returns; `total` and `next` stand beside `result` in the envelope.

    Attributes:
        result: the method's own shape.
        total: number of rows over all pages; None for methods that do not count.
        next: offset of the next page, if there is one.
    """

    result: Any
    total: int | None = None
    next: int | None = None


Method = Callable[[Record], Answer]


def limit_error() -> RestError:
    """The portal's answer to too many requests."""
    return RestError(503, "QUERY_LIMIT_EXCEEDED", "Too many requests")


def operating_error() -> RestError:
    """The portal's answer to a method that took too long in the last ten minutes."""
    return RestError(429, "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.")


def credentials_error() -> RestError:
    """The portal's answer to a wrong webhook code."""
    return RestError(401, "INVALID_CREDENTIALS", "Invalid request credentials")


def not_found_error() -> RestError:
    """The portal's answer to a method it does not have."""
    return RestError(404, "ERROR_METHOD_NOT_FOUND", "Method not found!")


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
        hidden_items: (entity type id, item id) pairs the webhook's owner has no right to see.
        user_id: who owns the webhook.
    """

    def __init__(
        self,
        state: PortalState,
        clock: Clock,
        scopes: set[str],
        hidden_items: set[tuple[int, int]],
        user_id: int,
    ) -> None:
        self.state = state
        self.clock = clock
        self.scopes = scopes
        self.hidden_items = hidden_items
        self.user_id = user_id
        self._tables: dict[str, query.Table] = {}
        self._methods: dict[str, tuple[Method, frozenset[str]]] = {
            "crm.item.list": (self._item_list, frozenset({"crm"})),
            "crm.item.get": (self._item_get, frozenset({"crm"})),
            "crm.item.fields": (self._item_fields, frozenset({"crm"})),
            "crm.category.list": (self._category_list, frozenset({"crm"})),
            "crm.status.list": (self._status_list, frozenset({"crm"})),
            "crm.type.list": (self._type_list, frozenset({"crm"})),
            "user.get": (self._user_get, _USER_SCOPES),
            "user.current": (self._user_current, _USER_SCOPES),
            "department.get": (self._department_get, frozenset({"department"})),
            "tasks.task.list": (self._task_list, frozenset({"task"})),
            "tasks.task.get": (self._task_get, frozenset({"task"})),
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
        number = _whole(params, "entityTypeId")
        process = self.state.processes.get(number)
        if process is None:
            raise RestError(400, "NOT_FOUND", f"Smart process with entityTypeId {number} not found")
        return process

    def _item_schema(self, process: SmartProcess) -> query.Schema:
        kinds = dict(_SYSTEM_KINDS)
        for name, definition in process.fields.items():
            if name not in kinds:
                kinds[name] = _field_kind(name, definition)
        return query.Schema(kinds, self.state.timezone)

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
        return Answer({"items": _item_rows(page.rows, process, params)}, page.total, page.next)

    def _item_get(self, params: Record) -> Answer:
        process = self._process(params)
        number = _whole(params, "id")
        if (process.entity_type_id, number) in self.hidden_items:
            raise RestError(400, "ACCESS_DENIED", "Access denied")
        if number not in process.items:
            raise RestError(400, "NOT_FOUND", "Element not found")
        plain = {name: value for name, value in params.items() if name != "select"}
        return Answer({"item": _item_rows([process.items[number]], process, plain)[0]})

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
            query.Table({process.type_id: _type_row(process) for process in self.state.processes.values()}),
            query.compile_filter(params.get("filter"), schema),
            query.parse_order(params.get("order"), schema),
            query.parse_start(params.get("start")),
            schema,
        )
        return Answer({"types": page.rows}, page.total, page.next)

    # users and departments

    def _shown_user(self, row: Record) -> Record:
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
        )
        select = query.lookup(params, "select", "SELECT")
        return Answer({"tasks": [_task_row(row, select) for row in page.rows]}, page.total, page.next)

    def _task_get(self, params: Record) -> Answer:
        number = _whole(params, "taskId", "TASK_ID", "id", "ID")
        row = self.state.tasks.get(number)
        if row is None:
            return Answer([])  # the portal has no error for a task that is missing or closed to the caller
        return Answer({"task": _task_row(row, params.get("select"))})


def _names(parameter: str, kinds: Mapping[str, query.Kind]) -> bool:
    return query.split_prefix(parameter, query.ALL_PREFIXES)[1] in kinds


def _whole(params: Record, *names: str) -> int:
    value = query.lookup(params, *names)
    if value is None:
        raise RestError(400, 100, f"Could not find value for parameter {{{names[0]}}}")
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0  # PHP reads any other text as 0, which no row has


def _sorting(params: Record, schema: query.Schema) -> list[query.Order]:
    """`sort` names the field, `order` the direction; an order given without a sort is passed over."""
    name = query.lookup(params, "sort", "SORT")
    direction = query.lookup(params, "order", "ORDER")
    if not isinstance(name, str) or name.upper() not in schema.kinds:
        return []
    descending = isinstance(direction, str) and direction.upper() == "DESC"
    return [query.Order(name.upper(), descending)]


def _item_rows(rows: list[Record], process: SmartProcess, params: Record) -> list[Any]:
    select = query.as_list(params.get("select"))
    if str(params.get("useOriginalUfNames", "N")).upper() != "Y":
        return query.project(rows, select)
    if select and "*" not in select:
        return [[] for _ in rows]  # a known defect of the portal: original names together with select lose the row
    names = {name: str(entry.get("upperName", name)) for name, entry in process.fields.items() if name.startswith("uf")}
    return [{names.get(name, name): value for name, value in row.items()} for row in rows]


def _type_row(process: SmartProcess) -> Record:
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
    """

    def __init__(self, clock: Clock, meter: OperatingMeter) -> None:
        self.clock = clock
        self.meter = meter

    def block(self, method: str, start: float, processing: float) -> Record:
        """The `time` block of a call that began at `start` (epoch) and computed for `processing` seconds."""
        finish = self.clock.epoch()
        operating, reset_at = self.meter.reading(method, finish)
        return {
            "start": start,
            "finish": finish,
            "duration": max(0.0, finish - start),
            "processing": processing,
            "date_start": self.clock.written(start),
            "date_finish": self.clock.written(finish),
            "operating_reset_at": reset_at,
            "operating": operating,
        }

    def run(self, name: str, call: Callable[[], Answer]) -> tuple[Answer, Record]:
        """Calls a method, books its cost, and returns its answer with the `time` block.

        Raises:
            RestError: what the method answers instead, or 429 while it is blocked.
        """
        start = self.clock.epoch()
        if self.meter.blocked(name, start):
            raise operating_error()
        try:
            answer = call()
        finally:
            spent = max(0.0, self.clock.epoch() - start)
            self.meter.charge(name, spent, start)
        return answer, self.block(name, start, spent)


def batch_commands(params: Record) -> list[tuple[str, str, str]]:
    """Key, method (lower case) and query of every command of a batch."""
    commands = []
    for key, command in query.as_map(query.lookup(params, "cmd", "CMD")).items():
        method, _, arguments = str(command).partition("?")
        commands.append((key, method.strip("/").removesuffix(".json").lower(), arguments))
    return commands


def run_batch(methods: Methods, timer: Timer, params: Record, failing: int | None = None) -> Answer:
    """Runs the commands of a batch one after the other.

    Args:
        methods: what the portal offers.
        timer: where costs are booked.
        params: `cmd` and `halt`.
        failing: a command that has to fail with QUERY_LIMIT_EXCEEDED (scripted fault).

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
        try:
            _refuse(number, method, failing)
            resolved = {name: _resolve(value, results) for name, value in query.decode(arguments).items()}
            answer, times[key] = timer.run(method, partial(_once, methods, method, resolved, seen))
        except RestError as error:
            errors[key] = error.envelope()
            if halt:
                break
            continue
        results[key] = answer.result
        if answer.total is not None:
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
    # for each of them would take seconds. Nothing changes within a batch, so one answer serves them all.
    if method != "crm.item.list":
        return methods.call(method, params)
    key = repr(params)
    if key not in seen:
        seen[key] = methods.call(method, params)
    return seen[key]


def _refuse(number: int, method: str, failing: int | None) -> None:
    if number >= BATCH_LIMIT:
        raise RestError(400, "ERROR_BATCH_LENGTH_EXCEEDED", "Max batch length exceeded")
    if method == "batch":
        raise RestError(405, "ERROR_BATCH_METHOD_NOT_ALLOWED", "Method is not allowed for batch usage")
    if number == failing:
        raise limit_error()


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
