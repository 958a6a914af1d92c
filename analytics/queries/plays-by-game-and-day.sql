-- title: Plays by game and day
-- about: Plays and players per game and UTC day of play.
-- cost: four columns of plays
-- param since day = 2025-01-01: the first day of archiving that is read; earlier days of play are then told in part
-- chart: line day plays game

-- Distinct event ids: a table restored from a backup may archive its own once more.
SELECT game, date(played_at) AS day, count(DISTINCT event_id) AS plays, count(DISTINCT user_id) AS players
FROM plays
WHERE dt >= :since
  AND month >= substr(:since, 1, 7)
GROUP BY 1, 2
ORDER BY 1, 2
