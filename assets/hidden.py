"""Everything ever released of hidden ratings: read from the vault, grown by what is decided now, laid down again.

Belongs here: where the state of `rules.hidden` is kept, taking it over from a warehouse when the vault has none, the
ledger that proves that published rows are the released ones. Does not belong here: what is decided (`rules/hidden.py`),
writing into the warehouse (`marts.py`, `star.py`).

A decision is made once and lies in the vault from then on; publication only copies it. So a run that fails afterwards,
a warehouse restored from a backup or a repeated run change nothing: the same rows are published again.

    hidden_*        what was released (the master), rows of destroyed months too; no rater in it
    spent*          which ratings went into it, by month, destroyed with the month
    pseudonymous    rows of mode pseudonymous, by month
"""

import hmac
import json
import logging
import secrets
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import cache
from typing import Any

import dagster as dg
import pandas as pd
import pyarrow as pa

from assets.changes import OtherVersionError, coverage, forgotten
from assets.crm import OWNERS, read_months, sightings
from assets.guard import guarded
from assets.periods import MONTHS, ONE_RUN, key_of, period_of
from assets.ratings import CHECKED_COLUMNS, write_months
from assets.release import JUDGED_COLUMNS, RELEASED_OBLIGATION_COLUMNS, note_policy, policy_digest, released
from assets.rules import hidden as rules
from assets.rules.disclosure import quarter_start
from assets.rules.hidden import (
    BLOCK,
    COMMENT,
    COVERAGE,
    OF_CUT,
    PAIR,
    REASON,
    SCORE,
    VIOLATION,
    HiddenState,
    ReleaseTerms,
)
from assets.rules.pool import Redactor
from assets.rules.pseudonyms import key_expires
from assets.rules.shares import ALL_PROCESSES
from assets.rules.structure import freeze_date
from assets.terms import Terms
from sources.bitrix24 import Bitrix24
from sources.vault import CURRENT, DestroyedKeyError, Vault, VaultError, notes
from warehouse_sql.warehouse import Session, Warehouse, table

logger = logging.getLogger(__name__)


class LedgerError(Exception):
    """The warehouse shows hidden rows that the vault never released."""


class NotJudgedError(VaultError):
    """Hidden figures were to be decided before the modes of their ratings."""


class LostKeyError(VaultError):
    """A pseudonym key that must exist is gone."""


MASTER = {
    "blocks": "hidden_block",
    "pairs": "hidden_pair",
    "reasons": "hidden_reason",
    "violations": "hidden_violation",
    "coverage": "hidden_coverage",
    "comments": "hidden_comment",
    "bands": "hidden_score",
    "windows": "hidden_window",
}
"""Vault datasets without a period, by part of the state; windows are written last, since they say what is decided."""
BY_MONTH = {"register": "spent", "members": "spent_member", "rows": "pseudonymous"}
"""Vault datasets by month of the rating."""
_ORDER = {
    "register": ("release_id", "rating_id"),
    "members": ("release_id", "rating_id"),
    "rows": ("process_key", "pseudonym", "ratee_department_id", "score"),
}
ADOPTED_COLUMNS = pa.schema([("row_digest", pa.string())])
"""The vault dataset `hidden_adopted`: ledger entries of a warehouse that was taken over, sealed by a seal now lost."""

SEAL_BYTES = 32
UNKNOWN_DAY = date(1970, 1, 1)

STAMP = ("policy_version", "profile", "method", "checks_passed", "released_at", "withdrawn_at")
LEDGER_COLUMNS = pa.schema(
    [
        ("cut", pa.string()),
        ("window_from", pa.date32()),
        ("window_to", pa.date32()),
        ("row_digest", pa.string()),
        ("policy_version", pa.string()),
        ("profile", pa.string()),
        ("method", pa.string()),
        ("checks_passed", pa.string()),
        ("released_at", pa.date32()),
        ("withdrawn_at", pa.date32()),
    ]
)
"""`ops.release`."""

SHOWN_IN = {
    BLOCK: table("mart", "rating_block"),
    PAIR: table("mart", "department_pair"),
    REASON: table("mart", "reason"),
    VIOLATION: table("mart", "rule_violation"),
    COVERAGE: table("mart", "coverage"),
    COMMENT: table("mart", "comment_feed"),
    SCORE: table("hr", "fct_score"),
}
"""Where the rows of each cut are published."""


@dataclass(frozen=True)
class Released:
    """The state of hidden scope with its seal.

    Attributes:
        state: everything ever released.
        seal: 32 random bytes on which ids, orders and digests of released rows rest.
        adopted: ledger entries taken over with a warehouse.
    """

    state: HiddenState
    seal: bytes
    adopted: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return "Released(***)"


