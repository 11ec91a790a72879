"""Who may do what (attack A11): the SQL files equal the matrix, and the engine, asked as each role, refuses the rest.

The embedded engine has no users of its own making, but it reads them from a configuration file. The tests write the
roles, grants and profiles of the access files into one, so that the very words an administrator runs on a server are
what the engine obeys here. What is not tried: CREATE ROLE and its like as statements, and ON CLUSTER.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pyarrow as pa
import pytest

from warehouse_sql import access
from warehouse_sql.access import DEFINER, ENGINEER, HEAD, HR, MATRIX, VIEWS, WRITER, access_statements, findings
from warehouse_sql.warehouse import PUBLISHED, Session, Warehouse, table

ROOT = Path(__file__).parents[2]
READERS = [role for role in access.ROLES if role not in (WRITER, DEFINER)]
DENIED = "ACCESS_DENIED"

# --- as data ------------------------------------------------------------------------------------------------------


def test_the_access_files_grant_exactly_the_matrix() -> None:
    assert findings() == []


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("GRANT SELECT ON mart.coverage TO estafeta_analyst", "people read single views"),
        ("GRANT SELECT ON mart_read.* TO estafeta_analyst", "people read single views"),
        ("GRANT SELECT ON hr_read.fct_rating TO estafeta_dashboards", "for HR alone"),
        ("GRANT SELECT ON mart_read.coverage TO estafeta_department_head", "a head sees his departments"),
        ("GRANT SELECT ON system.query_log TO estafeta_engineer", "system tables tell"),
        ("GRANT SELECT ON stg.released_rating TO estafeta_engineer", "for the pipeline alone"),
        ("GRANT INSERT ON mart_read.coverage TO estafeta_hr", "more than read"),
        ("GRANT SELECT ON mart_read.coverage TO estafeta_engineer", "not in the matrix"),
        ("GRANT SELECT ON mart_read.coverage TO estafeta_hr WITH GRANT OPTION", "nobody expects"),
        ("GRANT READ ON URL TO estafeta_analyst", "nobody expects"),
        ("GRANT estafeta_hr TO estafeta_analyst", "nobody expects"),
        ("CREATE USER helper IDENTIFIED WITH no_password", "nobody expects"),
        ("ALTER USER estafeta_definer IDENTIFIED BY 'known' HOST ANY", "nobody expects"),
        ("CREATE VIEW mart_read.all AS SELECT score FROM hr.fct_rating", "nobody expects"),
        (
            "CREATE OR REPLACE VIEW mart_read.coverage DEFINER = estafeta_definer SQL SECURITY DEFINER AS "
            "SELECT rater_id FROM hr.fct_rating",
            "no business with",
        ),
        (
            "CREATE OR REPLACE VIEW mart_read.coverage DEFINER = estafeta_definer SQL SECURITY DEFINER AS "
            "SELECT scope, stg.released_rating.rater_id FROM mart.coverage, stg.released_rating",
            "no business with",
        ),
        (
            "CREATE OR REPLACE VIEW mart_read.coverage DEFINER = estafeta_definer SQL SECURITY DEFINER AS "
            "SELECT file('/etc/passwd') FROM mart.coverage",
            "no view needs",
        ),
        (
            "CREATE OR REPLACE VIEW mart_read.coverage DEFINER = estafeta_definer SQL SECURITY DEFINER AS "
            "SELECT rater_id FROM `stg`.`released_rating`",
            "quotes names",
        ),
        (
            "CREATE OR REPLACE VIEW mart_read.coverage DEFINER = estafeta_definer SQL SECURITY DEFINER AS "
            "SELECT * FROM mart.coverage",
            "does not name",
        ),
        (
            "CREATE OR REPLACE VIEW mart_head.coverage DEFINER = estafeta_definer SQL SECURITY DEFINER AS "
            "SELECT scope FROM mart.coverage",
            "does not scope",
        ),
    ],
)
def test_an_added_statement_that_opens_a_door_is_found(statement: str, finding: str) -> None:
    assert any(finding in found for found in findings([*access_statements(), statement]))


@pytest.mark.parametrize("pattern", ["GRANT SELECT ON ops.load_run ", "REVOKE ALL ", "CREATE OR REPLACE VIEW hr_read."])
def test_a_statement_that_is_missing_is_found(pattern: str) -> None:
    given = [" ".join(statement.split()) for statement in access_statements()]
    assert findings([statement for statement in given if not statement.startswith(pattern)])


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        ("readonly = 2 CONST", "readonly = 0"),
        ("max_execution_time = 60 MIN 1 MAX 60", "max_execution_time = 60"),
        ("readonly = 2 CONST", "readonly = 2 CONST, INHERIT 'admin'"),
        ("log_queries = 0 CONST", "log_queries = 1 CONST"),
        ("send_logs_level = 'fatal' CONST,", ""),
        ("TO estafeta_writer", "TO estafeta_engineer"),
    ],
)
def test_a_setting_that_a_reader_could_lift_is_found(written: str, instead: str) -> None:
    given = [statement.replace(written, instead) for statement in access_statements()]
    assert findings(given)


def test_the_matrix_in_the_documentation_is_the_one_in_the_code() -> None:
    assert access.matrix_table() in (ROOT / "docs" / "access.md").read_text(encoding="utf-8")


# --- as the engine sees it ----------------------------------------------------------------------------------------


def _profiles() -> str:
    found = []
    for name, settings in access.PROFILES.items():
        values = rules = ""
        for setting, line in settings.items():
            value, *bounds = re.split(r" (?=CONST|MIN|MAX)", line)
            # A map has no spelling in this file; its default is the empty one.
            values += "" if value == "'{}'" else f"<{setting}>{value.strip(chr(39))}</{setting}>"
            limits = "".join(
                "<const/>" if bound == "CONST" else "<{0}>{1}</{0}>".format(*bound.lower().split()) for bound in bounds
            )
            rules += f"<{setting}>{limits}</{setting}>"
        found.append(f"<{name}>{values}<constraints>{rules}</constraints></{name}>")
    return "".join(found)


def _grants(role: str) -> str:
    lines = []
    for statement in (" ".join(statement.split()) for statement in access_statements()):
        grant = re.fullmatch(r"(GRANT .+) TO ([\w, ]+)", statement)
        if grant and role in grant[2].split(", "):
            lines.append(f"<query>{escape(grant[1])}</query>")
    return f"<grants>{''.join(lines)}</grants>"


def _users(role: str) -> str:
    """Users as a server has them after the access files, with the one who asks in `role`."""
    rights = "<access_management>1</access_management>"
    profile = "default"
    if role:
        rights = f"<grants><query>GRANT {role}</query></grants>"
        profile = next(name for name, roles in access.PROFILE_OF.items() if role in roles)
    asking = f"<no_password/><networks><ip>::/0</ip></networks><profile>{profile}</profile>{rights}"
    roles = "".join(f"<{name}>{_grants(name)}</{name}>" for name in access.ROLES if name != DEFINER)
    return (
        f"<clickhouse><profiles><default/>{_profiles()}</profiles><roles>{roles}</roles><users>"
        f"<default>{asking}<quota>default</quota></default>"
        f"<{DEFINER}><no_password/><networks/>{_grants(DEFINER)}</{DEFINER}>"
        "</users><quotas><default/></quotas></clickhouse>"
    )


ADMINISTRATOR = ""
# The embedded engine calls whoever asks `default`; here that is the head with id 5.
ASKING = "currentUser()"
HEAD_OF_TWO = "replaceOne(currentUser(), 'default', 'u5')"
PAIR = "INSERT INTO mart.department_pair (scope, process_key, rater_department_id, ratee_department_id) VALUES "
CONTENTS = (
    "INSERT INTO mart.user_access VALUES (5, 1), (5, 2), (6, 3)",
    PAIR + "('open', 'both', 1, 2), ('open', 'rates', 2, 3), ('open', 'rated', 3, 1), ('open', 'others', 3, 4)",
    "INSERT INTO mart.comment_feed (scope, process_key, ratee_department_id, rater_department_id, comment) VALUES "
    "('hidden', 'own', 1, NULL, 'a'), ('hidden', 'others', 3, NULL, 'said in confidence')",
    "INSERT INTO dwh.dim_employee (employee_id, department_id, valid_from, is_current) VALUES "
    "(10, 2, '1970-01-01', false), (10, 1, '2026-01-01', true), (11, 3, '1970-01-01', true), "
    "(12, 1, '1970-01-01', false), (12, 3, '2026-01-01', true)",
    "INSERT INTO mart.rating_block (ratee_id, process_key, score_band) VALUES "
    "(10, 'p', '4.25'), (11, 'p', '3.75'), (12, 'p', '4.5')",
)
COLUMNS = (
    "SELECT concat(database, '.', table), groupArray(name) FROM (SELECT * FROM system.columns "
    "WHERE database NOT IN ('system', 'default', 'information_schema', 'INFORMATION_SCHEMA') ORDER BY position) "
    "GROUP BY 1"
)

ATTACKS = {
    # Tables and what they tell beside their columns.
    "SELECT _part_offset FROM mart.rating_block": DENIED,
    "SELECT _part, _part_offset FROM {view}": "UNKNOWN_IDENTIFIER",
    "SHOW CREATE TABLE mart.rating_block": DENIED,
    "DESCRIBE TABLE mart.rating_block": DENIED,
    "EXISTS TABLE hr.fct_rating": DENIED,
    "SELECT hasColumnInTable('hr', 'fct_rating', 'score')": DENIED,
    "CHECK TABLE mart.rating_block": DENIED,
    "SELECT * FROM mergeTreeIndex('mart', 'rating_block')": DENIED,
    "SELECT * FROM loop(mart.rating_block)": DENIED,
    "EXPLAIN ESTIMATE SELECT * FROM hr.fct_rating": DENIED,
    # Others' questions, rights and settings.
    "SHOW USERS": DENIED,
    "SHOW ACCESS": DENIED,
    "SELECT * FROM system.grants": DENIED,
    "SYSTEM FLUSH LOGS": DENIED,
    # The world outside.
    "SELECT * FROM url('http://127.0.0.1:9/', 'CSV', 'a String')": DENIED,
    "SELECT * FROM file('/etc/passwd', 'LineAsString', 'a String')": DENIED,
    "SELECT * FROM remote('127.0.0.1', 'mart', 'coverage')": DENIED,
    "SELECT * FROM executable('x', 'CSV', 'a String')": DENIED,
    "INSERT INTO FUNCTION file('x', 'CSV', 'a UInt8') VALUES (1)": DENIED,
    # Anything that stays.
    "INSERT INTO mart.user_access VALUES (5, 3)": DENIED,
    "INSERT INTO {view} (process_key) VALUES ('x')": DENIED,
    "ALTER TABLE mart.user_access DELETE WHERE 1": DENIED,
    "DROP TABLE mart.user_access": DENIED,
    "CREATE VIEW mart_read.mine AS SELECT 1": DENIED,
    "CREATE TABLE mart.mine (a UInt8) ENGINE = Memory": DENIED,
    "CREATE TEMPORARY TABLE mine (a UInt8)": DENIED,
    "CREATE FUNCTION mine AS (x) -> x": DENIED,
    "CREATE DICTIONARY mart.mine (a UInt8) PRIMARY KEY a SOURCE(NULL()) LAYOUT(FLAT()) LIFETIME(0)": DENIED,
    "BACKUP TABLE mart.rating_block TO Null": DENIED,
    # More rights.
    "CREATE USER mine": DENIED,
    "GRANT estafeta_hr TO default": DENIED,
    "ALTER USER estafeta_definer IDENTIFIED WITH no_password HOST ANY": DENIED,
    "SELECT addressToLine(1)": DENIED,
    # Settings.
    "SET readonly = 0": "READONLY",
    "SET allow_ddl = 1": "QUERY_IS_PROHIBITED",
    "SET max_execution_time = 0": "SETTING_CONSTRAINT_VIOLATION",
    "SET max_memory_usage = 0": "SETTING_CONSTRAINT_VIOLATION",
    "SET log_queries = 0": "SETTING_CONSTRAINT_VIOLATION",
    "SET log_queries_probability = 0": "SETTING_CONSTRAINT_VIOLATION",
    "SET send_logs_level = 'trace'": "SETTING_CONSTRAINT_VIOLATION",
    "SET allow_introspection_functions = 1": "SETTING_CONSTRAINT_VIOLATION",
    "SELECT 1 FROM {view} SETTINGS additional_table_filters = {{'mart.rating_block': 'throwIf(1) = 0'}}": (
        "SETTING_CONSTRAINT_VIOLATION"
    ),
}

ATTACKS_OF_THE_PIPELINE = {
    "CREATE USER mine": DENIED,
    "GRANT SELECT ON hr.* TO estafeta_definer": DENIED,
    "CREATE VIEW mart.mine DEFINER = estafeta_definer SQL SECURITY DEFINER AS SELECT 1": DENIED,
    "CREATE DATABASE elsewhere": DENIED,
    "DROP DATABASE mart": DENIED,
    "SELECT * FROM url('http://127.0.0.1:9/', 'CSV', 'a String')": DENIED,
    "INSERT INTO FUNCTION file('x', 'CSV', 'a UInt8') VALUES (1)": DENIED,
    "BACKUP TABLE mart.rating_block TO Null": DENIED,
    "SET log_queries = 1": "SETTING_CONSTRAINT_VIOLATION",
}

CATALOGUE = "SELECT DISTINCT engine FROM system.tables WHERE database IN ('dwh', 'hr', 'mart', 'stg', 'hr_read')"
PARTS = "SELECT count() FROM system.parts WHERE database IN ('dwh', 'hr', 'mart', 'stg')"
DATALENS = (
    "SET readonly = 2",
    "SET join_use_nulls = 1",
    "SELECT version(), timezone()",
    "DESCRIBE TABLE mart_read.department_pair",
    "SELECT DISTINCT process_key FROM mart_read.department_pair ORDER BY process_key ASC LIMIT 1000",
)
SEEN = {
    "SELECT process_key FROM mart_head.department_pair ORDER BY process_key": [["both"], ["rated"], ["rates"]],
    "SELECT process_key FROM mart_head.comment_feed": [["own"]],
    "SELECT ratee_id FROM mart_head.rating_block": [[10]],
    "SELECT department_id FROM mart_head.user_access ORDER BY department_id": [[1], [2]],
}
PROBE = "SELECT count() FROM {} WHERE process_key = 'others' AND throwIf(length(comment) > 9) = 0"
GUARDED, UNGUARDED = PROBE.format("mart_head.comment_feed"), PROBE.format("mart_head.unguarded")


def _attacks_of(role: str) -> dict[str, str]:
    view = next((grant.target for grant in sorted(MATRIX) if grant.role == role and grant.target in VIEWS), "")
    return {
        attack.format(view=view): expected for attack, expected in ATTACKS.items() if view or "{view}" not in attack
    }


Answers = dict[str, dict[str, Any]]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answers]:
    """What came of each statement, by role: the pipeline made the tables, an administrator the views."""
    home = tmp_path_factory.mktemp("access")

    def ask(role: str, given: Iterable[str], *task: str) -> Answers:
        users, configuration = home / f"users{role}.xml", home / f"config{role}.xml"
        users.write_text(_users(role), encoding="utf-8")
        directories = f"<user_directories><users_xml><path>{users}</path></users_xml></user_directories>"
        configuration.write_text(
            f"<clickhouse><users_config>{users}</users_config>{directories}</clickhouse>", encoding="utf-8"
        )
        asked = list(given)
        done = subprocess.run(
            [sys.executable, "-m", "tests.warehouse.access_probe", str(home / "warehouse"), str(configuration), *task],
            input=json.dumps(asked),
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return dict(zip(asked, json.loads(done.stdout.splitlines()[-1]), strict=True))

    pipeline = ask(WRITER, ATTACKS_OF_THE_PIPELINE, "pipeline")
    made = [
        statement.replace(ASKING, HEAD_OF_TWO)
        for statement in access_statements()
        if re.match(r"CREATE (DATABASE|OR REPLACE VIEW)", statement)
    ]
    feed = next(statement for statement in made if "mart_head.comment_feed" in statement)
    unguarded = re.sub(r"\s*LIMIT \d+$", "", feed.replace("mart_head.comment_feed", "mart_head.unguarded"))
    said = {WRITER: pipeline, ADMINISTRATOR: ask(ADMINISTRATOR, [*made, *CONTENTS, COLUMNS, unguarded, UNGUARDED])}
    assert {statement for statement, answer in said[ADMINISTRATOR].items() if "error" in answer} <= {UNGUARDED}
    own = {HEAD: [*SEEN, GUARDED], access.DASHBOARDS: DATALENS, HR: [CATALOGUE, PARTS]}
    for role in READERS:
        reads = [f"SELECT * FROM {name}" for name, _ in said[ADMINISTRATOR][COLUMNS]["rows"]]
        said[role] = ask(role, [*reads, *own.get(role, ()), *_attacks_of(role)])
    return said


@pytest.fixture(scope="module")
def columns(answers: dict[str, Answers]) -> dict[str, list[str]]:
    """Columns of every table and view."""
    return dict(answers[ADMINISTRATOR][COLUMNS]["rows"])


def test_every_published_column_stands_in_every_view_of_its_table(columns: dict[str, list[str]]) -> None:
    assert {view: columns[view] for view in VIEWS} == {view: columns[shown] for view, shown in VIEWS.items()}


def test_every_table_is_shown_to_somebody_or_is_of_the_workshop(columns: dict[str, list[str]]) -> None:
    shown = {*VIEWS.values(), *(grant.target for grant in MATRIX if grant.role == ENGINEER)}
    assert {name for name in columns if re.match(r"(dwh|hr|mart|ops)\.", name)} == shown
    assert {target.full_name for target in PUBLISHED} <= shown


@pytest.mark.parametrize("role", READERS)
def test_a_role_reads_what_the_matrix_gives_it_and_nothing_else(
    answers: dict[str, Answers], columns: dict[str, list[str]], role: str
) -> None:
    said = {name: answers[role][f"SELECT * FROM {name}"] for name in columns}
    assert {name for name, answer in said.items() if "rows" in answer} == {
        grant.target for grant in MATRIX if grant.role == role
    }
    assert {answer["error"] for answer in said.values() if "error" in answer} == {DENIED}


@pytest.mark.parametrize("role", READERS)
def test_every_way_around_the_views_is_refused(answers: dict[str, Answers], role: str) -> None:
    attacks = _attacks_of(role)
    assert {attack: answers[role][attack].get("error", "done") for attack in attacks} == attacks


def test_the_pipeline_runs_with_its_grants_and_can_do_nothing_beside(answers: dict[str, Answers]) -> None:
    said = answers[WRITER]
    assert {attack: said[attack].get("error", "done") for attack in said} == ATTACKS_OF_THE_PIPELINE


def test_what_datalens_says_is_let_through(answers: dict[str, Answers]) -> None:
    said = {statement: answers[access.DASHBOARDS][statement] for statement in DATALENS}
    assert [statement for statement, answer in said.items() if "error" in answer] == []
    assert said[DATALENS[-1]]["rows"] == [["both"], ["others"], ["rated"], ["rates"]]


def test_what_a_reader_sees_of_the_catalogue_is_his_views_alone(answers: dict[str, Answers]) -> None:
    assert answers[HR][CATALOGUE]["rows"] == [["View"]]
    assert [int(count) for (count,) in answers[HR][PARTS]["rows"]] == [0]


def test_a_head_sees_rows_with_his_departments_on_either_side_and_blocks_of_his_people(
    answers: dict[str, Answers],
) -> None:
    assert {statement: answers[HEAD][statement]["rows"] for statement in SEEN} == SEEN


def test_a_condition_that_fails_on_purpose_tells_nothing_of_rows_out_of_sight(answers: dict[str, Answers]) -> None:
    assert [int(count) for (count,) in answers[HEAD][GUARDED]["rows"]] == [0]
    # Without LIMIT the engine asks the reader's condition first, and its error gives the comment away.
    assert answers[ADMINISTRATOR][UNGUARDED] == {"error": "FUNCTION_THROW_IF_VALUE_IS_NON_ZERO"}


# --- who heads what -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    with Warehouse(path=tmp_path_factory.mktemp("heads") / "warehouse").session("test") as session:
        session.prepare()
        yield session


def _sight(db: Session, departments: list[tuple[int, int, int, bool]], employees: list[tuple[int, bool]]) -> set[Any]:
    """Pairs (head, department) of departments (id, parent, head, standing) and employees (id, active)."""
    for name in ("dim_department", "dim_employee"):
        db.stage(table("dwh", name))
    rows = [
        {"department_id": number, "parent_id": parent, "head_employee_id": head, "is_current": standing}
        for number, parent, head, standing in departments
    ]
    db.insert("stg.dwh_dim_department", pa.Table.from_pylist(rows))
    people = [{"employee_id": number, "is_active": active, "is_current": True} for number, active in employees]
    db.insert("stg.dwh_dim_employee", pa.Table.from_pylist(people))
    transform = ROOT / "warehouse_sql" / "transforms" / "mart" / "user_access.sql"
    return {(row["user_id"], row["department_id"]) for row in db.rows(transform.read_text(encoding="utf-8"))}


STANDING, CLOSED = True, False
TREE = [(1, 0, 100, STANDING), (2, 1, 101, STANDING), (3, 2, 0, STANDING), (4, 1, 102, STANDING), (0, 0, 0, STANDING)]


def test_a_head_looks_at_what_he_heads_and_everything_below(db: Session) -> None:
    sight = _sight(db, TREE, [(100, True), (101, True), (102, True)])
    assert sight == {(100, 1), (100, 2), (100, 3), (100, 4), (101, 2), (101, 3), (102, 4)}


def test_who_has_left_looks_at_nothing(db: Session) -> None:
    assert {head for head, _ in _sight(db, TREE, [(100, False), (101, True)])} == {101}


def test_a_closed_department_is_in_sight_from_above_and_no_longer_for_its_head(db: Session) -> None:
    sight = _sight(db, [*TREE, (5, 2, 103, CLOSED)], [(100, True), (101, True), (103, True)])
    assert {head for head, department in sight if department == 5} == {100, 101}


def test_departments_that_lie_in_each_other_do_not_hang_a_run(db: Session) -> None:
    assert _sight(db, [(1, 2, 100, STANDING), (2, 1, 0, STANDING)], [(100, True)]) == {(100, 1), (100, 2)}
