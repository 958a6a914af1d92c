-- title: New users
-- about: Registrations per UTC day, and how many there are by then.
-- cost: one column of registrations, all days
-- param since day = 2025-01-01: the first day that is told
-- chart: bar day users

WITH daily AS (
  SELECT date(registered_at) AS day, count(DISTINCT user_id) AS users
  FROM registrations
  GROUP BY 1
),
summed AS (
  SELECT day, users, sum(users) OVER (ORDER BY day) AS users_so_far
  FROM daily
)
SELECT day, users, users_so_far
FROM summed
WHERE day >= CAST(:since AS date)
ORDER BY day
