"""The doctor's look at the warehouse.

Belongs here: whether it answers, what a run that was cut left there and what the next one makes of it, the last run.
Does not belong here: mending (`warehouse_sql/warehouse.py`), the checks of the data (`assets/checks.py`).

An embedded folder is opened read-only and past `Warehouse.session`, which would make it, and sweep what it finds.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipelines.findings import Findings
from pipelines.settings import Settings
from warehouse_sql.engine import EmbeddedEngine, WarehouseBusyError
from warehouse_sql.warehouse import INPUTS, PUBLISHED, STAGE, migration_files

WAIT_SECONDS = 1.0
LATE = timedelta(hours=50)
"""As the freshness policy of the published tables: two daily runs were missed."""

Query = Callable[[str], list[dict[str, Any]]]

TABLES = """
    SELECT concat(database, '.', name) AS name, toString(uuid) AS uuid, toInt64(ifNull(total_rows, 0)) AS amount
    FROM system.tables WHERE database IN ('dwh', 'hr', 'mart', 'ops', 'stg')
"""
OPEN_SWAPS = """
    SELECT table_name, toString(table_uuid) AS uuid FROM ops.swap_journal WHERE state = 'begin'
        AND swap_id NOT IN (SELECT swap_id FROM ops.swap_journal WHERE state = 'end')
    ORDER BY recorded_at
"""
LAST_RUN = """
    SELECT toString(toUnixTimestamp(finished_at)) AS finished, toString(period_from) AS first,
        toString(period_to) AS last
    FROM ops.load_run ORDER BY finished_at DESC LIMIT 1
