"""ClickHouse's HTTP interface over the embedded engine, for DataLens, DBeaver and clickhouse-connect.

Belongs here: requests, answers, opening the engine on demand. Does not belong here: what a reader may say
(`readonly.py`), the engine's door (`engine.py`).

Read-only unless a test asks for more. What the engine itself would let pass in that mode (``INTO OUTFILE``, the
``file`` function, several statements at once, ``KILL QUERY``, ``DESCRIBE url(…)``) is refused before it gets there.

The engine is open only while there are queries, and never for long: a pipeline run waits for the same folder.
"""

import asyncio
import contextlib
import importlib
import json
import os
import queue
import re
import socket
import sys
import threading
import time
import uuid
import zlib
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from email import policy
from email.parser import BytesParser
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from warehouse_sql.engine import EmbeddedEngine, EngineQueryError, EngineResult, WarehouseBusyError, WarehouseError
from warehouse_sql.readonly import SAFE_TABLE_FUNCTIONS, check_statement, harmless, refusal

MAX_RESULT_BYTES = 256 * 1024 * 1024
# DataLens asks for 1 000 001. The engine counts a constant column of a result once, so bytes alone bound nothing.
MAX_RESULT_ROWS = 2_000_000
MAX_QUERY_SECONDS = 60.0
MAX_MEMORY_BYTES = 2 * 1024**3
# The engine's own limit of a statement is 256 KiB; the rest is room for parameters in a form.
MAX_READ_BODY_BYTES = 4 * 1024 * 1024
MAX_WRITE_BODY_BYTES = 1024**3
MAX_WAITING = 256
# A run opens the folder about 16 times and waits this long each time while readers never pause.
MAX_HOLD_SECONDS = 1.0
# Three polls of FolderLock: a waiting process is sure to see the folder free.
YIELD_SECONDS = 0.08
RETRY_AFTER_SECONDS = 5
_SLICE_SECONDS = 0.5

LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "host.docker.internal", "testserver")

_CANONICAL_FORMAT = re.compile(r"^FORMAT (\w+)$", re.MULTILINE)
_PARAMETER_NAME = re.compile(r"^\w{1,128}$")
# What clickhouse-connect asks first, to learn which settings it may send.
_SETTINGS_PROBE = re.compile(
    r"SELECT\s+name,\s+value,\s+readonly(?: AS readonly)?\s+FROM system\.settings(?:\s+LIMIT \d+)?(?:\s+FORMAT \w+)?\s*"
)
_INSERT_WITH_DATA = re.compile(
    rb"\s*INSERT\s+INTO\b.{0,65536}?\bFORMAT\s+(\w+)[^\S\n]*(?:\n|$)", re.IGNORECASE | re.DOTALL
)
_RETURNS_ROWS = re.compile(rb"[\s(]*(?:SELECT|WITH|SHOW|DESCRIBE|DESC|EXPLAIN|EXISTS|CHECK)\b", re.IGNORECASE)

# As the engine's own HTTP interface maps them; everything else is 500.
_STATUS = (
    dict.fromkeys((46, 47, 50, 56, 60, 63, 73, 78, 81, 99, 115, 336), 404)
    | dict.fromkeys((6, 25, 26, 27, 36, 38, 41, 53, 62, 72, 117, 130, 167, 168, 223, 427, 456, 457), 400)
    | dict.fromkeys((192, 193, 497, 516), 403)
    | {48: 501}
)


class _RequestError(Exception):
    """A request that cannot be understood; answered with a 4xx text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """What one query may use."""

    max_result_bytes: int = MAX_RESULT_BYTES
    max_query_seconds: float = MAX_QUERY_SECONDS

    def settings(self) -> dict[str, str]:
        """The engine settings that enforce them."""
        return {
            "max_execution_time": f"{self.max_query_seconds:g}",
            "timeout_overflow_mode": "throw",
            "max_memory_usage": str(MAX_MEMORY_BYTES),
            "max_temporary_data_on_disk_size_for_query": str(MAX_MEMORY_BYTES),
            "max_result_rows": str(MAX_RESULT_ROWS),
            "max_result_bytes": str(self.max_result_bytes),
            "result_overflow_mode": "throw",
            "max_threads": str(min(4, os.cpu_count() or 1)),
            "allow_introspection_functions": "0",
            "allow_ddl": "0",
        }


@dataclass(frozen=True)
class Query:
    """A statement as it came over HTTP."""

    sql: bytes
    body: bytes | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    default_format: str = "TabSeparated"
    database: str | None = None


@dataclass(frozen=True)
class Answer:
    """A statement's result and what the response headers tell about it."""

    result: EngineResult
    timezone: str
    has_rows: bool


