"""Hidden rows are released once: whatever happens afterwards, the same rows are published, or none at all."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import yaml

from assets.hidden import BY_MONTH, LedgerError, LostKeyError, _require_pseudonym_keys
from assets.rules.hidden import SCHEMAS
from assets.rules.policy import PolicyLoosenedError
from sources.stand_in.company import generate
from sources.stand_in.state import PortalState
from tests.e2e.conftest import NOW, Site, assert_same, edit
from warehouse_sql.warehouse import Session

HIDDEN = ("mart.rating_block", "mart.coverage")
"""Where the tiny company, with its one frozen month, has hidden rows."""


@pytest.fixture(scope="session")
def hidden_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[PortalState, Path]:
    """A tiny company that hides everything, and the folder its first run left."""
    state = generate(6, "tiny", NOW)
    state.config["policies"] = [{"process": "*", "valid_from": "2020-01-01", "mode": "aggregate"}]
    state.config["release"] = {"profile": "small_company"}
    folder = tmp_path_factory.mktemp("hidden_run")
    with ExitStack() as stack:
        Site(folder, state, stack).run()
    return state, folder


@pytest.fixture
def site(hidden_run: tuple[PortalState, Path], tmp_path: Path) -> Iterator[Site]:
    """A copy of the hidden company after its first run."""
    state, folder = hidden_run
    shutil.copytree(folder, tmp_path / "hidden", symlinks=True)
    with ExitStack() as stack:
        yield Site(tmp_path / "hidden", copy.deepcopy(state), stack)


def hidden_rows(site: Site) -> dict[str, pd.DataFrame]:
    """Published hidden rows and their ledger."""
    tables = site.tables()
    rows = {name: tables[name] for name in (*HIDDEN, "ops.release", "ops.release_window")}
    assert all(len(frame) for frame in rows.values())
    return rows


def let(site: Site, mode: str) -> None:
    site.config["policies"] = [{"process": "*", "valid_from": "2020-01-01", "mode": mode}]
    site.file.write_text(yaml.safe_dump(site.config, allow_unicode=True), encoding="utf-8")


def change(site: Site, *statements: str) -> None:
    with site.settings.warehouse().session("test") as db:
        for statement in statements:
            db.command(statement)


def test_late_edits_deletions_and_a_warehouse_made_anew_leave_hidden_rows_as_they_were(site: Site) -> None:
    before = hidden_rows(site)
    edit(site)
    for process in site.config["processes"]:
        items = site.state.processes[process["entity_type_id"]].items
        for number in sorted(items)[5:9]:
            site.portal.admin.edit_item(process["entity_type_id"], number, {process["fields"]["score"]: ""})
        copied = {name: value for name, value in items[min(items)].items() if name != "id"}
        site.portal.admin.insert_item(process["entity_type_id"], copied)
    site.run()
    assert_same(hidden_rows(site), before, "after late edits")
    shutil.rmtree(site.folder / "warehouse")
    site.run()
    assert_same(hidden_rows(site), before, "in a new warehouse")


def test_rows_that_were_never_released_stop_the_run(site: Site) -> None:
    change(
        site,
        "INSERT INTO mart.rating_block SELECT * REPLACE (99 AS ratee_id) FROM mart.rating_block LIMIT 1",
        "INSERT INTO mart.coverage SELECT * REPLACE (0.35 AS coverage) FROM mart.coverage LIMIT 1",
        "INSERT INTO ops.release SELECT * REPLACE ('none' AS checks_passed) FROM ops.release LIMIT 1",
        "INSERT INTO ops.release_window SELECT * REPLACE ('other' AS process_key) FROM ops.release_window LIMIT 1",
    )
    before = site.tables()
    with pytest.raises(LedgerError) as refusal:
        site.run()
    told = "1 in mart.rating_block, 1 in mart.coverage, 1 in ops.release, 1 in ops.release_window"
    assert told in str(refusal.value)
    assert_same(site.tables(), before)


def test_tightening_withdraws_for_good_and_the_way_back_is_refused(site: Site) -> None:
    ledger = hidden_rows(site)["ops.release"]
    let(site, "department_only")
    site.run()
    assert site.tables()["mart.rating_block"].empty
    after = site.tables()["ops.release"]
    columns = [name for name in ledger.columns if name != "withdrawn_at"]
    pd.testing.assert_frame_equal(after[columns], ledger[columns])
    assert after["withdrawn_at"].notna().all()

    before = site.tables()
    let(site, "aggregate")
    with pytest.raises(PolicyLoosenedError, match="mode: aggregate"):
        site.run()
    assert_same(site.tables(), before)


def test_a_run_that_fails_after_deciding_is_followed_by_the_same_rows(
    hidden_run: tuple[PortalState, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state, folder = hidden_run
    with ExitStack() as stack:
        expected = hidden_rows(Site(folder, state, stack))
        (tmp_path / "site").mkdir()
        site = Site(tmp_path / "site", copy.deepcopy(state), stack)
        with monkeypatch.context() as patch:

            def fail(*_: Any) -> None:
                raise LedgerError("planted")

            patch.setattr(Session, "swap", fail)
            with pytest.raises(LedgerError, match="planted"):
                site.run()
        assert site.tables()["mart.rating_block"].empty
        edit(site)
        site.run()
        for name in HIDDEN:
            pd.testing.assert_frame_equal(hidden_rows(site)[name], expected[name], obj=name)


def test_a_lost_vault_takes_over_what_is_published(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    before = hidden_rows(site)
    (site.folder / "vault").rename(site.folder / "vault.lost")
    site.run()
    assert "taken over" in caplog.text
    after = hidden_rows(site)
    digest = ["row_digest"]
    # What was taken over is marked in the list of windows, so that no block reaches back over it.
    windows = after["ops.release_window"]
    cuts = windows["cut"].ne("adopted")
    assert not cuts.all()
    for name, frame in (after | {"ops.release_window": windows[cuts]}).items():
        one, other = (table.drop(columns=digest, errors="ignore") for table in (frame, before[name]))
        columns = list(one.columns)
        pd.testing.assert_frame_equal(
            one.sort_values(columns, ignore_index=True), other.sort_values(columns, ignore_index=True), obj=name
        )
    edit(site)
    site.run()
    assert_same(hidden_rows(site), after, "after the run that took them over")


def test_a_pseudonym_key_that_is_gone_before_its_time_is_refused(site: Site) -> None:
    vault, terms = site.settings.vault(), site.settings.terms
    october = date(2026, 10, 1)
    row = {"release_id": "r", "process_key": "a", "period": october, "pseudonym": "0" * 32, "score": 4.0}
    row |= {"rater_department_id": 7, "ratee_department_id": 8, "withdrawn_at": None}
    vault.write(BY_MONTH["rows"], "2026-10", pa.Table.from_pylist([row], SCHEMAS["rows"]))
    with pytest.raises(LostKeyError, match="2026-10 is gone"):
        _require_pseudonym_keys(vault, terms, date(2026, 11, 20))
    _require_pseudonym_keys(vault, terms, date(2027, 2, 8))
    vault.pseudonym_key("2026-10", make=True)
    _require_pseudonym_keys(vault, terms, date(2026, 11, 20))
