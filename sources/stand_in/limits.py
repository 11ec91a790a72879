"""What slows or breaks an answer: the portal's clock, its request bucket, its time meter, scripted faults.

Belongs here: time and trouble. Does not belong here: HTTP (`server.py`), what methods answer (`methods.py`).
"""

from __future__ import annotations

import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Literal, get_args

FaultKind = Literal[
    "http_500",
    "query_limit",
    "operation_time_limit",
    "html_200",
    "html_502",
    "html_503",
    "truncated_json",
    "drop",
    "drop_mid_body",
    "slow",
    "empty_body",
    "null_result",
    "error_in_200",
    "overload_limit",
    "expired_token",
    "invalid_credentials",
    "access_denied",
    "batch_command_error",
    "batch_operation_time_limit",
    "batch_result_is_error",
    "batch_missing_command",
]
ALWAYS = sys.maxsize
"""`times` of a fault that never ends, such as a webhook that has expired."""


BatchBilling = Literal["inner", "outer"]


class Clock:
    """The portal's clock: starts where it is told, runs on with real time, is never ahead of the host.

    Args:
        start: the moment (aware) it shows at first.
        zone: offset that its date strings carry.
    """

    def __init__(self, start: datetime, zone: timezone) -> None:
        self.zone = zone
        self._written: tuple[int, str] = (-1, "")
        self.set(start)

    def set(self, moment: datetime) -> datetime:
        """Shows `moment` from now on, or the host's time where `moment` lies in the future."""
        self._base = min(moment.timestamp(), time.time())
        self._since = time.monotonic()
        return self.now()

    def advance(self, step: timedelta) -> datetime:
        """Jumps by `step`, at most to the host's time."""
        return self.set(self.now() + step)

    def epoch(self) -> float:
        """Seconds since 1970, as `time.start` of an envelope carries them."""
        return min(self._base + (time.monotonic() - self._since), time.time())

    def now(self) -> datetime:
        """The moment the portal believes in, in its own offset."""
        return datetime.fromtimestamp(self.epoch(), self.zone)

    def written(self, epoch: float) -> str:
        """An epoch as the portal writes it; the last second is kept, for batches ask it hundreds of times."""
        second = int(epoch)
        if self._written[0] != second:
            self._written = (second, datetime.fromtimestamp(second, self.zone).isoformat())
        return self._written[1]


