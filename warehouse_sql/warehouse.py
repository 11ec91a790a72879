"""The warehouse: migrate, stage, load, audit frames, swap. The only importer of clickhouse_connect.

Belongs here: everything that is said to ClickHouse, embedded (chDB) or on a server, by the same code. Does not belong
here: what the tables hold (`transforms/`), when a step runs (`assets/`), the HTTP endpoint (`serve.py`).

A load never touches a published table. It builds copies in `stg` (untouched partitions attached from the published
table, touched ones written anew), and when every audit has passed it exchanges the copies with the published tables
one after another. A copy is built from parts rather than cloned and edited, because a dropped part stays on disk as
long as the table lives: rows that a stricter policy has withdrawn must not lie around under the published table.

A journal row per table stands before the first exchange and one after the last, each with the identity (UUID) of the
data that must end up under the name, so that the next run can finish a swap that was cut anywhere.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pyarrow as pa

from warehouse_sql.engine import FolderLock, WarehouseError

if TYPE_CHECKING:
    from clickhouse_connect.driver.client import Client

STAGE = "stg"
NO_SPACE = "NOT_ENOUGH_SPACE"


class WarehouseUnreachableError(WarehouseError):
    """No ClickHouse answers at the configured place."""


class MigrationError(WarehouseError):
    """An applied migration was edited, or one fails."""


@dataclass(frozen=True)
class PublishedTable:
    """One table that runs publish.

    Attributes:
        database: where it stands.
        name: its name; `<database>/<name>` is the asset and, if SQL builds it, the transform file.
        rebuilt: which part of it a run writes anew: "whole" or "periods" (touched months).
    """

    database: str
    name: str
    rebuilt: str

    @property
    def full_name(self) -> str:
        """`database.name`."""
        return f"{self.database}.{self.name}"

    @property
    def staged(self) -> str:
        """Where the run builds it."""
        return f"{STAGE}.{self.database}_{self.name}"


PUBLISHED = (
    PublishedTable("dwh", "dim_date", "whole"),
    PublishedTable("dwh", "dim_process", "whole"),
    PublishedTable("dwh", "dim_policy", "whole"),
    PublishedTable("dwh", "dim_reason", "whole"),
    PublishedTable("dwh", "dim_rule", "whole"),
    PublishedTable("dwh", "dim_department", "whole"),
    PublishedTable("dwh", "dim_employee", "whole"),
    PublishedTable("dwh", "fct_rating", "periods"),
    PublishedTable("dwh", "bridge_rating_reason", "periods"),
    PublishedTable("hr", "fct_rating", "periods"),
    PublishedTable("hr", "fct_obligation", "periods"),
    PublishedTable("hr", "fct_rating_event", "periods"),
    PublishedTable("hr", "fct_score", "whole"),
    PublishedTable("hr", "fct_signal", "whole"),
    PublishedTable("hr", "fct_decision", "whole"),
    PublishedTable("mart", "coverage", "whole"),
    PublishedTable("mart", "department_pair", "whole"),
    PublishedTable("mart", "reason", "whole"),
    PublishedTable("mart", "rule_violation", "whole"),
    PublishedTable("mart", "comment_queue", "whole"),
    PublishedTable("mart", "comment_feed", "whole"),
    PublishedTable("mart", "rating_block", "whole"),
    PublishedTable("mart", "user_access", "whole"),
    PublishedTable("mart", "agreement", "whole"),
    PublishedTable("ops", "release", "whole"),
    PublishedTable("ops", "release_window", "whole"),
)
"""In the order of the swap: dimensions, facts, marts, and last the ledger of what the marts now show."""

INPUTS = (
    "released_rating",
    "released_obligation",
    "released_event",
    "released_pseudonym",
    "employee_version",
    "department_version",
    "agreement_line",
    "run_step",
)
"""Tables of `stg` that a run fills with what left the vault and with its own steps, and empties at its end."""


def table(database: str, name: str) -> PublishedTable:
    """Looks a published table up by name."""
    return next(entry for entry in PUBLISHED if (entry.database, entry.name) == (database, name))


class Warehouse:
    """Where the tables are: an embedded folder or a ClickHouse server.

    Args:
        path: folder that chDB opens; or
        url: `http(s)://user@host:port` of a server; exactly one of the two.
        password: of the server's user.
        wait_seconds: how long to wait for another process to give the folder back.
    """

    def __init__(
        self, *, path: Path | None = None, url: str | None = None, password: str = "", wait_seconds: float = 60.0
    ) -> None:
        if (path is None) == (url is None):
            raise WarehouseError("The warehouse is either a folder (path) or a server (url): configure exactly one.")
        self.path = path
        self._url = url
        self._password = password
        self._wait_seconds = wait_seconds

    def __repr__(self) -> str:
        return f"Warehouse({self.place})"

    @property
    def place(self) -> str:
        """Folder, or host and port without user and password."""
        if self.path is not None:
            return str(self.path)
        parts = urlsplit(self._url or "")
        return f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)

    @contextmanager
    def session(self, tag: str = "") -> Iterator[Session]:
        """Opens the warehouse for one step; an embedded folder is locked as long as it is open.

        Args:
            tag: what the queries are for; stands in ClickHouse's query log, so nothing personal.

        Raises:
            WarehouseBusyError: another process holds the folder longer than `wait_seconds`.
            WarehouseUnreachableError: the server does not answer or refuses the user.
        """
        if self.path is None:
            client = self._connect({}, tag)
            try:
                yield Session(client, self.place)
            finally:
                client.close()
            return
        lock = FolderLock(self.path)
        lock.acquire(self._wait_seconds)
        try:
            # The engine would make it readable for everybody on the host.
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            _drop_unwritten_copies(self.path)
            with _private_spill(self.path.with_name(f"{self.path.name}.spill")):
                client = self._connect({"interface": "chdb", "path": str(self.path)}, tag)
                try:
                    yield Session(client, self.place)
                finally:
                    client.close()
        finally:
            lock.release()

    def _connect(self, arguments: dict[str, Any], tag: str) -> Client:
        # Costs 0.3 s, and no code location may open or import the engine when it loads.
        from clickhouse_connect import get_client
        from clickhouse_connect.driver.exceptions import ClickHouseError

        if "path" not in arguments:
            parts = urlsplit(self._url or "")
            arguments = {
                "host": parts.hostname,
                "port": parts.port or 0,
                "username": parts.username or "default",
                "password": self._password or parts.password or "",
                "secure": parts.scheme == "https",
                "compress": False,
                "autogenerate_session_id": False,
            }
        problem = ""
        try:
            return get_client(**arguments, settings={"log_comment": f"estafeta {tag}".strip()})
        except ClickHouseError as error:
            problem = _summary(error)
        except OSError as error:
            problem = error.strerror or type(error).__name__
        if self.path is not None:
            raise WarehouseError(
                f"The warehouse folder {self.path} cannot be opened ({problem}): close other programs that have it "
                "open, or check its owner and free space."
            )
        raise WarehouseUnreachableError(
            f"ClickHouse at {self.place} does not answer or refuses the user ({problem}): check warehouse.url, "
            "CLICKHOUSE_URL and CLICKHOUSE_PASSWORD."
        )


class Session:
    """An open warehouse."""

    def __init__(self, client: Client, place: str) -> None:
        self._client = client
        self._place = place

    # --- plain statements -----------------------------------------------------------------------------------

    def query(self, sql: str, parameters: Mapping[str, Any] | None = None) -> pa.Table:
        """Runs a SELECT; parameters are bound by the server (`{name:Type}`)."""
        with _refusals("a query", self._place):
            return self._client.query_arrow(sql, parameters=dict(parameters or {}))

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        """Runs a SELECT and returns dictionaries; for small results."""
        rows: list[dict[str, Any]] = self.query(sql, parameters).to_pylist()
        return rows

    def command(self, sql: str, parameters: Mapping[str, Any] | None = None, what: str = "a statement") -> None:
        """Runs a statement without a result."""
        with _refusals(what, self._place):
            self._client.command(sql, parameters=dict(parameters or {}))

    def insert(self, target: str, rows: pa.Table) -> None:
        """Adds rows to a table as one Arrow block, columns matched by name."""
        if not rows.num_rows:
            return
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, rows.schema) as writer:
            writer.write_table(rows)
        with _refusals(f"rows for {target}", self._place):
            self._client.raw_insert(
                target, column_names=rows.column_names, insert_block=sink.getvalue().to_pybytes(), fmt="ArrowStream"
            )

    def prepare(self) -> tuple[list[str], list[str]]:
        """Makes the warehouse ready for a run: finishes a cut swap, then applies missing migrations.

        Returns:
            (tables put into place, migrations applied).
        """
        known = self.rows("SELECT 1 AS one FROM system.tables WHERE database = 'ops' AND name = 'swap_journal'")
        finished = self.finish_swap() if known else []
        return finished, self.migrate()

    # --- migrations -----------------------------------------------------------------------------------------

    def migrate(self, *, on_cluster: str = "", replicated: str = "") -> list[str]:
        """Applies the migrations that are missing, in order.

        Args:
            on_cluster: `ON CLUSTER '…'` for a cluster, else empty.
            replicated: `Replicated` for a cluster, else empty.

        Returns:
            Names of the migrations applied now.

        Raises:
            MigrationError: an applied file was edited since, or a statement fails.
        """
        placeholders = {"on_cluster": on_cluster, "replicated": replicated}
        for statement in (
            "CREATE DATABASE IF NOT EXISTS ops ${on_cluster}",
            "CREATE TABLE IF NOT EXISTS ops.migration ${on_cluster} (name String COMMENT 'File', "
            "sha256 FixedString(64) COMMENT 'Digest of the file as applied', "
            "applied_at DateTime('UTC') DEFAULT now('UTC') COMMENT 'When') "
            "ENGINE = ${replicated}MergeTree ORDER BY name COMMENT 'Grain: applied migration'",
        ):
            self.command(Template(statement).substitute(placeholders), what="the table of migrations")
        applied = {
            row["name"]: row["sha256"]
            for row in self.rows("SELECT name, toString(sha256) AS sha256 FROM ops.migration")
        }
        done = []
        for file in migration_files():
            text = file.read_text(encoding="utf-8")
            digest = hashlib.sha256(text.encode()).hexdigest()
            if file.name in applied:
                if applied[file.name] != digest:
                    raise MigrationError(
                        f"Migration {file.name} was applied to {self._place} in another wording: put the file back as "
                        "it was and write the change as a new migration."
                    )
                continue
            for statement in statements(Template(text).substitute(placeholders)):
                self.command(statement, what=f"migration {file.name}")
            self.command(
                "INSERT INTO ops.migration (name, sha256) SELECT {name:String}, {digest:String}",
                {"name": file.name, "digest": digest},
            )
            done.append(file.name)
        return done

    # --- staging --------------------------------------------------------------------------------------------

    def stage(self, target: PublishedTable, months: Collection[int] = ()) -> None:
        """Starts a table's copy: everything a run does not write anew.

        Args:
            target: published table.
            months: touched periods as yyyymm, for tables rebuilt by periods.
        """
        self.command(f"DROP TABLE IF EXISTS {target.staged} SYNC")
        self.command(f"CREATE TABLE {target.staged} AS {target.full_name}", what=f"the copy of {target.full_name}")
        if target.rebuilt == "whole":
            return
        parts = self.rows(
            "SELECT DISTINCT partition_id, partition FROM system.parts "
            "WHERE active AND database = {database:String} AND table = {name:String} ORDER BY partition_id",
            {"database": target.database, "name": target.name},
        )
        replaced = {str(month) for month in months}
        for part in parts:
            if part["partition"] not in replaced:
                self.command(
                    f"ALTER TABLE {target.staged} ATTACH PARTITION ID {{part:String}} FROM {target.full_name}",
                    {"part": part["partition_id"]},
                    what=f"the copy of {target.full_name}",
                )

    def fill(self, target: PublishedTable, parameters: Mapping[str, Any] | None = None) -> None:
        """Runs the table's transform into its copy."""
        select = transform(target).read_text(encoding="utf-8")
        columns = ", ".join(_selected_columns(self, target))
        self.command(
            f"INSERT INTO {target.staged} ({columns}) SELECT {columns} FROM (\n{select}\n)",  # noqa: S608 - names are ours
            parameters,
            what=f"the transform of {target.full_name}",
        )

    def keep_named(self, target: PublishedTable, key: str, named_by: Mapping[str, str]) -> None:
        """Adds the published rows that untouched months of facts still name and the copy lacks.

        Args:
            target: a dimension whose copy was filled; the copies of facts hold their untouched months only.
            key: its key column.
            named_by: tables of `stg` that name keys, and the expression over each that gives them.
        """
        named = " UNION DISTINCT ".join(
            f"SELECT toString({expression}) FROM {source}"  # noqa: S608 - names are ours
            for source, expression in named_by.items()
        )
        self.command(
            f"INSERT INTO {target.staged} SELECT * FROM {target.full_name} "  # noqa: S608 - names are ours
            f"WHERE {key} NOT IN (SELECT {key} FROM {target.staged}) AND toString({key}) IN ({named})",
            what=f"the copy of {target.full_name}",
        )

    def lay_down(self, name: str, rows: pa.Table) -> None:
        """Replaces the contents of an input table of `stg`."""
        self.command(f"TRUNCATE TABLE {STAGE}.{name}")
        self.insert(f"{STAGE}.{name}", rows)

    def count(self, full_name: str) -> int:
        """Rows of a table."""
        return int(self.rows(f"SELECT count() AS n FROM {full_name}")[0]["n"])  # noqa: S608 - names are ours

    def columns(self, target: PublishedTable) -> list[dict[str, str]]:
        """Name, type and comment of a table's columns, in order."""
        return self.rows(
            "SELECT name, type, comment FROM system.columns "
            "WHERE database = {database:String} AND table = {name:String} ORDER BY position",
            {"database": target.database, "name": target.name},
        )

    def note_step(self, run_id: str, step: str) -> None:
        """Notes that a step of a run (the inputs, or an audit) is done with the copies."""
        self.note_seconds(run_id, {step: 0.0})

    def note_seconds(self, run_id: str, seconds: Mapping[str, float]) -> None:
        """Notes how long the tables of a stage took to build, by name."""
        rows = [{"run_id": run_id, "step": step, "seconds": taken} for step, taken in seconds.items()]
        self.insert(f"{STAGE}.run_step", pa.Table.from_pylist(rows))

    def step_seconds(self, run_id: str) -> dict[str, float]:
        """How long each step of a run took."""
        rows = self.rows("SELECT step, seconds FROM stg.run_step WHERE run_id = {run:String}", {"run": run_id})
        return {row["step"]: row["seconds"] for row in rows}

    def require_steps(self, run_id: str, steps: Collection[str]) -> None:
        """Refuses copies that this run did not make and audit: a step can be started alone in Dagster.

        Raises:
            WarehouseError: a step is missing.
        """
        rows = self.rows("SELECT step FROM stg.run_step WHERE run_id = {run:String}", {"run": run_id})
        lacking = sorted(set(steps) - {row["step"] for row in rows})
        if lacking:
            raise WarehouseError(
                f"The copies were not made and audited by this run ({', '.join(lacking)} missing), so nothing was "
                "published: run the whole job `ratings`, not this step alone."
            )

    # --- the swap -------------------------------------------------------------------------------------------

    def swap(self, swap_id: str) -> list[PublishedTable]:
        """Puts the copies that differ into place, all or, after the next run, all.

        Returns:
            The tables that changed.
        """
        changed = [target for target in PUBLISHED if self._differs(target)]
        if changed:
            self._journal(swap_id, "begin", {target.full_name: self._uuid(target.staged) for target in changed})
            for target in changed:
                self._exchange(target)
            self._journal(swap_id, "end", {target.full_name: self._uuid(target.full_name) for target in changed})
        self.clear_stage()
        return changed

    def finish_swap(self) -> list[str]:
        """Finishes the swap that a killed run left in the middle.

        Returns:
            Names of the tables that were put into place; empty if nothing was open.

        Raises:
            WarehouseError: neither copy nor published table is what the journal names.
        """
        pending = self.rows(
            "SELECT swap_id, table_name, toString(table_uuid) AS uuid FROM ops.swap_journal WHERE state = 'begin' "
            "AND swap_id NOT IN (SELECT swap_id FROM ops.swap_journal WHERE state = 'end') ORDER BY recorded_at"
        )
        open_swap = {row["table_name"]: row["uuid"] for row in pending}
        if not any(self._uuid(name) == uuid for name, uuid in open_swap.items()):
            # Nothing is in place yet: the run is as good as never made, and policy may have been tightened since.
            for swap_id in {row["swap_id"] for row in pending}:
                self._journal(swap_id, "end", open_swap)
            return []
        finished = []
        for target in PUBLISHED:
            wanted = open_swap.get(target.full_name)
            if wanted is None or self._uuid(target.full_name) == wanted:
                continue
            if self._uuid(target.staged) != wanted:
                raise WarehouseError(
                    f"A swap was cut and {target.full_name} cannot be finished: its copy is gone. Restore the "
                    "warehouse from a backup, or delete the rows of that swap from ops.swap_journal and run again."
                )
            self._exchange(target)
            finished.append(target.full_name)
        for swap_id in {row["swap_id"] for row in pending}:
            self._journal(swap_id, "end", open_swap)
        return finished

    def clear_stage(self) -> None:
        """Empties the workshop: what a stricter policy withdrew must not stay in it."""
        for target in PUBLISHED:
            self.command(f"DROP TABLE IF EXISTS {target.staged} SYNC")
        for name in INPUTS:
            self.command(f"TRUNCATE TABLE {STAGE}.{name}")

    def _exchange(self, target: PublishedTable) -> None:
        self.command(f"EXCHANGE TABLES {target.staged} AND {target.full_name}", what=f"the swap of {target.full_name}")

    def _uuid(self, full_name: str) -> str:
        database, name = full_name.split(".")
        rows = self.rows(
            "SELECT toString(uuid) AS uuid FROM system.tables "
            "WHERE database = {database:String} AND name = {name:String}",
            {"database": database, "name": name},
        )
        return str(rows[0]["uuid"]) if rows else ""

    def _differs(self, target: PublishedTable) -> bool:
        """Compares contents, so that a run that changes nothing leaves the tables as they are.

        Partitions attached from the published table are equal without looking.
        """
        # toString: cityHash64 of a NULL is NULL, and sum would skip the row.
        parts = " UNION ALL ".join(
            f"SELECT _partition_id AS part, count() AS n, sum(cityHash64(toString(tuple(*)))) AS hash "  # noqa: S608
            f"FROM {full_name} GROUP BY part"
            for full_name in (target.staged, target.full_name)
        )
        return bool(self.rows(f"SELECT part FROM ({parts}) GROUP BY part, n, hash HAVING count() != 2 LIMIT 1"))  # noqa: S608

    def _journal(self, swap_id: str, state: str, tables: Mapping[str, str]) -> None:
        self.command(
            "INSERT INTO ops.swap_journal SELECT {swap_id:String}, now64(3, 'UTC'), {state:String}, pair.1, "
            "toUUID(pair.2) FROM (SELECT arrayJoin(arrayZip({names:Array(String)}, {uuids:Array(String)})) AS pair)",
            {"swap_id": swap_id, "state": state, "names": list(tables), "uuids": list(tables.values())},
            what="the journal of swaps",
        )


