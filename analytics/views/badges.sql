-- title: Badges earned
-- about: One row an award.
-- column event_id string: The award's event
-- column user_id string: Who earned it
-- column badge string: The badge's id
-- column game string: In which game; NULL for badges of all games
-- column title string: The badge's title at the time
-- column play_event_id string: The play that earned it
-- column earned_at timestamp: When that was played
-- column awarded_at timestamp: When the award was appended
-- column dt string: The UTC day of archiving, YYYY-MM-DD
-- column month string: Its month, YYYY-MM

SELECT
  event_id,
  user_id,
  badge,
  game,
  json_extract_scalar(payload, '$.title') AS title,
  json_extract_scalar(payload, '$.play_event_id') AS play_event_id,
  CAST(TRY(from_iso8601_timestamp(regexp_extract(json_extract_scalar(payload, '$.earned_at'), :moment))) AT TIME ZONE 'UTC' AS timestamp) AS earned_at,
  CAST(TRY(from_iso8601_timestamp(regexp_extract(occurred_at, :moment))) AT TIME ZONE 'UTC' AS timestamp) AS awarded_at,
  dt,
  month
FROM events_all
WHERE operation = 'INSERT'
  AND type = 'BadgeEarned'
