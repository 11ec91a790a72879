"""The loopback Bitrix24 over HTTP: REST routes, the admin side, and the portal that tests and the demo start.

Belongs here: requests, envelopes, faults on the wire, changing the company while it is served. Does not belong here:
what methods answer (`methods.py`), how the company is made (`company.py`).
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sources.stand_in import query
from sources.stand_in.admin import Admin as Admin
from sources.stand_in.answers import (
    Answer,
    RestError,
    credentials_error,
    limit_error,
    not_found_error,
    operating_error,
)
from sources.stand_in.limits import (
    BatchBilling,
    Clock,
    Fault,
    FaultKind,
    LeakyBucket,
    OperatingMeter,
    take_command_fault,
    take_fault,
)
from sources.stand_in.methods import DEFAULT_SCOPES, Methods, Timer, batch_commands, run_batch
from sources.stand_in.quirks import Quirks
from sources.stand_in.state import PortalState, Record

_HTML = b"<!DOCTYPE html><html><head><title>Bitrix24</title></head><body><h1>Service is unavailable</h1></body></html>"


def _iso(value: query.Value) -> query.Value:
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    raise TypeError(f"cannot write {type(value).__name__} as JSON")


def _encode(value: query.Value) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_iso).encode()


# --- REST side ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LogEntry:
    """One REST request as the portal saw it; the webhook's code is not in it.

    Attributes:
        number: running number, the first request has 1.
        method: lower case.
        params: decoded parameters.
        bytes: size of the answer's body.
        status: HTTP status; 0 when the connection was dropped.
    """

    number: int
    method: str
    params: Record
    bytes: int
    status: int


@dataclass(frozen=True)
class _Call:
    owner: str
    code: str
    method: str
    query: str
    body: bytes
    content_type: str


@dataclass(frozen=True)
class _Reply:
    status: int
    body: bytes
    content_type: bytes = b"application/json; charset=utf-8"
    delay: float = 0.0
    sent: int | None = None
    """How much of the body goes out before the connection is cut; None for all of it."""


class Portal:
    """Answers REST requests: limits, faults, credentials and scopes around the methods.

    Args:
        state: what the portal holds.
        secret: the webhook's code.
        user_id: the webhook's owner; `state.webhook_user` by default.
        scopes: what the webhook may use.
        bucket: request limit.
        meter: time meter.
        between_requests: called before each request with its number.
        latency: seconds each answer waits, to look like a network.
        quirks: where the portal differs from others.
    """

    def __init__(
        self,
        state: PortalState,
        *,
        secret: str,
        user_id: int | None = None,
        scopes: Iterable[str] = DEFAULT_SCOPES,
        bucket: LeakyBucket | None = None,
        meter: OperatingMeter | None = None,
        between_requests: Callable[[int], None] | None = None,
        latency: float = 0.0,
        quirks: Quirks | None = None,
    ) -> None:
        self.state = state
        self.quirks = quirks or Quirks()
        self.user_id = state.webhook_user if user_id is None else user_id
        self.scopes = set(scopes)
        self.bucket = bucket or LeakyBucket()
        self.meter = meter or OperatingMeter()
        self.between_requests = between_requests
        self.latency = latency
        self.clock = Clock(state.now, state.timezone)
        self.faults: list[Fault] = []
        self.log: list[LogEntry] = []
        self.lock = threading.RLock()
        self._secret = secret
        self._methods = Methods(state, self.clock, self.scopes, self.user_id, self.lock, self.quirks)
        self._timer = Timer(self.clock, self.meter, self.quirks)
        self.admin = self._methods.admin
        self.hidden_items = self.admin.hidden_items
        self.notifications = self._methods.notifications
        self._number = 0

    def handle(self, call: _Call) -> _Reply | None:
        """Answers one request; None means: close the connection without a word."""
        with self.lock:
            self._number += 1
            number = self._number
            if self.between_requests is not None:
                self.between_requests(number)
            method = call.method.removesuffix(".json").lower()
            params: Record = {}
            try:
                params = _params(call)
                params.pop("auth", None)
                reply = self._spoiled(number, method, call, params)
            except RestError as error:
                reply = _Reply(error.status, _encode(error.envelope()))
            size, status = (len(reply.body), reply.status) if reply else (0, 0)
            self.log.append(LogEntry(number, method, params, size, status))
            return reply

    def _spoiled(self, number: int, method: str, call: _Call, params: Record) -> _Reply | None:
        fault = take_fault(self.faults, number, method)
        kind = None if fault is None else fault.kind
        if kind == "drop":
            return None
        refusal = _REFUSALS.get(kind)
        if refusal is not None:
            raise refusal()
        if kind is not None and kind.startswith("html_"):
            return _Reply(int(kind[-3:]), _HTML, b"text/html; charset=utf-8")
        if kind == "error_in_200":
            return _Reply(200, _encode(_failed().envelope()))
        reply = self._answered(number, method, call, params)
        half = len(reply.body) // 2
        if kind == "truncated_json":
            return dataclasses.replace(reply, body=reply.body[:half])
        if kind == "drop_mid_body":
            return dataclasses.replace(reply, sent=half)
        if kind == "empty_body":
            return dataclasses.replace(reply, body=b"")
        if kind == "null_result":
            return dataclasses.replace(reply, body=_encode(json.loads(reply.body) | {"result": None}))
        return reply if fault is None else dataclasses.replace(reply, delay=fault.seconds)

    def _answered(self, number: int, method: str, call: _Call, params: Record) -> _Reply:
        if not self.bucket.admit():
            raise limit_error()
        if call.owner != str(self.user_id) or not secrets.compare_digest(call.code.encode(), self._secret.encode()):
            raise credentials_error()
        run: Callable[[], Answer] = partial(self._methods.call, method, params)
        if method == "batch":
            failing = take_command_fault(self.faults, number, [name for _, name, _ in batch_commands(params)])
            run = partial(run_batch, self._methods, self._timer, params, failing)
        answer, block = self._timer.run(method, run)
        envelope: Record = {"result": answer.result}
        if answer.next is not None:
            envelope["next"] = answer.next
        if answer.total is not None and self.quirks.total:
            envelope["total"] = answer.total
        return _Reply(200, _encode({**envelope, "time": block}))


def _failed() -> RestError:
    return RestError(500, "INTERNAL_SERVER_ERROR", "Internal server error")


_REFUSALS: dict[FaultKind | None, Callable[[], RestError]] = {
    "http_500": _failed,
    "query_limit": limit_error,
    "operation_time_limit": operating_error,
    "overload_limit": lambda: RestError(503, "OVERLOAD_LIMIT", "REST API is blocked due to overload"),
    "expired_token": lambda: RestError(401, "expired_token", "The access token provided has expired"),
    "invalid_credentials": credentials_error,
    "access_denied": lambda: RestError(403, "ACCESS_DENIED", "REST API is available only on commercial plans"),
}
"""Faults that answer a whole request with an error of the portal's own."""


