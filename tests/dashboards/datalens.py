"""A stand-in of the DataLens API, as far as the publisher asks it, behind an httpx transport.

It behaves like the real one where it hurts: names are unique per kind (409, or 400 ERR.US.DB.UNIQUE_VIOLATION),
creates answer with little more than an id, every write makes revisions, a draft moves the saved one alone, answers
carry fields nobody sent, a connection never gives its password back, lists come in pages, and connections break before
or after a write went through.
"""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
from datalens_sdk._generated.dto import (
    CreateDashboardV2ArgsDTO,
    CreateWizardChartV1ArgsDTO,
    UpdateWizardV1ArgsDTO,
)
from pydantic import BaseModel, ValidationError

from datalens_specs.connect import enterprise
from datalens_specs.publish import Client
from datalens_specs.specs import Column

WORKBOOK = "wb_pairs"
TOKEN = "secret-token"

WRITES = ("create", "update", "delete", "rename")


class RefusalError(Exception):
    """An answer that is an error."""

    def __init__(self, status: int, code: str) -> None:
        super().__init__(code)
        self.status, self.code = status, code


@dataclass
class Stored:
    """An entry as DataLens keeps it."""

    entry_id: str
    scope: str
    name: str
    content: dict[str, Any]
    workbook: str
    type: str = ""
    saved: str = ""
    published: str = ""
    updated_at: str = ""
    password: str = ""


