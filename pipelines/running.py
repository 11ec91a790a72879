"""One run of the pipeline outside Dagster's own processes: lock, instance, job, verdict.

Belongs here: what `estafeta run` and the demo do around the job. Does not belong here: the job (`automation.py`), the
command line (`cli.py`).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg
import yaml

from assets.periods import key_of
from pipelines.automation import month_range, ratings_job
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


class NothingToReadError(Exception):
    """The range of months asked for is empty or not there yet."""


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

    Raises:
        RunBusyError: another run holds the lock.
        NothingToReadError: the months asked for are none, or have not begun.
        AuditFailedError: a check failed; the message names it.
        Exception: whatever a step raised, unchanged.
    """
    storage = contextlib.nullcontext(instance) if instance else _instance(settings)
    with run_lock(settings.state_path), storage as instance, settings.portal() as portal:
        vault = settings.vault()
        vault.clean()
        start, end = default_range(portal, vault, settings.file.processes)
        first, last = first or start, last or end
        if first > last or last > end:
            raise NothingToReadError(
                f"There is nothing to read from {first} to {last}: ratings begin in {start}, and the portal's current "
                f"month is {end}; correct --from and --to."
            )
        logger.info("run: %s to %s", first, last)
        job = build_defs(
            resource_overrides={
                "portal": portal,
                "vault": vault,
                "warehouse": settings.warehouse(),
                "terms": settings.terms,
            }
        ).resolve_job_def(ratings_job.name)
        result = job.execute_in_process(
            instance=instance,
            tags=month_range(first, last),
            run_config={
                "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                "ops": {"vault__raw": {"config": {"accept_deletions": accept_deletions}}},
            },
        )
    return read_report(settings, result.run_id)


def default_range(portal: Bitrix24, vault: Vault, processes: Sequence[Process]) -> tuple[str, str]:
    """Every month that can hold a rating: from the oldest one of portal and vault to the portal's current one.

    Dagster writes an event per asset and month, 25 ms each, so empty years before the first rating would cost more
    than the work itself.
    """
    current = key_of(portal.now.date())
    oldest = portal.first_period(processes)
    return min([*vault.periods("raw")[:1], key_of(oldest) if oldest else current, current]), current


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
