-- title: From application to approval
-- about: Applications approved per month, and the hours that half and 95 % of them took.
-- cost: four columns of application_statuses, all days
-- param since day = 2025-01-01: the first day of approvals that are told
-- chart: line approved_in p50_hours

WITH applications AS (
  SELECT
    application_id,
    min(changed_at) AS applied_at,
    min(changed_at) FILTER (WHERE status = 'Approved') AS approved_at
  FROM application_statuses
  GROUP BY application_id
)
SELECT
  date(date_trunc('month', approved_at)) AS approved_in,
  count(*) AS applications,
  round(approx_percentile(date_diff('second', applied_at, approved_at), 5e-1) / 3.6e3, 2) AS p50_hours,
  round(approx_percentile(date_diff('second', applied_at, approved_at), 95e-2) / 3.6e3, 2) AS p95_hours
FROM applications
WHERE approved_at >= CAST(:since AS date)
GROUP BY 1
ORDER BY 1
