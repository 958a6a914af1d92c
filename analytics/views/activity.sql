-- title: What visitors did
-- about: One row an activity, expired ones too: the table forgets them, the archive does not.
-- column event_id string: The activity's event
-- column kind string: Such as ClickOnLogo
-- column user_id string: By whom, if known
-- column details string: What else was told; JSON text
-- column recorded_at timestamp: When it was appended
-- column expires_at timestamp: When the table may forget it
-- column dt string: The UTC day of archiving, YYYY-MM-DD
-- column month string: Its month, YYYY-MM

SELECT
  event_id,
  json_extract_scalar(payload, '$.kind') AS kind,
  user_id,
  json_format(json_extract(payload, '$.details')) AS details,
  CAST(TRY(from_iso8601_timestamp(regexp_extract(occurred_at, :moment))) AT TIME ZONE 'UTC' AS timestamp) AS recorded_at,
  -- Any program may append any number; no moment is beyond the year 9999.
  CAST(from_unixtime(CASE WHEN expires_at BETWEEN 0 AND 253402300799 THEN expires_at END) AT TIME ZONE 'UTC' AS timestamp) AS expires_at,
  dt,
  month
FROM events_all
WHERE operation = 'INSERT'
  AND type = 'ActivityRecorded'
