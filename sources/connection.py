"""Requests to the portal: sent, repeated, checked, until there is a good answer or one sentence why not.

Belongs here: the session, pacing, back-off, batches, pages. Does not belong here: what is asked for (`bitrix24.py`),
what an error means (`envelope.py`).

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
import logging
import random
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from time import monotonic
from types import SimpleNamespace, TracebackType
from typing import Any, Self, TypeVar

import aiohttp
from fast_bitrix24 import BitrixAsync

from sources.contracts import ContractBrokenError
from sources.envelope import (
    CONNECTION_LOST,
    ERROR_PAGE,
    MALFORMED_ANSWER,
    NO_CONNECTION,
    PAGE,
    UNANSWERED_COMMAND,
    PortalError,
    PortalUnreachableError,
    Refusal,
    Walk,
    WebhookRefusedError,
    rows_of,
)

T = TypeVar("T")

# One name for all that is said about the portal, whichever module says it.
logger = logging.getLogger("sources.bitrix24")
# The library sets its logger to DEBUG and writes whole responses, which are personal data, to the root logger.
logging.getLogger("fast_bitrix24").setLevel(logging.WARNING)

BATCH = 50
FIRST_CHAIN, CHAIN_GROWTH = 4, 4
"""Pages asked for at once at the start of a walk, and how fast they grow: short lists cost little, long ones soon run
at the full 50."""
ATTEMPTS = 8
LONGEST_WAIT_SECONDS = 600.0
"""The window of the portal's `operating` budget: no wait for it can be longer."""
MOST_WAITING_SECONDS = 1800.0
"""All pauses for one request together."""
OPERATING_STEP_SECONDS = 60.0
"""The portal counts `operating` by minutes: one minute leaves its window each minute."""
SAY_EVERY_SECONDS = 10.0


@dataclass
class _Patience:
    """What one request has cost so far; a new one begins with each progress."""

    failures: int = 0
    waited: float = 0.0


@dataclass(frozen=True)
class BatchAnswer:
    """What the commands of one batch returned, by name; each is in `results` or in `refusals`."""

    results: Mapping[str, Any]
    refusals: Mapping[str, Refusal]
    totals: Mapping[str, Any]

    def result(self, name: str, method: str) -> object:
        """The result of a command.

        Raises:
            PortalError: the command was refused.
        """
        if name in self.refusals:
            raise self.refusals[name].exception(method)
        return self.results[name]


@dataclass
class _Progress:
    """Says every ten seconds how far a reading has come."""

    title: str
    unit: str
    said: float = field(default_factory=monotonic)

    def note(self, done: int, whole: str) -> None:
        """Takes note of rows read; `whole` is how many there will be, in words, or empty."""
        if self.title and monotonic() - self.said >= SAY_EVERY_SECONDS:
            self.said = monotonic()
            logger.info("portal: %s: %s%s %s", self.title, grouped(done), whole and f" of {whole}", self.unit)


def grouped(number: int) -> str:
    """A number with its thousands apart: 12 500."""
    return f"{number:,}".replace(",", " ")


