-- title: Records that could not be read
-- about: What the archiver kept as it came, and why; no row is good.
-- cost: five columns of all changes
-- param since day = 2025-01-01: the first day of archiving that is read; raise it to read less

SELECT dt AS day, captured_at, parse_error, stream_event_id, raw_record
FROM events_all
WHERE dt >= :since
  AND month >= substr(:since, 1, 7)
  AND parse_error IS NOT NULL
ORDER BY dt, captured_at, stream_event_id
