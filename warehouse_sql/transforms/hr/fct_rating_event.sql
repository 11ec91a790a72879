-- hr.fct_rating_event
-- Grain: change of a named rating as runs observed it.
-- Source: stg.released_event.
-- Partition: month of period; only touched months are in the source. Read by: HR.
SELECT
    process_key,
    rating_id,
    number AS event_number,
    event,
    period,
    observed_on,
    changed_at,
    is_after_freeze,
    changed,
    old_score,
    if(event = 'delete', NULL, score) AS new_score,
    rater_id,
    ratee_id,
    mode
FROM stg.released_event
