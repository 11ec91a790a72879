-- Scores of ratees, signals about raters, and what people decided; for HR only.
CREATE TABLE IF NOT EXISTS hr.fct_score ${on_cluster}
(
    scope LowCardinality(String) COMMENT 'named: from ratings in mode open or named_to_hr; hidden: from the others, band only',
    ratee_id UInt32 COMMENT 'Who is scored',
    window_from Date COMMENT 'First day of the first month of the half-year',
    window_to Date COMMENT 'First day of its last month; named: every month, hidden: June and December',
    ratings Nullable(UInt32) COMMENT 'Counted ratings; NULL in hidden scope, as are all figures',
    raters Nullable(UInt32) COMMENT 'Distinct raters',
    months Nullable(UInt8) COMMENT 'Months with ratings',
    effective_ratings Nullable(Float64) COMMENT 'Ratings, no more than 3 of them per rater',
    coverage Nullable(Float64) COMMENT 'Share of the expected ratings that were given, 0..1; NULL: none is expected',
    mean_score Nullable(Float64) COMMENT 'Plain mean of the scores, 1..5',
    share_of_fives Nullable(Float64) COMMENT 'Plain share of fives, 0..1',
    adjusted_share Nullable(Float64) COMMENT 'Share of fives that an average rater would give, 0..1',
    lower_bound Nullable(Float64) COMMENT 'Lower bound of its 90 % interval',
    upper_bound Nullable(Float64) COMMENT 'Upper bound of its 90 % interval',
    sensitivity_share Nullable(Float64) COMMENT 'adjusted_share without pairs that signals name; NULL: nothing is left',
    sensitivity_band Nullable(String) COMMENT 'Band without these pairs',
    component Nullable(UInt32) COMMENT 'Group of people whom raters tie together; scores compare within one only',
    component_share Nullable(Float64) COMMENT 'Share of fives of a typical member of the group, what the bounds are compared with',
    band LowCardinality(String) COMMENT 'Стабильно выше, В норме, Стабильно ниже or Недостаточно данных: a recommendation',
    explanation String COMMENT 'One Russian sentence: why this band',
    method_version LowCardinality(String) COMMENT 'Method by which it was computed',
    is_frozen Bool COMMENT 'Whether all months of the half-year were closed: the row never changes any more'
)
ENGINE = ${replicated}MergeTree
PARTITION BY scope
ORDER BY (window_to, ratee_id)
COMMENT 'Grain: scope x ratee x half-year; for HR only';

CREATE TABLE IF NOT EXISTS hr.fct_signal ${on_cluster}
(
    signal_type LowCardinality(String) COMMENT 'reciprocal, sinking, pressure_edit, straight_line, ring, retaliation or severity_shift',
    title String COMMENT 'Its name in Russian',
    rater_id UInt32 COMMENT 'Who rated; of a reciprocal pair the one with the lower id',
    ratee_id UInt32 COMMENT 'Who was rated; 0 if the signal is about all ratings of the rater',
    window_from Date COMMENT 'First day of the first month of the half-year',
    window_to Date COMMENT 'First day of its last month',
    ratings UInt32 COMMENT 'Ratings it rests on',
    strength Float64 COMMENT 'Larger is stronger; compares within a type',
    explanation String COMMENT 'One Russian sentence with its figures',
    is_experimental Bool COMMENT 'Whether its error rates are too high to be on by default',
    status LowCardinality(String) COMMENT 'new, reviewed or dismissed, as HR noted it',
    method_version LowCardinality(String) COMMENT 'Method by which it was computed',
    is_frozen Bool COMMENT 'Whether all months of the half-year were closed: the signal stays as it is'
)
ENGINE = ${replicated}MergeTree
ORDER BY (window_to, signal_type, rater_id, ratee_id)
COMMENT 'Grain: signal type x rater x ratee x half-year of named ratings: what HR may look at, no proof; for HR only';

CREATE TABLE IF NOT EXISTS hr.fct_decision ${on_cluster}
(
    number UInt64 COMMENT 'Element of the smart process, or line of the file',
    ratee_id UInt32 COMMENT 'About whom; 0 if that cannot be read',
    period Date COMMENT 'window_to of the recommendation; 1970-01-01 if that cannot be read',
    scope LowCardinality(String) COMMENT 'Scope of the recommendation: named, hidden; empty if there is none',
    recommendation LowCardinality(String) COMMENT 'Band that was recommended; empty if there is none',
    decision LowCardinality(String) COMMENT 'accepted, rejected or deferred; empty if that cannot be read',
    decided_by UInt32 COMMENT 'Employee who decided, 0 if unknown',
    decided_on Nullable(Date) COMMENT 'Day of the decision',
    reason String COMMENT 'Why, as written',
    reason_level LowCardinality(String) COMMENT 'ok, weak or violation: does the reason say why, by the rules for comments',
    exclusion_code LowCardinality(String) COMMENT 'Why it does not count, empty if it does',
    is_counted Bool COMMENT 'exclusion_code is empty',
    is_different Bool COMMENT 'Whether a decision that counts rejects the recommendation'
)
ENGINE = ${replicated}MergeTree
ORDER BY (period, ratee_id, number)
COMMENT 'Grain: decision of a person on a recommendation, as recorded; for HR only';

ALTER TABLE ops.release ${on_cluster}
    COMMENT COLUMN cut 'rating_block, department_pair, reason, rule_violation, coverage, comment_feed or fct_score';
