"""What a failing step leaves in Dagster's event log quotes no data, however deep the text sits in the chain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from assets.guard import UnforeseenError, guarded
from sources.contracts import ContractBrokenError
from warehouse_sql.engine import WarehouseError
from warehouse_sql.warehouse import Warehouse

SECRET = "Кравец Игорь"


def log_of(asset: dg.AssetsDefinition) -> str:
    """Everything a run of the asset puts into storage."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize([asset], instance=instance, raise_on_error=False)
        assert not result.success
        return " ".join(str(record) for record in instance.all_logs(result.run_id))


def test_a_library_error_is_told_by_class_and_place() -> None:
    @dg.asset
    @guarded
    def step() -> None:
        raise KeyError(SECRET)

    log = log_of(step)
    assert SECRET not in log
    assert "unforeseen KeyError" in log


def test_our_own_error_loses_the_library_text_it_was_raised_from() -> None:
    @dg.asset
    @guarded
    def step() -> None:
        try:
            int(SECRET)
        except ValueError as error:
            raise ContractBrokenError("user.get broke its contract") from error

    log = log_of(step)
    assert SECRET not in log
    assert "user.get broke its contract" in log


def test_a_check_that_breaks_between_results_is_guarded_too() -> None:
    @guarded
    def results() -> Iterator[int]:
        yield 1
        raise RuntimeError(SECRET)

    found = results()
    assert next(found) == 1
    with pytest.raises(UnforeseenError) as raised:
        next(found)
    assert SECRET not in str(raised.value)


def test_clickhouse_errors_do_not_quote_rows(tmp_path: Path) -> None:
    warehouse = Warehouse(path=tmp_path / "warehouse")

    @dg.asset
    @guarded
    def step() -> None:
        with warehouse.session("test") as db:
            db.rows(f"SELECT toUInt8('{SECRET}')")

    log = log_of(step)
    assert SECRET not in log
    assert "refused a query" in log
    with warehouse.session("test") as db, pytest.raises(WarehouseError) as raised:
        db.rows(f"SELECT toUInt8('{SECRET}')")
    assert SECRET not in str(raised.value)
