"""Checked ratings and policy to what may leave the vault: rows, ratee blocks, department pairs.

Belongs here: applying `rules.policy` and `rules.disclosure`, and laying the result down in the vault dataset
`released`. Does not belong here: thresholds, or what was published before (the marts ask the ledger).

Whatever this asset does not write into `released*` can never reach the warehouse: the steps after it read nothing
else.
"""

import hashlib
import logging
from datetime import date

import dagster as dg
import pandas as pd
import pyarrow as pa

from assets.crm import OWNERS, read_months
from assets.guard import guarded
from assets.periods import MONTHS
from assets.ratings import CHECKED_COLUMNS, checked, organisation, write_months
from assets.rules.disclosure import complete_quarters, department_pairs, quarter_end, quarter_start, ratee_blocks
from assets.rules.policy import NAMED_MODES, PolicyBook
from assets.rules.structure import freeze_date
from assets.terms import Terms
from sources.bitrix24 import Bitrix24
from sources.vault import CURRENT, Vault

logger = logging.getLogger(__name__)

RELEASED_COLUMNS = pa.schema(
    [
        ("process_key", pa.string()),
        ("rating_id", pa.int64()),
        ("period", pa.date32()),
        ("rated_on", pa.date32()),
        ("ratee_id", pa.int64()),
        ("ratee_department_id", pa.int64()),
        ("rater_id", pa.int64()),
        ("rater_department_id", pa.int64()),
        ("task_id", pa.int64()),
        ("score", pa.uint8()),
        ("comment", pa.string()),
        ("comment_level", pa.string()),
        ("exclusion_code", pa.string()),
        ("mode", pa.string()),
        ("policy_version", pa.string()),
    ]
)
"""The vault dataset `released`: ratings in mode open or named_to_hr, and nothing of the others."""

BLOCK_COLUMNS = pa.schema(
    [
        ("ratee_id", pa.int64()),
        ("process_key", pa.string()),
        ("block_from", pa.date32()),
        ("block_to", pa.date32()),
        ("rater_band", pa.string()),
        ("score_band", pa.string()),
    ]
)
PAIR_COLUMNS = pa.schema(
    [
        ("process_key", pa.string()),
        ("rater_department_id", pa.int64()),
        ("ratee_department_id", pa.int64()),
        ("period_from", pa.date32()),
        ("period_to", pa.date32()),
        ("rater_band", pa.string()),
        ("mean_score", pa.float64()),
    ]
)
WINDOW_COLUMNS = pa.schema(
    [
        ("cut", pa.string()),
        ("process_key", pa.string()),
        ("window_from", pa.date32()),
        ("window_to", pa.date32()),
    ]
)
MODE_COLUMNS = pa.schema([("period", pa.date32()), ("mode", pa.string()), ("ratings", pa.int64())])


@dg.asset(
    key=["vault", "released"],
    deps=[checked],
    partitions_def=MONTHS,
    backfill_policy=dg.BackfillPolicy.single_run(),
    group_name="release",
    owners=OWNERS,
    kinds={"python"},
    description="What the policy lets out: rows of modes open and named_to_hr, hidden blocks and pairs; encrypted.",
)
@guarded
def released(
    portal: dg.ResourceParam[Bitrix24], vault: dg.ResourceParam[Vault], terms: dg.ResourceParam[Terms]
) -> dg.MaterializeResult[None]:
    """Gives every rating its mode and keeps only what its mode lets out."""
    today = portal.now.date()
    keys = vault.periods("checked")
    ratings = read_months(vault, "checked", keys, CHECKED_COLUMNS).to_pandas()
    mode, version = terms.policy.resolve(ratings, organisation(vault).lineage, today)
    ratings = ratings.assign(mode=mode, policy_version=version)
    rows = ratings[ratings["mode"].isin(list(NAMED_MODES))]
    write_months(vault, "released", keys, rows, RELEASED_COLUMNS)

    frozen = frozen_months(vault, terms.freeze_day)
    quarters = complete_quarters(frozen)
    blocks = ratee_blocks(ratings, frozen, terms.profile)
    pairs = department_pairs(ratings, frozen, quarters)
    held = ratings[["process_key", "period"]].drop_duplicates().itertuples(index=False)
    months = {(process, month) for process, month in held if month in frozen}
    held_quarters = {(process, quarter_start(month)) for process, month in months}
    windows = [
        *(("rating_block", process, month, month) for process, month in sorted(months)),
        *(
            ("department_pair", process, start, quarter_end(start))
            for process, start in sorted(held_quarters)
            if start in quarters
        ),
    ]
    _write(vault, "released_block", blocks, BLOCK_COLUMNS)
    _write(vault, "released_pair", pairs, PAIR_COLUMNS)
    _write(vault, "released_window", pd.DataFrame(windows, columns=WINDOW_COLUMNS.names), WINDOW_COLUMNS)
    counts = ratings.groupby(["period", "mode"]).size().rename("ratings").reset_index()
    _write(vault, "released_mode", counts, MODE_COLUMNS)
    logger.info(
        "release: %d of %d ratings as rows, %d ratee blocks and %d department pairs may be published",
        len(rows),
        len(ratings),
        len(blocks),
        len(pairs),
    )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "ratee_blocks": len(blocks),
            "department_pairs": len(pairs),
            "policy": policy_digest(terms.policy),
            **{f"mode/{name}": int(count) for name, count in ratings["mode"].value_counts().items()},
        }
    )


def frozen_months(vault: Vault, freeze_day: int) -> set[date]:
    """Months that were read in full after they were closed: only those may be published in hidden cuts."""
    coverage = vault.read("coverage", CURRENT).to_pylist()
    return {row["period"] for row in coverage if row["read_on"] >= freeze_date(row["period"], freeze_day)}


def policy_digest(policy: PolicyBook) -> str:
    """Digest of the whole policy, stamped on released hidden rows."""
    return hashlib.sha256(" ".join(sorted(entry.version for entry in policy.entries)).encode()).hexdigest()[:12]


def _write(vault: Vault, dataset: str, rows: pd.DataFrame, columns: pa.Schema) -> None:
    # An empty frame has lost its types, and Arrow will not guess a date.
    table = columns.empty_table() if rows.empty else pa.Table.from_pandas(rows, columns, preserve_index=False)
    vault.write(dataset, CURRENT, table)
