"""What people see, as YAML that can be reviewed: the models, how the files are read, and what is wrong with them.

Belongs here: shapes of connections, datasets, charts and dashboards; every check that needs no server. Does not belong
here: what a spec becomes in DataLens (`publish.py`, `workbook.py`) or in a browser (`preview.py`), where columns and
words come from (the caller gives the tables of the warehouse and the titles of the configuration).

A spec holds no id of any server: things refer to each other by keys of their own, and are found in DataLens by name.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from datalens_specs.formula import FormulaError, Node, parse

FOLDER = Path(__file__).parent
KINDS = ("connections", "datasets", "charts", "dashboards")
DRAWN = frozenset({"line", "column", "bar", "bar_100", "points"})
"""Kinds of charts with a drawing; the others are figures and tables."""
PEOPLE = frozenset({"rater", "rater_id", "ratee", "ratee_id", "owner", "owner_id", "comment", "text"})
"""Columns that hold people, or what they wrote."""
COLUMNS = 36
"""Width of a dashboard in DataLens."""

Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Title = Annotated[str, Field(min_length=1, max_length=120)]
FieldType = Literal["string", "integer", "float", "date", "genericdatetime", "boolean"]
Format = Literal["text", "number", "decimal", "percent", "month", "day", "score"]
ChartKind = Literal["indicator", "line", "column", "bar", "bar_100", "points", "table", "matrix"]
Scope = Literal["open", "hidden", "named"]

# reference: DataLens's own map of ClickHouse types (dl_connector_clickhouse, type transformer).
_DATALENS_TYPES: tuple[tuple[str, FieldType], ...] = (
    (r"U?Int(8|16|32|64)", "integer"),
    (r"Float(32|64)|Decimal\(.*\)", "float"),
    (r"String|FixedString\(.*\)|Enum(8|16)\(.*\)", "string"),
    (r"Bool", "boolean"),
    (r"Date|Date32", "date"),
    (r"DateTime(\(.*\))?|DateTime64\(.*\)", "genericdatetime"),
)

HIDDEN_CUTS = {
    "mart.department_pair", "mart.rating_block", "mart.reason", "mart.rule_violation", "mart.coverage",
    "mart.comment_feed", "mart.agreement",
}  # fmt: skip
"""Tables whose hidden rows were released; nothing else may be shown of hidden ratings outside HR."""


class SpecError(Exception):
    """Specs that cannot be used; one line per mistake, each with file and line."""


class Model(BaseModel):
    """Strict, immutable, and an unknown key is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Connection(Model):
    """The one way to the warehouse; host, user and password come from the configuration."""

    key: Key
    name: Title
    type: Literal["clickhouse"] = "clickhouse"
    description: str = ""


class DatasetField(Model):
    """A column as it is, or a formula over titles of the same dataset."""

    key: Key
    title: Title
    column: str | None = None
    formula: str | None = None
    type: FieldType
    aggregation: Literal["none", "sum", "avg", "min", "max", "count", "countunique"] = "none"
    format: Format = "text"
    labels: dict[str, str] | str | None = None
    """Words for codes: a map, or the name of one that the caller knows (`processes`, `reasons`)."""
    description: str = ""
    hidden: bool = False

    @model_validator(mode="after")
    def _one(self) -> DatasetField:
        if (self.column is None) == (self.formula is None):
            raise ValueError("a field has either a column or a formula")
        if self.formula is not None:
            try:
                parse(self.formula)
            except FormulaError as error:
                raise ValueError(f"formula: {error}") from None
            if self.aggregation != "none":
                raise ValueError("a formula aggregates by itself: take aggregation away")
        if self.labels is not None and (self.column is None or self.type != "string"):
            raise ValueError("labels belong to a column of type string")
        return self

    @property
    def tree(self) -> Node | None:
        """The formula, read; None for a column."""
        return parse(self.formula) if self.formula is not None else None

    @property
    def is_measure(self) -> bool:
        """Whether it is one figure for many rows."""
        tree = self.tree
        return self.aggregation != "none" or (tree is not None and tree.aggregates)


