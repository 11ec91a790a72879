-- dwh.dim_date
-- Grain: day from 2020-01-01 to the end of the year after {today}.
-- Source: the calendar. Rebuilt whole. Read by: analysts, dashboards.
SELECT
    toDate('2020-01-01') + number AS date,
    toStartOfMonth(date) AS month,
    toStartOfQuarter(date) AS quarter,
    makeDate(toYear(date), if(toMonth(date) <= 6, 1, 7), 1) AS half_year,
    toYear(date) AS year,
    toDayOfWeek(date) AS weekday
FROM numbers(toUInt32(makeDate(toYear({today:Date}) + 2, 1, 1) - toDate('2020-01-01')))
