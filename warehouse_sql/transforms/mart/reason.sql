-- mart.reason, open scope
-- Grain: month x process x rater department x ratee department x reason of a lowered score.
-- Source: stg.dwh_bridge_rating_reason, stg.dwh_fct_rating, stg.dwh_dim_reason, stg.dwh_dim_department (last names).
-- Partition: scope. Read by: department heads.
WITH department AS
(
    SELECT department_id, argMax(name, valid_from) AS name
    FROM stg.dwh_dim_department
    GROUP BY department_id
),
tagged AS
(
    SELECT rating.period AS period, process_key, rating_id, rater_department_id, ratee_department_id,
        tag.reason_code AS reason_code, tag_source, weight
    FROM stg.dwh_bridge_rating_reason AS tag
    INNER JOIN stg.dwh_fct_rating AS rating USING (process_key, rating_id)
    WHERE mode = 'open' AND exclusion_code IN ('', 'unexplained')
),
cell AS
(
    SELECT period, process_key, rater_department_id, ratee_department_id, uniqExact(rating_id) AS low_ratings
    FROM tagged
    GROUP BY period, process_key, rater_department_id, ratee_department_id
)
SELECT
    'open' AS scope,
    period AS period_from,
    period AS period_to,
    process_key,
    rater_department_id,
    any(rater_side.name) AS rater_department,
    ratee_department_id,
    any(ratee_side.name) AS ratee_department,
    reason_code,
    any(reason.title) AS title,
    -- Rounded: the order in which thirds are added must not change a table.
    round(sumIf(tagged.weight, tag_source = 'form'), 6) AS form_weight,
    round(sumIf(tagged.weight, tag_source = 'auto'), 6) AS auto_weight,
    round(sum(tagged.weight), 6) AS weight,
    weight / any(cell.low_ratings) AS share,
    any(cell.low_ratings) AS low_ratings
FROM tagged
INNER JOIN cell USING (period, process_key, rater_department_id, ratee_department_id)
LEFT JOIN stg.dwh_dim_reason AS reason USING (reason_code)
LEFT JOIN department AS rater_side ON tagged.rater_department_id = rater_side.department_id
LEFT JOIN department AS ratee_side ON tagged.ratee_department_id = ratee_side.department_id
GROUP BY period, process_key, rater_department_id, ratee_department_id, reason_code