class RowAccess(Model):
    """Who sees which rows in DataLens: values of a string field, by user.

    `ratee`: the value is the employee's own id. `department_pair`: the value is `<rater department>-<ratee
    department>`, and a head sees the pairs that touch a department mart.user_access gives him. `department`: the value
    is the number of one department, and a head sees his own.
    """

    field: Key
    by: Literal["ratee", "department_pair", "department"]


class Dataset(Model):
    """One table and the fields that charts may use."""

    key: Key
    name: Title
    connection: Key
    table: Annotated[str, Field(pattern=r"^(mart|hr)\.[a-z_]+$")]
    fields: Annotated[tuple[DatasetField, ...], Field(min_length=1)]
    row_access: RowAccess | None = None
    description: str = ""

    def field(self, key: str) -> DatasetField:
        """The field with this key; KeyError if there is none."""
        return self._by_key[key]

    def titled(self, title: str) -> DatasetField:
        """The field with this title; KeyError if there is none."""
        return self._by_title[title]

    @property
    def _by_key(self) -> dict[str, DatasetField]:
        return {one.key: one for one in self.fields}

    @property
    def _by_title(self) -> dict[str, DatasetField]:
        return {one.title: one for one in self.fields}


class Filter(Model):
    """Only rows whose field has one of the values; values are codes, as the column has them."""

    field: Key
    values: Annotated[tuple[str, ...], Field(min_length=1)]


class Sort(Model):
    """Order of rows or bars."""

    field: Key
    direction: Literal["asc", "desc"] = "asc"


