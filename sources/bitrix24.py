"""The portal client: complete or failed, never silently short.

Belongs here: requests, paging, back-off, what each error of the portal means. Does not belong here: the shape of a
record (`contracts.py`), what a rating means (`assets/rules`).

fast-bitrix24 carries the requests (session, pacing, repeats of dropped connections), and only through
`call(..., raw=True)` awaited one at a time. Its `get_all` pages by offset, so a row deleted while it reads makes it
skip another one without a word; its failure counter is shared by parallel requests; it reads `time.operating` as
the cost of one call. Raw sequential calls have none of that, and leave every envelope for us to check.

Paging is by id (`>id`, `start=-1`) in linked batches: command n+1 asks for ids above the last id of page n through
`$result`. A page shorter than 50 ends the walk and the commands behind it are ignored: their reference resolved to
nothing, so what they returned means nothing.
"""

from __future__ import annotations

import asyncio
import difflib
import json
import logging
import random
import re
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import date, datetime
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote
from zoneinfo import ZoneInfo

import aiohttp
import pyarrow as pa
from fast_bitrix24 import BitrixAsync

from sources.contracts import (
    FIRST_PERIOD,
    ContractBrokenError,
    Department,
    FieldDefinition,
    Process,
    Status,
    Task,
    User,
    parse_records,
    ratings_table,
)

T = TypeVar("T")

logger = logging.getLogger(__name__)
# The library sets its logger to DEBUG and writes whole responses, which are personal data, to the root logger.
logging.getLogger("fast_bitrix24").setLevel(logging.WARNING)

PAGE = 50
BATCH = 50
FIRST_CHAIN = 4
"""Pages asked for at once at the start of a walk; doubled while it goes on, so that short lists cost little."""
ATTEMPTS = 8
LONGEST_WAIT_SECONDS = 600.0
"""The window of the portal's `operating` budget: no wait for it can be longer."""

_SECRET = re.compile(r"/rest/(\d+)/[^/\s]+")


def redact(text: str) -> str:
    """Takes the webhook's secret out of a text."""
    return _SECRET.sub(r"/rest/\1/***", text)


class PortalError(Exception):
    """The portal could not be read; the message is one sentence that says what to do."""


class PortalUnreachableError(PortalError):
    """No usable answer after all attempts."""


class PortalBusyError(PortalError):
    """The portal's limits were still exhausted after all attempts."""


class WebhookRefusedError(PortalError):
    """The webhook is wrong, deleted, expired or belongs to nobody."""


class ScopeMissingError(PortalError):
    """The webhook lacks a scope."""


class RightsLostError(PortalError):
    """The webhook's owner may not see what it saw before, or may not see enough."""


class UnknownProcessError(PortalError):
    """No smart process has the configured entity type id."""


class UnknownFieldError(PortalError):
    """A mapped field does not exist."""


class RequestRefusedError(PortalError):
    """The portal refuses a request for good."""


