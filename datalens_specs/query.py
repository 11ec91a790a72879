"""Specs as ClickHouse SQL: one cheap query on one mart.

Belongs here: a chart as a grouped query, a dataset's columns as the preview takes them. Does not belong here: running
it (the caller has the warehouse), drawing the answer (`drawing.py`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from datalens_specs.formula import Node, to_sql
from datalens_specs.specs import Chart, Dataset, DatasetField

_AGGREGATES = {
    "sum": "sumOrNull", "avg": "avg", "min": "min", "max": "max", "count": "count", "countunique": "uniqExact",
}  # fmt: skip


def field_sql(dataset: Dataset, one: DatasetField) -> str:
    """The field's expression over its table; names come from checked specs, never from a reader."""
    if one.column is not None:
        # Qualified: a measure may have the name of the column it sums up.
        column = f"source.`{one.column}`"
        if one.type == "string":
            # toString of a LowCardinality or a number: what DataLens does when a field is cast.
            column = f"toString({column})"
        return f"{_AGGREGATES[one.aggregation]}({column})" if one.aggregation != "none" else column
    tree = one.tree
    assert tree is not None, "a field has a column or a formula"  # noqa: S101 - the model checks it
    expression = to_sql(tree, lambda title: field_sql(dataset, dataset.titled(title)))
    # A comparison is 0 or 1 in ClickHouse, true or false for everybody else.
    return f"toBool({expression})" if one.type == "boolean" else expression


def plain_fields(dataset: Dataset, keys: Collection[str]) -> list[DatasetField]:
    """The columns that these fields need, formulas resolved; in the dataset's order."""
    needed: set[str] = set()
    for key in keys:
        one = dataset.field(key)
        tree = one.tree
        if tree is None:
            needed.add(key)
        else:
            needed |= {plain.key for plain in plain_fields(dataset, [dataset.titled(t).key for t in tree.fields])}
    return [one for one in dataset.fields if one.key in needed]


def columns_sql(dataset: Dataset, keys: Collection[str], limit: int) -> str:
    """All rows of the columns that these fields need, each named by its key."""
    plain = plain_fields(dataset, keys)
    listed = ", ".join(f"{field_sql(dataset, one)} AS `{one.key}`" for one in plain)
    # In a fixed order, so that the same data gives the same page.
    return f"SELECT {listed} FROM {dataset.table} AS source ORDER BY ALL LIMIT {limit:d}"  # noqa: S608 - checked names


def scope_filter(chart: Chart, dataset: Dataset) -> list[tuple[str, tuple[str, ...]]]:
    """All filters of a chart as field key and values, its scope the first."""
    filters = [(one.field, one.values) for one in chart.filters]
    if chart.scope is not None:
        key = next(one.key for one in dataset.fields if one.column == "scope")
        filters.insert(0, (key, (chart.scope,)))
    return filters


def chart_sql(
    chart: Chart, dataset: Dataset, selected: Mapping[str, Sequence[str]] | None = None
) -> tuple[str, dict[str, list[str]]]:
    """What a chart asks of the warehouse.

    Args:
        chart: of this dataset.
        dataset: its dataset.
        selected: field to the values a reader chose, as text; dates as ISO days.

    Returns:
        The statement with bound parameters and their values. Its columns are named by field keys.
    """
    is_table = chart.kind == "table"
    keys = chart.columns if is_table else (*chart.dimensions, *chart.measures, *chart.interval, chart.support or "")
    keys = tuple(dict.fromkeys(key for key in keys if key))
    listed = ", ".join(f"{_selected(chart, dataset, key)} AS `{key}`" for key in keys)
    parameters: dict[str, list[str]] = {}
    conditions = []
    chosen = [*scope_filter(chart, dataset), *((key, tuple(values)) for key, values in (selected or {}).items())]
    for number, (key, values) in enumerate(chosen):
        name = f"values_{number}"
        conditions.append(f"toString({field_sql(dataset, dataset.field(key))}) IN {{{name}:Array(String)}}")
        parameters[name] = list(values)
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    groups = ", ".join(field_sql(dataset, dataset.field(key)) for key in chart.dimensions)
    group = f" GROUP BY {groups}" if groups and not is_table else ""
    order = ", ".join(f"`{one.field}` {one.direction.upper()} NULLS LAST" for one in chart.sort if one.field in keys)
    order = f" ORDER BY {order}" if order else ""
    sql = f"SELECT {listed} FROM {dataset.table} AS source{where}{group}{order} LIMIT {chart.limit:d}"  # noqa: S608 - as above
    return sql, parameters


def _selected(chart: Chart, dataset: Dataset, key: str) -> str:
    one = dataset.field(key)
    expression = field_sql(dataset, one)
    if key == chart.support and not one.is_measure and chart.kind != "table":
        # A band of raters: the smallest one of what stands behind the figure.
        return f"min({expression})"
    return expression


def tree_of(dataset: Dataset, one: DatasetField) -> list[object]:
    """The field for the page: a formula over keys of plain columns."""
    tree = one.tree
    if tree is not None:
        return tree.tree(lambda title: dataset.titled(title).key)
    plain = Node("field", one.key)
    if one.aggregation == "none":
        return plain.tree(str)
    name = {"countunique": "COUNTD"}.get(one.aggregation, one.aggregation.upper())
    return Node("call", name, (plain,)).tree(str)
