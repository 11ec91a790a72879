"""Runs as Dagster starts them: ranges of months, failures that are told, records that stay bounded, killed runs."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from pipelines import automation, lock, resources
from pipelines.automation import changed_months, end_killed_runs, failure_sensor, forget_old_runs, month_range
from pipelines.definitions import build_defs
from pipelines.lock import RunBusyError, run_lock
from sources.stand_in.company import generate
from tests.e2e.conftest import NOW, Site, open_everything
from tests.e2e.test_truth import assert_equal_to_truth

ROOT = Path(__file__).parents[2]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A tiny open company that nobody has read yet; the environment is set as for Dagster's processes."""
    folder = tmp_path / "site"
    folder.mkdir()
    with ExitStack() as stack:
        made = Site(folder, open_everything(generate(6, "tiny", NOW)), stack)
        for name, value in (made.environment | {"ESTAFETA_CONFIG": str(made.file)}).items():
            monkeypatch.setenv(name, value)
        yield made


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A DAGSTER_HOME as the README says to make it."""
    folder = tmp_path / "dagster-home"
    folder.mkdir()
    shutil.copy(ROOT / "dagster.yaml", folder)
    return folder


@pytest.fixture(scope="module")
def empty_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose tables Dagster has made, which takes it seconds; nothing has run."""
    folder = tmp_path_factory.mktemp("empty-records")
    shutil.copy(ROOT / "dagster.yaml", folder)
    with dg.DagsterInstance.from_config(str(folder)) as opened:
        assert opened.get_run_ids() == []
        assert opened.get_latest_materialization_event(OURS) is None
        opened.all_instigator_state()
    return folder


@pytest.fixture
def instance(home: Path, empty_records: Path) -> Iterator[dg.DagsterInstance]:
    shutil.copytree(empty_records, home, dirs_exist_ok=True)
    with dg.DagsterInstance.from_config(str(home)) as opened:
        yield opened


def launch(instance: dg.DagsterInstance, first: str, last: str) -> dg.ExecuteInProcessResult:
    """The job with the resources that Dagster's own processes open."""
    job = build_defs().resolve_job_def("ratings")
    return job.execute_in_process(instance=instance, tags=month_range(first, last), raise_on_error=False)


def test_a_range_of_months_is_read_and_published_by_one_run(site: Site, instance: dg.DagsterInstance) -> None:
    result = launch(instance, "2026-10", "2026-11")
    assert result.success
    assert_equal_to_truth(site)
    (run_id,) = instance.get_run_ids()
    raw = instance.get_materialized_partitions(dg.AssetKey(["vault", "raw"]))
    assert raw == {"2026-10", "2026-11"}
    recorded = site.rows(
        f"SELECT DISTINCT toString(period_from) AS a, toString(period_to) AS b FROM ops.load_run "
        f"WHERE run_id = '{run_id}'"
    )
    assert recorded.to_numpy().tolist() == [["2026-10-01", "2026-11-01"]]


# --- failures -------------------------------------------------------------------------------------------------------


def told(
    site: Site, instance: dg.DagsterInstance, result: dg.ExecuteInProcessResult, monkeypatch: pytest.MonkeyPatch
) -> list[tuple[str, str]]:
    """Sentence and exception class that the failure sensor hands on of a run that failed."""
    assert not result.success
    sent: list[tuple[str, str]] = []
    monkeypatch.setattr(automation, "tell_failure", lambda _, sentence, kind: sent.append((sentence, kind)))
    (record,) = instance.get_records_for_run(result.run_id, of_type=dg.DagsterEventType.RUN_FAILURE).records
    event = record.event_log_entry.dagster_event
    assert event is not None
    context = dg.build_run_status_sensor_context(
        sensor_name="tell_failure", dagster_event=event, dagster_instance=instance, dagster_run=result.dagster_run
    ).for_run_failure()
    failure_sensor(context, settings=site.settings)
    return sent


