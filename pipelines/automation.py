"""When the pipeline runs: the one job and its daily schedule.

Belongs here: jobs, schedules, which months they cover. Does not belong here: assets, resources.
"""

from __future__ import annotations

import dagster as dg

from assets.periods import MONTHS

RANGE_START = "dagster/asset_partition_range_start"
RANGE_END = "dagster/asset_partition_range_end"

ratings_job = dg.define_asset_job(
    "ratings",
    selection=dg.AssetSelection.all(),
    executor_def=dg.in_process_executor,
    description="From the portal to the published tables, for a range of months in one run.",
)


def month_range(first: str, last: str) -> dict[str, str]:
    """Run tags for the months from `first` to `last` ("2026-01"), both included, in one run."""
    return {RANGE_START: first, RANGE_END: last}


MONTHS_A_DAY = 14
"""How far back the schedule looks: old months are edited and deleted too, but the vault forgets older ones."""


@dg.schedule(job=ratings_job, cron_schedule="30 5 * * *", execution_timezone="Europe/Moscow", name="daily")
def daily(context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
    """Every morning, the months the vault keeps."""
    keys = MONTHS.get_partition_keys()
    return dg.RunRequest(
        run_key=f"{context.scheduled_execution_time:%Y-%m-%d}", tags=month_range(keys[-MONTHS_A_DAY:][0], keys[-1])
    )