class Session:
    """Runs statements on an open engine, as one kind of client may."""

    def __init__(self, engine: EmbeddedEngine, *, read_only: bool, limits: Limits) -> None:
        """Statements for ``engine``, which is opened and closed elsewhere."""
        self._engine = engine
        self._read_only = read_only
        self._limits = limits
        self._timezone: str | None = None
        self._denied: frozenset[str] | None = None

    def run(self, query: Query) -> Answer:
        """Run one statement.

        Raises:
            EngineQueryError: if it is refused or fails.
        """
        if self._timezone is None:
            self._timezone = self._engine.execute("SELECT timezone()").decode().strip()
        result, has_rows = self._read(query) if self._read_only else self._write(query)
        return Answer(result, self._timezone, has_rows)

    def _read(self, query: Query) -> tuple[EngineResult, bool]:
        # Whatever the parser makes of it: nothing here needs the word, and it writes files where the engine runs.
        if b"outfile" in query.sql.lower():
            raise refusal("OUTFILE is not allowed")
        canonical = self._canonical(query.sql)
        check_statement(canonical, self._denied_functions())
        settings = harmless(query.settings) | self._limits.settings()
        rows = query.settings.get("max_result_rows", "")
        if re.fullmatch(r"[1-9]\d{0,6}", rows, re.ASCII):
            settings["max_result_rows"] = str(min(int(rows), MAX_RESULT_ROWS))
        probe = _SETTINGS_PROBE.fullmatch(canonical) is not None
        if probe:
            # At level 1 the engine reports every setting as fixed, and clients then refuse to send even join_use_nulls.
            settings["readonly"] = "2"
        named = _CANONICAL_FORMAT.findall(canonical)
        result = self._execute(replace(query, settings=settings), read_only=not probe)
        if len(result.data) > self._limits.max_result_bytes:
            # The engine counts a constant column once, however many rows repeat it.
            raise EngineQueryError(
                f"Code: 396. DB::Exception: Limit for result exceeded, max bytes: {self._limits.max_result_bytes}, "
                f"current bytes: {len(result.data)}. (TOO_MANY_ROWS_OR_BYTES)"
            )
        return replace(result, format=named[-1] if named else result.format), True

    def _write(self, query: Query) -> tuple[EngineResult, bool]:
        settings = {name: value for name, value in query.settings.items() if name not in _TRANSPORT_SETTINGS}
        result = self._execute(replace(query, settings=settings), read_only=False)
        return result, _RETURNS_ROWS.match(query.sql) is not None

    def _execute(self, query: Query, *, read_only: bool) -> EngineResult:
        def run(sql: bytes, default_format: str) -> EngineResult:
            return self._engine.run(
                sql,
                params=query.params,
                settings=query.settings,
                default_format=default_format,
                database=query.database,
                body=query.body,
                read_only=read_only,
            )

        result = run(query.sql, query.default_format)
        if result.format == "Native" and not result.data and _RETURNS_ROWS.match(query.sql):
            # The engine writes nothing for no rows, where the server sends a block with the columns: clients read
            # their names from it.
            bare = re.sub(rb"\bFORMAT\s+Native\s*;?\s*$", b"FORMAT JSONCompact", query.sql, flags=re.IGNORECASE)
            meta = json.loads(run(bare, "JSONCompact").data)["meta"]
            return replace(result, data=_empty_block([(column["name"], column["type"]) for column in meta]))
        return result

    def _canonical(self, sql: bytes) -> str:
        try:
            text = sql.decode()
        except UnicodeDecodeError:
            raise EngineQueryError(
                "Code: 62. DB::Exception: Syntax error: the statement is not UTF-8. (SYNTAX_ERROR)"
            ) from None
        if "\0" in text or not text.strip():
            raise EngineQueryError(
                "Code: 62. DB::Exception: Syntax error: the statement is empty or has a zero byte. (SYNTAX_ERROR)"
            )
        try:
            formatted = self._engine.execute(
                "SELECT formatQuery({q:String})",
                params={"q": _escape(text)},
                settings=self._limits.settings(),
                default_format="TSVRaw",
                read_only=True,
            )
        except EngineQueryError as error:
            # The engine adds its own call around the message.
            plain = re.sub(r": In scope SELECT formatQuery\(.*\)\. \((\w+)\)$", r". (\1)", str(error), flags=re.DOTALL)
            raise EngineQueryError(plain) from None
        return formatted.decode()

    def _denied_functions(self) -> frozenset[str]:
        if self._denied is None:
            names = self._engine.execute("SELECT name FROM system.table_functions", default_format="TSVRaw")
            self._denied = frozenset(names.decode().lower().split()) - SAFE_TABLE_FUNCTIONS
        return self._denied