class Connection:
    """The way to one portal through one webhook; a context manager, not for use by several threads.

    Args:
        webhook: inbound webhook URL, with its secret; never shown.
        backoff_seconds: first pause after a failed attempt; doubled each time, with jitter.

    Attributes:
        requests: how many were sent so far.
    """

    def __init__(self, webhook: str, *, backoff_seconds: float = 0.5) -> None:
        self._webhook = webhook
        self._backoff = backoff_seconds
        self._runner: asyncio.Runner | None = None
        self._stack = AsyncExitStack()
        self._library: BitrixAsync | None = None
        self._now: datetime | None = None
        self._was_answered = False
        self._status = 0
        self._has_moved = False
        self._free_at: dict[str, float] = {}
        self.requests = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}(***)"

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
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=90), trace_configs=[self._watch()])
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

    def _watch(self) -> aiohttp.TraceConfig:
        """Notes what the library keeps to itself: the status of an answer, and a redirect that loses the request."""

        async def ended(_: aiohttp.ClientSession, __: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
            self._status = params.response.status

        async def redirected(
            _: aiohttp.ClientSession, __: SimpleNamespace, params: aiohttp.TraceRequestRedirectParams
        ) -> None:
            # These turn a POST into a GET without its parameters.
            self._has_moved = self._has_moved or params.response.status in (301, 302, 303)

        watch = aiohttp.TraceConfig()
        watch.on_request_end.append(ended)
        watch.on_request_redirect.append(redirected)
        return watch

    # --- what a client asks for -------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The portal's clock at the first answer of this session, with the offset the portal itself writes.

        Raises:
            PortalError: the subclass for the kind of failure.
            ContractBrokenError: the portal tells no moment with an offset.
        """
        if self._now is None:
            self.call("server.time", {})
        if self._now is None:
            raise ContractBrokenError(
                "server.time came without time.date_start and its offset: the portal's clock is unknown"
            )
        return self._now

    def call(self, method: str, params: Mapping[str, Any]) -> object:
        """The `result` of one method.

        Raises:
            PortalError: the subclass for the kind of failure.
        """
        return self._run(self._request(method, params, _Patience()))["result"]

    def collect(self, walk: Walk) -> list[dict[str, Any]]:
        """All rows of a list, by rising id.

        Raises:
            PortalError: the subclass for the kind of failure.
            ContractBrokenError: pages that are no pages, or ids that do not rise.
        """

        async def rows() -> list[dict[str, Any]]:
            return [row async for page in self._walk(walk) for row in page]

        return self._run(rows())

    def batch(self, commands: Sequence[str], *, title: str = "", rows_each: int = 1) -> list[object]:
        """Runs independent commands, 50 a request.

        Args:
            commands: method and query string of each.
            title: what is read, for lines about a long reading.
            rows_each: how many rows one command asks for, for the same lines.

        Returns:
            For each command its result, or the `Refusal` that will not pass.

        Raises:
            PortalError: the subclass for the kind of failure.
        """
        return self._run(self._batch(commands, _Progress(title, "elements"), rows_each))

    def linked(self, commands: Mapping[str, str]) -> BatchAnswer:
        """Runs commands that refer to each other, or must be asked at one moment: again as a whole if one fails.

        Args:
            commands: at most 50, by the names they use for each other.

        Returns:
            What each returned, or the refusal that will not pass.

        Raises:
            PortalError: the subclass for the kind of failure.
        """
        return self._run(self._linked(commands))

    # --- paging -----------------------------------------------------------------------------------------------

    async def _walk(self, walk: Walk) -> AsyncIterator[list[dict[str, Any]]]:
        """Yields pages until one is short; a failed command sends the walk back to the last good id."""
        first = last = count = 0
        length, greatest = FIRST_CHAIN, 0
        patience, progress = _Patience(), _Progress(walk.title, "elements")
        while True:
            commands = {"p0": walk.command(last)}
            for index in range(1, length):
                commands[f"p{index}"] = walk.command(walk.reference(f"p{index - 1}"))
            pages = list(commands)
            if walk.title and length == BATCH and not greatest:
                # A long reading: the greatest id tells how long, and costs no counting.
                commands.pop(pages.pop())
                commands["newest"] = walk.newest()
            answer = await self._batch_once(commands, patience)
            if "newest" in answer.results:
                newest = rows_of(answer.results["newest"], walk.rows, walk.method)
                greatest = walk.id_of(newest[0]) if newest else 0
            refusal: Refusal | None = None
            for name in pages:
                if name in answer.refusals:
                    refusal = answer.refusals[name]
                    break
                page = walk.page(answer.results[name], last)
                if page:
                    first, last = first or walk.id_of(page[0]), walk.id_of(page[-1])
                count += len(page)
                patience = _Patience()
                yield page
                if len(page) < PAGE:
                    return
            if greatest > last > first:
                progress.note(count, f"about {grouped(1 + round((count - 1) * (greatest - first) / (last - first)))}")
            else:
                progress.note(count, "")
            if refusal is None:
                length = min(BATCH, length * CHAIN_GROWTH)
            else:
                await self._pause_or_give_up(refusal, walk.method, patience)

    async def _batch(self, commands: Sequence[str], progress: _Progress, rows_each: int) -> list[object]:
        answers: list[object] = []
        for at in range(0, len(commands), BATCH):
            waiting = {f"c{index}": command for index, command in enumerate(commands[at : at + BATCH])}
            done: dict[str, object] = {}
            patience = _Patience()
            while waiting:
                answer = await self._batch_once(waiting, patience)
                lasting = {name: each for name, each in answer.refusals.items() if not each.is_transient}
                if answer.results or lasting:
                    patience = _Patience()
                done |= {**answer.results, **lasting}
                waiting = {name: command for name, command in waiting.items() if name not in done}
                if waiting:
                    name = next(iter(waiting))
                    await self._pause_or_give_up(answer.refusals[name], _method(waiting[name]), patience)
            answers += [done[f"c{index}"] for index in range(len(done))]
            progress.note(len(answers) * rows_each, grouped(len(commands) * rows_each))
        return answers

    async def _linked(self, commands: Mapping[str, str]) -> BatchAnswer:
        patience = _Patience()
        while True:
            answer = await self._batch_once(commands, patience)
            passing = [name for name, each in answer.refusals.items() if each.is_transient]
            if not passing:
                return answer
            await self._pause_or_give_up(answer.refusals[passing[0]], _method(commands[passing[0]]), patience)

    async def _batch_once(self, commands: Mapping[str, str], patience: _Patience) -> BatchAnswer:
        envelope = await self._request("batch", {"halt": 0, "cmd": dict(commands)}, patience)
        maps = envelope["result"] if isinstance(envelope["result"], dict) else {}
        # PHP writes an empty map as [].
        results, errors = maps.get("result") or {}, maps.get("result_error") or {}
        if not isinstance(errors, dict) or (isinstance(results, list) and results):
            raise ContractBrokenError("batch answered without the names of its commands")
        results = results if isinstance(results, dict) else {}
        for name, time in _map(maps.get("result_time")).items():
            if name in commands:
                self._note_budget(_method(commands[name]), time)
        refusals = {
            name: Refusal.read(error.get("error"), error.get("error_description"))
            if isinstance(error, dict)
            else Refusal.read("", error)
            for name, error in errors.items()
        }
        # A command in neither map, or with nothing for a result, was cut off: asked again, it may be answered.
        for name in commands:
            result = results.get(name)
            if name not in refusals and result is None:
                refusals[name] = Refusal(UNANSWERED_COMMAND)
            elif name not in refusals and isinstance(result, dict) and "error" in result:
                refusals[name] = Refusal.read(result["error"], result.get("error_description"))
        kept = {name: result for name, result in results.items() if name in commands and name not in refusals}
        return BatchAnswer(kept, refusals, _map(maps.get("result_total")))

    # --- one request ------------------------------------------------------------------------------------------

    def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if self._runner is None:
            coroutine.close()
            raise PortalError("The portal client is not open: use it as a context manager.")
        return self._runner.run(coroutine)

    async def _request(self, method: str, params: Mapping[str, Any], patience: _Patience) -> dict[str, Any]:
        """Sends one request until it has a good envelope.

        Raises:
            PortalError: the subclass for the kind of failure; no text of the library, which would show the URL.
        """
        assert self._library is not None  # noqa: S101 - _open made it
        while True:
            self.requests += 1
            envelope: Any = None
            self._status = 0
            with _without_url() as trouble:
                envelope = await self._library.call(method, dict(params), raw=True)
            self._was_answered = self._was_answered or self._status > 0
            if self._has_moved:
                raise PortalUnreachableError(
                    "The portal has moved: it sends requests on to another address, where they arrive without their "
                    "parameters; put the new address (or https) into BITRIX24_WEBHOOK_URL."
                )
            if isinstance(envelope, dict) and "error" in envelope:
                refusal = Refusal.read(envelope["error"], envelope.get("error_description"), self._status)
            elif isinstance(envelope, dict) and envelope.get("result") is not None:
                self._note_clock(envelope.get("time"))
                self._note_budget(method, envelope.get("time"))
                return envelope
            else:
                refusal = trouble.refusal
                if refusal.code == NO_CONNECTION and self._was_answered:
                    # An address that never answered is most likely wrong; one that did may come back.
                    refusal = Refusal(CONNECTION_LOST)
            await self._pause_or_give_up(refusal, method, patience)

    def _note_clock(self, time: object) -> None:
        written = _map(time).get("date_start")
        if self._now is None and isinstance(written, str):
            with suppress(ValueError):
                moment = datetime.fromisoformat(written)
                self._now = moment if moment.tzinfo else None

    def _note_budget(self, method: str, time: object) -> None:
        reset, finish = _map(time).get("operating_reset_at"), _map(time).get("finish")
        if isinstance(reset, int | float) and isinstance(finish, int | float):
            self._free_at[method] = monotonic() + reset - finish

    async def _pause_or_give_up(self, refusal: Refusal, method: str, patience: _Patience) -> None:
        if not refusal.is_transient:
            raise refusal.exception(method)
        patience.failures += 1
        pause = self._backoff * 2 ** (patience.failures - 1) * random.uniform(0.75, 1.25)  # noqa: S311 - jitter
        if refusal.code == "OPERATION_TIME_LIMIT":
            # The oldest minute of the budget frees itself then; asking earlier only repeats the refusal.
            left = self._free_at.get(method, 0.0) - monotonic()
            pause = max(pause, left if left > 0 else OPERATING_STEP_SECONDS)
        pause = min(pause, LONGEST_WAIT_SECONDS)
        if patience.failures >= ATTEMPTS or patience.waited + pause > MOST_WAITING_SECONDS:
            raise refusal.given_up(method, patience.failures)
        patience.waited += pause
        logger.warning(
            "portal: %s answered %s, attempt %d, next in %.1f s", method, refusal.code, patience.failures, pause
        )
        await asyncio.sleep(pause)


def _method(command: str) -> str:
    return command.partition("?")[0]


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


@dataclass
class _Trouble:
    """What went wrong inside the library, told without its text."""

    refusal: Refusal = field(default_factory=lambda: Refusal(MALFORMED_ANSWER))


@contextmanager
def _without_url() -> Iterator[_Trouble]:
    """Keeps the library's exceptions, whose text and cause show the webhook URL, out of ours."""
    trouble = _Trouble()
    try:
        yield trouble
    except RuntimeError as error:
        # "All attempts to get data from server exhausted": it has repeated 11 times already.
        page = error.__cause__.__cause__ if error.__cause__ is not None else None
        trouble.refusal = Refusal(NO_CONNECTION)
        if isinstance(page, aiohttp.ClientResponseError):
            trouble.refusal = Refusal(ERROR_PAGE, f"HTTP {page.status}")
    except aiohttp.ClientResponseError as error:
        trouble.refusal = Refusal(MALFORMED_ANSWER, f"HTTP {error.status} without data")
    except Exception as error:  # noqa: BLE001 - an empty body, say, makes it stumble over its own bookkeeping
        trouble.refusal = Refusal(MALFORMED_ANSWER, f"unreadable: {type(error).__name__}")
