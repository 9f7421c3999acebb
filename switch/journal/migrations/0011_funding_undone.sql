-- A top-up whose purchase is reversed afterwards: where the program says so, the charge is voided. See switch/funding/README.md.

INSERT INTO funding_transition VALUES ('booked', 'booked'), ('booked', 'void_requested');

CREATE TYPE funding_undone AS (account_id bigint, message_key bytea, since timestamptz);

-- In the same transaction as the record_unit that reverses the purchases: their attempts have something due from here on, so
-- that whichever daemon drives them, or takes them over, goes on. Attempts that were parked before since stay as they are.
CREATE FUNCTION undo_funding(undone funding_undone[], at timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
    WITH marked AS (
        UPDATE funding_attempt f SET purchase = 'reversed', cause = 'reversed', wake_at = $2, moved_at = $2
          FROM unnest($1) u
         WHERE f.account_id = u.account_id AND f.message_key = u.message_key AND f.parked_at >= u.since
           AND f.state = 'booked' AND f.purchase = 'approved'
        RETURNING f.account_id, f.message_key
    )
    INSERT INTO funding_step (account_id, message_key, at, before, after, purchase, cause, note)
    SELECT m.account_id, m.message_key, $2, 'booked', 'booked', 'reversed', 'reversed', '' FROM marked m;
$$;

REVOKE ALL ON FUNCTION undo_funding(funding_undone[], timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION undo_funding(funding_undone[], timestamptz) TO switch_daemon, switch_issuing;
