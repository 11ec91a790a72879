"""Checked ratings and policy to rows that may leave the vault by name, and to the mode of every rating.

Belongs here: applying `rules.policy`, refusing a policy that is looser for the past, laying the result down in the
vault datasets `released*` and `judged*`. Does not belong here: what is published of hidden ratings (`hidden.py`).

Rows by name reach the warehouse from `released*` alone.
"""

import hashlib
import logging
from collections.abc import Sequence
from datetime import date

import dagster as dg
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from assets.crm import EVENT_SCHEMA, OWNERS, read_months, sightings
from assets.guard import guarded
from assets.obligations import EXPECTED, OBLIGATION_COLUMNS, obligation
from assets.periods import MONTHS, ONE_RUN
from assets.ratings import CHECKED_COLUMNS, checked, organisation, write_months
from assets.rules.events import publishable
from assets.rules.hidden import viewers
from assets.rules.organisation import Organisation
from assets.rules.policy import NAMED_MODES, PolicyBook, PolicyEntry
from assets.rules.structure import copies_among
from assets.terms import Terms
from sources.bitrix24 import Bitrix24
from sources.vault import CURRENT, Vault, notes

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

JUDGED_COLUMNS = pa.schema(
    [
        ("process_key", pa.string()),
        ("rating_id", pa.int64()),
        ("period", pa.date32()),
        ("mode", pa.string()),
        ("was_open", pa.bool_()),
        ("was_named", pa.bool_()),
        ("is_viewer", pa.bool_()),
    ]
)
"""The vault dataset `judged`: the mode of every rating. was_open and was_named: it was shown by name at some
time, to everybody or to HR.
is_viewer: its rater reads the dashboards of the ratee's department.

`judged_obligation` has the columns of `released_obligation`, for expected ratings of all modes."""
POLICY_COLUMNS = pa.schema(
    [
        ("process", pa.string()),
        ("rater_department", pa.string()),
        ("ratee_department", pa.string()),
        ("valid_from", pa.date32()),
        ("mode", pa.string()),
    ]
)
"""The vault dataset `policy`: the lines in force at the last run; its day is in the notes."""
MODE_COLUMNS = pa.schema([("period", pa.date32()), ("mode", pa.string()), ("ratings", pa.int64())])


@dg.asset(
    key=["vault", "released"],
    deps=[checked, obligation],
    group_name="release",
    owners=OWNERS,
    kinds={"python"},
    description="The mode of every rating, and rows of modes open and named_to_hr as they may leave; encrypted.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def released(
    portal: dg.ResourceParam[Bitrix24], vault: dg.ResourceParam[Vault], terms: dg.ResourceParam[Terms]
) -> dg.MaterializeResult[None]:
    """Gives every rating its mode and lays apart what its mode lets out by name."""
    today = portal.now.date()
    keys = vault.periods("checked")
    ratings = read_months(vault, "checked", keys, CHECKED_COLUMNS).to_pandas()
    company = organisation(vault)
    days = sightings(vault)
    _refuse_loosened(vault, terms, ratings, company, days)
    mode, version = terms.policy.resolve_people(ratings, company, days, today)
    ratings = ratings.assign(mode=mode, policy_version=version)
    judged = ratings.assign(
        **_were_shown(vault, terms, ratings, company, days, today),
        is_viewer=viewers(ratings, company.departments),
    )
    write_months(vault, "judged", keys, judged, JUDGED_COLUMNS)
    rows = _named(ratings)
    write_months(vault, "released", keys, rows, RELEASED_COLUMNS)
    everything = _obligations_with_modes(vault, terms, ratings, company, days, today)
    expected = everything[everything["mode"].isin(list(NAMED_MODES))]
    for dataset, obligations in (("judged_obligation", everything), ("released_obligation", expected)):
        write_months(
            vault, dataset, vault.periods("obligation"), obligations, RELEASED_OBLIGATION_COLUMNS, order=EXPECTED
        )
    events = _events_with_modes(vault, terms, company, days, today)
    _write(vault, "released_event", publishable(events, rows), RELEASED_EVENT_COLUMNS)
    counts = ratings.groupby(["period", "mode"]).size().rename("ratings").reset_index()
    _write(vault, "released_mode", counts, MODE_COLUMNS)
    logger.info("release: %d of %d ratings as rows", len(rows), len(ratings))
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(rows),
            "obligations": len(expected),
            "policy": policy_digest(terms.policy),
            **{f"mode/{name}": int(count) for name, count in ratings["mode"].value_counts().items()},
        }
    )


def _named(ratings: pd.DataFrame) -> pd.DataFrame:
    """The rows that leave by name, each with what its readers may learn from the others they see."""
    named = ratings[ratings["mode"].isin(list(NAMED_MODES))]
    is_open = named["mode"].eq("open").to_numpy(dtype=bool)
    return pd.concat([copies_among(named[is_open]), copies_among(named)[~is_open]])


def _refuse_loosened(
    vault: Vault, terms: Terms, ratings: pd.DataFrame, company: Organisation, days: Sequence[date]
) -> None:
    """Compares the policy with the one in force at the last run."""
    if not vault.has("policy", CURRENT):
        return
    known = vault.read("policy", CURRENT)
    before = PolicyBook(tuple(PolicyEntry.model_validate(row) for row in known.to_pylist()))
    terms.policy.refuse_loosened(before, date.fromisoformat(notes(known)["day"]), ratings, company, days)


def note_policy(vault: Vault, policy: PolicyBook, today: date) -> None:
    """Notes the policy in force, so that the next run can tell whether it was loosened for the days up to now."""
    rows = [
        {name: value if name == "valid_from" else str(value) for name, value in entry.model_dump().items()}
        for entry in policy.entries
    ]
    vault.write("policy", CURRENT, pa.Table.from_pylist(rows, POLICY_COLUMNS), {"day": today.isoformat()})


def _were_shown(
    vault: Vault, terms: Terms, ratings: pd.DataFrame, company: Organisation, days: Sequence[date], today: date
) -> dict[str, npt.NDArray[np.bool_]]:
    """Which ratings were ever shown by name, by the policy of their own day or by that of an earlier run.

    Whoever saw them knows them, so they cannot hide others from him.
    """
    own_day, _ = terms.policy.resolve_people(ratings, company, days, today, with_today=False)
    before = read_months(vault, "judged", vault.periods("judged"), JUDGED_COLUMNS).to_pandas()
    identity = ["process_key", "rating_id"]
    asked = pd.MultiIndex.from_frame(ratings[identity])
    result = {}
    for flag, mode in (("was_open", "open"), ("was_named", "named_to_hr")):
        shown = before[before[flag].to_numpy(dtype=bool) | before["mode"].eq(mode).to_numpy(dtype=bool)]
        result[flag] = asked.isin(pd.MultiIndex.from_frame(shown[identity])) | own_day.eq(mode).to_numpy(dtype=bool)
    return result


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


def policy_digest(policy: PolicyBook) -> str:
    """Digest of the whole policy, stamped on released hidden rows."""
    return hashlib.sha256(" ".join(sorted(entry.version for entry in policy.entries)).encode()).hexdigest()[:12]


def _table(rows: pd.DataFrame, columns: pa.Schema) -> pa.Table:
    # An empty frame has lost its types, and Arrow will not guess a date.
    return columns.empty_table() if rows.empty else pa.Table.from_pandas(rows, columns, preserve_index=False)


def _write(vault: Vault, dataset: str, rows: pd.DataFrame, columns: pa.Schema) -> None:
    vault.write(dataset, CURRENT, _table(rows, columns))
