"""The doctor's look at the portal.

Belongs here: webhook, clock, time zone, scopes, people, for each process fields, options, stages, filters, elements,
linked tasks and the workgroups that coverage goes by, the processes of decisions and of agreements. Does not belong
here: how the portal is asked (`sources/bitrix24.py`), what REST cannot show (`doctor.py`).

Sentences hold counts, ids of departments and stages, field names and option texts, never a person or a comment.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow.compute as pc

from assets.periods import key_of, months_back
from assets.rules.deletions import FEWEST_TO_DOUBT, SHARE_TO_DOUBT
from pipelines.doctor_vault import Held
from pipelines.findings import Findings
from pipelines.settings import Settings
from sources.bitrix24 import Bitrix24, PortalError, ProcessOnPortal
from sources.contracts import (
    SCORE_RANGE,
    AgreementProcess,
    ContractBrokenError,
    DecisionProcess,
    FieldDefinition,
    Process,
    ratings_table,
    read_score,
)
from sources.decisions import read_outcome

MOST_CLOCK_SKEW_SECONDS = 120

TOO_MANY = 0.5
"""A share of elements without score, rater or ratee that no carelessness explains."""

FITTING = {
    "score": {"integer", "double", "enumeration", "string"},
    "comment": {"string", "text"},
    "rater": {"employee", "user"},
    "ratee": {"employee", "user"},
    "task": {"integer", "string"},
    "period": {"date", "datetime"},
    "reason": {"enumeration"},
}
"""Types of `crm.item.fields` that each role can be read from."""

FITTING_DECISION = {
    "ratee": {"employee", "user"},
    "period": {"date", "datetime", "string"},
    "decision": {"enumeration", "string"},
    "reason": {"string", "text"},
    "decided_by": {"employee", "user"},
}
"""The same for the roles of a decision."""

NAMED = {"string", "text", "enumeration", "integer", "iblock_section", "crm_department"}
FITTING_AGREEMENT = {
    "process": {"string", "enumeration"},
    "rater_department": NAMED,
    "ratee_department": NAMED,
    "text": {"string", "text"},
    "agreed_on": {"date", "datetime"},
    "reason": {"string", "enumeration"},
    "owner": {"employee", "user"},
    "due": {"date", "datetime"},
    "done": {"boolean", "enumeration", "string"},
}
"""The same for the roles of an agreement."""

USER_SCOPES = {"user_brief", "user_basic", "user"}


def examine_portal(settings: Settings, found: Findings, held: Held | None) -> None:
    """Looks at the portal through the configured webhook; reads only.

    Args:
        settings: the configuration.
        found: where findings go.
        held: what the vault knows; None if that could not be read.
    """
    with found.examine("portal"), settings.portal() as portal:
        skew = abs((portal.clock - datetime.now(UTC)).total_seconds())
        found.ok("portal", "It answers to the webhook.")
        if skew > MOST_CLOCK_SKEW_SECONDS:
            found.note(
                "clock",
                f"Portal and host differ by {skew:.0f} s: months close by the portal's clock, schedules and ages go by "
                "the host's; let NTP set it.",
            )
        else:
            found.ok("clock", f"Portal and host differ by {skew:.0f} s.")
        with found.examine("time zone"):
            found.ok("time zone", f"It is {portal.now:%H:%M} in {settings.zone.key} and by the portal's own offset.")
        with found.examine("scopes"):
            _scopes(settings, portal.scopes(), found)
        with found.examine("webhook owner"):
            _owner(portal, found)
        with found.examine("people"):
            _people(settings, portal, found, held)
        for process in settings.file.processes:
            _process(process, settings, portal, found, held)
        if settings.decision_process:
            with found.examine("decisions"):
                _decisions(settings.decision_process, portal, found)
        if settings.agreement_process:
            with found.examine("agreements"):
                _agreements(settings.agreement_process, portal, found)


def _scopes(settings: Settings, granted: frozenset[str], found: Findings) -> None:
    needed = {"crm", "user_brief", "department"}
    if any(process.fields.task or process.tasks for process in settings.file.processes):
        needed.add("task")
    if settings.file.notify.bitrix24_users or settings.terms.agenda_link:
        needed.add("im")
    lacking = needed - granted - ({"user_brief"} if granted & USER_SCOPES else set())
    if lacking:
        found.fail(
            "scopes",
            f"The webhook lacks {', '.join(sorted(lacking))}: add it in Bitrix24 (Developer resources, Inbound webhook)"
            + (", or take out notify.bitrix24_users and agreements.link." if lacking == {"im"} else "."),
        )
    else:
        found.ok("scopes", f"The webhook has {', '.join(sorted(needed))}.")
    more = granted - needed
    if more:
        found.note(
            "scopes",
            f"The webhook may do more than Estafeta needs ({', '.join(sorted(more))}): whoever gets hold of it may "
            "too; take that from it.",
        )


def _owner(portal: Bitrix24, found: Findings) -> None:
    try:
        is_admin = portal.current_user().is_admin
    except (PortalError, ContractBrokenError):
        # Nothing that a run needs.
        found.note(
            "webhook owner",
            "The portal does not say whose webhook it is (profile): see by hand that its owner is a service account "
            "and no administrator.",
        )
        return
    if is_admin:
        found.note(
            "webhook owner",
            "The webhook belongs to an administrator: whoever gets hold of it reads the whole portal; make it anew "
            "under a service account that may read the rated smart processes only.",
        )
    else:
        found.ok("webhook owner", "The webhook does not belong to an administrator.")


def _people(settings: Settings, portal: Bitrix24, found: Findings, held: Held | None) -> None:
    users, departments = portal.users(), {department.id for department in portal.departments()}
    if not users or not departments:
        found.fail(
            "people",
            f"The webhook's owner sees {len(users)} users in {len(departments)} departments: give the account access "
            "to the company structure.",
        )
        return
    found.ok("people", f"{len(users)} users in {len(departments)} departments are visible.")
    named: dict[int, set[str]] = {}
    for number, entry in enumerate(settings.file.policies):
        for key in ("rater_department", "ratee_department"):
            department = getattr(entry, key)
            if isinstance(department, int):
                named.setdefault(department, set()).add(f"policies.{number}.{key}")
    for process in settings.file.processes:
        for key in ("setter_departments", "executor_departments"):
            for department in getattr(process, key):
                named.setdefault(department, set()).add(f"{key} of process {process.key}")
    for department in sorted(set(named) - departments):
        where = ", ".join(sorted(named[department]))
        if held is not None and department in held.departments:
            found.note(
                "departments",
                f"Department {department} ({where}) no longer exists: the line still holds for ratings of its time; "
                "name the department that took over as well.",
            )
        else:
            found.fail(
                "departments",
                f"The portal has no department {department}, which {where} names: what is written there never holds; "
                "correct the number (department.get lists them).",
            )


# --- decisions ------------------------------------------------------------------------------------------------------


def _decisions(process: DecisionProcess, portal: Bitrix24, found: Findings) -> None:
    definitions = portal.mapped_fields(process)
    misfits = [
        f"decisions.fields.{role} (type {definitions[name].type}, needed {' or '.join(sorted(FITTING_DECISION[role]))})"
        for role, name in process.fields.names().items()
        if definitions[name].type not in FITTING_DECISION[role]
    ]
    unread = _unread_outcomes(process, definitions[process.fields.decision])
    shown = portal.census({process.entity_type_id: 0})[process.entity_type_id].elements
    if misfits:
        found.fail("decisions", f"Fields of another type than a decision needs: {'; '.join(misfits)}; correct them.")
    if unread:
        found.fail(
            "decisions",
            f"Options of the decision that mean nothing to Estafeta: {'; '.join(unread)}. Decisions that chose them do "
            "not count; add them to decisions.decision_values.",
        )
    if not shown:
        found.note(
            "decisions",
            "The webhook's owner sees no element of the smart process of decisions: nobody has decided yet, or the "
            "account may not read it (REST does not tell which); compare with the list that an administrator sees.",
        )
    elif not misfits and not unread:
        found.ok("decisions", f"{shown} elements are visible, and every mapped field fits.")


def _agreements(process: AgreementProcess, portal: Bitrix24, found: Findings) -> None:
    definitions = portal.mapped_fields(process)
    misfits = [
        f"agreements.fields.{role} (type {definitions[name].type}, needed {' or '.join(sorted(fitting))})"
        for role, name in process.fields.names().items()
        if definitions[name].type not in (fitting := FITTING_AGREEMENT[role])
    ]
    shown = portal.census({process.entity_type_id: 0})[process.entity_type_id].elements
    if misfits:
        found.fail("agreements", f"Fields of another type than an agreement needs: {'; '.join(misfits)}; correct them.")
    elif not shown:
        found.note(
            "agreements",
            "The webhook's owner sees no element of the smart process of agreements: nothing is agreed yet, or the "
            "account may not read it (REST does not tell which); compare with the list that an administrator sees.",
        )
    else:
        found.ok("agreements", f"{shown} elements are visible, and every mapped field fits.")


def _unread_outcomes(process: DecisionProcess, definition: FieldDefinition) -> list[str]:
    return [text for text in definition.option_texts().values() if not read_outcome(text, process.decision_values)]


# --- one process ----------------------------------------------------------------------------------------------------


def _process(process: Process, settings: Settings, portal: Bitrix24, found: Findings, held: Held | None) -> None:
    with found.examine(f"{process.key}: elements"):
        _elements(process, portal, found, held)
    with found.examine(f"{process.key}: fields"):
        described = portal.describe([process])[process.key]
        found.ok(f"{process.key}: fields", "Every mapped field exists.")
        _types(process, described, found)
        _options(process, described, found)
        with found.examine(f"{process.key}: stages"):
            _stages(process, described, found)
        with found.examine(f"{process.key}: filters"):
            portal.probe([process], {process.key: described})
            found.ok(f"{process.key}: filters", "The newest element shows every field, and filters by time cut there.")
        linked: set[int] = set()
        with found.examine(f"{process.key}: newest elements"):
            linked = _newest(process, described, settings, portal, found)
        if process.tasks:
            with found.examine(f"{process.key}: coverage"):
                _coverage(process, process.tasks.group_id, portal, linked, found)


def _elements(process: Process, portal: Bitrix24, found: Findings, held: Held | None) -> None:
    what, shown = (
        f"{process.key}: elements",
        portal.census({process.entity_type_id: 0})[process.entity_type_id].elements,
    )
    known = held.ratings[process.key] if held is not None else 0
    lost = known - shown
    if lost >= FEWEST_TO_DOUBT and lost > SHARE_TO_DOUBT * known:
        found.fail(
            what,
            f"The webhook's owner sees {shown} elements of process {process.key}, the vault holds {known}: it has most "
            "likely lost the right to read all of them; give it back, or run with --accept-deletions if they were "
            "really deleted.",
        )
    elif not shown:
        found.note(
            what,
            f"The webhook's owner sees no element of process {process.key}: it is empty, or the account may not read "
            "it (REST does not tell which); compare with the list that an administrator sees.",
        )
    elif held is None:
        found.ok(what, f"{shown} elements are visible.")
    else:
        found.ok(what, f"{shown} elements are visible, the vault holds {known} of the months it keeps.")


def _types(process: Process, described: ProcessOnPortal, found: Findings) -> None:
    for role, name in process.fields.names().items():
        kind = described.definitions[name].type
        if role == "period" and process.cadence != "month":
            continue
        if kind not in FITTING[role]:
            found.fail(
                f"{process.key}: fields",
                f"Process {process.key} reads its {role} from the field {name}, whose type is {kind}: it needs "
                f"{' or '.join(sorted(FITTING[role]))}; correct fields.{role}, or make a field of that type.",
            )


def _options(process: Process, described: ProcessOnPortal, found: Findings) -> None:
    definition = described.definitions[process.fields.score]
    if definition.type != "enumeration":
        return
    unread = [
        text
        for number, text in definition.option_texts().items()
        if read_score(number, definition, process.score_values)[1] == SCORE_RANGE
    ]
    if unread:
        found.fail(
            f"{process.key}: score",
            f"Options of the score of process {process.key} hold no single number from 1 to 5 and are not in "
            f"score_values: {'; '.join(unread)}. Ratings that chose them do not count; add them to score_values.",
        )
    else:
        found.ok(f"{process.key}: score", f"All {len(definition.options)} options of the score can be read.")


def _stages(process: Process, described: ProcessOnPortal, found: Findings) -> None:
    if not process.counted_stages:
        found.ok(f"{process.key}: stages", "Every stage counts but those of failure.")
        return
    unknown = sorted(set(process.counted_stages) - described.stages)
    if unknown:
        found.fail(
            f"{process.key}: stages",
            f"No funnel of process {process.key} has the stage {', '.join(unknown)} of counted_stages: its stages are "
            f"{', '.join(sorted(described.stages))}; correct counted_stages.",
        )
    else:
        found.ok(f"{process.key}: stages", "Every counted stage exists.")


def _newest(
    process: Process, described: ProcessOnPortal, settings: Settings, portal: Bitrix24, found: Findings
) -> set[int]:
    """Reads the newest page: what is empty there, and which linked tasks can be seen; returns the linked tasks."""
    items = portal.newest(process)
    if not items:
        return set()
    ratings = ratings_table(process, items, described.definitions, described.failure_stages, settings.zone)
    empty = {
        "score": pc.sum(pc.is_null(ratings["score"])).as_py(),
        "rater": pc.sum(pc.equal(ratings["rater_id"], 0)).as_py(),
        "ratee": pc.sum(pc.equal(ratings["ratee_id"], 0)).as_py(),
    }
    for role, count in empty.items():
        if count > TOO_MANY * len(items):
            found.note(
                f"{process.key}: newest elements",
                f"{count} of the newest {len(items)} elements of process {process.key} show no readable {role}: see "
                f"whether fields.{role} is the right field, and whether the webhook's owner may see it.",
            )
    linked: list[int] = ratings["task_id"].to_pylist()
    if process.fields.task:
        name = process.fields.task
        written = [item.get(name, item.get(described.definitions[name].upper_name)) for item in items]
        _tasks(process, portal, linked, written, found)
    return {task for task in linked if task}


def _coverage(process: Process, group: int, portal: Bitrix24, linked: set[int], found: Findings) -> None:
    """Whether the tasks that ratings are expected for can be seen, and are those that ratings are about."""
    what = f"{process.key}: coverage"
    if not portal.visible_tasks(group):
        found.note(
            what,
            f"The webhook's owner sees no task of the workgroup {group} that process {process.key} is measured "
            "against: the group has none, or the account may not see them (REST does not tell which), and coverage "
            "stays empty; correct tasks.group_id, or make the account a member of that project.",
        )
        return
    # The first days of a month may not have seen a task closed yet.
    first, last = months_back(portal.now.date(), 2)
    closed = portal.closed_tasks([group], first, last)
    newest = pc.max(closed["period"]).as_py()
    if newest is None:
        found.note(
            what,
            f"The webhook's owner sees tasks of the workgroup {group} of process {process.key}, but none that was "
            f"completed since {key_of(first)}: nothing is expected to be rated; see whether people complete tasks "
            "there, and whether tasks.group_id is the right group.",
        )
    else:
        count = pc.count_distinct(closed.filter(pc.equal(closed["period"], newest))["task_id"]).as_py()
        found.ok(what, f"{count} tasks of the workgroup {group} that were completed in {key_of(newest)} are visible.")
    rated = portal.tasks_now(sorted(linked)).closed
    elsewhere = pc.count_distinct(rated.filter(pc.not_equal(rated["group_id"], group))["task_id"]).as_py()
    if elsewhere:
        found.note(
            what,
            f"{elsewhere} of {len(linked)} tasks linked from the newest elements of process {process.key} do not "
            f"belong to the workgroup {group}: their ratings count, but coverage does not expect them; see whether "
            "tasks.group_id is the right group, or move such tasks into it.",
        )


def _tasks(process: Process, portal: Bitrix24, linked: list[int], written: list[Any], found: Findings) -> None:
    what = f"{process.key}: tasks"
    strange = sum(1 for task, value in zip(linked, written, strict=True) if not task and value)
    if strange:
        found.note(
            what,
            f"{strange} of the newest {len(linked)} elements of process {process.key} hold something in the task field "
            "that is no number of a task (a web address, say), and count as linked to none: write 17 or T_17 there.",
        )
    asked = {task for task in linked if task}
    if not asked:
        found.note(
            what,
            f"None of the newest {len(linked)} elements of process {process.key} is linked to a task: whether "
            "ratings go the right way cannot be checked by tasks.",
        )
        return
    hidden = len(asked) - len(portal.tasks(sorted(asked)))
    if hidden:
        found.note(
            what,
            f"The webhook's owner cannot see {hidden} of {len(asked)} tasks linked from the newest elements of process "
            f"{process.key} (or they are deleted): ratings in the wrong direction are not noticed there; let the "
            "account see the tasks of the rated departments, or make it a member of their projects.",
        )
    else:
        found.ok(what, f"All {len(asked)} tasks linked from the newest elements are visible.")
