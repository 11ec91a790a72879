"""The doctor: looks at everything a run needs and says how to mend what is wrong. Changes nothing.

Belongs here: the order of the examination, the configuration, the last run, what REST cannot verify. Does not belong
here: keys and vault (`doctor_vault.py`), portal (`doctor_portal.py`), warehouse (`doctor_warehouse.py`), DataLens
(`doctor_datalens.py`), the checks of the data itself (`assets/checks.py`).

It makes no folder, key, table or lock, cleans nothing up, and waits for nobody: a run that is at work is a finding.
"""

from __future__ import annotations

import fcntl
import os
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg

from assets.rules.disclosure import PROFILES
from assets.rules.policy import ANY, DEFAULT_MODE, HIDDEN_MODES, Mode, PolicyBook, PolicyEntry
from pipelines.doctor_datalens import examine_datalens
from pipelines.doctor_portal import examine_portal
from pipelines.doctor_vault import examine_key, examine_vault
from pipelines.doctor_warehouse import examine_warehouse
from pipelines.findings import Findings
from pipelines.settings import Settings

RESPONSIBLE = "assignedById"

UNFINISHED = [dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def examine(settings: Settings) -> Findings:
    """Examines configuration, keys and vault, portal, warehouse, DataLens and the last run, in this order."""
    found = Findings()
    today = datetime.now(UTC).astimezone(settings.zone).date()
    is_running = is_at_work(settings.state_path)
    _configuration(settings, found, today)
    with found.examine("notification"):
        _notification(settings, found)
    examine_key(settings, found)
    held = examine_vault(settings, found, today, is_running=is_running)
    examine_portal(settings, found, held)
    examine_warehouse(settings, found, is_running=is_running)
    examine_datalens(settings, found)
    _last_run(settings, found, is_running=is_running)
    found.note(
        "cannot be verified",
        "REST shows no roles, field visibility, automation rules or texts of the card: check by hand that the "
        "webhook's owner may read all elements of each smart process in all funnels, and that a ratee cannot open the "
        "card of a hidden rating (docs/bitrix24.md, checklist).",
    )
    return found


def is_at_work(state: Path) -> bool:
    """Whether a run holds the portal's run lock; makes no lock file.

    Args:
        state: folder of Estafeta's own files.
    """
    try:
        descriptor = os.open(state / "run.lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _configuration(settings: Settings, found: Findings, today: date) -> None:
    processes, release = settings.file.processes, settings.file.release
    found.ok("configuration", f"{len(processes)} processes, {len(settings.policy.entries)} policy lines.")
    profile = PROFILES[release.profile]
    found.ok(
        "release",
        f"Profile {release.profile}: a ratee's figure needs {profile.k} raters, "
        f"its lowest band is {profile.low(profile.k)}; "
        f"months close on day {release.freeze_day}.",
    )
    for process in processes:
        if process.tasks is None:
            found.note(
                f"{process.key}: coverage",
                f"Process {process.key} names no tasks.group_id: how many of the expected ratings were given stays "
                "empty; name the project of its tasks if you want to know.",
            )
        if not any(entry.process in {ANY, process.key} for entry in settings.policy.entries):
            found.note(
                f"{process.key}: policy",
                f"No policy line concerns process {process.key}: all its ratings are {DEFAULT_MODE}; write the line "
                "down, so that the mode the raters are told stands in the configuration.",
            )
        hidden = modes_from(settings.policy, process.key, today) & HIDDEN_MODES
        if process.fields.ratee == RESPONSIBLE and hidden:
            found.note(
                f"{process.key}: ratee",
                f"Process {process.key} takes the responsible person for the ratee under the mode "
                f"{' and '.join(sorted(hidden))}: the responsible person can open the card of a rating that should be "
                "hidden from him; make an employee field for the ratee and let the rater be responsible.",
            )


def modes_from(policy: PolicyBook, process: str, today: date) -> set[Mode]:
    """Modes that ratings of a process can get from a day on.

    Args:
        policy: all lines.
        process: its key.
        today: the day; lines that begin later count too.
    """
    own = [entry for entry in policy.entries if entry.process in {ANY, process}]
    latest: dict[tuple[str, int | str, int | str], PolicyEntry] = {}
    for entry in sorted(own, key=lambda entry: entry.valid_from):
        if entry.valid_from <= today:
            latest[entry.key] = entry
    if (process, ANY, ANY) in latest:
        latest.pop((ANY, ANY, ANY), None)
    modes = {entry.mode for entry in [*latest.values(), *(entry for entry in own if entry.valid_from > today)]}
    covers_all = any(key[1:] == (ANY, ANY) for key in latest)
    return modes if covers_all else modes | {DEFAULT_MODE}


def _notification(settings: Settings, found: Findings) -> None:
    users = settings.file.notify.bitrix24_users
    ways = ["a chat webhook"] if settings.notify_url else []
    if users:
        ways.append(f"{len(users)} Bitrix24 users")
    if ways:
        found.ok("notification", f"A failed run is told to {' and '.join(ways)}.")
    else:
        found.note(
            "notification",
            "Nobody is told when a run fails: name users under notify.bitrix24_users, or a chat webhook in "
            "ESTAFETA_NOTIFY_URL.",
        )


def _last_run(settings: Settings, found: Findings, *, is_running: bool) -> None:
    if is_running:
        found.note(
            "run lock",
            "A run of this portal is at work: months pending, temporary files and copies may be its own; ask again "
            "when it has ended.",
        )
    else:
        found.ok("run lock", "No run is at work.")
    home = settings.dagster_home or settings.state_path / "dagster"
    with found.examine("Dagster"):
        if settings.dagster_home and not (home / "dagster.yaml").is_file():
            found.note(
                "Dagster",
                f"DAGSTER_HOME is {home}, where no dagster.yaml lies: copy dagster.yaml of the repository there, or "
                "runs get in each other's way.",
            )
        else:
            found.ok("Dagster", f"Runs are recorded in {home}.")
        # Only a storage that exists: opening one makes it.
        if not is_running and (home / "history" / "runs.db").is_file():
            _killed_runs(home, found)


def _killed_runs(home: Path, found: Findings) -> None:
    with dg.DagsterInstance.from_config(str(home)) as instance:
        killed = instance.get_runs_count(dg.RunsFilter(statuses=UNFINISHED))
    if killed:
        found.note(
            "Dagster",
            f"Dagster takes {killed} runs for running although none of this portal is at work: those of Estafeta were "
            "killed, and the next `estafeta run` or look of the sensor changed_months marks them failed once they are "
            "10 minutes old; what still stands there then can be deleted in its UI (Runs).",
        )
