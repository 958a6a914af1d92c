-- title: Missing versions
-- about: Aggregates of which a version is not in the archive; no row is good. Only with all days read is 1 the first.
-- cost: two columns of all changes
-- param since day = 2025-01-01: the first day of archiving that is read; raise it to read less

SELECT aggregate_id, count(DISTINCT version) AS versions, min(version) AS lowest, max(version) AS highest
FROM events_all
WHERE dt >= :since
  AND month >= substr(:since, 1, 7)
  AND operation = 'INSERT'
  AND version IS NOT NULL
GROUP BY aggregate_id
-- Any program may append any version: the difference of two may be more than a bigint holds.
HAVING count(DISTINCT version) < CAST(max(version) AS double) - min(version) + 1
ORDER BY aggregate_id
