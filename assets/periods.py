"""Monthly partitions, and the months a run was asked for.

Belongs here: partition keys and their dates. Does not belong here: which months a run covers by default
(`pipelines/automation.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

import dagster as dg

from sources.contracts import FIRST_PERIOD

KEY_FORMAT = "%Y-%m"

MONTHS = dg.MonthlyPartitionsDefinition(
    start_date=FIRST_PERIOD.strftime(KEY_FORMAT),
    fmt=KEY_FORMAT,
    # The open month is a partition too, and it opens when it begins anywhere on Earth: the portal's time zone is
    # configuration, which a code location must load without.
    end_offset=1,
    timezone="Pacific/Kiritimati",
)

ONE_RUN = dg.BackfillPolicy.single_run()
"""A range of months is one run. Every asset has months and this policy, dimensions and marts too: Dagster's UI cuts a
backfill where they differ, and a run that does not hold all steps publishes nothing."""


def key_of(period: date) -> str:
    """Partition key of a month: "2026-01"."""
    return period.strftime(KEY_FORMAT)


def period_of(key: str) -> date:
    """First day of the month with this key."""
    year, month = key.split("-")
    return date(int(year), int(month), 1)


def next_month(period: date) -> date:
    """First day of the month after."""
    return date(period.year + period.month // 12, period.month % 12 + 1, 1)


def months_back(day: date, count: int) -> list[date]:
    """The last `count` months up to the one of the day, oldest first."""
    last = day.year * 12 + day.month - 1
    return [date(index // 12, index % 12 + 1, 1) for index in range(last - count + 1, last + 1)]


def months_asked(context: dg.AssetExecutionContext) -> list[date]:
    """The months this run covers, oldest first; also in assets that have no partitions themselves."""
    run = context.run.tags
    start = run.get("dagster/asset_partition_range_start") or run.get("dagster/partition")
    end = run.get("dagster/asset_partition_range_end") or start
    if start is None or end is None:
        raise dg.Failure("This run names no month: materialise it for a partition or a range of partitions.")
    keys = MONTHS.get_partition_keys_in_range(dg.PartitionKeyRange(start, end))
    return [period_of(key) for key in keys]


def yyyymm(periods: Iterable[date]) -> list[int]:
    """Months as ClickHouse's toYYYYMM writes them."""
    return [period.year * 100 + period.month for period in periods]
