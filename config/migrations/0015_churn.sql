-- How the two tables that change most are kept small.

-- Each message is inserted and soon deleted; timers of open orders stay for half an hour. A fifth of the table, which vacuum waits for
-- by default, would be minutes of dead rows at 200 orders a second. Without pauses, because the table is small: 200,000 dead rows are
-- gone in 0.3 s. The reader hardly needs it: its scan by due_at marks dead index entries and skips them from then on (2 pages
-- read after 200,000 deletions), as long as no old snapshot keeps them. fillfactor stays: to put a message off changes due_at,
-- which is indexed, so that no update could stay on its page.
ALTER TABLE outbox SET (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

-- Each callback is inserted and, with its neighbours, marked a moment later. Where a page is half empty all of them stay on it, and the
-- old versions are pruned without vacuum. Of 20,000 callbacks in batches of ten, 5 updates stayed on pages that had been filled and
-- 19,987 on pages that had been half filled; 33 and 17 MB of log, indexes of 4.1 and 2.8 MB, heaps of 21 and 22 MB.
ALTER TABLE provider_events SET (fillfactor = 50);
