-- What a comment is worth: rules it breaks, reasons it names, and what that means for what is counted.
ALTER TABLE dwh.fct_rating ${on_cluster}
    ADD COLUMN IF NOT EXISTS comment_rules String DEFAULT ''
        COMMENT 'Codes of the comment rules that fit, by commas, see dim_rule; empty if none or not judged yet'
        AFTER comment_level,
    ADD COLUMN IF NOT EXISTS ruleset_version LowCardinality(String) DEFAULT ''
        COMMENT 'Version of the comment rules that judged it; empty for months destroyed before there were any'
        AFTER comment_rules,
    COMMENT COLUMN comment_level 'ok, weak or violation: does a lowered score say why',
    COMMENT COLUMN reason_code 'First reason of a lowered score, see bridge_rating_reason; empty if not lowered';

ALTER TABLE hr.fct_rating ${on_cluster}
    ADD COLUMN IF NOT EXISTS comment_rules String DEFAULT ''
        COMMENT 'Codes of the comment rules that fit, by commas, see dim_rule; empty if none or not judged yet'
        AFTER comment_level,
    ADD COLUMN IF NOT EXISTS ruleset_version LowCardinality(String) DEFAULT ''
        COMMENT 'Version of the comment rules that judged it; empty for months destroyed before there were any'
        AFTER comment_rules,
    COMMENT COLUMN comment_level 'ok, weak or violation: does a lowered score say why',
    COMMENT COLUMN reason_code 'First reason of a lowered score; empty if not lowered';

CREATE TABLE IF NOT EXISTS dwh.dim_reason ${on_cluster}
(
    reason_code String COMMENT 'Code of the reason; untagged: the comment names none that is known',
    title String COMMENT 'Its name for people',
    sort_order UInt8 COMMENT 'Place in lists, from 1'
)
ENGINE = ${replicated}MergeTree
ORDER BY reason_code
COMMENT 'Grain: reason of a lowered score';

CREATE TABLE IF NOT EXISTS dwh.dim_rule ${on_cluster}
(
    rule_code String COMMENT 'Code of the comment rule',
    severity LowCardinality(String) COMMENT 'violation: says nothing; weak: says too little; info: a note only',
    title String COMMENT 'Its name for people',
    hint String COMMENT 'What the rater should write instead',
    ruleset_version String COMMENT 'Version of the rules it was last part of'
)
ENGINE = ${replicated}MergeTree
ORDER BY rule_code
COMMENT 'Grain: comment rule';

CREATE TABLE IF NOT EXISTS dwh.bridge_rating_reason ${on_cluster}
(
    process_key LowCardinality(String) COMMENT 'Rated process',
    rating_id UInt64 COMMENT 'Element id in its smart process, see fct_rating',
    period Date COMMENT 'First day of the month rated',
    reason_code LowCardinality(String) COMMENT 'Reason, see dim_reason',
    tag_source LowCardinality(String) COMMENT 'form: chosen in the form; auto: recognised in the comment',
    weight Float64 COMMENT '1 / number of reasons of the rating, so that each rating weighs 1'
)
ENGINE = ${replicated}MergeTree
PARTITION BY toYYYYMM(period)
ORDER BY (process_key, period, rating_id, reason_code)
COMMENT 'Grain: open rating with a lowered score x reason; excluded ratings too';

ALTER TABLE mart.department_pair ${on_cluster}
    MODIFY COLUMN mean_score Nullable(Float64)
        COMMENT 'Mean score; hidden: of raters weighing 1 each, rounded to 0.1; NULL if no rating counts',
    MODIFY COLUMN share_of_fives Nullable(Float64)
        COMMENT 'Share of fives among them, 0..1; NULL if no rating counts, and in hidden scope',
    ADD COLUMN IF NOT EXISTS mean_score_all Nullable(Float64)
        COMMENT 'Mean score with the unexplained ones that mean_score may leave out; NULL in hidden scope'
        AFTER share_of_fives,
    ADD COLUMN IF NOT EXISTS share_of_fives_all Nullable(Float64)
        COMMENT 'Share of fives with the unexplained ones, 0..1; NULL in hidden scope' AFTER mean_score_all,
    ADD COLUMN IF NOT EXISTS unexplained_share Nullable(Float64)
        COMMENT 'Share of ratings not counted because their lowered score is unexplained, 0..1; NULL in hidden scope'
        AFTER share_of_fives_all;

ALTER TABLE mart.comment_feed ${on_cluster}
    ADD COLUMN IF NOT EXISTS comment_rules Nullable(String)
        COMMENT 'Codes of the comment rules that fit, by commas; NULL in hidden scope' AFTER comment_level,
    ADD COLUMN IF NOT EXISTS reason_code LowCardinality(Nullable(String))
        COMMENT 'First reason of a lowered score, empty if not lowered; NULL in hidden scope' AFTER comment_rules,
    COMMENT COLUMN comment_level 'ok, weak or violation; NULL in hidden scope';

