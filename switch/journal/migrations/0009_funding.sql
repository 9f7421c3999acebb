-- Automatic top-up: what cardholders registered, every attempt to charge it for a parked purchase, and every step that an
-- attempt took. See switch/funding/README.md.

ALTER TABLE message_key DROP CONSTRAINT message_key_state_check;
ALTER TABLE message_key ADD CONSTRAINT message_key_state_check CHECK (
    state IN ('answered', 'tombstone', 'tombstone_met', 'reversed', 'withdrawn', 'in_doubt', 'rejected', 'parked')
);

CREATE TABLE funding_source (
    account_id    bigint  NOT NULL REFERENCES account,
    provider      text    NOT NULL,
    token         text    NOT NULL CHECK (token <> '' AND token !~ '^[0-9]+$'),  -- the provider's; no card number
    currency      text    NOT NULL,
    preference    integer NOT NULL,  -- the smallest is asked first
    blocked       boolean NOT NULL,
    changed_at    timestamptz NOT NULL,
    PRIMARY KEY (account_id, provider, token)
);
COMMENT ON TABLE funding_source IS 'What a cardholder registered for automatic top-up.';
COMMENT ON COLUMN funding_source.changed_at IS 'Declines in a row are counted from here on.';

CREATE TABLE funding_wish (
    account_id bigint PRIMARY KEY REFERENCES account,
    wishes     json   NOT NULL,  -- see CardholderPolicy in switch/contracts/top_up.py
    changed_at timestamptz NOT NULL
);
COMMENT ON TABLE funding_wish IS 'How far cardholders let themselves be topped up. Without a row: as far as the program does.';

CREATE TABLE funding_attempt (
    account_id       bigint  NOT NULL,
    message_key      bytea   NOT NULL,  -- of the purchase that is parked for it
    key              text    NOT NULL,  -- the charge's idempotency key
    card_id          bigint  NOT NULL,
    provider         text    NOT NULL,
    source           text    NOT NULL,
    amount           bigint  NOT NULL CHECK (amount > 0),
    currency         text    NOT NULL,
    budget_until     timestamptz NOT NULL,
    state            text    NOT NULL,
    purchase         text    NOT NULL,
    calls            integer NOT NULL,
    tries            integer NOT NULL,
    wake_at          timestamptz,  -- NULL: ended
    reference        text    NOT NULL,
    charged          bigint  NOT NULL,
    charged_currency text    NOT NULL,
    cause            text    NOT NULL,
    moved_at         timestamptz NOT NULL,
    parked_at        timestamptz NOT NULL,
    owner            text    NOT NULL,  -- the daemon that drives it
    PRIMARY KEY (account_id, message_key)
);
CREATE INDEX funding_attempt_open ON funding_attempt (owner) WHERE wake_at IS NOT NULL;
CREATE INDEX funding_attempt_key ON funding_attempt (key);
CREATE INDEX funding_attempt_parked ON funding_attempt (account_id, parked_at);
COMMENT ON TABLE funding_attempt IS 'Every attempt to top an account up, as it stands; see switch/funding/attempt.py.';

CREATE TABLE funding_transition (
    before text NOT NULL,  -- '' for a new attempt
    after  text NOT NULL,
    PRIMARY KEY (before, after)
);
INSERT INTO funding_transition VALUES
    ('', 'requested'),
    ('requested', 'sent'), ('requested', 'declined'), ('requested', 'charged'), ('requested', 'void_requested'),
    ('sent', 'sent'), ('sent', 'requested'), ('sent', 'unknown'), ('sent', 'declined'), ('sent', 'charged'),
    ('sent', 'void_requested'),
    ('unknown', 'unknown'), ('unknown', 'queried'), ('unknown', 'charged'), ('unknown', 'not_charged'),
    ('unknown', 'declined'), ('unknown', 'void_requested'),
    ('queried', 'queried'), ('queried', 'unknown'), ('queried', 'charged'), ('queried', 'not_charged'),
    ('queried', 'declined'), ('queried', 'void_requested'),
    ('charged', 'charged'), ('charged', 'booked'), ('charged', 'void_requested'),
    ('void_requested', 'void_requested'), ('void_requested', 'voided'), ('void_requested', 'credited'),
    ('declined', 'void_requested'), ('not_charged', 'void_requested');