class Chart(Model):
    """One tile: which fields of one dataset, drawn how.

    Slots by kind: indicator: `measures` (one); line, column: `x`, `measures`, `color`; bar, bar_100: `y`, `measures`
    (one), `color`; points: `y`, `measures` (up to three on one scale), `color`; table: `columns`; matrix: `rows`,
    `columns`, `measures` (one).
    """

    key: Key
    title: Title
    kind: ChartKind
    dataset: Key
    scope: Scope | None = None
    """Which rows of a table that holds both scopes: they are never added up."""
    x: Key | None = None
    y: Key | None = None
    rows: tuple[Key, ...] = ()
    columns: tuple[Key, ...] = ()
    measures: tuple[Key, ...] = ()
    interval: tuple[Key, Key] | tuple[()] = ()
    """Of a line: lower and upper bound of its measure. DataLens draws none; the page and pictures do."""
    color: Key | None = None
    colors: dict[str, Literal["good", "normal", "bad", "little"]] = Field(default_factory=dict)
    """Values of `color` that mean something; one meaning has one colour on all dashboards."""
    support: Key | None = None
    """What the figure stands on: the number of ratings, or the band of raters."""
    sort: tuple[Sort, ...] = ()
    filters: tuple[Filter, ...] = ()
    limit: Annotated[int, Field(ge=1, le=10_000)] = 1000
    picture: bool = False
    """Whether each run keeps a picture of it, for engineers; for charts without people in them."""
    note: str = ""
    """What the tile answers and how to read it; DataLens shows it behind a question mark."""

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Keys of the fields rows are grouped by, unless it is a table."""
        return tuple(dict.fromkeys(k for k in (self.x, self.y, *self.rows, *self.columns, self.color) if k))

    @property
    def used(self) -> tuple[str, ...]:
        """Keys of all fields it uses, each once."""
        named = (
            *self.dimensions,
            *self.measures,
            *self.interval,
            self.support,
            *(one.field for one in self.sort),
            *(one.field for one in self.filters),
        )
        return tuple(dict.fromkeys(key for key in named if key))


class Place(Model):
    """Where something stands in the grid of 36 columns; a row is about 18 px high."""

    x: Annotated[int, Field(ge=0, lt=COLUMNS)]
    y: Annotated[int, Field(ge=0)]
    w: Annotated[int, Field(ge=1, le=COLUMNS)]
    h: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _inside(self) -> Place:
        if self.x + self.w > COLUMNS:
            raise ValueError(f"x + w is {self.x + self.w}: a dashboard is {COLUMNS} columns wide")
        return self

    def overlaps(self, other: Place) -> bool:
        """Whether the two cover a common cell."""
        return (
            self.x < other.x + other.w
            and other.x < self.x + self.w
            and self.y < other.y + other.h
            and other.y < self.y + self.h
        )


class Item(Model):
    """A chart, a heading or a paragraph in its place."""

    key: Key
    chart: Key | None = None
    heading: str | None = None
    text: str | None = None
    at: Place

    @model_validator(mode="after")
    def _one(self) -> Item:
        if sum(part is not None for part in (self.chart, self.heading, self.text)) != 1:
            raise ValueError("an item is a chart, a heading or a text")
        return self


class Selector(Model):
    """What a reader chooses; it filters each dataset that it names a field of.

    A `list` gives values to choose from, `months` a range of months; `last` is how many months the range has at first.
    """

    key: Key
    title: Title
    kind: Literal["list", "months"] = "list"
    fields: Annotated[dict[Key, Key], Field(min_length=1)]
    """Dataset to field; the first one gives the values."""
    multiple: bool = True
    default: tuple[str, ...] = ()
    last: Annotated[int | None, Field(ge=1, le=36)] = None

    @model_validator(mode="after")
    def _fits(self) -> Selector:
        if (self.kind == "months") != (self.last is not None):
            raise ValueError("last belongs to kind months, and months need it")
        if self.default and self.kind == "months":
            raise ValueError("a range of months begins with its last months, not with a default")
        if len(self.default) > 1 and not self.multiple:
            raise ValueError("several defaults need multiple: true")
        return self


class Tab(Model):
    """One page of a dashboard: a row of selectors on top, items below."""

    key: Key
    title: Title
    selectors: tuple[Selector, ...] = ()
    items: Annotated[tuple[Item, ...], Field(min_length=1)]


class Dashboard(Model):
    """Tabs with one question and one audience."""

    key: Key
    name: Title
    description: str
    audience: Literal["heads", "hr", "quality", "ratee"]
    order: int
    tabs: Annotated[tuple[Tab, ...], Field(min_length=1)]


@dataclass(frozen=True)
class Column:
    """A column of the warehouse as ClickHouse names its type."""

    name: str
    type: str
    comment: str = ""

    @property
    def datalens_type(self) -> FieldType | None:
        """What DataLens makes of it; None if it cannot select it."""
        for pattern, name in _DATALENS_TYPES:
            if re.fullmatch(pattern, self.bare_type):
                return name
        return None

    @property
    def bare_type(self) -> str:
        """The type without Nullable and LowCardinality."""
        bare = self.type
        while match := re.fullmatch(r"(?:Nullable|LowCardinality)\((.*)\)", bare):
            bare = match[1]
        return bare


Tables = Mapping[str, Sequence[Column]]
"""`database.table` to its columns."""


@dataclass(frozen=True)
class Specs:
    """All specs of a folder, checked."""

    connections: Mapping[str, Connection]
    datasets: Mapping[str, Dataset]
    charts: Mapping[str, Chart]
    dashboards: Mapping[str, Dashboard]

    def part(self, *, for_hr: bool) -> Specs:
        """The dashboards for HR, or all others, with just what they need: the two never share a workbook."""
        dashboards = {key: one for key, one in self.dashboards.items() if (one.audience == "hr") == for_hr}
        tabs = [tab for one in dashboards.values() for tab in one.tabs]
        charts = {i.chart: self.charts[i.chart] for tab in tabs for i in tab.items if i.chart}
        used = {chart.dataset for chart in charts.values()}
        used |= {name for tab in tabs for selector in tab.selectors for name in selector.fields}
        datasets = {key: one for key, one in self.datasets.items() if key in used}
        return Specs(self.connections, datasets, charts, dashboards)


@dataclass
class _File:
    """A file as read: data, and the line of every part of it."""

    name: str
    data: Any
    lines: dict[tuple[str | int, ...], int]

    def where(self, path: Sequence[str | int]) -> str:
        """`file:line` of the nearest part that is written there."""
        at = tuple(path)
        while at and at not in self.lines:
            at = at[:-1]
        return f"{self.name}:{self.lines.get(at, 1)}"


@dataclass
class _Trouble:
    lines: list[str] = field(default_factory=list)

    def add(self, file: _File, path: Sequence[str | int], sentence: str) -> None:
        self.lines.append(f"{file.where(path)}: {sentence}")


def load(tables: Tables, words: Mapping[str, Mapping[str, str]], folder: Path = FOLDER) -> Specs:
    """Reads and checks all specs of a folder.

    Args:
        tables: the warehouse's tables, from its DDL.
        words: names that `labels` may use, each with code to word; they are filled in.
        folder: with `connections`, `datasets`, `charts` and `dashboards` in it.

    Raises:
        SpecError: one line per mistake, with file and line.
    """
    trouble = _Trouble()
    found: dict[str, dict[str, tuple[Any, _File]]] = {kind: {} for kind in KINDS}
    models: dict[str, type[Connection | Dataset | Chart | Dashboard]] = {
        "connections": Connection,
        "datasets": Dataset,
        "charts": Chart,
        "dashboards": Dashboard,
    }
    for kind in KINDS:
        for path in sorted((folder / kind).glob("**/*.yaml")):
            file = _read(path, folder, trouble)
            if file is None:
                continue
            for number, raw in enumerate(file.data):
                try:
                    one = models[kind].model_validate(_with_words(raw, words))
                except ValidationError as error:
                    _explain(error, file, number, trouble)
                    continue
                file_of_one = _File(file.name, raw, _below(file.lines, number))
                if one.key in found[kind]:
                    other = found[kind][one.key][1].where(("key",))
                    trouble.add(file_of_one, ("key",), f"the key {one.key!r} is taken by {other}")
                found[kind][one.key] = (one, file_of_one)
        if not found[kind] and not trouble.lines:
            trouble.lines.append(f"{kind}: there is no spec in {folder / kind}")
    if not trouble.lines:
        _check(found, tables, trouble)
    if trouble.lines:
        raise SpecError("\n".join(trouble.lines))
    parts = {kind: {key: one for key, (one, _) in entries.items()} for kind, entries in found.items()}
    dashboards = dict(sorted(parts["dashboards"].items(), key=lambda entry: entry[1].order))
    return Specs(parts["connections"], parts["datasets"], parts["charts"], dashboards)


def _with_words(raw: object, words: Mapping[str, Mapping[str, str]]) -> object:
    if not isinstance(raw, dict) or not isinstance(raw.get("fields"), list):
        return raw
    fields = [
        {**one, "labels": dict(words[one["labels"]])}
        if isinstance(one, dict) and isinstance(one.get("labels"), str) and one["labels"] in words
        else one
        for one in raw["fields"]
    ]
    return {**raw, "fields": fields}


_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""Ten times as fast where PyYAML was built with libyaml: each run reads the specs."""
_SCALARS = yaml.SafeLoader("")


