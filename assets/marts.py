"""Marts: what dashboards read, and the ledger of what was released of hidden ratings.

Belongs here: open scope by transform, hidden scope as the vault released it, the ledger beside it. Does not belong
here: what is released (`hidden.py`, `rules/`), the swap.

Both scopes are written anew by every run: hidden rows are copied from the vault's memory, so that a row that was
withdrawn leaves no part behind, and a warehouse from a backup gets back what it lacks.
"""

from collections.abc import Iterator

import dagster as dg

from assets.agreements import agreement
from assets.building import Fill, build, spec
from assets.guard import guarded
from assets.hidden import (
    SHOWN_IN,
    Released,
    check_ledger,
    decided_windows,
    ledger_entries,
    published,
    read_released,
)
from assets.periods import MONTHS, ONE_RUN
from assets.rules.hidden import BLOCK, COVERAGE, SCORE
from assets.star import DIMENSION_SPECS, FACT_SPECS
from sources.bitrix24 import Bitrix24
from sources.vault import CURRENT, Vault
from warehouse_sql.warehouse import PublishedTable, Session, Warehouse, table

STAR_SPECS = (*DIMENSION_SPECS, *FACT_SPECS)
COVERAGE_SPEC = spec("mart", "coverage", "Expected ratings and how many were given; hidden scope: shares.", STAR_SPECS)
PAIR_SPEC = spec(
    "mart",
    "department_pair",
    "Department pairs: open scope exact by month, hidden scope as released by quarter.",
    [*STAR_SPECS, COVERAGE_SPEC],
)
MART_SPECS = (
    COVERAGE_SPEC,
    PAIR_SPEC,
    spec("mart", "reason", "Reasons of lowered scores; hidden scope: shares by quarter.", STAR_SPECS),
    spec("mart", "rule_violation", "Comment rules that ratings break; hidden scope: shares by quarter.", STAR_SPECS),
    spec("mart", "comment_queue", "Comments to send back or to learn from; open scope.", STAR_SPECS),
    spec(
        "mart", "comment_feed", "Comments of open ratings as written; hidden scope: pooled, without people.", STAR_SPECS
    ),
    spec(
        "mart",
        "rating_block",
        "Released ratee blocks of hidden ratings; a row is written once and never changed.",
        STAR_SPECS,
        by_sql=False,
    ),
    spec("mart", "user_access", "Departments that a head may look at.", STAR_SPECS),
    spec("mart", "agreement", "What heads agreed, and what became of it.", [*STAR_SPECS, PAIR_SPEC, agreement]),
)


@dg.multi_asset(name="marts", specs=MART_SPECS, partitions_def=MONTHS, backfill_policy=ONE_RUN)
@guarded
def marts(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    vault: dg.ResourceParam[Vault],
    portal: dg.ResourceParam[Bitrix24],
) -> Iterator[dg.MaterializeResult[None]]:
    """Rebuilds all marts, hidden scope from what the vault released, and the ledger."""
    today = portal.now.date()
    found = read_released(vault)
    fills: dict[tuple[str, str], Fill] = {
        (target.database, target.name): _with_hidden(cut, found, {"today": today} if cut == COVERAGE else None)
        for cut, target in SHOWN_IN.items()
        # A fact: it stands beside the named scores.
        if cut != SCORE
    }
    lines = vault.read("agreement", CURRENT).replace_schema_metadata(None)

    def first(db: Session) -> None:
        _write_ledger(db, found)
        db.lay_down("agreement_line", lines)

    yield from build(context, warehouse, "marts", MART_SPECS, fills, first=first)


def _with_hidden(cut: str, found: Released, parameters: dict[str, object] | None) -> Fill:
    """Fills a mart: open scope by its transform, hidden scope with released rows, as one sorted insert."""

    def fill(db: Session, target: PublishedTable) -> None:
        if cut != BLOCK:
            db.fill(target, parameters)
        db.insert(target.staged, published(found, cut))

    return fill


def _write_ledger(db: Session, found: Released) -> None:
    """Writes the ledger anew, unless what is published differs from what was released."""
    check_ledger(db, found)
    db.insert(table("ops", "release").staged, ledger_entries(found))
    db.insert(table("ops", "release_window").staged, decided_windows(found))
