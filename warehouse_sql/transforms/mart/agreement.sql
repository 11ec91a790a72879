-- mart.agreement
-- Grain: agreement of two heads.
-- Source: stg.agreement_line, stg.mart_department_pair (published rows alone: nothing is reckoned from ratings),
-- stg.dwh_dim_department and stg.dwh_dim_employee (last names).
-- Rebuilt whole. Read by: department heads (the agenda).
-- A pair that has open rows in the process is compared by months, any other by released quarters; never both.
WITH
    department AS
    (
        SELECT department_id, argMax(name, valid_from) AS name
        FROM stg.dwh_dim_department
        GROUP BY department_id
    ),
    pair AS
    (
        SELECT
            scope, process_key, rater_department_id, ratee_department_id, period_from, period_to, mean_score,
            share_of_fives, ratings
        FROM stg.mart_department_pair
        WHERE mean_score IS NOT NULL
    ),
    placed AS
    (
        SELECT
            line.number AS number,
            if(countIf(pair.scope = 'open') > 0, 'open', 'hidden') AS shown_scope
        FROM stg.agreement_line AS line
        LEFT JOIN pair USING (process_key, rater_department_id, ratee_department_id)
        GROUP BY line.number
    ),
    was AS
    (
        SELECT
            line.number AS number,
            argMax(tuple(pair.period_from, pair.mean_score, pair.share_of_fives, pair.ratings), pair.period_from) AS found
        FROM stg.agreement_line AS line
        INNER JOIN placed ON line.number = placed.number
        INNER JOIN pair USING (process_key, rater_department_id, ratee_department_id)
        WHERE pair.scope = placed.shown_scope AND addMonths(pair.period_to, 1) <= line.agreed_on
        GROUP BY line.number
    ),
    became AS
    (
        SELECT
            line.number AS number,
            argMax(tuple(pair.period_from, pair.mean_score, pair.share_of_fives, pair.ratings), pair.period_from) AS found
        FROM stg.agreement_line AS line
        INNER JOIN placed ON line.number = placed.number
        INNER JOIN pair USING (process_key, rater_department_id, ratee_department_id)
        WHERE pair.scope = placed.shown_scope AND pair.period_from > line.agreed_on
        GROUP BY line.number
    )
SELECT
    placed.shown_scope AS scope,
    line.number AS agreement_id,
    line.agreed_on AS agreed_on,
    line.process_key AS process_key,
    line.rater_department_id AS rater_department_id,
    rater_side.name AS rater_department,
    line.ratee_department_id AS ratee_department_id,
    ratee_side.name AS ratee_department,
    line.reason_code AS reason_code,
    line.text AS text,
    line.owner_id AS owner_id,
    employee.full_name AS owner,
    line.due AS due,
    line.is_done AS is_done,
    if(was.number = 0, NULL, was.found.1) AS was_period,
    if(was.number = 0, NULL, was.found.2) AS was_mean,
    if(was.number = 0, NULL, was.found.3) AS was_share_of_fives,
    if(was.number = 0, NULL, was.found.4) AS was_ratings,
    if(became.number = 0, NULL, became.found.1) AS became_period,
    if(became.number = 0, NULL, became.found.2) AS became_mean,
    if(became.number = 0, NULL, became.found.3) AS became_share_of_fives,
    if(became.number = 0, NULL, became.found.4) AS became_ratings
FROM stg.agreement_line AS line
INNER JOIN placed ON line.number = placed.number
LEFT JOIN was ON line.number = was.number
LEFT JOIN became ON line.number = became.number
LEFT JOIN department AS rater_side ON line.rater_department_id = rater_side.department_id
LEFT JOIN department AS ratee_side ON line.ratee_department_id = ratee_side.department_id
LEFT JOIN stg.dwh_dim_employee AS employee ON line.owner_id = employee.employee_id AND employee.is_current