def _read(path: Path, folder: Path, trouble: _Trouble) -> _File | None:
    name = str(path.relative_to(folder))
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), Loader=_LOADER)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark is not None else 1
        trouble.lines.append(f"{name}:{line}: this is no YAML: {getattr(error, 'problem', None) or 'not UTF-8'}")
        return None
    if not isinstance(node, yaml.SequenceNode):
        trouble.lines.append(f"{name}:1: a file holds a list: begin each spec with '- key: …'")
        return None
    file = _File(name, None, {})
    file.data = _construct(node, (), file, trouble)
    return file


def _construct(node: yaml.Node, path: tuple[str | int, ...], file: _File, trouble: _Trouble) -> object:
    file.lines[path] = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = str(key_node.value)
            if key in result:
                trouble.lines.append(f"{file.name}:{key_node.start_mark.line + 1}: the key {key!r} stands here twice")
            result[key] = _construct(value_node, (*path, key), file, trouble)
            file.lines[(*path, key)] = key_node.start_mark.line + 1
        return result
    if isinstance(node, yaml.SequenceNode):
        return [_construct(child, (*path, number), file, trouble) for number, child in enumerate(node.value)]
    # A constructor without a stream: scalars alone reach it.
    return _SCALARS.construct_object(node)


def _below(lines: Mapping[tuple[str | int, ...], int], number: int) -> dict[tuple[str | int, ...], int]:
    return {path[1:]: line for path, line in lines.items() if path[:1] == (number,)}


