"""When the pipeline runs: the jobs, their schedule, the sensor that finds changed months, the one that tells failures.

Belongs here: jobs, schedules, sensors, which months they ask for. Does not belong here: assets, resources, how changes
are found (`assets/changes.py`).

The schedule covers this month every morning, so that people and departments are seen daily. The sensor covers what
changed in between and in old months, and months whose freeze has come; it never reads much itself, because Dagster
gives it a minute: a sweep, which reads every id, is a job.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, timedelta

import dagster as dg

from assets import crm
from assets.changes import Changes, due_months, find_changes, forgotten, spans
from assets.guard import guarded
from assets.periods import key_of
from assets.terms import Terms
from pipelines.lock import RunBusyError, run_lock
from pipelines.notify import tell_failure
from pipelines.settings import Settings
from sources.bitrix24 import Bitrix24
from sources.vault import Vault

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"

RUNS_KEPT = 200
"""Runs of each job that Dagster's storage remembers; a year of daily runs would be hundreds of thousands of events."""

LONGEST_START = timedelta(minutes=10)
"""A run that has begun longer ago holds the run lock, unless its process is dead."""

ratings_job = dg.define_asset_job(
    "ratings",
    selection=dg.AssetSelection.all(),
    executor_def=dg.in_process_executor,
    description="From the portal to the published tables, for a range of months in one run.",
)


def month_range(first: str, last: str) -> dict[str, str]:
    """Run tags for the months from `first` to `last` ("2026-01"), both included, in one run."""
    return {RANGE_START: first, RANGE_END: last}


@dg.op(description="Compares every id of the portal with the vault and notes the months that differ.")
@guarded
def look_everywhere(
    context: dg.OpExecutionContext,
    portal: dg.ResourceParam[Bitrix24],
    vault: dg.ResourceParam[Vault],
    terms: dg.ResourceParam[Terms],
) -> None:
    """Looks at all processes, with a sweep of those that need it."""
    found = find_changes(portal, vault, terms, sweep=True)
    context.log.info("months to read: %s", ", ".join(map(key_of, found.months)) or "none")


@dg.job(name="sweep", executor_def=dg.in_process_executor)
def sweep_job() -> None:
    """Finds edits with an old time, deletions and restorations; the sensor then asks for their months."""
    look_everywhere()


MATERIALIZE = "__ASSET_JOB"
"""The job that Dagster makes for Materialize in its pages; every code location of an instance has one of this name."""

JOBS = (ratings_job.name, sweep_job.name, MATERIALIZE)

PORTAL_READERS = frozenset({*crm.people.keys, *crm.raw.keys})
"""Assets that only a run which holds the run lock makes; by them a run of `MATERIALIZE` is known to be ours."""


@dg.schedule(job=ratings_job, cron_schedule="30 5 * * *", execution_timezone="Europe/Moscow", name="daily")
def daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Every morning, this month.

    Not the last: the vault may have destroyed it. `changed_months` asks for it when it changes and at its freeze.
    """
    day = context.scheduled_execution_time.date()
    return dg.RunRequest(run_key=f"{day}", tags=month_range(key_of(day), key_of(day)))


@dg.sensor(
    name="changed_months",
    jobs=[ratings_job, sweep_job],
    minimum_interval_seconds=900,
    description="Asks for the months whose elements changed in Bitrix24, and for a sweep when one is due.",
)
def changed_months(
    context: dg.SensorEvaluationContext, settings: dg.ResourceParam[Settings]
) -> Iterator[dg.RunRequest | dg.SkipReason]:
    """Looks at the portal; one run per stretch of months, tried once an hour as long as it fails."""
    forget_old_runs(context.instance)
    try:
        with run_lock(settings.state_path):
            end_killed_runs(context.instance)
            looked = None if _is_about_to_start(context.instance) else _look(settings)
    except RunBusyError as error:
        yield dg.SkipReason(str(error))
        return
    if looked is None:
        yield dg.SkipReason("A run is about to start; what changes meanwhile is found at the next look.")
        return
    found, due, destroyed, hour = looked
    if found.wants_sweep:
        yield dg.RunRequest(job_name=sweep_job.name, run_key=f"sweep@{hour}")
    stretches = spans({*found.months, *due}, destroyed)
    for start, end in stretches:
        first, last = key_of(start), key_of(end)
        yield dg.RunRequest(job_name=ratings_job.name, run_key=f"{first}..{last}@{hour}", tags=month_range(first, last))
    if not stretches and not found.wants_sweep:
        yield dg.SkipReason("Nothing changed.")


@guarded
def _look(settings: Settings) -> tuple[Changes, list[date], set[date], str]:
    """Changes, months due, months destroyed, and the portal's hour."""
    with settings.portal() as portal:
        vault, terms = settings.vault(), settings.terms
        found = find_changes(portal, vault, terms, sweep=False)
        due = due_months(vault, terms, portal.now.date(), with_open=False)
        return found, due, forgotten(vault), f"{portal.now:%Y-%m-%dT%H}"


