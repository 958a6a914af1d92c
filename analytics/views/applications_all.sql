-- title: Every change of the applications table, each once
-- about: Compacted days as compacted, the others as archived: the published list of days is the boundary.
-- column stream_event_id string: The stream record's id; equal ids are one change
-- column sequence_number string: The stream record's place within its shard
-- column captured_at string: When the table changed; UTC
-- column operation string: INSERT, MODIFY, REMOVE, or EXPIRE for a removal by TTL
-- column aggregate_id string: <type>#<id>
-- column version bigint: The event's number within its aggregate, from 1
-- column event_id string: UUIDv7
-- column type string: What happened, such as UserRegistered
-- column schema_version int: The version of the payload's schema
-- column occurred_at string: ISO 8601, UTC, milliseconds
-- column aggregate_type string: user, player, badge or activity
-- column payload string: The event's data; JSON text
-- column metadata string: Correlation id, causation id, actor; JSON text
-- column expires_at bigint: Epoch seconds; activity events only
-- column keys string: The item's key as DynamoDB JSON text
-- column old_image string: DynamoDB JSON text where the columns cannot rebuild it
-- column new_image string: DynamoDB JSON text where the columns cannot rebuild it
-- column parse_error string: Why a record could not be read
-- column raw_record string: That record; JSON text
-- column dt string: The UTC day of captured_at, YYYY-MM-DD
-- column month string: Its month, YYYY-MM; filter by it too, compacted days lie by month
-- column user_id string: The payload's user_id
-- column game string: The payload's game
-- column score bigint: The payload's score
-- column badge string: The payload's badge

-- A day is compacted or it is not: each row comes from one side alone.
SELECT
  stream_event_id,
  sequence_number,
  captured_at,
  operation,
  aggregate_id,
  version,
  event_id,
  type,
  schema_version,
  occurred_at,
  aggregate_type,
  payload,
  metadata,
  expires_at,
  keys,
  old_image,
  new_image,
  parse_error,
  raw_record,
  dt,
  month,
  user_id,
  game,
  score,
  badge
FROM applications
WHERE source = 'applications'
  AND dt IN (SELECT dt FROM curated_days WHERE source = 'applications')
UNION ALL
SELECT
  stream_event_id,
  sequence_number,
  captured_at,
  operation,
  aggregate_id,
  version,
  event_id,
  type,
  schema_version,
  occurred_at,
  aggregate_type,
  payload,
  metadata,
  expires_at,
  keys,
  old_image,
  new_image,
  parse_error,
  raw_record,
  dt,
  substr(dt, 1, 7) AS month,
  json_extract_scalar(payload, '$.user_id') AS user_id,
  json_extract_scalar(payload, '$.game') AS game,
  TRY_CAST(regexp_extract(json_extract_scalar(payload, '$.score'), :whole_number) AS bigint) AS score,
  json_extract_scalar(payload, '$.badge') AS badge
FROM (
  -- A copy has its original's day, so that a filter on dt reaches the partitions through the window.
  SELECT *, row_number() OVER (PARTITION BY dt, stream_event_id ORDER BY captured_at) AS copy
  FROM applications_raw
  WHERE source = 'applications'
    -- The open days, counted out, and not "NOT IN": a list is what Athena can choose partitions by while it runs.
    AND dt IN (
      SELECT CAST(day AS varchar)
      FROM UNNEST(sequence(DATE '2025-01-01', current_date + INTERVAL '1' DAY)) AS calendar (day)
      EXCEPT
      SELECT dt FROM curated_days WHERE source = 'applications'
    )
) AS lines
WHERE copy = 1
