-- What people may read: views, never tables. A view hides the columns that ClickHouse adds to every table (_part,
-- _part_offset and so on tell in which order rows came) and runs with the rights of estafeta_definer, so its readers
-- need none on what lies below. Columns are named one by one: a new one is shown to nobody until it stands here.
-- Safe to run again, and to be run again after every upgrade.
CREATE DATABASE IF NOT EXISTS mart_read ${on_cluster} COMMENT 'Views of mart';
CREATE DATABASE IF NOT EXISTS mart_head ${on_cluster} COMMENT 'Views of mart, each head sees his departments';
CREATE DATABASE IF NOT EXISTS dwh_read ${on_cluster} COMMENT 'Views of dwh';
CREATE DATABASE IF NOT EXISTS hr_read ${on_cluster} COMMENT 'Views of hr, for HR only';

-- mart_read: for HR, analysts, and the one user that DataLens shares between people (there DataLens scopes).
CREATE OR REPLACE VIEW mart_read.coverage ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    scope, period_from, period_to, process_key, rater_department_id, rater_department, ratee_department_id,
    ratee_department, expected, fulfilled, missed, waived_left, waived_below_minimum, waived_task_deleted,
    coverage, timeliness, is_final
FROM mart.coverage;

CREATE OR REPLACE VIEW mart_read.department_pair ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    scope, period_from, period_to, process_key, rater_department_id, rater_department, ratee_department_id,
    ratee_department, rater_band, mean_score, ratings, share_of_fives, mean_score_all, share_of_fives_all,
    unexplained_share, coverage, explained_share, low_ratings, explained_ratings
FROM mart.department_pair;

CREATE OR REPLACE VIEW mart_read.reason ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    scope, period_from, period_to, process_key, rater_department_id, rater_department, ratee_department_id,
    ratee_department, reason_code, title, form_weight, auto_weight, weight, share, low_ratings
FROM mart.reason;

CREATE OR REPLACE VIEW mart_read.rule_violation ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    scope, period_from, period_to, process_key, rater_department_id, rater_department, rule_code, severity,
    title, hint, ratings, low_ratings, share
FROM mart.rule_violation;

CREATE OR REPLACE VIEW mart_read.comment_queue ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    scope, period_from, period_to, process_key, ratee_department_id, ratee_department, rater_department_id,
    rater_department, ratee, rater, rated_on, score, comment, comment_level, comment_rules, hint, reason_code
FROM mart.comment_queue;

CREATE OR REPLACE VIEW mart_read.comment_feed ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    scope, period_from, period_to, process_key, ratee_department_id, ratee_department, rater_department_id,
    rater_department, ratee, rater, rated_on, score, comment, comment_level, comment_rules, reason_code
FROM mart.comment_feed;

CREATE OR REPLACE VIEW mart_read.rating_block ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    ratee_id, process_key, block_from, block_to, rater_band, score_band, policy_version, released_at
FROM mart.rating_block;

CREATE OR REPLACE VIEW mart_read.user_access ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    user_id, department_id
FROM mart.user_access;

CREATE OR REPLACE VIEW mart_read.agreement ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    scope, agreement_id, agreed_on, process_key, rater_department_id, rater_department, ratee_department_id,
    ratee_department, reason_code, text, owner_id, owner, due, is_done, was_period, was_mean, was_share_of_fives,
    was_ratings, became_period, became_mean, became_share_of_fives, became_ratings
FROM mart.agreement;

CREATE OR REPLACE VIEW mart_read.own_rating ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    ratee_id, ratee, period, process_key, rater_department_id, rater_department, score, is_five, is_counted, reason,
    comment, comment_level
FROM mart.own_rating;

CREATE OR REPLACE VIEW mart_read.correction ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    period, process_key, kind, title, corrections, after_freeze
FROM mart.correction;

-- mart_head: for heads who log in to ClickHouse themselves. A row is in sight if one of its sides is a department that
-- mart.user_access gives to the user, whose name is u and the employee id; a block is, if its ratee works in one.
-- LIMIT keeps the reader's own conditions above the scope: without it the engine may run throwIf(...) on rows that the
-- scope takes away, and the error tells what stood in them.
CREATE OR REPLACE VIEW mart_head.coverage ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
WITH sight AS
(
    SELECT department_id FROM mart.user_access WHERE concat('u', toString(user_id)) = currentUser()
)
SELECT
    scope, period_from, period_to, process_key, rater_department_id, rater_department, ratee_department_id,
    ratee_department, expected, fulfilled, missed, waived_left, waived_below_minimum, waived_task_deleted,
    coverage, timeliness, is_final
FROM mart.coverage
WHERE rater_department_id IN (SELECT department_id FROM sight) OR ratee_department_id IN (SELECT department_id FROM sight)
LIMIT 1000000000000;

