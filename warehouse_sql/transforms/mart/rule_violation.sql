-- mart.rule_violation, open scope
-- Grain: month x process x rater department x comment rule that fits at least one rating.
-- Source: stg.dwh_fct_rating, stg.dwh_dim_process (comment threshold), stg.dwh_dim_rule, stg.dwh_dim_department.
-- Partition: scope. Read by: department heads, those who look after data quality.
WITH department AS
(
    SELECT department_id, argMax(name, valid_from) AS name
    FROM stg.dwh_dim_department
    GROUP BY department_id
),
rated AS
(
    SELECT
        period,
        process_key,
        rater_department_id,
        comment_rules,
        -- What was lowered when it was judged: a threshold may change after its month was destroyed.
        if(ruleset_version = '', score < comment_required_below, reason_code != '') AS is_low
    FROM stg.dwh_fct_rating AS rating
    INNER JOIN stg.dwh_dim_process AS process USING (process_key)
    WHERE mode = 'open' AND exclusion_code IN ('', 'unexplained')
),
lowered AS
(
    SELECT period, process_key, rater_department_id, countIf(is_low) AS low_ratings
    FROM rated
    GROUP BY period, process_key, rater_department_id
),
fitting AS
(
    SELECT period, process_key, rater_department_id, arrayJoin(splitByChar(',', comment_rules)) AS rule_code
    FROM rated
    WHERE comment_rules != ''
)
SELECT
    'open' AS scope,
    period AS period_from,
    period AS period_to,
    process_key,
    rater_department_id,
    any(rater_side.name) AS rater_department,
    rule_code,
    any(rule.severity) AS severity,
    any(rule.title) AS title,
    any(rule.hint) AS hint,
    count() AS ratings,
    any(lowered.low_ratings) AS low_ratings,
    -- What is only worth a note may stand at scores that are not lowered.
    if(any(rule.severity) = 'info', NULL, ratings / nullIf(low_ratings, 0)) AS share
FROM fitting
INNER JOIN lowered USING (period, process_key, rater_department_id)
LEFT JOIN stg.dwh_dim_rule AS rule USING (rule_code)
LEFT JOIN department AS rater_side ON fitting.rater_department_id = rater_side.department_id
GROUP BY period, process_key, rater_department_id, rule_code
