"""What an operator meets: two runs at once, killed runs, full disks, lost keys, lost rights, an expired webhook.

Each ends with one sentence that says what to do, leaves the published tables as they were, and is over with the next
run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pandas as pd
import pytest
import yaml

from pipelines.lock import run_lock
from sources.stand_in.limits import ALWAYS, Fault
from sources.stand_in.truth import rating_truth
from tests.e2e.conftest import Site, assert_same, edit
from tests.e2e.test_bad_input import command
from tests.e2e.test_truth import FACT, assert_equal_to_truth, truth

ROOT = Path(__file__).parents[2]
OCTOBER = "2026-10"


@pytest.fixture
def operator(tiny_site: Site, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Operator:
    """Somebody at a shell in which the environment of the tiny company is set."""
    for name, value in tiny_site.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    return Operator(tiny_site, monkeypatch, capsys)


class Operator:
    """Runs commands in this process and judges how they end."""

    def __init__(self, site: Site, patch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.site = site
        self.patch = patch
        self._capsys = capsys

    def estafeta(self, *arguments: str) -> tuple[int, str]:
        """Exit status and stderr."""
        return command(self.patch, self._capsys, *arguments, "--config", str(self.site.file))

    def is_refused(self, *words: str, before: dict[str, pd.DataFrame], arguments: tuple[str, ...] = ("run",)) -> None:
        """The command ends with one sentence that holds the words, and with the tables as they were."""
        status, stderr = self.estafeta(*arguments)
        assert status == 1
        assert_sentence(self.site, stderr, *words)
        assert_same(self.site.tables(), before)

    def succeeds(self, *arguments: str) -> None:
        status, stderr = self.estafeta(*arguments)
        assert status == 0, stderr


def assert_sentence(site: Site, stderr: str, *words: str) -> None:
    """The last line is a sentence for people, and nothing shows a traceback or the webhook."""
    assert "Traceback" not in stderr
    assert site.portal.webhook.split("/")[-2] not in stderr
    last = stderr.strip().splitlines()[-1]
    assert last.startswith("estafeta: ")
    assert "unforeseen" not in last
    for word in words:
        assert word in last


def script_of(site: Site, script: str, *arguments: str) -> list[str]:
    return [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script), *arguments, "--config", str(site.file)]


def finished(site: Site, arguments: list[str], **environment: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"}
    return subprocess.run(
        arguments,
        env=inherited | site.environment | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


# --- two runs at once -----------------------------------------------------------------------------------------------


def test_a_second_run_is_refused_while_one_is_at_work_and_the_first_ends_well_in_any_time_zone_of_the_host(
    operator: Operator, undisturbed: dict[str, pd.DataFrame]
) -> None:
    """The first run is in a time zone where tomorrow has begun, the second in this machine's."""
    site = operator.site
    edit(site)
    before = site.tables()
    at_work, go_on = threading.Event(), threading.Event()

    def hold(number: int) -> None:
        at_work.set()
        go_on.wait(120)

    site.portal.between_requests = hold
    first: list[subprocess.CompletedProcess[str]] = []
    run = script_of(site, "from pipelines.cli import main; main()", "run")
    runner = threading.Thread(target=lambda: first.append(finished(site, run, TZ="Pacific/Kiritimati")))
    runner.start()
    try:
        assert at_work.wait(120), "the first run never asked the portal"
        for arguments in (("run",), ("vault", "forget", "--period", OCTOBER), ("warehouse", "migrate")):
            operator.is_refused("Another run of this portal is at work", before=before, arguments=arguments)
    finally:
        go_on.set()
        runner.join(300)
    assert first[0].returncode == 0, first[0].stderr
    assert_same(site.tables(), undisturbed)


# --- kill -9 --------------------------------------------------------------------------------------------------------

