-- dwh.dim_employee
-- Grain: version of an employee; one row for everybody in a fact whom no user list has shown yet.
-- Source: stg.employee_version; stg.released_rating and dwh.dim_employee (ids without a version, so that no fact loses
-- its member: the row is replaced when the person appears).
-- Rebuilt whole. Read by: facts (surrogate key), marts, analysts; the next run, as its memory of earlier versions.
SELECT
    sipHash64(employee_id, valid_from) AS employee_sk,
    employee_id,
    full_name,
    position,
    department_id,
    is_active,
    valid_from,
    valid_to,
    is_current,
    is_inferred,
    false AS is_unknown
FROM stg.employee_version
UNION ALL
SELECT
    sipHash64(stranger, toDate('1970-01-01')),
    stranger,
    '',
    '',
    toUInt32(0),
    false,
    toDate('1970-01-01'),
    toDate('2100-01-01'),
    true,
    true,
    true
FROM
(
    SELECT DISTINCT arrayJoin([rater_id, ratee_id]) AS stranger
    FROM stg.released_rating
    UNION DISTINCT
    SELECT employee_id
    FROM dwh.dim_employee
    WHERE is_unknown
)
WHERE stranger != 0 AND stranger NOT IN (SELECT employee_id FROM stg.employee_version)
