-- Several steps of one attempt in one commit, each a row of its own: what begins at once goes out after the commit that parks
-- its purchase, and money that has come is spent in the commit that tells of it.

-- As in 0014; the steps of an attempt stand in `moves` in their order. The first begins where the attempt stands, each
-- further one where the one before it ended, and the last ends where the attempt is to stand. Otherwise they are refused (SQLSTATE
-- SW002 where another writer was quicker, else SW001), as is any of them that the table does not allow.
CREATE OR REPLACE FUNCTION record_funding(attempts funding_attempt[], moves funding_move[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = switch, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    good bigint;
    last bigint;
BEGIN
    IF cardinality(moves) = 0 AND cardinality(attempts) = 0 THEN
        RETURN;
    END IF;
    -- In a statement of its own: the next one sees what the transactions before left.
    -- One look-up by key for each, and so in this order, however young the table is when this is planned.
    PERFORM 1
       FROM (SELECT n.account_id, n.message_key, n.turn FROM unnest(attempts) n
              ORDER BY n.account_id, n.message_key, n.turn) m,
            LATERAL (SELECT 1 FROM funding_attempt f
                      WHERE f.account_id = m.account_id AND f.message_key = m.message_key AND f.turn = m.turn
                        FOR NO KEY UPDATE) f;
    IF EXISTS (
        SELECT 1
          FROM (SELECT DISTINCT ON (n.account_id, n.message_key, n.turn) n.*
                  FROM unnest(moves) WITH ORDINALITY
                       AS n (account_id, message_key, at, before, after, purchase, cause, note, since, turn, place)
                 ORDER BY n.account_id, n.message_key, n.turn, n.place) m
          LEFT JOIN funding_attempt f
            ON f.account_id = m.account_id AND f.message_key = m.message_key AND f.turn = m.turn
         WHERE coalesce(f.state, '') <> m.before OR f.moved_at IS DISTINCT FROM m.since
    ) THEN
        RAISE EXCEPTION 'a funding attempt has gone on since it was read' USING ERRCODE = 'SW002';
    END IF;
    SELECT count(*), count(*) FILTER (WHERE m.next_place IS NULL) INTO good, last
      FROM (SELECT n.*, lag(n.place) OVER step AS prev_place, lag(n.after) OVER step AS prev_after,
                   lag(n.at) OVER step AS prev_at, lead(n.place) OVER step AS next_place
              FROM unnest(moves) WITH ORDINALITY
                   AS n (account_id, message_key, at, before, after, purchase, cause, note, since, turn, place)
            WINDOW step AS (PARTITION BY n.account_id, n.message_key, n.turn ORDER BY n.place)) m
      JOIN unnest(attempts) n ON n.account_id = m.account_id AND n.message_key = m.message_key AND n.turn = m.turn
      JOIN funding_transition t ON t.before = m.before AND t.after = m.after
     WHERE (m.prev_place IS NULL OR (m.before = m.prev_after AND m.since = m.prev_at))
       AND (m.next_place IS NOT NULL OR (n.state = m.after AND n.moved_at = m.at));
    IF good <> cardinality(moves) OR last <> cardinality(attempts) THEN
        RAISE EXCEPTION 'a funding attempt would take a step that is not allowed' USING ERRCODE = 'SW001';
    END IF;
    -- In order of turns: what the first hands on, it hands on before the next one takes it.
    INSERT INTO funding_attempt AS f
    SELECT * FROM unnest(attempts) n ORDER BY n.account_id, n.message_key, n.turn
    ON CONFLICT (account_id, message_key, turn) DO UPDATE
       SET state = excluded.state, purchase = excluded.purchase, calls = excluded.calls, tries = excluded.tries,
           wake_at = excluded.wake_at, reference = excluded.reference, charged = excluded.charged,
           charged_currency = excluded.charged_currency, cause = excluded.cause, moved_at = excluded.moved_at;
    INSERT INTO funding_step (account_id, message_key, at, before, after, purchase, cause, note, turn)
    SELECT m.account_id, m.message_key, m.at, m.before, m.after, m.purchase, m.cause, m.note, m.turn
      FROM unnest(moves) WITH ORDINALITY
           AS m (account_id, message_key, at, before, after, purchase, cause, note, since, turn, place)
     ORDER BY m.place;
END $$;
