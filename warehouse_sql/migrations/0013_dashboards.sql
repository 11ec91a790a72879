-- What dashboards need beside the marts. Views: they hold nothing of their own, so they need no place in the swap and
-- can never disagree with what is published. DataLens asks with join_use_nulls = 1: what a LEFT JOIN does not find is
-- made plain here, or columns that promise to be plain would refuse the query.
ALTER TABLE mart.department_pair ${on_cluster}
    ADD COLUMN IF NOT EXISTS low_ratings Nullable(UInt32)
        COMMENT 'Lowered scores, explained or not; NULL in hidden scope',
    ADD COLUMN IF NOT EXISTS explained_ratings Nullable(UInt32)
        COMMENT 'Of them explained: explained_share is their quotient; NULL in hidden scope';

CREATE VIEW IF NOT EXISTS mart.own_rating ${on_cluster}
(
    ratee_id UInt32 COMMENT 'Who is rated',
    ratee String COMMENT 'His name today',
    period Date COMMENT 'Month, first day; closed months only',
    process_key LowCardinality(String) COMMENT 'Rated process',
    rater_department_id UInt32 COMMENT 'Department that rated',
    rater_department String COMMENT 'Its name today',
    score UInt8 COMMENT 'Score',
    is_five Bool COMMENT 'Whether it is a five',
    is_counted Bool COMMENT 'Whether it enters figures',
    reason String COMMENT 'First reason of a lowered score; empty if there is none',
    comment String COMMENT 'The comment as written',
    comment_level LowCardinality(String) COMMENT 'ok, weak or violation'
) AS
WITH
    department AS
    (
        SELECT department_id, argMax(name, valid_from) AS name
        FROM dwh.dim_department
        GROUP BY department_id
    ),
    -- A half-year is frozen when its last month was read in full after its freeze, in every process.
    closed AS (SELECT max(window_to) AS last_month FROM hr.fct_score WHERE scope = 'named' AND is_frozen)
SELECT
    rating.ratee_id AS ratee_id,
    ifNull(employee.full_name, '') AS ratee,
    rating.period AS period,
    rating.process_key AS process_key,
    rating.rater_department_id AS rater_department_id,
    ifNull(department.name, '') AS rater_department,
    assumeNotNull(rating.score) AS score,
    rating.is_five AS is_five,
    rating.is_counted AS is_counted,
    ifNull(dim_reason.title, '') AS reason,
    rating.comment AS comment,
    rating.comment_level AS comment_level
FROM dwh.fct_rating AS rating
LEFT JOIN dwh.dim_employee AS employee ON rating.ratee_id = employee.employee_id AND employee.is_current
LEFT JOIN department ON rating.rater_department_id = department.department_id
LEFT JOIN dwh.dim_reason AS dim_reason ON rating.reason_code = dim_reason.reason_code
WHERE rating.mode = 'open' AND rating.exclusion_code IN ('', 'unexplained') AND rating.score IS NOT NULL
    AND rating.period <= (SELECT last_month FROM closed)
COMMENT 'Grain: open rating of a closed month, without its rater; for the ratee himself';

CREATE VIEW IF NOT EXISTS mart.correction ${on_cluster}
(
    period Date COMMENT 'Month of the rating, first day',
    process_key LowCardinality(String) COMMENT 'Rated process',
    kind LowCardinality(String) COMMENT 'raised, lowered, edit, delete or restore',
    title String COMMENT 'Its name for people',
    corrections UInt64 COMMENT 'How often it happened',
    after_freeze UInt64 COMMENT 'Of them after the month was closed'
) AS
SELECT
    period,
    process_key,
    multiIf(
        event != 'edit', toString(event),
        new_score > old_score, 'raised',
        new_score < old_score, 'lowered',
        'edit'
    ) AS kind,
    transform(
        kind,
        ['raised', 'lowered', 'edit', 'delete', 'restore'],
        ['Оценка повышена', 'Оценка понижена', 'Изменено другое', 'Удалено', 'Восстановлено'],
        kind
    ) AS title,
    count() AS corrections,
    countIf(is_after_freeze) AS after_freeze
