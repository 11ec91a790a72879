"""What the portal says around its data: errors and what they mean, how parameters are written, where rows lie.

Belongs here: the exceptions of a portal, one `Refusal` per error, query strings, the secret taken out of texts. Does
not belong here: sending requests (`connection.py`), what is asked for (`bitrix24.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from sources.contracts import ContractBrokenError

PAGE = 50
"""Rows of one page; the portal knows no other size."""

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


class WrongTimeZoneError(PortalError):
    """The portal's clock runs in another time zone than the configuration says."""


class FilterBrokenError(PortalError):
    """The portal does not filter by time in any form the client can write."""


class RequestRefusedError(PortalError):
    """The portal refuses a request for good."""


ERROR_PAGE = "ERROR_PAGE"
NO_CONNECTION = "NO_CONNECTION"
CONNECTION_LOST = "CONNECTION_LOST"
MALFORMED_ANSWER = "MALFORMED_ANSWER"
UNANSWERED_COMMAND = "UNANSWERED_COMMAND"
SERVER_ERROR = "SERVER_ERROR"
"""Codes of our own, for trouble that the portal has no word for."""

_LIMITS = frozenset({"QUERY_LIMIT_EXCEEDED", "OPERATION_TIME_LIMIT"})
_TRANSIENT = _LIMITS | {
    "INTERNAL_SERVER_ERROR",
    "ERROR_UNEXPECTED_ANSWER",
    ERROR_PAGE,
    CONNECTION_LOST,
    MALFORMED_ANSWER,
    UNANSWERED_COMMAND,
    SERVER_ERROR,
}
_CLOSED = frozenset({"OVERLOAD_LIMIT", "PORTAL_DELETED"})


@dataclass(frozen=True)
class Refusal:
    """One error of the portal, of a request or of one command of a batch."""

    code: str
    description: str = ""

    @property
    def is_transient(self) -> bool:
        """Whether the same request may succeed later."""
        return self.code in _TRANSIENT

    @classmethod
    def read(cls, error: object, description: object, status: int = 200) -> Refusal:
        """Reads `error`/`error_description`; codes are compared case-insensitively.

        Args:
            error: `error` of the envelope.
            description: `error_description` of the envelope.
            status: HTTP status of the answer: a code that is not known passes if the status says so.
        """
        refusal = cls(redact(str(error or "")).upper()[:100], redact(str(description or ""))[:200])
        may_pass = status >= 500 or status in (408, 429)
        if may_pass and not refusal.is_transient and refusal.code not in _CLOSED:
            return cls(SERVER_ERROR, f"HTTP {status} {refusal.code}".strip())
        return refusal

    def given_up(self, method: str, attempts: int) -> PortalError:
        """The exception class and sentence for trouble that might have passed and did not."""
        if self.code in _LIMITS:
            return PortalBusyError(
                f"The portal still limits {method} ({self.code}) after {attempts} attempts: other "
                "integrations of this host or webhook use up its budget; run later or stop them."
            )
        if self.code == ERROR_PAGE:
            return PortalUnreachableError(
                f"The portal answers with error pages instead of data ({self.description}, {attempts} times): it is "
                "overloaded or under maintenance; run later."
            )
        if self.code == CONNECTION_LOST:
            return PortalUnreachableError(
                f"The portal stopped answering (connection refused, cut or timed out, {attempts} times): "
                "check the network of this host and run later."
            )
        return PortalUnreachableError(
            f"The portal gave no usable answer to {method} ({self.code}{self.description and ', ' + self.description}) "
            f"in {attempts} attempts; run later."
        )

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
            case "NO_CONNECTION":
                return PortalUnreachableError(
                    "The portal does not answer (connection refused, cut or timed out again and again): "
                    "check the address in BITRIX24_WEBHOOK_URL and the network of this host."
                )
            case "NOT_FOUND" if method == "crm.item.list":
                return UnknownProcessError(
                    "The portal no longer has a smart process that is configured: it was deleted, or hidden from the "
                    "webhook's owner; correct entity_type_id in the configuration or give the account access to it."
                )
            case _:
                return RequestRefusedError(
                    f"The portal refused {method} ({self.code or 'no code'}: {self.description or 'no description'})."
                )


def _scope_of(method: str) -> str:
    prefix = method.split(".", 1)[0]
    return {"crm": "crm", "user": "user_brief", "department": "department", "tasks": "task"}.get(prefix, prefix)


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


def rows_of(result: object, path: Sequence[str], method: str) -> list[dict[str, Any]]:
    """The list at a path of a result. PHP writes an empty map as []; anything else that is missing is no empty list.

    Raises:
        ContractBrokenError: there is no list.
    """
    for name in path:
        if result == []:
            break
        result = result.get(name) if isinstance(result, dict) else None
    if not isinstance(result, list):
        raise ContractBrokenError(f"{method} returned {type(result).__name__} where a list was promised")
    return result


@dataclass(frozen=True)
class Walk:
    """A list read page by page along its ids.

    Attributes:
        method: REST list method.
        params: its parameters without cursor.
        cursor: path of the "greater than" condition inside the parameters.
        rows: path of the rows inside one result.
        row_id: name of the id in a row.
        title: what is read, for lines about a long reading; without one there are none.
    """

    method: str
    params: Mapping[str, Any]
    cursor: tuple[str, ...]
    rows: tuple[str, ...]
    row_id: str
    title: str = ""

    def command(self, after: int | str) -> str:
        """One batch command for the page of ids above `after`."""
        params: dict[str, Any] = json.loads(json.dumps(self.params))
        place = params
        for name in self.cursor[:-1]:
            place = place.setdefault(name, {})
        place[self.cursor[-1]] = after
        return f"{self.method}?{encode(params)}"

    def newest(self) -> str:
        """One batch command for the page at the end of the list: its first row has the greatest id."""
        # Ordered by the name that the cursor has: a row of tasks.task.list calls it id, its order ID.
        name = self.cursor[-1].removeprefix(">")
        return f"{self.method}?{encode({**self.params, 'order': {name: 'DESC'}})}"

    def reference(self, command: str) -> str:
        """What the next command's cursor says: the last id of a full page of `command`."""
        path = "".join(f"[{part}]" for part in (command, *self.rows, str(PAGE - 1), self.row_id))
        return f"$result{path}"

    def page(self, result: object, last: int) -> list[dict[str, Any]]:
        """Rows of one command's result, ids rising from above `last`.

        Raises:
            ContractBrokenError: ids do not rise: a portal that ignores order or cursor would make rows vanish
                without a word.
        """
        rows = rows_of(result, self.rows, self.method)
        for row in rows:
            current = self.id_of(row)
            if current <= last:
                raise ContractBrokenError(f"{self.method} returned ids out of order: it ignores order or the id filter")
            last = current
        return rows

    def id_of(self, row: Mapping[str, Any]) -> int:
        """The id of a row.

        Raises:
            ContractBrokenError: it has none.
        """
        try:
            current = int(row[self.row_id])
        except (KeyError, TypeError, ValueError):
            current = 0
        if not current:
            raise ContractBrokenError(f"{self.method} returned a row without a readable {self.row_id}")
        return current
