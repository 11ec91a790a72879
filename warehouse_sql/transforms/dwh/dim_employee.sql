-- dwh.dim_employee
-- Grain: version of an employee; for now the first version only.
-- Source: stg.seen_employee (the portal today), stg.released_rating (people no user list shows, so that no fact loses
-- its member), dwh.dim_employee (people the portal no longer shows).
-- Rebuilt whole. Read by: facts (surrogate key), marts, analysts.
WITH
    toDate('1970-01-01') AS first_day,
    toDate('2100-01-01') AS no_end
SELECT
    sipHash64(employee_id, first_day) AS employee_sk,
    employee_id,
    full_name,
    position,
    department_id,
    is_active,
    first_day AS valid_from,
    no_end AS valid_to,
    true AS is_current,
    true AS is_inferred
FROM
(
    SELECT employee_id, full_name, position, department_id, is_active
    FROM stg.seen_employee
    UNION ALL
    SELECT employee_id, full_name, position, department_id, is_active
    FROM dwh.dim_employee
    WHERE employee_id NOT IN (SELECT employee_id FROM stg.seen_employee)
    UNION ALL
    SELECT DISTINCT arrayJoin([rater_id, ratee_id]) AS employee_id, '', '', toUInt32(0), false
    FROM stg.released_rating
    WHERE
        employee_id != 0
        AND employee_id NOT IN (SELECT employee_id FROM stg.seen_employee)
        AND employee_id NOT IN (SELECT employee_id FROM dwh.dim_employee)
)
