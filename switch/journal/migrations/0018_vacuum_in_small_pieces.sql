-- Autovacuum goes over what was added to these tables, and writes each page that it touches for the first time since a
-- checkpoint into the write-ahead log as a whole: with PostgreSQL's default of 2 ms between two pieces up to 40 MB a second, and
-- every commit waits for them. At a fifth of that it still keeps up with most days, and answers are not late for it.
ALTER TABLE message_key SET (autovacuum_vacuum_cost_delay = 10);
ALTER TABLE journal_entry SET (autovacuum_vacuum_cost_delay = 10);
ALTER TABLE hold SET (autovacuum_vacuum_cost_delay = 10);