# Consumed by the HTTP interface; the engine does not know them.
_TRANSPORT_SETTINGS = frozenset(
    {
        "buffer_size",
        "cancel_http_readonly_queries_on_client_close",
        "client_protocol_version",
        "compress",
        "decompress",
        "enable_http_compression",
        "http_headers_progress_interval_ms",
        "query_id",
        "quota_key",
        "role",
        "send_progress_in_http_headers",
        "session_check",
        "session_id",
        "session_timeout",
        "wait_end_of_query",
    }
)


def _escape(text: str) -> str:
    """A parameter value as the engine reads it: tab separated text."""
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def _empty_block(columns: list[tuple[str, str]]) -> bytes:
    """A block in Native format with columns and no rows."""
    block = _varint(len(columns)) + _varint(0)
    for text in (part for column in columns for part in column):
        raw = text.encode()
        block += _varint(len(raw)) + raw
    return block


@dataclass
class _Job:
    query: Query
    deadline: float
    future: "Future[Answer]" = field(default_factory=Future)


class EngineKeeper:
    """One thread that runs statements one at a time and holds the folder no longer than it must."""

    def __init__(self, engine: EmbeddedEngine, session: Session, *, idle_seconds: float, wait_seconds: float) -> None:
        """Keep ``engine`` for ``idle_seconds`` after a query; wait up to ``wait_seconds`` for its folder."""
        self._engine = engine
        self._session = session
        self._idle_seconds = idle_seconds
        self._wait_seconds = wait_seconds
        self._jobs: queue.Queue[_Job | None] = queue.Queue(MAX_WAITING)
        self._stopping = threading.Event()
        self._opened_at = 0.0
        self._closed_at = 0.0
        self._thread = threading.Thread(target=self._loop, name="warehouse-engine", daemon=True)
        self._thread.start()

    def submit(self, query: Query) -> "Future[Answer]":
        """Queue a statement.

        Raises:
            WarehouseBusyError: if too many wait already.
        """
        job = _Job(query, time.monotonic() + self._wait_seconds)
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            raise WarehouseBusyError("Too many queries wait for the warehouse; try again in a moment.") from None
        return job.future

    def refuse(self) -> None:
        """Begin to stop: what waits fails as busy, the running statement goes on."""
        self._stopping.set()
        with contextlib.suppress(queue.Full):
            self._jobs.put_nowait(None)

    def stop(self) -> None:
        """End the thread after the running statement, with the engine closed."""
        self.refuse()
        self._thread.join()
        self._refuse_rest()

    def _loop(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    job = self._jobs.get(timeout=self._idle_seconds if self._engine.is_open else None)
                except queue.Empty:
                    self._give_back()
                    continue
                if job is not None:
                    self._do(job)
                if self._engine.is_open and time.monotonic() - self._opened_at > MAX_HOLD_SECONDS:
                    self._give_back()
        finally:
            self._give_back()
            self._refuse_rest()

    def _do(self, job: _Job) -> None:
        if not job.future.set_running_or_notify_cancel():
            return
        try:
            self._take(job.deadline)
            job.future.set_result(self._session.run(job.query))
        except BaseException as error:  # noqa: BLE001 -- whatever it is belongs to the request, not to this thread
            job.future.set_exception(error)

    def _take(self, deadline: float) -> None:
        if self._engine.is_open:
            return
        # Whoever polls for the folder gets its chance before it is taken again.
        self._stopping.wait(max(0.0, self._closed_at + YIELD_SECONDS - time.monotonic()))
        while True:
            started = time.monotonic()
            try:
                # In slices, so that a shutdown need not wait.
                self._engine.open(wait_seconds=max(0.0, min(_SLICE_SECONDS, deadline - started)))
            except WarehouseBusyError:
                # A program that knows nothing of the lock makes the engine itself fail, at once.
                rest = max(0.0, started + _SLICE_SECONDS - time.monotonic())
                if (
                    self._stopping.wait(min(rest, max(0.0, deadline - time.monotonic())))
                    or time.monotonic() >= deadline
                ):
                    raise
            else:
                self._opened_at = time.monotonic()
                return

    def _give_back(self) -> None:
        if self._engine.is_open:
            self._engine.close()
            self._closed_at = time.monotonic()

    def _refuse_rest(self) -> None:
        while True:
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is not None and job.future.set_running_or_notify_cancel():
                job.future.set_exception(
                    WarehouseBusyError("The warehouse endpoint is shutting down; try again later.")
                )


class Endpoint:
    """The HTTP side: requests to statements, results and errors to responses."""

    def __init__(self, keeper: EngineKeeper, *, read_only: bool) -> None:
        """Serve the statements ``keeper`` runs."""
        self._keeper = keeper
        self._read_only = read_only

    async def ping(self, request: Request) -> Response:
        """Say that the endpoint is there; the engine is not asked."""
        del request
        return PlainTextResponse("Ok.\n")

    async def query(self, request: Request) -> Response:
        """Run the statement a request carries."""
        try:
            query = await self._parse(request)
            if query is None:
                return PlainTextResponse("Ok.\n")
            answer = await asyncio.wrap_future(self._keeper.submit(query))
        except _RequestError as error:
            return PlainTextResponse(f"{error}\n", error.status)
        except EngineQueryError as error:
            return _failed(error)
        except WarehouseError as error:
            # Busy, or not there yet: both pass, so the client is told to come again.
            return PlainTextResponse(f"{error}\n", 503, {"Retry-After": str(RETRY_AFTER_SECONDS)})
        return _succeeded(answer, request)

    async def _parse(self, request: Request) -> Query | None:
        limit = MAX_READ_BODY_BYTES if self._read_only else MAX_WRITE_BODY_BYTES
        body = _decompress(await _body(request, limit), request.headers.get("content-encoding", ""), limit)
        fields = dict(request.query_params)
        if request.headers.get("content-type", "").startswith("multipart/form-data"):
            fields |= _form(body, request.headers["content-type"])
            body = b""
        text = fields.pop("query", "").encode("utf-8", "surrogateescape")
        if request.method in ("GET", "HEAD") and not text and not body:
            return None
        sql, data = self._split(text, body)
        headers = request.headers
        return Query(
            sql=sql,
            body=data,
            params={_parameter(name): value for name, value in fields.items() if name.startswith("param_")},
            default_format=fields.pop("default_format", "") or headers.get("x-clickhouse-format") or "TabSeparated",
            database=fields.pop("database", "") or headers.get("x-clickhouse-database"),
            settings={
                name: value
                for name, value in fields.items()
                if not name.startswith("param_") and name not in ("user", "password")
            },
        )

    def _split(self, text: bytes, body: bytes) -> tuple[bytes, bytes | None]:
        """Part a statement from the data of an insert, wherever the client put either."""
        joined = b"\n".join(part for part in (text, body) if part)
        if self._read_only:
            return joined, None
        found = _INSERT_WITH_DATA.match(joined)
        if found is None or found.group(1).upper() == b"VALUES":
            return joined, None
        return found.group(0), joined[found.end() :]


def _parameter(name: str) -> str:
    bare = name.removeprefix("param_")
    if not _PARAMETER_NAME.match(bare):
        raise _RequestError(400, f"{name[:80]!r} is not the name of a query parameter; use letters, digits and _.")
    return bare


def _too_large(limit: int) -> _RequestError:
    return _RequestError(413, f"The request is larger than {limit} bytes, which this endpoint takes at most.")


async def _body(request: Request, limit: int) -> bytes:
    received = bytearray()
    async for chunk in request.stream():
        received += chunk
        if len(received) > limit:
            raise _too_large(limit)
    return bytes(received)


class _Decompressor(Protocol):
    """What the decompressors of zlib, lz4 and zstd have in common."""

    @property
    def eof(self) -> bool: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


def _decompressor(encoding: str) -> _Decompressor:
    if encoding in ("gzip", "deflate"):
        # 32: gzip or zlib, by its header.
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32)
    if encoding == "lz4":
        import lz4.frame  # type: ignore[import-untyped]

        unlz4: _Decompressor = lz4.frame.LZ4FrameDecompressor()
        return unlz4
    if encoding == "zstd":
        # In the standard library from Python 3.14 on; clickhouse-connect brings the other one.
        module = importlib.import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")
        unzstd: _Decompressor = module.ZstdDecompressor()
        return unzstd
    raise _RequestError(415, f"The encoding {encoding[:40]!r} is not known here; use gzip, lz4 or zstd.")


