"""Bad input ends with status 1 and one sentence that names the thing and the mend; published tables stay untouched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pandas as pd
import pytest
import yaml

from pipelines import running
from pipelines.cli import main
from tests.e2e.conftest import Site
from warehouse_sql.engine import FolderLock

Spoil = Callable[[Site, dict[str, Any], pytest.MonkeyPatch], None]


def wrong_webhook(site: Site, config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    patch.setenv("BITRIX24_WEBHOOK_URL", site.portal.webhook.replace("/rest/1/", "/rest/1/x"))


def no_webhook(site: Site, config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    patch.delenv("BITRIX24_WEBHOOK_URL")


def missing_scope(site: Site, config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    site.portal.scopes.discard("task")


def unknown_process(site: Site, config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    config["processes"][0]["entity_type_id"] = 1998


def unknown_field(site: Site, config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    config["processes"][0]["fields"]["comment"] += "7"


def contradicting_policy(site: Site, config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    key = config["processes"][0]["key"]
    config["policies"] = [
        {"process": key, "valid_from": "2025-01-01", "mode": "open"},
        {"process": "*", "rater_department": 1, "valid_from": "2025-01-01", "mode": "aggregate"},
    ]


def unknown_key(site: Site, config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    config["processes"][0]["cadense"] = config["processes"][0].pop("cadence")


def two_warehouses(site: Site, config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    config["warehouse"]["url"] = "http://127.0.0.1:9"


def unreachable_warehouse(site: Site, config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    patch.setenv("CLICKHOUSE_URL", "http://127.0.0.1:9")


def busy_warehouse(site: Site, config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    acquire = FolderLock.acquire
    patch.setattr(FolderLock, "acquire", lambda self, wait_seconds=0.0: acquire(self, 0.2))
    script = (
        "import fcntl, sys, time; file = open(sys.argv[1], 'a'); fcntl.flock(file, fcntl.LOCK_EX); "
        "print(1, flush=True); time.sleep(60)"
    )
    lock = str(site.folder / "warehouse.lock")
    holder = subprocess.Popen([sys.executable, "-c", script, lock], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    holder.stdout.readline()
    patch.setattr(site, "holder", holder, raising=False)


def lost_key(site: Site, config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    site.key.unlink()


def other_key(site: Site, config: dict[str, Any], patch: pytest.MonkeyPatch) -> None:
    site.key.write_bytes(bytes(range(32)))


CASES: list[tuple[Spoil, list[str]]] = [
    (wrong_webhook, ["webhook", "BITRIX24_WEBHOOK_URL"]),
    (no_webhook, ["BITRIX24_WEBHOOK_URL is not set"]),
    (missing_scope, ["tasks.task.list", "scope task"]),
    (unknown_process, ["1998", "entity_type_id", "production"]),
    (unknown_field, ["comment", "did you mean", "production"]),
    (contradicting_policy, ["contradicts itself", "rater_department: 1"]),
    (unknown_key, ["unknown key", "cadense", "did you mean cadence"]),
    (two_warehouses, ["warehouse", "path and url exclude each other"]),
    (unreachable_warehouse, ["ClickHouse at 127.0.0.1:9", "CLICKHOUSE_URL"]),
    (busy_warehouse, ["warehouse", "in use"]),
    (lost_key, ["key file", "does not exist"]),
    (other_key, ["key file does not open"]),
]


@pytest.mark.parametrize(("spoil", "words"), CASES, ids=[spoil.__name__ for spoil, _ in CASES])
def test_a_run_with_bad_input_says_what_and_how_to_mend_it(
    tiny_site: Site,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    spoil: Spoil,
    words: list[str],
) -> None:
    before = tiny_site.tables()
    for name, value in tiny_site.environment.items():
        monkeypatch.setenv(name, value)
    sound = tiny_site.file.read_text(encoding="utf-8")
    spoil(tiny_site, tiny_site.config, monkeypatch)
    tiny_site.file.write_text(yaml.safe_dump(tiny_site.config, allow_unicode=True), encoding="utf-8")

    status, stderr = command(monkeypatch, capsys, "run", "--config", str(tiny_site.file))
    if hasattr(tiny_site, "holder"):
        tiny_site.holder.kill()
        tiny_site.holder.wait()
    assert status == 1
    last = stderr.strip().splitlines()[-1]
    assert last.startswith("estafeta: ")
    for word in words:
        assert word in last
    assert "Traceback" not in stderr
    assert tiny_site.portal.webhook.split("/")[-2] not in stderr
    monkeypatch.undo()
    tiny_site.file.write_text(sound, encoding="utf-8")
    for name, frame in tiny_site.tables().items():
        pd.testing.assert_frame_equal(frame, before[name], obj=name)


@pytest.mark.parametrize(
    "arguments",
    [
        ["run", "--from", "2026-13"],
        ["run", "--from", "2026-10", "--to", "2026-09"],
        ["run", "--bogus"],
        ["nosuch"],
        ["vault", "forget"],
        ["portal", "serve", "--scale", "huge"],
        ["portal", "serve", "--now", "2026-01-01"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], arguments: list[str]
) -> None:
    status, stderr = command(monkeypatch, capsys, *arguments)
    assert status == 2
    assert "Traceback" not in stderr
    assert stderr


def test_a_missing_configuration_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, stderr = command(monkeypatch, capsys, "doctor", "--config", str(tmp_path / "none.yaml"))
    assert status == 1
    assert "none.yaml does not exist" in stderr


def test_the_doctor_finds_what_is_wrong_and_ends_with_1(
    tiny_site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in tiny_site.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "argv", ["estafeta", "doctor", "--config", str(tiny_site.file)])
    with pytest.raises(SystemExit) as leave:
        main()
    assert not leave.value.code
    healthy = capsys.readouterr().out
    assert "Every mapped field exists" in healthy
    assert "The last run published on" in healthy
    assert "FAIL" not in healthy

    tiny_site.portal.scopes.discard("user_brief")
    tiny_site.key.chmod(0o644)
    with pytest.raises(SystemExit) as leave:
        main()
    assert leave.value.code == 1
    sick = capsys.readouterr().out
    assert "user_brief" in sick
    assert "chmod 600" in sick


def test_forgetting_a_month_destroys_its_snapshots_and_leaves_published_rows(
    tiny_site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in tiny_site.environment.items():
        monkeypatch.setenv(name, value)
    before = tiny_site.tables()
    month = tiny_site.settings.vault().periods("raw")[0]
    status, _ = command(monkeypatch, capsys, "vault", "forget", "--period", month, "--config", str(tiny_site.file))
    assert status == 0
    assert month not in tiny_site.settings.vault().periods("raw")
    assert not list((tiny_site.folder / "vault").glob(f"*/{month}*"))
    for name, frame in tiny_site.tables().items():
        pd.testing.assert_frame_equal(frame, before[name], obj=name)
    status, stderr = command(monkeypatch, capsys, "vault", "forget", "--period", month, "--config", str(tiny_site.file))
    assert status == 1
    assert month in stderr


def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Runs the command line in this process with Dagster's storage in memory; its exit status and stderr.

    That a run keeps its records on disk is seen by the tests that start the command line.
    """
    monkeypatch.setattr(running, "_instance", lambda _: dg.DagsterInstance.ephemeral())
    monkeypatch.setattr(sys, "argv", ["estafeta", *arguments])
    with pytest.raises(SystemExit) as leave:
        main()
    return int(leave.value.code or 0), capsys.readouterr().err