def _explain(error: ValidationError, file: _File, number: int, trouble: _Trouble) -> None:
    for one in error.errors():
        path = (number, *one["loc"])
        key = ".".join(str(part) for part in one["loc"])
        said = one["msg"].removeprefix("Value error, ")
        if one["type"] == "extra_forbidden":
            said = "there is no such key"
        trouble.add(file, path, f"{key}: {said}" if key else said)


def _check(found: dict[str, dict[str, tuple[Any, _File]]], tables: Tables, trouble: _Trouble) -> None:
    for dataset, file in found["datasets"].values():
        _check_dataset(dataset, file, set(found["connections"]), tables, trouble)
    datasets = {key: one for key, (one, _) in found["datasets"].items()}
    for chart, file in found["charts"].values():
        _check_chart(chart, file, datasets, tables, trouble)
    charts = {key: one for key, (one, _) in found["charts"].items()}
    for dashboard, file in found["dashboards"].values():
        _check_dashboard(dashboard, file, datasets, charts, trouble)
    placed = {i.chart for one, _ in found["dashboards"].values() for tab in one.tabs for i in tab.items}
    for key, (_, file) in found["charts"].items():
        if key not in placed:
            trouble.add(file, ("key",), f"no dashboard shows the chart {key!r}: place it or take it away")
    for kind in KINDS:
        names = Counter(one.title if kind == "charts" else one.name for one, _ in found[kind].values())
        for one, file in found[kind].values():
            name = one.title if kind == "charts" else one.name
            if names[name] > 1:
                path = ("title",) if kind == "charts" else ("name",)
                trouble.add(file, path, f"{names[name]} {kind} are called {name!r}: DataLens finds them by name")


def _check_dataset(dataset: Dataset, file: _File, connections: set[str], tables: Tables, trouble: _Trouble) -> None:
    if dataset.connection not in connections:
        trouble.add(file, ("connection",), f"there is no connection {dataset.connection!r}")
    if dataset.table not in tables:
        trouble.add(file, ("table",), f"the warehouse has no table {dataset.table}")
        return
    for kind, count in (
        *(("key", (k, n)) for k, n in Counter(one.key for one in dataset.fields).items()),
        *(("title", (t, n)) for t, n in Counter(one.title for one in dataset.fields).items()),
    ):
        if count[1] > 1:
            number = max(n for n, one in enumerate(dataset.fields) if getattr(one, kind) == count[0])
            trouble.add(file, ("fields", number, kind), f"the {kind} {count[0]!r} is taken by another field")
    columns = {column.name: column for column in tables[dataset.table]}
    for number, one in enumerate(dataset.fields):
        _check_field(dataset, one, file, ("fields", number), columns, trouble)
    guardable = {column for one in dataset.fields if (column := one.column) and _tells_apart(column)}
    if dataset.row_access is None and dataset.table.startswith("mart.") and guardable:
        trouble.add(
            file,
            ("table",),
            f"{', '.join(sorted(guardable))} need row_access: without, every reader sees all departments",
        )
    if dataset.row_access is not None:
        guarded = next((one for one in dataset.fields if one.key == dataset.row_access.field), None)
        if guarded is None or guarded.type != "string" or guarded.is_measure:
            trouble.add(
                file, ("row_access", "field"), f"row access needs a string field, {dataset.row_access.field!r} is none"
            )


