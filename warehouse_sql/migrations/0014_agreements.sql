-- What two heads agreed, with what the published pair rows say before and after.
CREATE TABLE IF NOT EXISTS stg.agreement_line ${on_cluster}
(
    number UInt64 COMMENT 'Line of the file',
    agreed_on Date COMMENT 'Day of the agreement',
    process_key LowCardinality(String) COMMENT 'Rated process',
    rater_department_id UInt32 COMMENT 'Department that executes and rates',
    ratee_department_id UInt32 COMMENT 'Department that sets the tasks',
    reason_code LowCardinality(String) COMMENT 'Reason it is about',
    text String COMMENT 'What was agreed',
    owner_id UInt32 COMMENT 'Who sees to it, 0 if nobody is named',
    due Nullable(Date) COMMENT 'Until when',
    is_done Bool COMMENT 'Whether it is done'
)
ENGINE = ${replicated}MergeTree
ORDER BY number
COMMENT 'Agreements as read by the running load';

CREATE TABLE IF NOT EXISTS mart.agreement ${on_cluster}
(
    scope LowCardinality(String) COMMENT 'Whose rows was and became are: open or hidden',
    agreement_id UInt64 COMMENT 'Line of the file',
    agreed_on Date COMMENT 'Day of the agreement',
    process_key LowCardinality(String) COMMENT 'Rated process',
    rater_department_id UInt32 COMMENT 'Department that executes and rates',
    rater_department String COMMENT 'Its name today',
    ratee_department_id UInt32 COMMENT 'Department that sets the tasks',
    ratee_department String COMMENT 'Its name today',
    reason_code LowCardinality(String) COMMENT 'Reason it is about, see dwh.dim_reason; empty if none',
    text String COMMENT 'What was agreed, as the heads wrote it',
    owner_id UInt32 COMMENT 'Who sees to it, 0 if nobody is named',
    owner String COMMENT 'His name today',
    due Nullable(Date) COMMENT 'Until when',
    is_done Bool COMMENT 'Whether it is done',
    was_period Nullable(Date) COMMENT 'Last published window that ended before the agreement; NULL: there is none',
    was_mean Nullable(Float64) COMMENT 'Mean score in it',
    was_share_of_fives Nullable(Float64) COMMENT 'Share of fives in it, 0..1; NULL in hidden scope',
    was_ratings Nullable(UInt32) COMMENT 'Ratings in it; NULL in hidden scope',
    became_period Nullable(Date) COMMENT 'Newest published window that began after the agreement; NULL: there is none',
    became_mean Nullable(Float64) COMMENT 'Mean score in it',
    became_share_of_fives Nullable(Float64) COMMENT 'Share of fives in it, 0..1; NULL in hidden scope',
    became_ratings Nullable(UInt32) COMMENT 'Ratings in it; NULL in hidden scope'
)
ENGINE = ${replicated}MergeTree
ORDER BY (agreed_on, agreement_id)
COMMENT 'Grain: agreement of two heads';
