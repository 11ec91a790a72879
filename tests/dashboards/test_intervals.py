"""The band around a trend is Wilson's interval, whatever rows stand behind it."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy.stats import binomtest

from datalens_specs.query import field_sql
from datalens_specs.specs import load
from pipelines.dashboards import migrated_tables
from warehouse_sql.warehouse import Warehouse

WORDS = {"processes": {"production": "Производство"}, "reasons": {"clarity": "Непонятная задача"}}


def test_bounds_of_a_share_are_those_of_wilson(tmp_path: Path) -> None:
    dataset = load(migrated_tables(), WORDS).datasets["pair"]
    low, high = (field_sql(dataset, dataset.field(key)) for key in ("share_low", "share_high"))
    rows = "SELECT {fives:Float64} / {ratings:Float64} AS share_of_fives, {ratings:Float64} AS ratings"
    with Warehouse(path=tmp_path / "warehouse").session("test") as db:
        for fives, ratings in ((0, 1), (1, 1), (3, 7), (7, 7), (40, 61), (0, 200)):
            # The same ratings in one row and in two.
            for count in (1, 2):
                sql = f"SELECT {low} AS low, {high} AS high FROM ({rows} FROM numbers({count})) AS source"
                (found,) = db.rows(sql, {"fives": fives, "ratings": ratings})
                expected = binomtest(fives * count, ratings * count).proportion_ci(0.95, method="wilson")
                assert (found["low"], found["high"]) == pytest.approx((expected.low, expected.high), abs=2e-4)
        sql = f"SELECT {low} AS low FROM ({rows} FROM numbers(1) WHERE 0) AS source"
        assert db.rows(sql, {"fives": 0, "ratings": 1})[0]["low"] is None
