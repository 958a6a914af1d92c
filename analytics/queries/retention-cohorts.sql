-- title: Retention cohorts
-- about: Of the players whose first play fell into a week, how many play in the weeks after; weeks begin on Monday.
-- cost: two columns of plays, all days
-- param since day = 2025-01-01: the first cohort that is told is that of its week
-- chart: heat week percent cohort

WITH days AS (
  SELECT DISTINCT user_id, date(played_at) AS day
  FROM plays
),
players AS (
  SELECT user_id, date_trunc('week', min(day)) AS cohort
  FROM days
  GROUP BY user_id
),
sizes AS (
  SELECT cohort, count(*) AS players
  FROM players
  GROUP BY cohort
),
active AS (
  SELECT
    players.cohort,
    date_diff('week', players.cohort, date_trunc('week', days.day)) AS week,
    count(DISTINCT days.user_id) AS active
  FROM days
  JOIN players ON players.user_id = days.user_id
  GROUP BY 1, 2
)
SELECT
  active.cohort,
  sizes.players,
  active.week,
  active.active,
  round(1e2 * active.active / sizes.players, 1) AS percent
FROM active
JOIN sizes ON sizes.cohort = active.cohort
WHERE active.cohort >= date_trunc('week', CAST(:since AS date))
ORDER BY active.cohort, active.week
