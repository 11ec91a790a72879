-- Who may do what: everything not granted here is denied, and what an older version granted is taken back first.
-- The list must equal warehouse_sql/access.py word by word: tests and `estafeta audit` compare the two.
REVOKE ${on_cluster} ALL ON *.* FROM estafeta_department_head;
REVOKE ${on_cluster} ALL ON *.* FROM estafeta_dashboards;
REVOKE ${on_cluster} ALL ON *.* FROM estafeta_hr;
REVOKE ${on_cluster} ALL ON *.* FROM estafeta_analyst;
REVOKE ${on_cluster} ALL ON *.* FROM estafeta_engineer;
REVOKE ${on_cluster} ALL ON *.* FROM estafeta_writer;
REVOKE ${on_cluster} ALL ON *.* FROM estafeta_definer;

-- The owner of the views reads the tables they stand on.
GRANT ${on_cluster} SELECT ON mart.coverage TO estafeta_definer;
GRANT ${on_cluster} SELECT ON mart.department_pair TO estafeta_definer;
GRANT ${on_cluster} SELECT ON mart.reason TO estafeta_definer;
GRANT ${on_cluster} SELECT ON mart.rule_violation TO estafeta_definer;
GRANT ${on_cluster} SELECT ON mart.comment_queue TO estafeta_definer;
GRANT ${on_cluster} SELECT ON mart.comment_feed TO estafeta_definer;
GRANT ${on_cluster} SELECT ON mart.rating_block TO estafeta_definer;
GRANT ${on_cluster} SELECT ON mart.user_access TO estafeta_definer;
GRANT ${on_cluster} SELECT ON mart.agreement TO estafeta_definer;
GRANT ${on_cluster} SELECT ON mart.own_rating TO estafeta_definer;
GRANT ${on_cluster} SELECT ON mart.correction TO estafeta_definer;
GRANT ${on_cluster} SELECT ON dwh.dim_date TO estafeta_definer;
GRANT ${on_cluster} SELECT ON dwh.dim_process TO estafeta_definer;
GRANT ${on_cluster} SELECT ON dwh.dim_policy TO estafeta_definer;
GRANT ${on_cluster} SELECT ON dwh.dim_reason TO estafeta_definer;
GRANT ${on_cluster} SELECT ON dwh.dim_rule TO estafeta_definer;
GRANT ${on_cluster} SELECT ON dwh.dim_department TO estafeta_definer;
GRANT ${on_cluster} SELECT ON dwh.dim_employee TO estafeta_definer;
GRANT ${on_cluster} SELECT ON dwh.fct_rating TO estafeta_definer;
GRANT ${on_cluster} SELECT ON dwh.bridge_rating_reason TO estafeta_definer;
GRANT ${on_cluster} SELECT ON hr.fct_rating TO estafeta_definer;
GRANT ${on_cluster} SELECT ON hr.fct_obligation TO estafeta_definer;
GRANT ${on_cluster} SELECT ON hr.fct_rating_event TO estafeta_definer;
GRANT ${on_cluster} SELECT ON hr.fct_score TO estafeta_definer;
GRANT ${on_cluster} SELECT ON hr.fct_signal TO estafeta_definer;
GRANT ${on_cluster} SELECT ON hr.fct_decision TO estafeta_definer;
GRANT ${on_cluster} SELECT ON hr.recommendation TO estafeta_definer;
GRANT ${on_cluster} SELECT ON hr.signal_queue TO estafeta_definer;

-- Readers: views only; nothing on tables, on system, on stg, on anything that writes, reads files or calls out.
GRANT ${on_cluster} SELECT ON mart_head.coverage TO estafeta_department_head;
GRANT ${on_cluster} SELECT ON mart_head.department_pair TO estafeta_department_head;
GRANT ${on_cluster} SELECT ON mart_head.reason TO estafeta_department_head;
GRANT ${on_cluster} SELECT ON mart_head.rule_violation TO estafeta_department_head;
GRANT ${on_cluster} SELECT ON mart_head.comment_queue TO estafeta_department_head;
GRANT ${on_cluster} SELECT ON mart_head.comment_feed TO estafeta_department_head;
GRANT ${on_cluster} SELECT ON mart_head.rating_block TO estafeta_department_head;
GRANT ${on_cluster} SELECT ON mart_head.user_access TO estafeta_department_head;
GRANT ${on_cluster} SELECT ON mart_head.agreement TO estafeta_department_head;
GRANT ${on_cluster} SELECT ON mart_head.own_rating TO estafeta_department_head;

