-- History: versions of people and departments (SCD2), and what happened to ratings between runs.
ALTER TABLE dwh.dim_employee ${on_cluster}
    ADD COLUMN IF NOT EXISTS is_unknown Bool DEFAULT false
    COMMENT 'Whether no user list has shown this id yet: a stand-in until it does';

CREATE TABLE IF NOT EXISTS hr.fct_rating_event ${on_cluster}
(
    process_key LowCardinality(String) COMMENT 'Rated process',
    rating_id UInt64 COMMENT 'Element id in its smart process',
    event_number UInt32 COMMENT 'Number of the event of this rating, from 0',
    event LowCardinality(String) COMMENT 'create, edit, delete or restore',
    period Date COMMENT 'First day of the month the rating stood in afterwards',
    observed_on Date COMMENT 'Portal day of the run that saw it',
    changed_at Nullable(DateTime('UTC')) COMMENT 'When it was created or last edited; NULL: the portal dates no deletion',
    is_after_freeze Bool COMMENT 'Whether it happened after the month was frozen',
    changed String COMMENT 'What an edit changed: score, comment, reason, rater, ratee, task, period, stage; by commas',
    old_score Nullable(UInt8) COMMENT 'Score before; NULL for a new rating and when its people changed',
    new_score Nullable(UInt8) COMMENT 'Score after; NULL for a deletion',
    rater_id UInt32 COMMENT 'Who rated',
    ratee_id UInt32 COMMENT 'Who set the task',
    mode LowCardinality(String) COMMENT 'Release mode of the rating: open or named_to_hr'
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(period)
ORDER BY (process_key, rating_id, event_number)
COMMENT 'Grain: change of a named rating as runs observed it; several edits between two runs are one';

DROP TABLE IF EXISTS stg.seen_employee ${on_cluster} SYNC;

DROP TABLE IF EXISTS stg.seen_department ${on_cluster} SYNC;

CREATE TABLE IF NOT EXISTS stg.employee_version ${on_cluster}
(
    employee_id UInt32 COMMENT 'Employee',
    full_name String COMMENT 'Name',
    position String COMMENT 'Position',
    department_id UInt32 COMMENT 'Department',
    is_active Bool COMMENT 'Not dismissed',
    valid_from Date COMMENT 'First day',
    valid_to Date COMMENT 'First day it is no longer valid',
    is_current Bool COMMENT 'Latest version',
    is_inferred Bool COMMENT 'Start assumed'
)
ENGINE = ${replicated}MergeTree
ORDER BY (employee_id, valid_from)
COMMENT 'Versions of employees, today included';

CREATE TABLE IF NOT EXISTS stg.department_version ${on_cluster}
(
    department_id UInt32 COMMENT 'Department',
    name String COMMENT 'Name',
    parent_id UInt32 COMMENT 'Department above',
    level UInt8 COMMENT 'Depth',
    head_employee_id UInt32 COMMENT 'Head',
    valid_from Date COMMENT 'First day',
    valid_to Date COMMENT 'First day it is no longer valid',
    is_current Bool COMMENT 'Latest version',
    is_inferred Bool COMMENT 'Start assumed'
)
ENGINE = ${replicated}MergeTree
ORDER BY (department_id, valid_from)
COMMENT 'Versions of departments, today included';

CREATE TABLE IF NOT EXISTS stg.released_event ${on_cluster}
(
    process_key LowCardinality(String) COMMENT 'Rated process',
    rating_id UInt64 COMMENT 'Element id',
    period Date COMMENT 'Month',
    number UInt32 COMMENT 'Number of the event',
    event LowCardinality(String) COMMENT 'Event',
    observed_on Date COMMENT 'Portal day of the run',
    changed_at Nullable(DateTime('UTC')) COMMENT 'When',
    is_after_freeze Bool COMMENT 'After the freeze',
    changed String COMMENT 'What changed',
    old_score Nullable(UInt8) COMMENT 'Score before',
    score Nullable(UInt8) COMMENT 'Score after',
    rater_id UInt32 COMMENT 'Rater',
    ratee_id UInt32 COMMENT 'Ratee',
    mode LowCardinality(String) COMMENT 'open or named_to_hr'
)
ENGINE = ${replicated}MergeTree
ORDER BY (process_key, rating_id, number)
COMMENT 'Events of ratings in mode open or named_to_hr, of all months the vault holds';

ALTER TABLE stg.run_step ${on_cluster}
    ADD COLUMN IF NOT EXISTS seconds Float64 DEFAULT 0 COMMENT 'How long it took';

ALTER TABLE ops.load_run ${on_cluster}
    ADD COLUMN IF NOT EXISTS seconds Float64 DEFAULT 0 COMMENT 'How long the table took to build';