@dg.asset(
    key=["vault", "hidden"],
    deps=[released],
    group_name="release",
    owners=OWNERS,
    kinds={"python"},
    description="Everything ever released of hidden ratings, and what went into it; encrypted.",
    partitions_def=MONTHS,
    backfill_policy=ONE_RUN,
)
@guarded
def hidden(
    portal: dg.ResourceParam[Bitrix24],
    vault: dg.ResourceParam[Vault],
    warehouse: dg.ResourceParam[Warehouse],
    terms: dg.ResourceParam[Terms],
) -> dg.MaterializeResult[None]:
    """Withdraws what the policy no longer allows, and decides the windows that have closed since the last run."""
    today = portal.now.date()
    _require_pseudonym_keys(vault, terms, today)
    before = read_released(vault) if vault.has(MASTER["windows"], CURRENT) else _adopt(warehouse, vault)
    ratings, obligations = _judged(vault)
    state, withdrawn = rules.withdraw(before.state, ratings, obligations, today)
    decision = rules.decide(
        ratings, obligations, state, _closed(vault, terms), _release_terms(vault, terms, before.seal, today)
    )
    _write(vault, replace(before, state=decision.state))
    note_policy(vault, terms.policy, today)
    _log(before.state, decision, withdrawn)
    counts = {name: len(getattr(decision.state, name)) for name in SHOWN}
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": sum(counts.values()),
            **counts,
            **{f"withdrawn/{cut}": number for cut, number in withdrawn.items()},
            **{
                f"held/{process}/{reason}": number
                for process, reasons in decision.held.items()
                for reason, number in reasons.items()
            },
        }
    )


SHOWN = (*OF_CUT.values(), "rows")
"""Parts of the state that are published."""