def _tells_apart(column: str) -> bool:
    return column in PEOPLE or column.removesuffix("_id") in ("department", "rater_department", "ratee_department")


def _check_field(
    dataset: Dataset,
    one: DatasetField,
    file: _File,
    path: tuple[str | int, ...],
    columns: Mapping[str, Column],
    trouble: _Trouble,
) -> None:
    if one.column is not None:
        column = columns.get(one.column)
        if column is None:
            trouble.add(file, (*path, "column"), f"{dataset.table} has no column {one.column!r}")
        elif column.datalens_type is None:
            trouble.add(file, (*path, "column"), f"DataLens cannot select {one.column!r}: its type is {column.type}")
        elif one.type != column.datalens_type and one.type != "string":
            trouble.add(
                file,
                (*path, "type"),
                f"{one.column!r} is {column.type}, which DataLens takes for {column.datalens_type}, not {one.type}",
            )
        if one.labels is not None and not isinstance(one.labels, dict):
            trouble.add(file, (*path, "labels"), f"there is no set of labels {one.labels!r}")
        return
    for title in one.tree.fields if one.tree else ():
        try:
            meant = dataset.titled(title)
        except KeyError:
            trouble.add(file, (*path, "formula"), f"the formula names [{title}], and no field has this title")
            continue
        if meant.formula is not None or meant.aggregation != "none":
            trouble.add(file, (*path, "formula"), f"the formula names [{title}], which is no plain column")


# Slot to the kinds that need it; measures: how many a kind takes.
_SLOTS = {
    "x": {"line", "column"},
    "y": {"bar", "bar_100", "points"},
    "rows": {"matrix"},
    "columns": {"matrix", "table"},
}
_MEASURES = {
    "indicator": (1, 1), "line": (1, 3), "column": (1, 3), "bar": (1, 1), "bar_100": (1, 1), "points": (1, 3),
    "table": (0, 0), "matrix": (1, 1),
}  # fmt: skip


def _check_chart(chart: Chart, file: _File, datasets: Mapping[str, Dataset], tables: Tables, trouble: _Trouble) -> None:
    dataset = datasets.get(chart.dataset)
    if dataset is None:
        trouble.add(file, ("dataset",), f"there is no dataset {chart.dataset!r}")
        return
    for slot, kinds in _SLOTS.items():
        if bool(getattr(chart, slot)) != (chart.kind in kinds):
            need = "needs" if chart.kind in kinds else "has no"
            trouble.add(file, (slot,) if getattr(chart, slot) else ("kind",), f"a {chart.kind} {need} {slot}")
    fewest, most = _MEASURES[chart.kind]
    if not fewest <= len(chart.measures) <= most:
        trouble.add(file, ("measures",), f"a {chart.kind} takes {fewest} to {most} measures")
    known = {one.key: one for one in dataset.fields}
    for key in chart.used:
        if key not in known:
            trouble.add(file, ("dataset",), f"the dataset {dataset.key!r} has no field {key!r}")
    if chart.picture and (chart.kind not in DRAWN or dataset.table.startswith("hr.") or _names_people(chart, known)):
        trouble.add(
            file, ("picture",), "a picture is of a line, column or bar chart of mart, by nothing that is a person"
        )
    _check_slots(chart, known, file, trouble)
    _check_scope(chart, dataset, file, tables, trouble)


def _names_people(chart: Chart, known: Mapping[str, DatasetField]) -> bool:
    columns = {known[key].column or "" for key in chart.used if key in known}
    return not columns.isdisjoint(PEOPLE)


