"""Specs as entries of a DataLens workbook, in the shapes of its public API (version 3).

Belongs here: a spec as the document that is stored, row rules from who may see what. Does not belong here: sending
them (`publish.py`), the file for import by hand, which has the older shapes of charts (`workbook.py`).

A document holds no id of a server: other entries stand in it by their reference, `dataset_pair`, and get their ids when
it is sent. So a document, and with it its digest, is the same for every installation.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from datalens_specs.query import scope_filter
from datalens_specs.specs import Chart, Dataset, Specs, Tables
from datalens_specs.workbook import (
    DATE_FORMATS,
    FORMATTING,
    Place,
    connection_content,
    dash_content,
    dataset_content,
    guid_of,
    guid_of_code,
    guid_of_said,
)

Kind = Literal["connection", "dataset", "chart", "dashboard"]
KINDS: tuple[Kind, ...] = ("connection", "dataset", "chart", "dashboard")
"""In the order in which they are published: each refers to those before it."""

RowRules = Mapping[str, Sequence[tuple[str, str]]]
"""Who sees which rows: dataset key to pairs of DataLens user id and value; `EVERYTHING` stands for all values."""

EVERYTHING = "*"

_PREFIXES: dict[Kind, str] = {"connection": "connection", "dataset": "dataset", "chart": "chart", "dashboard": "dash"}


class PublishError(Exception):
    """Publishing cannot begin, or stopped; says how far it came."""


@dataclass(frozen=True)
class Entry:
    """One thing to publish.

    Attributes:
        kind: which kind of thing.
        key: its key in the specs.
        name: as readers see it; unique per kind in a workbook.
        document: what DataLens stores, without password; other entries by reference.
    """

    kind: Kind
    key: str
    name: str
    document: dict[str, Any]

    @property
    def reference(self) -> str:
        """How other documents name it."""
        return f"{_PREFIXES[self.kind]}_{self.key}"

    @cached_property
    def digest(self) -> str:
        """Changes when the document does."""
        text = json.dumps([self.name, self.document], ensure_ascii=False, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def with_ids(self, ids: Mapping[str, str]) -> dict[str, Any]:
        """The document with ids of the server instead of references."""
        found: dict[str, Any] = _replaced(self.document, ids)
        return found


def _replaced(part: Any, ids: Mapping[str, str]) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(part, dict):
        return {key: _replaced(value, ids) for key, value in part.items()}
    if isinstance(part, list):
        return [_replaced(value, ids) for value in part]
    return ids.get(part, part) if isinstance(part, str) else part


def entries(specs: Specs, tables: Tables, place: Place, rules: RowRules) -> tuple[Entry, ...]:
    """Everything to publish, in the order of publishing.

    Args:
        specs: checked specs, those of one workbook (`Specs.part`).
        tables: the tables they were checked against.
        place: where DataLens finds the warehouse.
        rules: who sees which rows of the datasets that limit them.

    Raises:
        PublishError: a dataset limits its rows and has no rule. DataLens shows all rows of a dataset without rules, so
            it is not published at all.
    """
    found = [
        Entry("connection", key, one.name, {"type": "clickhouse", **connection_content(one, place)})
        for key, one in specs.connections.items()
    ]
    for key, dataset in specs.datasets.items():
        content = dataset_content(dataset, specs, tables, place) | {"rls2": _rls(dataset, rules)}
        for source in content["sources"]:
            source["connection_type"] = "clickhouse"
        found.append(Entry("dataset", key, content.pop("name"), {"dataset": content}))
    found += [Entry("chart", key, one.title, _chart(one, specs)) for key, one in specs.charts.items()]
    for key, dashboard in specs.dashboards.items():
        content = dash_content(dashboard, specs)
        data = {name: value for name, value in content["data"].items() if name != "schemeVersion"}
        document = {"entry": {"data": data, "meta": None, "annotation": content["annotation"]}}
        found.append(Entry("dashboard", key, content["name"], document))
    return tuple(found)


# --- who sees which rows ----------------------------------------------------------------------------------------------
def row_rules(
    specs: Specs,
    access: Iterable[tuple[int, int]],
    users: Mapping[int, str],
    values: Callable[[Dataset], Iterable[str]],
    see_all: Iterable[int] = (),
) -> dict[str, list[tuple[str, str]]]:
    """Who sees which rows of each dataset that limits them.

    Args:
        specs: those of one workbook.
        access: employee and department that he may look at, as in mart.user_access.
        users: employee to his id in DataLens; who is missing sees nothing.
        values: the pairs or departments that the guarded field of a dataset has now.
        see_all: employees who see the rows of all departments, but never another person's own ratings.
    """
    heads = defaultdict(set)
    for employee, department in access:
        if employee in users:
            heads[department].add(employee)
    found: dict[str, list[tuple[str, str]]] = {}
    for key, dataset in specs.datasets.items():
        if dataset.row_access is None:
            continue
        if dataset.row_access.by == "ratee":
            seen = {(user, str(employee)) for employee, user in users.items()}
        else:
            everything = {users[employee] for employee in see_all if employee in users}
            # Also of tables that hold no row yet: without a rule their first rows would be open to everybody.
            by_pair = dataset.row_access.by == "department_pair"
            own = {f"{one}-{one}" if by_pair else str(one) for one in heads}
            pairs = own | set(values(dataset))
            seen = {
                (users[employee], value)
                for value in pairs
                for department in value.split("-")
                for employee in heads.get(int(department), ())
            }
            seen = {rule for rule in seen if rule[0] not in everything} | {(user, EVERYTHING) for user in everything}
        found[key] = sorted(seen)
    return found


def _rls(dataset: Dataset, rules: RowRules) -> dict[str, list[dict[str, Any]]]:
    if dataset.row_access is None:
        return {}
    given = rules.get(dataset.key, ())
    if not given:
        raise PublishError(
            f"Nobody in the file of DataLens users may see a row of the dataset {dataset.name!r}. DataLens would show "
            "all of its rows to everybody who opens the workbook, so nothing is published: add the people who may look "
            "at it to datalens.users."
        )
    field = guid_of(dataset, dataset.row_access.field)
    return {
        field: [
            {
                "field_guid": field,
                **(
                    {"pattern_type": "all"}
                    if value == EVERYTHING
                    else {"pattern_type": "value", "allowed_value": value}
                ),
                # Named by his id: a login would put names of people into documents.
                "subject": {"subject_type": "user", "subject_id": user, "subject_name": user},
            }
            for user, value in given
        ]
    }


# --- charts -----------------------------------------------------------------------------------------------------------
_VISUALIZATIONS = {
    "indicator": "metric", "line": "line", "column": "column", "bar": "bar", "bar_100": "bar100p", "points": "scatter",
    "table": "flatTable", "matrix": "pivotTable",
}  # fmt: skip
_TRAFFIC_LIGHT = {
    "colorMode": "gradient", "gradientMode": "3-point", "gradientPalette": "red-orange-green",
    "thresholdsMode": "manual", "leftThreshold": "0.5", "middleThreshold": "0.75", "rightThreshold": "1",
}  # fmt: skip


def _chart(chart: Chart, specs: Specs) -> dict[str, Any]:
    dataset = specs.datasets[chart.dataset]
    filters = [_filter(dataset, key, values) for key, values in scope_filter(chart, dataset)]
    data = {
        "sources": {"datasetsIds": [_of(dataset)], **({"filters": filters} if filters else {})},
        "visualization": {"type": _VISUALIZATIONS[chart.kind], **_slots(chart, dataset)},
    }
    return {"entry": {"type": "graph_wizard_node", "data": data, "annotation": {"description": chart.note}}}


def _of(dataset: Dataset) -> str:
    return f"{_PREFIXES['dataset']}_{dataset.key}"


def _item(dataset: Dataset, key: str) -> dict[str, Any]:
    one = dataset.field(key)
    item: dict[str, Any] = {"guid": guid_of(dataset, key), "datasetId": _of(dataset)}
    if one.format in FORMATTING:
        item["formatting"] = FORMATTING[one.format]
    if one.format in DATE_FORMATS:
        item["format"] = DATE_FORMATS[one.format]
    return item


def _slot(dataset: Dataset, keys: Iterable[str | None], settings: Mapping[str, Any] | None = None) -> dict[str, Any]:
    items = [_item(dataset, key) for key in keys if key]
    return {"items": items} if settings is None else {"items": items, "settings": dict(settings)}


def _slots(chart: Chart, dataset: Dataset) -> dict[str, Any]:
    """Slots by name. The API has none for tooltips: what a figure stands on is written at the mark as its label."""
    color = _slot(dataset, [chart.color], {})
    labels = _slot(dataset, [chart.support if chart.support not in chart.measures else None])
    sort = {
        "items": [
            {"guid": guid_of(dataset, one.field), "datasetId": _of(dataset), "direction": one.direction.upper()}
            for one in chart.sort
        ]
    }
    match chart.kind:
        case "indicator":
            return {"measures": {"items": [{"guid": guid_of_said(dataset, chart), "datasetId": _of(dataset)}]}}
        case "line" | "column":
            x, y = _slot(dataset, [chart.x], {}), _slot(dataset, chart.measures, {})
            return {"x": x, "y": y, "colors": color, "labels": labels, "sort": sort}
        case "bar" | "bar_100":
            y, x = _slot(dataset, [chart.y], {}), _slot(dataset, chart.measures, {})
            return {"y": y, "x": x, "colors": color, "labels": labels, "sort": sort}
        case "points":
            middle = chart.measures[len(chart.measures) // 2]
            x, y = _slot(dataset, [middle], {}), _slot(dataset, [chart.y], {})
            return {"x": x, "y": y, "colors": color, "size": _slot(dataset, [chart.support], {}), "sort": sort}
        case "matrix":
            shown = tuple(dict.fromkeys((*chart.measures, chart.support)))
            return {
                "columns": _slot(dataset, chart.columns),
                "rows": _slot(dataset, chart.rows),
                "measures": _slot(dataset, shown),
                "colors": _slot(dataset, chart.measures, _TRAFFIC_LIGHT),
                "sort": sort,
            }
        case "table":
            settings = {"limit": chart.limit, "pagination": "on"}
            return {"columns": _slot(dataset, chart.columns), "sort": sort, "chartSettings": settings}


def _filter(dataset: Dataset, key: str, values: Sequence[str]) -> dict[str, Any]:
    # Values of a filter are codes, and a labelled field shows words.
    guid = guid_of_code(dataset, key) if dataset.field(key).labels else guid_of(dataset, key)
    return {
        "guid": guid, "datasetId": _of(dataset), "filter": {"operation": {"code": "IN"}, "value": list(values)},
    }  # fmt: skip