def _params(call: _Call) -> Record:
    params = query.decode(call.query)
    if not call.body:
        return params
    if "json" in call.content_type or call.body.lstrip()[:1] == b"{":
        try:
            decoded = json.loads(call.body)
        except ValueError:
            raise RestError(400, "INVALID_REQUEST", "Invalid JSON in the request body") from None
        return params | (decoded if isinstance(decoded, dict) else {})
    return params | query.decode(call.body.decode(errors="replace"))


class _RestApp:
    """The `/rest/` endpoint as bare ASGI: it needs the connection itself to be able to drop it."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = _Call(*_address(scope["path"]), *await _content(scope, receive))
        if self._portal.latency:
            await asyncio.sleep(self._portal.latency)
        reply = self._portal.handle(call) if call.method else _unknown()
        if reply is None:
            await _drop(receive, send)
            return
        if reply.delay:
            await asyncio.sleep(reply.delay)
        headers = [(b"content-type", reply.content_type), (b"content-length", str(len(reply.body)).encode())]
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if reply.sent is not None:
            await send({"type": "http.response.body", "body": reply.body[: reply.sent], "more_body": True})
            # A connection that is aborted drops what it has not sent yet: some loops send at their next turn only.
            await asyncio.sleep(0)
            await _drop(receive, send)
            return
        await send({"type": "http.response.body", "body": reply.body})


def _unknown() -> _Reply:
    error = not_found_error()
    return _Reply(error.status, _encode(error.envelope()))


def _address(path: str) -> tuple[str, str, str]:
    parts = path.strip("/").split("/")
    if len(parts) != 4:
        return "", "", ""
    return parts[1], parts[2], parts[3]


async def _content(scope: Scope, receive: Receive) -> tuple[str, bytes, str]:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    headers = dict(scope["headers"])
    return scope["query_string"].decode(), b"".join(chunks), headers.get(b"content-type", b"").decode()


async def _drop(receive: Receive, send: Send) -> None:
    # The server hands its own bound method down, and that object owns the connection.
    owner: Any = getattr(send, "__self__", None)
    owner.transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass


# --- Admin routes -------------------------------------------------------------------------------------------------


def _json(value: query.Value, status: int = 200) -> Response:
    return Response(_encode(value), status, media_type="application/json")


def _admin_post(act: Callable[[Record], Any]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            body = json.loads(await request.body() or b"{}")
            return _json({"result": act(body)})
        except KeyError as error:
            return _json({"error": f"not there: {error}"}, 404)
        except (ValueError, TypeError, AttributeError) as error:
            return _json({"error": str(error)}, 400)

    return endpoint


def _admin_get(read: Callable[[], Any]) -> Callable[[Request], Any]:
    async def endpoint(_: Request) -> Response:
        return _json(read())

    return endpoint


def _read_fault(body: Record) -> Fault:
    return Fault(**{field.name: body[field.name] for field in dataclasses.fields(Fault) if field.name in body})


def _set_clock(admin: Admin, body: Record) -> str:
    if "set" in body:
        admin.set_clock(query.moment(body["set"], admin.state.timezone))
    else:
        admin.advance_clock(float(body.get("advance", 0)))
    return admin.state.timestamp(admin.clock.now())


def build_app(portal: Portal) -> ASGIApp:
    """The whole application: `/rest/…` for the pipeline, `/admin/…` for whoever plays the company."""
    admin = portal.admin
    post = {
        "edit": lambda body: admin.edit_item(int(body["entityTypeId"]), int(body["id"]), body["fields"]),
        "delete": lambda body: admin.delete_item(int(body["entityTypeId"]), int(body["id"])),
        "restore": lambda body: admin.restore_item(int(body["entityTypeId"]), int(body["id"])),
        "insert": lambda body: admin.insert_item(int(body["entityTypeId"]), body["fields"], body.get("created")),
        "hide": lambda body: admin.hide_item(int(body["entityTypeId"]), int(body["id"])),
        "show": lambda body: admin.show_item(int(body["entityTypeId"]), int(body["id"])),
        "tasks/close": lambda body: admin.close_task(int(body["id"])),
        "tasks/reopen": lambda body: admin.reopen_task(int(body["id"])),
        "tasks/delete": lambda body: admin.delete_task(int(body["id"])),
        "tasks/restore": lambda body: admin.restore_task(int(body["id"])),
        "clock": lambda body: _set_clock(admin, body),
        "faults": lambda body: portal.faults.append(_read_fault(body)),
        "faults/clear": lambda _: portal.faults.clear(),
    }
    get: dict[str, Callable[[], Any]] = {
        "truth": lambda: [dataclasses.asdict(row) for row in admin.truth()],
        "obligations": lambda: [dataclasses.asdict(row) for row in admin.obligations()],
        "log": lambda: [dataclasses.asdict(entry) for entry in portal.log],
        "config": lambda: portal.state.config,
        "faults": lambda: [dataclasses.asdict(fault) for fault in portal.faults],
        "notifications": lambda: portal.notifications,
    }
    routes = [Route(f"/admin/{name}", _admin_post(act), methods=["POST"]) for name, act in post.items()]
    routes += [Route(f"/admin/{name}", _admin_get(read), methods=["GET"]) for name, read in get.items()]
    rest, others = _RestApp(portal), Starlette(routes=routes)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # The framework wraps `send`; to drop a connection the REST side needs the server's own.
        target: ASGIApp = rest if scope["path"].startswith("/rest/") else others
        await target(scope, receive, send)

    return app


# --- Running it ---------------------------------------------------------------------------------------------------


class _Server(uvicorn.Server):
    """uvicorn that says when it answers."""

    def __init__(self, app: ASGIApp, ready: Callable[[], None] = lambda: None) -> None:
        config = uvicorn.Config(
            app,
            log_config=None,
            log_level="critical",
            access_log=False,
            lifespan="off",
            ws="none",
            timeout_keep_alive=75,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Starts, then tells."""
        await super().startup(sockets)
        self._ready()


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    return listener


