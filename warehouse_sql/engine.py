"""The embedded engine's door: one lock per warehouse folder, one process at a time.

chDB lets a single process open a folder, and a second one fails with a message that says little. Everything in
Estafeta that opens the folder therefore takes :class:`FolderLock` first, and whoever has to wait waits there.
"""

import contextlib
import fcntl
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

POLL_SECONDS = 0.02
DEFAULT_WAIT_SECONDS = 60.0

_SETTING_NAME = re.compile(r"^[A-Za-z_][A-Za-z0-9_]*$")
_TRAILING_FORMAT = re.compile(rb"\bFORMAT\s+(\w+)\s*;?\s*$", re.IGNORECASE)
_ERROR_CODE = re.compile(r"Code: (\d+)\.")


class WarehouseError(Exception):
    """The warehouse could not do what was asked; the text says what, to what, and what to do."""


class WarehouseBusyError(WarehouseError):
    """Another process has the warehouse folder open."""


class EngineQueryError(WarehouseError):
    """The engine refused or failed a statement; the text starts with ``Code: N. DB::Exception``."""

    def __init__(self, message: str) -> None:
        """Keep the engine's message and read its error number (0 when it gives none)."""
        super().__init__(message)
        found = _ERROR_CODE.match(message)
        self.code = int(found.group(1)) if found else 0


@dataclass
class _Held:
    """A lock file this process has locked, and how many of its holders are using it."""

    fd: int
    holders: int = 1


# flock belongs to an open file, so two objects of one process would shut each other out: the process holds each
# folder once and counts its users.
_held: dict[Path, _Held] = {}
_held_guard = threading.Lock()


def _forget_in_child() -> None:
    """Drop a forked child's copies: the lock stays with the parent, and chDB does not survive a fork either."""
    # A new guard: the old one may be held by a thread the child does not have.
    global _held_guard
    _held_guard = threading.Lock()
    for held in _held.values():
        with contextlib.suppress(OSError):
            os.close(held.fd)
    _held.clear()


os.register_at_fork(after_in_child=_forget_in_child)


