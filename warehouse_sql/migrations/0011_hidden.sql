-- Hidden scope of all marts: released once, copied from the vault's memory by every run.
ALTER TABLE mart.department_pair ${on_cluster}
    COMMENT COLUMN rater_department 'Its name today; hidden: at the release',
    COMMENT COLUMN ratee_department 'Its name today; hidden: at the release',
    MODIFY COMMENT 'Grain: scope x window x rater department x ratee department x process; hidden rows never change';

ALTER TABLE mart.rating_block ${on_cluster}
    MODIFY COMMENT 'Grain: released ratee block of hidden ratings, 1 to 6 months; never changed, at most withdrawn';

ALTER TABLE mart.comment_feed ${on_cluster}
    COMMENT COLUMN period_from 'First day of the first month; 1970-01-01 in hidden scope, which tells no time',
    COMMENT COLUMN period_to 'First day of the last month; 1970-01-01 in hidden scope, which tells no time',
    COMMENT COLUMN ratee_department 'Its name today; hidden: at the release',
    COMMENT COLUMN comment 'The comment as written; hidden: without people, one paragraph',
    MODIFY COMMENT 'Grain: comment of a counted or unexplained rating; hidden: pooled, no more than one per author';

-- What the hidden scope leaves open stands as NULL, but for columns of the sorting key: there it is 0.
ALTER TABLE mart.reason ${on_cluster}
    MODIFY COLUMN form_weight Nullable(Float64)
        COMMENT 'Weight of reasons chosen in the form; NULL in hidden scope',
    MODIFY COLUMN auto_weight Nullable(Float64)
        COMMENT 'Weight of reasons recognised in the comment, untagged among them; NULL in hidden scope',
    MODIFY COLUMN weight Nullable(Float64)
        COMMENT 'Both; a rating with n reasons weighs 1/n in each, so weights add up to ratings; NULL in hidden scope',
    MODIFY COLUMN low_ratings Nullable(UInt32)
        COMMENT 'Ratings with a lowered score of month, process and department pair; NULL in hidden scope',
    COMMENT COLUMN scope 'open: exact, by month; hidden: released rows, by quarter',
    COMMENT COLUMN process_key 'Rated process; * in hidden scope: all of them together',
    COMMENT COLUMN rater_department_id 'Department that executed and rated; 0 in hidden scope: all of them',
    COMMENT COLUMN rater_department 'Its name today; empty in hidden scope',
    COMMENT COLUMN ratee_department 'Its name today; hidden: at the release',
    COMMENT COLUMN share 'Weight / low_ratings, 0..1; hidden: each author weighs 1, rounded to 0.1',
    MODIFY COMMENT 'Grain: scope x window x process x rater department x ratee department x reason';

ALTER TABLE mart.rule_violation ${on_cluster}
    MODIFY COLUMN ratings Nullable(UInt32)
        COMMENT 'Ratings of the department in the month that break it, each once; NULL in hidden scope',
    MODIFY COLUMN low_ratings Nullable(UInt32)
        COMMENT 'Ratings with a lowered score, the base of shares; NULL in hidden scope',
    ADD COLUMN IF NOT EXISTS share Nullable(Float64)
        COMMENT 'Share of lowered ratings that break it, 0..1; hidden: each author weighs 1, by 0.1; NULL for info',
    COMMENT COLUMN scope 'open: exact, by month; hidden: released rows, by quarter',
    COMMENT COLUMN process_key 'Rated process; * in hidden scope: all of them together',
    COMMENT COLUMN rater_department 'Its name today; hidden: at the release',
    MODIFY COMMENT 'Grain: scope x window x process x rater department x rule, of counted and unexplained ratings';

ALTER TABLE mart.coverage ${on_cluster}
    COMMENT COLUMN scope 'open: exact; hidden: released rows; both by month',
    COMMENT COLUMN rater_department 'Its name today; hidden: at the release',
    COMMENT COLUMN ratee_department 'Its name today; hidden: at the release',
    COMMENT COLUMN expected 'Expected ratings, the waived ones too; NULL in hidden scope, as are all counts',
    COMMENT COLUMN coverage 'fulfilled / (expected - waived), 0..1; NULL if all are waived; hidden: rounded to 0.05',
    COMMENT COLUMN timeliness 'Share of the given ones that came within 3 days; NULL if none is, and in hidden scope';

-- Rows of mode pseudonymous: what they leave out is 0, NULL or empty.
ALTER TABLE dwh.fct_rating ${on_cluster}
    COMMENT COLUMN comment_level 'ok, weak or violation: does a lowered score say why; empty unless open',
    COMMENT COLUMN reason_code 'First reason of a lowered score, see bridge_rating_reason; empty unless open and lowered',
    COMMENT COLUMN mode 'Release mode that let it out: open or pseudonymous',
    COMMENT COLUMN policy_version 'Policy line that decided, see dim_policy; empty unless open',
    MODIFY COMMENT 'Grain: rating that the policy shows as a row; excluded and deleted open ones stay, with their code';

CREATE TABLE IF NOT EXISTS stg.released_pseudonym ${on_cluster}
(
    process_key LowCardinality(String) COMMENT 'Rated process',
    period Date COMMENT 'First day of the month rated',
    rater_department_id UInt32 COMMENT 'Department of the rater',
    ratee_department_id UInt32 COMMENT 'Department of the ratee',
    pseudonym String COMMENT 'Stands for the rater in rows of the department and month',
    score UInt8 COMMENT 'Score'
)
ENGINE = ${replicated}MergeTree
ORDER BY (process_key, period, pseudonym)
COMMENT 'Released rows of mode pseudonymous, of all months the vault holds';

-- The ledger: written anew by every run from the vault's memory.
ALTER TABLE ops.release ${on_cluster}
    ADD COLUMN IF NOT EXISTS withdrawn_at Nullable(Date)
        COMMENT 'Portal day on which a stricter policy withdrew the row; NULL while it is published',
    COMMENT COLUMN cut 'rating_block, department_pair, reason, rule_violation, coverage or comment_feed',
    COMMENT COLUMN row_digest 'Keyed digest of the row: shows that nobody changed it; only the vault can make it',
    COMMENT COLUMN checks_passed 'Result of the audit: what the row passed, by commas; lp is the linear programming',
    COMMENT COLUMN released_at 'Portal day of the decision',
    MODIFY COMMENT 'Grain: hidden row that was ever released';

ALTER TABLE ops.release_window ${on_cluster}
    COMMENT COLUMN cut 'As in ops.release; pseudonymous: rows of that mode; adopted: last month of a warehouse taken over',
    COMMENT COLUMN process_key 'Rated process; * for cuts over all of them',
    COMMENT COLUMN released_at 'Portal day on which the window was decided for good',
    MODIFY COMMENT 'Grain: window of a hidden cut of a process that was decided, with or without rows; never again';
