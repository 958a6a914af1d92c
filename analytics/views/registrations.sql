-- title: Registrations
-- about: One row a user, as registered; later changes are events of their own.
-- column event_id string: The registration's event
-- column user_id string: Who registered
-- column name string: The name at registration; personal
-- column email string: The address at registration; personal
-- column registered_at timestamp: When it was appended
-- column dt string: The UTC day of archiving, YYYY-MM-DD
-- column month string: Its month, YYYY-MM

SELECT
  event_id,
  split_part(aggregate_id, '#', 2) AS user_id,
  json_extract_scalar(payload, '$.name') AS name,
  json_extract_scalar(payload, '$.email') AS email,
  CAST(TRY(from_iso8601_timestamp(regexp_extract(occurred_at, :moment))) AT TIME ZONE 'UTC' AS timestamp) AS registered_at,
  dt,
  month
FROM events_all
WHERE operation = 'INSERT'
  AND type = 'UserRegistered'
