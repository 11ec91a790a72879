"""Charts as pictures, for whoever looks at a run and has no dashboard open.

Belongs here: a chart's rows as its drawing takes them, the picture. Does not belong here: marks and axes
(`drawing.py`), which charts get a picture (`picture` in their spec).
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from typing import Any

from datalens_specs.drawing import drawing
from datalens_specs.query import chart_sql
from datalens_specs.specs import Chart, Dataset, DatasetField
from datalens_specs.workbook import NONE

WIDTH, HEIGHT = 640, 280
"""In pixels: fits the page of an asset."""
MOST_BANDS = 2
"""Bands of more lines hide each other."""
MOST_COLORS = 8
"""More lines than that cannot be told apart; those with most rows are drawn."""

_MONTHS = ("янв", "фев", "мар", "апр", "май", "июн", "июл", "авг", "сен", "окт", "ноя", "дек")

Run = Callable[[str, Mapping[str, Sequence[str]]], Sequence[Mapping[str, Any]]]
"""Runs a statement with its parameters and returns its rows."""


def picture(chart: Chart, dataset: Dataset, run: Run) -> str:
    """The chart as Markdown with a PNG in it, or as words if there is nothing to draw.

    Args:
        chart: of a kind in `DRAWN`.
        dataset: its dataset.
        run: of the warehouse.
    """
    rows = run(*chart_sql(chart, dataset))
    known = [row for row in rows if all(row[key] is not None for key in chart.measures)]
    if not known:
        return NONE
    # Costs half a second, which runs without a picture should not pay.
    import vl_convert

    spec = drawing(chart, dataset) | {"width": WIDTH, "height": HEIGHT, "background": "white"}
    spec["data"] = {"name": "rows", "values": _rows(chart, dataset, _fewer(chart, known))}
    png = vl_convert.vegalite_to_png(spec, format_locale="ru-RU")
    return f"![{chart.title}](data:image/png;base64,{base64.b64encode(png).decode()})"


def _fewer(chart: Chart, rows: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    if chart.color is None or chart.colors:
        return rows
    names = [row[chart.color] for row in rows]
    kept = sorted(set(names), key=lambda name: (-names.count(name), str(name)))[:MOST_COLORS]
    return [row for row in rows if row[chart.color] in kept]


def _rows(chart: Chart, dataset: Dataset, rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    drawn = []
    for row in rows:
        one: dict[str, Any] = {
            slot: _text(dataset.field(key), row[key])
            for slot, key in (("x", chart.x), ("y", chart.y), ("c", chart.color), ("n", chart.support))
            if key
        }
        for number, key in enumerate(chart.measures):
            one[f"m{number}"] = float(row[key])
            one[f"t{number}"] = _text(dataset.field(key), row[key])
        if chart.interval and len({row[chart.color] for row in rows if chart.color}) <= MOST_BANDS:
            one["lo"], one["hi"] = (row[key] for key in chart.interval)
            one["i"] = " – ".join(_text(dataset.field(key), row[key]) for key in chart.interval)
        one["label"] = one["t0"] if chart.support in (None, chart.measures[0]) else f"{one['t0']}  ·  n = {one['n']}"
        drawn.append(one)
    return drawn


def _text(field: DatasetField, value: Any) -> str:  # noqa: ANN401 - whatever a column holds
    if value is None:
        return NONE
    if isinstance(value, date):
        return f"{_MONTHS[value.month - 1]} {value:%y}" if field.format == "month" else f"{value:%d.%m.%Y}"
    if isinstance(value, float | int) and not isinstance(value, bool):
        digits = {"percent": 0, "score": 2, "decimal": 1}.get(field.format, 0)
        figure = f"{value * 100:.0f} %" if field.format == "percent" else f"{value:,.{digits}f}"
        return figure.replace(",", " ").replace(".", ",")
    return field.labels.get(str(value), str(value)) if isinstance(field.labels, dict) else str(value)
