-- title: Streak lengths
-- about: Days in a row with a play, any game: how many streaks of each length, and for how many players it is the longest.
-- cost: two columns of plays, all days
-- param since day = 2025-01-01: leaves out streaks that ended before
-- chart: bar days players

WITH days AS (
  SELECT DISTINCT user_id, date(played_at) AS day
  FROM plays
),
numbered AS (
  SELECT user_id, day, row_number() OVER (PARTITION BY user_id ORDER BY day) AS place
  FROM days
),
streaks AS (
  -- In a row, the day moves with its place: what is left stays the same.
  SELECT user_id, date_add('day', -place, day) AS start, count(*) AS length
  FROM numbered
  GROUP BY 1, 2
  HAVING max(day) >= CAST(:since AS date)
),
ranked AS (
  SELECT length, row_number() OVER (PARTITION BY user_id ORDER BY length DESC) AS place
  FROM streaks
)
SELECT length AS days, count(*) AS streaks, count_if(place = 1) AS players
FROM ranked
GROUP BY length
ORDER BY length
