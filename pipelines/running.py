"""One run of the pipeline outside Dagster's own processes: lock, instance, job, verdict.

Belongs here: what `estafeta run` and the demo do around the job. Does not belong here: the job (`automation.py`), the
command line (`cli.py`).
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from pipelines.automation import all_months, month_range, ratings_job
from pipelines.definitions import build_defs
from pipelines.settings import Settings

logger = logging.getLogger(__name__)


class AuditFailedError(Exception):
    """A copy broke a rule, so the published tables were left as they were."""


class RunBusyError(Exception):
    """Another run of the same portal is at work."""


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Attributes:
        run_id: Dagster run.
        counts: measure ("read", "excluded", "released") to item to ratings.
        rows: published table to its rows.
        changed: published tables the run changed.
    """

    run_id: str
    counts: dict[str, dict[str, int]]
    rows: dict[str, int]
    changed: list[str]


def execute(
    settings: Settings,
    config_file: Path | str,
    *,
    first: str | None = None,
    last: str | None = None,
    accept_deletions: bool = False,
) -> RunReport:
    """Runs the job for a range of months and reads its record from the warehouse.

    Args:
        settings: the configuration, for lock and storage.
        config_file: the same, for the resources.
        first: first month ("2026-01"); default: 2020-01.
        last: last month; default: the current one.
        accept_deletions: whether a mass deletion is believed.

    Raises:
        RunBusyError: another run holds the lock.
        AuditFailedError: a check failed; the message names it.
        Exception: whatever a step raised, unchanged.
    """
    start, end = all_months()
    with run_lock(settings.state_path), _instance(settings) as instance:
        result = (
            build_defs(config_file=str(config_file))
            .get_job_def(ratings_job.name)
            .execute_in_process(
                instance=instance,
                tags=month_range(first or start, last or end),
                run_config={
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                    "ops": {"vault__raw": {"config": {"accept_deletions": accept_deletions}}},
                },
                raise_on_error=True,
            )
        )
        return read_report(settings, result.run_id)


def read_report(settings: Settings, run_id: str) -> RunReport:
    """Reads what `ops` recorded of a run."""
    with settings.warehouse().session("report") as db:
        counts = db.rows(
            "SELECT measure, item, ratings FROM ops.load_count WHERE run_id = {run:String} ORDER BY measure, item",
            {"run": run_id},
        )
        tables = db.rows(
            "SELECT table_name, rows_written, is_changed FROM ops.load_run WHERE run_id = {run:String}", {"run": run_id}
        )
    by_measure: dict[str, dict[str, int]] = {"read": {}, "excluded": {}, "released": {}}
    for row in counts:
        by_measure[row["measure"]][row["item"]] = row["ratings"]
    return RunReport(
        run_id,
        by_measure,
        {row["table_name"]: row["rows_written"] for row in tables},
        [row["table_name"] for row in tables if row["is_changed"]],
    )


@contextlib.contextmanager
def run_lock(state: Path) -> Iterator[None]:
    """Holds the portal's run lock; the system drops it when the process dies, however it dies."""
    state.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(state / "run.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        busy = False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            busy = True
        if busy:
            raise RunBusyError("Another run of this portal is at work; wait until it ends.")
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """Dagster's storage: DAGSTER_HOME if set, so that its UI shows the run, else a folder beside the vault."""
    if settings.dagster_home:
        with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
            yield instance
        return
    home = settings.state_path / "dagster"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    reference = InstanceRef.from_dir(str(home), overrides={"telemetry": {"enabled": False}})
    with dg.DagsterInstance.from_ref(reference) as instance:
        yield instance


