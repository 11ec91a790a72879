"""ClickHouse's HTTP interface over the embedded engine, as real clients use it."""

import gzip
import io
import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import clickhouse_connect
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clickhouse_connect.driver.exceptions import DatabaseError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from warehouse_sql.engine import EmbeddedEngine, EngineQueryError
from warehouse_sql.readonly import check_statement, harmless
from warehouse_sql.serve import ServerThread, create_app

ROOT = Path(__file__).parents[2]

HOLD = """
import sys
from pathlib import Path
from warehouse_sql.engine import FolderLock
FolderLock(Path(sys.argv[1])).acquire(10)
print("ready", flush=True)
sys.stdin.read()
"""
TAKE = """
import sys, time
from pathlib import Path
from warehouse_sql.engine import EmbeddedEngine
print("ready", flush=True)
started = time.monotonic()
with EmbeddedEngine(Path(sys.argv[1]), wait_seconds=30) as engine:
    engine.execute("SELECT 1")
print(time.monotonic() - started, flush=True)
"""


def other_process(code: str, path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "ready"
    return process


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """One folder for the module: a process opens one at a time."""
    folder = tmp_path_factory.mktemp("serve") / "wh"
    with EmbeddedEngine(folder) as engine:
        engine.execute("CREATE DATABASE d")
        engine.execute("CREATE TABLE d.t (a Int32 COMMENT 'number', b Nullable(String)) ENGINE = MergeTree ORDER BY a")
        engine.execute("INSERT INTO d.t VALUES (1, 'x'), (2, NULL)")
    return folder


@pytest.fixture(scope="module")
def server(path):
    app = create_app(path, idle_seconds=0.5, wait_seconds=5, max_query_seconds=2, max_result_bytes=1_000_000)
    with ServerThread(app) as running:
        yield running


@pytest.fixture
def client(server):
    with clickhouse_connect.get_client(host=server.host, port=server.port) as connected:
        yield connected


@pytest.fixture
def http(server):
    with httpx.Client(base_url=server.url, timeout=30) as connected:
        yield connected


@pytest.fixture
def writer(path):
    with (
        ServerThread(create_app(path, read_only=False, idle_seconds=0.2)) as running,
        clickhouse_connect.get_client(host=running.host, port=running.port) as connected,
    ):
        yield connected


class TestReading:
    def test_rows_and_names(self, client):
        result = client.query("SELECT * FROM d.t ORDER BY a")
        assert result.result_rows == [(1, "x"), (2, None)]
        assert result.column_names == ("a", "b")
        assert int(result.summary["read_rows"]) == 2

    def test_no_rows_still_have_names(self, client):
        result = client.query("SELECT * FROM d.t WHERE a > 100")
        assert (result.result_rows, result.column_names) == ([], ("a", "b"))
        assert client.query("SELECT * FROM d.t LIMIT 0").column_names == ("a", "b")

    def test_parameters(self, client):
        text = "tab\t, line\n, back\\slash, 'quote', ё"
        rows = client.query("SELECT {s:String}, {n:Nullable(Int8)}", parameters={"s": text, "n": None}).result_rows
        assert rows == [(text, None)]

    def test_long_parameters_come_as_a_form(self, client):
        rows = client.query("SELECT length({s:String})", parameters={"s": "я" * 50_000}).result_rows
        assert rows == [(100_000,)]

    def test_arrow_pandas_and_command(self, client):
        assert client.query_arrow("SELECT a FROM d.t ORDER BY a").column("a").to_pylist() == [1, 2]
        assert list(client.query_df("SELECT a FROM d.t ORDER BY a")["a"]) == [1, 2]
        assert client.command("SELECT count() FROM d.t") == 2
        assert client.ping()

    def test_settings_a_reader_may_choose(self, client):
        sql = "SELECT r.a FROM (SELECT 1 AS a) AS l LEFT JOIN (SELECT 2 AS a) AS r ON l.a = r.a"
        assert client.query(sql).result_rows == [(0,)]
        assert client.query(sql, settings={"join_use_nulls": 1}).result_rows == [(None,)]

    def test_as_datalens_asks(self, http):
        url = {
            "database": "d",
            "default_format": "JSONCompact",
            "join_use_nulls": "1",
            "send_progress_in_http_headers": "0",
            "output_format_json_quote_denormals": "1",
            "readonly": "2",
        }
        answer = http.post("/", params=url, content="SELECT a, 1/0 AS inf FROM t ORDER BY a LIMIT 1000001")
        assert answer.json()["data"] == [[1, "inf"], [2, "inf"]]
        assert answer.headers["X-ClickHouse-Format"] == "JSONCompact"
        assert answer.headers["Content-Type"].startswith("application/json")
        comment = http.post("/", params=url, content='DESCRIBE TABLE "t"').json()["data"][0][4]
        assert comment == "number"
        failed = http.post("/", params=url, content="SELECT * FROM nope")
        assert failed.status_code == 404
        assert failed.text.startswith("Code: 60. DB::Exception: ")
        assert failed.headers["X-ClickHouse-Exception-Code"] == "60"

    def test_by_address_alone(self, http):
        assert http.get("/ping").text == "Ok.\n"
        assert http.get("/").text == "Ok.\n"
        answer = http.get("/", params={"query": "SELECT 5", "query_id": "mine"})
        assert answer.text == "5\n"
        assert answer.headers["X-ClickHouse-Query-Id"] == "mine"
        assert answer.headers["X-ClickHouse-Timezone"]
        assert json.loads(answer.headers["X-ClickHouse-Summary"])["read_rows"] == "1"
        assert http.post("/", params={"query": "SELECT"}, content="6").text == "6\n"

    def test_compressed_statement(self, http):
        packed = http.post("/", content=gzip.compress(b"SELECT 7"), headers={"Content-Encoding": "gzip"})
        assert packed.text == "7\n"

    @pytest.mark.parametrize(
        "sql", ["SELECT 1; -- end", "(SELECT 1)", "WITH 1 AS x SELECT x", "/* ; */ EXISTS TABLE d.t"]
    )
    def test_harmless_spellings(self, http, sql):
        assert http.post("/", content=sql).text == "1\n"


REFUSED = {
    "outfile": "SELECT 1 INTO OUTFILE '{out}'",
    "outfile split by a comment": "SELECT 1 INTO/**/OUTFILE/* */'{out}'",
    "outfile split by a line": "SELECT 1 into --x\noutfile '{out}'",
    "outfile under EXPLAIN": "EXPLAIN SELECT 1 INTO OUTFILE '{out}'",
    "file table": "SELECT * FROM file('{secret}', LineAsString)",
    "file function": "SELECT file('{secret}')",
    "quoted file function": "SELECT `file`/**/('{secret}')",
    "double quoted file function": "SELECT \"file\"('{secret}')",
    "escaped file function": "SELECT `\\x66ile`('{secret}')",
    "file in APPLY": "SELECT * APPLY(file) FROM (SELECT '{secret}')",
    "file in arrayMap": "SELECT arrayMap(file, ['{secret}'])",
    "file behind a heredoc": "SELECT $a$'$a$, file('{secret}'), $a$'$a$",
    "file behind a quote": "SELECT '\\'', file('{secret}'), ''''",
    "file behind nested comments": "SELECT /* /* */ ' */ 1, file('{secret}') -- '",
    "described file": "DESCRIBE file('{secret}')",
    "described url": "DESCRIBE url('http://127.0.0.1:1/x')",
    "url": "SELECT * FROM url('http://127.0.0.1:1/x', CSV, 'a Int8')",
    "s3": "SELECT * FROM s3('http://127.0.0.1:1/x/y')",
    "remote": "SELECT * FROM remote('127.0.0.1', system.one)",
    "python objects": "SELECT * FROM Python(os)",
    "eval": "SELECT * FROM eval('SELECT 1')",
    "executable": "SELECT * FROM executable('sh', TSV, 'x String')",
    "two statements": "SELECT 1; SELECT 2",
    "two statements, one hidden": "SELECT 1 /* ; */; DROP TABLE d.t",
    "insert": "INSERT INTO d.t VALUES (9, 'z')",
    "insert under WITH": "WITH x AS (SELECT 1) INSERT INTO d.t SELECT 9, 'z'",
    "insert into a file": "INSERT INTO FUNCTION file('{out}') SELECT 1",
    "parallel": "SELECT 1 PARALLEL WITH SELECT 2",
    "create": "CREATE TABLE d.u (a Int8) ENGINE = Memory",
    "temporary table": "CREATE TEMPORARY TABLE u (a Int8)",
    "drop": "DROP TABLE d.t",
    "truncate": "TRUNCATE TABLE d.t",
    "alter": "ALTER TABLE d.t DELETE WHERE 1",
    "kill": "KILL QUERY WHERE 1",
    "use": "USE system",
    "set": "SET readonly = 0",
    "system": "SYSTEM FLUSH LOGS",
    "backup": "BACKUP TABLE d.t TO File('{out}')",
    "own readonly": "SELECT 1 SETTINGS readonly = 0",
    "own time": "SELECT 1 SETTINGS max_execution_time = 1000",
    "own memory": "SELECT * FROM (SELECT 1 SETTINGS max_memory_usage = 0)",
    "own schema file": "SELECT 1 FORMAT CapnProto SETTINGS format_schema = '{secret}'",
    "symbols": "SELECT addressToLine(1)",
}


class TestRefusals:
    @pytest.mark.parametrize("sql", REFUSED.values(), ids=REFUSED.keys())
    @pytest.mark.parametrize("method", ["body", "address"])
    def test_attempt(self, http, tmp_path, sql, method):
        secret = tmp_path / "secret"
        secret.write_text("do not show")
        statement = sql.replace("{out}", str(tmp_path / "out")).replace("{secret}", str(secret))
        if method == "body":
            answer = http.post("/", content=statement)
        else:
            answer = http.get("/", params={"query": statement, "readonly": "0", "allow_introspection_functions": "1"})
        assert answer.status_code >= 400, answer.text
        assert answer.text.startswith("Code: ")
        assert answer.headers["X-ClickHouse-Exception-Code"] in {"164", "62", "446"}
        assert "do not show" not in answer.text
        assert not (tmp_path / "out").exists()
        assert http.post("/", content="SELECT count() FROM d.t").text == "2\n"

    def test_url_settings_raise_nothing(self, http):
        url = {"readonly": "0", "max_execution_time": "99", "max_memory_usage": "0", "max_result_bytes": "0"}
        sql = "SELECT " + ", ".join(f"getSetting('{name}')" for name in url)
        assert http.post("/", params=url, content=sql).text == f"1\t2\t{2 * 1024**3}\t1000000\n"
        assert http.post("/", params={"x' y": "1", "output_format_schema": "/x"}, content="SELECT 1").text == "1\n"
        assert harmless({"output_format_schema": "x", "limit": "1", "readonly": "0"}) == {"limit": "1"}

    def test_rows_may_be_bounded_further_but_not_less(self, http):
        sql = "SELECT getSetting('max_result_rows')"
        for asked, given_rows in (("5", "5"), ("0", "2000000"), ("9999999", "2000000"), ("x", "2000000")):
            assert http.post("/", params={"max_result_rows": asked}, content=sql).text == f"{given_rows}\n"

    @pytest.mark.parametrize(
        ("sql", "code"),
        [
            ("SELECT sleep(3)", 159),
            ("SELECT count() FROM numbers(1000000000000)", 159),
            ("SELECT repeat('x', 100) FROM numbers(1000000)", 396),
            ("SELECT toString(number) FROM numbers(1000000)", 396),
            ("SELECT groupArray(number) FROM numbers(300000000)", (241, 159)),
        ],
    )
    def test_bounds(self, http, sql, code):
        answer = http.post("/", content=sql)
        assert answer.status_code == 500
        assert int(answer.headers["X-ClickHouse-Exception-Code"]) in (code if isinstance(code, tuple) else (code,))

    def test_client_gets_the_number(self, client):
        with pytest.raises(DatabaseError) as caught:
            client.command("DROP TABLE d.t")
        assert caught.value.code == 164

    @pytest.mark.parametrize(
        ("sql", "status", "code"),
        [
            ("SELECT (", 400, 62),
            ("", 400, 62),
            ("SELECT nope", 404, 47),
            ("SELECT 1 FROM nope.x", 404, 81),
            ("SELECT * FROM system.users", 403, 497),
            ("SELECT throwIf(1)", 500, 395),
        ],
    )
    def test_statuses(self, http, sql, status, code):
        answer = http.post("/", content=sql)
        assert (answer.status_code, answer.headers["X-ClickHouse-Exception-Code"]) == (status, str(code))

    def test_requests_that_are_no_query(self, http):
        assert http.post("/", content=b"x", headers={"Content-Encoding": "br"}).status_code == 415
        assert http.post("/", content=b"x", headers={"Content-Encoding": "gzip"}).status_code == 400
        assert (
            http.post("/", content=gzip.compress(b"x" * 9_000_000), headers={"Content-Encoding": "gzip"}).status_code
            == 413
        )
        assert http.post("/", content=b"x" * 5_000_000).status_code == 413
        assert http.post("/", params={"param_a b": "1"}, content="SELECT 1").status_code == 400
        assert http.post("/", files={"t": ("t.csv", b"1")}, params={"query": "SELECT 1"}).status_code == 400

    def test_every_table_function_is_judged(self):
        with pytest.raises(EngineQueryError, match="164"):
            check_statement("SELECT *\nFROM newfangled('x')", {"newfangled"})
        check_statement("SELECT newfangled, 'newfangled(1)', `a.b`(1)\nFROM numbers(1)", {"newfangled"})

    @settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(
        statement=st.one_of(
            st.binary(max_size=200),
            st.text(max_size=100).map(lambda text: text.encode("utf-8", "replace")),
            st.lists(
                st.sampled_from(
                    [
                        *list("()'`\";=\\"),
                        "--",
                        "/*",
                        "*/",
                        "$a$",
                        "SELECT",
                        "WITH",
                        "INTO",
                        "OUTFILE",
                        "SETTINGS",
                        "FORMAT",
                        "Native",
                        "1",
                        "x",
                        "{x:String}",
                        "\0",
                    ]
                ),
                max_size=12,
            ).map(lambda words: " ".join(words).encode()),
        )
    )
    def test_no_bytes_break_it(self, http, statement):
        answer = http.post("/", content=statement)
        assert "Traceback" not in answer.text
        if answer.status_code != 200:
            assert answer.text.startswith("Code: ") or 400 <= answer.status_code < 500


class TestWriting:
    """The pipeline's own code speaks to a server through this in tests."""

    @pytest.fixture
    def table(self, writer):
        writer.command("CREATE OR REPLACE TABLE d.w (a Int32, b Nullable(String)) ENGINE = MergeTree ORDER BY a")
        yield "d.w"
        writer.command("DROP TABLE d.w")

    def test_insert_rows_and_arrow(self, writer, table):
        summary = writer.insert(table, [[1, "x"], [2, None]], column_names=["a", "b"])
        assert summary.written_rows == 2
        writer.insert_arrow(table, pa.table({"a": pa.array([3], pa.int32()), "b": ["z"]}))
        assert writer.query(f"SELECT * FROM {table} ORDER BY a").result_rows == [(1, "x"), (2, None), (3, "z")]

    @pytest.mark.parametrize("compression", [None, "gzip", "lz4", "zstd"])
    def test_raw_blocks(self, writer, table, compression):
        block = pa.table({"a": pa.array([1, 2], pa.int32()), "b": ["x", "y"]})
        parquet, arrow = io.BytesIO(), io.BytesIO()
        pq.write_table(block, parquet)
        with pa.ipc.new_file(arrow, block.schema) as file:
            file.write_table(block)
        for fmt, data in (("Parquet", parquet.getvalue()), ("Arrow", arrow.getvalue()), ("CSV", b"3,\n")):
            writer.raw_insert(table, ["a", "b"], pack(data, compression), fmt=fmt, compression=compression)
        assert writer.query(f"SELECT count(), sum(a) FROM {table}").result_rows == [(5, 9)]

    def test_deduplication_token(self, writer, table):
        writer.command(f"ALTER TABLE {table} MODIFY SETTING non_replicated_deduplication_window = 10")
        for _ in range(2):
            writer.insert(table, [[1, "x"]], settings={"insert_deduplication_token": "once"})
        assert writer.command(f"SELECT count() FROM {table}") == 1

    def test_ddl_and_exchange(self, writer, table):
        writer.command(f"INSERT INTO {table} VALUES (1, 'x')")
        writer.command(f"CREATE OR REPLACE TABLE d.w2 AS {table} ENGINE = MergeTree ORDER BY a")
        writer.command(f"EXCHANGE TABLES {table} AND d.w2")
        assert writer.command("SELECT count() FROM d.w2") == 1
        writer.command("ALTER TABLE d.w2 ADD COLUMN c UInt8 COMMENT 'x; FORMAT y'")
        writer.command("DROP TABLE d.w2")
        with pytest.raises(DatabaseError) as caught:
            writer.insert(table, [[1]], column_names=["nope"], column_type_names=["Int32"])
        assert caught.value.code == 16

    def test_empty_result_after_insert_select(self, writer, table):
        writer.command(f"INSERT INTO {table} SELECT number, 'n' FROM numbers(3)")
        assert writer.query(f"SELECT a FROM {table} WHERE a > 5").column_names == ("a",)


def pack(data: bytes, compression: str | None) -> bytes:
    if compression is None:
        return data
    if compression == "gzip":
        return gzip.compress(data)
    module = pytest.importorskip("lz4.frame" if compression == "lz4" else "backports.zstd")
    packed: bytes = module.compress(data)
    return packed


class TestSharing:
    def test_busy_folder_is_503_and_then_served(self, path):
        app = create_app(path, wait_seconds=0.3)
        process = other_process(HOLD, path)
        try:
            with ServerThread(app) as server:
                started = time.monotonic()
                answer = httpx.post(server.url, content="SELECT 1", timeout=20)
                assert time.monotonic() - started < 5
                assert answer.status_code == 503
                assert int(answer.headers["Retry-After"]) > 0
                assert "in use by another" in answer.text
                process.kill()
                process.communicate()
                assert httpx.post(server.url, content="SELECT 1", timeout=20).text == "1\n"
        finally:
            process.kill()
            process.communicate()

    def test_shutdown_does_not_wait_for_a_busy_folder(self, path):
        process = other_process(HOLD, path)
        statuses: list[int] = []
        try:
            with ServerThread(create_app(path, wait_seconds=60)) as server:
                asking = threading.Thread(
                    target=lambda: statuses.append(httpx.post(server.url, content="SELECT 1", timeout=70).status_code)
                )
                asking.start()
                time.sleep(0.3)
                started = time.monotonic()
            asking.join()
            assert time.monotonic() - started < 4
            assert statuses == [503]
        finally:
            process.kill()
            process.communicate()

    def test_idle_endpoint_gives_the_folder_back(self, path):
        with ServerThread(create_app(path, idle_seconds=0.2)) as server:
            assert httpx.post(server.url, content="SELECT 1").text == "1\n"
            time.sleep(0.6)
            process = other_process(TAKE, path)
            assert float(process.communicate()[0]) < 10

    def test_another_process_gets_its_turn_under_constant_load(self, path):
        failures: list[str] = []
        answered: list[str] = []
        done = threading.Event()

        def ask(url):
            with httpx.Client(base_url=url, timeout=70) as connected:
                while not done.is_set():
                    answer = connected.post("/", content="SELECT count() FROM d.t")
                    (answered if answer.text == "2\n" else failures).append(answer.text)

        with ServerThread(create_app(path)) as server:
            threads = [threading.Thread(target=ask, args=[server.url]) for _ in range(3)]
            for thread in threads:
                thread.start()
            while not answered and not failures:
                time.sleep(0.05)
            process = other_process(TAKE, path)
            waited = float(process.communicate()[0])
            done.set()
            for thread in threads:
                thread.join()
        assert waited < 12
        assert not failures
        assert answered

    def test_missing_warehouse(self, tmp_path):
        with ServerThread(create_app(tmp_path / "nope")) as server:
            answer = httpx.post(server.url, content="SELECT 1")
        assert answer.status_code == 503
        assert "estafeta run" in answer.text
        assert not (tmp_path / "nope").exists()

    def test_foreign_host_names_are_refused(self, path):
        with ServerThread(create_app(path, allowed_hosts=["127.0.0.1"])) as server:
            assert httpx.get(f"{server.url}/ping").status_code == 200
            assert httpx.get(f"{server.url}/ping", headers={"Host": "evil.example"}).status_code == 400
