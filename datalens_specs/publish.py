"""Publishing: a DataLens workbook made to hold what the specs say, through the public API.

Belongs here: comparing, writing in order, saying what went wrong. Does not belong here: the documents (`entries.py`),
where the ledger is kept (the caller gives it), credentials (the caller makes the client).

DataLens keeps no note of who wrote an entry, and its creates are not repeatable. So a ledger remembers, for each entry,
its id, the digest of the document and the revision that came of it. A write is noted before it is sent: when its answer
is lost, the next run knows the entry for ours and writes it again, instead of taking it for somebody's work.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Literal, Protocol, TypeVar

from datalens_sdk import (
    Connection,
    Dashboard,
    DataLensClientEnterprise,
    DataLensClientYC,
    Dataset,
    EntryLocation,
    WizardChart,
)
from datalens_sdk.domain.raw_dashboard import RawDashboardCreate
from datalens_sdk.domain.raw_resource import RawConnectionCreate, RawDatasetCreate, RawWizardChartCreate
from datalens_sdk.errors import (
    ConflictError,
    DataLensAPIError,
    DataLensConfigurationError,
    DataLensError,
    DataLensTransportError,
    ForbiddenError,
    NotFoundError,
    RateLimitError,
    UnauthorizedError,
)
from pydantic import ValidationError

from datalens_specs.entries import KINDS, Entry, Kind, PublishError

Client = DataLensClientYC | DataLensClientEnterprise
Action = Literal["create", "update", "unchanged", "edited", "foreign", "delete"]

SCOPES: dict[str, Kind] = {"connection": "connection", "dataset": "dataset", "widget": "chart", "dash": "dashboard"}
WAITS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Seconds to wait when DataLens says that requests come too fast."""

Answer = TypeVar("Answer")
EDITED: tuple[Action, ...] = ("edited", "foreign")


@dataclass(frozen=True)
class Written:
    """What the ledger knows of an entry that we wrote.

    Attributes:
        kind: of the entry.
        key: in the specs.
        name: as it was written.
        entry_id: in DataLens; empty while a create is under way, or after it was deleted.
        digest: of the document that was written.
        revision: that came of it; empty while a write is under way.
    """

    kind: Kind
    key: str
    name: str
    entry_id: str
    digest: str
    revision: str


class Ledger(Protocol):
    """Remembers what was written to one workbook; the last note on an entry counts."""

    def read(self) -> Sequence[Written]:
        """The last note on each entry."""

    def note(self, notes: Sequence[Written]) -> None:
        """Adds notes."""


@dataclass(frozen=True)
class Found:
    """An entry as the workbook lists it."""

    kind: Kind
    entry_id: str
    name: str
    revision: str
    changed_at: str


@dataclass(frozen=True)
class Step:
    """What is to be done with one entry.

    Attributes:
        action: create, update, unchanged; delete: ours, and no longer in the specs; edited: ours, changed in DataLens
            since; foreign: has the name of ours, and is not.
        kind: of the entry.
        name: as in the specs, or in the ledger if it left them.
        entry: what to write; None to delete.
        found: the entry in DataLens; None if there is none.
        key: in the specs.
        last: the last note on it; None if there is none.
    """

    action: Action
    kind: Kind
    key: str
    name: str
    entry: Entry | None
    found: Found | None
    last: Written | None = None

    def __str__(self) -> str:
        """A line of the plan."""
        when = f", on {self.found.changed_at[:10]}" if self.found and self.found.changed_at else ""
        said = {
            "create": "create", "update": "update", "unchanged": "unchanged", "delete": "delete",
            "edited": f"changed by hand{when}", "foreign": "name taken by an entry that is not ours",
        }[self.action]  # fmt: skip
        return f"{self.kind:<11}{self.name}: {said}"


