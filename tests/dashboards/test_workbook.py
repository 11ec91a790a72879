# ruff: noqa: N815 - names as DataLens spells them
"""The workbook file has what DataLens needs to take it: found out by importing such files, field by field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict

from datalens_specs.specs import Specs, Tables, load
from datalens_specs.workbook import Place, workbook
from pipelines.dashboards import migrated_tables

PLACE = Place("clickhouse.example.org", 8443, "datalens", True, {"mart": "mart_read", "hr": "hr_read"})


class Shape(BaseModel):
    """Required fields; others may stand beside them."""

    model_config = ConfigDict(extra="allow", strict=True)


class Connection(Shape):
    db_type: Literal["clickhouse"]
    name: str
    host: str
    port: int
    username: str
    password: Literal["******"]
    secure: Literal["on", "off"]
    raw_sql_level: Literal["off", "subselect", "dashsql"]
    readonly: int


class NativeType(Shape):
    native_type_class_name: Literal["clickhouse_native_type"]
    name: Literal["string", "date", "bool", "float64", "uint8", "uint16", "uint32", "uint64"]
    nullable: bool
    lowcardinality: bool


class RawColumn(Shape):
    name: str
    title: str
    user_type: Literal["string", "integer", "float", "date", "genericdatetime", "boolean"]
    nullable: bool
    description: str
    lock_aggregation: bool
    has_auto_aggregation: bool
    native_type: NativeType


class Source(Shape):
    id: str
    connection_id: str
    source_type: Literal["CH_TABLE"]
    title: str
    parameters: dict[Literal["db_name", "table_name"], str]
    managed_by: Literal["user"]
    valid: bool
    raw_schema: list[RawColumn]


class Field(Shape):
    guid: str
    title: str
    calc_mode: Literal["direct", "formula"]
    source: str
    formula: str
    aggregation: str
    type: Literal["DIMENSION", "MEASURE"]
    cast: str
    data_type: str
    initial_data_type: str
    avatar_id: str | None
    hidden: bool
    description: str
    managed_by: Literal["user"]
    valid: bool


class Dataset(Shape):
    name: str
    sources: list[Source]
    source_avatars: list[dict[str, Any]]
    avatar_relations: list[Any]
    result_schema: list[Field]


class Shared(Shape):
    type: Literal["datalens"]
    version: Literal["15"]
    visualization: dict[str, Any]
    colors: list[Any]
    labels: list[Any]
    tooltips: list[Any]
    filters: list[Any]
    sort: list[Any]
    shapes: list[Any]
    segments: list[Any]
    hierarchies: list[Any]
    links: list[Any]
    updates: list[Any]
    datasetsIds: list[str]
    datasetsPartialFields: list[list[dict[str, str]]]
    extraSettings: dict[str, Any]
    colorsConfig: dict[str, Any]
    shapesConfig: dict[str, Any]


class Widget(Shape):
    name: str
    type: Literal["d3_wizard_node", "table_wizard_node", "metric_wizard_node"]
    annotation: dict[Literal["description"], str]
    data: dict[Literal["shared"], Shared]


class DashSettings(Shape):
    autoupdateInterval: int | None
    maxConcurrentRequests: int | None
    silentLoading: bool
    dependentSelectors: bool
    hideTabs: bool
    expandTOC: bool


class DashTab(Shape):
    id: str
    title: str
    items: list[dict[str, Any]]
    layout: list[dict[Literal["i", "x", "y", "w", "h"], Any]]
    connections: list[Any]
    aliases: dict[Literal["default"], list[list[str]]]


class DashData(Shape):
    schemeVersion: Literal[8]
    counter: int
    salt: str
    tabs: list[DashTab]
    settings: DashSettings


class Dash(Shape):
    name: str
    annotation: dict[Literal["description"], str]
    data: DashData


class Entries(Shape):
    connection: dict[str, dict[Literal["connection"], Connection]]
    dataset: dict[str, dict[Literal["dataset"], Dataset]]
    widget: dict[str, dict[Literal["widget"], Widget]]
    dash: dict[str, dict[Literal["dash"], Dash]]


class Export(Shape):
    version: Literal["v1"]
    entries: Entries


class File(Shape):
    export: Export
    hash: str


@pytest.fixture(scope="module")
def tables() -> Tables:
    return migrated_tables()


@pytest.fixture(scope="module")
def specs(tables: Tables) -> Specs:
    return load(tables, {"processes": {"site": 'Сайт "А"'}, "reasons": {"brief": "Постановка"}})


@pytest.fixture(scope="module", params=[False, True], ids=["heads", "hr"])
def file(request: pytest.FixtureRequest, specs: Specs, tables: Tables) -> File:
    content = workbook(specs.part(for_hr=request.param), tables, PLACE)
    return File.model_validate_json(json.dumps(content))


def fields_of(file: File) -> dict[str, dict[str, Field]]:
    return {
        key: {one.guid: one for one in entry["dataset"].result_schema}
        for key, entry in file.export.entries.dataset.items()
    }


def shared_of(file: File) -> Iterator[Shared]:
    for entry in file.export.entries.widget.values():
        yield entry["widget"].data["shared"]


def test_ids_are_one_space_and_every_reference_resolves(file: File) -> None:
    entries = file.export.entries
    ids = [key for kind in (entries.connection, entries.dataset, entries.widget, entries.dash) for key in kind]
    assert len(set(ids)) == len(ids)
    for entry in entries.dataset.values():
        (source,) = entry["dataset"].sources
        (avatar,) = entry["dataset"].source_avatars
        assert source.connection_id in entries.connection
        assert avatar["source_id"] == source.id
        assert {one.avatar_id for one in entry["dataset"].result_schema} <= {avatar["id"], None}
    for dash in entries.dash.values():
        for tab in dash["dash"].data.tabs:
            assert sorted(item["id"] for item in tab.items) == sorted(place["i"] for place in tab.layout)
            charts = [one["chartId"] for item in tab.items for one in item["data"].get("tabs", [])]
            assert set(charts) <= set(entries.widget)
            for one in (one for item in tab.items for one in item["data"].get("group", [])):
                assert one["source"]["datasetFieldId"] in fields_of(file)[one["source"]["datasetId"]]
            guids = {guid for fields in fields_of(file).values() for guid in fields}
            assert {guid for linked in tab.aliases["default"] for guid in linked} <= guids


def test_every_item_of_a_chart_is_a_field_of_its_dataset(file: File) -> None:
    for shared in shared_of(file):
        (dataset,) = shared.datasetsIds
        known = fields_of(file)[dataset]
        slots = [item for slot in shared.visualization["placeholders"] for item in slot["items"]]
        assert slots
        for item in [*slots, *shared.colors, *shared.labels, *shared.tooltips, *shared.sort, *shared.filters]:
            field = known[item["guid"]]
            assert item["datasetId"] == dataset
            assert (item["title"], item["calc_mode"], item["type"]) == (field.title, field.calc_mode, field.type)


def test_columns_stand_in_the_raw_schema_and_formulas_name_titles_of_their_dataset(file: File) -> None:
    for entry in file.export.entries.dataset.values():
        dataset = entry["dataset"]
        columns = {column.name: column for column in dataset.sources[0].raw_schema}
        titles = {one.title for one in dataset.result_schema}
        assert len(titles) == len(dataset.result_schema)
        for one in dataset.result_schema:
            if one.calc_mode == "direct":
                assert one.initial_data_type == columns[one.source].user_type
            else:
                assert {part.split("]")[0] for part in one.formula.split("[")[1:]} <= titles


def test_scopes_stay_apart(file: File, specs: Specs) -> None:
    for key, entry in file.export.entries.widget.items():
        chart = specs.charts[key.removeprefix("chart_")]
        filters = {item["guid"]: item["filter"] for item in entry["widget"].data["shared"].filters}
        asked = filters.get(f"{chart.dataset}__scope")
        assert asked == ({"operation": {"code": "IN"}, "value": [chart.scope]} if chart.scope else None)


def test_a_figure_without_data_says_so(file: File) -> None:
    said = [one for fields in fields_of(file).values() for one in fields.values() if "said__" in one.guid]
    assert said
    assert all('"недостаточно данных"' in one.formula for one in said)


def test_hr_has_a_workbook_of_its_own(specs: Specs, tables: Tables) -> None:
    text = json.dumps(workbook(specs.part(for_hr=False), tables, PLACE), ensure_ascii=False)
    assert "hr_read" not in text
    assert "Премирование" not in text
    assert "mart_read" not in json.dumps(workbook(specs.part(for_hr=True), tables, PLACE))


def test_words_with_quotes_stay_in_their_formula(specs: Specs, tables: Tables) -> None:
    entries = workbook(specs.part(for_hr=False), tables, PLACE)["export"]["entries"]
    fields = {one["guid"]: one for one in entries["dataset"]["dataset_pair"]["dataset"]["result_schema"]}
    assert fields["pair__process"]["formula"] == (
        'CASE [Процесс (код)] WHEN "site" THEN "Сайт \\"А\\"" ELSE [Процесс (код)] END'
    )
    assert fields["pair__process__code"]["hidden"]


def test_the_file_is_the_same_each_time(specs: Specs, tables: Tables) -> None:
    first, second = (workbook(specs.part(for_hr=False), tables, PLACE) for _ in range(2))
    assert first == second
