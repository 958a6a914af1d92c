-- title: State of a user as of a time
-- about: What was known of a user at a moment, by the time of appending; no row if not registered by then.
-- cost: compacted days are sorted by aggregate: a few row groups; other days whole
-- param since day = 2025-01-01: the first day of archiving that is read; later than the registration, there is no row
-- param user text! = EDIT-ME: the user's id without user#, such as 0199…
-- param at moment! = 2026-01-01T00:00:00.000Z: the moment in UTC, such as 2026-03-01T12:00:00Z

WITH history AS (
  SELECT type, aggregate_id, version, event_id, occurred_at, payload, score
  FROM events_all
  WHERE dt >= :since
    AND month >= substr(:since, 1, 7)
    AND operation = 'INSERT'
    AND occurred_at <= :at
    AND (
      aggregate_id IN (concat('user#', :user), concat('player#', :user))
      OR starts_with(aggregate_id, concat('badge#', :user, '#'))
    )
)
SELECT
  :user AS user_id,
  if(count_if(type = 'UserDeleted') > 0, 'deleted', 'registered') AS state,
  max_by(json_extract_scalar(payload, '$.name'), version)
    FILTER (WHERE type IN ('UserRegistered', 'UserProfileChanged')) AS name,
  max_by(
    coalesce(json_extract_scalar(payload, '$.new_email'), json_extract_scalar(payload, '$.email')), version
  ) FILTER (WHERE type IN ('UserRegistered', 'UserEmailChanged')) AS email,
  min(occurred_at) FILTER (WHERE type = 'UserRegistered') AS registered_at,
  max(occurred_at) AS last_event_at,
  count(DISTINCT event_id) FILTER (WHERE type = 'PlayCompleted') AS plays,
  max(score) FILTER (WHERE type = 'PlayCompleted') AS best_score,
  count(DISTINCT aggregate_id) FILTER (WHERE type = 'BadgeEarned') AS badges
FROM history
HAVING count_if(type = 'UserRegistered') > 0
