-- title: Top players
-- about: The best scores in a game: best first, of equal scores the earlier; deleted users are left out.
-- cost: five columns of plays, and the users' events
-- param since day = 2025-01-01: the first day of archiving that is read: scores of before do not count
-- param game text = chess: the game
-- param count number = 10: how many players
-- chart: bar name score

WITH ranked AS (
  SELECT user_id, score, played_at, row_number() OVER (PARTITION BY user_id ORDER BY score DESC, played_at) AS place
  FROM plays
  WHERE dt >= :since
    AND month >= substr(:since, 1, 7)
    AND game = :game
    AND score IS NOT NULL
),
people AS (
  SELECT
    split_part(aggregate_id, '#', 2) AS user_id,
    max_by(json_extract_scalar(payload, '$.name'), version)
      FILTER (WHERE type IN ('UserRegistered', 'UserProfileChanged')) AS name,
    count_if(type = 'UserDeleted') AS deletions
  FROM events_all
  WHERE aggregate_type = 'user'
    AND operation = 'INSERT'
  GROUP BY 1
)
SELECT
  row_number() OVER (ORDER BY ranked.score DESC, ranked.played_at, ranked.user_id) AS place,
  people.name,
  ranked.score,
  ranked.played_at AS achieved_at,
  ranked.user_id
FROM ranked
JOIN people ON people.user_id = ranked.user_id
WHERE ranked.place = 1
  AND people.deletions = 0
ORDER BY ranked.score DESC, ranked.played_at, ranked.user_id
LIMIT :count
