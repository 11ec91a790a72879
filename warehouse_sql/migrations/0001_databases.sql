-- The databases. dwh: open facts and dimensions for analysts; hr: named ratings for HR only; mart: what dashboards
-- read; ops: what engineers read; stg: a run's workshop, empty between runs, nobody else reads it.
CREATE DATABASE IF NOT EXISTS dwh ${on_cluster} COMMENT 'Star schema: dimensions and open ratings';
CREATE DATABASE IF NOT EXISTS hr ${on_cluster} COMMENT 'Named ratings and scores, for HR only';
CREATE DATABASE IF NOT EXISTS mart ${on_cluster} COMMENT 'What dashboards read';
CREATE DATABASE IF NOT EXISTS ops ${on_cluster} COMMENT 'Runs, releases and the journal of swaps';
CREATE DATABASE IF NOT EXISTS stg ${on_cluster} COMMENT 'Workshop of the running load';
