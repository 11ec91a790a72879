"""Made-up companies released in memory: truth, policy and the pure release rules, without portal or warehouse.

Belongs here: the truth of a stand-in portal as the rules take it, releasing it month by month, what is edited in
between. Does not belong here: any rule, any attack.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import date
from functools import cache
from random import Random
from typing import Any

import numpy as np
import pandas as pd

from assets.rules import hidden, pseudonyms
from assets.rules.comments import judge_all
from assets.rules.disclosure import PROFILES, ProfileName
from assets.rules.organisation import Organisation
from assets.rules.policy import PolicyBook, PolicyEntry
from assets.rules.redaction import Employee, Redactor
from assets.rules.structure import freeze_date
from pipelines.audit.evidence import Release, Truth, ordinal, ordinals
from sources.stand_in.state import PortalState
from sources.stand_in.truth import obligation_truth, rating_truth

FOREVER = 10**6
EDITED = 0.02
SIGNED = 5
"""Every so manyth rater of a made-up company ends his comments with his name."""
PLANTED = 4
"""Every so manyth ratee of a company in which low scores are planted gets nothing but ones."""
"""Part of the ratings of closed months that is edited before each later release."""

NOTHING_EXPECTED = pd.DataFrame(
    columns=[
        "process_key",
        "period",
        "rater_id",
        "ratee_id",
        "rater_department_id",
        "ratee_department_id",
        "status",
        "mode",
    ]
)
"""Companies released in memory publish no coverage: it holds no score."""

Decide = Callable[
    [pd.DataFrame, pd.DataFrame, hidden.HiddenState, Mapping[str, Collection[date]], hidden.ReleaseTerms],
    hidden.Decision,
]


def truth_of(state: PortalState, policies: Any = None) -> Truth:  # noqa: ANN401 - YAML contents
    """Every rating of a portal with the mode it has on the portal's day.

    Args:
        state: the portal.
        policies: the policy's lines instead of the portal's own.
    """
    config, today = state.config, state.now.date()
    rows = pd.DataFrame([vars(row) for row in rating_truth(state)])
    book, company = _policy(state, policies)
    mode, _ = book.resolve(rows, company, today)
    freeze_day = int(config["release"]["freeze_day"])
    ratings = rows.assign(
        mode=mode,
        was_open=False,
        was_named=False,
        score=rows["score"].astype("float64"),
        is_counted=rows["exclusion_code"].eq(""),
        is_viewer=hidden.viewers(rows, departments_of(state)),
        since=0,
        until=FOREVER,
    )
    months = sorted(set(ratings["period"]))
    closed = {month for month in months if today >= freeze_date(month, freeze_day)}
    return Truth(ratings, {process["key"]: set(closed) for process in config["processes"]})


def _policy(state: PortalState, policies: Any = None) -> tuple[PolicyBook, Organisation]:  # noqa: ANN401 - YAML
    lines = state.config["policies"] if policies is None else policies
    parents = {int(row["ID"]): int(row.get("PARENT") or 0) for row in state.departments.values()}
    places = {number: int((user.get("UF_DEPARTMENT") or [0])[0]) for number, user in state.users.items()}
    return PolicyBook.build([PolicyEntry.model_validate(line) for line in lines]), Organisation.build(places, parents)


def departments_of(state: PortalState) -> pd.DataFrame:
    """Departments as the rules take them: department_id, parent_id, head_employee_id, name."""
    return pd.DataFrame(
        [
            {
                "department_id": int(row["ID"]),
                "parent_id": int(row.get("PARENT") or 0),
                "head_employee_id": int(row.get("UF_HEAD") or 0),
                "name": str(row["NAME"]),
            }
            for row in state.departments.values()
        ]
    )


def employees_of(state: PortalState) -> tuple[Employee, ...]:
    """Everybody of the portal as the redactor takes them."""
    return tuple(
        Employee(
            id=number,
            surname=str(user.get("LAST_NAME") or ""),
            name=str(user.get("NAME") or ""),
            patronymic=str(user.get("SECOND_NAME") or ""),
            sex={"M": "m", "F": "f"}.get(str(user.get("PERSONAL_GENDER") or ""), ""),
            login=str(user.get("EMAIL") or ""),
        )
        for number, user in sorted(state.users.items())
        if user.get("LAST_NAME") or user.get("NAME")
    )


@cache
def redactor_of(employees: tuple[Employee, ...], departments: tuple[str, ...]) -> Redactor:
    """The real redactor of a company; building it takes seconds."""
    return Redactor(employees, departments)


def made_up(
    state: PortalState,
    *,
    months: int = FOREVER,
    processes: Collection[str] | None = None,
    profile: ProfileName = "default",
    edited: float = EDITED,
    texts: bool = True,
    planted: bool = False,
    decide: Decide = hidden.decide,
) -> Release:
    """Releases a stand-in company month by month, as successive runs do, with ratings edited in between.

    Args:
        state: the portal.
        months: how many of its closed months are released.
        processes: only these; None for all.
        profile: release profile.
        edited: part of the ratings of closed months whose score changes before each later release.
        texts: whether comments are released too; some raters then sign theirs.
        planted: whether some ratees get the lowest scores only.
        decide: what decides; the product's own by default.
    """
    seed = hashlib.sha256(str(sorted(state.users)).encode() + state.now.isoformat().encode()).digest()
    truth = truth_of(state)
    keys = [key for key in truth.closed if processes is None or key in processes]
    order = sorted(set().union(*truth.closed.values()))[:months]
    ratings = truth.ratings[truth.ratings["process_key"].isin(keys).to_numpy()].reset_index(drop=True)
    ratings = _judged(_signed(ratings, state) if texts else ratings.assign(comment=""))
    if planted:
        is_planted = ratings["ratee_id"].mod(PLANTED).eq(0) & ratings["score"].notna()
        ratings = ratings.assign(score=ratings["score"].where(~is_planted, 1.0))
    if edited:
        ratings = _edited(ratings, order, edited, Random(seed))  # noqa: S311 - made-up edits
    truth = replace(truth, ratings=ratings, closed={key: set(order) for key in keys})
    terms = _terms(state, profile, seed)
    known = hidden.HiddenState.empty()
    snapshots = []
    for at in range(1, len(order) + 1):
        month = ordinal(order[at - 1])
        current = ratings[ratings["since"].le(month).to_numpy() & ratings["until"].gt(month).to_numpy()]
        known = decide(current, NOTHING_EXPECTED, known, dict.fromkeys(keys, order[:at]), terms).state
        snapshots.append((month, known.blocks, known.pairs))
    return _release(f"company {seed.hex()[:4]}", profile, known, truth, tuple(snapshots), terms)


def tightened(state: PortalState, before: Release, processes: Collection[str]) -> tuple[Release, pd.DataFrame, int]:
    """Makes the policy of a released company stricter from today on, and looser, as an administrator may.

    Args:
        state: the portal.
        before: its release, without edits.
        processes: which processes become `department_only`.

    Returns:
        (what is still published; its ratings as they were released, with `mode_now`; how many ratings a line that opens
        everything from today on would open).
    """
    today = state.now.date()
    lines = [
        {"process": key, "rater_department": "*", "ratee_department": "*", "valid_from": str(today)}
        for key in processes
    ]
    keys = ["process_key", "rating_id"]
    stricter = truth_of(state, [*state.config["policies"], *(line | {"mode": "department_only"} for line in lines)])
    looser = truth_of(state, [*state.config["policies"], *(line | {"mode": "open"} for line in lines)])
    now = stricter.ratings[[*keys, "mode"]].rename(columns={"mode": "mode_now"})
    was = truth_of(state).ratings
    opened = was["mode"].ne("open") & looser.ratings["mode"].eq("open") & was["rated_on"].lt(today)
    ratings = before.known.ratings.merge(now, on=keys)
    left, _ = hidden.withdraw(before.state, ratings.assign(mode=ratings["mode_now"]), NOTHING_EXPECTED, today)
    kept = {
        part: rows[rows["withdrawn_at"].isna().to_numpy()]
        for part in ("blocks", "rows", "comments", "bands")
        for rows in (getattr(left, part),)
    }
    return replace(before, **kept), ratings, int(opened.sum())


def _release(
    name: str,
    profile: str,
    known: hidden.HiddenState,
    truth: Truth,
    snapshots: tuple[tuple[int, pd.DataFrame, pd.DataFrame], ...],
    terms: hidden.ReleaseTerms,
) -> Release:
    return Release(
        name=name,
        profile=profile,
        blocks=known.blocks,
        pairs=known.pairs,
        rows=known.rows,
        comments=known.comments,
        reasons=known.reasons,
        violations=known.violations,
        coverage=known.coverage,
        bands=known.bands,
        snapshots=snapshots,
        truth=replace(truth, rater_of=_pseudonyms(truth, terms)),
        state=known,
    )


def _pseudonyms(truth: Truth, terms: hidden.ReleaseTerms) -> dict[str, int]:
    rows = truth.hidden
    people = rows.loc[rows["mode"].eq("pseudonymous").to_numpy(), ["period", "rater_department_id", "rater_id"]]
    found = {}
    for period, department, rater in people.drop_duplicates().itertuples(index=False, name=None):
        key = terms.pseudonym_key(period)
        if key is not None:
            found[pseudonyms.pseudonym(key, int(department), int(rater))] = int(rater)
    return found


def _terms(state: PortalState, profile: ProfileName, seed: bytes) -> hidden.ReleaseTerms:
    departments = departments_of(state)
    names = dict(zip(departments["department_id"].tolist(), departments["name"].tolist(), strict=True))
    return hidden.ReleaseTerms(
        profile_name=profile,
        profile=PROFILES[profile],
        seal=seed,
        policy_version="",
        today=state.now.date(),
        departments=names,
        pseudonym_key=lambda month: hashlib.sha256(seed + str(month).encode()).digest(),
        redactor=lambda: redactor_of(employees_of(state), tuple(sorted(set(names.values())))),
    )


def _signed(ratings: pd.DataFrame, state: PortalState) -> pd.DataFrame:
    """Comments with the names of those who sign what they write."""
    surnames = {number: str(user.get("LAST_NAME") or "") for number, user in state.users.items()}
    signs = ratings["rater_id"].mod(SIGNED).eq(0) & ratings["comment"].str.len().ge(8)
    names = pd.Series(
        [f" {surnames.get(rater, '')}" for rater in ratings["rater_id"]], index=ratings.index, dtype="str"
    )
    return ratings.assign(comment=ratings["comment"].where(~signs, ratings["comment"] + names))


def _judged(ratings: pd.DataFrame) -> pd.DataFrame:
    """Adds broken rules and reasons of hidden ratings, which shares are made of."""
    is_low = (ratings["score"] < 5) & ratings["mode"].ne("open") & ratings["exclusion_code"].isin(["", "unexplained"])
    no_titles = pd.Series("", index=ratings.index, dtype="str")
    verdicts = judge_all(ratings["comment"].where(is_low, ""), is_low.to_numpy(), no_titles)
    reasons = verdicts["reasons"].where(verdicts["reasons"].ne(""), "other")
    return ratings.assign(
        comment_rules=verdicts["codes"].where(is_low, ""), reason_codes=reasons.where(is_low, "").astype("str")
    )


def _edited(ratings: pd.DataFrame, order: list[date], share: float, chance: Random) -> pd.DataFrame:
    """Splits ratings that are edited after their month was closed into a version before and one after."""
    month = ordinals(ratings["period"])
    until = np.full(len(ratings), FOREVER)
    added = []
    for at in map(ordinal, order[1:]):
        open_to_edits = [
            row
            for row in np.flatnonzero(
                (month < at) & (until == FOREVER) & ratings["is_counted"].to_numpy(dtype=bool)
            ).tolist()
            if chance.random() < share
        ]
        until[open_to_edits] = at
        changed = ratings.iloc[open_to_edits]
        scores = [chance.choice([score for score in range(1, 6) if score != old]) for old in changed["score"]]
        reasons = ["" if score == 5 else "other" for score in scores]
        added.append(changed.assign(score=np.array(scores, dtype="float64"), since=at, reason_codes=reasons))
    return pd.concat([ratings.assign(until=until), *added], ignore_index=True)


def expected_of(state: PortalState, ratings: pd.DataFrame) -> pd.DataFrame:
    """Every expected rating of a portal with its mode: coverage rests on them."""
    rows = pd.DataFrame([vars(row) for row in obligation_truth(state)])
    book, company = _policy(state)
    mode, _ = book.resolve_obligations(
        rows, ratings.assign(policy_version=""), company, [state.now.date()], state.now.date()
    )
    return rows.assign(mode=mode, is_viewer=False)


def more_rows(state: PortalState, truth: Truth, months: Collection[date], seed: bytes) -> Release:
    """Pseudonymous rows alone, of some months, under keys that are known here: to match them between months.

    Args:
        state: the portal.
        truth: its truth.
        months: which months.
        seed: what the keys are made of.
    """
    terms = _terms(state, "default", seed)
    units = truth.hidden[truth.hidden["mode"].eq(pseudonyms.MODE).to_numpy()]
    nothing = hidden.HiddenState.empty()
    rows = [
        pseudonyms.pseudonymous_rows(units, month, key)
        for month in sorted(months)
        if (key := terms.pseudonym_key(month)) is not None
    ]
    known = replace(nothing, rows=pd.concat([nothing.rows, *rows], ignore_index=True) if rows else nothing.rows)
    return _release("rows alone", "default", known, truth, (), terms)