KILLED = """
    import os, signal, sys
    from sources.bitrix24 import Bitrix24
    from sources.vault import Vault
    from warehouse_sql.warehouse import Session

    moment, number = sys.argv[1], int(sys.argv[2])
    owner, name, fits = {
        "read": (Bitrix24, "ratings", lambda call: True),
        "raw": (Vault, "write", lambda call: call[0] == "raw"),
        "event": (Vault, "write", lambda call: call[0] == "event"),
        "checked": (Vault, "write", lambda call: call[0] == "checked"),
        "fill": (Session, "fill", lambda call: True),
        "forget": (Vault, "forget", lambda call: True),
    }[moment]
    method, calls = getattr(owner, name), 0

    def dying(self, *call):
        global calls
        if fits(call):
            if calls == number:
                os.kill(os.getpid(), signal.SIGKILL)
            calls += 1
        return method(self, *call)

    setattr(owner, name, dying)
    sys.argv = ["estafeta", "run", *sys.argv[3:]]
    from pipelines.cli import main
    main()
"""


def kill(site: Site, moment: str, number: int) -> None:
    killed = finished(site, script_of(site, KILLED, moment, str(number)))
    assert killed.returncode == -9, killed.stderr
    with run_lock(site.settings.state_path):
        """The lock is free."""


def test_runs_killed_one_after_the_other_are_made_good_by_the_next(
    tiny_site: Site, undisturbed: dict[str, pd.DataFrame]
) -> None:
    edit(tiny_site)
    before = tiny_site.tables()
    for moment, number in (("raw", 1), ("checked", 1)):
        kill(tiny_site, moment, number)
        assert_same(tiny_site.tables(), before)
    tiny_site.run()
    assert_same(tiny_site.tables(), undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "number"),
    [
        ("read", 0),
        ("read", 1),
        ("read", 2),
        ("event", 0),
        ("event", 1),
        ("raw", 0),
        ("raw", 1),
        ("checked", 1),
        ("fill", 0),
    ],
)
def test_a_run_killed_while_it_reads_or_builds_is_made_good_by_the_next(
    tiny_site: Site, undisturbed: dict[str, pd.DataFrame], moment: str, number: int
) -> None:
    edit(tiny_site)
    before = tiny_site.tables()
    kill(tiny_site, moment, number)
    assert_same(tiny_site.tables(), before)
    tiny_site.run()
    assert_same(tiny_site.tables(), undisturbed)


# --- a full disk ----------------------------------------------------------------------------------------------------

FULL = """
    import os, resource, sys
    from pathlib import Path
    from dagster import DagsterInstance
    from sources.vault import Vault
    from warehouse_sql.warehouse import Session

    means, moment, folder = sys.argv[1:4]

    def use_up():
        if means == "quota":
            # Files may not grow any more; what is asked for answers "File too large".
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
            return
        with open(f"{folder}/filler", "wb", buffering=0) as file:
            block = 1 << 20
            while block:
                try:
                    while file.write(bytes(block)) == block:
                        pass
                except OSError:
                    pass
                block //= 16

    def before(owner, name, fits=lambda call: True):
        method = getattr(owner, name)

        def call(self, *arguments, **named):
            if fits(arguments):
                use_up()
            return method(self, *arguments, **named)

        setattr(owner, name, call)

    if moment == "start":
        use_up()
    elif moment.isdigit():
        free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize
        Path(f"{folder}/filler").write_bytes(bytes(max(free - int(moment) * 1024, 0)))
    elif moment == "vault":
        before(Vault, "write")
    elif moment == "storage":
        before(DagsterInstance, "create_run_for_job")
    elif moment == "load":
        before(Session, "insert", lambda call: call[0] == "stg.released_rating")
    elif moment == "fill":
        before(Session, "fill", lambda call: call[0].full_name == "dwh.fct_rating")
    elif moment == "stage":
        before(Session, "stage")
    elif moment == "swap":
        before(Session, "_journal")
    elif moment == "exchange":
        before(Session, "_exchange")
    elif moment == "record":
        before(Session, "insert", lambda call: call[0] == "ops.load_run")
    else:
        raise ValueError(moment)
    sys.argv = ["estafeta", "run", *sys.argv[4:]]
    from pipelines.cli import main
    main()
"""

