"""The specs as one web page over the warehouse: for whoever has no DataLens, and to look before publishing.

Belongs here: which rows the page takes along, the page as one file that needs no network. Does not belong here: how
figures are reckoned and shown in the browser (`page/page.js`), the warehouse (the caller runs the queries).

The page reads `mart`; dashboards of audience `hr` are in it only if asked for. It knows no row-level security: who may
open it sees all of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from importlib.resources import files
from typing import Any

from datalens_specs.drawing import drawing
from datalens_specs.query import columns_sql, plain_fields, scope_filter, tree_of
from datalens_specs.specs import DRAWN, Chart, Dashboard, Dataset, DatasetField, Selector, Specs

MOST_ROWS = 200_000
"""Of one dataset in the page; a company of 500 people with 14 months stays below it."""

Run = Callable[[str], Mapping[str, list[Any]]]
"""Runs a statement and returns its columns."""

_CONTENT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
"""Nothing may be asked of any host. Vega compiles its expressions, hence unsafe-eval; all scripts are in the file."""


class PreviewError(Exception):
    """A page that cannot be written; the message says why and what to do."""


def page(specs: Specs, run: Run, *, with_hr: bool = False, read_on: date) -> str:
    """The page as one HTML file.

    Args:
        specs: checked specs.
        run: of the warehouse.
        with_hr: whether dashboards for HR are in it.
        read_on: day shown as the day the figures were read.

    Raises:
        PreviewError: if a dataset has more rows than a page can hold.
    """
    import vl_convert

    shown = [one for one in specs.dashboards.values() if with_hr or one.audience != "hr"]
    charts = {i.chart: specs.charts[i.chart] for one in shown for tab in one.tabs for i in tab.items if i.chart}
    content = {
        "dashboards": [_dashboard(one) for one in shown],
        "charts": {key: _chart(one, specs.datasets[one.dataset]) for key, one in charts.items()},
        "datasets": {
            key: _dataset(specs.datasets[key], keys, run) for key, keys in _used(shown, charts.values()).items()
        },
        "readOn": read_on.isoformat(),
        "numberLocale": vl_convert.get_format_locale("ru-RU"),
    }
    # None: the whole of Vega, Vega-Lite and Vega-Embed; the stub forgets that the snippet is optional.
    vega: str = vl_convert.javascript_bundle(None)  # type: ignore[arg-type]
    folder = files("datalens_specs").joinpath("page")
    parts = {
        "{{policy}}": _CONTENT_POLICY,
        "{{style}}": folder.joinpath("page.css").read_text(encoding="utf-8"),
        "{{vega}}": vega.replace("</script", "<\\/script"),
        # "<" alone can end the script or begin a comment in it: no text of a rating may.
        "{{content}}": json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        "{{script}}": folder.joinpath("page.js").read_text(encoding="utf-8"),
    }
    head, *rest = folder.joinpath("page.html").read_text(encoding="utf-8").split("{{")
    pieces = [head]
    for piece in rest:
        name, _, after = piece.partition("}}")
        pieces += [parts["{{" + name + "}}"], after]
    return "".join(pieces)


def _used(dashboards: Iterable[Dashboard], charts: Iterable[Chart]) -> dict[str, set[str]]:
    used: dict[str, set[str]] = {}
    for chart in charts:
        used.setdefault(chart.dataset, set()).update(chart.used)
    for dashboard in dashboards:
        for tab in dashboard.tabs:
            for selector in tab.selectors:
                for dataset, key in selector.fields.items():
                    used[dataset].add(key)
    return used


def _dataset(dataset: Dataset, keys: set[str], run: Run) -> dict[str, Any]:
    keys = keys | {one.key for one in dataset.fields if one.column == "scope"}
    columns = run(columns_sql(dataset, keys, MOST_ROWS + 1))
    if any(len(values) > MOST_ROWS for values in columns.values()):
        raise PreviewError(
            f"{dataset.table} has more than {MOST_ROWS} rows, too many for one page; look at it in DataLens instead."
        )
    plain = {one.key for one in plain_fields(dataset, keys)}
    return {
        "columns": {key: [_plain(value) for value in values] for key, values in columns.items()},
        "fields": {one.key: _field(dataset, one) for one in dataset.fields if one.key in keys | plain},
    }


def _field(dataset: Dataset, one: DatasetField) -> dict[str, Any]:
    return {
        "title": one.title,
        "type": one.type,
        "format": one.format,
        "labels": one.labels if isinstance(one.labels, dict) else {},
        "tree": tree_of(dataset, one),
        "isMeasure": one.is_measure,
    }


def _plain(value: object) -> object:
    return value.isoformat() if isinstance(value, date) else value


def _chart(chart: Chart, dataset: Dataset) -> dict[str, Any]:
    plain = chart.model_dump(mode="json", exclude={"key", "scope", "filters", "colors"})
    return plain | {
        "filters": [{"field": key, "values": list(values)} for key, values in scope_filter(chart, dataset)],
        "drawing": drawing(chart, dataset) if chart.kind in DRAWN else None,
    }


def _dashboard(dashboard: Dashboard) -> dict[str, Any]:
    return {
        "key": dashboard.key,
        "name": dashboard.name,
        "description": dashboard.description,
        "audience": dashboard.audience,
        "tabs": [
            {
                "key": tab.key,
                "title": tab.title,
                "selectors": [_selector(one) for one in tab.selectors],
                "items": [item.model_dump(mode="json") for item in tab.items],
            }
            for tab in dashboard.tabs
        ],
    }


def _selector(one: Selector) -> dict[str, Any]:
    return one.model_dump(mode="json")
