"""Checked ratings and policy to what may leave the vault: rows, ratee blocks, department pairs.

Belongs here: applying `rules.policy` and `rules.disclosure`, and laying the result down in the vault dataset
`released`. Does not belong here: thresholds, or what was published before (the marts ask the ledger).

Whatever this asset does not write into `released*` can never reach the warehouse: the steps after it read nothing
else.
"""

import hashlib
import logging
from collections.abc import Sequence
from datetime import date

import dagster as dg
import pandas as pd
import pyarrow as pa

from assets.changes import coverage
from assets.crm import EVENT_SCHEMA, OWNERS, read_months, sightings
from assets.guard import guarded
from assets.obligations import EXPECTED, OBLIGATION_COLUMNS, obligation
from assets.periods import MONTHS, ONE_RUN
from assets.ratings import CHECKED_COLUMNS, checked, organisation, write_months
from assets.rules.disclosure import complete_quarters, department_pairs, quarter_end, ratee_blocks
from assets.rules.events import publishable
from assets.rules.organisation import Organisation
from assets.rules.policy import NAMED_MODES, PolicyBook
from assets.rules.structure import copies_among, freeze_date
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
        ("comment_rules", pa.string()),
        ("ruleset_version", pa.string()),
        ("reason_codes", pa.string()),
        ("reason_source", pa.string()),
        ("exclusion_code", pa.string()),
        ("mode", pa.string()),
        ("policy_version", pa.string()),
    ]
)
"""The vault dataset `released`: ratings in mode open or named_to_hr, and nothing of the others."""

RELEASED_OBLIGATION_COLUMNS = pa.schema(
    [
        ("process_key", pa.string()),
        ("period", pa.date32()),
        ("rater_id", pa.int64()),
        ("ratee_id", pa.int64()),
        ("rater_department_id", pa.int64()),
        ("ratee_department_id", pa.int64()),
        ("task_id", pa.int64()),
        ("tasks", pa.int64()),
        ("expected_on", pa.date32()),
        ("due_on", pa.date32()),
        ("status", pa.string()),
        ("waiver", pa.string()),
        ("rating_id", pa.int64()),
        ("rated_on", pa.date32()),
        ("mode", pa.string()),
        ("policy_version", pa.string()),
    ]
)
"""The vault dataset `released_obligation`: expected ratings in mode open or named_to_hr, by month of closing."""

RELEASED_EVENT_COLUMNS = pa.schema(
    [
        ("process_key", pa.string()),
        ("rating_id", pa.int64()),
        ("period", pa.date32()),
        ("number", pa.int64()),
        ("event", pa.string()),
        ("observed_on", pa.date32()),
        ("changed_at", pa.timestamp("s", tz="UTC")),
        ("is_after_freeze", pa.bool_()),
        ("changed", pa.string()),
        ("old_score", pa.uint8()),
        ("score", pa.uint8()),
        ("rater_id", pa.int64()),
        ("ratee_id", pa.int64()),
        ("mode", pa.string()),
    ]
)
"""The vault dataset `released_event`: what was observed of released ratings."""

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
    deps=[checked, obligation],
    group_name="release",
    owners=OWNERS,
    kinds={"python"},
    description="What the policy lets out: rows of modes open and named_to_hr, hidden blocks and pairs; encrypted.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def released(
    portal: dg.ResourceParam[Bitrix24], vault: dg.ResourceParam[Vault], terms: dg.ResourceParam[Terms]
) -> dg.MaterializeResult[None]:
    """Gives every rating its mode and keeps only what its mode lets out."""
    today = portal.now.date()
    keys = vault.periods("checked")
    ratings = read_months(vault, "checked", keys, CHECKED_COLUMNS).to_pandas()
    company = organisation(vault)
    days = sightings(vault)
    mode, version = terms.policy.resolve_people(ratings, company, days, today)
    ratings = ratings.assign(mode=mode, policy_version=version)
    rows = _named(ratings)
    write_months(vault, "released", keys, rows, RELEASED_COLUMNS)
    expected = _obligations_with_modes(vault, terms, ratings, company, days, today)
    expected = expected[expected["mode"].isin(list(NAMED_MODES))]
    write_months(
        vault, "released_obligation", vault.periods("obligation"), expected, RELEASED_OBLIGATION_COLUMNS, order=EXPECTED
    )
    events = _events_with_modes(vault, terms, company, days, today)
    _write(vault, "released_event", publishable(events, rows), RELEASED_EVENT_COLUMNS)

    blocks, pairs, windows = [], [], []
    closed = frozen_months(vault, terms.freeze_day)
    for process in terms.processes:
        own = ratings[ratings["process_key"].eq(process.key).to_numpy(dtype=bool)]
        frozen = closed.get(process.key, set())
        quarters = complete_quarters(frozen)
        blocks.append(ratee_blocks(own, frozen, terms.profile))
        pairs.append(department_pairs(own, frozen, quarters))
        # Windows without a rating too: one that arrives after the freeze must not make a row appear.
        windows += [("rating_block", process.key, month, month) for month in sorted(frozen)]
        windows += [("department_pair", process.key, start, quarter_end(start)) for start in sorted(quarters)]
    block_rows, pair_rows = _concat(blocks, BLOCK_COLUMNS), _concat(pairs, PAIR_COLUMNS)
    vault.write("released_block", CURRENT, block_rows)
    vault.write("released_pair", CURRENT, pair_rows)
    _write(vault, "released_window", pd.DataFrame(windows, columns=WINDOW_COLUMNS.names), WINDOW_COLUMNS)
    counts = ratings.groupby(["period", "mode"]).size().rename("ratings").reset_index()
    _write(vault, "released_mode", counts, MODE_COLUMNS)
    logger.info(
        "release: %d of %d ratings as rows, %d ratee blocks and %d department pairs may be published",
        len(rows),
        len(ratings),
        len(block_rows),
        len(pair_rows),
    )
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "obligations": len(expected),
            "ratee_blocks": len(block_rows),
            "department_pairs": len(pair_rows),
            "policy": policy_digest(terms.policy),
            **{f"mode/{name}": int(count) for name, count in ratings["mode"].value_counts().items()},
        }
    )