class FolderLock:
    """Exclusive lock between processes on a warehouse folder, kept in the sibling file ``<folder>.lock``.

    Threads and objects of one process share it, counted: chDB serves any number of them at once. The operating system
    drops it when the process dies, however it dies. The file stays where it is: removing it would let two processes
    lock two different files of the same name.
    """

    def __init__(self, path: Path, *, wait_seconds: float = DEFAULT_WAIT_SECONDS) -> None:
        """Lock for ``path``; ``wait_seconds`` is what the context manager waits."""
        self.path = Path(path).expanduser().resolve()
        self.lock_file = self.path.with_name(self.path.name + ".lock")
        self._wait_seconds = wait_seconds
        self._count = 0

    @property
    def held(self) -> bool:
        """Whether this object holds the folder."""
        return self._count > 0

    def acquire(self, wait_seconds: float = DEFAULT_WAIT_SECONDS) -> None:
        """Take the folder, waiting up to ``wait_seconds`` for another process to give it back.

        Raises:
            WarehouseBusyError: if it is still taken then.
        """
        deadline = time.monotonic() + wait_seconds
        while not self._try():
            if time.monotonic() >= deadline:
                raise WarehouseBusyError(
                    f"The warehouse folder {self.path} is in use by another Estafeta process and was not given back "
                    f"within {wait_seconds:g} s; wait until it ends, or stop it."
                )
            time.sleep(POLL_SECONDS)

    def release(self) -> None:
        """Give the folder back; nothing happens if this object does not hold it."""
        with _held_guard:
            held = _held.get(self.lock_file)
            if not self._count or held is None:
                self._count = 0
                return
            self._count -= 1
            held.holders -= 1
            if not held.holders:
                del _held[self.lock_file]
                os.close(held.fd)

    def _try(self) -> bool:
        with _held_guard:
            held = _held.get(self.lock_file)
            if held is not None:
                held.holders += 1
            else:
                fd = self._lock_file()
                if fd is None:
                    return False
                _held[self.lock_file] = _Held(fd)
            self._count += 1
            return True

    def _lock_file(self) -> int | None:
        try:
            self.lock_file.parent.mkdir(parents=True, exist_ok=True)
            fd = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise WarehouseError(
                f"The lock file {self.lock_file} of the warehouse cannot be opened ({error.strerror}); "
                "check who owns the folder it lies in."
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        except OSError:
            os.close(fd)
            raise
        return fd

    def __enter__(self) -> Self:
        self.acquire(self._wait_seconds)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class _Result(Protocol):
    """What chDB returns, as far as it is used here."""

    def bytes(self) -> bytes | None: ...
    def rows_read(self) -> int: ...
    def bytes_read(self) -> int: ...
    def elapsed(self) -> float: ...


class _Handle(Protocol):
    """A chDB connection, as far as it is used here."""

    def query(self, query: bytes, fmt: str, *, params: dict[str, str]) -> _Result: ...
    def close(self) -> None: ...


@dataclass(frozen=True)
class EngineResult:
    """What a statement gave: its bytes and what the engine counted."""

    data: bytes
    format: str
    rows_read: int = 0
    bytes_read: int = 0
    elapsed_seconds: float = 0.0


@dataclass
class EmbeddedEngine:
    """A chDB folder, open while the object is: raw statements in, raw bytes out.

    Each statement gets a connection handle of its own (0.3 ms), so neither settings nor ``USE`` leak into the next.
    Statements of several threads run one after the other.
    """

    path: Path
    wait_seconds: float = DEFAULT_WAIT_SECONDS
    create: bool = True
    _lock: FolderLock = field(init=False, repr=False)
    _root: _Handle | None = field(default=None, init=False, repr=False)
    _guard: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)

    def __post_init__(self) -> None:
        """Resolve the path: chDB tells folders apart by their spelling."""
        self.path = Path(self.path).expanduser().resolve()
        self._lock = FolderLock(self.path)

    @property
    def is_open(self) -> bool:
        """Whether the folder is open through this object."""
        return self._root is not None

    def open(self, wait_seconds: float | None = None) -> None:
        """Take the folder and open the engine; nothing happens if it is open.

        Raises:
            WarehouseBusyError: if another process has the folder and keeps it.
            WarehouseError: if the engine cannot open it.
        """
        with self._guard:
            if self._root is not None:
                return
            if not self.create and not self.path.is_dir():
                raise WarehouseError(
                    f"There is no warehouse at {self.path} yet; run 'estafeta run' first, or mend warehouse.path."
                )
            self._lock.acquire(self.wait_seconds if wait_seconds is None else wait_seconds)
            try:
                self._root = self._connect()
            except BaseException:
                self._lock.release()
                raise

    def close(self) -> None:
        """Close the engine and give the folder back; waits for a running statement."""
        with self._guard:
            root, self._root = self._root, None
            if root is None:
                return
            try:
                root.close()
            finally:
                self._lock.release()

    def execute(
        self,
        sql: bytes | str,
        *,
        params: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        default_format: str = "TabSeparated",
        database: str | None = None,
        body: bytes | None = None,
        read_only: bool = False,
    ) -> bytes:
        """Run one statement and return its bytes; see :meth:`run`."""
        return self.run(
            sql,
            params=params,
            settings=settings,
            default_format=default_format,
            database=database,
            body=body,
            read_only=read_only,
        ).data

    def run(
        self,
        sql: bytes | str,
        *,
        params: Mapping[str, str] | None = None,
        settings: Mapping[str, str] | None = None,
        default_format: str = "TabSeparated",
        database: str | None = None,
        body: bytes | None = None,
        read_only: bool = False,
    ) -> EngineResult:
        """Run one statement.

        Args:
            sql: the statement; a trailing ``FORMAT x`` wins over ``default_format``.
            params: values of ``{name:Type}``, without the ``param_`` prefix, escaped as in tab separated text.
            settings: engine settings for this statement only.
            default_format: format of a result whose statement names none.
            database: database of unqualified names.
            body: data of an ``INSERT … FORMAT x``.
            read_only: let the engine refuse writes and changes of settings; it does not refuse ``INTO OUTFILE``,
                ``KILL QUERY`` or several statements at once, which is the caller's to do.

        Raises:
            EngineQueryError: if the engine refuses or fails the statement.
            WarehouseError: if the folder is not open or a setting has an impossible name.
        """
        raw = sql.encode() if isinstance(sql, str) else sql
        with self._guard:
            if self._root is None:
                raise WarehouseError(f"The warehouse at {self.path} is closed; open it before asking it anything.")
            handle = self._connect()
            try:
                _prepare(handle, settings or {}, database, read_only=read_only)
                with _statement(raw, body) as statement:
                    result = _query(handle, statement, default_format, params)
                    return EngineResult(
                        data=result.bytes() or b"",
                        format=trailing_format(raw) or default_format,
                        rows_read=int(result.rows_read()),
                        bytes_read=int(result.bytes_read()),
                        elapsed_seconds=float(result.elapsed()),
                    )
            finally:
                handle.close()

    def _connect(self) -> _Handle:
        import chdb

        try:
            handle: _Handle = chdb.connect(str(self.path))  # type: ignore[no-untyped-call]
        except (RuntimeError, chdb.ChdbError) as error:
            raise _explain_connect(self.path, str(error)) from error
        return handle

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def trailing_format(sql: bytes) -> str | None:
    """The format a statement names at its end, if any."""
    found = _TRAILING_FORMAT.search(sql)
    return found.group(1).decode() if found else None


