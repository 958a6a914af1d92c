-- title: History of one aggregate
-- about: All changes of one aggregate in order, with whatever illegal ones there were.
-- cost: compacted days are sorted by aggregate: a few row groups; other days whole
-- param since day = 2025-01-01: the first day of archiving that is read; changes of before are not told
-- param aggregate text! = user#EDIT-ME: such as user#0199… or player#0199…

-- Every operation and not only INSERT: whoever asks for a history wants to see that somebody changed it.
SELECT version, operation, type, occurred_at, captured_at, payload, metadata, stream_event_id
FROM events_all
WHERE dt >= :since
  AND month >= substr(:since, 1, 7)
  AND aggregate_id = :aggregate
ORDER BY version, captured_at, stream_event_id