CREATE TABLE IF NOT EXISTS mart.rule_violation ${on_cluster}
(
    scope LowCardinality(String) COMMENT 'open: exact, by month',
    period_from Date COMMENT 'First day of the first month',
    period_to Date COMMENT 'First day of the last month',
    process_key LowCardinality(String) COMMENT 'Rated process',
    rater_department_id UInt32 COMMENT 'Department that executed and rated',
    rater_department String COMMENT 'Its name today',
    rule_code LowCardinality(String) COMMENT 'Comment rule',
    severity LowCardinality(String) COMMENT 'violation, weak or info; only info may stand at scores not lowered',
    title String COMMENT 'Name of the rule',
    hint String COMMENT 'What the rater should write instead',
    ratings UInt32 COMMENT 'Ratings of the department in the month that break it, each once',
    low_ratings UInt32 COMMENT 'Ratings with a lowered score of department, process and month, the base of shares'
)
ENGINE = ${replicated}MergeTree
PARTITION BY scope
ORDER BY (process_key, period_from, rater_department_id, rule_code)
COMMENT 'Grain: scope x month x process x rater department x comment rule, of counted and unexplained ratings';

CREATE TABLE IF NOT EXISTS mart.reason ${on_cluster}
(
    scope LowCardinality(String) COMMENT 'open: exact, by month',
    period_from Date COMMENT 'First day of the first month',
    period_to Date COMMENT 'First day of the last month',
    process_key LowCardinality(String) COMMENT 'Rated process',
    rater_department_id UInt32 COMMENT 'Department that executed and rated',
    rater_department String COMMENT 'Its name today',
    ratee_department_id UInt32 COMMENT 'Department that set the tasks',
    ratee_department String COMMENT 'Its name today',
    reason_code LowCardinality(String) COMMENT 'Reason of lowered scores',
    title String COMMENT 'Name of the reason',
    form_weight Float64 COMMENT 'Weight of reasons chosen in the form',
    auto_weight Float64 COMMENT 'Weight of reasons recognised in the comment, untagged among them',
    weight Float64 COMMENT 'Both; a rating with n reasons weighs 1/n in each, so weights add up to ratings',
    share Float64 COMMENT 'Weight / low_ratings, 0..1: adds up to 1 over the reasons of a cell',
    low_ratings UInt32 COMMENT 'Ratings with a lowered score of month, process and department pair'
)
ENGINE = ${replicated}MergeTree
PARTITION BY scope
ORDER BY (process_key, period_from, rater_department_id, ratee_department_id, reason_code)
COMMENT 'Grain: scope x month x process x rater department x ratee department x reason';

CREATE TABLE IF NOT EXISTS mart.comment_queue ${on_cluster}
(
    scope LowCardinality(String) COMMENT 'open: exact, with people',
    period_from Date COMMENT 'First day of the first month',
    period_to Date COMMENT 'First day of the last month',
    process_key LowCardinality(String) COMMENT 'Rated process',
    ratee_department_id UInt32 COMMENT 'Department that set the task',
    ratee_department String COMMENT 'Its name today',
    rater_department_id UInt32 COMMENT 'Department that rated',
    rater_department String COMMENT 'Its name today',
    ratee String COMMENT 'Who set the task',
    rater String COMMENT 'Who rated, and could say more',
    rated_on Date COMMENT 'Day of the rating',
    score UInt8 COMMENT 'The lowered score',
    comment String COMMENT 'The comment',
    comment_level LowCardinality(String) COMMENT 'violation, weak, or ok if only the reason is not recognised',
    comment_rules String COMMENT 'Codes of the comment rules that fit, by commas',
    hint String COMMENT 'What the rater should write instead, of the first rule; empty if no rule fits',
    reason_code LowCardinality(String) COMMENT 'First reason; untagged: none is recognised'
)
ENGINE = ${replicated}MergeTree
PARTITION BY scope
ORDER BY (process_key, period_from, rater_department_id, cityHash64(comment))
COMMENT 'Grain: lowered score whose comment is a violation, weak or names no known reason: to send back or learn from';

ALTER TABLE stg.released_rating ${on_cluster}
    ADD COLUMN IF NOT EXISTS comment_rules String COMMENT 'Codes by commas' AFTER comment_level,
    ADD COLUMN IF NOT EXISTS ruleset_version String COMMENT 'Version of the rules' AFTER comment_rules,
    ADD COLUMN IF NOT EXISTS reason_codes String COMMENT 'Reasons by commas' AFTER ruleset_version,
    ADD COLUMN IF NOT EXISTS reason_source LowCardinality(String) COMMENT 'form, auto or empty' AFTER reason_codes;