GRANT ${on_cluster} SELECT ON mart_read.coverage TO estafeta_dashboards, estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON mart_read.department_pair TO estafeta_dashboards, estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON mart_read.reason TO estafeta_dashboards, estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON mart_read.rule_violation TO estafeta_dashboards, estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON mart_read.comment_queue TO estafeta_dashboards, estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON mart_read.comment_feed TO estafeta_dashboards, estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON mart_read.rating_block TO estafeta_dashboards, estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON mart_read.user_access TO estafeta_dashboards, estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON mart_read.agreement TO estafeta_dashboards, estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON mart_read.own_rating TO estafeta_dashboards, estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON mart_read.correction TO estafeta_dashboards, estafeta_hr, estafeta_analyst;

GRANT ${on_cluster} SELECT ON dwh_read.dim_date TO estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON dwh_read.dim_process TO estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON dwh_read.dim_policy TO estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON dwh_read.dim_reason TO estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON dwh_read.dim_rule TO estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON dwh_read.dim_department TO estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON dwh_read.dim_employee TO estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON dwh_read.fct_rating TO estafeta_hr, estafeta_analyst;
GRANT ${on_cluster} SELECT ON dwh_read.bridge_rating_reason TO estafeta_hr, estafeta_analyst;

GRANT ${on_cluster} SELECT ON hr_read.fct_rating TO estafeta_hr;
GRANT ${on_cluster} SELECT ON hr_read.fct_obligation TO estafeta_hr;
GRANT ${on_cluster} SELECT ON hr_read.fct_rating_event TO estafeta_hr;
GRANT ${on_cluster} SELECT ON hr_read.fct_score TO estafeta_hr;
GRANT ${on_cluster} SELECT ON hr_read.fct_signal TO estafeta_hr;
GRANT ${on_cluster} SELECT ON hr_read.fct_decision TO estafeta_hr;
GRANT ${on_cluster} SELECT ON hr_read.recommendation TO estafeta_hr;
GRANT ${on_cluster} SELECT ON hr_read.signal_queue TO estafeta_hr;

-- Engineers see runs, counts and the ledger, which name nobody.
GRANT ${on_cluster} SELECT ON ops.dashboard_entry TO estafeta_engineer;
GRANT ${on_cluster} SELECT ON ops.load_run TO estafeta_engineer;
GRANT ${on_cluster} SELECT ON ops.load_count TO estafeta_engineer;
GRANT ${on_cluster} SELECT ON ops.release TO estafeta_engineer;
GRANT ${on_cluster} SELECT ON ops.release_window TO estafeta_engineer;
GRANT ${on_cluster} SELECT ON ops.migration TO estafeta_engineer;
GRANT ${on_cluster} SELECT ON ops.swap_journal TO estafeta_engineer;

-- The pipeline: makes, fills and swaps the tables of its five databases. Swapping counts as dropping and creating.
GRANT ${on_cluster} CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, ALTER COLUMN, ALTER MODIFY COMMENT, SELECT, INSERT ON dwh.* TO estafeta_writer;
GRANT ${on_cluster} CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, ALTER COLUMN, ALTER MODIFY COMMENT, SELECT, INSERT ON hr.* TO estafeta_writer;
GRANT ${on_cluster} CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, ALTER COLUMN, ALTER MODIFY COMMENT, SELECT, INSERT ON mart.* TO estafeta_writer;
GRANT ${on_cluster} CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, ALTER COLUMN, ALTER MODIFY COMMENT, SELECT, INSERT ON ops.* TO estafeta_writer;
GRANT ${on_cluster} CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, ALTER COLUMN, ALTER MODIFY COMMENT, SELECT, INSERT ON stg.* TO estafeta_writer;
GRANT ${on_cluster} TRUNCATE, ALTER DELETE ON stg.* TO estafeta_writer;
GRANT ${on_cluster} SELECT ON system.parts TO estafeta_writer;