@dataclass(frozen=True)
class Plan:
    """What publishing would do, in its order."""

    steps: tuple[Step, ...]

    @property
    def counts(self) -> dict[Action, int]:
        """Number of entries by action."""
        return dict(Counter(step.action for step in self.steps))

    @property
    def rules_alone(self) -> Plan:
        """The datasets that changed, and nothing else: row rules must not wait for somebody's chart."""
        steps = (
            replace(step, action="unchanged") if step.action != "update" or step.kind != "dataset" else step
            for step in self.steps
        )
        return Plan(tuple(step for step in steps if step.found is not None and step.entry is not None))

    @property
    def in_the_way(self) -> tuple[Step, ...]:
        """Entries that hold other people's work."""
        return tuple(step for step in self.steps if step.action in EDITED)

    @property
    def summary(self) -> str:
        """The counts in a line."""
        counts = self.counts
        parts = [f"{counts.get(action, 0)} to {action}" for action in ("create", "update")]
        if counts.get("delete"):
            parts.append(f"{counts['delete']} to delete")
        in_the_way = sum(counts.get(action, 0) for action in EDITED)
        return ", ".join([*parts, f"{counts.get('unchanged', 0)} unchanged, {in_the_way} changed by hand"])


def plan(client: Client, workbook: str, wanted: Sequence[Entry], ledger: Ledger) -> Plan:
    """Compares the specs with a workbook; changes nothing. One request per hundred entries.

    Args:
        client: of the installation.
        workbook: its id.
        wanted: what should be there, in the order of publishing; nothing if all that is ours shall go.
        ledger: of this workbook.

    Raises:
        PublishError: DataLens cannot be reached or refuses.
    """
    with _refusals("No plan can be made"):
        found = _listing(client, workbook)
    by_id = {one.entry_id: one for one in found}
    by_name = {(one.kind, one.name): one for one in found}
    written = {(one.kind, one.key): one for one in ledger.read()}
    steps = []
    for entry in wanted:
        last = written.get((entry.kind, entry.key))
        same = by_id.get(last.entry_id) if last else None
        one = same or by_name.get((entry.kind, entry.name))
        steps.append(
            Step(
                _action(entry, last, one, is_ours=same is not None), entry.kind, entry.key, entry.name, entry, one, last
            )
        )
    keys = {(entry.kind, entry.key) for entry in wanted}
    taken = {step.found.entry_id for step in steps if step.found}
    leftover = [
        (last, by_id[last.entry_id])
        for key, last in written.items()
        if key not in keys and last.entry_id in by_id and last.entry_id not in taken
    ]
    for last, one in sorted(leftover, key=lambda pair: (-KINDS.index(pair[0].kind), pair[0].key)):
        action: Action = "delete" if last.revision in ("", one.revision) else "edited"
        steps.append(Step(action, last.kind, last.key, last.name, None, one, last))
    return Plan(tuple(steps))


def contents(client: Client, workbook: str) -> int:
    """Number of entries in a workbook.

    Raises:
        PublishError: DataLens cannot be reached or refuses.
    """
    with _refusals("The workbook cannot be read"):
        return len(_listing(client, workbook))


def _action(entry: Entry, last: Written | None, one: Found | None, *, is_ours: bool) -> Action:
    if one is None:
        return "create"
    if last is not None and last.revision == "" and (is_ours or (last.entry_id == "" and last.digest != "")):
        # The answer to our last write was lost.
        return "update"
    if last is None or not is_ours:
        return "foreign"
    if one.revision != last.revision:
        return "edited"
    return "unchanged" if last.digest == entry.digest and one.name == entry.name else "update"


def _listing(client: Client, workbook: str) -> list[Found]:
    listed = []
    for one in client.get.workbook(by_id=workbook).list_entries(scope=list(SCOPES)):  # type: ignore[arg-type]
        # A draft that nobody published is a change too: publishing would overwrite it.
        revision = f"{one.saved_id or ''}/{one.published_id or ''}"
        name = one.name or (one.key or "").rpartition("/")[2]
        at = one.updated_at or ""
        listed.append(Found(SCOPES[one.scope], one.id, name, revision if revision != "/" else at or "?", at))
    return listed


