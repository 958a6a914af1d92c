-- title: Archive freshness and gaps
-- about: Changes per UTC day from the first to today, with days that have none, when the last came, and which are compacted.
-- cost: three columns of all changes
-- param since day = 2025-01-01: the first day of archiving that is read; raise it to read less
-- chart: bar day changes

WITH archived AS (
  SELECT dt, count(*) AS changes, max(captured_at) AS last_at
  FROM events_all
  WHERE dt >= :since
    AND month >= substr(:since, 1, 7)
  GROUP BY dt
),
calendar AS (
  SELECT CAST(day AS varchar) AS dt
  FROM UNNEST(sequence(CAST(:since AS date), current_date)) AS days (day)
),
compacted AS (
  SELECT DISTINCT dt
  FROM curated_days
  WHERE source = 'events'
)
SELECT
  calendar.dt AS day,
  coalesce(archived.changes, 0) AS changes,
  archived.last_at,
  date_diff('minute', from_iso8601_timestamp(archived.last_at), now()) AS minutes_ago,
  compacted.dt IS NOT NULL AS compacted
FROM calendar
LEFT JOIN archived ON archived.dt = calendar.dt
LEFT JOIN compacted ON compacted.dt = calendar.dt
WHERE calendar.dt >= (SELECT min(dt) FROM archived)
ORDER BY calendar.dt DESC
