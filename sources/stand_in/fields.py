"""User fields of smart processes: the methods `userfieldconfig.*`.

Belongs here: how fields are listed, shown and made. Does not belong here: `crm.item.fields`, which shows the same
fields under their REST names (`methods.py`).
"""

from __future__ import annotations

import re

from sources.stand_in import query
from sources.stand_in.answers import Answer, Method, RestError, whole
from sources.stand_in.state import PortalState, Record, SmartProcess

LONGEST_NAME = 50
_TYPES = frozenset(
    {
        *("string", "integer", "double", "boolean", "enumeration", "datetime", "date", "money", "url", "address"),
        *("file", "employee", "crm_status", "iblock_section", "iblock_element", "crm"),
    }
)
_KINDS: dict[str, query.Kind] = {
    "id": "number",
    **dict.fromkeys(("entityId", "fieldName", "userTypeId", "multiple", "mandatory"), "string"),
}


class UserFields:
    """The methods about user fields.

    Args:
        state: what the portal holds.
    """

    def __init__(self, state: PortalState) -> None:
        self.state = state

    def methods(self) -> dict[str, Method]:
        """Methods by their lower-case names; all need the scopes userfieldconfig and crm."""
        return {
            "userfieldconfig.list": self._list,
            "userfieldconfig.get": self._get,
            "userfieldconfig.add": self._add,
        }

    def _rows(self) -> dict[int, tuple[Record, list[Record]]]:
        """Rows by id, with the options that the list leaves out. A field keeps its id when others are added."""
        found: dict[int, tuple[Record, list[Record]]] = {}
        for process in self.state.processes.values():
            names = (name for name in process.fields if name.startswith("uf"))
            for number, name in enumerate(names, start=1000 * process.type_id + 500):
                found[number] = _row(number, process, name)
        return found

    def _list(self, params: Record) -> Answer:
        schema = query.Schema(_KINDS, self.state.timezone, strict=False)
        page = query.list_page(
            query.Table({number: row for number, (row, _) in self._rows().items()}),
            query.compile_filter(params.get("filter"), schema),
            query.parse_order(params.get("order"), schema),
            query.parse_start(params.get("start")),
            schema,
        )
        return Answer({"fields": page.rows}, page.total, page.next)

    def _get(self, params: Record) -> Answer:
        found = self._rows().get(whole(params, "id"))
        if found is None:
            raise _refused("The user field is not found")
        row, options = found
        return Answer({"field": row | ({"enum": options} if options else {})})

    def _add(self, params: Record) -> Answer:
        if params.get("moduleId") != "crm":
            raise _refused("The module of the field is not supported")
        field = query.as_map(params.get("field"))
        named = {f"CRM_{each.type_id}": each for each in self.state.processes.values()}
        process = named.get(str(field.get("entityId")))
        if process is None:
            raise _refused("You do not have permission to add a user field to this entity")
        upper, kind = str(field.get("fieldName", "")), str(field.get("userTypeId", ""))
        if re.fullmatch(rf"UF_CRM_{process.type_id}_[A-Z0-9_]+", upper) is None or len(upper) > LONGEST_NAME:
            raise _refused(f"Field name must start with UF_CRM_{process.type_id}_ and hold A-Z, 0-9 and _ only")
        if upper in {entry.get("upperName") for entry in process.fields.values()}:
            raise _refused(f"Field {upper} already exists")
        if kind not in _TYPES:
            raise _refused("Wrong type of the user field")
        name = rest_name(upper, process.type_id)
        definition = _definition(field, upper, kind)
        if kind == "enumeration":
            definition["items"] = self._options(query.as_list(field.get("enum")))
        process.fields = {**process.fields, name: definition}
        for item in process.items.values():
            item[name] = [] if definition["isMultiple"] else None
        number = next(number for number, (row, _) in self._rows().items() if row["fieldName"] == upper)
        return self._get({"id": number})

    def _options(self, written: list[Record]) -> list[Record]:
        """Options of a new enumeration, under ids that no other one of the portal has."""
        fields = (entry for process in self.state.processes.values() for entry in process.fields.values())
        last = max((int(option["ID"]) for entry in fields for option in entry.get("items", ())), default=0)
        return [
            {"ID": str(number), "VALUE": str(option.get("value", ""))}
            for number, option in enumerate(written, last + 1)
        ]


def rest_name(upper: str, type_id: int) -> str:
    """A user field's name in `crm.item.*`: only letters or only digits become camelCase, anything else is kept."""
    own = upper.removeprefix(f"UF_CRM_{type_id}_")
    if re.fullmatch(r"[\d_]+", own):
        return f"ufCrm{type_id}_{own}"
    if re.fullmatch(r"[A-Z_]+", own):
        return f"ufCrm{type_id}" + "".join(part.capitalize() for part in own.split("_"))
    return f"ufCrm_{type_id}_{own}"


def _refused(description: str) -> RestError:
    return RestError(400, "", description)


def _definition(field: Record, upper: str, kind: str) -> Record:
    """A field as `crm.item.fields` shows it."""
    labels = query.as_map(field.get("editFormLabel"))
    title = str(labels.get("ru") or next(iter(labels.values()), "") or upper)
    return {
        "type": kind,
        "isRequired": field.get("mandatory") == "Y",
        "isReadOnly": False,
        "isImmutable": False,
        "isMultiple": field.get("multiple") == "Y",
        "isDynamic": True,
        "title": title,
        "upperName": upper,
        "settings": query.as_map(field.get("settings")),
        **dict.fromkeys(("listLabel", "formLabel", "filterLabel"), title),
    }


def _row(number: int, process: SmartProcess, name: str) -> tuple[Record, list[Record]]:
    entry = process.fields[name]
    row = {
        "id": str(number),
        "entityId": f"CRM_{process.type_id}",
        "fieldName": entry.get("upperName", name),
        "userTypeId": entry["type"],
        "xmlId": None,
        "sort": "100",
        "multiple": "Y" if entry.get("isMultiple") else "N",
        "mandatory": "Y" if entry.get("isRequired") else "N",
        "showFilter": "E",
        "settings": entry.get("settings", {}),
    }
    options = [
        {"id": each["ID"], "userFieldId": str(number), "value": each["VALUE"], "def": "N", "xmlId": ""}
        for each in entry.get("items", [])
    ]
    return row, options