def apply(
    client: Client,
    workbook: str,
    todo: Plan,
    ledger: Ledger,
    *,
    password: str,
    overwrite: bool = False,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, str]:
    """Does what the plan says and returns the ids of dashboards by name.

    Args:
        client: of the installation.
        workbook: its id.
        todo: a fresh plan.
        ledger: of this workbook.
        password: of the warehouse user that DataLens shares; sent with the connection, never stored here.
        overwrite: whether entries that were changed by hand are written over.
        say: told of each entry that is done.

    Raises:
        PublishError: entries were changed by hand (nothing is written then), or it stopped half-way: says where, and
            how many entries are done. Applying again goes on from there.
    """
    if not overwrite:
        refuse_edited(todo.in_the_way)
    ids = {step.entry.reference: step.found.entry_id for step in todo.steps if step.entry and step.found}
    writer = _Writer(client, workbook, ledger, password, overwrite, ids)
    work = [step for step in todo.steps if step.action != "unchanged"]
    done: list[Written] = []
    try:
        for step in work:
            where = f"Publishing stopped at the {step.kind} {step.name!r}, {len(done)} of {len(work)} changes done; "
            with _refusals(
                f"{where}apply again to go on. The cause", ", so nobody knows whether this one went through"
            ):
                done.append(writer.do(step))
            say(f"{step.kind:<11}{step.name}: {'deleted' if step.entry is None else 'published'}")
    finally:
        # Also after a failure: what is done needs no second time.
        _note_revisions(client, workbook, done, ledger)
    return {step.name: ids[step.entry.reference] for step in todo.steps if step.entry and step.kind == "dashboard"}


def refuse_edited(steps: Sequence[Step]) -> None:
    """Stops before anything is written if entries hold other people's work.

    Raises:
        PublishError: names them.
    """
    if not steps:
        return
    names = ", ".join(f"the {step.kind} {step.name!r}" for step in steps[:5])
    more = f" and {len(steps) - 5} more" if len(steps) > 5 else ""
    raise PublishError(
        f"Nothing was published. Changed or made by hand in DataLens: {names}{more}. Bring the changes into the specs, "
        "or write over them with --overwrite."
    )


