-- mart.comment_queue, open scope
-- Grain: lowered score, counted or unexplained, whose comment breaks a rule, is weak or names no known reason.
-- Source: stg.dwh_fct_rating, stg.dwh_dim_rule (hints), stg.dwh_dim_employee and stg.dwh_dim_department (last names).
-- Partition: scope. Read by: department heads, who send ratings back; those who extend the lexicon.
WITH department AS
(
    SELECT department_id, argMax(name, valid_from) AS name
    FROM stg.dwh_dim_department
    GROUP BY department_id
)
SELECT
    'open' AS scope,
    period AS period_from,
    period AS period_to,
    process_key,
    ratee_department_id,
    ratee_side.name AS ratee_department,
    rater_department_id,
    rater_side.name AS rater_department,
    ratee.full_name AS ratee,
    rater.full_name AS rater,
    rated_on,
    score,
    comment,
    comment_level,
    comment_rules,
    rule.hint AS hint,
    reason_code
FROM stg.dwh_fct_rating AS rating
LEFT JOIN stg.dwh_dim_rule AS rule ON splitByChar(',', rating.comment_rules)[1] = rule.rule_code
LEFT JOIN stg.dwh_dim_employee AS ratee ON rating.ratee_id = ratee.employee_id AND ratee.is_current
LEFT JOIN stg.dwh_dim_employee AS rater ON rating.rater_key = toString(rater.employee_id) AND rater.is_current
LEFT JOIN department AS ratee_side ON rating.ratee_department_id = ratee_side.department_id
LEFT JOIN department AS rater_side ON rating.rater_department_id = rater_side.department_id
WHERE mode = 'open' AND exclusion_code IN ('', 'unexplained')
    -- Only lowered scores are judged and tagged.
    AND (comment_level != 'ok' OR reason_code = 'untagged')