def forget_old_runs(instance: dg.DagsterInstance) -> None:
    """Keeps Dagster's storage bounded: of our runs that ended, the latest `RUNS_KEPT` of each job."""
    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]
    for job in JOBS:
        for run in _our_runs(instance, job, ended)[RUNS_KEPT:]:
            instance.delete_run(run.run_id)


def end_killed_runs(instance: dg.DagsterInstance) -> None:
    """Marks runs failed whose process died without a word; only for whoever holds the run lock.

    Dagster takes them for running for ever, and starts no other run as long as it does.
    """
    begun = [
        dg.DagsterRunStatus.NOT_STARTED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
    since = datetime.now(UTC) - LONGEST_START
    for job in JOBS:
        for run in _our_runs(instance, job, begun, updated_before=since):
            instance.report_run_failed(run, "The run's process was killed; the next run does its work.")


def _is_about_to_start(instance: dg.DagsterInstance) -> bool:
    """Whether a run waits that does not hold the run lock yet."""
    waiting = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTING]
    return any(_our_runs(instance, job, waiting) for job in JOBS)


def _our_runs(
    instance: dg.DagsterInstance,
    job: str,
    statuses: Sequence[dg.DagsterRunStatus],
    *,
    updated_before: datetime | None = None,
) -> list[dg.DagsterRun]:
    """Runs of a job, latest first; of `MATERIALIZE` those alone that read the portal."""
    runs = instance.get_runs(dg.RunsFilter(job_name=job, statuses=statuses, updated_before=updated_before))
    return [run for run in runs if job != MATERIALIZE or PORTAL_READERS & (run.asset_selection or set())]


@dg.run_failure_sensor(
    name="tell_failure",
    monitored_jobs=[ratings_job, sweep_job],
    description="Sends the sentence of a failed run to whom the configuration names under notify.",
)
def failure_sensor(context: dg.RunFailureSensorContext, settings: dg.ResourceParam[Settings]) -> None:
    """Tells one sentence per failed run."""
    failure = failure_of(context)
    if failure is not None:
        tell_failure(settings, *failure)


def failure_of(context: dg.RunFailureSensorContext) -> tuple[str, str] | None:
    """Sentence and exception class of the step that failed, or of what kept the run from its first step.

    Its text is safe: every step is guarded, and opening a run's resources says sentences of ours.

    Returns:
        None if the run only found another one at work, which `estafeta run` tells nobody either. The class is empty
        where there was no exception.
    """
    event = context.failure_event
    errors = [failed.step_failure_data.error for failed in context.get_step_failure_events()]
    # A run that something outside has ended has no data.
    errors += [event.job_failure_data.error] if event.event_specific_data else []
    for error in filter(None, errors):
        while error.cause is not None:
            error = error.cause
        if error.cls_name == RunBusyError.__name__:
            return None
        return error.message.partition(": ")[2].strip() or error.message.strip(), error.cls_name or ""
    return event.message or "A run failed.", ""
