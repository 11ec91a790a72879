-- Who heads what: the scope of the heads' views (access/2_views.sql) and of row-level rules in DataLens.
CREATE TABLE IF NOT EXISTS mart.user_access ${on_cluster}
(
    user_id UInt32 COMMENT 'Employee id of a head; the ClickHouse user is named u and this number',
    department_id UInt32 COMMENT 'Department the head may look at: headed today, or below such a one'
)
ENGINE = ${replicated}MergeTree
ORDER BY (user_id, department_id)
COMMENT 'Grain: head x department in sight; scopes what a head is shown, does not hide raters';