@dataclass
class DataLens:
    """The installation.

    Attributes:
        tables: what its connections can read.
        entries: by id.
        asked: every request that reached it.
        expired: whether the token has run out.
        keeps_rules: whether row rules are kept; some installations drop them and answer 200.
        faults: number of a write (from 1) to what happens to it: a status, or "drop" (before it is done), "lost"
            (after).
        hidden: names of entries that this account does not see.
        page_size: entries per page.
    """

    tables: Mapping[str, Sequence[Column]]
    entries: dict[str, Stored] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    workbooks: set[str] = field(default_factory=lambda: {WORKBOOK})
    expired: bool = False
    keeps_rules: bool = True
    faults: dict[int, int | str] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    page_size: int = 20
    _numbers: Any = field(default_factory=lambda: itertools.count(1))
    _writes: int = 0

    def client(self) -> Client:
        """A client of the SDK that speaks to this stand-in alone."""
        return enterprise("https://datalens.example.org", TOKEN, httpx.MockTransport(self.answer))

    def named(self, name: str) -> Stored:
        """The entry with this name."""
        return next(one for one in self.entries.values() if one.name == name)

    @property
    def writes(self) -> list[str]:
        """Methods of the writes that were asked for, in order."""
        return [method for method, _ in self.asked if method.startswith(WRITES)]

    def edit_by_hand(self, name: str, *, draft: bool = False) -> None:
        """Somebody saves the entry in the browser."""
        self._touch(self.named(name), "save" if draft else "publish")

    # --- requests -----------------------------------------------------------------------------------------------------
    def answer(self, request: httpx.Request) -> httpx.Response:
        """What the transport calls."""
        method = request.url.path.removeprefix("/rpc/")
        body = json.loads(request.content)
        self.asked.append((method, body))
        fault: int | str | None = None
        if method.startswith(WRITES):
            self._writes += 1
            fault = self.faults.get(self._writes)
        headers = {"x-request-id": f"req-{len(self.asked)}"}
        try:
            answer = self._do(request, method, body, fault)
        except RefusalError as refusal:
            content = {"code": refusal.code, "message": f"quotes {json.dumps(body)[:400]}"}
            return httpx.Response(refusal.status, json=content, headers=headers)
        if fault == "lost":
            raise httpx.ReadError("connection reset by peer")
        return httpx.Response(200, json=answer, headers=headers)

    def _do(self, request: httpx.Request, method: str, body: dict[str, Any], fault: int | str | None) -> Any:
        if request.headers.get("x-dl-api-version") != "3":
            raise RefusalError(400, "INVALID_API_VERSION_HEADER")
        if self.expired or TOKEN not in request.headers.get("authorization", ""):
            raise RefusalError(401, "UNAUTHENTICATED")
        if fault == "drop":
            raise httpx.ConnectError("[Errno 111] Connection refused")
        if isinstance(fault, int):
            raise RefusalError(fault, "ERR.FAULT")
        handler: Callable[[dict[str, Any]], Any] | None = getattr(self, f"_{method}", None)
        if handler is None:
            raise RefusalError(404, "UNKNOWN_METHOD")
        return handler(body)

    def _getWorkbook(self, body: dict[str, Any]) -> Any:  # noqa: N802
        if body["workbookId"] not in self.workbooks:
            raise RefusalError(404, "WORKBOOK_NOT_EXISTS")
        return {"workbookId": body["workbookId"], "title": "Эстафета", "collectionId": None, "meta": {}}

    def _getWorkbookEntries(self, body: dict[str, Any]) -> Any:  # noqa: N802
        scopes = body.get("scope") or []
        scopes = [scopes] if isinstance(scopes, str) else scopes
        found = [
            one
            for one in self.entries.values()
            if one.workbook == body["workbookId"] and one.scope in scopes and one.name not in self.hidden
        ]
        start = int(body["page"]) * self.page_size
        page = found[start : start + self.page_size]
        return {
            "entries": [
                {"entryId": one.entry_id, "scope": one.scope, "type": one.type, "key": f"1/{one.name}",
                 "savedId": one.saved, "publishedId": one.published, "updatedAt": one.updated_at, "hidden": False,
                 "workbookId": one.workbook, "isLocked": False, "tenantId": "common"}
                for one in page
            ],
            **({"nextPageToken": str(body["page"] + 1)} if start + self.page_size < len(found) else {}),
        }  # fmt: skip

    # connections
    def _createConnection(self, body: dict[str, Any]) -> Any:  # noqa: N802
        body = dict(body)
        password = body.pop("password", None)
        if not password:
            raise RefusalError(400, "ERR.DS_API.VALIDATION_ERROR")
        name, workbook = body.pop("name"), body.pop("workbook_id")
        made = self._store("connection", name, body, workbook, "clickhouse", legacy=True)
        made.password = password
        return {"id": made.entry_id}

    def _getConnection(self, body: dict[str, Any]) -> Any:  # noqa: N802
        one = self._entry(body["connectionId"], "connection")
        return {"id": one.entry_id, "db_type": one.type, "name": one.name, "key": f"1/{one.name}",
                "workbook_id": one.workbook, "created_at": "2026-11-24", "options": {}, **one.content}  # fmt: skip

    def _updateConnection(self, body: dict[str, Any]) -> Any:  # noqa: N802
        one = self._entry(body["connectionId"], "connection")
        data = dict(body["data"])
        one.password = data.pop("password", one.password)
        one.content |= data
        self._touch(one, "publish")
        return {}

    # datasets
    def _validateDataset(self, body: dict[str, Any]) -> Any:  # noqa: N802
        source = next(one["source"] for one in body["data"]["updates"] if one["action"] == "add_source")
        place = source["parameters"]
        connection = self._entry(source["connection_id"], "connection")
        table = f"{place['db_name'].removesuffix('_read')}.{place['table_name']}"
        if connection.content["host"] == "wrong.example.org" or table not in self.tables:
            raise RefusalError(400, "ERR.DS_API.DB.SOURCE_DOES_NOT_EXIST")
        schema = [
            {"name": column.name, "title": column.name, "user_type": column.datalens_type, "nullable": True,
             "description": column.comment, "lock_aggregation": False, "has_auto_aggregation": False,
             "native_type": {"name": "string"}}
            for column in self.tables[table]
        ]  # fmt: skip
        dataset = body["data"]["dataset"] | {
            "sources": [source | {"raw_schema": schema, "valid": True, "connection_type": "clickhouse",
                                  "managed_by": "user", "parameter_hash": "0"}],
            "component_errors": {"items": []},
            "result_schema": [],
        }  # fmt: skip
        return {"dataset": dataset, "options": {}}

    def _createDataset(self, body: dict[str, Any]) -> Any:  # noqa: N802
        self._require_connections(body["dataset"])
        made = self._store("dataset", body["name"], self._kept(body["dataset"]), body["workbook_id"], "", legacy=True)
        return {"id": made.entry_id}

    def _getDataset(self, body: dict[str, Any]) -> Any:  # noqa: N802
        one = self._entry(body["datasetId"], "dataset")
        dataset = {"load_preview_by_default": True, "component_errors": {"items": []}, **one.content}
        return {"id": one.entry_id, "key": f"1/{one.name}", "workbook_id": one.workbook, "dataset": dataset,
                "options": {}, "is_favorite": False}  # fmt: skip

    def _updateDataset(self, body: dict[str, Any]) -> Any:  # noqa: N802
        one = self._entry(body["datasetId"], "dataset")
        self._require_connections(body["data"]["dataset"])
        one.content = self._kept(body["data"]["dataset"])
        self._touch(one, body["data"].get("mode") or "save")
        return {"id": one.entry_id}

    def _kept(self, dataset: dict[str, Any]) -> dict[str, Any]:
        for guid, rules in dataset["rls2"].items():
            for rule in rules:
                # The optional keys of datalens-sdk's own payload are left out, never null.
                has_value = "allowed_value" in rule
                if (
                    rule["field_guid"] != guid
                    or has_value != (rule["pattern_type"] == "value")
                    or None in rule.values()
                ):
                    raise RefusalError(400, "ERR.DS_API.VALIDATION_ERROR")
        return dict(dataset) if self.keeps_rules else {name: part for name, part in dataset.items() if name != "rls2"}

    def _require_connections(self, dataset: dict[str, Any]) -> None:
        for source in dataset["sources"]:
            self._entry(source["connection_id"], "connection")

    # charts
    def _createWizardChart(self, body: dict[str, Any]) -> Any:  # noqa: N802
        _require(CreateWizardChartV1ArgsDTO, body)
        self._require_fields(body["data"])
        content = {"data": body["data"], "annotation": body.get("annotation")}
        kind = _node_type(body["data"]["visualization"]["type"])
        return {"entry": self._shown(self._store("widget", body["name"], content, body["workbookId"], kind))}

    def _getWizardChart(self, body: dict[str, Any]) -> Any:  # noqa: N802
        return {"entry": self._shown(self._entry(body["chartId"], "widget"))}

    def _updateWizardChart(self, body: dict[str, Any]) -> Any:  # noqa: N802
        _require(UpdateWizardV1ArgsDTO, body)
        self._require_fields(body["data"])
        one = self._entry(body["chartId"], "widget")
        one.content = {"data": body["data"], "annotation": body.get("annotation")}
        self._touch(one, body["mode"])
        return {"entry": self._shown(one)}

    def _require_fields(self, data: dict[str, Any]) -> None:
        """Every field stands in the dataset that the chart names: otherwise it would be drawn empty."""
        for dataset_id in data["sources"]["datasetsIds"]:
            known = {one["guid"] for one in self._entry(dataset_id, "dataset").content["result_schema"]}
            used = {part["guid"] for part in _parts(data) if part.get("datasetId") == dataset_id}
            if not used or not used <= known:
                raise RefusalError(400, "FIELD_NOT_FOUND")

    # dashboards
    def _createDashboard(self, body: dict[str, Any]) -> Any:  # noqa: N802
        _require(CreateDashboardV2ArgsDTO, body)
        entry = body["entry"]
        self._require_charts(entry["data"])
        content = {"data": entry["data"], "annotation": entry.get("annotation"), "meta": entry["meta"]}
        return {"entry": self._shown(self._store("dash", entry["name"], content, entry["workbookId"], ""))}

    def _getDashboard(self, body: dict[str, Any]) -> Any:  # noqa: N802
        return {"entry": self._shown(self._entry(body["dashboardId"], "dash"))}

    def _updateDashboard(self, body: dict[str, Any]) -> Any:  # noqa: N802
        entry = body["entry"]
        one = self._entry(entry["entryId"], "dash")
        self._require_charts(entry["data"])
        one.content = {"data": entry["data"], "annotation": entry.get("annotation"), "meta": entry["meta"]}
        self._touch(one, body["mode"])
        return {"entry": self._shown(one)}

    def _require_charts(self, data: dict[str, Any]) -> None:
        for part in _parts(data):
            if "chartId" in part:
                self._entry(part["chartId"], "widget")
            if "datasetId" in part:
                self._entry(part["datasetId"], "dataset")

    # all
    def _renameEntry(self, body: dict[str, Any]) -> Any:  # noqa: N802
        one = self.entries[body["entryId"]]
        self._require_free(one.scope, body["name"], one.workbook, legacy=False)
        one.name = body["name"]
        return [{"entryId": one.entry_id, "key": f"1/{one.name}", "scope": one.scope, "type": one.type}]

    def _delete(self, entry_id: str, scope: str) -> Any:
        self._entry(entry_id, scope)
        del self.entries[entry_id]
        return {}

    def _deleteConnection(self, body: dict[str, Any]) -> Any:  # noqa: N802
        return self._delete(body["connectionId"], "connection")

    def _deleteDataset(self, body: dict[str, Any]) -> Any:  # noqa: N802
        return self._delete(body["datasetId"], "dataset")

    def _deleteWizardChart(self, body: dict[str, Any]) -> Any:  # noqa: N802
        return self._delete(body["chartId"], "widget")

    def _deleteDashboard(self, body: dict[str, Any]) -> Any:  # noqa: N802
        return self._delete(body["dashboardId"], "dash")

    # --- storage ------------------------------------------------------------------------------------------------------
    def _entry(self, entry_id: str, scope: str) -> Stored:
        one = self.entries.get(entry_id)
        if one is None or one.scope != scope:
            raise RefusalError(404, "NOT_EXIST_ENTRY")
        return one

    def _store(
        self, scope: str, name: str, content: dict[str, Any], workbook: str, kind: str, *, legacy: bool = False
    ) -> Stored:
        self._require_free(scope, name, workbook, legacy=legacy)
        made = Stored(f"id{next(self._numbers):05d}", scope, name, copy.deepcopy(content), workbook, kind)
        self._touch(made, "publish")
        self.entries[made.entry_id] = made
        return made

    def _require_free(self, scope: str, name: str, workbook: str, *, legacy: bool) -> None:
        if any((one.scope, one.name, one.workbook) == (scope, name, workbook) for one in self.entries.values()):
            raise (
                RefusalError(400, "ERR.US.DB.UNIQUE_VIOLATION") if legacy else RefusalError(409, "ENTRY_ALREADY_EXISTS")
            )

    def _touch(self, one: Stored, mode: str) -> None:
        revision = f"rev{next(self._numbers):05d}"
        one.saved = revision
        if mode == "publish":
            one.published = revision
        one.updated_at = "2026-11-24T09:00:00.000Z"

    def _shown(self, one: Stored) -> dict[str, Any]:
        return {"entryId": one.entry_id, "scope": one.scope, "type": one.type, "key": f"1/{one.name}",
                "workbookId": one.workbook, "savedId": one.saved, "publishedId": one.published, "revId": one.saved,
                "hidden": False, "tenantId": "common", "version": 1, "meta": {}, "links": {},
                "createdAt": "2026-11-24T09:00:00.000Z", "createdBy": "uid", "updatedAt": one.updated_at,
                "updatedBy": "uid", "public": False, **one.content}  # fmt: skip


def _require(shape: type[BaseModel], body: dict[str, Any]) -> None:
    try:
        shape.model_validate(body)
    except ValidationError as error:
        raise RefusalError(400, "VALIDATION_ERROR") from error


def _node_type(visualization: str) -> str:
    return {"metric": "metric_wizard_node", "flatTable": "table_wizard_node", "pivotTable": "table_wizard_node"}.get(
        visualization, "d3_wizard_node"
    )


def _parts(content: Any) -> list[dict[str, Any]]:
    """All objects in a document."""
    if isinstance(content, dict):
        return [content, *(part for value in content.values() for part in _parts(value))]
    if isinstance(content, list):
        return [part for value in content for part in _parts(value)]
    return []