FROM hr.fct_rating_event
WHERE mode = 'open' AND event != 'create'
GROUP BY period, process_key, kind
COMMENT 'Grain: month x process x kind of change of open ratings';

CREATE VIEW IF NOT EXISTS hr.recommendation ${on_cluster}
(
    scope LowCardinality(String) COMMENT 'named or hidden, never put together',
    ratee_id UInt32 COMMENT 'Who is scored',
    ratee String COMMENT 'His name today',
    department_id UInt32 COMMENT 'His department today',
    department String COMMENT 'Its name today',
    window_from Date COMMENT 'First month of the half-year',
    window_to Date COMMENT 'Last month of the half-year',
    half_year String COMMENT 'The half-year for people, 2026-05 – 2026-10',
    is_latest Bool COMMENT 'Whether it is the newest frozen half-year of its scope',
    is_frozen Bool COMMENT 'Whether it never changes any more',
    ratings Nullable(UInt32) COMMENT 'Counted ratings; NULL in hidden scope, as are all figures',
    raters Nullable(UInt32) COMMENT 'Distinct raters',
    months Nullable(UInt8) COMMENT 'Months with ratings',
    coverage Nullable(Float64) COMMENT 'Share of the expected ratings that were given, 0..1',
    mean_score Nullable(Float64) COMMENT 'Plain mean, 1..5',
    share_of_fives Nullable(Float64) COMMENT 'Plain share of fives, 0..1',
    adjusted_share Nullable(Float64) COMMENT 'Share of fives an average rater would give, 0..1',
    lower_bound Nullable(Float64) COMMENT 'Lower bound of its 90 % interval',
    upper_bound Nullable(Float64) COMMENT 'Upper bound of its 90 % interval',
    band LowCardinality(String) COMMENT 'The recommendation',
    sensitivity_band Nullable(String) COMMENT 'Band without the pairs that signals name',
    explanation String COMMENT 'One Russian sentence: why this band',
    signals UInt64 COMMENT 'Signals of the half-year that name him as ratee; 0 in hidden scope',
    decision String COMMENT 'accepted, rejected or deferred; empty: none that counts',
    decided_by String COMMENT 'Who decided; empty if unknown',
    decided_on Nullable(Date) COMMENT 'Day of the decision',
    decision_reason String COMMENT 'Why',
    is_different Bool COMMENT 'Whether the decision rejects the recommendation'
) AS
WITH
    employee AS (SELECT employee_id, full_name, department_id FROM dwh.dim_employee WHERE is_current),
    department AS
    (
        SELECT department_id, argMax(name, valid_from) AS name
        FROM dwh.dim_department
        GROUP BY department_id
    ),
    latest AS (SELECT scope, max(window_to) AS window_to FROM hr.fct_score WHERE is_frozen GROUP BY scope),
    signalled AS
    (
        SELECT 'named' AS scope, ratee_id, window_to, count() AS signals
        FROM hr.fct_signal
        WHERE ratee_id != 0
        GROUP BY ratee_id, window_to
    ),
    decided AS
    (
        SELECT
            scope,
            ratee_id,
            period,
            argMax(decision, number) AS decision,
            argMax(decided_by, number) AS decided_by,
            argMax(tuple(decided_on), number).1 AS decided_on,
            argMax(reason, number) AS reason,
            argMax(is_different, number) AS is_different
        FROM hr.fct_decision
        WHERE is_counted
        GROUP BY scope, ratee_id, period
    )
