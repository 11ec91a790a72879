"""Closed tasks and checked ratings to obligations: who should have rated whom, and whether they did.

Belongs here: reading and writing the snapshots around `rules.obligations.find_obligations`. Does not belong here: any
rule, what of it may leave the vault (`release.py`).

All months of the vault are looked at together, whatever months were read: a task of January can be rated in March, and
the deletion of that rating then opens January's obligation again. A month in which nothing changed is not written.
"""

import logging

import dagster as dg
import pandas as pd
import pyarrow as pa

from assets.changes import buried
from assets.crm import OWNERS, read_months
from assets.guard import guarded
from assets.periods import MONTHS, ONE_RUN
from assets.ratings import CHECKED_COLUMNS, checked, organisation, write_months
from assets.rules.obligations import FULFILLED, MISSED, WAIVED, Expectation, find_obligations
from assets.terms import Terms
from sources.bitrix24 import Bitrix24
from sources.contracts import TASK_COLUMNS
from sources.vault import Vault

logger = logging.getLogger(__name__)

OBLIGATION_COLUMNS = pa.schema(
    [
        pa.field("process_key", pa.string(), nullable=False),
        pa.field("period", pa.date32(), nullable=False),
        pa.field("rater_id", pa.int64(), nullable=False),
        pa.field("ratee_id", pa.int64(), nullable=False),
        pa.field("rater_department_id", pa.int64(), nullable=False),
        pa.field("ratee_department_id", pa.int64(), nullable=False),
        pa.field("task_id", pa.int64(), nullable=False),
        pa.field("tasks", pa.int64(), nullable=False),
        pa.field("expected_on", pa.date32(), nullable=False),
        pa.field("due_on", pa.date32(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("waiver", pa.string(), nullable=False),
        pa.field("rating_id", pa.int64(), nullable=False),
        pa.field("rated_on", pa.date32()),
    ]
)
"""The vault dataset `obligation`: one row per expected rating, in the month in which its tasks were closed; task_id is
0 for a rating of a month, rating_id 0 where none was given, waiver empty unless the status is waived."""

EXPECTED = ("process_key", "rater_id", "ratee_id", "task_id")
"""What tells expected ratings of a month apart."""

_RATING = ["process_key", "rating_id", "period", "rated_on", "rater_id", "ratee_id", "task_id", "is_deleted"]
_RATING += ["exclusion_code"]


@dg.asset(
    key=["vault", "obligation"],
    deps=[checked],
    group_name="rules",
    owners=OWNERS,
    kinds={"python"},
    description="Every rating that closed tasks ask for: given, missed or waived; encrypted.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def obligation(
    portal: dg.ResourceParam[Bitrix24], vault: dg.ResourceParam[Vault], terms: dg.ResourceParam[Terms]
) -> dg.MaterializeResult[None]:
    """Looks at all tasks and ratings in the vault."""
    keys = vault.periods("task")
    expected = expectations(terms)
    tasks = read_months(vault, "task", keys, TASK_COLUMNS).to_pandas()
    ratings = read_months(vault, "checked", vault.periods("checked"), CHECKED_COLUMNS).select(_RATING).to_pandas()
    destroyed = _destroyed(vault, keys)
    if not destroyed.empty:
        ratings = pd.concat([ratings, destroyed], ignore_index=True)
    found = find_obligations(tasks, ratings, expected, organisation(vault), terms.freeze_day, portal.now.date())
    write_months(vault, "obligation", keys, found, OBLIGATION_COLUMNS, order=EXPECTED)
    counts = {status: int(found["status"].eq(status).sum()) for status in (FULFILLED, MISSED, WAIVED)}
    logger.info("rules: %d ratings expected, %d given", len(found), counts[FULFILLED])
    return dg.MaterializeResult(metadata={"dagster/row_count": len(found), **counts})


def expectations(terms: Terms) -> dict[str, Expectation]:
    """What is expected in each process that names a workgroup of tasks."""
    return {
        process.key: Expectation(
            group_id=process.tasks.group_id,
            is_monthly=process.cadence == "month",
            min_tasks=process.tasks.min_tasks,
            setter_departments=frozenset(process.setter_departments),
            executor_departments=frozenset(process.executor_departments),
        )
        for process in terms.processes
        if process.tasks
    }


def _destroyed(vault: Vault, keys: list[str]) -> pd.DataFrame:
    """Ratings that fulfilled an obligation and were destroyed with their month since: they were given all the same."""
    before = read_months(vault, "obligation", keys, OBLIGATION_COLUMNS).to_pandas()
    dead = buried(vault).to_frame(index=False)
    given: pd.DataFrame = before.merge(dead, on=["process_key", "rating_id"])
    return given.assign(is_deleted=False, exclusion_code="")[_RATING]