@dataclass(frozen=True)
class Refusal:
    """One error of the portal, of a request or of one command of a batch."""

    code: str
    description: str

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.code in {
            "QUERY_LIMIT_EXCEEDED",
            "OPERATION_TIME_LIMIT",
            "INTERNAL_SERVER_ERROR",
            "ERROR_UNEXPECTED_ANSWER",
        }

    @classmethod
    def read(cls, error: object, description: object) -> Refusal:
        """Reads `error`/`error_description`; codes are compared case-insensitively."""
        return cls(redact(str(error or "")).upper()[:100], redact(str(description or ""))[:200])

    def exception(self, method: str) -> PortalError:
        """The exception class and sentence for a refusal that will not pass."""
        match self.code:
            case (
                "INVALID_CREDENTIALS"
                | "NO_AUTH_FOUND"
                | "EXPIRED_TOKEN"
                | "INVALID_TOKEN"
                | "AUTHORIZATION_ERROR"
                | "USER_ACCESS_ERROR"
            ):
                return WebhookRefusedError(
                    f"The portal refuses the webhook ({self.code}): it is mistyped, deleted, expired or its owner "
                    "was dismissed. Make a new inbound webhook and put its URL into BITRIX24_WEBHOOK_URL."
                )
            case "INSUFFICIENT_SCOPE":
                return ScopeMissingError(
                    f"The webhook may not call {method}: add the scope {_scope_of(method)} to it in Bitrix24 "
                    "(Developer resources, Inbound webhook)."
                )
            case "ACCESS_DENIED" | "ALLOWED_ONLY_INTRANET_USER":
                return RightsLostError(
                    f"The portal denies {method} to the webhook's owner: give the account read access to all "
                    "elements of the smart process (and check that the plan includes REST)."
                )
            case "ERROR_METHOD_NOT_FOUND":
                return WebhookRefusedError(
                    f"The portal does not know {method}: the webhook URL has probably lost a part. It looks like "
                    "https://your-portal/rest/<user id>/<code>/."
                )
            case "OVERLOAD_LIMIT" | "PORTAL_DELETED":
                return PortalUnreachableError(
                    f"The portal is closed for REST ({self.code}): ask Bitrix24 support, repeating does not help."
                )
            case _:
                return RequestRefusedError(
                    f"The portal refused {method} ({self.code or 'no code'}: {self.description or 'no description'})."
                )


def _scope_of(method: str) -> str:
    prefix = method.split(".", 1)[0]
    return {"crm": "crm", "user": "user_brief", "department": "department", "tasks": "task"}.get(prefix, prefix)


@dataclass(frozen=True)
class Walk:
    """A list read page by page along its ids.

    Attributes:
        method: REST list method.
        params: its parameters without cursor.
        cursor: path of the "greater than" condition inside the parameters.
        rows: path of the rows inside one result.
        row_id: name of the id in a row.
    """

    method: str
    params: Mapping[str, Any]
    cursor: tuple[str, ...]
    rows: tuple[str, ...]
    row_id: str

    def command(self, after: int | str) -> str:
        """One batch command for the page of ids above `after`."""
        params: dict[str, Any] = json.loads(json.dumps(self.params))
        place = params
        for name in self.cursor[:-1]:
            place = place.setdefault(name, {})
        place[self.cursor[-1]] = after
        return f"{self.method}?{encode(params)}"

    def reference(self, command: str) -> str:
        """What the next command's cursor says: the last id of a full page of `command`."""
        path = "".join(f"[{part}]" for part in (command, *self.rows, str(PAGE - 1), self.row_id))
        return f"$result{path}"

    def page(self, result: object) -> list[dict[str, Any]]:
        """Rows of one command's result."""
        return _rows(result, self.rows, self.method)


def _rows(result: object, path: Sequence[str], method: str) -> list[dict[str, Any]]:
    """The list at a path of a result. PHP writes an empty map as []; anything else that is missing is no empty list."""
    for name in path:
        if result == []:
            break
        result = result.get(name) if isinstance(result, dict) else None
    if not isinstance(result, list):
        raise ContractBrokenError(f"{method} returned {type(result).__name__} where a list was promised")
    return result


def encode(params: Mapping[str, Any]) -> str:
    """Writes parameters as a PHP query string, keys percent-encoded too: a raw `>=` would split the pair."""

    def pairs(prefix: str, value: object) -> Iterator[str]:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                yield from pairs(f"{prefix}[{key}]" if prefix else str(key), inner)
        elif isinstance(value, list | tuple):
            for index, inner in enumerate(value):
                yield from pairs(f"{prefix}[{index}]", inner)
        else:
            yield f"{quote(prefix, safe='[]')}={quote(str(value), safe='')}"

    return "&".join(pairs("", params))


@dataclass(frozen=True)
class ProcessOnPortal:
    """What the portal says of one smart process: its fields and which stages mean failure."""

    definitions: Mapping[str, FieldDefinition]
    failure_stages: frozenset[str]


