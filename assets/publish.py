"""The swap: audited copies become the published tables.

Belongs here: the one step that changes what readers see, its record in `ops`, and what may be destroyed afterwards.
Does not belong here: how a swap works (`warehouse_sql/warehouse.py`).
"""

import logging
from datetime import UTC, date, datetime, timedelta

import dagster as dg
import pandas as pd
import pyarrow as pa

from assets.changes import forget, note_published
from assets.checks import STEPS
from assets.crm import OWNERS, read_months
from assets.guard import guarded
from assets.marts import marts
from assets.periods import MONTHS, ONE_RUN, key_of, months_asked, months_back, period_of
from assets.ratings import CHECKED_COLUMNS
from assets.rules.pseudonyms import key_expires
from assets.star import STAR
from assets.terms import Terms
from sources.bitrix24 import Bitrix24
from sources.vault import CURRENT, Vault
from warehouse_sql.warehouse import PUBLISHED, PublishedTable, Warehouse

logger = logging.getLogger(__name__)

FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=50), warn_window=timedelta(hours=26))
"""Published once a day: late after a day and a bit, stale after two."""


@dg.asset(
    key=["ops", "load_run"],
    deps=[*STAR, marts],
    group_name="ops",
    owners=OWNERS,
    kinds={"clickhouse"},
    freshness_policy=FRESH,
    description="The swap of all copies that differ, recorded as one row per table with counts.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def load_run(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse], vault: dg.ResourceParam[Vault]
) -> dg.MaterializeResult[None]:
    """Swaps dimensions, facts, marts and the release ledger, in this order."""
    months = months_asked(context)
    verdicts = read_months(vault, "checked", [key_of(period) for period in months], CHECKED_COLUMNS).to_pandas()
    with warehouse.session("swap") as db:
        db.require_steps(context.run.run_id, STEPS)
        seconds = db.step_seconds(context.run.run_id)
        changed = db.swap(context.run.run_id)
        counted = int(verdicts["is_counted"].sum())
        record = [
            {
                "run_id": context.run.run_id,
                "finished_at": datetime.now(UTC).replace(microsecond=0),
                "table_name": target.full_name,
                "period_from": months[0],
                "period_to": months[-1],
                "rows_read": len(verdicts) if _holds_ratings(target) else 0,
                "rows_kept": counted if _holds_ratings(target) else 0,
                "rows_excluded": len(verdicts) - counted if _holds_ratings(target) else 0,
                "rows_written": db.count(target.full_name),
                "is_changed": target in changed,
                "seconds": seconds.get(target.full_name, 0.0),
            }
            for target in PUBLISHED
        ]
        db.insert("ops.load_run", pa.Table.from_pylist(record))
        db.insert("ops.load_count", pa.Table.from_pylist(_counts(context.run.run_id, verdicts, vault, months)))
    note_published(vault, months)
    for row in record:
        logger.info(
            "published run=%s table=%s from=%s to=%s rows=%d changed=%s",
            context.run.run_id[:8],
            row["table_name"],
            key_of(months[0]),
            key_of(months[-1]),
            row["rows_written"],
            "yes" if row["is_changed"] else "no",
        )
    return dg.MaterializeResult(
        metadata={"tables_changed": len(changed), "ratings_read": len(verdicts), "ratings_counted": counted}
    )


@dg.asset(
    key=["vault", "retention"],
    deps=[load_run],
    group_name="ops",
    owners=OWNERS,
    kinds={"python"},
    description="The vault without months and pseudonym keys past their time; what was published of them stays.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def retention(
    portal: dg.ResourceParam[Bitrix24], vault: dg.ResourceParam[Vault], terms: dg.ResourceParam[Terms]
) -> dg.MaterializeResult[None]:
    """Destroys pseudonym keys and months past their time, after everything of them is published."""
    today = portal.now.date()
    _destroy_pseudonym_keys(vault, terms, today)
    kept = set(months_back(today, terms.retention_months))
    expired = [period for period in map(period_of, vault.held()) if period < min(kept)]
    for period in expired:
        forget(vault, terms, period, today)
    if expired:
        logger.info("vault: destroyed %s to %s: past %d months", expired[0], expired[-1], terms.retention_months)
    return dg.MaterializeResult(metadata={"months_destroyed": len(expired), "months_held": len(vault.held())})


def _destroy_pseudonym_keys(vault: Vault, terms: Terms, today: date) -> None:
    """Destroys the keys of pseudonyms three months after their month was frozen: nobody can tie them to people then."""
    expired = [key for key in vault.pseudonym_keys() if today >= key_expires(period_of(key), terms.freeze_day)]
    for key in expired:
        vault.destroy_pseudonym_key(key)
    if expired:
        logger.info("vault: destroyed the pseudonym keys of %s", ", ".join(expired))


def _holds_ratings(target: PublishedTable) -> bool:
    return target.name.startswith("fct_rating")


def _counts(run_id: str, verdicts: pd.DataFrame, vault: Vault, months: list[date]) -> list[dict[str, object]]:
    modes = vault.read("released_mode", CURRENT).to_pandas()
    modes = modes[modes["period"].isin(months)].groupby("mode")["ratings"].sum()
    measures = {
        "read": verdicts["process_key"].value_counts(),
        "excluded": verdicts.loc[verdicts["exclusion_code"].ne(""), "exclusion_code"].value_counts(),
        "released": modes,
    }
    return [
        {"run_id": run_id, "measure": measure, "item": str(item), "ratings": int(count)}
        for measure, counts in measures.items()
        for item, count in counts.items()
    ]
