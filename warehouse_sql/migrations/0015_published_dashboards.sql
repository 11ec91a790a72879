-- What was written to DataLens: its entries do not say who wrote them.
CREATE TABLE IF NOT EXISTS ops.dashboard_entry ${on_cluster}
(
    noted_at DateTime64(6, 'UTC') COMMENT 'When it was noted; the last note on an entry counts',
    workbook_id String COMMENT 'Workbook in DataLens',
    kind LowCardinality(String) COMMENT 'connection, dataset, chart or dashboard',
    key String COMMENT 'Key in the specs',
    name String COMMENT 'Name as it was written',
    entry_id String COMMENT 'Id in DataLens; empty while it is being created, and after it was deleted',
    digest String COMMENT 'SHA-256 of the document that was written',
    revision String COMMENT 'Revision that came of it; empty while it is being written'
)
ENGINE = ${replicated}MergeTree
ORDER BY (workbook_id, kind, key, noted_at)
COMMENT 'Grain: note on an entry of a DataLens workbook that estafeta dashboards apply wrote';
