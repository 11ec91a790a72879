"""Who may do what on a ClickHouse server: the privilege matrix as data, and whether the SQL files grant just that.

Belongs here: what `access/*.sql` must say, and comparing the two (attack A11 of `estafeta audit`). Does not belong
here: running the files, which is an administrator's work (docs/access.md), and the mode of a rating: a grant never
hides a rater, since nothing that could name a hidden one is in the warehouse.

The matrix stands twice, here and in the files, on purpose: a door is opened only by writing it down in both places,
and `DENIED` names doors that stay shut even then.
"""

import re
from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import NamedTuple

from warehouse_sql.warehouse import statements

HEAD = "estafeta_department_head"
DASHBOARDS = "estafeta_dashboards"
HR = "estafeta_hr"
ANALYST = "estafeta_analyst"
ENGINEER = "estafeta_engineer"
WRITER = "estafeta_writer"
DEFINER = "estafeta_definer"

ROLES = {
    HEAD: "head of departments with a ClickHouse user of his own",
    DASHBOARDS: "the one user that DataLens shares between people",
    HR: "HR",
    ANALYST: "analyst",
    ENGINEER: "engineer: runs and counts",
    WRITER: "the pipeline",
    DEFINER: "owner of the views; a user without login",
}

MART = (
    "coverage",
    "department_pair",
    "reason",
    "rule_violation",
    "comment_queue",
    "comment_feed",
    "rating_block",
    "user_access",
    "agreement",
    "own_rating",
)
DWH = (
    "dim_date",
    "dim_process",
    "dim_policy",
    "dim_reason",
    "dim_rule",
    "dim_department",
    "dim_employee",
    "fct_rating",
    "bridge_rating_reason",
)
HR_TABLES = (
    "fct_rating",
    "fct_obligation",
    "fct_rating_event",
    "fct_score",
    "fct_signal",
    "fct_decision",
    "recommendation",
    "signal_queue",
)
OPS = ("dashboard_entry", "load_run", "load_count", "release", "release_window", "migration", "swap_journal")

VIEWS = {
    f"{views}.{name}": f"{tables}.{name}"
    for views, tables, names in (
        ("mart_read", "mart", (*MART, "correction")),
        ("mart_head", "mart", MART),
        ("dwh_read", "dwh", DWH),
        ("hr_read", "hr", HR_TABLES),
    )
    for name in names
}
"""Every view, and the table it shows."""

SCOPED = "mart_head"
"""The views of this database show each head his departments."""

SCOPES = frozenset({"mart.user_access", "dwh.dim_employee"})
"""What a scoped view may read beside the table it shows."""


VIEW_FUNCTIONS = frozenset({"concat", "currentUser", "toString"})


class Grant(NamedTuple):
    """One privilege: `role` may do `verb` to `target` (`database.table` or `database.*`)."""

    role: str
    verb: str
    target: str


def _selects(role: str, *databases: str) -> set[Grant]:
    return {Grant(role, "SELECT", view) for view in VIEWS if view.split(".")[0] in databases}


MATRIX = frozenset(
    _selects(HEAD, "mart_head")
    | _selects(DASHBOARDS, "mart_read")
    | _selects(HR, "mart_read", "dwh_read", "hr_read")
    | _selects(ANALYST, "mart_read", "dwh_read")
    | {Grant(ENGINEER, "SELECT", f"ops.{name}") for name in OPS}
    | {Grant(DEFINER, "SELECT", table) for table in VIEWS.values()}
    | {
        Grant(WRITER, verb, f"{database}.*")
        for database in ("dwh", "hr", "mart", "ops", "stg")
        for verb in (
            "CREATE DATABASE",
            "CREATE TABLE",
            "CREATE VIEW",
            "DROP TABLE",
            "ALTER COLUMN",
            "ALTER MODIFY COMMENT",
            "SELECT",
            "INSERT",
        )
    }
    | {Grant(WRITER, "TRUNCATE", "stg.*"), Grant(WRITER, "ALTER DELETE", "stg.*")}
    | {Grant(WRITER, "SELECT", "system.parts")}
)
"""All that is granted; whatever is not here is denied."""

