"""Charts as Vega-Lite: the same drawing for the preview page and for pictures.

Belongs here: marks, axes, colours. Does not belong here: figures (`query.py` for pictures, `page/page.js` for the
page), tables, matrices and single figures, which are HTML.

Rows that a drawing takes: `x`, `y`, `c` (texts ready to read), `m0`.. `m2` (figures), `t0`.. `t2` (the same, as text),
`n` (what they stand on, as text); with an interval `lo`, `hi` and, as text, `i`.
"""

from __future__ import annotations

from typing import Any

from datalens_specs.specs import Chart, Dataset, DatasetField

PALETTE = [
    "#2f6fde", "#e07b39", "#1d9a8a", "#b0479a", "#8a8f2c", "#6b5bd2", "#c2473d", "#4a8fb5", "#997049", "#5f8f4e",
    "#d99ac0", "#c9b037", "#7fb7e8", "#7a7f8a",
]  # fmt: skip
MEANINGS = {"good": "#1d9a8a", "normal": "#6f87a8", "bad": "#d1553f", "little": "#b9bec7"}
"""One meaning, one colour, on every dashboard; red and green differ in lightness too."""


def drawing(chart: Chart, dataset: Dataset) -> dict[str, Any]:
    """The Vega-Lite specification of a chart without its data, whose name is `rows`."""
    first = dataset.field(chart.measures[0])
    spec: dict[str, Any] = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "data": {"name": "rows", "values": []},
        "width": "container",
        "height": "container",
        "autosize": {"type": "fit", "contains": "padding", "resize": True},
        "config": {"legend": {"orient": "bottom", "columns": 3, "labelLimit": 240, "title": None}},
    }
    horizontal = chart.kind in ("bar", "bar_100", "points")
    category = dataset.field((chart.y if horizontal else chart.x) or "")
    tooltip = _tooltip(chart, dataset, category)
    if chart.kind == "points":
        return spec | _points(chart, first, tooltip)
    value: dict[str, Any] = {
        "field": "m0",
        "type": "quantitative",
        "axis": _value_axis(first),
        "title": None,
        **_scale(first, zero=chart.kind != "line"),
    }
    if chart.kind == "bar_100":
        value |= {"stack": "normalize", "axis": {"format": ".0%", "tickCount": 5}, "scale": {"domain": [0, 1]}}
    encoding: dict[str, Any] = {
        "y" if horizontal else "x": _category(horizontal=horizontal),
        "x" if horizontal else "y": value,
        "tooltip": tooltip,
    }
    if chart.color is not None:
        encoding["color"] = _color(chart, dataset)
    mark: dict[str, Any] = {"type": "bar", "cornerRadiusEnd": 3, "color": PALETTE[0]}
    if chart.kind == "line":
        mark = {"type": "line", "point": {"size": 42, "filled": True}, "strokeWidth": 2.2, "interpolate": "monotone"}
    if chart.kind == "bar" and chart.color is None:
        labels = {"mark": {"type": "text", "align": "left", "dx": 4}, "encoding": {"text": {"field": "label"}}}
        plain = {axis: encoding[axis] for axis in ("x", "y")}
        return spec | {"encoding": plain, "layer": [{"mark": mark, "encoding": {"tooltip": tooltip}}, labels]}
    if chart.interval:
        # Beside the line, not in the tooltip alone: a step inside the band is no news. The bar is for single points.
        bounds = {"y": {**value, "field": "lo"}, "y2": {"field": "hi"}}
        band = {"mark": {"type": "area", "opacity": 0.14, "interpolate": "monotone"}, "encoding": bounds}
        bar = {"mark": {"type": "rule", "opacity": 0.5, "strokeWidth": 1.5}, "encoding": bounds}
        shared = {name: part for name, part in encoding.items() if name not in ("y", "tooltip")}
        if "color" in shared:
            shared["color"] = {**shared["color"], "legend": {"symbolOpacity": 1}}
        line = {"mark": mark, "encoding": {"y": encoding["y"], "tooltip": tooltip}}
        return spec | {"encoding": shared, "layer": [band, bar, line]}
    return spec | {"mark": mark, "encoding": encoding}


def _points(chart: Chart, first: DatasetField, tooltip: list[dict[str, str]]) -> dict[str, Any]:
    last = f"m{len(chart.measures) - 1}"
    middle = "m1" if len(chart.measures) == 3 else "m0"
    x = {"type": "quantitative", "axis": _value_axis(first), "title": None, **_scale(first, zero=False)}
    color = _meaning(chart) if chart.color is not None else {"value": PALETTE[0]}
    return {
        "encoding": {"y": _category(horizontal=True), "tooltip": tooltip, "color": color},
        "layer": [
            {
                "mark": {"type": "rule", "strokeWidth": 3, "opacity": 0.45},
                "encoding": {"x": {**x, "field": "m0"}, "x2": {"field": last}},
            },
            {
                "mark": {"type": "point", "filled": True, "size": 70, "opacity": 1},
                "encoding": {"x": {**x, "field": middle}},
            },
        ],
    }


def _category(*, horizontal: bool) -> dict[str, Any]:
    axis: dict[str, Any] = {"labelLimit": 190, "title": None, "ticks": False, "domain": False, "grid": False}
    if not horizontal:
        axis |= {"labelAngle": 0, "labelOverlap": "greedy"}
    # The rows come in the order they are to stand in.
    return {"field": "y" if horizontal else "x", "type": "ordinal", "sort": None, "axis": axis}


def _color(chart: Chart, dataset: Dataset) -> dict[str, Any]:
    if chart.colors:
        return _meaning(chart, dataset.field(chart.color or "").labels)
    return {"field": "c", "type": "nominal", "scale": {"range": PALETTE}}


def _meaning(chart: Chart, labels: dict[str, str] | str | None = None) -> dict[str, Any]:
    words = labels if isinstance(labels, dict) else {}
    return {
        "field": "c",
        "type": "nominal",
        "scale": {
            "domain": [words.get(value, value) for value in chart.colors],
            "range": [MEANINGS[meaning] for meaning in chart.colors.values()],
        },
    }


def _value_axis(one: DatasetField) -> dict[str, Any]:
    formats = {"percent": ".0%", "score": ".1f", "number": ",~f", "decimal": ",~f"}
    return {"format": formats.get(one.format, ""), "tickCount": 5, "domain": False, "ticks": False}


def _scale(one: DatasetField, *, zero: bool) -> dict[str, Any]:
    # Shares 0..100 %, means 1..5, always: an axis that fits itself makes noise look like news.
    if one.format == "percent":
        return {"scale": {"domain": [0, 1]}}
    if one.format == "score":
        return {"scale": {"domain": [1, 5]}}
    return {"scale": {"zero": zero}}


def _tooltip(chart: Chart, dataset: Dataset, category: DatasetField) -> list[dict[str, str]]:
    horizontal = chart.kind in ("bar", "bar_100", "points")
    shown = [{"field": "y" if horizontal else "x", "title": category.title}]
    if chart.color is not None:
        shown.append({"field": "c", "title": dataset.field(chart.color).title})
    shown += [{"field": f"t{n}", "title": dataset.field(key).title} for n, key in enumerate(chart.measures)]
    if chart.interval:
        shown.append({"field": "i", "title": "Интервал"})
    if chart.support is not None and chart.support not in chart.measures:
        shown.append({"field": "n", "title": dataset.field(chart.support).title})
    return shown
