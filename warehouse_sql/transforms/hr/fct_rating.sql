-- hr.fct_rating
-- Grain: rating in mode open or named_to_hr, with names of both sides.
-- Source: stg.released_rating, stg.dwh_dim_employee (version of the ratee on the day of the rating).
-- Partition: month of period; only touched months are in the source. Read by: HR.
SELECT
    rating_id,
    process_key,
    period,
    rated_on,
    ratee_id,
    employee_sk AS ratee_sk,
    ratee_department_id,
    rater_id,
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
WHERE mode IN ('open', 'named_to_hr')