class Bitrix24:
    """One portal through one webhook; a context manager, not for use by several threads.

    Args:
        webhook: inbound webhook URL, with its secret; never shown.
        zone: the portal's time zone.
        backoff_seconds: first pause after a failed attempt; doubled each time, with jitter.
    """

    def __init__(self, webhook: str, *, zone: ZoneInfo, backoff_seconds: float = 0.5) -> None:
        self._webhook = webhook
        self._zone = zone
        self._backoff = backoff_seconds
        self._runner: asyncio.Runner | None = None
        self._stack = AsyncExitStack()
        self._library: BitrixAsync | None = None
        self._now: datetime | None = None
        self._operating_reset_at: float | None = None
        self.requests = 0

    def __repr__(self) -> str:
        return "Bitrix24(***)"

    def __enter__(self) -> Self:
        runner = self._runner = asyncio.Runner()
        try:
            runner.run(self._open())
        except BaseException:
            self._runner = None
            runner.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        runner, self._runner = self._runner, None
        assert runner is not None  # noqa: S101 - __enter__ made it
        try:
            runner.run(self._stack.aclose())
        finally:
            runner.close()

    async def _open(self) -> None:
        session = await self._stack.enter_async_context(
            # The portal cuts a request after 60 s; without raise_for_status error bodies reach us.
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=90))
        )
        refused = False
        try:
            self._library = BitrixAsync(
                self._webhook,
                verbose=False,
                # It sums up the portal's running total as if it were the cost of each call and would sleep minutes.
                operating_time_limit=10**9,
                client=session,
            )
        except Exception:  # noqa: BLE001 - whatever it says would show the URL
            refused = True
        if refused:
            await self._stack.aclose()
            raise WebhookRefusedError(
                "BITRIX24_WEBHOOK_URL is no webhook URL: it looks like https://your-portal/rest/<user id>/<code>/."
            )

    # --- what the pipeline asks for -------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The portal's clock at the first answer of this session, in the portal's time zone."""
        if self._now is None:
            self._run(self._request("server.time", {}))
        if self._now is None:
            raise ContractBrokenError("server.time came without time.date_start: the portal's clock is unknown")
        return self._now

    def describe(self, processes: Sequence[Process]) -> dict[str, ProcessOnPortal]:
        """Reads fields and stages of the processes and checks the field maps against them.

        Returns:
            By process key.

        Raises:
            UnknownProcessError: an entityTypeId that the portal does not have.
            UnknownFieldError: a mapped field that the smart process does not have.
        """
        return self._run(self._describe(processes))

    def users(self) -> list[User]:
        """All users that `user.get` shows, dismissed ones included."""
        walk = Walk("user.get", {"sort": "ID", "order": "ASC", "start": -1}, ("FILTER", ">ID"), (), "ID")
        return parse_records(User, self._collect(walk), walk.method)

    def departments(self) -> list[Department]:
        """The department tree as it is today."""
        walk = Walk("department.get", {"sort": "ID", "order": "ASC", "start": -1}, (">ID",), (), "ID")
        return parse_records(Department, self._collect(walk), walk.method)

    def tasks(self, task_ids: Sequence[int]) -> list[Task]:
        """Tasks by id; those the webhook's owner cannot see, or that are gone, are absent."""
        wanted = sorted(set(task_ids))
        commands = [
            "tasks.task.list?"
            + encode(
                {
                    "filter": {"ID": wanted[at : at + PAGE]},
                    "order": {"ID": "asc"},
                    "select": ["ID", "CREATED_BY", "RESPONSIBLE_ID"],
                    "start": -1,
                }
            )
            for at in range(0, len(wanted), PAGE)
        ]
        tasks: list[Task] = []
        for result in self._run(self._batch(commands)):
            if isinstance(result, Refusal):
                raise result.exception("tasks.task.list")
            tasks += parse_records(Task, _rows(result, ("tasks",), "tasks.task.list"), "tasks.task.list")
        if not {task.id for task in tasks} <= set(wanted):
            raise ContractBrokenError("tasks.task.list returned tasks nobody asked for: it ignores the filter by ID")
        return tasks

    def ratings(self, process: Process, portal: ProcessOnPortal, first: date, last: date) -> pa.Table:
        """Reads the rating elements of whole months.

        Args:
            process: whose elements.
            portal: what `describe` said of it.
            first: first day of the first month.
            last: first day of the last month, included.

        Returns:
            Columns of `contracts.RATING_COLUMNS`, exactly the periods asked for, by rising id.
        """
        end = _next_month(last)
        items: dict[int, dict[str, Any]] = {}
        for condition in self._period_filters(process, first, end):
            for item in self._collect(self._rating_walk(process, condition)):
                items[int(item["id"])] = item
        rows = ratings_table(
            process, [items[key] for key in sorted(items)], portal.definitions, portal.failure_stages, self._zone
        )
        period = rows.column("period").to_pylist()
        return rows.filter(pa.array([first <= month <= last for month in period], pa.bool_()))

    def vanished(self, process: Process, portal: ProcessOnPortal, rating_ids: Sequence[int]) -> pa.Table:
        """Asks for elements one by one that a list no longer shows.

        Returns:
            The rows that still exist (they moved to another period); whoever is missing was deleted.

        Raises:
            RightsLostError: the portal denies one of them: it is hidden, not deleted.
        """
        commands = [
            "crm.item.get?" + encode({"entityTypeId": process.entity_type_id, "id": rating_id})
            for rating_id in rating_ids
        ]
        alive: list[dict[str, Any]] = []
        for rating_id, result in zip(rating_ids, self._run(self._batch(commands)), strict=True):
            if isinstance(result, Refusal):
                if result.code != "NOT_FOUND":
                    raise result.exception("crm.item.get")
                continue
            item = result.get("item") if isinstance(result, dict) else None
            if not isinstance(item, dict) or str(item.get("id")) != str(rating_id):
                raise ContractBrokenError("crm.item.get returned neither the item asked for nor an error")
            alive.append(item)
        return ratings_table(process, alive, portal.definitions, portal.failure_stages, self._zone)

    def first_period(self, processes: Sequence[Process]) -> date | None:
        """The oldest month that any element belongs to, not before 2020-01; None without elements.

        Raises:
            UnknownProcessError: an entityTypeId that the portal does not have.
            UnknownFieldError: a mapped field that the smart process does not have.
        """
        self.describe(processes)
        asked: list[tuple[str, str]] = []
        for process in processes:
            base = {"entityTypeId": process.entity_type_id, "start": -1}
            born = {"order": {"createdTime": "ASC"}, "select": ["id", "createdTime"]}
            asked.append(("createdTime", "crm.item.list?" + encode(base | born)))
            if process.cadence == "month" and process.fields.period:
                period = process.fields.period
                named = {
                    "order": {period: "ASC"},
                    "select": ["id", period],
                    "filter": {f">={period}": FIRST_PERIOD.isoformat()},
                }
                asked.append((period, "crm.item.list?" + encode(base | named)))
        oldest: list[date] = []
        for (field, _), result in zip(asked, self._run(self._batch([command for _, command in asked])), strict=True):
            if isinstance(result, Refusal):
                raise result.exception("crm.item.list")
            rows = _rows(result, ("items",), "crm.item.list")
            if rows:
                oldest.append(_month_of(rows[0], field, self._zone))
        return max(min(oldest), FIRST_PERIOD) if oldest else None

    # --- ratings ----------------------------------------------------------------------------------------------

    def _rating_walk(self, process: Process, condition: Mapping[str, Any]) -> Walk:
        fields = ["id", "createdTime", "updatedTime", "stageId", *process.fields.names().values()]
        params = {
            "entityTypeId": process.entity_type_id,
            "select": fields,
            "filter": dict(condition),
            "order": {"id": "ASC"},
            "start": -1,
        }
        return Walk("crm.item.list", params, ("filter", ">id"), ("items",), "id")

    def _period_filters(self, process: Process, first: date, end: date) -> list[dict[str, Any]]:
        """Filters whose union holds every element of the months [first, end).

        A monthly rating belongs to the month it names. One that names none, or one that cannot be (before 2020 or
        after its creation), belongs to the month of its creation: three more conditions, empty as a rule.
        """
        created = {
            ">=createdTime": datetime(first.year, first.month, 1, tzinfo=self._zone).isoformat(),
            "<createdTime": datetime(end.year, end.month, 1, tzinfo=self._zone).isoformat(),
        }
        if process.cadence == "task":
            return [created]
        period = process.fields.period
        return [
            created | {f"={period}": ""},
            created | {f"<{period}": FIRST_PERIOD.isoformat()},
            created | {f">={period}": end.isoformat()},
            # Last: a rating whose missing month is filled in between two walks is read twice then, not never.
            {f">={period}": first.isoformat(), f"<{period}": end.isoformat()},
        ]

    # --- descriptions -----------------------------------------------------------------------------------------

    async def _describe(self, processes: Sequence[Process]) -> dict[str, ProcessOnPortal]:
        asked = [
            f"{method}?{encode({'entityTypeId': process.entity_type_id})}"
            for process in processes
            for method in ("crm.item.fields", "crm.category.list")
        ]
        answers = await self._batch(asked)
        definitions: dict[str, dict[str, FieldDefinition]] = {}
        funnels: list[tuple[Process, int]] = []
        for process, fields, categories in zip(processes, answers[::2], answers[1::2], strict=True):
            definitions[process.key] = _read_fields(process, fields)
            funnels += [(process, category) for category in _read_categories(process, categories)]
        stages = await self._batch(
            [
                "crm.status.list?"
                + encode({"filter": {"ENTITY_ID": f"DYNAMIC_{process.entity_type_id}_STAGE_{category}"}})
                for process, category in funnels
            ]
        )
        failures: dict[str, set[str]] = {process.key: set() for process in processes}
        for (process, _), statuses in zip(funnels, stages, strict=True):
            if isinstance(statuses, Refusal):
                raise statuses.exception("crm.status.list")
            failures[process.key] |= {
                status.status_id.rpartition(":")[2]
                for status in parse_records(Status, statuses, "crm.status.list")
                if status.semantics == "F"
            }
        return {
            process.key: ProcessOnPortal(definitions[process.key], frozenset(failures[process.key]))
            for process in processes
        }

    # --- paging -----------------------------------------------------------------------------------------------

    def _collect(self, walk: Walk) -> list[dict[str, Any]]:
        async def collect() -> list[dict[str, Any]]:
            return [row async for page in self._walk(walk) for row in page]

        return self._run(collect())

    async def _walk(self, walk: Walk) -> AsyncIterator[list[dict[str, Any]]]:
        """Yields pages until one is short; a failed command sends the walk back to the last good id."""
        last, length, failures = 0, FIRST_CHAIN, 0
        while True:
            commands = {"p0": walk.command(last)}
            for index in range(1, length):
                commands[f"p{index}"] = walk.command(walk.reference(f"p{index - 1}"))
            results, refusals = await self._batch_once(commands)
            refusal: Refusal | None = None
            for name in commands:
                if name in refusals:
                    refusal = refusals[name]
                    break
                if name not in results:
                    raise ContractBrokenError(f"{walk.method} left command {name} of a batch unanswered")
                page = walk.page(results[name])
                last = _check_order(walk, page, last)
                yield page
                failures = 0
                if len(page) < PAGE:
                    return
            if refusal is None:
                length = min(BATCH, length * 2)
                continue
            failures += 1
            await self._pause_or_give_up(refusal, walk.method, failures)

    async def _batch(self, commands: Sequence[str]) -> list[object]:
        """Runs independent commands, 50 a request; each answer is a result or the `Refusal` that will not pass."""
        answers: list[object] = []
        for at in range(0, len(commands), BATCH):
            waiting = {f"c{index}": command for index, command in enumerate(commands[at : at + BATCH])}
            done: dict[str, object] = {}
            failures = 0
            while waiting:
                results, refusals = await self._batch_once(waiting)
                for name in list(waiting):
                    if name in results:
                        done[name] = results[name]
                    elif name in refusals and not refusals[name].is_transient:
                        done[name] = refusals[name]
                    elif name not in refusals:
                        raise ContractBrokenError("a command of a batch was left unanswered")
                waiting = {name: command for name, command in waiting.items() if name not in done}
                if waiting:
                    failures += 1
                    name = next(iter(waiting))
                    await self._pause_or_give_up(refusals[name], waiting[name].partition("?")[0], failures)
            answers += [done[f"c{index}"] for index in range(len(done))]
        return answers

    async def _batch_once(self, commands: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, Refusal]]:
        envelope = await self._request("batch", {"halt": 0, "cmd": dict(commands)})
        result = envelope["result"]
        if not isinstance(result, dict) or "result" not in result:
            raise ContractBrokenError("batch returned no result of its commands")
        # PHP writes an empty map as [].
        results = result["result"] if isinstance(result["result"], dict) else {}
        errors = result.get("result_error") or {}
        if not isinstance(errors, dict) or (isinstance(result["result"], list) and result["result"]):
            raise ContractBrokenError("batch answered without the names of its commands")
        return results, {
            name: Refusal.read(error.get("error"), error.get("error_description"))
            if isinstance(error, dict)
            else Refusal.read("", error)
            for name, error in errors.items()
        }

    # --- one request ------------------------------------------------------------------------------------------

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._runner is None:
            coroutine.close()
            raise PortalError("The portal client is not open: use it as a context manager.")
        return self._runner.run(coroutine)

    async def _request(self, method: str, params: Mapping[str, Any]) -> dict[str, Any]:
        """Sends one request until it has a good envelope.

        Raises:
            PortalError: the subclass for the kind of failure; no text of the library, which would show the URL.
        """
        assert self._library is not None  # noqa: S101 - _open made it
        failures = 0
        while True:
            self.requests += 1
            envelope: Any = None
            with _without_url() as trouble:
                envelope = await self._library.call(method, dict(params), raw=True)
            if trouble.is_final:
                raise PortalUnreachableError(
                    "The portal does not answer (connection refused, cut or timed out again and again): "
                    "check the address in BITRIX24_WEBHOOK_URL and the network of this host."
                )
            if isinstance(envelope, dict) and "error" in envelope:
                refusal = Refusal.read(envelope["error"], envelope.get("error_description"))
                if not refusal.is_transient:
                    raise refusal.exception(method)
            elif isinstance(envelope, dict) and "result" in envelope:
                self._note_time(envelope.get("time"))
                return envelope
            else:
                refusal = Refusal("MALFORMED_ANSWER", trouble.kind)
            failures += 1
            await self._pause_or_give_up(refusal, method, failures)

    def _note_time(self, time: object) -> None:
        if not isinstance(time, dict):
            return
        if self._now is None and isinstance(time.get("date_start"), str):
            with suppress(ValueError):
                self._now = datetime.fromisoformat(time["date_start"]).astimezone(self._zone)
        reset, finish = time.get("operating_reset_at"), time.get("finish")
        if isinstance(reset, int | float) and isinstance(finish, int | float):
            self._operating_reset_at = max(0.0, float(reset) - float(finish))

    async def _pause_or_give_up(self, refusal: Refusal, method: str, failures: int) -> None:
        if not refusal.is_transient and refusal.code != "MALFORMED_ANSWER":
            raise refusal.exception(method)
        if failures >= ATTEMPTS:
            if refusal.code in {"QUERY_LIMIT_EXCEEDED", "OPERATION_TIME_LIMIT"}:
                raise PortalBusyError(
                    f"The portal still limits {method} ({refusal.code}) after {failures} attempts: other "
                    "integrations of this host or webhook use up its budget; run later or stop them."
                )
            raise PortalUnreachableError(
                f"The portal gave no usable answer to {method} ({refusal.code}) in {failures} attempts; run later."
            )
        pause = self._backoff * 2 ** (failures - 1) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
        if refusal.code == "OPERATION_TIME_LIMIT":
            # The oldest minute of the budget frees itself then; asking earlier only repeats the refusal.
            pause = max(pause, self._operating_reset_at or 0.0)
        pause = min(pause, LONGEST_WAIT_SECONDS)
        logger.warning("portal: %s answered %s, attempt %d, next in %.1f s", method, refusal.code, failures, pause)
        await asyncio.sleep(pause)


