"""Published tables change all at once or not at all."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest

from assets.checks import AuditFailedError
from pipelines.definitions import build_defs
from tests.e2e.conftest import Site, assert_same, edit, published
from tests.e2e.test_bad_input import command
from warehouse_sql.engine import WarehouseError
from warehouse_sql.warehouse import PUBLISHED, PublishedTable, Session, Warehouse

BAD_ROWS = {
    "score_is_between_1_and_5": "INSERT INTO {copy} SELECT * REPLACE (9 AS score) FROM {copy} LIMIT 1",
    "rating_stands_once": "INSERT INTO {copy} SELECT * FROM {copy} LIMIT 1",
    "row_was_released_by_the_policy": "INSERT INTO {copy} SELECT * REPLACE (10000 AS rating_id) FROM {copy} LIMIT 1",
    "mode_is_open": "INSERT INTO {copy} SELECT * REPLACE ('aggregate' AS mode) FROM {copy} LIMIT 1",
    "exclusion_code_is_known": "INSERT INTO {copy} SELECT * REPLACE ('whim' AS exclusion_code) FROM {copy} LIMIT 1",
    "no_released_row_is_lost": "ALTER TABLE {copy} DELETE WHERE rating_id = (SELECT min(rating_id) FROM {copy}) "
    "SETTINGS mutations_sync = 1",
}


def plant(patch: pytest.MonkeyPatch, *rules: str) -> None:
    """Spoils the copy of the facts as soon as a run has filled it."""
    fill = Session.fill

    def fill_and_plant(self: Session, target: PublishedTable, parameters: Any = None) -> None:
        fill(self, target, parameters)
        if target.full_name == "dwh.fct_rating":
            for rule in rules:
                self.command(BAD_ROWS[rule].format(copy=target.staged))

    patch.setattr(Session, "fill", fill_and_plant)


TOGETHER = ("score_is_between_1_and_5", "mode_is_open", "exclusion_code_is_known")
"""Rules of which each is broken by its own row alone."""


@pytest.mark.parametrize(
    "rules",
    [TOGETHER, ("row_was_released_by_the_policy",), ("no_released_row_is_lost",)],
    ids=["bad values", "row not released", "row lost"],
)
def test_planted_bad_rows_stop_the_run_and_leave_published_tables_as_they_were(
    tiny_site: Site, monkeypatch: pytest.MonkeyPatch, rules: tuple[str, ...]
) -> None:
    before = tiny_site.tables()
    plant(monkeypatch, *rules)
    with pytest.raises(AuditFailedError) as failed:
        tiny_site.run()
    for rule in rules:
        assert f"dwh.fct_rating breaks {rule}" in str(failed.value)
    assert_same(tiny_site.tables(), before)


def test_a_failed_audit_ends_the_command_with_1_and_names_the_check(
    tiny_site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = tiny_site.tables()
    for name, value in tiny_site.environment.items():
        monkeypatch.setenv(name, value)
    plant(monkeypatch, "rating_stands_once")
    status, stderr = command(monkeypatch, capsys, "run", "--config", str(tiny_site.file))
    assert status == 1
    last = stderr.strip().splitlines()[-1]
    assert last.startswith("estafeta: ")
    assert "dwh.fct_rating breaks rating_stands_once" in last
    assert "Traceback" not in stderr
    assert_same(tiny_site.tables(), before)


STOPPING = """
    import os, signal, sys
    from warehouse_sql.warehouse import Session

    moments, calls = sys.argv[1].split(), {}

    def stopping(kind, name):
        method = getattr(Session, name)

        def call(self, *args):
            moment = f"{kind}:{calls.get(kind, 0)}"
            calls[kind] = calls.get(kind, 0) + 1
            if moment in moments:
                print(moment, flush=True)
                os.kill(os.getpid(), signal.SIGSTOP)
            return method(self, *args)

        setattr(Session, name, call)

    for kind, name in {"exchange": "_exchange", "journal": "_journal", "fill": "fill", "clear": "clear_stage"}.items():
        stopping(kind, name)
    sys.argv = ["estafeta", "run", "--config", sys.argv[2]]
    from pipelines.cli import main
    main()
"""


AROUND_THE_SWAP = ("fill:3", "journal:0", "exchange:0", "exchange:1", "exchange:3", "journal:1", "clear:1")
IN_PLACE = ("exchange:1", "exchange:3", "journal:1", "clear:1")
"""When the first table was exchanged already."""
FINISHED = ("journal:0", "exchange:1", "clear:1")
"""Before the first table is exchanged, between two, and after the last: here the next run goes on to its end."""


@pytest.mark.parametrize("finished", [FINISHED, pytest.param(AROUND_THE_SWAP, marks=pytest.mark.slow)], ids=len)
def test_a_run_killed_around_the_swap_is_mended_by_the_next(
    tiny_site: Site,
    undisturbed: dict[str, pd.DataFrame],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    finished: tuple[str, ...],
) -> None:
    """One run is stopped at each moment: what its folder holds then is what kill -9 would have left of it.

    Before the next run does anything else, a swap that has begun is whole and one that has not is forgotten.
    """
    before = tiny_site.tables()
    edit(tiny_site)
    left: dict[str, Path] = {}
    command = [sys.executable, "-c", textwrap.dedent(STOPPING), " ".join(AROUND_THE_SWAP), str(tiny_site.file)]
    with subprocess.Popen(
        command, env=os.environ | tiny_site.environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as run:
        try:
            assert run.stdout is not None
            for moment in AROUND_THE_SWAP:
                assert run.stdout.readline() == f"{moment}\n"
                _, status = os.waitpid(run.pid, os.WUNTRACED)
                assert os.WIFSTOPPED(status)
                left[moment] = tmp_path / moment.replace(":", "_")
                shutil.copytree(tiny_site.folder, left[moment], symlinks=True)
                if moment != AROUND_THE_SWAP[-1]:
                    run.send_signal(signal.SIGCONT)
        finally:
            run.kill()
    mended: dict[str, pd.DataFrame] = {}
    prepare = Session.prepare

    def prepare_and_look(self: Session) -> tuple[list[str], list[str]]:
        answer = prepare(self)
        mended.update(published(self))
        return answer

    monkeypatch.setattr(Session, "prepare", prepare_and_look)
    for moment, folder in left.items():
        shutil.rmtree(tiny_site.folder)
        folder.rename(tiny_site.folder)
        if moment in finished:
            tiny_site.run()
            assert_same(tiny_site.tables(), undisturbed, f"after a run killed at {moment}")
        else:
            with tiny_site.settings.warehouse().session("test") as db:
                db.prepare()
                assert db.prepare() == ([], []), "the swap was not settled at once"
        assert_same(mended, undisturbed if moment in IN_PLACE else before, f"mended after a kill at {moment}")


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
