-- title: New users
-- about: Registrations per UTC day, and how many there are by then.
-- cost: one column of registrations
-- param since day = 2025-01-01: the first day of archiving that is read; raise it to read less
-- chart: bar day users

WITH daily AS (
  SELECT date(registered_at) AS day, count(DISTINCT user_id) AS users
  FROM registrations
  WHERE dt >= :since
    AND month >= substr(:since, 1, 7)
  GROUP BY 1
)
SELECT day, users, sum(users) OVER (ORDER BY day) AS users_so_far
FROM daily
ORDER BY day