def _judged(vault: Vault) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Checked ratings and expected ratings, all with their modes."""
    identity = ["process_key", "rating_id", "period"]
    ratings = read_months(vault, "checked", vault.periods("checked"), CHECKED_COLUMNS).to_pandas()
    modes = read_months(vault, "judged", vault.periods("judged"), JUDGED_COLUMNS).to_pandas()
    obligations = read_months(
        vault, "judged_obligation", vault.periods("judged_obligation"), RELEASED_OBLIGATION_COLUMNS
    )
    judged = ratings.merge(modes, on=identity, validate="one_to_one")
    if len(judged) != len(ratings) or vault.periods("obligation") != vault.periods("judged_obligation"):
        # A month decided without its ratings is decided for good.
        raise NotJudgedError(
            "The vault holds ratings whose mode is not decided yet, so no hidden figure can be: materialize "
            "vault/released before vault/hidden, or all of them."
        )
    return judged, obligations.to_pandas()


def _closed(vault: Vault, terms: Terms) -> dict[str, set[date]]:
    """Months of each process that were read in full after they were frozen: only those may be decided."""
    closed: dict[str, set[date]] = {process.key: set() for process in terms.processes}
    for (process, period), read_on in coverage(vault).items():
        if process in closed and read_on >= freeze_date(period, terms.freeze_day):
            closed[process].add(period)
    return closed


def _release_terms(vault: Vault, terms: Terms, seal: bytes, today: date) -> ReleaseTerms:
    versions = sorted(vault.read("departments", CURRENT).to_pylist(), key=lambda row: row["valid_from"])

    def pseudonym_key(month: date) -> bytes | None:
        try:
            return vault.pseudonym_key(key_of(month), make=True)
        except DestroyedKeyError:
            return None

    return ReleaseTerms(
        profile_name=terms.profile_name,
        profile=terms.profile,
        seal=seal,
        policy_version=policy_digest(terms.policy),
        today=today,
        departments={row["department_id"]: row["name"] for row in versions},
        pseudonym_key=pseudonym_key,
        redactor=cache(lambda: _redactor(vault, today)),
        destroyed=frozenset(forgotten(vault)),
    )


def _redactor(vault: Vault, today: date) -> Redactor:
    """What takes people out of comments: everybody a run ever saw, those who have left included."""
    # Costs seconds and its dictionaries; most runs close no quarter.
    from assets.rules import ner
    from assets.rules.redaction import Employee
    from assets.rules.redaction import Redactor as People

    known = vault.read("employees", CURRENT).select(["employee_id", "full_name"]).to_pandas().drop_duplicates()
    people = []
    for number, full_name in zip(known["employee_id"].tolist(), known["full_name"].tolist(), strict=True):
        surname, name, patronymic, *_ = [*str(full_name).split(maxsplit=2), "", "", ""]
        people.append(Employee(number, surname, name, patronymic, sex="", login=""))
    names = sorted(set(vault.read("departments", CURRENT)["name"].to_pylist()))
    return People.build(people, seen_on=max(sightings(vault)), today=today, departments=names, ner=ner.load())


def _require_pseudonym_keys(vault: Vault, terms: Terms, today: date) -> None:
    """Refuses a vault that lost a pseudonym key before its time: what else is missing of it nobody can tell.

    Raises:
        LostKeyError: naming the month.
    """
    for key in vault.periods(BY_MONTH["rows"]):
        is_due = today < key_expires(period_of(key), terms.freeze_day)
        if is_due and len(vault.read(BY_MONTH["rows"], key)) and not _is_accounted_for(vault, key):
            raise LostKeyError(
                f"The vault's pseudonym key of {key} is gone, though rows of that month were published less than three "
                f"months ago: restore pseudonym_key/{key} from the vault's backup, or delete pseudonymous/{key}.arrow "
                "in it, which withdraws these rows; nothing was published."
            )


def _is_accounted_for(vault: Vault, period: str) -> bool:
    """Whether a pseudonym key is there, or was destroyed on purpose: a later freeze day may make it due once more."""
    try:
        return vault.pseudonym_key(period) is not None
    except DestroyedKeyError:
        return True
    except VaultError:
        return False


def _log(before: HiddenState, decision: rules.Decision, withdrawn: Mapping[str, int]) -> None:
    """One line per process: counts only."""
    rows, windows = Counter[str](), Counter[str]()
    for name in SHOWN:
        rows.update(getattr(decision.state, name)["process_key"])
        rows.subtract(getattr(before, name)["process_key"])
    windows.update(decision.state.windows["process_key"])
    windows.subtract(before.windows["process_key"])
    for process in sorted({*decision.held, *+windows}):
        held = ", ".join(f"{reason} {number}" for reason, number in sorted(decision.held.get(process, {}).items()))
        logger.info(
            "release: process %s: %d windows decided, %d rows; held back: %s",
            process,
            windows[process],
            rows[process],
            held or "nothing",
        )
    for cut, number in sorted(withdrawn.items()):
        logger.warning("release: %s: %d rows withdrawn, as the policy hides their ratings by now", cut, number)


# --- kept in the vault --------------------------------------------------------------------------------------------


def read_released(vault: Vault) -> Released:
    """Everything ever released, without what a killed run left unfinished."""
    parts = {name: _current(vault, dataset, rules.SCHEMAS[name]).to_pandas() for name, dataset in MASTER.items()}
    parts |= {name: _by_month(vault, name) for name in BY_MONTH}
    seal = bytes.fromhex(notes(vault.read(MASTER["windows"], CURRENT))["seal"])
    adopted = _current(vault, "hidden_adopted", ADOPTED_COLUMNS)["row_digest"].to_pylist()
    return Released(rules.finished(HiddenState(**parts)), seal, frozenset(adopted))


def _by_month(vault: Vault, name: str) -> pd.DataFrame:
    dataset = BY_MONTH[name]
    rows: pd.DataFrame = read_months(vault, dataset, vault.periods(dataset), rules.SCHEMAS[name]).to_pandas()
    return rows


def _current(vault: Vault, dataset: str, columns: pa.Schema) -> pa.Table:
    if not vault.has(dataset, CURRENT):
        return columns.empty_table()
    rows = vault.read(dataset, CURRENT).replace_schema_metadata(None)
    if rows.schema != columns:
        raise OtherVersionError(dataset)
    return rows


def _write(vault: Vault, found: Released) -> None:
    """Lays the state down: first what went into released rows, then the rows, last what is decided with them."""
    keys = vault.periods("checked")
    for name, dataset in BY_MONTH.items():
        write_months(vault, dataset, keys, getattr(found.state, name), rules.SCHEMAS[name], order=_ORDER[name])
    adopted = pa.Table.from_pylist([{"row_digest": entry} for entry in sorted(found.adopted)], ADOPTED_COLUMNS)
    _replace(vault, "hidden_adopted", adopted)
    for name, dataset in MASTER.items():
        frame = getattr(found.state, name)
        rows = pa.Table.from_pandas(frame, rules.SCHEMAS[name], preserve_index=False).replace_schema_metadata(None)
        _replace(vault, dataset, rows, {"seal": found.seal.hex()} if name == "windows" else None)


def _replace(vault: Vault, dataset: str, rows: pa.Table, noted: Mapping[str, str] | None = None) -> None:
    if vault.has(dataset, CURRENT) and vault.read(dataset, CURRENT).replace_schema_metadata(None).equals(rows):
        return
    vault.write(dataset, CURRENT, rows, noted)


# --- taken over from a warehouse ----------------------------------------------------------------------------------


def _adopt(warehouse: Warehouse, vault: Vault) -> Released:
    """What a vault without any memory of hidden rows finds published: it is released, and stays so.

    Which ratings went into it nobody knows any more, so later windows cannot be audited against it.
    """
    seal = secrets.token_bytes(SEAL_BYTES)
    with warehouse.session("hidden") as db:
        ledger, windows = _ledger(db), _decided(db)
        shown = {cut: _shown(db, cut) for cut in SHOWN_IN}
    # Rows of mode pseudonymous carry ids that need no seal to be told apart, so what the vault knows of them stays.
    kept = {name: _by_month(vault, name) for name in ("rows", "members")}
    kept["members"] = kept["members"][kept["members"]["cut"].eq(rules.ROWS).to_numpy(dtype=bool)]
    state = rules.finished(_taken_over(shown, windows, ledger, seal).grown(**kept))
    found = Released(state, seal, frozenset(row["row_digest"] for row in ledger))
    if ledger or windows:
        logger.warning(
            "release: the vault remembers no hidden rows, so the %d published ones were taken over as they are",
            sum(map(len, shown.values())),
        )
    return found


def _taken_over(
    shown: Mapping[str, list[dict[str, Any]]],
    windows: list[dict[str, Any]],
    ledger: list[dict[str, Any]],
    seal: bytes,
) -> HiddenState:
    """Published rows as released ones; each stamped by the ledger's entry for its window."""
    stamps = {(row["cut"], row["window_to"]): row for row in ledger}
    decided = {(row["cut"], row["process_key"], row["window_from"]): row for row in windows}
    state = HiddenState.empty()
    for cut, rows in shown.items():
        taken = []
        for row in rows:
            # A comment is published without its window: any that was decided stands for it.
            ends = [window["window_to"] for window in windows if window["cut"] == cut] or [UNKNOWN_DAY]
            first, last = _window(cut, {"period_to": max(ends)} | row)
            if cut == COMMENT:
                first = quarter_start(last)
            start = last if cut == BLOCK else first
            stamp = {"released_at": UNKNOWN_DAY, "policy_version": "", "profile": "", "method": "", "checks_passed": ""}
            stamp |= {name: value for name, value in stamps.get((cut, last), {}).items() if name in STAMP}
            # A band rests on all processes together, and is published without saying so.
            row = {"process_key": ALL_PROCESSES} | row
            taken.append({"period_from": first, "period_to": last} | stamp | row | {"withdrawn_at": None})
            taken[-1]["release_id"] = row_digest(seal, cut, row)[:32]
            window = {"cut": cut, "process_key": row["process_key"], "window_from": start, "window_to": last}
            decided.setdefault((cut, row["process_key"], start), window | {"released_at": taken[-1]["released_at"]})
        state = state.grown(**{OF_CUT[cut]: pd.DataFrame(taken)})
    last = {
        row["process_key"]: row
        for row in sorted(decided.values(), key=lambda row: row["window_to"])
        if row["cut"] == BLOCK
    }
    marks = [row | {"cut": rules.ADOPTED, "window_from": row["window_to"]} for row in last.values()]
    return state.grown(windows=pd.DataFrame([*decided.values(), *marks]))


