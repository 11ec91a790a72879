"""Marts: what dashboards read, and the ledger of what was released of hidden ratings.

Belongs here: open scope by transform, hidden scope by adding the windows that were never released. Does not belong
here: thresholds (`rules/disclosure.py`), the swap.

A hidden window is released once. The ledger remembers it even if no row of it passed the threshold: a rating that
arrives after the freeze must not make a row appear later, which would show that it was the one that was missing.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Any

import dagster as dg
import pyarrow as pa

from assets.building import build, spec
from assets.guard import guarded
from assets.periods import MONTHS, ONE_RUN
from assets.release import policy_digest
from assets.rules.disclosure import METHOD
from assets.star import DIMENSION_SPECS, FACT_SPECS
from assets.terms import Terms
from sources.bitrix24 import Bitrix24
from sources.vault import CURRENT, Vault
from warehouse_sql.warehouse import PublishedTable, Session, Warehouse, table

logger = logging.getLogger(__name__)

CHECKS_PASSED = "k,rounding,clamp"


STAR_SPECS = (*DIMENSION_SPECS, *FACT_SPECS)
COVERAGE = spec("mart", "coverage", "Expected ratings and how many were given; open scope.", STAR_SPECS)
MART_SPECS = (
    COVERAGE,
    spec(
        "mart",
        "department_pair",
        "Department pairs: open scope exact by month, hidden scope as released by quarter.",
        [*STAR_SPECS, COVERAGE],
    ),
    spec("mart", "reason", "Reasons of lowered scores; open scope.", STAR_SPECS),
    spec("mart", "rule_violation", "Comment rules that ratings break; open scope.", STAR_SPECS),
    spec("mart", "comment_queue", "Comments to send back or to learn from; open scope.", STAR_SPECS),
    spec("mart", "comment_feed", "Comments of open ratings, as written.", STAR_SPECS),
    spec(
        "mart",
        "rating_block",
        "Released ratee blocks of hidden ratings; a row is written once and never changed.",
        STAR_SPECS,
        by_sql=False,
    ),
)


@dg.multi_asset(name="marts", specs=MART_SPECS, partitions_def=MONTHS, backfill_policy=ONE_RUN)
@guarded
def marts(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    vault: dg.ResourceParam[Vault],
    portal: dg.ResourceParam[Bitrix24],
    terms: dg.ResourceParam[Terms],
) -> Iterator[dg.MaterializeResult[None]]:
    """Rebuilds the open scope of all marts and adds hidden windows that were never released."""
    today = portal.now.date()
    yield from build(
        context,
        warehouse,
        "marts",
        MART_SPECS,
        {
            ("mart", "coverage"): lambda db, target: db.fill(target, {"today": today}),
            ("mart", "department_pair"): lambda db, target: _fill_pairs(db, target, vault, terms, today),
            ("mart", "rating_block"): lambda db, target: _fill_blocks(db, target, vault, terms, today),
        },
    )


def _fill_pairs(db: Session, target: PublishedTable, vault: Vault, terms: Terms, today: date) -> None:
    """Rebuilds the open scope and adds hidden quarters that were never released."""
    versions = sorted(vault.read("departments", CURRENT).to_pylist(), key=lambda row: row["valid_from"])
    names = {row["department_id"]: row["name"] for row in versions}
    db.fill(target)
    windows = _new_windows(db, vault, "department_pair")
    rows = [
        {"scope": "hidden"}
        | row
        | {
            "rater_department": names.get(row["rater_department_id"], ""),
            "ratee_department": names.get(row["ratee_department_id"], ""),
        }
        for row in _in_windows(vault.read("released_pair", CURRENT).to_pylist(), windows, "period_from")
    ]
    _publish_hidden(db, target.staged, "department_pair", rows, windows, today, terms)


def _fill_blocks(db: Session, target: PublishedTable, vault: Vault, terms: Terms, today: date) -> None:
    """Adds blocks of months that were never released."""
    stamp = {"policy_version": policy_digest(terms.policy), "released_at": today}
    windows = _new_windows(db, vault, "rating_block")
    blocks = vault.read("released_block", CURRENT).to_pylist()
    rows = [row | stamp for row in _in_windows(blocks, windows, "block_from")]
    _publish_hidden(db, target.staged, "rating_block", rows, windows, today, terms)


def _new_windows(db: Session, vault: Vault, cut: str) -> list[dict[str, Any]]:
    """Frozen windows of a cut that the ledger does not hold, each of one process."""
    done = {
        (row["process_key"], row["window_from"])
        for row in db.rows(
            "SELECT toString(process_key) AS process_key, window_from FROM ops.release_window WHERE cut = {cut:String}",
            {"cut": cut},
        )
    }
    return [
        row
        for row in vault.read("released_window", CURRENT).to_pylist()
        if row["cut"] == cut and (row["process_key"], row["window_from"]) not in done
    ]


def _in_windows(rows: list[dict[str, Any]], windows: list[dict[str, Any]], start: str) -> list[dict[str, Any]]:
    """Candidate rows that fall into new windows."""
    new = {(window["process_key"], window["window_from"]) for window in windows}
    return [row for row in rows if (row["process_key"], row[start]) in new]


def _publish_hidden(
    db: Session,
    staged: str,
    cut: str,
    rows: Sequence[dict[str, Any]],
    windows: Sequence[dict[str, Any]],
    today: date,
    terms: Terms,
) -> None:
    """Adds hidden rows and their ledger entries to the copies; both are swapped together."""
    if rows:
        # One sorted insert: neither order nor part may tell when or in which order ratings came.
        ordered = sorted(rows, key=_digest)
        db.insert(staged, pa.Table.from_pylist(ordered))
        db.insert(
            table("ops", "release").staged,
            pa.Table.from_pylist(
                [
                    {
                        "cut": cut,
                        "window_from": row.get("block_from", row.get("period_from")),
                        "window_to": row.get("block_to", row.get("period_to")),
                        "row_digest": _digest(row),
                        "policy_version": policy_digest(terms.policy),
                        "profile": terms.profile_name,
                        "method": METHOD,
                        "checks_passed": CHECKS_PASSED,
                        "released_at": today,
                    }
                    for row in ordered
                ]
            ),
        )
    if windows:
        db.insert(
            table("ops", "release_window").staged,
            pa.Table.from_pylist([window | {"released_at": today} for window in windows]),
        )
    logger.info("release: %s: %d rows in %d new windows", cut, len(rows), len(windows))


def _digest(row: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(row, default=str, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
