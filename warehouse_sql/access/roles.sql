-- Who may read what on a ClickHouse server; run once by an administrator, then grant the roles to users:
--   clickhouse-client --multiquery < warehouse_sql/access/roles.sql      (on a cluster: add ON CLUSTER to each)
-- The embedded engine has no users: there whoever can read the folder can read all of it.
CREATE ROLE IF NOT EXISTS estafeta_department_head;
CREATE ROLE IF NOT EXISTS estafeta_hr;
CREATE ROLE IF NOT EXISTS estafeta_analyst;
CREATE ROLE IF NOT EXISTS estafeta_engineer;

-- Nothing is granted on stg, on system tables or on anything that writes, reads files or calls out.
GRANT SELECT ON mart.* TO estafeta_department_head;
GRANT SELECT ON mart.* TO estafeta_hr;
GRANT SELECT ON hr.* TO estafeta_hr;
GRANT SELECT ON dwh.* TO estafeta_hr;
GRANT SELECT ON mart.* TO estafeta_analyst;
GRANT SELECT ON dwh.* TO estafeta_analyst;
GRANT SELECT ON ops.* TO estafeta_engineer;

-- DataLens changes settings per query, so its user cannot be readonly = 1; grants above hold it to SELECT anyway.
CREATE SETTINGS PROFILE IF NOT EXISTS estafeta_reader
    SETTINGS readonly = 2, max_execution_time = 60, max_memory_usage = 2000000000
    TO estafeta_department_head, estafeta_hr, estafeta_analyst, estafeta_engineer;
