"""Vault raw to checked ratings: departments, comment level, reasons and exclusion code of every rating.

Belongs here: reading and writing the snapshots around `rules.structure.check`. Does not belong here: any rule.

All months of the vault are checked together, whatever months were read: a rating of March can be the duplicate of one
of January, and January's deletion then brings March's back. A month whose verdicts did not change is not written.
"""

import logging
from collections.abc import Mapping, Sequence

import dagster as dg
import pandas as pd
import pyarrow as pa

from assets.changes import shadowed
from assets.crm import OWNERS, people, raw, read_months
from assets.guard import guarded
from assets.periods import MONTHS, ONE_RUN
from assets.rules.organisation import Organisation
from assets.rules.structure import EXCLUSION_CODES, check
from assets.terms import Terms
from sources.contracts import RATING_COLUMNS
from sources.vault import CURRENT, Vault

logger = logging.getLogger(__name__)

CHECKED_COLUMNS = pa.schema(
    [
        *RATING_COLUMNS,
        pa.field("rater_department_id", pa.int64(), nullable=False),
        pa.field("ratee_department_id", pa.int64(), nullable=False),
        pa.field("comment_level", pa.string(), nullable=False),
        pa.field("comment_rules", pa.string(), nullable=False),
        pa.field("ruleset_version", pa.string(), nullable=False),
        pa.field("reason_codes", pa.string(), nullable=False),
        pa.field("reason_source", pa.string(), nullable=False),
        pa.field("exclusion_code", pa.string(), nullable=False),
        pa.field("is_counted", pa.bool_(), nullable=False),
    ]
)
"""The vault dataset `checked`: `raw` plus the verdicts."""


@dg.asset(
    key=["vault", "checked"],
    deps=[raw, people],
    group_name="rules",
    owners=OWNERS,
    kinds={"python"},
    description="Every rating with departments, worth of its comment, and the first reason not to count it; encrypted.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def checked(vault: dg.ResourceParam[Vault], terms: dg.ResourceParam[Terms]) -> dg.MaterializeResult[None]:
    """Checks all ratings in the vault."""
    keys = vault.periods("raw")
    ratings = read_months(vault, "raw", keys, RATING_COLUMNS).to_pandas()
    configured = ratings["process_key"].isin([process.key for process in terms.processes])
    ratings = ratings[configured].reset_index(drop=True)
    verdicts = check(
        ratings,
        terms.by_process(),
        organisation(vault),
        terms.freeze_day,
        shadowed(vault),
        count_unexplained=terms.count_unexplained,
    )
    write_months(vault, "checked", keys, verdicts, CHECKED_COLUMNS)
    codes, levels = verdicts["exclusion_code"].value_counts(), verdicts["comment_level"].value_counts()
    logger.info("rules: %d ratings checked, %d counted", len(verdicts), int(verdicts["is_counted"].sum()))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(verdicts),
            "counted": int(codes.get("", 0)),
            **{f"excluded/{code}": int(codes[code]) for code in EXCLUSION_CODES if code in codes},
            **{f"comment/{level}": int(count) for level, count in levels.items()},
        }
    )


def organisation(vault: Vault) -> Organisation:
    """People and departments with all their versions."""
    return Organisation(vault.read("employees", CURRENT).to_pandas(), vault.read("departments", CURRENT).to_pandas())


def write_months(
    vault: Vault,
    dataset: str,
    keys: list[str],
    rows: pd.DataFrame,
    columns: pa.Schema,
    notes: Mapping[str, str] | None = None,
    order: Sequence[str] = ("process_key", "rating_id"),
) -> None:
    """Writes a frame month by month; a month whose snapshot already holds these rows is left alone.

    Args:
        vault: the vault.
        dataset: its dataset.
        keys: months to write, those without rows too.
        rows: the frame, with the column period.
        columns: what is written of it.
        notes: what to write beside the snapshots.
        order: columns that tell rows apart, so that equal rows make equal snapshots.
    """
    # An empty frame has lost its types, and Arrow will not guess a date.
    table = columns.empty_table()
    if not rows.empty:
        table = pa.Table.from_pandas(rows[columns.names], columns, preserve_index=False).replace_schema_metadata(None)
    months = pd.to_datetime(rows["period"]).dt.strftime("%Y-%m").to_numpy()
    for key in keys:
        part = table.filter(pa.array(months == key, pa.bool_())).sort_by([(column, "ascending") for column in order])
        if vault.has(dataset, key):
            before = vault.read(dataset, key).replace_schema_metadata(None)
            if before.schema == part.schema and before.equals(part):
                continue
        vault.write(dataset, key, part, notes)
