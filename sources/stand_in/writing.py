"""REST methods that change the portal: elements added, edited, deleted, imported, and new smart processes.

Belongs here: what these methods check and refuse. Does not belong here: methods that only read (`methods.py`), changes
behind the portal's back (`admin.py`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sources.stand_in import query
from sources.stand_in.admin import Admin
from sources.stand_in.answers import Answer, Method, RestError, denied_error, no_element_error, whole
from sources.stand_in.state import Record, SmartProcess

IMPORT_LIMIT = 20
_IMPORTED = frozenset({"createdTime", "updatedTime", "movedTime", "createdBy", "updatedBy", "movedBy"})
"""What an administrator may set on import, and nobody otherwise."""
_READ_ONLY = _IMPORTED | {"id", "entityTypeId", "previousStageId", "lastActivityBy", "lastActivityTime"}
_TYPE_IDS, _FIRST_EVEN_TYPE_ID = range(128, 193), 1030
_STAGES = (
    ("NEW", "Новая", None),
    ("PREPARATION", "Подготовка", None),
    ("CLIENT", "Согласование", None),
    ("SUCCESS", "Успех", "S"),
    ("FAIL", "Провал", "F"),
)


class Writing:
    """The methods that write.

    Args:
        admin: what changes the state, dates it and tells the lists.
        user_id: the webhook's owner, who is the author of everything.
    """

    def __init__(self, admin: Admin, user_id: int) -> None:
        self.admin = admin
        self.state = admin.state
        self.user_id = user_id

    def methods(self) -> dict[str, Method]:
        """Methods by their lower-case names; all need the scope crm."""
        return {
            "crm.item.add": self._add,
            "crm.item.update": self._update,
            "crm.item.delete": self._delete,
            "crm.item.batchimport": self._import,
            "crm.type.add": self._add_type,
        }

    # Elements

    def _add(self, params: Record) -> Answer:
        process = self._process(params)
        number = self._insert(process, self._written(process, params, allowed=frozenset()))
        return Answer({"item": process.items[number]})

    def _insert(self, process: SmartProcess, fields: Record) -> int:
        for name, entry in process.fields.items():
            if entry.get("isRequired") and fields.get(name) in (None, "", []):
                raise RestError(400, "CRM_FIELD_ERROR_REQUIRED", f"Required fields are not filled: {name}")
        return self.admin.insert_item(process.entity_type_id, fields)

    def _update(self, params: Record) -> Answer:
        process = self._process(params)
        number = self._element(process, params)
        self.admin.edit_item(process.entity_type_id, number, self._written(process, params, allowed=frozenset()))
        return Answer({"item": process.items[number]})

    def _delete(self, params: Record) -> Answer:
        process = self._process(params)
        self.admin.delete_item(process.entity_type_id, self._element(process, params))
        return Answer([])

    def _import(self, params: Record) -> Answer:
        process = self._process(params)
        rows = query.as_list(params.get("data"))
        if len(rows) > IMPORT_LIMIT:
            raise RestError(400, "MAX_IMPORT_BATCH_SIZE_EXCEEDED", f"Maximum import batch size is {IMPORT_LIMIT}")
        answers: list[Record] = []
        for row in rows:
            try:
                fields = self._written(process, {"fields": row}, allowed=_IMPORTED)
                self._check_dates(fields)
                answers.append({"item": {"id": self._insert(process, fields)}})
            except RestError as error:
                answers.append(error.envelope())
        return Answer({"items": answers})

    def _check_dates(self, fields: Record) -> None:
        """An import may be dated in the past, but it cannot be edited before it was made, or after now."""
        now = self.admin.clock.now()
        created, updated = (
            query.moment(fields[name], self.state.timezone) if fields.get(name) else None
            for name in ("createdTime", "updatedTime")
        )
        if updated is not None and (updated > now or updated < (created or updated)):
            raise RestError(400, "INVALID_ARG_VALUE", "Invalid value of field 'updatedTime'")
        if created is not None and created > now:
            raise RestError(400, "INVALID_ARG_VALUE", "Invalid value of field 'createdTime'")
        if created is not None:
            fields |= {name: self._stamp(fields.get(name, created)) for name in ("createdTime", "updatedTime")}

    def _stamp(self, value: query.Value) -> str:
        moment = value if isinstance(value, datetime) else query.moment(value, self.state.timezone)
        return self.state.timestamp(moment)

    def _process(self, params: Record) -> SmartProcess:
        number = whole(params, "entityTypeId")
        if number not in self.state.processes:
            raise RestError(400, "NOT_FOUND", f"Smart process with entityTypeId {number} not found")
        return self.state.processes[number]

    def _element(self, process: SmartProcess, params: Record) -> int:
        number = whole(params, "id")
        if (process.entity_type_id, number) in self.admin.hidden_items:
            raise denied_error()
        if number not in process.items:
            raise no_element_error()
        return number

    def _written(self, process: SmartProcess, params: Record, allowed: frozenset[str]) -> Record:
        """The fields that a caller may set: unknown and read-only ones are passed over without a word."""
        if "fields" not in params:
            raise RestError(400, 100, "Could not find value for parameter {fields}")
        names = {name: name for name in process.fields}
        if str(params.get("useOriginalUfNames", "N")).upper() == "Y":
            names |= {str(entry.get("upperName", name)): name for name, entry in process.fields.items()}
        fields = {names[name]: value for name, value in query.as_map(params["fields"]).items() if name in names}
        return {
            name: _checked(process.fields[name], value)
            for name, value in fields.items()
            if name in allowed or not (name in _READ_ONLY or process.fields[name].get("isReadOnly"))
        }

    # Smart processes

    def _add_type(self, params: Record) -> Answer:
        if "fields" not in params:
            raise RestError(400, 100, "Could not find value for parameter {fields}")
        fields = query.as_map(params["fields"])
        known = self.state.processes
        free = max([_FIRST_EVEN_TYPE_ID, *(number + 2 - number % 2 for number in known)])
        number = whole(fields, "entityTypeId") if fields.get("entityTypeId") else free
        if number not in _TYPE_IDS and (number < _FIRST_EVEN_TYPE_ID or number % 2):
            raise RestError(400, "INVALID_ARG_VALUE", "entityTypeId is out of allowed range")
        if number in known:
            raise RestError(400, "INVALID_ARG_VALUE", "entityTypeId is already in use")
        process = self._new_process(number, str(fields.get("title", "")))
        known[number] = process
        return Answer({"type": {"id": process.type_id, "title": process.title, "entityTypeId": number}})

    def _new_process(self, number: int, title: str) -> SmartProcess:
        """A process with the system fields that all have, and the default funnel."""
        others = list(self.state.processes.values())
        system = others[0].fields if others else {}
        category = max([0, *(row["id"] for process in others for row in process.categories)]) + 1
        return SmartProcess(
            entity_type_id=number,
            type_id=max([0, *(process.type_id for process in others)]) + 1,
            title=title,
            fields={name: dict(entry) for name, entry in system.items() if not name.startswith("uf")},
            categories=[{"id": category, "name": "Общая", "sort": 500, "entityTypeId": number, "isDefault": "Y"}],
            statuses=[
                {
                    "ID": str(category * 10 + place),
                    "ENTITY_ID": f"DYNAMIC_{number}_STAGE_{category}",
                    "STATUS_ID": f"DT{number}_{category}:{code}",
                    "NAME": name,
                    "SORT": str(place * 10),
                    "CATEGORY_ID": str(category),
                    "SEMANTICS": semantics,
                }
                for place, (code, name, semantics) in enumerate(_STAGES, start=1)
            ],
        )


def _checked(entry: Record, value: Any) -> Any:  # noqa: ANN401 - fields hold values of every type
    """A value as the field keeps it.

    Raises:
        RestError: the field does not take it.
    """
    if entry.get("isMultiple"):
        if not isinstance(value, (list, dict)):
            kind = type(value).__name__
            raise RestError(400, 100, f"Expected iterable value for multiple field, but got `{kind}` instead")
        return query.as_list(value)
    if entry.get("type") == "enumeration" and value not in (None, ""):
        if str(value) not in {option["ID"] for option in entry.get("items", [])}:
            raise RestError(400, "CRM_FIELD_ERROR_VALUE_NOT_VALID", "Field value is not valid")
        return int(value)
    return value