CREATE OR REPLACE VIEW mart_head.department_pair ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
WITH sight AS
(
    SELECT department_id FROM mart.user_access WHERE concat('u', toString(user_id)) = currentUser()
)
SELECT
    scope, period_from, period_to, process_key, rater_department_id, rater_department, ratee_department_id,
    ratee_department, rater_band, mean_score, ratings, share_of_fives, mean_score_all, share_of_fives_all,
    unexplained_share, coverage, explained_share, low_ratings, explained_ratings
FROM mart.department_pair
WHERE rater_department_id IN (SELECT department_id FROM sight) OR ratee_department_id IN (SELECT department_id FROM sight)
LIMIT 1000000000000;

CREATE OR REPLACE VIEW mart_head.reason ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
WITH sight AS
(
    SELECT department_id FROM mart.user_access WHERE concat('u', toString(user_id)) = currentUser()
)
SELECT
    scope, period_from, period_to, process_key, rater_department_id, rater_department, ratee_department_id,
    ratee_department, reason_code, title, form_weight, auto_weight, weight, share, low_ratings
FROM mart.reason
WHERE rater_department_id IN (SELECT department_id FROM sight) OR ratee_department_id IN (SELECT department_id FROM sight)
LIMIT 1000000000000;

CREATE OR REPLACE VIEW mart_head.rule_violation ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
WITH sight AS
(
    SELECT department_id FROM mart.user_access WHERE concat('u', toString(user_id)) = currentUser()
)
SELECT
    scope, period_from, period_to, process_key, rater_department_id, rater_department, rule_code, severity,
    title, hint, ratings, low_ratings, share
FROM mart.rule_violation
WHERE rater_department_id IN (SELECT department_id FROM sight)
LIMIT 1000000000000;

CREATE OR REPLACE VIEW mart_head.comment_queue ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
WITH sight AS
(
    SELECT department_id FROM mart.user_access WHERE concat('u', toString(user_id)) = currentUser()
)
SELECT
    scope, period_from, period_to, process_key, ratee_department_id, ratee_department, rater_department_id,
    rater_department, ratee, rater, rated_on, score, comment, comment_level, comment_rules, hint, reason_code
FROM mart.comment_queue
WHERE rater_department_id IN (SELECT department_id FROM sight) OR ratee_department_id IN (SELECT department_id FROM sight)
LIMIT 1000000000000;

CREATE OR REPLACE VIEW mart_head.comment_feed ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
WITH sight AS
(
    SELECT department_id FROM mart.user_access WHERE concat('u', toString(user_id)) = currentUser()
)
SELECT
    scope, period_from, period_to, process_key, ratee_department_id, ratee_department, rater_department_id,
    rater_department, ratee, rater, rated_on, score, comment, comment_level, comment_rules, reason_code
FROM mart.comment_feed
WHERE rater_department_id IN (SELECT department_id FROM sight) OR ratee_department_id IN (SELECT department_id FROM sight)
LIMIT 1000000000000;

CREATE OR REPLACE VIEW mart_head.rating_block ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
WITH sight AS
(
    SELECT department_id FROM mart.user_access WHERE concat('u', toString(user_id)) = currentUser()
)
SELECT
    ratee_id, process_key, block_from, block_to, rater_band, score_band, policy_version, released_at
FROM mart.rating_block
WHERE ratee_id IN
(
    SELECT employee_id FROM dwh.dim_employee
    WHERE is_current AND department_id IN (SELECT department_id FROM sight)
)
LIMIT 1000000000000;

CREATE OR REPLACE VIEW mart_head.agreement ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
WITH sight AS
(
    SELECT department_id FROM mart.user_access WHERE concat('u', toString(user_id)) = currentUser()
)
SELECT
    scope, agreement_id, agreed_on, process_key, rater_department_id, rater_department, ratee_department_id,
    ratee_department, reason_code, text, owner_id, owner, due, is_done, was_period, was_mean, was_share_of_fives,
    was_ratings, became_period, became_mean, became_share_of_fives, became_ratings
FROM mart.agreement
WHERE rater_department_id IN (SELECT department_id FROM sight) OR ratee_department_id IN (SELECT department_id FROM sight)
LIMIT 1000000000000;

CREATE OR REPLACE VIEW mart_head.own_rating ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
WITH sight AS
(
    SELECT department_id FROM mart.user_access WHERE concat('u', toString(user_id)) = currentUser()
)
SELECT
    ratee_id, ratee, period, process_key, rater_department_id, rater_department, score, is_five, is_counted, reason,
    comment, comment_level
FROM mart.own_rating
WHERE ratee_id IN
(
    SELECT employee_id FROM dwh.dim_employee
    WHERE is_current AND department_id IN (SELECT department_id FROM sight)
)
LIMIT 1000000000000;

