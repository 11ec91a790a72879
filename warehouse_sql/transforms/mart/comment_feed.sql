-- mart.comment_feed, open scope
-- Grain: non-empty comment of a rating that counts or is only excluded for not explaining itself.
-- Source: stg.dwh_fct_rating, stg.dwh_dim_employee and stg.dwh_dim_department (last names).
-- Partition: scope. Read by: department heads.
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
    toNullable(rater_department_id) AS rater_department_id,
    toNullable(rater_side.name) AS rater_department,
    toNullable(ratee.full_name) AS ratee,
    toNullable(rater.full_name) AS rater,
    rated_on,
    score,
    comment,
    toNullable(comment_level) AS comment_level,
    toNullable(comment_rules) AS comment_rules,
    toNullable(reason_code) AS reason_code
FROM stg.dwh_fct_rating AS rating
LEFT JOIN stg.dwh_dim_employee AS ratee ON rating.ratee_id = ratee.employee_id AND ratee.is_current
LEFT JOIN stg.dwh_dim_employee AS rater ON rating.rater_key = toString(rater.employee_id) AND rater.is_current
LEFT JOIN department AS ratee_side ON rating.ratee_department_id = ratee_side.department_id
LEFT JOIN department AS rater_side ON rating.rater_department_id = rater_side.department_id
WHERE mode = 'open' AND comment != '' AND exclusion_code IN ('', 'unexplained')
