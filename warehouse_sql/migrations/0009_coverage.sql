-- Coverage: ratings that closed tasks make expect, and how many of them were given.
CREATE TABLE IF NOT EXISTS hr.fct_obligation ${on_cluster}
(
    process_key LowCardinality(String) COMMENT 'Rated process',
    period Date COMMENT 'First day of the month the task was closed in',
    rater_id UInt32 COMMENT 'Who executed the task and should rate',
    ratee_id UInt32 COMMENT 'Who set the task',
    rater_department_id UInt32 COMMENT 'Department of the rater on expected_on, 0 if unknown',
    ratee_department_id UInt32 COMMENT 'Department of the ratee on expected_on, 0 if unknown',
    task_id UInt64 COMMENT 'The task; 0 for processes rated once a month',
    tasks UInt32 COMMENT 'Closed tasks behind it: 1, or those of the pair in the month',
    expected_on Date COMMENT 'Day the task, or the last of the month, was closed, portal time',
    due_on Date COMMENT 'Day the month is frozen: before it, missed means not given yet',
    status LowCardinality(String) COMMENT 'fulfilled, missed or waived',
    waiver LowCardinality(String) COMMENT 'Why it is waived: left, below_minimum or task_deleted; else empty',
    rating_id UInt64 COMMENT 'The rating that fulfils it, 0 if none',
    rated_on Nullable(Date) COMMENT 'Day of that rating',
    mode LowCardinality(String) COMMENT 'Strictest mode of its own day and of its rating: open or named_to_hr',
    policy_version String COMMENT 'Policy line that decided, see dim_policy'
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(period)
ORDER BY (process_key, period, rater_id, ratee_id, task_id)
COMMENT 'Grain: expected rating in mode open or named_to_hr: rater x ratee x task, or x month; for HR only';

CREATE TABLE IF NOT EXISTS mart.coverage ${on_cluster}
(
    scope LowCardinality(String) COMMENT 'open: exact, by month',
    period_from Date COMMENT 'First day of the first month',
    period_to Date COMMENT 'First day of the last month',
    process_key LowCardinality(String) COMMENT 'Rated process',
    rater_department_id UInt32 COMMENT 'Department that executed and should rate',
    rater_department String COMMENT 'Its name today',
    ratee_department_id UInt32 COMMENT 'Department that set the tasks',
    ratee_department String COMMENT 'Its name today',
    expected Nullable(UInt32) COMMENT 'Expected ratings, the waived ones too',
    fulfilled Nullable(UInt32) COMMENT 'Of them given',
    missed Nullable(UInt32) COMMENT 'Of them not given; until is_final: not given yet',
    waived_left Nullable(UInt32) COMMENT 'Of them waived: the rater has left',
    waived_below_minimum Nullable(UInt32) COMMENT 'Of them waived: fewer closed tasks in the month than min_tasks',
    waived_task_deleted Nullable(UInt32) COMMENT 'Of them waived: the task is deleted',
    coverage Nullable(Float64) COMMENT 'fulfilled / (expected - waived), 0..1; NULL if all are waived',
    timeliness Nullable(Float64) COMMENT 'Share of the given ones that came within 3 days, 0..1; NULL if none is given',
    is_final Bool COMMENT 'Whether the month was frozen for all of them when the table was built'
)
ENGINE = ${replicated}MergeTree
PARTITION BY scope
ORDER BY (process_key, period_from, rater_department_id, ratee_department_id)
COMMENT 'Grain: scope x month x rater department x ratee department x process with tasks in the configuration';

CREATE TABLE IF NOT EXISTS stg.released_obligation ${on_cluster}
(
    process_key LowCardinality(String) COMMENT 'Rated process',
    period Date COMMENT 'Month of closing',
    rater_id UInt32 COMMENT 'Rater',
    ratee_id UInt32 COMMENT 'Ratee',
    rater_department_id UInt32 COMMENT 'Department of the rater',
    ratee_department_id UInt32 COMMENT 'Department of the ratee',
    task_id UInt64 COMMENT 'Task, 0 by month',
    tasks UInt32 COMMENT 'Closed tasks',
    expected_on Date COMMENT 'Day of closing',
    due_on Date COMMENT 'Day of the freeze',
    status LowCardinality(String) COMMENT 'Status',
    waiver LowCardinality(String) COMMENT 'Waiver',
    rating_id UInt64 COMMENT 'Rating, 0 if none',
    rated_on Nullable(Date) COMMENT 'Day of the rating',
    mode LowCardinality(String) COMMENT 'open or named_to_hr',
    policy_version String COMMENT 'Policy line'
)
ENGINE = ${replicated}MergeTree
ORDER BY (process_key, period, rater_id, ratee_id, task_id)
COMMENT 'Expected ratings in mode open or named_to_hr, of all months the vault holds';
