"""Trouble on the wire: a run ends as if there had been none, or with one sentence and everything as before."""

from __future__ import annotations

import asyncio
import copy
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import get_args

import pandas as pd
import pyarrow as pa
import pytest

from assets.changes import due_months, find_changes, forgotten, months_between, spans
from assets.crm import read_ratings
from pipelines.settings import Settings
from sources import connection
from sources.bitrix24 import PortalError
from sources.contracts import ContractBrokenError
from sources.stand_in.limits import ALWAYS, Fault, FaultKind
from sources.stand_in.state import PortalState
from sources.vault import Vault, VaultKey
from tests.e2e.conftest import Site, assert_same, edit

KINDS: tuple[FaultKind, ...] = get_args(FaultKind)
MIXTURES = 10
KNOWN = (PortalError, ContractBrokenError)


@pytest.fixture(autouse=True)
def nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    without_waiting(monkeypatch)


def without_waiting(patch: pytest.MonkeyPatch) -> None:
    """Pauses between attempts take no time; the portal's thread sleeps on."""

    async def pause(seconds: float) -> None:
        """No time at all."""

    patch.setattr("os.fsync", lambda descriptor: None)
    patch.setattr(connection, "asyncio", SimpleNamespace(Runner=asyncio.Runner, sleep=pause))
    patch.setattr("fast_bitrix24.srh.sleep", pause)


@dataclass
class Reader:
    """The part of a run that talks to the portal, over a vault of its own."""

    site: Site
    template: Path
    settings: Settings
    key: VaultKey

    def read(self, folder: Path) -> PortalError | ContractBrokenError | None:
        """Everything a run asks the portal, in its order; the error it ended with."""
        settings = self.settings
        vault = Vault(folder, self.key)
        self.site.portal.portal._number = 0
        try:
            with settings.portal() as portal:
                found = find_changes(portal, vault, settings.terms, sweep=True)
                due = due_months(vault, settings.terms, portal.now.date(), with_open=True)
                portal.users(), portal.departments()
                for first, last in spans({*found.months, *due}, forgotten(vault)):
                    read_ratings(portal, vault, settings.terms, months_between(first, last))
        except KNOWN as error:
            return error
        return None

    def fresh(self, name: str) -> Path:
        """A copy of the vault as the last run left it."""
        folder = self.template.parent / name
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.template, folder)
        return folder

    def holds(self, folder: Path) -> dict[str, pa.Table]:
        """What a vault holds, but for the moment of the last look."""
        vault = Vault(folder, self.key)
        return {
            f"{file.parent.name}/{file.stem}": vault.read(file.parent.name, file.stem)
            for file in sorted(folder.glob("*/*.arrow"))
            if file.parent.name not in {"reading", "task_reading"}
        }


