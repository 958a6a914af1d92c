-- title: Applications by status
-- about: How many applications stand where, and how long they have at most.
-- cost: four columns of application_statuses, all days
-- chart: bar status applications

WITH latest AS (
  SELECT
    application_id,
    status,
    changed_at,
    row_number() OVER (PARTITION BY application_id ORDER BY changed_at DESC) AS place
  FROM application_statuses
)
SELECT status, count(*) AS applications, min(changed_at) AS longest_since
FROM latest
WHERE place = 1
GROUP BY status
ORDER BY applications DESC, status