def quote_string(text: str) -> str:
    """An SQL string literal."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def quote_identifier(name: str) -> str:
    """An SQL identifier in back quotes."""
    escaped = name.replace("\\", "\\\\").replace("`", "\\`")
    return f"`{escaped}`"


def _explain_connect(path: Path, message: str) -> WarehouseError:
    if "already initialized with path" in message:
        return WarehouseError(
            f"The warehouse at {path} cannot be opened while this process has another warehouse open; close that first."
        )
    # The engine prints the reason ("Another server instance in same directory is already running") to stderr and
    # raises this alone, so a folder with a status file it cannot take is one that another program holds.
    if "Error initializing EmbeddedServer" in message and _status_is_locked(path):
        return WarehouseBusyError(
            f"The warehouse folder {path} is open in another program, which Estafeta cannot wait for; "
            "close that program and try again."
        )
    return WarehouseError(
        f"The warehouse at {path} cannot be opened: {_plain(message)}; "
        "check that the folder is a chDB folder and belongs to you."
    )


def _status_is_locked(path: Path) -> bool:
    try:
        fd = os.open(path / "status", os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def _prepare(handle: _Handle, settings: Mapping[str, str], database: str | None, *, read_only: bool) -> None:
    if database:
        _query(handle, f"USE {quote_identifier(database)}".encode())
    for name, value in settings.items():
        if not _SETTING_NAME.match(name):
            raise WarehouseError(f"{name[:80]!r} is not the name of an engine setting; use letters, digits and _.")
        # Quoted whatever it is: bare digits would not become a text setting, and text becomes a number by itself.
        _query(handle, f"SET {name} = {quote_string(str(value))}".encode())
    if read_only:
        # Last, since nothing can be set after it.
        _query(handle, b"SET readonly = 1")


def _query(
    handle: _Handle, sql: bytes, default_format: str = "TabSeparated", params: Mapping[str, str] | None = None
) -> _Result:
    import chdb

    try:
        return handle.query(sql, default_format, params=dict(params or {}))
    except (RuntimeError, chdb.ChdbError) as error:
        # Without "from": the chained trace would show the statement with its data.
        raise EngineQueryError(_plain(str(error))) from None


def _plain(message: str) -> str:
    """The engine's message from its error number on, told once."""
    start = message.find("Code: ")
    text = message[start:] if start >= 0 else message
    # Nested calls repeat "Code: 164. DB::Exception: " once for each level.
    return re.sub(r"^(Code: \d+\. DB::Exception: )(?:Code: \d+\. DB::Exception: )+", r"\1", text).strip()


@contextlib.contextmanager
def _statement(sql: bytes, body: bytes | None) -> Iterator[bytes]:
    """The statement to run: an insert with data reads it from a file, since the engine takes no second input."""
    if body is None:
        yield sql
        return
    found = _TRAILING_FORMAT.search(sql)
    if found is None:
        yield sql + b"\n" + body
        return
    with tempfile.NamedTemporaryFile(suffix=".insert") as file:
        file.write(body)
        file.flush()
        head, clause = _split_settings(sql[: found.start()])
        source = f" FROM INFILE {quote_string(file.name)} ".encode()
        yield head.rstrip() + source + clause + b" FORMAT " + found.group(1)


def _split_settings(head: bytes) -> tuple[bytes, bytes]:
    """Part ``INSERT INTO t (…) SETTINGS …``: the engine wants the file between the two."""
    found = re.search(rb"\sSETTINGS\s+\w+\s*=.*$", head, re.IGNORECASE | re.DOTALL)
    return (head[: found.start()], found.group(0)) if found else (head, b"")
