-- title: Daily actives
-- about: Players per UTC day on which they played, however late it was recorded.
-- cost: three columns of plays
-- param since day = 2025-01-01: the first day of archiving that is read; earlier days of play are then told in part
-- chart: line day players

SELECT date(played_at) AS day, count(DISTINCT user_id) AS players
FROM plays
WHERE dt >= :since
  AND month >= substr(:since, 1, 7)
GROUP BY 1
ORDER BY 1
