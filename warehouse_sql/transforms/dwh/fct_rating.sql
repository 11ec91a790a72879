-- dwh.fct_rating
-- Grain: rating that the policy shows as a row: mode open, and pseudonymous as released (no ratee, task, day, text).
-- Source: stg.released_rating, stg.dwh_dim_employee (version of the ratee on the day of the rating),
-- stg.released_pseudonym.
-- Partition: month of period; only touched months are in the source. Read by: analysts, marts of open scope.
SELECT
    rating_id,
    process_key,
    period,
    rated_on,
    ratee_id,
    employee_sk AS ratee_sk,
    ratee_department_id,
    toString(rater_id) AS rater_key,
    rater_department_id,
    task_id,
    score,
    ifNull(score = 5, false) AS is_five,
    comment,
    comment_level,
    comment_rules,
    ruleset_version,
    splitByChar(',', reason_codes)[1] AS reason_code,
    exclusion_code = '' AS is_counted,
    exclusion_code,
    mode,
    policy_version
FROM stg.released_rating AS rating
ASOF LEFT JOIN stg.dwh_dim_employee AS ratee
    ON rating.ratee_id = ratee.employee_id AND rating.rated_on >= ratee.valid_from
WHERE mode = 'open'
UNION ALL
SELECT
    0 AS rating_id,
    process_key,
    period,
    NULL AS rated_on,
    0 AS ratee_id,
    0 AS ratee_sk,
    ratee_department_id,
    pseudonym AS rater_key,
    rater_department_id,
    0 AS task_id,
    score,
    score = 5 AS is_five,
    '' AS comment,
    '' AS comment_level,
    '' AS comment_rules,
    '' AS ruleset_version,
    '' AS reason_code,
    true AS is_counted,
    '' AS exclusion_code,
    'pseudonymous' AS mode,
    -- A line of the policy could tell whose rows belong together.
    '' AS policy_version
FROM stg.released_pseudonym
