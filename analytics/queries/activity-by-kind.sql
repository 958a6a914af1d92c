-- title: Activity by kind and day
-- about: What visitors did per UTC day, and how many of them are known users.
-- cost: three columns of activity
-- param since day = 2025-01-01: the first day of archiving that is read; raise it to read less
-- chart: line day activities kind

SELECT
  kind,
  date(recorded_at) AS day,
  count(DISTINCT event_id) AS activities,
  count(DISTINCT user_id) AS users
FROM activity
WHERE dt >= :since
  AND month >= substr(:since, 1, 7)
GROUP BY 1, 2
ORDER BY 1, 2