SELECT
    score.scope AS scope,
    score.ratee_id AS ratee_id,
    ifNull(employee.full_name, '') AS ratee,
    ifNull(employee.department_id, 0) AS department_id,
    ifNull(department.name, '') AS department,
    score.window_from AS window_from,
    score.window_to AS window_to,
    concat(formatDateTime(score.window_from, '%Y-%m'), ' – ', formatDateTime(score.window_to, '%Y-%m')) AS half_year,
    ifNull(score.is_frozen AND score.window_to = latest.window_to, false) AS is_latest,
    score.is_frozen AS is_frozen,
    ratings,
    raters,
    months,
    coverage,
    mean_score,
    share_of_fives,
    adjusted_share,
    lower_bound,
    upper_bound,
    band,
    sensitivity_band,
    explanation,
    ifNull(signalled.signals, 0) AS signals,
    ifNull(toString(decided.decision), '') AS decision,
    ifNull(judge.full_name, '') AS decided_by,
    decided.decided_on AS decided_on,
    ifNull(decided.reason, '') AS decision_reason,
    ifNull(decided.is_different, false) AS is_different
FROM hr.fct_score AS score
LEFT JOIN employee ON score.ratee_id = employee.employee_id
LEFT JOIN department ON employee.department_id = department.department_id
LEFT JOIN latest ON score.scope = latest.scope
LEFT JOIN signalled ON score.scope = signalled.scope AND score.ratee_id = signalled.ratee_id
    AND score.window_to = signalled.window_to
LEFT JOIN decided ON score.scope = decided.scope AND score.ratee_id = decided.ratee_id
    AND score.window_to = decided.period
LEFT JOIN employee AS judge ON decided.decided_by = judge.employee_id
COMMENT 'Grain: scope x ratee x half-year, with names and what was decided; for HR only';

CREATE VIEW IF NOT EXISTS hr.signal_queue ${on_cluster}
(
    signal_type LowCardinality(String) COMMENT 'Kind of signal',
    title String COMMENT 'Its name for people',
    rater_id UInt32 COMMENT 'Whose ratings it is about',
    rater String COMMENT 'His name today',
    ratee_id UInt32 COMMENT 'The other person, 0 if there is none',
    ratee String COMMENT 'His name today; empty if there is none',
    department String COMMENT 'Department of the ratee today, of the rater if there is none',
    window_from Date COMMENT 'First month of the half-year',
    window_to Date COMMENT 'Last month of the half-year',
    half_year String COMMENT 'The half-year for people',
    is_latest Bool COMMENT 'Whether it is the newest frozen half-year',
    ratings UInt32 COMMENT 'Ratings it rests on',
    strength Float64 COMMENT 'Strength, comparable within a kind',
    explanation String COMMENT 'One Russian sentence: what was seen',
    is_experimental Bool COMMENT 'Whether its kind errs more often than the others',
    status LowCardinality(String) COMMENT 'new, reviewed or dismissed'
) AS
WITH
    employee AS (SELECT employee_id, full_name, department_id FROM dwh.dim_employee WHERE is_current),
    department AS
    (
        SELECT department_id, argMax(name, valid_from) AS name
        FROM dwh.dim_department
        GROUP BY department_id
    )
SELECT
    signal_type,
    title,
    found.rater_id AS rater_id,
    ifNull(rater.full_name, '') AS rater,
    found.ratee_id AS ratee_id,
    if(found.ratee_id = 0, '', ifNull(ratee.full_name, '')) AS ratee,
    ifNull(department.name, '') AS department,
    window_from,
    window_to,
    concat(formatDateTime(window_from, '%Y-%m'), ' – ', formatDateTime(window_to, '%Y-%m')) AS half_year,
    ifNull(
        is_frozen AND window_to = (SELECT max(window_to) FROM hr.fct_score WHERE scope = 'named' AND is_frozen),
        false
    ) AS is_latest,
    ratings,
    strength,
    explanation,
    is_experimental,
    status
FROM hr.fct_signal AS found
LEFT JOIN employee AS rater ON found.rater_id = rater.employee_id
LEFT JOIN employee AS ratee ON found.ratee_id = ratee.employee_id
LEFT JOIN department ON if(found.ratee_id = 0, rater.department_id, ratee.department_id) = department.department_id
COMMENT 'Grain: signal, with names; for HR only';
