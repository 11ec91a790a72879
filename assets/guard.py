"""Keeps personal data out of what Dagster stores when a step fails in a way nobody foresaw.

Belongs here: the one decorator that every asset and check wears. Does not belong here: handling of known errors; their
sentences are written not to quote data and pass unchanged.

Arrow and pandas quote the value they could not convert, and Dagster writes message and cause of an exception into its
event log in clear: one name in one odd field would end up there.
"""

import functools
import inspect
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import dagster as dg

OURS = ("assets", "datalens_specs", "pipelines", "sources", "warehouse_sql")

Step = TypeVar("Step", bound=Callable[..., Any])


class UnforeseenError(Exception):
    """A programming error or a broken environment, told by class and place alone."""


def guarded(step: Step) -> Step:
    """Replaces the exceptions of libraries by `UnforeseenError`."""
    if inspect.isgeneratorfunction(step):

        @functools.wraps(step)
        def generate(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as wide as the step
            problem: UnforeseenError | None = None
            try:
                yield from step(*args, **kwargs)
            except Exception as error:
                if _speaks_plainly(error):
                    raise error from None
                problem = wordless(error)
            if problem:
                raise problem

        return generate  # type: ignore[return-value]

    @functools.wraps(step)
    def call(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 - as wide as the step
        try:
            return step(*args, **kwargs)
        except Exception as error:
            if _speaks_plainly(error):
                # Without its cause and context, which are a library's and can quote data.
                raise error from None
            problem = wordless(error)
        raise problem

    return call  # type: ignore[return-value]


def _speaks_plainly(error: Exception) -> bool:
    return type(error).__module__.split(".")[0] in OURS or isinstance(error, dg.DagsterError | dg.Failure)


def wordless(error: Exception) -> UnforeseenError:
    """Tells an exception by its class and the place in our code, without its text."""
    frames = [
        f"{frame.name} (line {frame.lineno} of {frame.filename.rpartition('/')[2]})"
        for frame in traceback.extract_tb(error.__traceback__)
        if any(f"/{package}/" in frame.filename for package in OURS)
    ]
    where = " > ".join(frames[-4:]) or "a library"
    return UnforeseenError(
        f"An unforeseen {type(error).__name__} stopped the work in {where}; published tables are whole, as before or "
        "as after it. Report this line; the error's own text is withheld because it can quote personal data."
    )
