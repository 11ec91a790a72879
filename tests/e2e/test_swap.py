"""Published tables change all at once or not at all."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from assets.checks import AuditFailedError
from pipelines.definitions import build_defs
from sources.stand_in.state import PortalState
from tests.e2e.conftest import Site
from warehouse_sql.engine import WarehouseError
from warehouse_sql.warehouse import PUBLISHED, PublishedTable, Session, Warehouse


def assert_same(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame]) -> None:
    assert one.keys() == other.keys()
    for name, frame in one.items():
        pd.testing.assert_frame_equal(frame, other[name], obj=name)


BAD_ROWS = {
    "score_is_between_1_and_5": "INSERT INTO {copy} SELECT * REPLACE (9 AS score) FROM {copy} LIMIT 1",
    "rating_stands_once": "INSERT INTO {copy} SELECT * FROM {copy} LIMIT 1",
    "row_was_released_by_the_policy": "INSERT INTO {copy} SELECT * REPLACE (10000 AS rating_id) FROM {copy} LIMIT 1",
    "mode_is_open": "INSERT INTO {copy} SELECT * REPLACE ('aggregate' AS mode) FROM {copy} LIMIT 1",
    "exclusion_code_is_known": "INSERT INTO {copy} SELECT * REPLACE ('whim' AS exclusion_code) FROM {copy} LIMIT 1",
    "no_released_row_is_lost": "ALTER TABLE {copy} DELETE WHERE rating_id = (SELECT min(rating_id) FROM {copy}) "
    "SETTINGS mutations_sync = 1",
}


@pytest.mark.parametrize("rule", BAD_ROWS)
def test_a_planted_bad_row_stops_the_run_and_leaves_published_tables_as_they_were(
    tiny_site: Site, monkeypatch: pytest.MonkeyPatch, rule: str
) -> None:
    before = tiny_site.tables()
    fill = Session.fill

    def fill_and_plant(self: Session, target: PublishedTable, parameters: Any = None) -> None:
        fill(self, target, parameters)
        if target.full_name == "dwh.fct_rating":
            self.command(BAD_ROWS[rule].format(copy=target.staged))

    monkeypatch.setattr(Session, "fill", fill_and_plant)
    with pytest.raises(AuditFailedError, match=rule):
        tiny_site.run()
    assert_same(tiny_site.tables(), before)


def test_a_failed_audit_ends_the_command_with_1_and_names_the_check(tiny_site: Site) -> None:
    before = tiny_site.tables()
    script = """
        import sys
        from warehouse_sql.warehouse import Session

        fill = Session.fill

        def fill_and_plant(self, target, parameters=None):
            fill(self, target, parameters)
            if target.full_name == "dwh.fct_rating":
                self.command(f"INSERT INTO {target.staged} SELECT * FROM {target.staged} LIMIT 1")

        Session.fill = fill_and_plant
        sys.argv = ["estafeta", "run", "--config", sys.argv[1]]
        from pipelines.cli import main
        main()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tiny_site.file)],
        env=os.environ | tiny_site.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("estafeta: ")
    assert "dwh.fct_rating breaks rating_stands_once" in last
    assert "Traceback" not in done.stderr
    assert_same(tiny_site.tables(), before)


KILLER = """
    import os, signal, sys
    from warehouse_sql.warehouse import Session

    moment, number = sys.argv[1], int(sys.argv[2])
    calls = 0

    def dying(method):
        def call(self, *args):
            global calls
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            calls += 1
            return method(self, *args)
        return call

    name = {"exchange": "_exchange", "journal": "_journal", "fill": "fill", "clear": "clear_stage"}[moment]
    setattr(Session, name, dying(getattr(Session, name)))
    sys.argv = ["estafeta", "run", "--config", sys.argv[3]]
    from pipelines.cli import main
    main()
"""


def edit(site: Site) -> None:
    """Edits and deletions that touch facts, marts and both months."""
    for process in site.state.processes.values():
        config = next(item for item in site.config["processes"] if item["entity_type_id"] == process.entity_type_id)
        for item_id in sorted(process.items)[:5]:
            site.portal.admin.edit_item(
                process.entity_type_id, item_id, {config["fields"]["comment"]: "исправлено после разговора"}
            )
        site.portal.admin.delete_item(process.entity_type_id, max(process.items))


@pytest.fixture(scope="module")
def undisturbed(
    first_run: tuple[PortalState, Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, pd.DataFrame]:
    """What a run publishes after the edits when nothing disturbs it."""
    state, folder = first_run
    twin = tmp_path_factory.mktemp("undisturbed") / "site"
    shutil.copytree(folder, twin, symlinks=True)
    with ExitStack() as stack:
        site = Site(twin, copy.deepcopy(state), stack)
        edit(site)
        site.run()
        return site.tables()


@pytest.mark.parametrize(
    ("moment", "number"),
    [("fill", 3), ("journal", 0), ("exchange", 0), ("exchange", 1), ("exchange", 3), ("journal", 1), ("clear", 0)],
)
def test_a_run_killed_around_the_swap_is_mended_by_the_next(
    tiny_site: Site, undisturbed: dict[str, pd.DataFrame], moment: str, number: int
) -> None:
    edit(tiny_site)
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(KILLER), moment, str(number), str(tiny_site.file)],
        env=os.environ | tiny_site.environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert killed.returncode == -9, killed.stderr
    tiny_site.run()
    assert_same(tiny_site.tables(), undisturbed)


def test_the_swap_alone_publishes_nothing(tiny_site: Site) -> None:
    """Dagster's UI can materialise one asset: copies that another run left must not go out unaudited."""
    before = tiny_site.tables()
    with tiny_site.settings.warehouse().session("test") as db:
        for target in PUBLISHED:
            db.stage(target, [202610, 202611])
    settings = tiny_site.settings
    defs = build_defs(
        resource_overrides={
            "portal": None,
            "vault": settings.vault(),
            "warehouse": settings.warehouse(),
            "terms": settings.terms,
        }
    )
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(WarehouseError, match="run the whole job"):
        dg.materialize(
            [defs.get_assets_def(["ops", "load_run"])],
            instance=instance,
            resources=dict(defs.resources or {}),
            tags={
                "dagster/asset_partition_range_start": "2026-10",
                "dagster/asset_partition_range_end": "2026-11",
            },
        )
    assert_same(tiny_site.tables(), before)


def test_a_migration_killed_half_way_is_finished_by_the_next(tmp_path: Path) -> None:
    warehouse = Warehouse(path=tmp_path / "warehouse")
    with warehouse.session("test") as db, pytest.MonkeyPatch.context() as patch:
        command = Session.command
        calls = []

        def dying(self: Session, sql: str, parameters: Any = None, what: str = "a statement") -> None:
            calls.append(what)
            if calls.count("migration 0003_ratings.sql") == 2:
                raise KeyboardInterrupt
            command(self, sql, parameters, what)

        patch.setattr(Session, "command", dying)
        with pytest.raises(KeyboardInterrupt):
            db.migrate()
    with warehouse.session("test") as db:
        assert "0003_ratings.sql" in db.migrate()
        assert db.migrate() == []
