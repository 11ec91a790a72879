"""The swap: audited copies become the published tables.

Belongs here: the one step that changes what readers see, and its record in `ops`. Does not belong here: how a swap
works (`warehouse_sql/warehouse.py`).
"""

import logging
from datetime import UTC, date, datetime

import dagster as dg
import pandas as pd
import pyarrow as pa

from assets.checks import STEPS
from assets.crm import OWNERS, read_months
from assets.guard import guarded
from assets.marts import MARTS
from assets.periods import key_of, months_asked
from assets.ratings import CHECKED_COLUMNS
from assets.star import STAR
from sources.vault import CURRENT, Vault
from warehouse_sql.warehouse import PUBLISHED, Warehouse

logger = logging.getLogger(__name__)


@dg.asset(
    key=["ops", "load_run"],
    deps=[*STAR, *MARTS],
    group_name="ops",
    owners=OWNERS,
    kinds={"clickhouse"},
    description="The swap of all copies that differ, recorded as one row per table with counts.",
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
        changed = db.swap(context.run.run_id)
        counted = int(verdicts["is_counted"].sum())
        record = [
            {
                "run_id": context.run.run_id,
                "finished_at": datetime.now(UTC).replace(microsecond=0),
                "table_name": target.full_name,
                "period_from": months[0],
                "period_to": months[-1],
                "rows_read": len(verdicts) if target.rebuilt == "periods" else 0,
                "rows_kept": counted if target.rebuilt == "periods" else 0,
                "rows_excluded": len(verdicts) - counted if target.rebuilt == "periods" else 0,
                "rows_written": db.count(target.full_name),
                "is_changed": target in changed,
            }
            for target in PUBLISHED
        ]
        db.insert("ops.load_run", pa.Table.from_pylist(record))
        db.insert("ops.load_count", pa.Table.from_pylist(_counts(context.run.run_id, verdicts, vault, months)))
    for row in record:
        logger.info(
            "warehouse: %s: %d rows%s", row["table_name"], row["rows_written"], ", changed" if row["is_changed"] else ""
        )
    return dg.MaterializeResult(
        metadata={"tables_changed": len(changed), "ratings_read": len(verdicts), "ratings_counted": counted}
    )


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
