-- Where a run lays down what left the vault; emptied when it ends. Only what the policy lets out gets here.
CREATE TABLE IF NOT EXISTS stg.released_rating ${on_cluster}
(
    process_key LowCardinality(String) COMMENT 'Rated process',
    rating_id UInt64 COMMENT 'Element id',
    period Date COMMENT 'First day of the month rated',
    rated_on Date COMMENT 'Day of the rating, portal time',
    ratee_id UInt32 COMMENT 'Ratee',
    ratee_department_id UInt32 COMMENT 'Department of the ratee',
    rater_id UInt32 COMMENT 'Rater',
    rater_department_id UInt32 COMMENT 'Department of the rater',
    task_id UInt64 COMMENT 'Linked task',
    score Nullable(UInt8) COMMENT 'Score',
    comment String COMMENT 'Comment',
    comment_level LowCardinality(String) COMMENT 'Level',
    exclusion_code LowCardinality(String) COMMENT 'Exclusion code',
    mode LowCardinality(String) COMMENT 'open or named_to_hr',
    policy_version String COMMENT 'Policy line'
)
ENGINE = ${replicated}MergeTree
ORDER BY (process_key, rating_id)
COMMENT 'Ratings in mode open or named_to_hr of the touched months';

CREATE TABLE IF NOT EXISTS stg.seen_employee ${on_cluster}
(
    employee_id UInt32 COMMENT 'Employee',
    full_name String COMMENT 'Name',
    position String COMMENT 'Position',
    department_id UInt32 COMMENT 'Department',
    is_active Bool COMMENT 'Not dismissed'
)
ENGINE = ${replicated}MergeTree
ORDER BY employee_id
COMMENT 'Employees as the portal shows them today';

CREATE TABLE IF NOT EXISTS stg.seen_department ${on_cluster}
(
    department_id UInt32 COMMENT 'Department',
    name String COMMENT 'Name',
    parent_id UInt32 COMMENT 'Department above',
    level UInt8 COMMENT 'Depth',
    head_employee_id UInt32 COMMENT 'Head'
)
ENGINE = ${replicated}MergeTree
ORDER BY department_id
COMMENT 'Departments as the portal shows them today';

CREATE TABLE IF NOT EXISTS stg.run_step ${on_cluster}
(
    run_id String COMMENT 'Dagster run that made the copies',
    step String COMMENT 'Step it has done with them: inputs, or an audit that passed'
)
ENGINE = ${replicated}MergeTree
ORDER BY (run_id, step)
COMMENT 'Steps of the running load: nothing is published that its own run did not audit';