SMALL_DISK = """
    folder=$1 aside=$2; shift 2
    set -e
    cp -a "$folder" "$aside"
    mount -t tmpfs -o size=24m,mode=0700 none "$folder"
    cp -a "$aside/." "$folder"
    status=0; "$@" || status=$?
    rm -rf "$folder/filler" "$aside"
    cp -a "$folder/." "$aside"
    exit $status
"""
"""A disk of 24 MB in the folder's place, in a namespace of its own; what it held in the end is left aside."""


def may_mount() -> bool:
    """Whether this machine lets a user have a namespace with mounts of its own."""
    unshare = shutil.which("unshare")
    trial = [unshare or "", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"]
    return bool(unshare) and subprocess.run(trial, capture_output=True, check=False).returncode == 0


def run_on_a_full_disk(site: Site, means: str, moment: str) -> subprocess.CompletedProcess[str]:
    """A run whose disk is full from a moment on; afterwards there is room again.

    Dagster writes after every step and would always be the first to notice, so its storage has a disk of its own
    unless it is what is tried.
    """
    means = means if means == "quota" or may_mount() else "quota"
    home = site.folder.with_name("home")
    home.mkdir(exist_ok=True)
    elsewhere = {} if moment in {"start", "storage"} else {"DAGSTER_HOME": str(home)}
    run = script_of(site, FULL, means, moment, str(site.folder))
    if means == "quota":
        return finished(site, run, **elsewhere)
    aside = site.folder.with_name("aside")
    small_disk = ["unshare", "-rm", "sh", "-c", textwrap.dedent(SMALL_DISK), "sh", str(site.folder), str(aside)]
    done = finished(site, [*small_disk, *run], **elsewhere)
    shutil.rmtree(site.folder)
    aside.rename(site.folder)
    return done


SENTENCE_OF_FULL = re.compile(r"cannot be written \(|could not take .* \(|no space is left on its disk")


def test_a_full_disk_is_told_and_forgotten_when_there_is_room(
    tiny_site: Site, undisturbed: dict[str, pd.DataFrame]
) -> None:
    edit(tiny_site)
    before = tiny_site.tables()
    for means, moment in (("disk", "storage"), ("disk", "stage"), ("quota", "vault")):
        done = run_on_a_full_disk(tiny_site, means, moment)
        assert done.returncode == 1, done.stderr
        assert_sentence(tiny_site, done.stderr)
        assert SENTENCE_OF_FULL.search(done.stderr.strip().splitlines()[-1]), done.stderr
        assert_same(tiny_site.tables(), before)
    tiny_site.run()
    assert_same(tiny_site.tables(), undisturbed)


def is_same(one: pd.DataFrame, other: pd.DataFrame) -> bool:
    try:
        pd.testing.assert_frame_equal(one, other)
    except AssertionError:
        return False
    return True


@pytest.mark.slow
@pytest.mark.parametrize("means", ["disk", "quota"])
@pytest.mark.parametrize(
    "moment", ["start", "vault", "load", "fill", "swap", "exchange", "record", *map(str, range(0, 2400, 150))]
)
def test_a_disk_that_is_full_anywhere_leaves_every_table_whole(
    tiny_site: Site, undisturbed: dict[str, pd.DataFrame], means: str, moment: str
) -> None:
    edit(tiny_site)
    before = tiny_site.tables()
    done = run_on_a_full_disk(tiny_site, means, moment)
    if done.returncode:
        assert done.returncode == 1, done.stderr
        assert_sentence(tiny_site, done.stderr)
        assert SENTENCE_OF_FULL.search(done.stderr.strip().splitlines()[-1]), done.stderr
    found = tiny_site.tables()
    if moment in {"start", "vault", "load", "fill", "swap"}:
        assert_same(found, before)
    # In the swap some tables may be of the new run already; the next one finishes it.
    for name, frame in found.items():
        if not is_same(frame, before[name]):
            pd.testing.assert_frame_equal(frame, undisturbed[name], obj=name)
    tiny_site.run()
    assert_same(tiny_site.tables(), undisturbed)


# --- the key --------------------------------------------------------------------------------------------------------


LEDGER = "SELECT * FROM ops.release_window WHERE cut != 'adopted' ORDER BY ALL"


def test_a_lost_key_stops_runs_until_the_vault_is_begun_anew(operator: Operator) -> None:
    site = operator.site
    edit(site)
    before, ledger = site.tables(), site.rows(LEDGER)
    site.key.unlink()
    operator.is_refused("key file", "does not exist", "restore it from your backup", before=before)

    # What docs/operations.md says to do when the key is lost.
    (site.folder / "vault").rename(site.folder / "vault.lost")
    operator.succeeds("init-key")
    operator.succeeds("doctor")
    operator.succeeds("run")
    # What the portal still shows is there as ever; what was deleted meanwhile was known to the lost vault alone.
    gone = [(row.process_key, row.rating_id) for row in rating_truth(site.state) if row.is_deleted]
    assert gone
    expected = truth(site.state).set_index(["process_key", "rating_id"], drop=False).drop(gone)
    expected = expected.reset_index(drop=True)
    pd.testing.assert_frame_equal(site.rows(FACT.format(table="dwh.fct_rating")), expected, check_dtype=False)
    after = site.tables()
    for table in ("dwh.dim_employee", "dwh.dim_department"):
        pd.testing.assert_frame_equal(after[table], before[table], obj=table)
    pd.testing.assert_frame_equal(site.rows(LEDGER), ledger)
    assert set(after["hr.fct_rating_event"]["event"]) == {"create"}


# --- time zones -----------------------------------------------------------------------------------------------------


def test_a_time_zone_that_is_not_the_portals_is_refused(operator: Operator) -> None:
    site = operator.site
    before = site.tables()
    site.config["portal"]["timezone"] = "Asia/Vladivostok"
    site.file.write_text(yaml.safe_dump(site.config, allow_unicode=True), encoding="utf-8")
    operator.is_refused("Asia/Vladivostok", "+03:00", "portal.timezone", before=before)


# --- rights and deletions -------------------------------------------------------------------------------------------


def quarter_of_october(site: Site) -> list[tuple[int, int]]:
    """Entity type id and id of every fourth rating of October, and of a few more: over a fifth of the month."""
    kinds = {process["key"]: process["entity_type_id"] for process in site.config["processes"]}
    month = [
        (kinds[row.process_key], row.rating_id)
        for row in rating_truth(site.state)
        if f"{row.period:%Y-%m}" == OCTOBER and not row.is_deleted
    ]
    return month[::4]


def test_ratings_that_vanish_in_numbers_are_no_deletions_until_somebody_says_so(operator: Operator) -> None:
    site = operator.site
    before = site.tables()
    vanishing = quarter_of_october(site)
    assert len(vanishing) >= 10

    for place in vanishing:
        site.portal.admin.hide_item(*place)
    operator.is_refused("denies crm.item.get", "read access to all elements", before=before)
    for place in vanishing:
        site.portal.admin.show_item(*place)

    for place in vanishing:
        site.portal.admin.delete_item(*place)
    operator.is_refused(f"{OCTOBER}: {len(vanishing)} of", "--accept-deletions", before=before)
    operator.succeeds("run", "--accept-deletions")
    assert_equal_to_truth(site)
    gone = site.rows("SELECT count() AS n FROM hr.fct_rating_event WHERE event = 'delete'")["n"][0]
    assert gone == len(vanishing)


def test_a_webhook_that_expires_half_way_is_told_wherever_it_happens(operator: Operator) -> None:
    site = operator.site
    edit(site)
    before = site.tables()
    for number in (2, 8, 14, 20):
        site.portal.portal._number = 0
        site.portal.faults[:] = [Fault("expired_token", at=number, times=ALWAYS)]
        operator.is_refused("refuses the webhook", "expired", "BITRIX24_WEBHOOK_URL", before=before)
