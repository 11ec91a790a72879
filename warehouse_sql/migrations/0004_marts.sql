-- Marts: the only database dashboards read. Partitioned by scope: a run rebuilds the open scope whole and only ever
-- adds rows to the hidden one.
CREATE TABLE IF NOT EXISTS mart.department_pair ${on_cluster}
(
    scope LowCardinality(String) COMMENT 'open: exact, by month; hidden: released rows, by quarter',
    period_from Date COMMENT 'First day of the first month',
    period_to Date COMMENT 'First day of the last month',
    process_key LowCardinality(String) COMMENT 'Rated process',
    rater_department_id UInt32 COMMENT 'Department that executed and rated',
    rater_department String COMMENT 'Its name today',
    ratee_department_id UInt32 COMMENT 'Department that set the tasks',
    ratee_department String COMMENT 'Its name today',
    rater_band LowCardinality(String) COMMENT 'Distinct raters: 1-3, 4-6, 7-9 or 10+',
    mean_score Float64 COMMENT 'Mean score; hidden: of raters weighing 1 each, rounded to 0.1',
    ratings Nullable(UInt32) COMMENT 'Counted ratings; NULL in hidden scope',
    share_of_fives Nullable(Float64) COMMENT 'Share of fives among them, 0..1; NULL in hidden scope',
    coverage Nullable(Float64) COMMENT 'Share of expected ratings given, 0..1; NULL without tasks or in hidden scope',
    explained_share Nullable(Float64) COMMENT 'Share of lowered scores that say why, 0..1; NULL if none or hidden'
)
ENGINE = ${replicated}MergeTree
PARTITION BY scope
ORDER BY (process_key, period_from, rater_department_id, ratee_department_id)
COMMENT 'Grain: scope x window x rater department x ratee department x process';

CREATE TABLE IF NOT EXISTS mart.comment_feed ${on_cluster}
(
    scope LowCardinality(String) COMMENT 'open: exact, with people; hidden: pooled text only',
    period_from Date COMMENT 'First day of the first month',
    period_to Date COMMENT 'First day of the last month',
    process_key LowCardinality(String) COMMENT 'Rated process',
    ratee_department_id UInt32 COMMENT 'Department that set the task',
    ratee_department String COMMENT 'Its name today',
    rater_department_id Nullable(UInt32) COMMENT 'Department that rated; NULL in hidden scope',
    rater_department Nullable(String) COMMENT 'Its name today; NULL in hidden scope',
    ratee Nullable(String) COMMENT 'Who set the task; NULL in hidden scope',
    rater Nullable(String) COMMENT 'Who rated; NULL in hidden scope',
    rated_on Nullable(Date) COMMENT 'Day of the rating; NULL in hidden scope',
    score Nullable(UInt8) COMMENT 'Score; NULL in hidden scope',
    comment String COMMENT 'The comment',
    comment_level LowCardinality(Nullable(String)) COMMENT 'ok or violation; NULL in hidden scope'
)
ENGINE = ${replicated}MergeTree
PARTITION BY scope
ORDER BY (process_key, period_from, ratee_department_id, cityHash64(comment))
COMMENT 'Grain: comment of a counted or unexplained rating (open scope only for now)';

CREATE TABLE IF NOT EXISTS mart.rating_block ${on_cluster}
(
    ratee_id UInt32 COMMENT 'Who set the tasks',
    process_key LowCardinality(String) COMMENT 'Rated process',
    block_from Date COMMENT 'First day of the first month',
    block_to Date COMMENT 'First day of the last month',
    rater_band LowCardinality(String) COMMENT 'Distinct raters: 4-6, 7-9 or 10+ (1-3 in profile small_company)',
    score_band LowCardinality(String) COMMENT 'Mean of raters weighing 1 each, rounded to 0.25 and clamped',
    policy_version String COMMENT 'Digest of the whole policy at the release',
    released_at Date COMMENT 'Portal day of the release'
)
ENGINE = ${replicated}MergeTree
ORDER BY (ratee_id, process_key, block_from)
COMMENT 'Grain: released ratee block of hidden ratings; written once, never changed';
