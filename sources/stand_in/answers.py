"""What a REST method gives back: an answer, or an error with the portal's own code.

Belongs here: the shapes, and errors that more than one part raises. Does not belong here: what methods do
(`methods.py`, `writing.py`), HTTP (`server.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sources.stand_in import query
from sources.stand_in.state import Record


class RestError(Exception):
    """An error answer of the portal.

    Attributes:
        status: HTTP status when it answers a whole request.
        code: `error` of the envelope, a string or a number as the portal has it.
        description: `error_description`.
    """

    def __init__(self, status: int, code: str | int, description: str) -> None:
        super().__init__(description)
        self.status = status
        self.code = code
        self.description = description

    def envelope(self) -> Record:
        """The body that says so."""
        return {"error": self.code, "error_description": self.description}


@dataclass
class Answer:
    """What a method returns; `total` and `next` stand beside `result` in the envelope.

    Attributes:
        result: the method's own shape.
        total: number of rows over all pages; None for methods that do not count.
        next: offset of the next page, if there is one.
    """

    result: Any
    total: int | None = None
    next: int | None = None


Method = Callable[[Record], Answer]


def limit_error() -> RestError:
    """The portal's answer to too many requests."""
    return RestError(503, "QUERY_LIMIT_EXCEEDED", "Too many requests")


def operating_error() -> RestError:
    """The portal's answer to a method that took too long in the last ten minutes."""
    return RestError(429, "OPERATION_TIME_LIMIT", "Method is blocked due to operation time limit.")


def credentials_error() -> RestError:
    """The portal's answer to a wrong webhook code."""
    return RestError(401, "INVALID_CREDENTIALS", "Invalid request credentials")


def not_found_error() -> RestError:
    """The portal's answer to a method it does not have."""
    return RestError(404, "ERROR_METHOD_NOT_FOUND", "Method not found!")


def denied_error() -> RestError:
    """The portal's answer about an element that the caller may not see."""
    return RestError(400, "ACCESS_DENIED", "Access denied")


def no_element_error() -> RestError:
    """The portal's answer about an element that is not there."""
    return RestError(400, "NOT_FOUND", "Element not found")


def whole(params: Record, *names: str) -> int:
    """A parameter that has to be a whole number, by any of its spellings.

    Raises:
        RestError: it is missing.
    """
    value = query.lookup(params, *names)
    if value is None:
        raise RestError(400, 100, f"Could not find value for parameter {{{names[0]}}}")
    try:
        return int(value)
    except (TypeError, ValueError):
        return 0  # PHP reads any other text as 0, which no row has
