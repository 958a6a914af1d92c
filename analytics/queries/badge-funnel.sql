-- title: Badge funnel
-- about: How many players have each badge, and their share of all who ever played.
-- cost: two columns of badges and one of plays
-- param since day = 2025-01-01: the first day of archiving that is read: players and badges of before do not count
-- chart: bar badge players

WITH everybody AS (
  SELECT count(DISTINCT user_id) AS players
  FROM plays
  WHERE dt >= :since
    AND month >= substr(:since, 1, 7)
),
earned AS (
  SELECT badge, count(DISTINCT user_id) AS players, min(earned_at) AS first_earned_at
  FROM badges
  WHERE dt >= :since
    AND month >= substr(:since, 1, 7)
  GROUP BY badge
)
SELECT
  earned.badge,
  earned.players,
  round(1e2 * earned.players / everybody.players, 1) AS percent,
  earned.first_earned_at
FROM earned
CROSS JOIN everybody
ORDER BY earned.players DESC, earned.badge