@contextmanager
def _private_spill(folder: Path) -> Iterator[None]:
    """Where the embedded engine's inserts spill their blocks.

    The client writes every block into a temporary file and deletes it; a killed run would leave named rows in /tmp for
    good. Here the next session, which holds the folder lock, sweeps them away.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with _refusals("room for blocks on their way", str(folder)):
        folder.mkdir(mode=0o700, parents=True)
    before, tempfile.tempdir = tempfile.tempdir, str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)


def _drop_unwritten_copies(folder: Path) -> None:
    """Removes definitions of copies that a full disk cut off: the engine would not open the folder any more.

    Only of copies, which the next run makes anew; only for whoever holds the folder's lock.
    """
    for target in PUBLISHED:
        database, name = target.staged.split(".")
        definition = folder / "metadata" / database / f"{name}.sql"
        # The engine ends every definition with a line break.
        if definition.is_file() and not definition.read_bytes().endswith(b"\n"):
            definition.unlink()


def migration_files() -> list[Traversable]:
    """Migrations in order of their numbers."""
    folder = files("warehouse_sql") / "migrations"
    return sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)


def transform(target: PublishedTable) -> Traversable:
    """The SQL file that builds a table."""
    return files("warehouse_sql") / "transforms" / target.database / f"{target.name}.sql"


def statements(text: str) -> list[str]:
    """Splits a migration; a statement ends with a semicolon at the end of a line, comments stand on their own lines."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return [part.strip() for part in re.split(r";[ \t]*(?:\n|$)", "\n".join(lines)) if part.strip()]


