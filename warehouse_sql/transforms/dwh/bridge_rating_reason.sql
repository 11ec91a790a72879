-- dwh.bridge_rating_reason
-- Grain: open rating with a lowered score x reason.
-- Source: stg.released_rating.
-- Partition: month of period; only touched months are in the source. Read by: analysts, mart.reason.
SELECT
    process_key,
    rating_id,
    period,
    arrayJoin(splitByChar(',', reason_codes) AS codes) AS reason_code,
    reason_source AS tag_source,
    1 / length(codes) AS weight
FROM stg.released_rating
WHERE mode = 'open' AND reason_codes != ''
