-- dwh.dim_department
-- Grain: version of a department; for now the first version only.
-- Source: stg.seen_department (the portal today), dwh.dim_department (departments the portal no longer shows).
-- Rebuilt whole. Read by: marts, analysts.
WITH
    toDate('1970-01-01') AS first_day,
    toDate('2100-01-01') AS no_end
SELECT
    sipHash64(department_id, first_day) AS department_sk,
    department_id,
    name,
    parent_id,
    level,
    head_employee_id,
    first_day AS valid_from,
    no_end AS valid_to,
    true AS is_current,
    true AS is_inferred
FROM
(
    SELECT department_id, name, parent_id, level, head_employee_id
    FROM stg.seen_department
    UNION ALL
    SELECT toUInt32(0), 'Подразделение неизвестно', toUInt32(0), toUInt8(0), toUInt32(0)
    UNION ALL
    SELECT department_id, name, parent_id, level, head_employee_id
    FROM dwh.dim_department
    WHERE department_id != 0 AND department_id NOT IN (SELECT department_id FROM stg.seen_department)
)