def _selected_columns(session: Session, target: PublishedTable) -> Sequence[str]:
    return [column["name"] for column in session.columns(target)]


def _summary(error: Exception) -> str:
    """Number and name of a ClickHouse error: its text can quote rows."""
    text = str(error)
    code = re.search(r"Code: (\d+)", text) or re.search(r"code:? (\d+)", text)
    name = re.findall(r"\(([A-Z][A-Z_]+)\)", text)
    if code:
        return f"code {code[1]}{' ' + name[-1] if name else ''}"
    return type(error).__name__


@contextmanager
def _refusals(what: str, place: str) -> Iterator[None]:
    """Turns ClickHouse's exceptions into one sentence without their text or cause, which can quote rows."""
    from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

    problem: WarehouseError | None = None
    try:
        yield
    except OperationalError as error:
        problem = WarehouseUnreachableError(
            f"The warehouse {place} stopped answering while it worked on {what} ({_summary(error)}); nothing was "
            "published, run again when it is back."
        )
    except ClickHouseError as error:
        summary = _summary(error)
        full = ": no space is left on its disk. Make room and run again" if NO_SPACE in summary else ""
        problem = WarehouseError(f"The warehouse {place} refused {what} ({summary}){full}.")
    except OSError as error:
        # The client of the embedded engine writes every block into a file first.
        problem = WarehouseError(
            f"The warehouse {place} could not take {what} ({error.strerror or type(error).__name__}): look at the "
            "space left on its disk and at its rights, then run again."
        )
    if problem:
        # Raised inside a with block that is handling the driver's exception: without `from None` its text would ride
        # along as context, into Dagster's event log.
        raise problem from None
