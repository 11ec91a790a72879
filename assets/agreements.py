"""What two heads agreed, from where they keep it into the vault.

Belongs here: reading the source whole, finding what its words mean, writing the snapshot. Does not belong here: what
the words mean (`rules/agreements.py`), what the source looks like (`sources/agreements.py`), was and became
(`mart/agreement.sql`).
"""

import logging

import dagster as dg
import pyarrow as pa

from assets.crm import OWNERS, people
from assets.guard import guarded
from assets.periods import MONTHS, ONE_RUN
from assets.rules.agreements import resolve
from assets.rules.reasons import REASONS
from assets.terms import Terms
from sources.agreements import AGREEMENT_COLUMNS, read_agreements
from sources.bitrix24 import Bitrix24
from sources.csv_file import MOST_LINES, lines_in_words
from sources.vault import CURRENT, Vault

logger = logging.getLogger(__name__)

AGREEMENT_LINES = pa.schema(
    [
        ("number", pa.int64()),
        ("agreed_on", pa.date32()),
        ("process_key", pa.string()),
        ("rater_department_id", pa.int64()),
        ("ratee_department_id", pa.int64()),
        ("reason_code", pa.string()),
        ("text", pa.string()),
        ("owner_id", pa.int64()),
        ("due", pa.date32()),
        ("is_done", pa.bool_()),
    ]
)
"""The vault dataset `agreement`, and `stg.agreement_line`."""


@dg.asset(
    key=["vault", "agreement"],
    group_name="scores",
    owners=OWNERS,
    kinds={"bitrix24", "python"},
    description="What department heads agreed with each other; encrypted until it is published.",
    deps=[people],
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def agreement(
    portal: dg.ResourceParam[Bitrix24], vault: dg.ResourceParam[Vault], terms: dg.ResourceParam[Terms]
) -> dg.MaterializeResult[None]:
    """Reads all agreements: they are few, and one that was taken out must go."""
    written = _agreements(portal, vault, terms)
    versions = sorted(vault.read("departments", CURRENT).to_pylist(), key=lambda row: row["valid_from"])
    lines, lost = resolve(
        written.to_pandas(),
        {row["department_id"]: row["name"] for row in versions},
        {process.key: process.title for process in terms.processes},
        REASONS,
    )
    if lost:
        logger.warning(
            "agreements: a department or the process is not known, or two departments have the name, in %s; write the "
            "department's number or its exact name, and the process's key or title; these are left out",
            lines_in_words(lost) if terms.agreements_csv else f"elements {', '.join(map(str, lost[:MOST_LINES]))}",
        )
    rows = pa.Table.from_pandas(lines, AGREEMENT_LINES, preserve_index=False)
    vault.write("agreement", CURRENT, rows)
    logger.info("agreements: %d read", len(rows))
    return dg.MaterializeResult(metadata={"dagster/row_count": len(rows), "left_out": len(lost)})


def _agreements(portal: Bitrix24, vault: Vault, terms: Terms) -> pa.Table:
    if terms.agreements_csv:
        return read_agreements(terms.agreements_csv)
    if terms.agreement_process:
        known = vault.read("agreement", CURRENT)["number"].to_pylist() if vault.has("agreement", CURRENT) else []
        return portal.agreements(terms.agreement_process, known)
    return AGREEMENT_COLUMNS.empty_table()