def test_the_sentence_of_the_step_that_failed_is_told(
    site: Site, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.portal.scopes.discard("user_brief")
    ((sentence, kind),) = told(site, instance, launch(instance, "2026-11", "2026-11"), monkeypatch)
    assert kind == "ScopeMissingError"
    assert sentence.startswith("The webhook may not call user.get: add the scope user_brief")
    assert sentence.endswith(".")


def test_a_run_that_cannot_begin_is_told_with_its_own_sentence(
    site: Site, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.key.rename(site.key.with_name("elsewhere"))
    result = launch(instance, "2026-11", "2026-11")
    site.key.with_name("elsewhere").rename(site.key)
    ((sentence, kind),) = told(site, instance, result, monkeypatch)
    assert kind == "KeyFileError"
    assert sentence.startswith(f"The key file {site.key} does not exist;")


def test_a_run_that_only_found_another_one_at_work_is_not_told(
    site: Site, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resources, "LOCK_WAIT_SECONDS", 0.0)
    with run_lock(site.settings.state_path):
        result = launch(instance, "2026-11", "2026-11")
    assert told(site, instance, result, monkeypatch) == []


def test_a_run_of_dagster_outwaits_whoever_holds_the_lock_for_a_moment(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = site.settings.state_path
    portal = resources.PortalResource(config_file=str(site.file))
    with ExitStack() as look:
        look.enter_context(run_lock(state))
        with pytest.raises(RunBusyError), run_lock(state):
            """Without a wait nobody waits."""
        # The look ends while the run waits, however slow this machine is.
        monkeypatch.setattr(lock, "time", SimpleNamespace(monotonic=time.monotonic, sleep=lambda _: look.close()))
        with portal.yield_for_execution(dg.build_init_resource_context()) as client:
            assert client.now.date() == NOW.date()
            with pytest.raises(RunBusyError), run_lock(state):
                """The lock is the run's now."""


# --- what Dagster remembers -----------------------------------------------------------------------------------------

RATINGS, SWEEP, MATERIALIZE = "ratings", "sweep", "__ASSET_JOB"
OURS, THEIRS = dg.AssetKey(["vault", "raw"]), dg.AssetKey(["sales", "orders"])


def begun(
    instance: dg.DagsterInstance, status: dg.DagsterRunStatus, job: str = RATINGS, asset: dg.AssetKey | None = None
) -> str:
    """A run of a job as Dagster's storage holds it, without any process."""
    selection = frozenset({asset}) if asset else None
    return instance.add_run(dg.DagsterRun(job_name=job, status=status, asset_selection=selection)).run_id


def test_old_runs_are_forgotten_and_those_at_work_are_not(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automation, "RUNS_KEPT", 3)
    at_work = begun(instance, dg.DagsterRunStatus.STARTED)
    ended = [begun(instance, dg.DagsterRunStatus.SUCCESS) for _ in range(3)]
    ended += [begun(instance, dg.DagsterRunStatus.FAILURE) for _ in range(2)]
    forget_old_runs(instance)
    assert set(instance.get_run_ids()) == {at_work, *ended[-3:]}


def test_runs_of_other_teams_in_the_same_instance_are_neither_forgotten_nor_ended(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(automation, "RUNS_KEPT", 1)
    monkeypatch.setattr(automation, "LONGEST_START", -timedelta(minutes=1))
    ended, started = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.STARTED
    theirs = [("invoices", None), (MATERIALIZE, THEIRS)]
    kept = {begun(instance, ended, job, asset) for job, asset in theirs for _ in range(3)}
    at_work = [begun(instance, started, job, asset) for job, asset in theirs]
    ours = [(RATINGS, None), (SWEEP, None), (MATERIALIZE, OURS)]
    latest = {[begun(instance, ended, job, asset) for _ in range(3)][-1] for job, asset in ours}
    forget_old_runs(instance)
    assert set(instance.get_run_ids()) == {*kept, *at_work, *latest}
    end_killed_runs(instance)
    assert [status_of(instance, run_id) for run_id in at_work] == [started, started]


def test_a_killed_run_of_materialize_is_ended_once_it_cannot_be_starting(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = begun(instance, dg.DagsterRunStatus.STARTED, MATERIALIZE, OURS)
    end_killed_runs(instance)
    assert status_of(instance, killed) is dg.DagsterRunStatus.STARTED
    monkeypatch.setattr(automation, "LONGEST_START", -timedelta(minutes=1))
    end_killed_runs(instance)
    assert status_of(instance, killed) is dg.DagsterRunStatus.FAILURE


def test_a_run_that_waits_for_the_lock_is_never_taken_for_a_dead_one() -> None:
    assert timedelta(seconds=resources.LOCK_WAIT_SECONDS) < automation.LONGEST_START


def tick(site: Site, instance: dg.DagsterInstance) -> list[Any]:
    context = dg.build_sensor_context(instance=instance, resources={"settings": site.settings})
    return list(changed_months(context))  # type: ignore[arg-type]


def status_of(instance: dg.DagsterInstance, run_id: str) -> dg.DagsterRunStatus:
    run = instance.get_run_by_id(run_id)
    assert run is not None
    return run.status


def test_the_sensor_waits_for_a_run_that_is_about_to_start(site: Site, instance: dg.DagsterInstance) -> None:
    for status in (dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING):
        run_id = begun(instance, status)
        (answer,) = tick(site, instance)
        assert isinstance(answer, dg.SkipReason)
        assert "about to start" in str(answer.skip_message)
        assert status_of(instance, run_id) is status
        instance.delete_run(run_id)


def test_a_run_whose_process_was_killed_blocks_neither_sensor_nor_queue(
    site: Site, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = begun(instance, dg.DagsterRunStatus.STARTED)
    # It may be about to take the lock: nobody looks at it for some minutes, and the sensor goes on all the same.
    (request,) = tick(site, instance)
    assert isinstance(request, dg.RunRequest)
    assert status_of(instance, killed) is dg.DagsterRunStatus.STARTED

    monkeypatch.setattr(automation, "LONGEST_START", -timedelta(minutes=1))
    with run_lock(site.settings.state_path):
        (answer,) = tick(site, instance)
    assert "Another run" in str(answer.skip_message)
    assert status_of(instance, killed) is dg.DagsterRunStatus.STARTED, "the run that holds the lock may be this one"

    (request,) = tick(site, instance)
    assert isinstance(request, dg.RunRequest)
    assert status_of(instance, killed) is dg.DagsterRunStatus.FAILURE


# --- the real thing -------------------------------------------------------------------------------------------------

LAUNCH = """
    mutation Launch($tags: [ExecutionTag!]!) {
      launchRun(executionParams: {
        selector: {repositoryLocationName: "estafeta", repositoryName: "__repository__", jobName: "ratings"}
        executionMetadata: {tags: $tags}
      }) { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } }
    }
"""
STATUS = "query Status($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"


def ask(port: int, query: str, **variables: object) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        data: dict[str, Any] = json.load(answer)["data"]
    return data


@contextmanager
def pages(home: Path) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """`dagster dev` over a DAGSTER_HOME: its port and its process; dagster.log beside the home."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("dagster")), "dev", "-h", "127.0.0.1", "-p", str(port)]
    with (home.parent / "dagster.log").open("w") as log:
        server = subprocess.Popen(
            [*command, "-w", str(ROOT / "workspace.yaml")],
            env=os.environ | {"DAGSTER_HOME": str(home)},
            cwd=home.parent,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield port, server
    finally:
        os.killpg(server.pid, signal.SIGINT)
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


@pytest.mark.slow
def test_a_range_launched_from_the_pages_of_dagster_is_published(site: Site, home: Path) -> None:
    with pages(home) as (port, server):
        run_id = launched(port, server)
        status = ""
        deadline = time.monotonic() + 300
        while status not in {"SUCCESS", "FAILURE", "CANCELED"} and time.monotonic() < deadline:
            time.sleep(1)
            status = ask(port, STATUS, run=run_id)["runOrError"]["status"]
    assert status == "SUCCESS", (home.parent / "dagster.log").read_text()
    assert_equal_to_truth(site)


def launched(port: int, server: subprocess.Popen[bytes]) -> str:
    """Launches the job for two months as soon as the pages answer; its run id."""
    tags = [{"key": key, "value": value} for key, value in month_range("2026-10", "2026-11").items()]
    deadline = time.monotonic() + 180
    while True:
        assert server.poll() is None, "Dagster ended before it answered"
        assert time.monotonic() < deadline, "Dagster did not answer"
        try:
            answer = ask(port, LAUNCH, tags=tags)["launchRun"]
        except OSError:
            time.sleep(1)
            continue
        assert answer["__typename"] == "LaunchRunSuccess", answer
        run_id: str = answer["run"]["runId"]
        return run_id
