-- title: Statuses of applications
-- about: One row an action, with the status before it and the time between.
-- column application_id string: Which application
-- column action string: ApplicationCreated or ApplicationStatusUpdated
-- column status string: The status from then on
-- column note string: What was noted
-- column changed_at timestamp: When
-- column previous_status string: The status before; NULL for the first
-- column seconds_since_previous bigint: Whole seconds that the status before lasted
-- column dt string: The UTC day of archiving, YYYY-MM-DD
-- column month string: Its month, YYYY-MM

SELECT
  application_id,
  action,
  status,
  note,
  changed_at,
  lag(status) OVER (PARTITION BY application_id ORDER BY changed_at, action_id) AS previous_status,
  date_diff(
    'second', lag(changed_at) OVER (PARTITION BY application_id ORDER BY changed_at, action_id), changed_at
  ) AS seconds_since_previous,
  dt,
  month
FROM (
  -- An action is an item of its own: pk APPLICATION#<id>, sk #ACTION#<time>#<action's id>.
  SELECT
    split_part(json_extract_scalar(keys, '$.pk.S'), '#', 2) AS application_id,
    split_part(json_extract_scalar(keys, '$.sk.S'), '#', 4) AS action_id,
    type AS action,
    json_extract_scalar(new_image, '$.status.S') AS status,
    json_extract_scalar(new_image, '$.note.S') AS note,
    CAST(
      TRY(from_iso8601_timestamp(regexp_extract(split_part(json_extract_scalar(keys, '$.sk.S'), '#', 3), :moment))) AT TIME ZONE 'UTC'
      AS timestamp
    ) AS changed_at,
    dt,
    month
  FROM applications_all
  WHERE operation = 'INSERT'
    AND type IN ('ApplicationCreated', 'ApplicationStatusUpdated')
) AS actions