@pytest.fixture(scope="module")
def reader(first_run: tuple[PortalState, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """The tiny company after a first run and some edits, deletions among them, that nobody has read yet."""
    state, folder = first_run
    site_folder = tmp_path_factory.mktemp("faults") / "site"
    shutil.copytree(folder, site_folder, symlinks=True)
    with ExitStack() as stack:
        site = Site(site_folder, copy.deepcopy(state), stack)
        edit(site)
        # The seconds of the edits must be over: within them every look finds the same months again.
        site.portal.admin.advance_clock(5)
        yield Reader(site, site_folder / "vault", site.settings, VaultKey.load(site.key))


def assert_whole_or_as_before(reader: Reader, faults: list[Fault], wanted: dict[str, pa.Table]) -> bool:
    """One disturbed reading, and one after the disturbance is over.

    Returns:
        Whether the disturbed reading came through.
    """
    label = ", ".join(f"{fault.kind} at {fault.at} x{fault.times}" for fault in faults)
    folder = reader.fresh("disturbed")
    before = reader.holds(folder)
    reader.site.portal.faults[:] = faults
    error = reader.read(folder)
    reader.site.portal.faults.clear()
    if error is not None:
        sentence = str(error)
        assert len(sentence) > 30, label
        assert reader.site.portal.webhook.split("/")[-2] not in sentence, label
        after = reader.holds(folder)
        # What was found is noted; no snapshot is touched by a reading that failed.
        assert {name: table for name, table in after.items() if not name.startswith("pending/")} == {
            name: table for name, table in before.items() if not name.startswith("pending/")
        }, label
        assert reader.read(folder) is None, label
    assert reader.holds(folder) == wanted, label
    return error is None


@pytest.fixture(scope="module")
def quiet(reader: Reader) -> tuple[dict[str, pa.Table], int]:
    """What an undisturbed reading makes of the vault, and how many requests it takes."""
    folder = reader.fresh("quiet")
    with pytest.MonkeyPatch.context() as patch:
        without_waiting(patch)
        assert reader.read(folder) is None
    wanted = reader.holds(folder)
    assert wanted != reader.holds(reader.fresh("untouched")), "a reading that changes nothing would prove nothing"
    return wanted, reader.site.portal.portal._number


EVERY_NINTH = [pytest.param(kind, 9, id=kind) for kind in KINDS]
EVERY_ONE = [pytest.param(kind, 1, id=f"{kind}-everywhere", marks=pytest.mark.slow) for kind in KINDS]


@pytest.mark.parametrize(("kind", "step"), EVERY_NINTH + EVERY_ONE)
def test_a_fault_at_any_request_leaves_the_vault_whole_or_as_before(
    reader: Reader,
    quiet: tuple[dict[str, pa.Table], int],
    kind: FaultKind,
    step: int,
    record_property: Callable[[str, object], None],
) -> None:
    wanted, requests = quiet
    # Neighbouring kinds begin at different requests, so that together they meet every one.
    once = [Fault(kind, at=at) for at in range(1 + KINDS.index(kind) % step, requests + 1, step)]
    for_good = [Fault(kind, at=at, times=ALWAYS) for at in (1, requests // 2, requests)]
    passed = [assert_whole_or_as_before(reader, [fault], wanted) for fault in once + for_good]
    record_property("cases", (len(passed), sum(passed)))


@pytest.mark.parametrize("seed", range(3))
def test_mixtures_of_faults_leave_the_vault_whole_or_as_before(
    reader: Reader, quiet: tuple[dict[str, pa.Table], int], seed: int, record_property: Callable[[str, object], None]
) -> None:
    wanted, requests = quiet
    chance = Random(seed)
    passed = []
    for _ in range(MIXTURES):
        faults = [
            Fault(chance.choice(KINDS), at=chance.randint(1, requests), times=chance.choice((1, 1, 2, 3)))
            for _ in range(chance.randint(2, 6))
        ]
        passed.append(assert_whole_or_as_before(reader, faults, wanted))
    record_property("cases", (len(passed), sum(passed)))
    assert 0 < sum(passed) < len(passed)


WHOLE_RUNS: list[tuple[FaultKind, int, int]] = [
    ("drop", 2, 1),
    ("expired_token", 9, ALWAYS),
]
LONGER: list[tuple[FaultKind, int, int]] = [("batch_missing_command", 4, ALWAYS), ("access_denied", 12, ALWAYS)]


@pytest.mark.parametrize(
    ("kind", "at", "times"), [*WHOLE_RUNS, *(pytest.param(*case, marks=pytest.mark.slow) for case in LONGER)]
)
def test_a_whole_run_in_trouble_publishes_everything_or_nothing(
    tiny_site: Site, undisturbed: dict[str, pd.DataFrame], kind: FaultKind, at: int, times: int
) -> None:
    edit(tiny_site)
    before = tiny_site.tables()
    tiny_site.portal.faults.append(Fault(kind, at=at, times=times))
    try:
        tiny_site.run()
    except KNOWN:
        assert_same(tiny_site.tables(), before)
        tiny_site.portal.faults.clear()
        tiny_site.run()
    else:
        assert times == 1
    assert_same(tiny_site.tables(), undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_any_fault_in_a_whole_run_publishes_everything_or_nothing(
    tiny_site: Site, undisturbed: dict[str, pd.DataFrame], kind: FaultKind, tmp_path: Path
) -> None:
    edit(tiny_site)
    before = tiny_site.tables()
    template = tmp_path / "template"
    shutil.copytree(tiny_site.folder, template, symlinks=True)
    for at in Random(kind).sample(range(1, 26), 5):
        shutil.rmtree(tiny_site.folder)
        shutil.copytree(template, tiny_site.folder, symlinks=True)
        tiny_site.portal.portal._number = 0
        tiny_site.portal.faults[:] = [Fault(kind, at=at)]
        try:
            tiny_site.run()
        except KNOWN:
            assert_same(tiny_site.tables(), before)
        else:
            assert_same(tiny_site.tables(), undisturbed)
