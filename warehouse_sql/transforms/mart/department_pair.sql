-- mart.department_pair, open scope
-- Grain: month x rater department x ratee department x process with at least one rating, counted or unexplained.
-- Source: stg.dwh_fct_rating, stg.dwh_dim_department (last names), stg.dwh_dim_process (comment threshold),
-- stg.mart_coverage.
-- Partition: scope. Read by: department heads.
WITH department AS
(
    SELECT department_id, argMax(name, valid_from) AS name
    FROM stg.dwh_dim_department
    GROUP BY department_id
),
rated AS
(
    SELECT
        *,
        exclusion_code IN ('', 'unexplained') AS is_rated,
        -- What was lowered when it was judged: a threshold may change after its month was destroyed.
        is_rated AND if(ruleset_version = '', score < comment_required_below, reason_code != '') AS is_low
    FROM stg.dwh_fct_rating
    INNER JOIN stg.dwh_dim_process USING (process_key)
    WHERE mode = 'open'
),
expectation AS
(
    SELECT period_from AS period, process_key, rater_department_id, ratee_department_id, coverage AS share_given
    FROM stg.mart_coverage
    WHERE scope = 'open'
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
    multiIf(
        uniqExactIf(rater_key, is_rated) >= 10, '10+',
        uniqExactIf(rater_key, is_rated) >= 7, '7-9',
        uniqExactIf(rater_key, is_rated) >= 4, '4-6',
        '1-3'
    ) AS rater_band,
    avgOrNullIf(score, is_counted) AS mean_score,
    countIf(is_counted) AS ratings,
    countIf(is_counted AND is_five) / nullIf(ratings, 0) AS share_of_fives,
    avgIf(score, is_rated) AS mean_score_all,
    countIf(is_rated AND is_five) / countIf(is_rated) AS share_of_fives_all,
    countIf(exclusion_code = 'unexplained') / countIf(is_rated) AS unexplained_share,
    any(share_given) AS coverage,
    countIf(is_low AND comment_level != 'violation') / nullIf(countIf(is_low), 0) AS explained_share,
    countIf(is_low) AS low_ratings,
    countIf(is_low AND comment_level != 'violation') AS explained_ratings
FROM rated
LEFT JOIN expectation USING (period, process_key, rater_department_id, ratee_department_id)
LEFT JOIN department AS rater_side ON rated.rater_department_id = rater_side.department_id
LEFT JOIN department AS ratee_side ON rated.ratee_department_id = ratee_side.department_id
GROUP BY period, process_key, rater_department_id, ratee_department_id
HAVING countIf(is_rated) > 0