# --- the ledger ---------------------------------------------------------------------------------------------------


def columns_of(cut: str) -> list[str]:
    """What is published of a cut's rows; the scope and what hidden scope leaves empty come on top."""
    never = {"release_id", *STAMP} - ({"released_at", "policy_version"} if cut == BLOCK else set())
    # A pooled comment tells no time.
    never |= {"period_from", "period_to"} if cut == COMMENT else set()
    never |= {"process_key"} if cut == SCORE else set()
    return [name for name in rules.SCHEMAS[OF_CUT[cut]].names if name not in never]


def row_digest(seal: bytes, cut: str, row: Mapping[str, Any]) -> str:
    """Names a published row in the ledger; without the seal nobody can try out rows."""
    told = json.dumps([cut, {name: row[name] for name in columns_of(cut)}], default=str, sort_keys=True)
    return hmac.digest(seal, told.encode(), "sha256").hex()


def published(found: Released, cut: str) -> pa.Table:
    """The rows of a cut as they are published, in keyed order: nothing tells when or in which order ratings came."""
    rows = [row for row in _released(found, cut) if row["withdrawn_at"] is None]
    rows.sort(key=lambda row: row_digest(found.seal, cut, row))
    columns = columns_of(cut)
    constants: dict[str, Any] = {} if cut == BLOCK else {"scope": "hidden"}
    # Beside named scores, which may still change until their half-year is closed.
    constants |= {"is_frozen": True} if cut == SCORE else {}
    schema = rules.SCHEMAS[OF_CUT[cut]]
    fields = [schema.field(name) for name in columns]
    fields += [pa.field(name, pa.scalar(value).type) for name, value in constants.items()]
    return pa.Table.from_pylist([{name: row[name] for name in columns} | constants for row in rows], pa.schema(fields))


