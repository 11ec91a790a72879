"""The lock on a warehouse folder and the engine behind it."""

import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from warehouse_sql.engine import EmbeddedEngine, EngineQueryError, FolderLock, WarehouseBusyError, WarehouseError

ROOT = Path(__file__).parents[2]


def start(code: str, *args: object) -> subprocess.Popen[str]:
    """Run ``code`` in another process that says something when it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    return process


HOLD_LOCK = """
import sys
from pathlib import Path
from warehouse_sql.engine import FolderLock
FolderLock(Path(sys.argv[1])).acquire(10)
print("ready", flush=True)
sys.stdin.read()
"""
HOLD_ENGINE_WITHOUT_LOCK = """
import sys
import chdb
connection = chdb.connect(sys.argv[1])
print("ready", flush=True)
sys.stdin.read()
"""


def end(process: subprocess.Popen[str], how: int = signal.SIGKILL) -> None:
    process.send_signal(how)
    process.communicate()


def test_lock_file_lies_beside_the_folder_and_is_private(tmp_path):
    with FolderLock(tmp_path / "wh") as lock:
        assert lock.lock_file == tmp_path / "wh.lock"
        assert stat.S_IMODE(lock.lock_file.stat().st_mode) == 0o600
        assert not (tmp_path / "wh").exists()
    assert not lock.held


def test_another_process_is_shut_out_until_the_holder_dies(tmp_path):
    process = start(HOLD_LOCK, tmp_path / "wh")
    try:
        started = time.monotonic()
        with pytest.raises(WarehouseBusyError, match=str(tmp_path / "wh")):
            FolderLock(tmp_path / "wh").acquire(0.2)
        assert 0.2 <= time.monotonic() - started < 2
    finally:
        end(process)
    with FolderLock(tmp_path / "wh", wait_seconds=1) as lock:
        assert lock.held


def test_waiter_gets_the_folder_when_it_is_given_back(tmp_path):
    process = start(HOLD_LOCK, tmp_path / "wh")
    timer = threading.Timer(0.3, end, [process])
    timer.start()
    lock = FolderLock(tmp_path / "wh")
    lock.acquire(10)
    lock.release()
    timer.join()


def test_threads_and_objects_of_one_process_share_the_folder(tmp_path):
    path = tmp_path / "wh"
    first, second = FolderLock(path), FolderLock(path)
    first.acquire(0)
    second.acquire(0)
    second.acquire(0)
    first.release()
    first.release()
    other = "from warehouse_sql.engine import *; FolderLock(Path(__import__('sys').argv[1])).acquire(0)"

    def fails() -> bool:
        return subprocess.run([sys.executable, "-c", other, path], cwd=ROOT, capture_output=True).returncode != 0

    second.release()
    assert fails()
    second.release()
    assert not fails()

    def work() -> None:
        for _ in range(50):
            with first:
                assert first.held

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not first.held
    assert not fails()


def test_forked_child_does_not_hold_or_release_the_parents_lock(tmp_path):
    path = tmp_path / "wh"

    def child() -> None:
        lock = FolderLock(path)
        try:
            lock.acquire(0.1)
        except WarehouseBusyError:
            os._exit(7)
        os._exit(0)

    with FolderLock(path):
        process = multiprocessing.get_context("fork").Process(target=child)
        process.start()
        process.join()
        assert process.exitcode == 7


def test_lock_file_is_never_followed_elsewhere(tmp_path):
    (tmp_path / "wh.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(WarehouseError, match="lock file"):
        FolderLock(tmp_path / "wh").acquire(0)


@pytest.fixture
def engine(tmp_path):
    with EmbeddedEngine(tmp_path / "wh") as opened:
        opened.execute("CREATE DATABASE d")
        opened.execute("CREATE TABLE d.t (a Int32, b String) ENGINE = MergeTree ORDER BY a")
        yield opened


def test_formats_params_and_database(engine):
    assert (
        engine.execute("SELECT {x:String}, {n:Array(UInt8)}", params={"x": "a\\tb'", "n": "[1,2]"})
        == b"a\\tb\\'\t[1,2]\n"
    )
    assert engine.execute("SELECT 1 AS x", default_format="JSONEachRow") == b'{"x":1}\n'
    result = engine.run("SELECT 1 AS x FORMAT CSV", default_format="JSONEachRow")
    assert (result.data, result.format, result.rows_read) == (b"1\n", "CSV", 1)
    assert engine.execute("SELECT count() FROM t", database="d") == b"0\n"


def test_insert_with_data(engine):
    engine.execute("INSERT INTO {t:Identifier} (a, b) FORMAT CSV", body=b'1,"x"\n', params={"t": "t"}, database="d")
    engine.execute("INSERT INTO d.t SETTINGS max_threads = 1 FORMAT JSONEachRow", body=b'{"a":2,"b":"y"}')
    assert engine.execute("SELECT * FROM d.t ORDER BY a") == b"1\tx\n2\ty\n"


def test_settings_last_for_one_statement(engine):
    sql = "SELECT getSetting('join_use_nulls'), getSetting('readonly')"
    assert engine.execute(sql, settings={"join_use_nulls": "1"}, read_only=True) == b"true\t1\n"
    assert engine.execute(sql) == b"false\t0\n"
    with pytest.raises(WarehouseError, match="not the name of an engine setting"):
        engine.execute("SELECT 1", settings={"max_threads = 1, x": "1"})
    with pytest.raises(EngineQueryError):
        engine.execute("SELECT 1", settings={"max_threads": "1', readonly = '0"})


@pytest.mark.parametrize(
    ("sql", "code"), [("SELECT nope", 47), ("SELECT * FROM nope", 60), ("SELECT (", 62), ("DROP TABLE d.t", 164)]
)
def test_errors_start_with_their_number(engine, sql, code):
    with pytest.raises(EngineQueryError, match=rf"^Code: {code}\. DB::Exception: (?!Code)") as caught:
        engine.execute(sql, read_only=True)
    assert caught.value.code == code
    assert caught.value.__cause__ is None


def test_closed_engine_says_so(engine):
    engine.close()
    engine.close()
    with pytest.raises(WarehouseError, match="closed"):
        engine.execute("SELECT 1")
    engine.open()
    assert engine.execute("SELECT 1") == b"1\n"


def test_second_folder_in_one_process_is_refused_and_its_lock_given_back(engine, tmp_path):
    other = EmbeddedEngine(tmp_path / "other")
    with pytest.raises(WarehouseError, match="another warehouse open"):
        other.open()
    engine.close()
    with other:
        assert other.execute("SELECT 1") == b"1\n"


def test_folder_open_in_a_program_that_knows_no_lock(tmp_path):
    process = start(HOLD_ENGINE_WITHOUT_LOCK, tmp_path / "wh")
    try:
        with pytest.raises(WarehouseBusyError, match="another program"):
            EmbeddedEngine(tmp_path / "wh").open(0.1)
    finally:
        end(process)
    with EmbeddedEngine(tmp_path / "wh") as opened:
        assert opened.is_open


def test_missing_folder_is_not_made_by_a_reader(tmp_path):
    with pytest.raises(WarehouseError, match="estafeta run"):
        EmbeddedEngine(tmp_path / "wh", create=False).open()
    assert not (tmp_path / "wh").exists()