def _decompress(data: bytes, encoding: str, limit: int) -> bytes:
    if not encoding or encoding == "identity" or not data:
        return data
    try:
        unpacker = _decompressor(encoding.lower())
    except ImportError as error:
        raise _RequestError(415, f"The encoding {encoding[:40]!r} is not installed here; use gzip.") from error
    try:
        # One byte more than allowed tells "full" from "too much" without unpacking the rest.
        unpacked = unpacker.decompress(data, limit + 1)
    except Exception as error:
        raise _RequestError(400, f"The request body is not valid {encoding[:40]} data.") from error
    if len(unpacked) > limit:
        raise _too_large(limit)
    if not unpacker.eof:
        raise _RequestError(400, f"The request body ends in the middle of its {encoding[:40]} data.")
    return unpacked


def _form(body: bytes, content_type: str) -> dict[str, str]:
    """The fields of a form: clickhouse-connect sends long statements and parameters so."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode("latin-1", "replace")
    message = BytesParser(policy=policy.HTTP).parsebytes(head + body)
    fields: dict[str, str] = {}
    for part in message.iter_parts() if message.is_multipart() else ():
        name = part.get_param("name", header="content-disposition")
        if part.get_filename() is not None or not isinstance(name, str):
            raise _RequestError(400, "External tables are not supported here; put the values into the statement.")
        payload = part.get_payload(decode=True)
        fields[name] = (payload if isinstance(payload, bytes) else b"").decode("utf-8", "surrogateescape")
    return fields


def _failed(error: EngineQueryError) -> Response:
    text = str(error)
    code = error.code
    if not code:
        code = 1002
        text = f"Code: 1002. DB::Exception: {text}. (UNKNOWN_EXCEPTION)"
    return PlainTextResponse(text.rstrip() + "\n", _STATUS.get(code, 500), {"X-ClickHouse-Exception-Code": str(code)})


_CONTENT_TYPES = {"JSON": "application/json", "CSV": "text/csv", "TabSeparated": "text/tab-separated-values"}


def _content_type(fmt: str) -> str:
    base = next((kind for prefix, kind in _CONTENT_TYPES.items() if fmt.startswith(prefix)), "application/octet-stream")
    return base if base == "application/octet-stream" else f"{base}; charset=UTF-8"


def _succeeded(answer: Answer, request: Request) -> Response:
    result = answer.result
    counted = "read" if answer.has_rows else "written"
    summary = {
        "read_rows": "0",
        "read_bytes": "0",
        "written_rows": "0",
        "written_bytes": "0",
        f"{counted}_rows": str(result.rows_read),
        f"{counted}_bytes": str(result.bytes_read),
        "elapsed_ns": str(int(result.elapsed_seconds * 1e9)),
    }
    asked = request.query_params.get("query_id", "")
    headers = {
        "X-ClickHouse-Summary": json.dumps(summary),
        "X-ClickHouse-Query-Id": asked if re.fullmatch(r"[\w.:-]{1,128}", asked, re.ASCII) else str(uuid.uuid4()),
        "X-ClickHouse-Timezone": answer.timezone,
        "X-ClickHouse-Server-Display-Name": "estafeta",
    }
    if answer.has_rows:
        headers["X-ClickHouse-Format"] = result.format
    return Response(result.data, headers=headers, media_type=_content_type(result.format))


def create_app(
    path: Path,
    *,
    read_only: bool = True,
    idle_seconds: float = 1.0,
    wait_seconds: float = 60.0,
    max_result_bytes: int = MAX_RESULT_BYTES,
    max_query_seconds: float = MAX_QUERY_SECONDS,
    allowed_hosts: Collection[str] = ("*",),
) -> Starlette:
    """An application that answers ClickHouse's HTTP interface from the warehouse folder ``path``.

    Args:
        path: the folder chDB opens.
        read_only: refuse everything that is not one reading statement; False is for tests.
        idle_seconds: how long the folder is kept after a query.
        wait_seconds: how long a query waits for the folder before it is answered with 503.
        max_result_bytes: largest result.
        max_query_seconds: longest query.
        allowed_hosts: host names a request may be addressed to.
    """
    engine = EmbeddedEngine(path, create=not read_only)
    limits = Limits(max_result_bytes, max_query_seconds)
    session = Session(engine, read_only=read_only, limits=limits)
    keeper = EngineKeeper(engine, session, idle_seconds=idle_seconds, wait_seconds=wait_seconds)
    endpoint = Endpoint(keeper, read_only=read_only)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        del app
        try:
            yield
        finally:
            await asyncio.to_thread(keeper.stop)

    app = Starlette(
        routes=[
            Route("/ping", endpoint.ping, methods=["GET"]),
            Route("/", endpoint.query, methods=["GET", "POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(allowed_hosts), www_redirect=False)],
        lifespan=lifespan,
    )
    app.state.keeper = keeper
    return app


class _Server(uvicorn.Server):
    """A server that says when it listens."""

    def __init__(self, app: Starlette, ready: Callable[[], None]) -> None:
        # Quiet: an access log would hold query texts, since clients may put them into the address.
        super().__init__(
            uvicorn.Config(app, log_level="warning", access_log=False, lifespan="on", timeout_graceful_shutdown=5)
        )
        self._app = app
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        # First, since the server lets open requests end, and those may be waiting for the folder.
        self._app.state.keeper.refuse()
        await super().shutdown(sockets)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise WarehouseError(
            f"Port {port} of {host} cannot be used ({error.strerror}); choose another one with --port."
        ) from error


def serve(path: Path, host: str = "127.0.0.1", port: int = 8123, *, ready: Callable[[int], None]) -> None:
    """Serve the warehouse read-only until interrupted.

    Args:
        path: the warehouse folder.
        host: address to listen on; there are no passwords, so anything but loopback shows the warehouse to the network.
        port: port to listen on; 0 takes a free one.
        ready: called with the port when it listens.

    Raises:
        WarehouseError: if the port cannot be used.
    """
    # On loopback, a page in a browser could otherwise reach the endpoint under a host name of its own (DNS rebinding).
    hosts = LOOPBACK_HOSTS if host in ("localhost", "127.0.0.1", "::1") else ("*",)
    with _listen(host, port) as listener:
        bound = int(listener.getsockname()[1])
        app = create_app(path, allowed_hosts=hosts)
        with contextlib.suppress(KeyboardInterrupt):
            _Server(app, lambda: ready(bound)).run(sockets=[listener])


class ServerThread:
    """An application on a free port of this machine, for as long as the block lasts."""

    def __init__(self, app: Starlette) -> None:
        """Serve ``app`` once entered."""
        self._listening = threading.Event()
        self._server = _Server(app, self._listening.set)
        self._listener = _listen("127.0.0.1", 0)
        self.host = "127.0.0.1"
        self.port = int(self._listener.getsockname()[1])
        self.url = f"http://{self.host}:{self.port}"
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [self._listener]}, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._listening.wait(10):
            raise WarehouseError(f"The test server at {self.url} did not start within 10 s; see the log.")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()
