-- hr.fct_obligation
-- Grain: expected rating in mode open or named_to_hr.
-- Source: stg.released_obligation.
-- Partition: month of period; only touched months are in the source. Read by: HR, mart.coverage (open ones).
SELECT
    process_key,
    period,
    rater_id,
    ratee_id,
    rater_department_id,
    ratee_department_id,
    task_id,
    tasks,
    expected_on,
    due_on,
    status,
    waiver,
    rating_id,
    rated_on,
    mode,
    policy_version
FROM stg.released_obligation