CREATE TABLE funding_step (
    account_id  bigint NOT NULL,
    message_key bytea  NOT NULL,
    step_id     bigint GENERATED ALWAYS AS IDENTITY,
    at          timestamptz NOT NULL,
    before      text   NOT NULL,
    after       text   NOT NULL,
    purchase    text   NOT NULL,
    cause       text   NOT NULL,
    note        text   NOT NULL,  -- alerts; who settled it
    PRIMARY KEY (account_id, message_key, step_id)
);
COMMENT ON TABLE funding_step IS 'Every step of every attempt, with its time and cause.';

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON funding_step FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON funding_step
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER attempts_stay BEFORE DELETE ON funding_attempt FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER attempts_stay_truncate BEFORE TRUNCATE ON funding_attempt
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Daemons that drive attempts, and until when each of them is taken for alive. Nothing hangs on it but who goes on: an
-- attempt that two drive is called for twice, under the same keys.
CREATE TABLE funding_driver (
    owner       text PRIMARY KEY,
    alive_until timestamptz NOT NULL
);

-- ── the doors ────────────────────────────────────────────────────────────────────────────────────────────────────────────

CREATE TYPE funding_move AS (
    account_id bigint, message_key bytea, at timestamptz, before text, after text, purchase text, cause text, note text,
    since timestamptz  -- when the attempt came to where this step begins; NULL for a new one
);

-- For a step that another writer was quicker than: from here on nobody changes the account or the attempt.
CREATE FUNCTION lock_funding(wanted_account_id bigint, wanted_key bytea) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
BEGIN
    PERFORM 1 FROM account a WHERE a.account_id = wanted_account_id FOR NO KEY UPDATE;
    PERFORM 1 FROM funding_attempt f WHERE f.account_id = wanted_account_id AND f.message_key = wanted_key
        FOR NO KEY UPDATE;
END $$;

-- In the same transaction as its record_unit. Refuses a step that does not begin where the attempt stands, since another
-- writer was quicker (SQLSTATE SW002), and one that the table does not allow (SW001). The owner is not changed here:
-- claim_funding and release_funding do that.
CREATE FUNCTION record_funding(attempts funding_attempt[], moves funding_move[]) RETURNS void
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
    PERFORM 1
       FROM funding_attempt f JOIN unnest(moves) m ON f.account_id = m.account_id AND f.message_key = m.message_key
      ORDER BY f.account_id, f.message_key
        FOR NO KEY UPDATE OF f;
    IF EXISTS (
        SELECT 1
          FROM unnest(moves) m
          LEFT JOIN funding_attempt f ON f.account_id = m.account_id AND f.message_key = m.message_key
         WHERE coalesce(f.state, '') <> m.before OR f.moved_at IS DISTINCT FROM m.since
    ) THEN
        RAISE EXCEPTION 'a funding attempt has gone on since it was read' USING ERRCODE = 'SW002';
    END IF;
    SELECT count(*) INTO done
      FROM unnest(moves) m
      JOIN unnest(attempts) n ON n.account_id = m.account_id AND n.message_key = m.message_key AND n.state = m.after
      JOIN funding_transition t ON t.before = m.before AND t.after = m.after;
    IF done <> cardinality(moves) OR done <> cardinality(attempts) THEN
        RAISE EXCEPTION 'a funding attempt would take a step that is not allowed' USING ERRCODE = 'SW001';
    END IF;
    INSERT INTO funding_attempt AS f SELECT * FROM unnest(attempts)
    ON CONFLICT (account_id, message_key) DO UPDATE
       SET state = excluded.state, purchase = excluded.purchase, calls = excluded.calls, tries = excluded.tries,
           wake_at = excluded.wake_at, reference = excluded.reference, charged = excluded.charged,
           charged_currency = excluded.charged_currency, cause = excluded.cause, moved_at = excluded.moved_at;
    INSERT INTO funding_step (account_id, message_key, at, before, after, purchase, cause, note)
    SELECT m.account_id, m.message_key, m.at, m.before, m.after, m.purchase, m.cause, m.note FROM unnest(moves) m;