@dataclass
class _Trouble:
    """What went wrong inside the library, told without its text."""

    kind: str = ""
    is_final: bool = False


@contextmanager
def _without_url() -> Iterator[_Trouble]:
    """Keeps the library's exceptions, whose text and cause show the webhook URL, out of ours."""
    trouble = _Trouble()
    try:
        yield trouble
    except RuntimeError:
        # "All attempts to get data from server exhausted": it has repeated 11 times already.
        trouble.kind, trouble.is_final = "connection", True
    except aiohttp.ClientResponseError as error:
        trouble.kind = f"HTTP {error.status} {type(error).__name__}"
    except Exception as error:  # noqa: BLE001 - an empty body, say, makes it stumble over its own bookkeeping
        trouble.kind = type(error).__name__


def _read_fields(process: Process, result: object) -> dict[str, FieldDefinition]:
    if isinstance(result, Refusal):
        if result.code == "NOT_FOUND":
            raise UnknownProcessError(
                f"The portal has no smart process with entityTypeId {process.entity_type_id}: correct "
                f"entity_type_id of process {process.key}, or give the webhook's owner access to it."
            )
        raise result.exception("crm.item.fields")
    fields = result.get("fields") if isinstance(result, dict) else None
    if not isinstance(fields, dict):
        raise ContractBrokenError("crm.item.fields returned no fields")
    mapped = process.fields.names()
    for role, name in mapped.items():
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            raise UnknownFieldError(
                f"Process {process.key} maps {role} to the field {name}, which the smart process "
                f"{process.entity_type_id} does not have; correct fields.{role} in the configuration"
                + (f" (did you mean {near[0]}?)." if near else ".")
            )
    return {name: parse_records(FieldDefinition, [fields[name]], "crm.item.fields")[0] for name in mapped.values()}


