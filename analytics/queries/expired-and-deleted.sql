-- title: Expired and deleted items
-- about: What left the events table: by TTL (EXPIRE), or by somebody's hand (REMOVE), which is an incident.
-- cost: six columns of all changes
-- param since day = 2025-01-01: the first day of archiving that is read; raise it to read less

SELECT
  dt AS day,
  operation,
  type,
  count(DISTINCT stream_event_id) AS items,
  min(captured_at) AS first_at,
  max(captured_at) AS last_at
FROM events_all
WHERE dt >= :since
  AND month >= substr(:since, 1, 7)
  AND operation IN ('EXPIRE', 'REMOVE')
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
