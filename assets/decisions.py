"""What people decided on recommendations and made of signals, from where HR keeps it into the vault.

Belongs here: reading the sources whole, writing the snapshots. Does not belong here: what a decision is worth
(`rules/decisions.py`), what the sources look like (`sources/decisions.py`), publishing (`star.py`).
"""

import logging

import dagster as dg
import pyarrow as pa

from assets.crm import OWNERS
from assets.guard import guarded
from assets.periods import MONTHS, ONE_RUN
from assets.rules.signals import SIGNALS
from assets.terms import Terms
from sources.bitrix24 import Bitrix24
from sources.decisions import DECISION_COLUMNS, REVIEW_COLUMNS, read_decisions, read_reviews
from sources.vault import CURRENT, Vault

logger = logging.getLogger(__name__)


@dg.asset(
    key=["vault", "decision"],
    group_name="scores",
    owners=OWNERS,
    kinds={"bitrix24", "python"},
    description="Decisions of people on recommendations, and signals they looked at; encrypted.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def decision(
    portal: dg.ResourceParam[Bitrix24], vault: dg.ResourceParam[Vault], terms: dg.ResourceParam[Terms]
) -> dg.MaterializeResult[None]:
    """Reads all decisions and reviews: they are few, and one that was deleted must go."""
    decisions = _decisions(portal, vault, terms)
    reviews = read_reviews(terms.reviews_csv, SIGNALS) if terms.reviews_csv else REVIEW_COLUMNS.empty_table()
    vault.write("decision", CURRENT, decisions)
    vault.write("review", CURRENT, reviews)
    logger.info("decisions: %d decisions, %d reviews of signals", len(decisions), len(reviews))
    return dg.MaterializeResult(metadata={"dagster/row_count": len(decisions), "reviews": len(reviews)})


def _decisions(portal: Bitrix24, vault: Vault, terms: Terms) -> pa.Table:
    if terms.decisions_csv:
        return read_decisions(terms.decisions_csv, terms.decision_values)
    if terms.decision_process:
        known = vault.read("decision", CURRENT)["number"].to_pylist() if vault.has("decision", CURRENT) else []
        return portal.decisions(terms.decision_process, known)
    return DECISION_COLUMNS.empty_table()