@dataclass(frozen=True)
class _Writer:
    """Writes single entries.

    Attributes:
        client: of the installation.
        workbook: its id.
        ledger: of this workbook.
        password: of the warehouse user.
        overwrite: whether an entry that is not ours may be written over.
        ids: reference to id, of what is there; grows with what is created.
    """

    client: Client
    workbook: str
    ledger: Ledger
    password: str
    overwrite: bool
    ids: dict[str, str]

    def do(self, step: Step) -> Written:
        """Creates, replaces or deletes one entry; the ledger hears of it before and after."""
        if step.entry is None:
            return self._delete(step)
        entry = step.entry
        document = {"id": entry.reference, "name": entry.name, **entry.with_ids(self.ids)}
        if "entry" in document:
            document = {"entry": {"entryId": entry.reference, **document["entry"]}}
        if entry.kind == "dataset":
            _require_readable(self.client, entry, document)
        written = Written(
            entry.kind, entry.key, entry.name, step.found.entry_id if step.found else "", entry.digest, ""
        )
        self.ledger.note([written])
        try:
            made = "" if step.found else self._create(entry, document, written)
            # Empty if somebody was faster, and may be written over.
            found = step.found or (None if made else self._with_our_name(entry))
            if found is not None:
                self._replace(entry, document, found)
        except DataLensAPIError as error:
            if error.context.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                # Refused for certain: what somebody saves from now on must not pass for our lost write.
                self.ledger.note([step.last or replace(written, digest="")])
            raise
        self.ids[entry.reference] = made or (found.entry_id if found else "")
        written = replace(written, entry_id=self.ids[entry.reference])
        self.ledger.note([written])
        if entry.kind == "dataset":
            _require_kept(self.client, entry, document, written.entry_id, is_new=bool(made))
        return written

    def _create(self, entry: Entry, document: dict[str, Any], begun: Written) -> str:
        try:
            return _patiently(lambda: str(self._creation(entry, document).build().id))
        except ConflictError:
            # Taken since the plan was made. That entry must not pass for ours in the next plan.
            self.ledger.note([replace(begun, digest="")])
            if self._with_our_name(entry) is None:
                raise
            if not self.overwrite:
                raise PublishError(
                    "its name has just been taken by an entry that is not ours; rename that one, or write over it with "
                    "--overwrite"
                ) from None
            self.ledger.note([begun])
            return ""

    def _creation(
        self, entry: Entry, document: dict[str, Any]
    ) -> RawConnectionCreate | RawDatasetCreate | RawWizardChartCreate | RawDashboardCreate:
        raw, name, location = self.client.raw.create, entry.name, EntryLocation.workbook(self.workbook)
        match entry.kind:
            case "connection":
                secret = {"password": self.password} if self.password else None
                return raw.connection(response_snapshot=document, name=name, location=location, overrides=secret)
            case "dataset":
                return raw.dataset(response_snapshot=document, name=name, location=location)
            case "chart":
                return raw.wizard_chart(response_snapshot=document, name=name, location=location)
            case "dashboard":
                return raw.dashboard(response_snapshot=document, name=name, location=location)

    def _replace(self, entry: Entry, document: dict[str, Any], found: Found) -> None:
        raw, get, entry_id = self.client.raw.replace, self.client.get, found.entry_id
        target: Connection | Dataset | WizardChart | Dashboard
        match entry.kind:
            case "connection":
                secret = {"password": self.password} if self.password else None
                target = connection = _patiently(lambda: get.connection(by_id=entry_id))
                put = raw.connection(target=connection, response_snapshot=document, overrides=secret)
                _patiently(put.execute)
            case "dataset":
                target = dataset = _patiently(lambda: get.dataset(by_id=entry_id))
                _patiently(raw.dataset(target=dataset, response_snapshot=document).mode("publish").execute)
            case "chart":
                target = chart = _patiently(lambda: get.wizard_chart(by_id=entry_id))
                # DataLens derives it from the visualization; the SDK wants it to be what it was.
                document["entry"]["type"] = chart.wire_type
                _patiently(raw.wizard_chart(target=chart, response_snapshot=document).mode("publish").execute)
            case "dashboard":
                target = dashboard = _patiently(lambda: get.dashboard(by_id=entry_id))
                _patiently(raw.dashboard(target=dashboard, response_snapshot=document).mode("publish").execute)
        if found.name != entry.name:
            _patiently(lambda: target.rename(name=entry.name))

    def _delete(self, step: Step) -> Written:
        get, found = self.client.get, step.found
        assert found is not None, "what is deleted was found"  # noqa: S101 - made so by plan()
        getters: dict[Kind, Callable[..., Connection | Dataset | WizardChart | Dashboard]] = {
            "connection": get.connection, "dataset": get.dataset, "chart": get.wizard_chart, "dashboard": get.dashboard,
        }  # fmt: skip
        _patiently(lambda: getters[step.kind](by_id=found.entry_id).delete())
        gone = Written(step.kind, step.key, step.name, "", "", "")
        self.ledger.note([gone])
        return gone

    def _with_our_name(self, entry: Entry) -> Found | None:
        listed = _listing(self.client, self.workbook)
        return next((one for one in listed if (one.kind, one.name) == (entry.kind, entry.name)), None)


def _require_readable(client: Client, entry: Entry, document: dict[str, Any]) -> None:
    """DataLens itself must see the table with the columns of the specs: it stores a broken dataset without a word."""
    (source,) = document["dataset"]["sources"]
    connection = _patiently(lambda: client.get.connection(by_id=source["connection_id"]))
    place = source["parameters"]
    table = f"{place['db_name']}.{place['table_name']}"
    try:
        seen = _patiently(
            lambda: (
                client.create.source(using=connection)
                .ch_table(alias=source["title"], db_name=place["db_name"], table_name=place["table_name"])
                .build(strict=True)
            )
        )
    except (UnauthorizedError, ForbiddenError, DataLensTransportError, RateLimitError):
        raise
    except DataLensError as error:
        raise PublishError(
            f"DataLens cannot read {table} through its connection ({_short(error)}). Check host, port and user under "
            "datalens in the configuration, DATALENS_CLICKHOUSE_PASSWORD, and that the user may read the table"
        ) from None
    columns = {str(column["name"]) for column in seen.raw_schema}
    missing = sorted(column["name"] for column in source["raw_schema"] if column["name"] not in columns)
    if missing:
        raise PublishError(
            f"{table}, as DataLens reads it, has no column {', '.join(missing)} for the dataset {entry.name!r}: "
            "migrate the warehouse (estafeta warehouse migrate), or point datalens.host at the right one"
        )


