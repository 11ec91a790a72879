-- What engineers read. ops.release and ops.release_window are swapped together with the hidden rows they record.
CREATE TABLE IF NOT EXISTS ops.release ${on_cluster}
(
    cut LowCardinality(String) COMMENT 'rating_block or department_pair',
    window_from Date COMMENT 'First day of the first month',
    window_to Date COMMENT 'First day of the last month',
    row_digest String COMMENT 'Digest of the published row: shows later that nobody changed it',
    policy_version String COMMENT 'Digest of the whole policy at the release',
    profile LowCardinality(String) COMMENT 'Release profile',
    method LowCardinality(String) COMMENT 'Version of the disclosure rules',
    checks_passed String COMMENT 'Checks the row passed',
    released_at Date COMMENT 'Portal day of the release'
)
ENGINE = ${replicated}MergeTree
ORDER BY (cut, window_from, row_digest)
COMMENT 'Grain: published hidden row';

CREATE TABLE IF NOT EXISTS ops.release_window ${on_cluster}
(
    cut LowCardinality(String) COMMENT 'rating_block or department_pair',
    process_key LowCardinality(String) COMMENT 'Rated process',
    window_from Date COMMENT 'First day of the first month',
    window_to Date COMMENT 'First day of the last month',
    released_at Date COMMENT 'Portal day on which the window was closed for good'
)
ENGINE = ${replicated}MergeTree
ORDER BY (cut, process_key, window_from)
COMMENT 'Grain: window of a hidden cut of a process that was released, with or without rows; never released again';

CREATE TABLE IF NOT EXISTS ops.load_run ${on_cluster}
(
    run_id String COMMENT 'Dagster run',
    finished_at DateTime('UTC') COMMENT 'When the tables were swapped',
    table_name String COMMENT 'Published table',
    period_from Date COMMENT 'First month asked for',
    period_to Date COMMENT 'Last month asked for',
    rows_read UInt64 COMMENT 'Ratings read from the portal in these months, 0 for tables that are no ratings',
    rows_kept UInt64 COMMENT 'Of them counted',
    rows_excluded UInt64 COMMENT 'Of them excluded',
    rows_written UInt64 COMMENT 'Rows of the table after the run',
    is_changed Bool COMMENT 'Whether the run changed the table'
)
ENGINE = ${replicated}MergeTree
ORDER BY (finished_at, run_id, table_name)
COMMENT 'Grain: run x table';

CREATE TABLE IF NOT EXISTS ops.load_count ${on_cluster}
(
    run_id String COMMENT 'Dagster run',
    measure LowCardinality(String) COMMENT 'read (by process), excluded (by code) or released (by mode)',
    item String COMMENT 'Process key, exclusion code or mode',
    ratings UInt64 COMMENT 'Ratings'
)
ENGINE = ${replicated}MergeTree
ORDER BY (run_id, measure, item)
COMMENT 'Grain: run x measure x item';

CREATE TABLE IF NOT EXISTS ops.swap_journal ${on_cluster}
(
    swap_id String COMMENT 'Dagster run that swapped',
    recorded_at DateTime64(3, 'UTC') COMMENT 'When',
    state LowCardinality(String) COMMENT 'begin: the tables below are ready; end: all of them are in place',
    table_name String COMMENT 'Published table',
    table_uuid UUID COMMENT 'Identity of the data that must stand under this name at the end'
)
ENGINE = ${replicated}MergeTree
ORDER BY (recorded_at, swap_id, table_name)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
COMMENT 'Grain: swap x state x table; the next run finishes a swap that has a begin without an end';
