-- title: Stuck applications
-- about: Applications that have stayed in a status which is not final for longer than so many days.
-- cost: four columns of application_statuses, all days
-- param days number = 7: how long is too long

WITH latest AS (
  SELECT
    application_id,
    status,
    changed_at,
    row_number() OVER (PARTITION BY application_id ORDER BY changed_at DESC) AS place
  FROM application_statuses
)
SELECT application_id, status, changed_at AS since, date_diff('day', changed_at, now()) AS days
FROM latest
WHERE place = 1
  AND status NOT IN ('Approved', 'Rejected', 'Withdrawn')
  AND date_diff('day', changed_at, now()) >= :days
ORDER BY changed_at, application_id