def _named(ratings: pd.DataFrame) -> pd.DataFrame:
    """The rows that leave by name, each with what its readers may learn from the others they see."""
    named = ratings[ratings["mode"].isin(list(NAMED_MODES))]
    is_open = named["mode"].eq("open").to_numpy(dtype=bool)
    return pd.concat([copies_among(named[is_open]), copies_among(named)[~is_open]])


def _obligations_with_modes(
    vault: Vault, terms: Terms, ratings: pd.DataFrame, company: Organisation, days: Sequence[date], today: date
) -> pd.DataFrame:
    """Expected ratings, each with the strictest mode that it or its rating has."""
    expected = read_months(vault, "obligation", vault.periods("obligation"), OBLIGATION_COLUMNS).to_pandas()
    # A rating that was destroyed with its month had a mode no stricter than what it fulfilled was published with.
    columns = ["process_key", "rating_id", "mode", "policy_version"]
    before = read_months(
        vault, "released_obligation", vault.periods("released_obligation"), RELEASED_OBLIGATION_COLUMNS
    ).to_pandas()
    known = pd.concat([ratings[columns], before.loc[before["rating_id"].ne(0), columns]]).drop_duplicates(columns[:2])
    mode, version = terms.policy.resolve_obligations(expected, known, company, days, today)
    result: pd.DataFrame = expected.assign(mode=mode, policy_version=version)
    return result


def _events_with_modes(
    vault: Vault, terms: Terms, company: Organisation, days: Sequence[date], today: date
) -> pd.DataFrame:
    """The log, each event with the mode of the people it names."""
    log = read_months(vault, "event", vault.periods("event"), EVENT_SCHEMA).to_pandas()
    events: pd.DataFrame = log.assign(mode=terms.policy.resolve_people(log, company, days, today)[0])
    return events


def frozen_months(vault: Vault, freeze_day: int) -> dict[str, set[date]]:
    """Months of each process that were read in full after they were closed: only those may enter hidden cuts."""
    frozen: dict[str, set[date]] = {}
    for (process, period), read_on in coverage(vault).items():
        if read_on >= freeze_date(period, freeze_day):
            frozen.setdefault(process, set()).add(period)
    return frozen


def policy_digest(policy: PolicyBook) -> str:
    """Digest of the whole policy, stamped on released hidden rows."""
    return hashlib.sha256(" ".join(sorted(entry.version for entry in policy.entries)).encode()).hexdigest()[:12]


def _concat(parts: list[pd.DataFrame], columns: pa.Schema) -> pa.Table:
    return pa.concat_tables([columns.empty_table(), *(_table(part, columns) for part in parts)])


def _table(rows: pd.DataFrame, columns: pa.Schema) -> pa.Table:
    # An empty frame has lost its types, and Arrow will not guess a date.
    return columns.empty_table() if rows.empty else pa.Table.from_pandas(rows, columns, preserve_index=False)


def _write(vault: Vault, dataset: str, rows: pd.DataFrame, columns: pa.Schema) -> None:
    vault.write(dataset, CURRENT, _table(rows, columns))
