-- Roles, the owner of the views, settings. Run by an administrator, see docs/access.md; safe to run again.
CREATE ROLE IF NOT EXISTS estafeta_department_head ${on_cluster};
CREATE ROLE IF NOT EXISTS estafeta_dashboards ${on_cluster};
CREATE ROLE IF NOT EXISTS estafeta_hr ${on_cluster};
CREATE ROLE IF NOT EXISTS estafeta_analyst ${on_cluster};
CREATE ROLE IF NOT EXISTS estafeta_engineer ${on_cluster};
CREATE ROLE IF NOT EXISTS estafeta_writer ${on_cluster};

-- The views run with the rights of this user, so nobody may ever be it: no host is let in, and no password has this
-- digest.
CREATE USER IF NOT EXISTS estafeta_definer ${on_cluster}
    IDENTIFIED WITH sha256_hash BY '0000000000000000000000000000000000000000000000000000000000000000' HOST NONE;
ALTER USER estafeta_definer ${on_cluster}
    IDENTIFIED WITH sha256_hash BY '0000000000000000000000000000000000000000000000000000000000000000' HOST NONE;

-- readonly is 2, not 1: DataLens and other clients choose formats and the like per query. Whatever could weaken the
-- rest is nailed down: limits, the record of what was asked, server logs (they tell of parts and rows behind a view),
-- and filters that would run on the table below a view.
CREATE SETTINGS PROFILE OR REPLACE estafeta_reader ${on_cluster}
    SETTINGS
        readonly = 2 CONST,
        allow_ddl = 0 CONST,
        allow_introspection_functions = 0 CONST,
        max_execution_time = 60 MIN 1 MAX 60,
        max_memory_usage = 2000000000 MIN 1 MAX 2000000000,
        log_queries = 1 CONST,
        log_queries_probability = 1 CONST,
        log_queries_min_query_duration_ms = 0 CONST,
        log_queries_min_type = 'QUERY_START' CONST,
        log_queries_cut_to_length = 100000 CONST,
        send_logs_level = 'fatal' CONST,
        additional_table_filters = '{}' CONST
    TO estafeta_department_head, estafeta_dashboards, estafeta_hr, estafeta_analyst, estafeta_engineer;

-- What the pipeline says holds values: none of it may lie in logs, which outlive what a stricter policy withdraws.
CREATE SETTINGS PROFILE OR REPLACE estafeta_writer ${on_cluster}
    SETTINGS
        log_queries = 0 CONST,
        log_query_threads = 0 CONST,
        log_query_views = 0 CONST,
        allow_introspection_functions = 0 CONST
    TO estafeta_writer;