def published_rows(found: Released) -> pa.Table:
    """The rows of mode pseudonymous as they are published."""
    rows = found.state.rows[found.state.rows["withdrawn_at"].isna().to_numpy(dtype=bool)]
    schema = rules.SCHEMAS["rows"]
    return pa.Table.from_pandas(rows, schema, preserve_index=False).drop_columns(["release_id", "withdrawn_at"])


def ledger_entries(found: Released) -> pa.Table:
    """`ops.release`: one entry per row ever released, in keyed order."""
    return pa.Table.from_pylist(
        sorted(
            (
                {
                    "cut": cut,
                    **dict(zip(("window_from", "window_to"), _window(cut, row), strict=True)),
                    "row_digest": row_digest(found.seal, cut, row),
                    **{name: row[name] for name in STAMP},
                }
                for cut in SHOWN_IN
                for row in _released(found, cut)
            ),
            key=lambda entry: str(entry["row_digest"]),
        ),
        LEDGER_COLUMNS,
    )


def decided_windows(found: Released) -> pa.Table:
    """`ops.release_window`: the windows that are decided for good."""
    return pa.Table.from_pandas(found.state.windows, rules.SCHEMAS["windows"], preserve_index=False)


def _window(cut: str, row: Mapping[str, Any]) -> tuple[Any, Any]:
    """First and last month of what a row is about; None where it does not say so."""
    name = {BLOCK: "block", SCORE: "window"}.get(cut, "period")
    return row.get(f"{name}_from"), row.get(f"{name}_to")


def check_ledger(db: Session, found: Released) -> None:
    """Compares the published hidden rows with the released ones; rows that are missing will be written again.

    Raises:
        LedgerError: somewhere stands a row that was never released; tables and counts only.
    """
    strange: dict[str, int] = {}
    entries = ledger_entries(found).to_pylist()
    released_rows = {entry["row_digest"] for entry in entries}
    for cut, target in SHOWN_IN.items():
        strange[target.full_name] = sum(
            row_digest(found.seal, cut, row) not in released_rows for row in _shown(db, cut)
        )
    known = {_entry(entry) for entry in entries}
    strange["ops.release"] = sum(
        _entry(entry) not in known and entry["row_digest"] not in found.adopted for entry in _ledger(db)
    )
    windows = {tuple(row.values()) for row in decided_windows(found).to_pylist()}
    strange["ops.release_window"] = sum(tuple(row.values()) not in windows for row in _decided(db))
    told = ", ".join(f"{number} in {name}" for name, number in strange.items() if number)
    if told:
        raise LedgerError(
            f"The warehouse holds hidden rows that the vault never released ({told}): if they were edited, restore the "
            "warehouse from its backup; if the vault was restored from an older backup, delete its folders hidden_*, "
            "so that the next run takes over what is published. Nothing was published."
        )


def _released(found: Released, cut: str) -> list[dict[str, Any]]:
    name = OF_CUT[cut]
    rows: list[dict[str, Any]] = pa.Table.from_pandas(
        getattr(found.state, name), rules.SCHEMAS[name], preserve_index=False
    ).to_pylist()
    return rows


def _shown(db: Session, cut: str) -> list[dict[str, Any]]:
    where = "" if cut == BLOCK else "WHERE scope = 'hidden'"
    return db.rows(f"SELECT {', '.join(columns_of(cut))} FROM {SHOWN_IN[cut].full_name} {where}")  # noqa: S608 - names are ours


def _ledger(db: Session) -> list[dict[str, Any]]:
    return db.rows(f"SELECT {', '.join(LEDGER_COLUMNS.names)} FROM ops.release")  # noqa: S608 - names are ours


def _decided(db: Session) -> list[dict[str, Any]]:
    return db.rows(f"SELECT {', '.join(rules.SCHEMAS['windows'].names)} FROM ops.release_window")  # noqa: S608 - names are ours


def _entry(entry: Mapping[str, Any]) -> tuple[Any, ...]:
    """What never changes of an entry."""
    return tuple(entry[name] for name in LEDGER_COLUMNS.names if name != "withdrawn_at")