class StandInPortal:
    """A portal on a loopback port, served from a thread while the `with` block runs.

    Args:
        state: what it holds; may be changed while it is served, best through `admin`.
        port: 0 takes a free one.
        host: address to listen on.
        user_id: who owns the webhook; `state.webhook_user` by default.
        secret: the webhook's code; a random one by default.
        scopes: what the webhook may use.
        rate_per_second: how fast the request bucket drains; None switches it off.
        burst: how many requests the bucket holds.
        operating_limit: seconds of work per method and ten minutes before 429; None never blocks.
        operating_cost: what a call is charged instead of the time it took.
        between_requests: called before each REST request with its running number.
        latency: seconds each answer waits.
        batch_billing: whether a batch is billed to its commands (`inner`) or to the method `batch` (`outer`).
        quirks: where the portal differs from others, by the names of `quirks.Quirks`.

    Raises:
        TypeError: an unknown quirk.

    Attributes:
        webhook: URL to call methods under, ends with a slash.
        admin_url: URL of the admin side, ends with a slash.
        admin: the same as Python methods.
        clock: the portal's clock.
        log: REST requests so far.
        faults: failures to come; append `Fault`s.
        hidden_items: (entity type id, id) the webhook's owner may not see.
        notifications: what `im.notify.system.add` was asked to send.
        quirks: where the portal differs from others, mutable.
        scopes: what the webhook may use, mutable.
        bucket: the request limit, mutable.
        meter: the time meter, mutable.
    """

    def __init__(
        self,
        state: PortalState,
        *,
        port: int = 0,
        host: str = "127.0.0.1",
        user_id: int | None = None,
        secret: str | None = None,
        scopes: Iterable[str] = DEFAULT_SCOPES,
        rate_per_second: float | None = 2.0,
        burst: float = 50.0,
        operating_limit: float | None = None,
        operating_cost: Callable[[str, float], float] | None = None,
        between_requests: Callable[[int], None] | None = None,
        latency: float = 0.0,
        batch_billing: BatchBilling = "inner",
        quirks: dict[str, bool] | None = None,
    ) -> None:
        self._secret = secret or secrets.token_hex(8)
        self._host = host
        self._asked_port = port
        self.portal = Portal(
            state,
            secret=self._secret,
            user_id=user_id,
            scopes=scopes,
            bucket=LeakyBucket(rate_per_second, burst),
            meter=OperatingMeter(operating_limit, operating_cost, batch_billing),
            between_requests=between_requests,
            latency=latency,
            quirks=Quirks(**(quirks or {})),
        )
        self.state = state
        self.admin = self.portal.admin
        self.clock = self.portal.clock
        self.log = self.portal.log
        self.faults = self.portal.faults
        self.hidden_items = self.portal.hidden_items
        self.notifications = self.portal.notifications
        self.quirks = self.portal.quirks
        self.scopes = self.portal.scopes
        self.bucket = self.portal.bucket
        self.meter = self.portal.meter
        self.webhook = ""
        self.admin_url = ""
        self._listener: socket.socket | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def between_requests(self) -> Callable[[int], None] | None:
        """The hook called before each REST request with its running number."""
        return self.portal.between_requests

    @between_requests.setter
    def between_requests(self, hook: Callable[[int], None] | None) -> None:
        self.portal.between_requests = hook

    def bind(self) -> socket.socket:
        """Takes the port and so fixes the URLs.

        Raises:
            OSError: the port is taken.
        """
        self._listener = _listen(self._host, self._asked_port)
        base = f"http://{self._host}:{self._listener.getsockname()[1]}"
        self.webhook = f"{base}/rest/{self.portal.user_id}/{self._secret}/"
        self.admin_url = f"{base}/admin/"
        return self._listener

    def __enter__(self) -> Self:
        listener = self.bind()
        started = threading.Event()
        self._server = _Server(build_app(self.portal), started.set)
        self._thread = threading.Thread(target=self._server.run, args=([listener],), daemon=True)
        self._thread.start()
        if not started.wait(10):
            self.__exit__(None, None, None)
            raise RuntimeError("the stand-in portal did not start within 10 s")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(5)
        if self._listener is not None:
            self._listener.close()


def serve_forever(
    state: PortalState,
    port: int = 0,
    *,
    config_path: Path | str | None = None,
    out: TextIO | None = None,
    **options: query.Value,
) -> None:
    """Serves a portal until SIGINT or SIGTERM; prints one JSON line when it answers.

    Args:
        state: what it holds.
        port: 0 takes a free one.
        config_path: the config file the caller wrote for this portal, repeated in the line.
        out: where the line goes; standard output by default.
        **options: further options of `StandInPortal`.

    Raises:
        OSError: the port is taken.
    """
    stand_in = StandInPortal(state, port=port, **options)
    listener = stand_in.bind()

    def announce() -> None:
        line = {
            "webhook": stand_in.webhook,
            "admin": stand_in.admin_url,
            "config": None if config_path is None else str(config_path),
        }
        print(json.dumps(line, ensure_ascii=False), file=out or sys.stdout, flush=True)

    # uvicorn raises the signal that stopped it once more when it is done: here it has done its work by then.
    handlers = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _Server(build_app(stand_in.portal), announce).run([listener])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        listener.close()
