-- mart.coverage, open scope
-- Grain: month x rater department x ratee department x process with at least one expected rating.
-- Source: stg.hr_fct_obligation, stg.dwh_dim_department (last names); {today} decides what is final.
-- Partition: scope. Read by: department heads, mart.department_pair.
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
    rater_department_id,
    any(rater_side.name) AS rater_department,
    ratee_department_id,
    any(ratee_side.name) AS ratee_department,
    count() AS expected,
    countIf(status = 'fulfilled') AS fulfilled,
    countIf(status = 'missed') AS missed,
    countIf(waiver = 'left') AS waived_left,
    countIf(waiver = 'below_minimum') AS waived_below_minimum,
    countIf(waiver = 'task_deleted') AS waived_task_deleted,
    fulfilled / nullIf(fulfilled + missed, 0) AS coverage,
    countIf(status = 'fulfilled' AND rated_on <= expected_on + 3) / nullIf(fulfilled, 0) AS timeliness,
    max(due_on) <= {today:Date} AS is_final
FROM stg.hr_fct_obligation AS obligation
LEFT JOIN department AS rater_side ON obligation.rater_department_id = rater_side.department_id
LEFT JOIN department AS ratee_side ON obligation.ratee_department_id = ratee_side.department_id
WHERE mode = 'open'
GROUP BY period, process_key, rater_department_id, ratee_department_id