def _check_slots(chart: Chart, known: Mapping[str, DatasetField], file: _File, trouble: _Trouble) -> None:
    if chart.interval and (chart.kind != "line" or len(chart.measures) != 1):
        trouble.add(file, ("interval",), "an interval belongs to the one measure of a line")
    for key in (*chart.measures, *chart.interval):
        if key in known and not known[key].is_measure:
            trouble.add(file, ("measures",), f"{key!r} is no measure: give it an aggregation or a formula that has one")
    if chart.kind != "table":
        for key in chart.dimensions:
            if key in known and known[key].is_measure:
                trouble.add(file, ("kind",), f"{key!r} is a measure and cannot divide a chart")
    if chart.kind != "table" and chart.support is None:
        trouble.add(file, ("kind",), "support is missing: every figure says what it stands on")


def _check_scope(chart: Chart, dataset: Dataset, file: _File, tables: Tables, trouble: _Trouble) -> None:
    has_scope = any(column.name == "scope" for column in tables.get(dataset.table, ()))
    if has_scope and chart.scope is None:
        trouble.add(file, ("kind",), f"{dataset.table} holds both scopes: say which one with scope:")
    if not has_scope and chart.scope is not None:
        trouble.add(file, ("scope",), f"{dataset.table} has no scopes: take scope away")
    if has_scope and not any(one.column == "scope" for one in dataset.fields):
        trouble.add(file, ("dataset",), f"the dataset {dataset.key!r} needs a field with the column scope")
    if chart.scope == "hidden" and dataset.table.startswith("mart.") and dataset.table not in HIDDEN_CUTS:
        trouble.add(file, ("scope",), f"{dataset.table} is none of the published cuts of hidden ratings")


def _check_dashboard(
    dashboard: Dashboard,
    file: _File,
    datasets: Mapping[str, Dataset],
    charts: Mapping[str, Chart],
    trouble: _Trouble,
) -> None:
    for number, tab in enumerate(dashboard.tabs):
        path = ("tabs", number)
        for key, count in Counter(item.key for item in tab.items).items():
            if count > 1:
                trouble.add(file, (*path, "items"), f"{count} items of the tab {tab.key!r} have the key {key!r}")
        for place, item in enumerate(tab.items):
            if item.chart is None:
                continue
            if item.chart not in charts:
                trouble.add(file, (*path, "items", place), f"there is no chart {item.chart!r}")
                continue
            dataset = datasets.get(charts[item.chart].dataset)
            table = dataset.table if dataset is not None else ""
            if table.startswith("hr.") and dashboard.audience != "hr":
                trouble.add(file, (*path, "items", place), f"{item.chart!r} reads {table}: that is for audience hr")
        for (one, first), (two, second) in combinations(enumerate(tab.items), 2):
            if first.at.overlaps(second.at):
                at = (*path, "items", max(one, two))
                trouble.add(file, at, f"{second.key!r} lies over {first.key!r}")
        for place, selector in enumerate(tab.selectors):
            for sentence in _selector_faults(selector, tab, datasets, charts):
                trouble.add(file, (*path, "selectors", place), f"selector {selector.key!r}: {sentence}")


def _selector_faults(
    selector: Selector, tab: Tab, datasets: Mapping[str, Dataset], charts: Mapping[str, Chart]
) -> Iterator[str]:
    shown = {charts[item.chart].dataset for item in tab.items if item.chart is not None and item.chart in charts}
    for key, name in selector.fields.items():
        dataset = datasets.get(key)
        if dataset is None:
            yield f"there is no dataset {key!r}"
            continue
        one = next((one for one in dataset.fields if one.key == name), None)
        if one is None:
            yield f"the dataset {key!r} has no field {name!r}"
        elif one.is_measure:
            yield f"{name!r} is a measure"
        elif (one.type == "date") != (selector.kind == "months"):
            yield f"kind {selector.kind} does not fit {name!r}, which is {one.type}"
        if key not in shown:
            yield f"no chart of the tab reads {key!r}"