def _read_categories(process: Process, result: object) -> list[int]:
    if isinstance(result, Refusal):
        raise result.exception("crm.category.list")
    categories = result.get("categories") if isinstance(result, dict) else None
    if not isinstance(categories, list) or not categories:
        raise ContractBrokenError(f"crm.category.list returned no funnel of process {process.key}")
    try:
        return [int(category["id"]) for category in categories]
    except (KeyError, TypeError, ValueError):
        broken = "crm.category.list returned a funnel without a readable id"
    raise ContractBrokenError(broken)


def _check_order(walk: Walk, page: Sequence[Mapping[str, Any]], last: int) -> int:
    """Ids must rise: a portal that ignores order or cursor would make rows vanish without a word."""
    for row in page:
        try:
            current = int(row[walk.row_id])
        except (KeyError, TypeError, ValueError):
            current = 0
        if not current:
            raise ContractBrokenError(f"{walk.method} returned a row without a readable {walk.row_id}")
        if current <= last:
            raise ContractBrokenError(f"{walk.method} returned ids out of order: it ignores order or the id filter")
        last = current
    return last


def _month_of(row: Mapping[str, Any], field: str, zone: ZoneInfo) -> date:
    """First day of the month of an element: of createdTime in the portal's zone, of a date field as written."""
    text = str(row.get(field))
    try:
        day = datetime.fromisoformat(text).astimezone(zone).date() if field == "createdTime" else _date_part(text)
    except ValueError:
        day = None
    if day is None:
        raise ContractBrokenError(f"crm.item.list returned an element whose {field} is no date")
    return day.replace(day=1)


def _date_part(text: str) -> date:
    return date.fromisoformat(text[:10])


def _next_month(day: date) -> date:
    return date(day.year + day.month // 12, day.month % 12 + 1, 1)
