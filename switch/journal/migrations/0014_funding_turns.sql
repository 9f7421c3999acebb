-- One attempt after another for the same purchase: when a source has declined for good, the next one is asked in the time that
-- is left. Each is a row of its own with its own charge key, and the first is closed in the commit that begins the second.

ALTER TABLE funding_attempt ADD COLUMN turn integer NOT NULL DEFAULT 1 CHECK (turn > 0);
ALTER TABLE funding_attempt DROP CONSTRAINT funding_attempt_pkey;
ALTER TABLE funding_attempt ADD PRIMARY KEY (account_id, message_key, turn);
-- Never two charges in doubt for one purchase.
CREATE UNIQUE INDEX funding_attempt_one_open ON funding_attempt (account_id, message_key)
    WHERE purchase IN ('waiting', 'approved');
COMMENT ON COLUMN funding_attempt.turn IS 'Which attempt for its purchase it is, from 1.';
ALTER TABLE funding_step ADD COLUMN turn integer NOT NULL DEFAULT 1;
ALTER TYPE funding_move ADD ATTRIBUTE turn integer;

-- As in 0009, by turns.
CREATE OR REPLACE FUNCTION record_funding(attempts funding_attempt[], moves funding_move[]) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = switch, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    done bigint;
BEGIN
    IF cardinality(moves) = 0 AND cardinality(attempts) = 0 THEN
        RETURN;
    END IF;
    -- In a statement of its own: the next one sees what the transactions before left.
    -- One look-up by key for each, and so in this order, however young the table is when this is planned.
    PERFORM 1
       FROM (SELECT n.account_id, n.message_key, n.turn FROM unnest(moves) n
              ORDER BY n.account_id, n.message_key, n.turn) m,
            LATERAL (SELECT 1 FROM funding_attempt f
                      WHERE f.account_id = m.account_id AND f.message_key = m.message_key AND f.turn = m.turn
                        FOR NO KEY UPDATE) f;
    IF EXISTS (
        SELECT 1
          FROM unnest(moves) m
          LEFT JOIN funding_attempt f
            ON f.account_id = m.account_id AND f.message_key = m.message_key AND f.turn = m.turn
         WHERE coalesce(f.state, '') <> m.before OR f.moved_at IS DISTINCT FROM m.since
    ) THEN
        RAISE EXCEPTION 'a funding attempt has gone on since it was read' USING ERRCODE = 'SW002';
    END IF;
    SELECT count(*) INTO done
      FROM unnest(moves) m
      JOIN unnest(attempts) n ON n.account_id = m.account_id AND n.message_key = m.message_key AND n.turn = m.turn
                             AND n.state = m.after
      JOIN funding_transition t ON t.before = m.before AND t.after = m.after;
    IF done <> cardinality(moves) OR done <> cardinality(attempts) THEN
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
    SELECT m.account_id, m.message_key, m.at, m.before, m.after, m.purchase, m.cause, m.note, m.turn FROM unnest(moves) m;
END $$;

CREATE OR REPLACE FUNCTION claim_funding(driver text, attempts_max integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
    WITH orphaned AS (
        SELECT a.account_id, a.message_key, a.turn
          FROM funding_attempt a LEFT JOIN funding_driver d ON d.owner = a.owner
         WHERE a.wake_at IS NOT NULL AND a.owner <> $1 AND (d.alive_until IS NULL OR d.alive_until < now())
         ORDER BY a.wake_at LIMIT $2
           FOR UPDATE OF a SKIP LOCKED
    ), taken AS (
        UPDATE funding_attempt f SET owner = $1 FROM orphaned o
         WHERE f.account_id = o.account_id AND f.message_key = o.message_key AND f.turn = o.turn
        RETURNING 1
    )
    SELECT count(*) FROM taken;
$$;

-- As in 0011, by turns.
CREATE OR REPLACE FUNCTION undo_funding(undone funding_undone[], at timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
    WITH marked AS (
        UPDATE funding_attempt f SET purchase = 'reversed', cause = 'reversed', wake_at = $2, moved_at = $2
          FROM unnest($1) u
         WHERE f.account_id = u.account_id AND f.message_key = u.message_key AND f.parked_at >= u.since
           AND f.state = 'booked' AND f.purchase = 'approved'
        RETURNING f.account_id, f.message_key, f.turn
    )
    INSERT INTO funding_step (account_id, message_key, at, before, after, purchase, cause, note, turn)
    SELECT m.account_id, m.message_key, $2, 'booked', 'booked', 'reversed', 'reversed', '', m.turn FROM marked m;
$$;

GRANT SELECT (turn) ON funding_attempt TO switch_console, switch_auditor;
