-- Rating facts. One partition a month of the period; a run replaces the months it touched (transforms/*/fct_rating.sql).
CREATE TABLE IF NOT EXISTS dwh.fct_rating ${on_cluster}
(
    rating_id UInt64 COMMENT 'Element id in its smart process; 0 unless open',
    process_key LowCardinality(String) COMMENT 'Rated process',
    period Date COMMENT 'First day of the month rated',
    rated_on Nullable(Date) COMMENT 'Day the rating was made, portal time; NULL unless open',
    ratee_id UInt32 COMMENT 'Who set the task; 0 unless open',
    ratee_sk UInt64 COMMENT 'Version of the ratee on that day; 0 unless open',
    ratee_department_id UInt32 COMMENT 'Department of the ratee on that day, 0 if unknown',
    rater_key String COMMENT 'Rater: decimal employee id, or a pseudonym of 32 hex digits',
    rater_department_id UInt32 COMMENT 'Department of the rater on that day, 0 if unknown',
    task_id UInt64 COMMENT 'Linked task, 0 if none; 0 unless open',
    score Nullable(UInt8) COMMENT '1..5; NULL if there is none or it is out of range',
    is_five Bool COMMENT 'Whether the score is 5',
    comment String COMMENT 'Reason as written; empty unless open',
    comment_level LowCardinality(String) COMMENT 'ok or violation: does a lowered score say why',
    reason_code LowCardinality(String) COMMENT 'Main reason of a lowered score, empty until reasons are tagged',
    is_counted Bool COMMENT 'Whether it enters scores: exclusion_code is empty',
    exclusion_code LowCardinality(String) COMMENT 'First reason not to count it, empty if there is none',
    mode LowCardinality(String) COMMENT 'Release mode that let it out',
    policy_version String COMMENT 'Policy line that decided, see dim_policy'
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(period)
ORDER BY (process_key, period, rating_id, rater_key)
COMMENT 'Grain: rating that the policy shows as a row; excluded and deleted ones stay, with their code';

CREATE TABLE IF NOT EXISTS hr.fct_rating ${on_cluster}
(
    rating_id UInt64 COMMENT 'Element id in its smart process',
    process_key LowCardinality(String) COMMENT 'Rated process',
    period Date COMMENT 'First day of the month rated',
    rated_on Date COMMENT 'Day the rating was made, portal time',
    ratee_id UInt32 COMMENT 'Who set the task',
    ratee_sk UInt64 COMMENT 'Version of the ratee on that day',
    ratee_department_id UInt32 COMMENT 'Department of the ratee on that day, 0 if unknown',
    rater_id UInt32 COMMENT 'Who executed the task and rated',
    rater_key String COMMENT 'The same as text, as in dwh.fct_rating',
    rater_department_id UInt32 COMMENT 'Department of the rater on that day, 0 if unknown',
    task_id UInt64 COMMENT 'Linked task, 0 if none',
    score Nullable(UInt8) COMMENT '1..5; NULL if there is none or it is out of range',
    is_five Bool COMMENT 'Whether the score is 5',
    comment String COMMENT 'Reason as written',
    comment_level LowCardinality(String) COMMENT 'ok or violation: does a lowered score say why',
    reason_code LowCardinality(String) COMMENT 'Main reason of a lowered score, empty until reasons are tagged',
    is_counted Bool COMMENT 'Whether it enters scores: exclusion_code is empty',
    exclusion_code LowCardinality(String) COMMENT 'First reason not to count it, empty if there is none',
    mode LowCardinality(String) COMMENT 'Release mode that let it out',
    policy_version String COMMENT 'Policy line that decided, see dim_policy'
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(period)
ORDER BY (process_key, period, rating_id)
COMMENT 'Grain: rating in mode open or named_to_hr, named; for HR only';
