"""SQL files: statements parse in both renderings, and everything is commented."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from string import Template

import pyarrow as pa
import pytest

from warehouse_sql import warehouse as warehouse_module
from warehouse_sql.access import access_statements
from warehouse_sql.warehouse import PUBLISHED, MigrationError, Session, Warehouse, migration_files, statements, table

RENDERINGS = {
    "single": {"on_cluster": "", "replicated": ""},
    "cluster": {"on_cluster": "ON CLUSTER '{cluster}'", "replicated": "Replicated"},
}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    return Warehouse(path=tmp_path_factory.mktemp("sql") / "warehouse")


@pytest.fixture
def db(warehouse: Warehouse) -> Iterator[Session]:
    with warehouse.session("test") as session:
        yield session


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_every_statement_parses_on_one_server_and_on_a_cluster(db: Session, rendering: str) -> None:
    parsed = 0
    for file in migration_files():
        for statement in statements(Template(file.read_text(encoding="utf-8")).substitute(RENDERINGS[rendering])):
            db.rows("SELECT formatQuery({sql:String}) AS sql", {"sql": statement})
            parsed += 1
            if rendering == "cluster":
                assert "ON CLUSTER" in statement
    assert parsed > 20


@pytest.mark.parametrize("rendering", RENDERINGS)
def test_roles_views_and_grants_parse_on_one_server_and_on_a_cluster(db: Session, rendering: str) -> None:
    given = access_statements(RENDERINGS[rendering]["on_cluster"])
    for statement in given:
        db.rows("SELECT formatQuery({sql:String}) AS sql", {"sql": statement})
        assert ("ON CLUSTER" in statement) == (rendering == "cluster")
    assert len(given) > 60


def test_migrations_are_applied_once_and_an_edited_one_is_refused(db: Session) -> None:
    applied = db.migrate()
    assert applied == [file.name for file in migration_files()]
    assert db.migrate() == []
    db.command(
        "ALTER TABLE ops.migration UPDATE sha256 = repeat('0', 64) WHERE name LIKE '0003%' SETTINGS mutations_sync = 1"
    )
    with pytest.raises(MigrationError, match=r"0003_ratings\.sql"):
        db.migrate()
    db.command("TRUNCATE TABLE ops.migration")
    db.command("DROP DATABASE dwh SYNC")
    for name in ("hr", "mart", "stg"):
        db.command(f"DROP DATABASE {name} SYNC")
    for name in ("release", "release_window", "load_run", "load_count", "swap_journal"):
        db.command(f"DROP TABLE ops.{name} SYNC")
    assert db.migrate() == applied


def test_rows_of_an_older_estafeta_outlive_new_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    older = [file for file in migration_files() if file.name < "0008"]
    hidden = {"scope": "hidden", "process_key": "site", "rater_band": "4-6", "mean_score": 4.5}
    rating = {"process_key": "site", "rating_id": 5, "period": date(2025, 1, 1), "comment_level": "violation"}
    with Warehouse(path=tmp_path / "older").session("test") as db:
        with monkeypatch.context() as patch:
            patch.setattr(warehouse_module, "migration_files", lambda: older)
            db.migrate()
        db.insert("mart.department_pair", pa.Table.from_pylist([hidden]))
        db.insert("dwh.fct_rating", pa.Table.from_pylist([rating]))
        db.prepare()
        for target in PUBLISHED:
            db.stage(target)
        (pair,) = db.rows("SELECT * FROM mart.department_pair")
        assert pair.items() >= hidden.items()
        assert pair["mean_score_all"] is pair["share_of_fives_all"] is pair["unexplained_share"] is None
        (fact,) = db.rows("SELECT * FROM stg.dwh_fct_rating")
        assert fact.items() >= rating.items()
        assert fact["comment_rules"] == fact["ruleset_version"] == ""
        assert table("dwh", "fct_rating") not in db.swap("first"), "a destroyed month was written anew"


def test_every_table_and_column_is_commented_and_has_a_plain_type(db: Session) -> None:
    db.prepare()
    tables = db.rows("SELECT database, name, comment FROM system.tables WHERE database IN ('dwh', 'hr', 'mart', 'ops')")
    assert {(row["database"], row["name"]) for row in tables} >= {(t.database, t.name) for t in PUBLISHED}
    for row in tables:
        assert row["comment"].startswith("Grain:"), row["name"]
    columns = db.rows("SELECT table, name, type, comment FROM system.columns WHERE database IN ('dwh', 'hr', 'mart')")
    for column in columns:
        assert column["comment"], f"{column['table']}.{column['name']}"
        # What DataLens can show: see its list of ClickHouse types.
        assert not re.search(r"Map|Tuple|JSON|AggregateFunction|Int128|Int256|IPv", column["type"]), column
