-- Dimensions. Rebuilt whole by every run (transforms/dwh/dim_*.sql).
CREATE TABLE IF NOT EXISTS dwh.dim_date ${on_cluster}
(
    date Date COMMENT 'Day',
    month Date COMMENT 'First day of its month',
    quarter Date COMMENT 'First day of its quarter',
    half_year Date COMMENT 'First day of its half-year',
    year UInt16 COMMENT 'Year',
    weekday UInt8 COMMENT 'Day of week, Monday is 1'
)
ENGINE = ${replicated}MergeTree
ORDER BY date
COMMENT 'Grain: day, from 2020-01-01 to the end of the next year';

CREATE TABLE IF NOT EXISTS dwh.dim_process ${on_cluster}
(
    process_key String COMMENT 'Key of the rated hand-over in the configuration',
    title String COMMENT 'Its name for people',
    cadence LowCardinality(String) COMMENT 'task: rated after each task; month: once a month',
    comment_required_below UInt8 COMMENT 'Scores below it must say why'
)
ENGINE = ${replicated}MergeTree
ORDER BY process_key
COMMENT 'Grain: rated process';

CREATE TABLE IF NOT EXISTS dwh.dim_policy ${on_cluster}
(
    policy_version String COMMENT 'Digest of the policy line, or default',
    process_key String COMMENT 'Process the line applies to, * is any',
    rater_department String COMMENT 'Department of the rater with everything below it, * is any',
    ratee_department String COMMENT 'Department of the ratee with everything below it, * is any',
    mode LowCardinality(String) COMMENT 'open, named_to_hr, pseudonymous, aggregate or department_only',
    valid_from Date COMMENT 'First day it holds for ratings made on'
)
ENGINE = ${replicated}MergeTree
ORDER BY (policy_version, process_key)
COMMENT 'Grain: line of the release policy; the default line stands in it too';

CREATE TABLE IF NOT EXISTS dwh.dim_department ${on_cluster}
(
    department_sk UInt64 COMMENT 'Surrogate key: hash of department_id and valid_from',
    department_id UInt32 COMMENT 'Id in Bitrix24; 0 is the unknown department',
    name String COMMENT 'Name',
    parent_id UInt32 COMMENT 'Department above, 0 at the root',
    level UInt8 COMMENT 'Depth in the tree, the root is 1, 0 for the unknown one',
    head_employee_id UInt32 COMMENT 'Head, 0 if there is none',
    valid_from Date COMMENT 'First day of the version',
    valid_to Date COMMENT 'First day it is no longer valid, 2100-01-01 while it is',
    is_current Bool COMMENT 'Whether it is the latest version',
    is_inferred Bool COMMENT 'Whether its start is assumed: the portal shows only today'
)
ENGINE = ${replicated}MergeTree
ORDER BY (department_id, valid_from)
COMMENT 'Grain: version of a department (SCD2)';

CREATE TABLE IF NOT EXISTS dwh.dim_employee ${on_cluster}
(
    employee_sk UInt64 COMMENT 'Surrogate key: hash of employee_id and valid_from',
    employee_id UInt32 COMMENT 'Id in Bitrix24',
    full_name String COMMENT 'Surname, name, patronymic; empty for somebody no user list shows',
    position String COMMENT 'Position',
    department_id UInt32 COMMENT 'First department of the employee, 0 if unknown',
    is_active Bool COMMENT 'Whether not dismissed',
    valid_from Date COMMENT 'First day of the version',
    valid_to Date COMMENT 'First day it is no longer valid, 2100-01-01 while it is',
    is_current Bool COMMENT 'Whether it is the latest version',
    is_inferred Bool COMMENT 'Whether its start is assumed: the portal shows only today'
)
ENGINE = ${replicated}MergeTree
ORDER BY (employee_id, valid_from)
COMMENT 'Grain: version of an employee (SCD2)';
