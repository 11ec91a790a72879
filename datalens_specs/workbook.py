"""The workbook file that DataLens imports by hand: the way for the open-source one, which has no public API.

Belongs here: specs in the shapes that DataLens stores. Does not belong here: what a spec may say (`specs.py`), writing
the file to disk.

The shapes are those of a file that open-source DataLens exported and took back (wizard configuration 15, dashboard
scheme 8). Ids in the file are the keys of the specs, with their kind before them: DataLens has one
space of ids for all kinds. It gives real ones on import. Two things the file cannot
hold: the password, which is typed in after the import, and row access, whose rules name users of one installation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from datalens_specs.query import scope_filter
from datalens_specs.specs import (
    Chart,
    Column,
    Connection,
    Dashboard,
    Dataset,
    DatasetField,
    Item,
    Selector,
    Specs,
    Tables,
)

NONE = "недостаточно данных"
MASKED = "******"
SELECTOR_ROWS = 2
"""Height of the row of selectors, in rows of the grid."""

_ENTRY_TYPES = {"indicator": "metric_wizard_node", "table": "table_wizard_node", "matrix": "table_wizard_node"}
_VISUALIZATIONS = {
    "indicator": "metric", "line": "line", "column": "column", "bar": "bar", "bar_100": "bar100p", "points": "scatter",
    "table": "flatTable", "matrix": "pivotTable",
}  # fmt: skip
FORMATTING: dict[str, dict[str, Any]] = {
    "percent": {"format": "percent", "precision": 0},
    "score": {"format": "number", "precision": 2},
    "decimal": {"format": "number", "precision": 1},
    "number": {"format": "number", "precision": 0, "showRankDelimiter": True},
}
DATE_FORMATS = {"month": "MMM YYYY", "day": "DD.MM.YYYY"}


@dataclass(frozen=True)
class Place:
    """Where DataLens finds the warehouse; the password is never part of it.

    Attributes:
        host: as DataLens reaches it.
        port: of the HTTP interface.
        username: of the one user that DataLens shares.
        secure: whether it speaks TLS.
        database_of: database of the specs to the one DataLens reads; on a server the views in `mart_read`.
    """

    host: str
    port: int
    username: str
    secure: bool
    database_of: Mapping[str, str]


def workbook(specs: Specs, tables: Tables, place: Place) -> dict[str, Any]:
    """The content of the file, ready for JSON.

    Args:
        specs: checked specs.
        tables: the tables they were checked against; their columns become the file's raw schema, without which an
            imported dataset answers no query.
        place: where DataLens finds the warehouse.
    """
    entries = {
        "connection": {f"connection_{key}": {"connection": _connection(one, place)}
                       for key, one in specs.connections.items()},
        "dataset": {
            f"dataset_{key}": {"dataset": dataset_content(one, specs, tables, place)}
            for key, one in specs.datasets.items()},
        "widget": {f"chart_{key}": {"widget": _widget(one, specs)} for key, one in specs.charts.items()},
        "dash": {f"dash_{key}": {"dash": dash_content(one, specs)} for key, one in specs.dashboards.items()},
    }  # fmt: skip
    export = {"version": "v1", "entries": entries}
    # DataLens compares the hash with a key of its own and only notes a difference; it must be there and be a string.
    digest = hashlib.sha256(json.dumps(export, ensure_ascii=False, separators=(",", ":")).encode()).hexdigest()
    return {"export": export, "hash": digest}


def _connection(one: Connection, place: Place) -> dict[str, Any]:
    return {"db_type": "clickhouse", "name": one.name, "password": MASKED, **connection_content(one, place)}


def connection_content(one: Connection, place: Place) -> dict[str, Any]:
    """What a connection is, without its name and password."""
    return {
        "description": one.description,
        "host": place.host,
        "port": place.port,
        "username": place.username,
        "secure": "on" if place.secure else "off",
        # Row-level rules do not hold for raw SQL.
        "raw_sql_level": "off",
        "readonly": 2,
        "cache_ttl_sec": None,
        "data_export_forbidden": "off",
    }


# --- datasets ---------------------------------------------------------------------------------------------------------
def guid_of(dataset: Dataset, key: str) -> str:
    """One id space for all datasets: a selector names fields of several."""
    return f"{dataset.key}__{key}"


def guid_of_code(dataset: Dataset, key: str) -> str:
    """The hidden field with the code behind a labelled one."""
    return guid_of(dataset, f"{key}__code")


def guid_of_said(dataset: Dataset, chart: Chart) -> str:
    """The hidden field with the text of an indicator."""
    return guid_of(dataset, f"said__{chart.key}")


def dataset_content(dataset: Dataset, specs: Specs, tables: Tables, place: Place) -> dict[str, Any]:
    """A dataset as DataLens keeps it; its connection stands in it by reference."""
    database, table = dataset.table.split(".")
    source, avatar = f"{dataset.key}_source", f"{dataset.key}_avatar"
    fields = [made for one in dataset.fields for made in _fields(dataset, one, tables, avatar)]
    fields += [_said(chart, dataset) for chart in specs.charts.values() if _is_said(chart, dataset)]
    return {
        "name": dataset.name,
        "description": dataset.description,
        "sources": [
            {
                "id": source,
                "connection_id": f"connection_{dataset.connection}",
                "source_type": "CH_TABLE",
                "title": table,
                "parameters": {"db_name": place.database_of[database], "table_name": table},
                "managed_by": "user",
                "valid": True,
                "raw_schema": [_raw(column) for column in tables[dataset.table]],
            }
        ],
        "source_avatars": [
            {"id": avatar, "source_id": source, "title": table, "is_root": True, "managed_by": "user", "valid": True}
        ],
        "avatar_relations": [],
        "obligatory_filters": [],
        "result_schema": fields,
    }


def _raw(column: Column) -> dict[str, Any]:
    return {
        "name": column.name,
        "title": column.name,
        "user_type": column.datalens_type,
        "nullable": True,
        "description": column.comment,
        "lock_aggregation": False,
        "has_auto_aggregation": False,
        "native_type": {
            "native_type_class_name": "clickhouse_native_type",
            "name": column.bare_type.split("(")[0].lower(),
            "nullable": "Nullable(" in column.type,
            "lowcardinality": column.type.startswith("LowCardinality("),
        },
    }


def _fields(dataset: Dataset, one: DatasetField, tables: Tables, avatar: str) -> list[dict[str, Any]]:
    if one.column is None:
        return [_field(dataset, one.key, one.title, one, formula=one.formula or "")]
    native = next(column for column in tables[dataset.table] if column.name == one.column).datalens_type
    direct = _field(dataset, one.key, one.title, one) | {"avatar_id": avatar, "initial_data_type": native}
    if not isinstance(one.labels, dict) or not one.labels:
        return [direct]
    code = direct | {"guid": guid_of_code(dataset, one.key), "title": f"{one.title} (код)", "hidden": True}
    words = " ".join(f"WHEN {_quoted(value)} THEN {_quoted(word)}" for value, word in one.labels.items())
    named = f"CASE [{one.title} (код)] {words} ELSE [{one.title} (код)] END"
    return [code, _field(dataset, one.key, one.title, one, formula=named)]


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _field(dataset: Dataset, key: str, title: str, one: DatasetField, *, formula: str = "") -> dict[str, Any]:
    return {
        "guid": guid_of(dataset, key),
        "title": title,
        "calc_mode": "formula" if formula else "direct",
        "source": "" if formula else one.column,
        "formula": formula,
        "aggregation": one.aggregation,
        "type": "MEASURE" if one.is_measure else "DIMENSION",
        "cast": one.type,
        "data_type": one.type,
        "initial_data_type": one.type,
        "avatar_id": None,
        "hidden": one.hidden,
        "description": one.description,
        "managed_by": "user",
        "valid": True,
    }


def _is_said(chart: Chart, dataset: Dataset) -> bool:
    return chart.kind == "indicator" and chart.dataset == dataset.key


def _said(chart: Chart, dataset: Dataset) -> dict[str, Any]:
    """The figure of an indicator with what it stands on, as text: DataLens shows one measure, and nothing for NULL."""
    figure = dataset.field(chart.measures[0])
    value = {
        "percent": f'CONCAT(STR(ROUND([{figure.title}] * 100, 0)), " %")',
        "score": f"STR(ROUND([{figure.title}], 2))",
    }.get(figure.format, f"STR([{figure.title}])")
    if chart.support is not None and chart.support != figure.key:
        value = f'CONCAT({value}, "  ·  n = ", STR([{dataset.field(chart.support).title}]))'
    formula = f"IF(ISNULL([{figure.title}]), {_quoted(NONE)}, {value})"
    shape = figure.model_copy(update={"type": "string", "hidden": True, "description": chart.note})
    field = _field(dataset, figure.key, f"{chart.title}: текст", shape, formula=formula)
    return field | {"guid": guid_of_said(dataset, chart), "type": "MEASURE"}


# --- charts -----------------------------------------------------------------------------------------------------------
def _widget(chart: Chart, specs: Specs) -> dict[str, Any]:
    dataset = specs.datasets[chart.dataset]
    measures = [_item(dataset, key) for key in chart.measures]
    support = _item(dataset, chart.support) if chart.support and chart.support not in chart.measures else None
    colors = [_item(dataset, chart.color)] if chart.color else []
    colors_config: dict[str, Any] = {}
    if chart.kind == "matrix":
        colors = measures
        colors_config = {
            "gradientMode": "3-point", "gradientPalette": "red-orange-green", "thresholdsMode": "manual",
            "leftThreshold": "0.5", "middleThreshold": "0.75", "rightThreshold": "1",
        }  # fmt: skip
    shared = {
        "type": "datalens",
        "version": "15",
        "visualization": {"id": _VISUALIZATIONS[chart.kind], "placeholders": _placeholders(chart, dataset)},
        "colors": colors,
        "colorsConfig": colors_config,
        "shapes": [],
        "shapesConfig": {},
        "labels": measures if chart.kind == "bar" else [],
        "tooltips": [*measures, *([support] if support else [])] if chart.kind not in ("table", "indicator") else [],
        "sort": [_item(dataset, one.field) | {"direction": one.direction.upper()} for one in chart.sort],
        "segments": [],
        "filters": [_filter(dataset, key, values) for key, values in scope_filter(chart, dataset)],
        "hierarchies": [],
        "links": [],
        "updates": [],
        "extraSettings": {"limit": chart.limit, "pagination": "on"} if chart.kind == "table" else {},
        "datasetsIds": [f"dataset_{dataset.key}"],
        "datasetsPartialFields": [
            [
                {"guid": guid_of(dataset, one.key), "title": one.title,
                 "calc_mode": "formula" if one.formula or one.labels else "direct"}
                for one in dataset.fields
            ]
        ],
    }  # fmt: skip
    return {
        "name": chart.title,
        "type": _ENTRY_TYPES.get(chart.kind, "d3_wizard_node"),
        "annotation": {"description": chart.note},
        "data": {"shared": shared},
    }


def _placeholders(chart: Chart, dataset: Dataset) -> list[dict[str, Any]]:
    def slot(name: str, keys: Sequence[str | None]) -> dict[str, Any]:
        return {"id": name, "items": [_item(dataset, key) for key in keys if key], "settings": {}, "required": False}

    if chart.kind == "indicator":
        said = _said(chart, dataset)
        item = {name: said[name] for name in _OF_ITEM} | {"datasetId": f"dataset_{dataset.key}"}
        return [{"id": "measures", "items": [item], "settings": {}, "required": False}]
    if chart.kind in ("line", "column"):
        more = [slot("y2", [])] if chart.kind == "line" else []
        return [slot("x", [chart.x]), slot("y", chart.measures), *more]
    if chart.kind in ("bar", "bar_100"):
        return [slot("y", [chart.y]), slot("x", chart.measures)]
    if chart.kind == "points":
        middle = chart.measures[len(chart.measures) // 2]
        return [slot("x", [middle]), slot("y", [chart.y]), slot("points", []), slot("size", [])]
    if chart.kind == "matrix":
        shown = tuple(dict.fromkeys((*chart.measures, chart.support)))
        return [slot("pivot-table-columns", chart.columns), slot("rows", chart.rows), slot("measures", shown)]
    return [slot("flat-table-columns", chart.columns)]


_OF_ITEM = ("guid", "title", "data_type", "type", "calc_mode", "cast", "aggregation", "source", "formula")


def _item(dataset: Dataset, key: str) -> dict[str, Any]:
    one = dataset.field(key)
    field = _field(dataset, key, one.title, one, formula=one.formula or "")
    item = {name: field[name] for name in _OF_ITEM} | {"datasetId": f"dataset_{dataset.key}"}
    if one.labels:
        item |= {"calc_mode": "formula", "source": ""}
    if one.format in FORMATTING:
        item["formatting"] = FORMATTING[one.format]
    if one.format in DATE_FORMATS:
        item["format"] = DATE_FORMATS[one.format]
    return item


def _filter(dataset: Dataset, key: str, values: Sequence[str]) -> dict[str, Any]:
    item = _item(dataset, key)
    if dataset.field(key).labels:
        # Values of a filter are codes.
        item |= {"guid": guid_of_code(dataset, key), "title": f"{item['title']} (код)", "calc_mode": "direct"}
    return item | {"filter": {"operation": {"code": "IN"}, "value": list(values)}}


# --- dashboards -------------------------------------------------------------------------------------------------------
def dash_content(dashboard: Dashboard, specs: Specs) -> dict[str, Any]:
    """A dashboard as DataLens keeps it; its charts and datasets stand in it by reference."""
    tabs = []
    for tab in dashboard.tabs:
        down = SELECTOR_ROWS if tab.selectors else 0
        items = [_dash_item(f"{tab.key}_{item.key}", item, specs) for item in tab.items]
        layout = [
            {"i": f"{tab.key}_{item.key}", "x": item.at.x, "y": item.at.y + down, "w": item.at.w, "h": item.at.h}
            for item in tab.items
        ]
        if tab.selectors:
            name = f"{tab.key}_selectors"
            group = [_control(f"{tab.key}_{one.key}", one, specs) for one in tab.selectors]
            data = {"group": group, "autoHeight": False, "buttonApply": False, "buttonReset": True,
                    "showGroupName": False, "updateControlsOnChange": True}  # fmt: skip
            items.insert(0, {"id": name, "type": "group_control", "namespace": "default", "data": data})
            layout.insert(0, {"i": name, "x": 0, "y": 0, "w": 36, "h": SELECTOR_ROWS})
        linked = [
            [guid_of(specs.datasets[key], field) for key, field in one.fields.items()]
            for one in tab.selectors
            if len(one.fields) > 1
        ]
        tabs.append(
            {"id": tab.key, "title": tab.title, "items": items, "layout": layout, "connections": [],
             "aliases": {"default": linked}}
        )  # fmt: skip
    settings: dict[str, Any] = {
        "autoupdateInterval": None, "maxConcurrentRequests": None, "silentLoading": False, "dependentSelectors": True,
        "hideTabs": False, "expandTOC": False, "globalParams": {}, "hideDashTitle": False,
    }  # fmt: skip
    data = {
        "schemeVersion": 8,
        "counter": sum(len(tab["items"]) for tab in tabs),
        # Any text will do: DataLens mixes it into ids that it makes itself.
        "salt": dashboard.key,
        "tabs": tabs,
        "settings": settings,
    }
    return {"name": dashboard.name, "annotation": {"description": dashboard.description}, "data": data}


def _dash_item(name: str, item: Item, specs: Specs) -> dict[str, Any]:
    data: dict[str, Any]
    if item.chart is not None:
        chart = specs.charts[item.chart]
        shown = {"id": f"{name}_tab", "title": chart.title, "description": chart.note, "chartId": f"chart_{chart.key}",
                 "isDefault": True, "params": {}, "autoHeight": False}  # fmt: skip
        kind, data = "widget", {"hideTitle": False, "tabs": [shown]}
    elif item.heading is not None:
        kind, data = "title", {"text": item.heading, "size": "m", "showInTOC": True, "autoHeight": False}
    else:
        kind, data = "text", {"text": item.text, "autoHeight": False}
    return {"id": name, "type": kind, "namespace": "default", "data": data}


def _control(name: str, selector: Selector, specs: Specs) -> dict[str, Any]:
    key, field = next(iter(selector.fields.items()))
    dataset = specs.datasets[key]
    guid = guid_of(dataset, field)
    source: dict[str, Any] = {
        "datasetId": f"dataset_{key}", "datasetFieldId": guid, "datasetFieldType": "DIMENSION", "showTitle": True,
        "titlePlacement": "left", "required": False, "showHint": False, "fieldType": dataset.field(field).type,
    }  # fmt: skip
    default: str | list[str]
    if selector.kind == "months":
        # From the first of those months to today, whenever the dashboard is opened.
        default = f"__interval___relative_-{(selector.last or 1) - 1}M___relative_+0d"
        source |= {"elementType": "date", "isRange": True, "defaultValue": default}
    else:
        default = list(selector.default)
        source |= {"elementType": "select", "multiselectable": selector.multiple, "defaultValue": default}
    return {
        "id": name, "title": selector.title, "namespace": "default", "sourceType": "dataset", "width": "",
        "placementMode": "auto", "defaults": {guid: default}, "source": source,
    }  # fmt: skip