class LeakyBucket:
    """The portal's request limit: each accepted request adds one, time drains, above the brim it refuses.

    Args:
        rate_per_second: how fast it drains; None switches the limit off.
        burst: the brim.
        timer: seconds that only grow; tests put their own here.
    """

    def __init__(
        self, rate_per_second: float | None = 2.0, burst: float = 50.0, timer: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate_per_second = rate_per_second
        self.burst = burst
        self._timer = timer
        self._level = 0.0
        self._seen = timer()

    @property
    def level(self) -> float:
        """How full it is now."""
        drained = (self._timer() - self._seen) * (self.rate_per_second or 0.0)
        return max(0.0, self._level - drained)

    def admit(self) -> bool:
        """Takes one request in, or refuses it; a refused one does not raise the level."""
        if self.rate_per_second is None:
            return True
        self._level, self._seen = self.level, self._timer()
        if self._level + 1.0 > self.burst:
            return False
        self._level += 1.0
        return True


class OperatingMeter:
    """Execution time per method over the last ten minutes, in ten one-minute buckets.

    Args:
        limit: seconds after which a method is blocked (429); None never blocks.
        cost: what a call is charged, from its method and the measured seconds; None charges what was measured.
        batch_billing: whether a batch is billed by its `inner` commands, each to its own method, or as one call of
            the `outer` method `batch`. Portals do either.
    """

    BUCKETS = 10
    MINUTE = 60
    FLOOR = 0.1  # portals do not charge calls cheaper than this

    def __init__(
        self,
        limit: float | None = None,
        cost: Callable[[str, float], float] | None = None,
        batch_billing: BatchBilling = "inner",
    ) -> None:
        self.limit = limit
        self.cost = cost
        self.batch_billing = batch_billing
        self._minutes: dict[str, OrderedDict[int, float]] = {}

    def bills(self, method: str, *, is_inner: bool) -> bool:
        """Whether a call is billed: `batch` itself or what it holds, never both."""
        if is_inner:
            return self.batch_billing == "inner"
        return method != "batch" or self.batch_billing == "outer"

    def charge(self, method: str, measured: float, epoch: float) -> None:
        """Books one finished call of `method`."""
        spent = measured if self.cost is None else self.cost(method, measured)
        if spent >= self.FLOOR:
            minutes = self._minutes.setdefault(method, OrderedDict())
            minute = int(epoch) // self.MINUTE
            minutes[minute] = minutes.get(minute, 0.0) + spent

    def reading(self, method: str, epoch: float) -> tuple[float, int]:
        """`operating` and `operating_reset_at` of a method: the sum, and when its oldest minute leaves."""
        minutes = self._minutes.get(method)
        window = self.BUCKETS * self.MINUTE
        if minutes:
            oldest = int(epoch) // self.MINUTE - self.BUCKETS
            for minute in [minute for minute in minutes if minute <= oldest]:
                del minutes[minute]
        if not minutes:
            return 0, int(epoch) + window
        return sum(minutes.values()), min(minutes) * self.MINUTE + window

    def blocked(self, method: str, epoch: float) -> bool:
        """Whether a call of `method` must be refused with 429: the portal looks before it runs the call."""
        return self.limit is not None and self.reading(method, epoch)[0] >= self.limit


@dataclass
class Fault:
    """One scripted failure, used up by the requests it matches.

    Attributes:
        kind: what goes wrong.
        method: only requests of this method (any case); None matches every one. For kinds that begin with `batch_`
            the command's own method, or None for the command at `command`.
        at: only from this request number on (the first request has number 1).
        times: how many requests it spoils before it is spent.
        command: which command of a batch is hit when no method is named, from 0.
        seconds: how long a `slow` answer takes.
    """

    kind: FaultKind
    method: str | None = None
    at: int | None = None
    times: int = 1
    command: int = 0
    seconds: float = 0.2

    def __post_init__(self) -> None:
        if self.kind not in get_args(FaultKind):
            raise ValueError(f"unknown fault {self.kind!r}; there are {', '.join(get_args(FaultKind))}")

    @property
    def is_of_command(self) -> bool:
        """Whether it spoils one command of a batch, not the whole request."""
        return self.kind.startswith("batch_")

    def matches(self, number: int, methods: Iterable[str]) -> bool:
        """Whether a request with this number and any of these methods is to be spoiled."""
        if self.times <= 0 or (self.at is not None and number < self.at):
            return False
        return self.method is None or self.method.lower() in methods


@dataclass(frozen=True)
class CommandFault:
    """Which command of a batch fails, from 0, and how."""

    kind: FaultKind
    command: int


def take_fault(faults: list[Fault], number: int, method: str) -> Fault | None:
    """The first fault that spoils a whole request, used up by one; spent faults leave the list."""
    for fault in faults:
        if not fault.is_of_command and fault.matches(number, (method,)):
            return _use(faults, fault)
    return None


def take_command_fault(faults: list[Fault], number: int, methods: list[str]) -> CommandFault | None:
    """Which command of a batch has to fail, if any fault asks for one."""
    for fault in faults:
        if not fault.is_of_command or not methods or not fault.matches(number, methods):
            continue
        _use(faults, fault)
        named = fault.method is not None
        place = methods.index(str(fault.method).lower()) if named else min(fault.command, len(methods) - 1)
        return CommandFault(fault.kind, place)
    return None


def _use(faults: list[Fault], fault: Fault) -> Fault:
    fault.times -= 1
    if fault.times <= 0:
        faults.remove(fault)
    return fault
