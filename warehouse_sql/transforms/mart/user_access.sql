-- mart.user_access
-- Grain: active head x department headed today or anywhere below; closed departments count by their last place.
-- Source: stg.dwh_dim_department, stg.dwh_dim_employee (who has left looks at nothing).
-- Rebuilt whole. Read by: the heads' views (access/2_views.sql), row-level rules in DataLens.
WITH RECURSIVE
    department AS
    (
        SELECT
            department_id,
            argMax(parent_id, valid_from) AS parent,
            anyIf(head_employee_id, is_current) AS head
        FROM stg.dwh_dim_department
        GROUP BY department_id
    ),
    reach AS
    (
        SELECT head AS user_id, department_id, toUInt8(1) AS depth
        FROM department
        WHERE head != 0
        UNION ALL
        SELECT above.user_id, below.department_id, toUInt8(above.depth + 1)
        FROM reach AS above
        INNER JOIN department AS below ON below.parent = above.department_id
        -- Ends even if versions of different days bite their own tail.
        WHERE above.depth < 100
    )
SELECT DISTINCT user_id, department_id
FROM reach
WHERE user_id IN (SELECT employee_id FROM stg.dwh_dim_employee WHERE is_current AND is_active)
