"""SQL for what becomes of it, whatever it asks."""

#: Counts all numbers.
ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