def _require_kept(client: Client, entry: Entry, document: dict[str, Any], entry_id: str, *, is_new: bool) -> None:
    """Row rules must be there when read back: an installation that drops them answers 200 all the same."""
    kept = _patiently(lambda: client.get.dataset(by_id=entry_id))
    content = kept.response_snapshot["dataset"]
    assert isinstance(content, dict)  # noqa: S101 - the SDK refuses anything else
    wanted = document["dataset"]
    lost = [
        what
        for what, is_kept in (
            ("row rules", _rules(content.get("rls2")) == _rules(wanted["rls2"])),
            ("fields", _guids(content.get("result_schema")) >= _guids(wanted["result_schema"])),
        )
        if not is_kept
    ]
    for what in lost:
        if is_new:
            kept.delete()
            raise PublishError(f"DataLens did not keep the {what} of the dataset {entry.name!r}: it was taken back")
        danger = (
            "whoever opens the workbook may see all of its rows" if what == "row rules" else "its charts may be broken"
        )
        raise PublishError(f"DataLens did not keep the {what} of the dataset {entry.name!r}: {danger}. Unshare it")


def _guids(fields: Any) -> set[str]:  # noqa: ANN401 - any JSON
    return {field["guid"] for field in fields or ()}


def _rules(rules: Any) -> set[tuple[str, str, str, str]]:  # noqa: ANN401 - any JSON
    return {
        (field, rule["pattern_type"], rule.get("allowed_value") or "", rule["subject"]["subject_id"])
        for field, of_field in (rules or {}).items()
        for rule in of_field
    }


def _note_revisions(client: Client, workbook: str, done: Sequence[Written], ledger: Ledger) -> None:
    if not done:
        return
    try:
        revisions = {one.entry_id: one.revision for one in _listing(client, workbook)}
    except DataLensError:
        # Whatever is not noted is written once more by the next apply.
        return
    ledger.note([replace(one, revision=revisions[one.entry_id]) for one in done if one.entry_id in revisions])


def _patiently(ask: Callable[[], Answer]) -> Answer:
    """Waits when DataLens asks for it. Nothing else is repeated: a write whose answer is lost may have been done."""
    for wait in WAITS:
        try:
            return ask()
        except RateLimitError:
            time.sleep(wait)
    return ask()


@contextmanager
def _refusals(where: str, doubt: str = "") -> Iterator[None]:
    """Errors of the SDK as a sentence: theirs quote what was sent and what came back."""
    try:
        yield
    except PublishError as error:
        raise PublishError(f"{where}: {error}.") from None
    except UnauthorizedError as error:
        raise PublishError(
            f"{where}: DataLens does not accept the token, it has expired or belongs to another organization: get a "
            f"new one ({_short(error)})."
        ) from None
    except ForbiddenError as error:
        raise PublishError(
            f"{where}: this account may not do that in the workbook; it needs the role of an editor ({_short(error)})."
        ) from None
    except NotFoundError as error:
        raise PublishError(
            f"{where}: DataLens knows no such workbook or entry; the id of a workbook is the last part of its address "
            f"({_short(error)})."
        ) from None
    except ConflictError as error:
        raise PublishError(
            f"{where}: the name is taken by an entry that this account does not see; rename that one ({_short(error)})."
        ) from None
    except DataLensTransportError:
        raise PublishError(
            f"{where}: the connection to DataLens broke off{doubt}; check that its address can be reached from here."
        ) from None
    except ValidationError:
        raise PublishError(
            f"{where}: DataLens answers in a shape that the installed datalens-sdk does not know; update the SDK."
        ) from None
    except DataLensConfigurationError:
        raise PublishError(
            f"{where}: no token can be made of these credentials; check DATALENS_KEY_FILE and DATALENS_ORG_ID."
        ) from None
    except DataLensError as error:
        raise PublishError(f"{where}: DataLens refuses ({_short(error)}).") from None


def _short(error: DataLensError) -> str:
    """What support needs, without what the server quotes."""
    if not isinstance(error, DataLensAPIError):
        return type(error).__name__
    context = error.context
    return ", ".join(
        part
        for part in (
            f"HTTP {context.status_code}",
            context.code,
            context.request_id and f"request {context.request_id}",
        )
        if part
    )
