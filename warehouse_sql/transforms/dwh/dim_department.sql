-- dwh.dim_department
-- Grain: version of a department; a row for the department that is not known.
-- Source: stg.department_version.
-- Rebuilt whole. Read by: marts, analysts; the next run, as its memory of earlier versions.
SELECT
    sipHash64(department_id, valid_from) AS department_sk,
    department_id,
    name,
    parent_id,
    level,
    head_employee_id,
    valid_from,
    valid_to,
    is_current,
    is_inferred
FROM stg.department_version
UNION ALL
SELECT
    sipHash64(toUInt32(0), toDate('1970-01-01')),
    toUInt32(0),
    'Подразделение неизвестно',
    toUInt32(0),
    toUInt8(0),
    toUInt32(0),
    toDate('1970-01-01'),
    toDate('2100-01-01'),
    true,
    true
