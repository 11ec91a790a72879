"""Mistakes in specs are told with file and line; the specs of the repository have none."""

from __future__ import annotations

from pathlib import Path

import pytest

from datalens_specs.specs import Column, SpecError, Specs, load

TABLES = {
    "mart.pair": [
        Column("scope", "LowCardinality(String)"),
        Column("period", "Date"),
        Column("process_key", "LowCardinality(String)"),
        Column("ratings", "Nullable(UInt32)"),
        Column("tags", "Map(String, String)"),
    ],
    "mart.department_pair": [Column("scope", "String"), Column("ratings", "UInt32")],
    "hr.score": [Column("ratings", "UInt32")],
}
CONNECTION = "- {key: warehouse, name: Хранилище}\n"
DATASET = """\
- key: pair
  name: Пары
  connection: warehouse
  table: mart.pair
  fields:
    - {key: scope, title: Доступ, column: scope, type: string}
    - {key: period, title: Месяц, column: period, type: date, format: month}
    - {key: process, title: Процесс, column: process_key, type: string, labels: processes}
    - {key: row_ratings, title: Строка, column: ratings, type: integer}
    - {key: ratings, title: Оценок, formula: "SUM([Строка])", type: integer}
"""
CHART = """\
- key: trend
  title: Динамика
  kind: line
  dataset: pair
  scope: open
  x: period
  measures: [ratings]
  support: ratings
"""
DASHBOARD = """\
- key: main
  name: Главный
  description: О главном.
  audience: heads
  order: 1
  tabs:
    - key: one
      title: Первая
      selectors:
        - {key: period, title: Месяцы, kind: months, last: 6, fields: {pair: period}}
      items:
        - {key: head, heading: Заголовок, at: {x: 0, y: 0, w: 36, h: 2}}
        - {key: trend, chart: trend, at: {x: 0, y: 2, w: 18, h: 10}}
"""


def write(folder: Path, **changed: str) -> Path:
    texts = {"connections": CONNECTION, "datasets": DATASET, "charts": CHART, "dashboards": DASHBOARD} | changed
    for kind, text in texts.items():
        (folder / kind).mkdir(exist_ok=True)
        (folder / kind / "all.yaml").write_text(text, encoding="utf-8")
    return folder


def read(folder: Path) -> Specs:
    return load(TABLES, {"processes": {"site": "Сайт"}}, folder)


def test_words_of_the_configuration_are_filled_in(tmp_path: Path) -> None:
    assert read(write(tmp_path)).datasets["pair"].field("process").labels == {"site": "Сайт"}


@pytest.mark.parametrize(
    ("kind", "old", "new", "said"),
    [
        ("datasets", "column: period,", "column: perod,", "datasets/all.yaml:7: mart.pair has no column 'perod'"),
        (
            "datasets",
            "type: date,",
            "type: integer,",
            "datasets/all.yaml:7: 'period' is Date, which DataLens takes for",
        ),
        (
            "datasets",
            "column: ratings, type: integer",
            "column: tags, type: string",
            "9: DataLens cannot select 'tags'",
        ),
        ("datasets", "[Строка]", "[Строчка]", "10: the formula names [Строчка], and no field has this title"),
        ("datasets", "SUM([Строка])", "SUM([Строка]", "formula: a ')' is missing"),
        ("datasets", "mart.pair", "mart.pear", "datasets/all.yaml:4: the warehouse has no table mart.pear"),
        ("datasets", "labels: processes", "labels: process", "8: there is no set of labels 'process'"),
        ("datasets", "key: ratings, title: Оценок", "key: scope, title: Оценок", "the key 'scope' is taken by another"),
        ("datasets", "  name: Пары\n", "  name: Пары\n  name: Пары\n", "3: the key 'name' stands here twice"),
        ("datasets", "connection: warehouse", "connection: store", "3: there is no connection 'store'"),
        ("charts", "dataset: pair", "dataset: pairs", "charts/all.yaml:4: there is no dataset 'pairs'"),
        ("charts", "x: period", "x: month", "has no field 'month'"),
        ("charts", "measures: [ratings]", "measures: [process]", "7: 'process' is no measure"),
        ("charts", "  scope: open\n", "", "mart.pair holds both scopes"),
        ("charts", "scope: open", "scope: hidden", "5: mart.pair is none of the published cuts of hidden ratings"),
        ("charts", "  support: ratings\n", "", "support is missing"),
        ("charts", "  x: period\n", "", "a line needs x"),
        ("charts", "kind: line", "kind: pie", "kind: Input should be"),
        ("charts", "title: Динамика", "titel: Динамика", "titel: there is no such key"),
        ("charts", CHART, CHART + CHART, "9: the key 'trend' is taken by charts/all.yaml:1"),
        ("dashboards", "chart: trend", "chart: tren", "13: there is no chart 'tren'"),
        ("dashboards", "y: 2", "y: 1", "13: 'trend' lies over 'head'"),
        ("dashboards", "w: 18", "w: 40", "at.w: Input should be less than or equal to 36"),
        ("dashboards", "pair: period}", "pair: process}", "10: selector 'period': kind months does not fit 'process'"),
        ("dashboards", "pair: period}", "pear: period}", "10: selector 'period': there is no dataset 'pear'"),
        ("dashboards", "order: 1", "order: [", "this is no YAML"),
    ],
)
def test_a_mistake_is_told_with_file_and_line(tmp_path: Path, kind: str, old: str, new: str, said: str) -> None:
    text = {"datasets": DATASET, "charts": CHART, "dashboards": DASHBOARD}[kind]
    assert old in text
    with pytest.raises(SpecError) as error:
        read(write(tmp_path, **{kind: text.replace(old, new)}))
    assert said in str(error.value)


def test_a_chart_that_no_dashboard_shows_is_a_mistake(tmp_path: Path) -> None:
    lost = CHART.replace("key: trend", "key: lost").replace("Динамика", "Потерян")
    with pytest.raises(SpecError, match="no dashboard shows the chart 'lost'"):
        read(write(tmp_path, charts=CHART + lost))


def test_tables_for_hr_stand_on_dashboards_of_hr_alone(tmp_path: Path) -> None:
    dataset = DATASET.replace("mart.pair", "hr.score").split("  fields:")[0] + (
        "  fields:\n    - {key: row, title: Строка, column: ratings, type: integer}\n"
        '    - {key: ratings, title: Оценок, formula: "SUM([Строка])", type: integer}\n'
    )
    chart = CHART.replace("kind: line", "kind: indicator").replace("  scope: open\n  x: period\n", "")
    dashboard = DASHBOARD.replace("{key: period, title: Месяцы, kind: months, last: 6, fields: {pair: period}}", "")
    dashboard = dashboard.replace("      selectors:\n        - \n", "")
    folder = write(tmp_path, datasets=dataset, charts=chart, dashboards=dashboard)
    with pytest.raises(SpecError, match=r"'trend' reads hr\.score: that is for audience hr"):
        read(folder)
    read(write(tmp_path, datasets=dataset, charts=chart, dashboards=dashboard.replace("heads", "hr")))
