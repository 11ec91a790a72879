"""The code location loads anywhere, fast, with no environment, and says the same as the SQL and the warehouse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from pipelines.automation import daily, ratings_job
from pipelines.definitions import build_defs
from warehouse_sql.warehouse import PUBLISHED, transform

ROOT = Path(__file__).parent.parent


def test_definitions_load_in_a_fresh_interpreter_without_environment_engine_or_great_expectations(
    tmp_path: Path,
) -> None:
    script = """
        import json, sys
        from pipelines.definitions import defs
        import dagster as dg
        loaded = defs()
        location = loaded() if callable(loaded) else loaded
        dg.Definitions.validate_loadable(location)
        heavy = [name for name in ("great_expectations", "chdb", "uvicorn", "sources.stand_in") if name in sys.modules]
        print(json.dumps(heavy))
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", "\n".join(line.strip() for line in script.splitlines())],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []


def test_definitions_validate_from_another_working_directory(tmp_path: Path) -> None:
    dagster = Path(sys.executable).with_name("dagster")
    done = subprocess.run(
        [str(dagster), "definitions", "validate", "-w", str(ROOT / "workspace.yaml")],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,  # Dagster starts a server for it, which a busy machine gives 10 to 100 s
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_published_table_but_the_release_ledger_is_an_asset_of_the_same_name() -> None:
    keys = {tuple(key.path) for key in build_defs().resolve_asset_graph().get_all_asset_keys()}
    for target in PUBLISHED:
        if target.database != "ops":
            assert (target.database, target.name) in keys


def test_every_transform_file_belongs_to_a_published_table_and_says_its_grain() -> None:
    named = {transform(target) for target in PUBLISHED}
    for file in (ROOT / "warehouse_sql" / "transforms").glob("*/*.sql"):
        assert file in named
        header = file.read_text(encoding="utf-8").split("SELECT")[0]
        for word in ("Grain:", "Source:", "Read by:"):
            assert word in header, f"{file.name} does not say {word}"


def test_assets_say_what_they_are_and_who_owns_them() -> None:
    for spec in build_defs().resolve_all_asset_specs():
        assert spec.description
        assert spec.group_name
        assert spec.kinds
        if spec.key.path[0] != "bitrix24":
            assert spec.owners


def test_every_check_blocks() -> None:
    graph = build_defs().resolve_asset_graph()
    checks = graph.asset_check_keys
    assert len(checks) > 15
    for key in checks:
        assert graph.get_check_spec(key).blocking


def test_the_daily_schedule_asks_for_this_month_alone() -> None:
    context = dg.build_schedule_context(scheduled_execution_time=datetime(2026, 1, 23, 5, 30, tzinfo=UTC))
    request = daily(context)
    assert isinstance(request, dg.RunRequest)
    assert [request.tags[f"dagster/asset_partition_range_{side}"] for side in ("start", "end")] == [
        "2026-01",
        "2026-01",
    ]
    assert daily.job_name == ratings_job.name