"""


def examine_warehouse(settings: Settings, found: Findings, *, is_running: bool) -> None:
    """Looks at the warehouse.

    Args:
        settings: the configuration.
        found: where findings go.
        is_running: whether a run is at work, whose copies are no leftovers.
    """
    path = settings.warehouse_path
    if path is not None:
        if not path.is_dir():
            found.ok("warehouse", f"There is no warehouse at {path} yet: the first run makes it.")
            return
        _folder(path, found, is_running=is_running)
    with found.examine("warehouse"):
        try:
            with _reader(settings) as query:
                _inside(settings, query, found, is_running=is_running)
        except WarehouseBusyError:
            found.note(
                "warehouse",
                f"The warehouse folder {path} is open in another program (a run, `warehouse serve`), so its tables "
                "were not looked at: ask again when that has ended.",
            )


@contextmanager
def _reader(settings: Settings) -> Iterator[Query]:
    path = settings.warehouse_path
    if path is None:
        with settings.warehouse().session("doctor") as db:
            yield db.rows
        return
    with EmbeddedEngine(path, wait_seconds=WAIT_SECONDS, create=False) as engine:
        yield lambda sql: [
            json.loads(line) for line in engine.execute(sql, default_format="JSONEachRow", read_only=True).splitlines()
        ]


def _folder(path: Path, found: Findings, *, is_running: bool) -> None:
    mode = stat.S_IMODE(path.stat().st_mode)
    # A folder above that nobody else may enter closes what lies in it.
    is_reachable = all(folder.stat().st_mode & 0o011 for folder in path.resolve().parents)
    if mode & 0o077 and is_reachable:
        found.note(
            "warehouse folder",
            f"The warehouse folder {path} has mode {mode:04o}: whoever can read it can read all tables, hr with its "
            "names included, and no grant of the database holds him back; run chmod 700 on it.",
        )
    else:
        found.ok("warehouse folder", f"Only its owner can read {path}; he can read all tables in it, hr included.")
    spill = path.with_name(f"{path.name}.spill")
    if not is_running and spill.is_dir() and any(spill.iterdir()):
        found.note(
            "warehouse folder",
            f"A run was killed while it wrote and left rows in {spill}: the next run removes them.",
        )


def _inside(settings: Settings, query: Query, found: Findings, *, is_running: bool) -> None:
    place = settings.warehouse().place
    tables = {row["name"]: row for row in query(TABLES)}
    found.ok("warehouse", f"{place} answers, {len(tables)} tables.")
    if "ops.migration" not in tables:
        found.ok("warehouse", "It holds no tables of Estafeta yet: the first run makes them.")
        return
    with found.examine("migrations"):
        _migrations(place, query, set(tables), found)
    if "ops.swap_journal" in tables and not is_running:
        with found.examine("swap"):
            _swap(query, {name: row["uuid"] for name, row in tables.items()}, found)
        with found.examine("swap"):
            _copies(tables, found)
    if "ops.load_run" in tables:
        with found.examine("last run"):
            _last_run(query, found)


def _migrations(place: str, query: Query, tables: set[str], found: Findings) -> None:
    applied = {
        row["name"]: row["sha256"] for row in query("SELECT name, toString(sha256) AS sha256 FROM ops.migration")
    }
    files = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in migration_files()}
    edited = [name for name, digest in files.items() if applied.get(name, digest) != digest]
    lacking = [name for name in files if name not in applied]
    if edited:
        found.fail(
            "migrations",
            f"{', '.join(edited)} was applied to {place} in another wording: put the file back as it was and write the "
            "change as a new migration.",
        )
    if unknown := sorted(set(applied) - set(files)):
        found.fail(
            "migrations",
            f"{', '.join(unknown)} was applied to {place} and is not part of this version of Estafeta: the warehouse "
            "is of a newer one; install that.",
        )
    if lacking:
        found.note(
            "migrations",
            f"{', '.join(lacking)} is not applied to {place} yet: the next run does it, or `estafeta warehouse "
            "migrate`.",
        )
        return
    if gone := [target.full_name for target in PUBLISHED if target.full_name not in tables]:
        found.fail(
            "migrations",
            f"{', '.join(gone)} is gone from {place} although its migration is applied: restore the warehouse from a "
            "backup, or delete it and run again from the first month the vault holds.",
        )
        return
    found.ok("migrations", f"All {len(files)} are applied.")


def _swap(query: Query, uuids: dict[str, str], found: Findings) -> None:
    """Says what `Session.finish_swap` will do."""
    wanted = {row["table_name"]: row["uuid"] for row in query(OPEN_SWAPS)}
    if not wanted:
        found.ok("swap", "No swap is open: the published tables are all of one run.")
        return
    placed = [name for name, uuid in wanted.items() if uuids.get(name) == uuid]
    staged = {target.full_name: target.staged for target in PUBLISHED}
    lost = [name for name, uuid in wanted.items() if name not in placed and uuids.get(staged.get(name, "")) != uuid]
    if not placed:
        found.note(
            "swap",
            f"A run was cut just before it swapped {len(wanted)} tables: the published ones are as before it, and the "
            "next run builds anew.",
        )
    elif lost:
        found.fail(
            "swap",
            f"A swap was cut and {', '.join(lost)} cannot be finished, its copy is gone: restore the warehouse from a "
            "backup, or delete the rows of that swap from ops.swap_journal and run again.",
        )
    elif len(placed) < len(wanted):
        found.note(
            "swap",
            f"A swap was cut after {len(placed)} of {len(wanted)} tables, so the published ones are of two runs: the "
            "next run finishes it first, or `estafeta warehouse migrate` now.",
        )
    else:
        found.note(
            "swap", "A swap was cut after its last table: all are in place, the next run notes it in the journal."
        )


def _copies(tables: dict[str, dict[str, Any]], found: Findings) -> None:
    copies = [target.staged for target in PUBLISHED if target.staged in tables]
    filled = [name for name in INPUTS if int(tables.get(f"{STAGE}.{name}", {"amount": 0})["amount"])]
    if copies or filled:
        found.note(
            "swap",
            f"A run failed or was killed before it published: {len(copies)} copies and {len(filled)} filled inputs lie "
            f"in {STAGE}; the published tables are untouched by them, and the next run replaces them.",
        )


def _last_run(query: Query, found: Findings) -> None:
    rows = query(LAST_RUN)
    if not rows:
        found.note("last run", "No run has published anything yet: start one.")
        return
    finished = datetime.fromtimestamp(int(rows[0]["finished"]), UTC)
    age = datetime.now(UTC) - finished
    what = f"{finished:%Y-%m-%d %H:%M} UTC, months {rows[0]['first'][:7]} to {rows[0]['last'][:7]}"
    if age > LATE:
        found.note(
            "last run",
            f"The last run that published was {age.days} days ago ({what}): see why later ones failed or did not "
            "start, then start one.",
        )
    else:
        found.ok("last run", f"The last run published on {what}.")
