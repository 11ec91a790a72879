"""One run of the pipeline outside Dagster's own processes: lock, instance, job, verdict.

Belongs here: what `estafeta run` and the demo do around the job. Does not belong here: the job (`automation.py`), the
command line (`cli.py`).
"""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import yaml
from sqlalchemy.exc import OperationalError

from assets.changes import due_months, find_changes, forgotten, spans
from assets.periods import key_of, next_month
from assets.terms import Terms
from pipelines.automation import end_killed_runs, forget_old_runs, month_range, ratings_job
from pipelines.definitions import build_defs
from pipelines.lock import run_lock
from pipelines.settings import Settings
from sources.bitrix24 import Bitrix24
from sources.contracts import Process
from sources.vault import Vault

logger = logging.getLogger(__name__)

INSTANCE = {
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
    "concurrency": {"runs": {"max_concurrent_runs": 1}},
}
"""Settings of the storage that a run makes beside the vault; dagster.yaml in the repository is for a DAGSTER_HOME."""


NO_PLACE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EACCES, errno.EPERM}
"""Why a file cannot be written, as far as an operator can mend it."""


class NothingToReadError(Exception):
    """The range of months asked for is empty or not there yet."""


class StorageError(Exception):
    """The records that a run keeps apart from vault and warehouse cannot be written."""


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Attributes:
        run_ids: Dagster runs, one per stretch of months.
        counts: measure ("read", "excluded", "released") to item to ratings.
        rows: published table to its rows.
        changed: published tables the run changed.
    """

    run_ids: list[str]
    counts: dict[str, dict[str, int]]
    rows: dict[str, int]
    changed: list[str]


def execute(
    settings: Settings,
    *,
    first: str | None = None,
    last: str | None = None,
    accept_deletions: bool = False,
    instance: dg.DagsterInstance | None = None,
) -> RunReport:
    """Runs the job for a range of months and reads its record from the warehouse.

    Args:
        settings: the configuration.
        first: first month ("2026-01"); default: the oldest that portal or vault know.
        last: last month; default: the portal's current one.
        accept_deletions: whether a mass deletion is believed.
        instance: Dagster's storage; default: that of DAGSTER_HOME, or a folder beside the vault.

    Without `first` and `last` the months are those that are open, and those whose elements changed since the last run.

    Raises:
        RunBusyError: another run holds the lock.
        NothingToReadError: the months asked for are none, or have not begun.
        StorageError: Dagster's storage or the run lock cannot be written, for example because the disk is full.
        AuditFailedError: a check failed; the message names it.
        Exception: whatever a step raised, unchanged.
    """
    storage = contextlib.nullcontext(instance) if instance else _instance(settings)
    home = settings.dagster_home or settings.state_path
    with _told_plainly(home), run_lock(settings.state_path), storage as instance, settings.portal() as portal:
        end_killed_runs(instance)
        vault = settings.vault()
        if first or last:
            stretches = [_range_asked(portal, vault, settings, first, last)]
        else:
            stretches = _stretches_changed(portal, vault, settings.terms)
        job = build_defs(
            resource_overrides={
                "portal": portal,
                "vault": vault,
                "warehouse": settings.warehouse(),
                "terms": settings.terms,
            }
        ).resolve_job_def(ratings_job.name)
        run_ids = []
        for start, end in stretches:
            logger.info("run: %s to %s", start, end)
            result = job.execute_in_process(
                instance=instance,
                tags=month_range(start, end),
                run_config={
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                    "ops": {
                        name: {"config": {"accept_deletions": accept_deletions}}
                        for name in ("vault__people", "vault__raw")
                    },
                },
            )
            run_ids.append(result.run_id)
        forget_old_runs(instance)
    return read_report(settings, run_ids)


def _stretches_changed(portal: Bitrix24, vault: Vault, terms: Terms) -> list[tuple[str, str]]:
    """First and last month of each run that is needed."""
    found = find_changes(portal, vault, terms, sweep=True)
    months = {*found.months, *due_months(vault, terms, portal.now.date(), with_open=True)}
    return [(key_of(start), key_of(end)) for start, end in spans(months, forgotten(vault))]


def _range_asked(
    portal: Bitrix24, vault: Vault, settings: Settings, first: str | None, last: str | None
) -> tuple[str, str]:
    start, end = default_range(portal, vault, settings.file.processes)
    first, last = first or start, last or end
    if first > last or last > end:
        raise NothingToReadError(
            f"There is nothing to read from {first} to {last}: ratings begin in {start}, and the portal's current "
            f"month is {end}; correct --from and --to."
        )
    return first, last


def default_range(portal: Bitrix24, vault: Vault, processes: Sequence[Process]) -> tuple[str, str]:
    """Every month that can hold a rating: from the oldest one of portal and vault to the portal's current one.

    Dagster writes an event per asset and month, 25 ms each, so empty years before the first rating would cost more
    than the work itself. Destroyed months are never read again.
    """
    current = key_of(portal.now.date())
    oldest = portal.first_period(processes)
    start = min([*vault.periods("raw")[:1], key_of(oldest) if oldest else current, current])
    destroyed = forgotten(vault)
    return max([start, *(key_of(next_month(month)) for month in destroyed)]), current


def read_report(settings: Settings, run_ids: Sequence[str]) -> RunReport:
    """Reads what `ops` recorded of the runs."""
    with settings.warehouse().session("report") as db:
        counts = db.rows(
            "SELECT measure, item, sum(ratings) AS ratings FROM ops.load_count WHERE run_id IN {runs:Array(String)} "
            "GROUP BY measure, item ORDER BY measure, item",
            {"runs": list(run_ids)},
        )
        tables = db.rows(
            "SELECT table_name, argMax(rows_written, indexOf({runs:Array(String)}, run_id)) AS rows_written, "
            "max(is_changed) AS is_changed FROM ops.load_run WHERE run_id IN {runs:Array(String)} "
            "GROUP BY table_name ORDER BY table_name",
            {"runs": list(run_ids)},
        )
    by_measure: dict[str, dict[str, int]] = {"read": {}, "excluded": {}, "released": {}}
    for row in counts:
        by_measure[row["measure"]][row["item"]] = row["ratings"]
    return RunReport(
        list(run_ids),
        by_measure,
        {row["table_name"]: row["rows_written"] for row in tables},
        [row["table_name"] for row in tables if row["is_changed"]],
    )


@contextlib.contextmanager
def _told_plainly(home: Path) -> Iterator[None]:
    """Tells a disk that takes nothing in a sentence; the database's own text quotes what it could not write."""
    problem = ""
    try:
        yield
    except OperationalError as error:
        problem = str(error.orig) if isinstance(error.orig, sqlite3.Error) else type(error.orig).__name__
    except OSError as error:
        if error.errno not in NO_PLACE:
            raise
        problem = error.strerror or type(error).__name__
    if problem:
        # The folder itself may be what could not be made.
        there = next(folder for folder in (home, *home.absolute().parents) if folder.exists())
        raise StorageError(
            f"The records of runs in {home} cannot be written ({problem}, {shutil.disk_usage(there).free // 2**20} "
            "MiB free): make room on that disk or mend its rights, then run again. Published tables are whole, as "
            "before or as after this run."
        )


@contextlib.contextmanager
def _instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Dagster's storage: DAGSTER_HOME if set, so that its UI shows the run, else a folder beside the vault."""
    if settings.dagster_home:
        with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
            yield instance
        return
    home = settings.state_path / "dagster"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not (home / "dagster.yaml").exists():
        (home / "dagster.yaml").write_text(yaml.safe_dump(INSTANCE), encoding="utf-8")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance
