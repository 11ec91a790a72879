"""The doctor's look at key file and vault.

Belongs here: whether the key opens what is there, which months are held, what a killed run left. Does not belong here:
mending any of it (`sources/vault.py` sweeps, `assets/changes.py` notes months).
"""

from __future__ import annotations

import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from assets.changes import OtherVersionError, coverage, forgotten, months_without_titles, pending, snapshot
from assets.crm import EVENT_SCHEMA
from assets.periods import key_of, months_back
from pipelines.findings import Findings
from pipelines.settings import Settings
from sources.contracts import RATING_COLUMNS, TASK_COLUMNS
from sources.vault import CURRENT, Vault, VaultError, VaultKey, WrongKeyError

LATE_DAYS = 2
"""Open months are read daily: after two days something has stopped."""

MOST_NAMED = 12

MEMORY = {"raw": RATING_COLUMNS, "task": TASK_COLUMNS, "event": EVENT_SCHEMA}
"""Datasets that every run goes by, and their columns; the others are made anew from them."""


@dataclass(frozen=True)
class Held:
    """What the vault knows already.

    Attributes:
        ratings: live ratings by process.
        departments: every department a run ever saw.
    """

    ratings: Counter[str]
    departments: frozenset[int]


def examine_key(settings: Settings, found: Findings) -> None:
    """Looks at the key file."""
    with found.examine("key file"):
        VaultKey.load(settings.key_file)
        found.ok("key file", f"{settings.key_file} is a key that only its owner can read.")


def examine_vault(settings: Settings, found: Findings, today: date, *, is_running: bool) -> Held | None:
    """Looks at the vault, if there is one.

    Args:
        settings: the configuration.
        found: where findings go.
        today: today in the portal's time zone.
        is_running: whether a run is at work, whose temporary files are no leftovers.

    Returns:
        What it knows; None if it could not be read.
    """
    path = settings.vault_path
    if not path.is_dir():
        found.ok("vault", f"There is no vault at {path} yet: the first run makes it.")
        return Held(Counter(), frozenset())
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o777 != 0o700:
        # Opening it would set the mode, and the doctor changes nothing.
        found.fail(
            "vault",
            f"The vault folder {path} has mode {mode:04o} instead of 0700, so it was not opened: run chmod 700 on it.",
        )
        return None
    with found.examine("vault"):
        try:
            vault = Vault(path, VaultKey.load(settings.key_file))
        except VaultError:
            # The key file's own finding says why.
            found.note("vault", f"The vault {path} cannot be opened without its key.")
            return None
        if not is_running:
            _leftovers(path, found)
        if not _opens(vault, path, found):
            return None
        _months(vault, settings, found, today)
        return _known(vault)
    return None


def _known(vault: Vault) -> Held:
    ratings: Counter[str] = Counter()
    for period in vault.periods("raw"):
        rows = vault.read("raw", period).select(["process_key", "is_deleted"]).to_pylist()
        ratings.update(row["process_key"] for row in rows if not row["is_deleted"])
    departments: set[int] = set()
    if vault.has("departments", CURRENT):
        departments.update(vault.read("departments", CURRENT)["department_id"].to_pylist())
    return Held(ratings, frozenset(departments))


def _leftovers(path: Path, found: Findings) -> None:
    temporary = len(list(path.glob("*/.*.tmp")))
    orphaned = [file for file in path.glob("*/*.arrow") if not (path / "keys" / file.stem).exists()]
    if temporary or orphaned:
        found.note(
            "vault",
            f"A run or `vault forget` was killed and left {temporary} unfinished files and {len(orphaned)} snapshots "
            "without a key, which nobody can read: the next run removes them.",
        )


def _opens(vault: Vault, path: Path, found: Findings) -> bool:
    """Decrypts every snapshot; False if the key is another one, so that nothing else can be said."""
    read, strange = 0, set()
    for file in sorted(path.glob("*/*.arrow")):
        if not vault.has(file.parent.name, file.stem):
            continue
        try:
            table = snapshot(vault, file.parent.name, file.stem)
        except WrongKeyError as error:
            found.fail("vault", str(error))
            return False
        except VaultError as error:
            found.fail("vault", str(error))
        else:
            read += 1
            if table.schema != MEMORY.get(file.parent.name, table.schema):
                strange.add(file.parent.name)
    for dataset in sorted(strange):
        found.fail("vault", str(OtherVersionError(dataset)))
    found.ok("vault", f"The key file fits, {read} snapshots can be read.")
    return True


def _months(vault: Vault, settings: Settings, found: Findings, today: date) -> None:
    retention = settings.file.vault.retention_months
    oldest = key_of(min(months_back(today, retention)))
    with found.examine("vault months"):
        held = vault.periods("raw")
        span = f" ({held[0]} to {held[-1]})" if held else ""
        found.ok("vault months", f"{len(held)} months held{span}, {retention} are kept.")
        expired = [period for period in vault.held() if period < oldest]
        if expired:
            found.note(
                "vault months",
                f"{_named(expired)} are past vault.retention_months: the next run that publishes destroys them "
                "for good.",
            )
    with found.examine("vault months"):
        waiting = pending(vault)
        if waiting:
            found.note(
                "vault months",
                f"{_named(map(key_of, waiting))} changed in Bitrix24 and were not read since: the next run reads them.",
            )
    with found.examine("vault months"):
        untitled = months_without_titles(vault)
        if untitled:
            found.note(
                "vault months",
                f"{_named(map(key_of, untitled))} were read by an earlier version of Estafeta, which did not read the "
                "titles of tasks: the next run reads them again.",
            )
    with found.examine("vault months"):
        destroyed = forgotten(vault)
        if destroyed:
            found.ok(
                "vault months",
                f"{_named(map(key_of, destroyed))} are destroyed: what is published of them stays, no run reads them.",
            )
    with found.examine("last reading"):
        _last_reading(coverage(vault), settings, found, today)


def _last_reading(read_on: dict[tuple[str, date], date], settings: Settings, found: Findings, today: date) -> None:
    for process in settings.file.processes:
        days = [day for (key, _), day in read_on.items() if key == process.key]
        if not days:
            found.note(f"{process.key}: last reading", f"Process {process.key} was never read: start a run.")
        elif (today - max(days)).days > LATE_DAYS:
            found.note(
                f"{process.key}: last reading",
                f"Process {process.key} was last read on {max(days)}, {(today - max(days)).days} days ago: see why "
                "runs stopped (schedule, log of the last run), then start one.",
            )
        else:
            found.ok(f"{process.key}: last reading", f"Process {process.key} was last read on {max(days)}.")


def _named(months: Iterable[str]) -> str:
    names = sorted(months)
    rest = len(names) - MOST_NAMED
    return "Months " + ", ".join(names[:MOST_NAMED]) + (f" and {rest} more" if rest > 0 else "")
