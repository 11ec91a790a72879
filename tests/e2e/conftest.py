"""A site: the stand-in portal, a configuration and folders of its own, run in this process."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import yaml
from pydantic import SecretStr

from pipelines.running import RunReport, execute
from pipelines.settings import Secrets, Settings
from sources.stand_in.company import generate
from sources.stand_in.server import StandInPortal
from sources.stand_in.state import MOSCOW, PortalState
from sources.vault import VaultKey
from warehouse_sql.warehouse import Session, Warehouse

NOW = datetime(2026, 11, 20, 15, 0, tzinfo=MOSCOW)


LONGEST = ("test_year", "test_facts_equal", "test_leaks", "test_warehouse_over_http", "test_swap")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest first: begun last, it would keep one worker waiting for the other."""
    ranks = dict(enumerate(LONGEST))
    items.sort(key=lambda item: next((rank for rank, name in ranks.items() if name in item.nodeid), len(LONGEST)))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Says how many cases of trouble on the wire were tried; workers cannot print."""
    cases = [
        value
        for report in terminalreporter.stats.get("passed", [])
        for name, value in report.user_properties
        if name == "cases"
    ]
    if cases:
        tried, whole = (sum(column) for column in zip(*cases, strict=True))
        terminalreporter.write_line(
            f"faults: {tried} cases; {whole} came through, the others ended with a sentence and everything as before"
        )


class Site:
    """One company with its portal, vault and warehouse."""

    def __init__(self, folder: Path, state: PortalState, stack: ExitStack, **config: Any) -> None:
        self.folder = folder
        self.state = state
        self.portal = stack.enter_context(StandInPortal(state, rate_per_second=None))
        self.file = folder / "estafeta.yaml"
        self.key = folder / "key"
        if not self.key.exists():
            VaultKey.create(self.key)
        self.config = (
            copy.deepcopy(state.config)
            | {
                "warehouse": {"path": "warehouse"},
                "vault": {"path": "vault"},
            }
            | config
        )
        self.file.write_text(yaml.safe_dump(self.config, allow_unicode=True), encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        """What the command line needs in its environment."""
        return {"BITRIX24_WEBHOOK_URL": self.portal.webhook, "ESTAFETA_KEY_FILE": str(self.key)}

    @property
    def settings(self) -> Settings:
        secrets = Secrets(bitrix24_webhook_url=SecretStr(self.portal.webhook), estafeta_key_file=self.key)
        return Settings.load(self.file, secrets)

    def run(self, **options: Any) -> RunReport:
        """Runs in this process with Dagster's storage in memory and the warehouse opened once: half the time.

        That a run opens the warehouse step by step is seen by the tests that start the command line.
        """
        with (
            dg.DagsterInstance.ephemeral() as instance,
            self.settings.warehouse().session("test") as db,
            pytest.MonkeyPatch.context() as patch,
        ):
            patch.setattr(Warehouse, "session", lambda _, tag="": nullcontext(db))
            return execute(self.settings, instance=instance, **options)

    def rows(self, sql: str) -> pd.DataFrame:
        with self.settings.warehouse().session("test") as db:
            frame: pd.DataFrame = db.query(sql).to_pandas()
        return frame

    def tables(self) -> dict[str, pd.DataFrame]:
        """Every published row of every database but ops, which remembers runs."""
        with self.settings.warehouse().session("test") as db:
            return published(db)


def published(db: Session) -> dict[str, pd.DataFrame]:
    """Every published row that an open warehouse shows, but for ops."""
    names = db.rows(
        "SELECT concat(database, '.', name) AS full_name FROM system.tables "
        "WHERE database IN ('dwh', 'hr', 'mart') OR (database = 'ops' AND name LIKE 'release%') "
        "ORDER BY full_name"
    )
    return {row["full_name"]: db.query(f"SELECT * FROM {row['full_name']} ORDER BY ALL").to_pandas() for row in names}


def open_everything(state: PortalState) -> PortalState:
    """Lets every rating out as a row, so that facts can be compared with the truth."""
    state.config["policies"] = [{"process": "*", "valid_from": "2020-01-01", "mode": "open"}]
    return state


def assert_same(one: dict[str, pd.DataFrame], other: dict[str, pd.DataFrame], when: str = "") -> None:
    """Two answers of `Site.tables` are equal."""
    assert one.keys() == other.keys()
    for name, frame in one.items():
        pd.testing.assert_frame_equal(frame, other[name], obj=f"{name} {when}".strip())


def edit(site: Site) -> None:
    """Edits and deletions that touch facts, marts and both months."""
    for process in site.state.processes.values():
        config = next(item for item in site.config["processes"] if item["entity_type_id"] == process.entity_type_id)
        for item_id in sorted(process.items)[:5]:
            site.portal.admin.edit_item(
                process.entity_type_id, item_id, {config["fields"]["comment"]: "исправлено после разговора"}
            )
        site.portal.admin.delete_item(process.entity_type_id, max(process.items))


@pytest.fixture
def make_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    with ExitStack() as stack:

        def make(state: PortalState, name: str = "site", **config: Any) -> Site:
            folder = tmp_path / name
            folder.mkdir()
            return Site(folder, state, stack, **config)

        yield make


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[PortalState, Path]:
    """A tiny open company and the folder its first run left: copied by tests that start from a full warehouse."""
    state = open_everything(generate(6, "tiny", NOW))
    folder = tmp_path_factory.mktemp("first_run")
    with ExitStack() as stack:
        Site(folder, state, stack).run()
    return state, folder


@pytest.fixture
def tiny_site(first_run: tuple[PortalState, Path], tmp_path: Path) -> Iterator[Site]:
    """A copy of the tiny company after its first run."""
    state, folder = first_run
    shutil.copytree(folder, tmp_path / "tiny", symlinks=True)
    with ExitStack() as stack:
        yield Site(tmp_path / "tiny", copy.deepcopy(state), stack)


@pytest.fixture(scope="session")
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
