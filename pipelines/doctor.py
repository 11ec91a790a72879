"""The doctor: looks at everything a run needs and says how to mend what is wrong. Changes nothing.

Belongs here: one check per thing that can be wrong, its sentence, what REST cannot verify. Does not belong here: the
checks of the data itself (`assets/checks.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from assets.rules.disclosure import PROFILES
from pipelines.settings import Settings
from sources.bitrix24 import PortalError
from sources.contracts import ContractBrokenError
from sources.vault import VaultError
from warehouse_sql.engine import WarehouseError

MOST_CLOCK_SKEW_SECONDS = 120


@dataclass
class Findings:
    """What the doctor found, in the order it looked: (state, what, sentence); state is ok, note or fail."""

    lines: list[tuple[str, str, str]] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether a run can work."""
        return all(state != "fail" for state, _, _ in self.lines)

    def add(self, state: str, what: str, sentence: str) -> None:
        """Notes one finding."""
        self.lines.append((state, what, sentence))

    @contextmanager
    def examine(self, what: str) -> Iterator[Callable[[str], None]]:
        """Runs one check; a known failure becomes a finding and the next check goes on."""
        try:
            yield lambda sentence: self.add("ok", what, sentence)
        except (PortalError, ContractBrokenError, VaultError, WarehouseError) as error:
            self.add("fail", what, str(error))


def examine(settings: Settings) -> Findings:
    """Examines configuration, keys, portal and warehouse."""
    found = Findings()
    found.add(
        "ok", "configuration", f"{len(settings.file.processes)} processes, {len(settings.policy.entries)} policy lines"
    )
    profile = PROFILES[settings.file.release.profile]
    found.add("ok", "release", f"profile {settings.file.release.profile}: k = {profile.k}, lowest band {profile.low}")
    for process in settings.file.processes:
        if process.tasks is None:
            found.add("note", "coverage", f"process {process.key} has no tasks: its coverage will be empty")
    with found.examine("vault") as ok:
        vault = settings.vault()
        held = vault.periods("raw")
        for period in held:
            vault.read("raw", period)
        ok(f"key file fits, {len(held)} months held" + (f" ({held[0]} to {held[-1]})" if held else ""))
    _portal(settings, found)
    with found.examine("warehouse") as ok:
        warehouse = settings.warehouse()
        with warehouse.session("doctor") as db:
            known = db.rows("SELECT count() AS n FROM system.tables WHERE database IN ('dwh', 'hr', 'mart', 'ops')")
        ok(f"{warehouse.place} answers, {known[0]['n']} tables" + ("" if known[0]["n"] else ": a run will make them"))
    found.add(
        "note",
        "cannot be verified",
        "REST does not show CRM roles: check by hand that the webhook's owner may read all elements of each smart "
        "process, and that a ratee cannot open the card of a hidden rating.",
    )
    return found


def _portal(settings: Settings, found: Findings) -> None:
    with found.examine("portal") as ok, settings.portal() as portal:
        skew = abs((portal.now - datetime.now(UTC)).total_seconds())
        ok("answers to the webhook")
        if skew > MOST_CLOCK_SKEW_SECONDS:
            found.add("note", "clock", f"portal and host differ by {skew:.0f} s: months close by the portal's clock")
        else:
            found.add("ok", "clock", f"portal and host differ by {skew:.0f} s")
        with found.examine("field map") as mapped:
            portal.describe(settings.file.processes)
            mapped("every mapped field exists")
        with found.examine("people") as people:
            people(f"{len(portal.users())} users in {len(portal.departments())} departments are visible")
        with found.examine("tasks") as tasks:
            portal.tasks([1])
            tasks("the webhook may read tasks (those its owner can see)")
