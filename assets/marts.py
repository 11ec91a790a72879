"""Marts: what dashboards read, and the ledger of what was released of hidden ratings.

Belongs here: open scope by transform, hidden scope by adding the windows that were never released. Does not belong
here: thresholds (`rules/disclosure.py`), the swap.

A hidden window is released once. The ledger remembers it even if no row of it passed the threshold: a rating that
arrives after the freeze must not make a row appear later, which would show that it was the one that was missing.
"""

import hashlib
import json
import logging
from collections.abc import Sequence
from datetime import date
from typing import Any

import dagster as dg
import pyarrow as pa

from assets.building import building, described
from assets.crm import OWNERS
from assets.guard import guarded
from assets.periods import MONTHS, ONE_RUN
from assets.release import policy_digest
from assets.rules.disclosure import METHOD
from assets.star import STAR
from assets.terms import Terms
from sources.bitrix24 import Bitrix24
from sources.vault import CURRENT, Vault
from warehouse_sql.warehouse import Session, Warehouse, table

logger = logging.getLogger(__name__)

CHECKS_PASSED = "k,rounding,clamp"


@dg.asset(
    key=["mart", "department_pair"],
    deps=STAR,
    group_name="mart",
    owners=OWNERS,
    kinds={"clickhouse", "sql"},
    description="Department pairs: open scope exact by month, hidden scope as released by quarter.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def department_pair(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    vault: dg.ResourceParam[Vault],
    portal: dg.ResourceParam[Bitrix24],
    terms: dg.ResourceParam[Terms],
) -> dg.MaterializeResult[None]:
    """Rebuilds the open scope and adds hidden quarters that were never released."""
    target = table("mart", "department_pair")
    versions = sorted(vault.read("departments", CURRENT).to_pylist(), key=lambda row: row["valid_from"])
    names = {row["department_id"]: row["name"] for row in versions}
    with building(context, warehouse, target) as db:
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
        _publish_hidden(db, target.staged, "department_pair", rows, windows, portal.now.date(), terms)
        return described(db, target)


@dg.asset(
    key=["mart", "rating_block"],
    deps=STAR,
    group_name="mart",
    owners=OWNERS,
    kinds={"clickhouse"},
    description="Released ratee blocks of hidden ratings; a row is written once and never changed.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def rating_block(
    context: dg.AssetExecutionContext,
    warehouse: dg.ResourceParam[Warehouse],
    vault: dg.ResourceParam[Vault],
    portal: dg.ResourceParam[Bitrix24],
    terms: dg.ResourceParam[Terms],
) -> dg.MaterializeResult[None]:
    """Adds blocks of months that were never released."""
    target = table("mart", "rating_block")
    today = portal.now.date()
    stamp = {"policy_version": policy_digest(terms.policy), "released_at": today}
    with building(context, warehouse, target) as db:
        windows = _new_windows(db, vault, "rating_block")
        blocks = vault.read("released_block", CURRENT).to_pylist()
        rows = [row | stamp for row in _in_windows(blocks, windows, "block_from")]
        _publish_hidden(db, target.staged, "rating_block", rows, windows, today, terms)
        return described(db, target)


@dg.asset(
    key=["mart", "comment_feed"],
    deps=STAR,
    group_name="mart",
    owners=OWNERS,
    kinds={"clickhouse", "sql"},
    description="Comments of open ratings, as written.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def comment_feed(
    context: dg.AssetExecutionContext, warehouse: dg.ResourceParam[Warehouse]
) -> dg.MaterializeResult[None]:
    """Rebuilds the open scope."""
    target = table("mart", "comment_feed")
    with building(context, warehouse, target) as db:
        db.fill(target)
        return described(db, target)


MARTS = [department_pair, rating_block, comment_feed]


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