END $$;

-- A daemon says that it is alive, for so many seconds; 0 hands its attempts over.
CREATE FUNCTION keep_driving(driver text, seconds double precision) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
    DELETE FROM funding_driver WHERE alive_until < now() - interval '1 day';
    INSERT INTO funding_driver AS d VALUES ($1, now() + make_interval(secs => $2))
    ON CONFLICT (owner) DO UPDATE SET alive_until = excluded.alive_until;
$$;

-- Takes over at most so many attempts whose daemon has gone.
CREATE FUNCTION claim_funding(driver text, attempts_max integer) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
    WITH orphaned AS (
        SELECT a.account_id, a.message_key
          FROM funding_attempt a LEFT JOIN funding_driver d ON d.owner = a.owner
         WHERE a.wake_at IS NOT NULL AND a.owner <> $1 AND (d.alive_until IS NULL OR d.alive_until < now())
         ORDER BY a.wake_at LIMIT $2
           FOR UPDATE OF a SKIP LOCKED
    ), taken AS (
        UPDATE funding_attempt f SET owner = $1 FROM orphaned o
         WHERE f.account_id = o.account_id AND f.message_key = o.message_key
        RETURNING 1
    )
    SELECT count(*) FROM taken;
$$;

-- Any daemon takes the attempt over, at once.
CREATE FUNCTION release_funding(wanted_account_id bigint, wanted_key bytea) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
BEGIN
    UPDATE funding_attempt f SET owner = ''
     WHERE f.account_id = wanted_account_id AND f.message_key = wanted_key AND f.wake_at IS NOT NULL;
    RETURN FOUND;
END $$;

-- Registers a source, or changes one.
CREATE FUNCTION put_funding_source(
    account_id bigint, provider text, token text, currency text, preference integer, blocked boolean, at timestamptz
) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
    INSERT INTO funding_source VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (account_id, provider, token) DO UPDATE
       SET currency = excluded.currency, preference = excluded.preference, blocked = excluded.blocked,
           changed_at = excluded.changed_at;
$$;

CREATE FUNCTION put_funding_wish(account_id bigint, wishes json, at timestamptz) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
    INSERT INTO funding_wish VALUES ($1, $2, $3)
    ON CONFLICT (account_id) DO UPDATE SET wishes = excluded.wishes, changed_at = excluded.changed_at;
$$;

REVOKE ALL ON funding_source, funding_wish, funding_attempt, funding_transition, funding_step, funding_driver FROM PUBLIC;
GRANT SELECT ON funding_wish, funding_transition, funding_step, funding_driver
    TO switch_daemon, switch_issuing, switch_console, switch_auditor;
GRANT SELECT ON funding_source, funding_attempt TO switch_daemon, switch_issuing;
-- Whoever holds a token can't charge it without our key; but who only looks needs none.
GRANT SELECT (account_id, provider, currency, preference, blocked, changed_at)
    ON funding_source TO switch_console, switch_auditor;
GRANT SELECT (account_id, message_key, key, card_id, provider, amount, currency, budget_until, state, purchase, calls,
              tries, wake_at, reference, charged, charged_currency, cause, moved_at, parked_at, owner)
    ON funding_attempt TO switch_console, switch_auditor;
REVOKE ALL ON FUNCTION
    lock_funding(bigint, bytea),
    record_funding(funding_attempt[], funding_move[]),
    keep_driving(text, double precision),
    claim_funding(text, integer),
    release_funding(bigint, bytea),
    put_funding_source(bigint, text, text, text, integer, boolean, timestamptz),
    put_funding_wish(bigint, json, timestamptz)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    lock_funding(bigint, bytea),
    record_funding(funding_attempt[], funding_move[]),
    keep_driving(text, double precision),
    claim_funding(text, integer)
    TO switch_daemon, switch_issuing;
GRANT EXECUTE ON FUNCTION
    release_funding(bigint, bytea),
    put_funding_source(bigint, text, text, text, integer, boolean, timestamptz),
    put_funding_wish(bigint, json, timestamptz)
    TO switch_issuing;
