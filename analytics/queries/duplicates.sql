-- title: Duplicates check
-- about: Days on which a change was archived more than once, or an event appended under two stream records; no row is good.
-- cost: the raw archive whole: choose the days
-- param since day = 2025-01-01: the first day of archiving that is read; raise it to read less

-- The raw side on purpose: copies are harmless (events_all drops them) and tell of deliveries with other bounds.
SELECT
  dt AS day,
  count(*) AS lines,
  count(*) - count(DISTINCT stream_event_id) AS copies,
  count(DISTINCT stream_event_id) FILTER (WHERE operation = 'INSERT')
    - count(DISTINCT event_id) FILTER (WHERE operation = 'INSERT') AS repeated_events
FROM events_raw
WHERE source = 'events'
  AND dt >= :since
GROUP BY dt
HAVING count(*) > count(DISTINCT stream_event_id)
  OR count(DISTINCT stream_event_id) FILTER (WHERE operation = 'INSERT')
    > count(DISTINCT event_id) FILTER (WHERE operation = 'INSERT')
ORDER BY dt