PEOPLE = f"{HEAD}|{DASHBOARDS}|{HR}|{ANALYST}|{ENGINEER}"
DENIED = (
    (PEOPLE, r"(?!SELECT$).*", r".*", "only the pipeline may do more than read"),
    (PEOPLE, r".*", r"(?!(mart_head|mart_read|dwh_read|hr_read|ops)\.\w+$).*", "people read single views, no tables"),
    (f"(?!{HR}$).*", r".*", r"hr_read\..*", "named ratings are for HR alone"),
    (f"(?!({WRITER}|{DEFINER})$).*", r".*", r"hr\..*", "named ratings are for HR alone, through views"),
    (f"(?!{WRITER}$).*", r".*", r"stg\..*", "the workshop is for the pipeline alone"),
    (f"(?!({ENGINEER}|{WRITER})$).*", r".*", r"ops\..*", "runs are for engineers alone"),
    (r".*", r".*", r"(?i:system|information_schema)\.(?!parts$).*", "system tables tell who asked what"),
    (f"(?!{WRITER}$).*", r".*", r"system\..*", "parts tell when rows came"),
    (HEAD, r".*", r"(?!mart_head\.).*", "a head sees his departments"),
    (DEFINER, r"(?!SELECT$).*", r".*", "the owner of the views reads"),
)
"""Doors that stay shut: patterns of role, verb and target, and why. Holds for the matrix too."""

PROFILES: Mapping[str, Mapping[str, str]] = {
    "estafeta_reader": {
        "readonly": "2 CONST",
        "allow_ddl": "0 CONST",
        "allow_introspection_functions": "0 CONST",
        "max_execution_time": "60 MIN 1 MAX 60",
        "max_memory_usage": "2000000000 MIN 1 MAX 2000000000",
        "log_queries": "1 CONST",
        "log_queries_probability": "1 CONST",
        "log_queries_min_query_duration_ms": "0 CONST",
        "log_queries_min_type": "'QUERY_START' CONST",
        "log_queries_cut_to_length": "100000 CONST",
        "send_logs_level": "'fatal' CONST",
        "additional_table_filters": "'{}' CONST",
    },
    "estafeta_writer": {
        "log_queries": "0 CONST",
        "log_query_threads": "0 CONST",
        "log_query_views": "0 CONST",
        "allow_introspection_functions": "0 CONST",
    },
}
"""Settings profiles; what is not CONST has bounds, so that nobody can lift it."""

PROFILE_OF = {
    "estafeta_reader": (HEAD, DASHBOARDS, HR, ANALYST, ENGINEER),
    "estafeta_writer": (WRITER,),
}

_GRANT = re.compile(r"GRANT (?P<verbs>[A-Z, ]+) ON (?P<target>[\w*]+\.[\w*]+) TO (?P<roles>\w+(?:, \w+)*)")
_VIEW = re.compile(
    rf"CREATE OR REPLACE VIEW (?P<view>\w+\.\w+) DEFINER = {DEFINER} SQL SECURITY DEFINER AS (?P<select>.+)"
)
_PROFILE = re.compile(r"CREATE SETTINGS PROFILE OR REPLACE (?P<name>\w+) SETTINGS (?P<settings>.+) TO (?P<roles>.+)")
_NO_LOGIN = f"{DEFINER} IDENTIFIED WITH sha256_hash BY '{'0' * 64}' HOST NONE"
_READ_FROM = re.compile(r"\b(?:FROM|JOIN) (\w+(?:\.\w+)?)")
_QUALIFIED = re.compile(r"\b\w+\.\w+\b")
_NAMED_ABOVE = re.compile(r"\bWITH (\w+) AS \(")
_CALL = re.compile(r"(\w+)\(")


def access_statements(on_cluster: str = "") -> list[str]:
    """The statements of `access/*.sql` in the order they must be run.

    Args:
        on_cluster: `ON CLUSTER '…'` for a cluster, else empty.
    """
    folder = files("warehouse_sql") / "access"
    given = sorted((file for file in folder.iterdir() if file.name.endswith(".sql")), key=lambda file: file.name)
    return [
        statement
        for file in given
        for statement in statements(Template(file.read_text(encoding="utf-8")).substitute(on_cluster=on_cluster))
    ]


def findings(given: Sequence[str] | None = None) -> list[str]:
    """What the SQL files open or leave open against the matrix; empty if they are equal.

    Args:
        given: statements, those of the package if None.

    Returns:
        A sentence each.
    """
    plain = [" ".join(statement.split()) for statement in (access_statements() if given is None else given)]
    granted: set[Grant] = set()
    views: dict[str, str] = {}
    profiles: dict[str, re.Match[str]] = {}
    found = []
    for statement in plain:
        if grant := _GRANT.fullmatch(statement):
            granted |= {
                Grant(role, verb, grant["target"])
                for role in grant["roles"].split(", ")
                for verb in grant["verbs"].split(", ")
            }
        elif view := _VIEW.fullmatch(statement):
            views[view["view"]] = view["select"]
        elif profile := _PROFILE.fullmatch(statement):
            profiles[profile["name"]] = profile
        elif not _is_preparation(statement):
            found.append(f"The access files hold a statement nobody expects: {statement[:100]}.")
    found += [f"{_told(grant)} is granted by the access files and not in the matrix." for grant in granted - MATRIX]
    found += [f"{_told(grant)} is in the matrix and not granted by the access files." for grant in MATRIX - granted]
    found += [f"{_told(grant)} must never be granted: {why}." for grant in granted | MATRIX for why in _denials(grant)]
    found += [
        f"{role} keeps what an older version granted: it is not revoked first."
        for role in ROLES
        if f"REVOKE ALL ON *.* FROM {role}" not in plain
    ]
    found += [f"The view {name} is in the matrix and not made by the access files." for name in VIEWS.keys() - views]
    found += [problem for name, select in views.items() for problem in _view_problems(name, select)]
    found += [problem for name in PROFILES for problem in _profile_problems(name, profiles.get(name))]
    found += [f"The settings profile {name} is not in the matrix." for name in profiles.keys() - PROFILES.keys()]
    return sorted(found)


