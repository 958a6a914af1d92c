-- title: Finished plays
-- about: One row a play, by its event; moments are UTC.
-- column event_id string: The play's event
-- column user_id string: Who played
-- column version bigint: Which of the player's plays, from 1
-- column game string: What was played
-- column score bigint: The score reached
-- column played_at timestamp: When it was played; may lie weeks before recorded_at
-- column recorded_at timestamp: When it was appended
-- column dt string: The UTC day of archiving, YYYY-MM-DD
-- column month string: Its month, YYYY-MM

SELECT
  event_id,
  split_part(aggregate_id, '#', 2) AS user_id,
  version,
  game,
  score,
  CAST(TRY(from_iso8601_timestamp(regexp_extract(json_extract_scalar(payload, '$.played_at'), :moment))) AT TIME ZONE 'UTC' AS timestamp) AS played_at,
  CAST(TRY(from_iso8601_timestamp(regexp_extract(occurred_at, :moment))) AT TIME ZONE 'UTC' AS timestamp) AS recorded_at,
  dt,
  month
FROM events_all
WHERE operation = 'INSERT'
  AND type = 'PlayCompleted'