CREATE OR REPLACE VIEW mart_head.user_access ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    user_id, department_id
FROM mart.user_access
WHERE concat('u', toString(user_id)) = currentUser()
LIMIT 1000000000000;

-- dwh_read: for HR and analysts.
CREATE OR REPLACE VIEW dwh_read.dim_date ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    date, month, quarter, half_year, year, weekday
FROM dwh.dim_date;

CREATE OR REPLACE VIEW dwh_read.dim_process ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    process_key, title, cadence, comment_required_below
FROM dwh.dim_process;

CREATE OR REPLACE VIEW dwh_read.dim_policy ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    policy_version, process_key, rater_department, ratee_department, mode, valid_from
FROM dwh.dim_policy;

CREATE OR REPLACE VIEW dwh_read.dim_reason ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    reason_code, title, sort_order
FROM dwh.dim_reason;

CREATE OR REPLACE VIEW dwh_read.dim_rule ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    rule_code, severity, title, hint, ruleset_version
FROM dwh.dim_rule;

CREATE OR REPLACE VIEW dwh_read.dim_department ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    department_sk, department_id, name, parent_id, level, head_employee_id, valid_from, valid_to, is_current,
    is_inferred
FROM dwh.dim_department;

CREATE OR REPLACE VIEW dwh_read.dim_employee ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    employee_sk, employee_id, full_name, position, department_id, is_active, valid_from, valid_to, is_current,
    is_inferred, is_unknown
FROM dwh.dim_employee;

CREATE OR REPLACE VIEW dwh_read.fct_rating ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    rating_id, process_key, period, rated_on, ratee_id, ratee_sk, ratee_department_id, rater_key,
    rater_department_id, task_id, score, is_five, comment, comment_level, comment_rules, ruleset_version,
    reason_code, is_counted, exclusion_code, mode, policy_version
FROM dwh.fct_rating;

CREATE OR REPLACE VIEW dwh_read.bridge_rating_reason ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    process_key, rating_id, period, reason_code, tag_source, weight
FROM dwh.bridge_rating_reason;

-- hr_read: for HR alone.
CREATE OR REPLACE VIEW hr_read.fct_rating ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    rating_id, process_key, period, rated_on, ratee_id, ratee_sk, ratee_department_id, rater_id, rater_key,
    rater_department_id, task_id, score, is_five, comment, comment_level, comment_rules, ruleset_version,
    reason_code, is_counted, exclusion_code, mode, policy_version
FROM hr.fct_rating;

CREATE OR REPLACE VIEW hr_read.fct_obligation ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    process_key, period, rater_id, ratee_id, rater_department_id, ratee_department_id, task_id, tasks,
    expected_on, due_on, status, waiver, rating_id, rated_on, mode, policy_version
FROM hr.fct_obligation;

CREATE OR REPLACE VIEW hr_read.fct_rating_event ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    process_key, rating_id, event_number, event, period, observed_on, changed_at, is_after_freeze, changed,
    old_score, new_score, rater_id, ratee_id, mode
FROM hr.fct_rating_event;

CREATE OR REPLACE VIEW hr_read.fct_score ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    scope, ratee_id, window_from, window_to, ratings, raters, months, effective_ratings, coverage, mean_score,
    share_of_fives, adjusted_share, lower_bound, upper_bound, sensitivity_share, sensitivity_band, component,
    component_share, band, explanation, method_version, is_frozen
FROM hr.fct_score;

CREATE OR REPLACE VIEW hr_read.fct_signal ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    signal_type, title, rater_id, ratee_id, window_from, window_to, ratings, strength, explanation,
    is_experimental, status, method_version, is_frozen
FROM hr.fct_signal;

CREATE OR REPLACE VIEW hr_read.fct_decision ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    number, ratee_id, period, scope, recommendation, decision, decided_by, decided_on, reason, reason_level,
    exclusion_code, is_counted, is_different
FROM hr.fct_decision;

CREATE OR REPLACE VIEW hr_read.recommendation ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    scope, ratee_id, ratee, department_id, department, window_from, window_to, half_year, is_latest, is_frozen, ratings,
    raters, months, coverage, mean_score, share_of_fives, adjusted_share, lower_bound, upper_bound, band,
    sensitivity_band, explanation, signals, decision, decided_by, decided_on, decision_reason, is_different
FROM hr.recommendation;

CREATE OR REPLACE VIEW hr_read.signal_queue ${on_cluster} DEFINER = estafeta_definer SQL SECURITY DEFINER AS
SELECT
    signal_type, title, rater_id, rater, ratee_id, ratee, department, window_from, window_to, half_year, is_latest,
    ratings, strength, explanation, is_experimental, status
FROM hr.signal_queue;