def matrix_table() -> str:
    """The matrix as Markdown, for docs/access.md: a line per role, verbs and database."""
    verbs: dict[tuple[str, str], set[str]] = {}
    for grant in MATRIX:
        verbs.setdefault((grant.role, grant.target), set()).add(grant.verb)
    names: dict[tuple[str, str, str], list[str]] = {}
    for (role, target), some in sorted(verbs.items()):
        database, name = target.split(".")
        names.setdefault((role, ", ".join(sorted(some)), database), []).append(f"`{name}`")
    lines = ["| role | may | in database | on |", "|---|---|---|---|"]
    for role in ROLES:
        lines += [
            f"| `{name}` | {some} | `{database}` | {', '.join(targets)} |"
            for (name, some, database), targets in names.items()
            if name == role
        ]
    return "\n".join(lines)


def _is_preparation(statement: str) -> bool:
    """Statements that give nobody anything: roles, the definer without login, databases of views, revocations."""
    databases = "|".join(sorted({view.split(".")[0] for view in VIEWS}))
    return (
        re.fullmatch(rf"CREATE ROLE IF NOT EXISTS ({'|'.join(ROLES)})", statement) is not None
        or re.fullmatch(rf"REVOKE ALL ON \*\.\* FROM ({'|'.join(ROLES)})", statement) is not None
        or re.fullmatch(rf"CREATE DATABASE IF NOT EXISTS ({databases}) COMMENT '[^']*'", statement) is not None
        or statement in (f"CREATE USER IF NOT EXISTS {_NO_LOGIN}", f"ALTER USER {_NO_LOGIN}")
    )


def _denials(grant: Grant) -> list[str]:
    return [
        why
        for *patterns, why in DENIED
        if all(re.fullmatch(pattern, value) for pattern, value in zip(patterns, grant, strict=True))
    ]


def _view_problems(name: str, select: str) -> list[str]:
    if name not in VIEWS:
        return [f"The view {name} is made by the access files and not in the matrix."]
    scoped = name.startswith(f"{SCOPED}.")
    allowed = {VIEWS[name], *(SCOPES if scoped else ())}
    read = {*_QUALIFIED.findall(select), *_READ_FROM.findall(select)} - set(_NAMED_ABOVE.findall(select))
    problems = [f"The view {name} reads {source}, which it has no business with." for source in sorted(read - allowed)]
    called = set(_CALL.findall(select)) - VIEW_FUNCTIONS
    problems += [f"The view {name} calls {function}, which no view needs." for function in sorted(called)]
    if "*" in select:
        problems.append(f"The view {name} shows columns it does not name.")
    if re.search(r'[`"]', select):
        problems.append(f"The view {name} quotes names, which hides from this check what it reads.")
    if scoped and not ("= currentUser()" in select and re.search(r" LIMIT \d+$", select)):
        problems.append(f"The view {name} does not scope its rows by the user, with LIMIT as the last word.")
    return problems


def _profile_problems(name: str, profile: re.Match[str] | None) -> list[str]:
    if profile is None:
        return [f"The settings profile {name} is not made by the access files."]
    settings = dict(entry.partition(" = ")[::2] for entry in profile["settings"].split(", "))
    expected = PROFILES[name]
    problems = [
        f"The settings profile {name} leaves {setting} as {settings.get(setting, 'the server has it')}, "
        f"and must have {expected.get(setting, 'no such line')}."
        for setting in settings.keys() | expected.keys()
        if settings.get(setting) != expected.get(setting)
    ]
    if set(profile["roles"].split(", ")) != set(PROFILE_OF[name]):
        problems.append(f"The settings profile {name} is given to {profile['roles']}, not to all it is for.")
    return problems


def _told(grant: Grant) -> str:
    return f"{grant.verb} on {grant.target} to {grant.role}"
