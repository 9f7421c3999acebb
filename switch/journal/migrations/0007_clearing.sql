-- The life of a purchase after its authorization: clearing records, the deadline of a hold, refunds, bonus value, accounts
-- below their floor. The two doors of the unit of work are replaced again; beside them stands record_beside, for what few
-- batches have.

-- ── holds ────────────────────────────────────────────────────────────────────────────────────────────────────────────────

ALTER TABLE hold
    ADD COLUMN begun_by      bytea  NOT NULL DEFAULT '',
    ADD COLUMN approval_code text   NOT NULL DEFAULT '',
    ADD COLUMN expires_at    timestamptz,
    ADD COLUMN presented     bigint NOT NULL DEFAULT 0 CHECK (presented >= 0),
    ADD COLUMN refunded      bigint NOT NULL DEFAULT 0 CHECK (refunded >= 0),
    ADD COLUMN held_bonus    bigint NOT NULL DEFAULT 0,
    ADD COLUMN posted_bonus  bigint NOT NULL DEFAULT 0,
    ADD COLUMN refunded_bonus bigint NOT NULL DEFAULT 0,
    ADD CHECK (held_bonus BETWEEN 0 AND held),
    ADD CHECK (posted_bonus BETWEEN 0 AND posted),
    ADD CHECK (refunded_bonus BETWEEN 0 AND refunded);
COMMENT ON COLUMN hold.begun_by IS 'The key of the message that began the purchase.';
COMMENT ON COLUMN hold.presented IS 'Of posted: what clearing records have told of. The rest was posted by messages.';
COMMENT ON COLUMN hold.refunded IS 'What refunds and chargebacks have brought back.';
COMMENT ON COLUMN hold.held_bonus IS 'Of held: what the bonus pays.';

-- What was there before: who began it, and a deadline. Seven days are what a program has that says nothing.
UPDATE hold h SET begun_by = e.cause_key FROM journal_entry e WHERE e.account_id = h.account_id AND e.seq = h.hold_id;
UPDATE hold h SET approval_code = coalesce(m.answer ->> 'approval_code', '')
  FROM message_key m WHERE m.account_id = h.account_id AND m.key = h.begun_by;
UPDATE hold SET expires_at = opened_at + interval '7 days' WHERE state = 'open';

INSERT INTO hold_transition VALUES ('open', 'expired'), ('expired', 'posted');

-- ── accounts ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

ALTER TABLE account
    ADD COLUMN bonus_posted   bigint NOT NULL DEFAULT 0,
    ADD COLUMN bonus_held     bigint NOT NULL DEFAULT 0,
    ADD COLUMN expiry_due     timestamptz,
    ADD COLUMN negative_since timestamptz,
    ADD CHECK (bonus_held BETWEEN 0 AND bonus_posted),
    ADD CHECK (bonus_held <= held);
COMMENT ON COLUMN account.bonus_posted IS 'Of posted: value that the issuer gave. Projection, as the other figures.';
COMMENT ON COLUMN account.expiry_due IS 'When a hold of the account may be due: never later than the first one is.';
COMMENT ON COLUMN account.negative_since IS 'Since when available is below the floor; nothing may be spent meanwhile.';

UPDATE account a SET expiry_due = (
    SELECT min(h.expires_at) FROM hold h WHERE h.account_id = a.account_id AND h.state = 'open'
) WHERE a.held > 0;
UPDATE account SET negative_since = now() WHERE posted - held < floor;

-- It changes rarely (the first hold of an account sets it), so it costs an authorization nothing.
CREATE INDEX account_expiry_due ON account (expiry_due) WHERE expiry_due IS NOT NULL;
CREATE INDEX account_negative ON account (negative_since) WHERE negative_since IS NOT NULL;

-- ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

-- One index for two: every message is entered in each, and where there are many accounts that is another page each time. By
-- STAN alone, the account's part of the index is read instead of a page of its own: few messages are looked for that way.
DROP INDEX message_by_retrieval_reference;
DROP INDEX message_by_stan;
CREATE INDEX message_by_reference ON message_key (account_id, retrieval_reference, stan)
    WHERE retrieval_reference <> '' OR stan <> '';

-- ── clearing ─────────────────────────────────────────────────────────────────────────────────────────────────────────────

ALTER TABLE message_key DROP CONSTRAINT message_key_state_check;
ALTER TABLE message_key ADD CONSTRAINT message_key_state_check CHECK (
    state IN ('answered', 'tombstone', 'tombstone_met', 'reversed', 'withdrawn', 'in_doubt', 'rejected')
);

CREATE TABLE clearing_file (
    network       text    NOT NULL,
    file_id       text    NOT NULL,
    digest        text    NOT NULL,  -- SHA-256 of its bytes
    format        text    NOT NULL,
    name          text    NOT NULL,
    business_day  date    NOT NULL,
    records       bigint  NOT NULL CHECK (records >= 0),
    totals        json    NOT NULL,
    booked_to     bigint  NOT NULL DEFAULT 0,  -- every record up to this one is booked; more may be
    begun_at      timestamptz NOT NULL,
    ended_at      timestamptz,
    PRIMARY KEY (network, file_id)
);
COMMENT ON TABLE clearing_file IS 'Clearing files by their own name. One that comes again books nothing again.';

CREATE TABLE clearing_item (
    account_id           bigint  NOT NULL,  -- 0 where the card is unknown
    key                  bytea   NOT NULL,  -- of its message_key
    network              text    NOT NULL,
    file_id              text    NOT NULL,
    record               bigint  NOT NULL,
    kind                 text    NOT NULL,
    operation            text    NOT NULL,
    acquirer_reference   text    NOT NULL,
    sequence             integer NOT NULL,
    sequence_count       integer NOT NULL,
    final                boolean NOT NULL,
    state                text    NOT NULL,
    why                  text    NOT NULL,
    confidence           integer NOT NULL CHECK (confidence BETWEEN 0 AND 100),
    hold_id              bigint,
    amount               bigint  NOT NULL,  -- in the account's currency; 0 where the record does not say
    transaction_amount   bigint  NOT NULL,  -- DE4
    transaction_currency text    NOT NULL,
    settlement_amount    bigint,            -- DE5
    settlement_currency  text    NOT NULL,
    billing_amount       bigint,            -- DE6
    billing_currency     text    NOT NULL,
    fee                  bigint  NOT NULL,
    purchased_at         timestamptz NOT NULL,
    request              json    NOT NULL,  -- the rest of the record, without card data
    booked_at            timestamptz NOT NULL,
    PRIMARY KEY (account_id, key)
);
CREATE INDEX clearing_item_reference ON clearing_item (account_id, acquirer_reference) WHERE acquirer_reference <> '';
CREATE INDEX clearing_item_file ON clearing_item (network, file_id, record);
CREATE INDEX clearing_item_in_doubt ON clearing_item (booked_at) WHERE state = 'in_doubt';
COMMENT ON TABLE clearing_item IS 'Every clearing record and what became of it; see switch/issuer/clearing_item.py.';

CREATE TABLE clearing_transition (
    before text NOT NULL,  -- '' for a new record
    after  text NOT NULL,
    PRIMARY KEY (before, after)
);
INSERT INTO clearing_transition VALUES
    ('', 'matched'), ('', 'forced'), ('', 'in_doubt'), ('', 'noted'),
    ('in_doubt', 'matched'), ('in_doubt', 'forced'), ('in_doubt', 'rejected'),
    ('matched', 'reversed'), ('forced', 'reversed');

CREATE TABLE clearing_step (
    account_id bigint NOT NULL,
    key        bytea  NOT NULL,
    at         timestamptz NOT NULL,
    before     text   NOT NULL,
    after      text   NOT NULL,
    cause_key  bytea  NOT NULL,  -- the message that did it; the record's own where a person did
    by         text   NOT NULL,  -- who; empty where a message did
    agreed_by  text   NOT NULL,
    PRIMARY KEY (account_id, key, after)  -- no record comes to a state twice
);
COMMENT ON TABLE clearing_step IS 'Every later step of a clearing record. Its first is the record itself.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON clearing_step FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON clearing_step
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER items_stay BEFORE DELETE ON clearing_item FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER items_stay_truncate BEFORE TRUNCATE ON clearing_item
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER files_stay BEFORE DELETE ON clearing_file FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER files_stay_truncate BEFORE TRUNCATE ON clearing_file
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Where the rule of two applies: what one person has asked for and nobody has agreed to yet.
CREATE TABLE clearing_proposal (
    account_id  bigint NOT NULL,
    key         bytea  NOT NULL,
    kind        text   NOT NULL CHECK (kind IN ('bind', 'force', 'reject')),
    hold_id     bigint,
    proposed_by text   NOT NULL,
    proposed_at timestamptz NOT NULL,
    PRIMARY KEY (account_id, key)
);

-- What cardholders and staff are to be told. Written with the commit that is the reason.
CREATE TABLE notification (
    notification_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account_id      bigint NOT NULL,
    key             bytea  NOT NULL,  -- what caused it
    kind            text   NOT NULL,
    facts           json   NOT NULL,
    raised_at       timestamptz NOT NULL
);
CREATE INDEX notification_of_account ON notification (account_id);
CREATE TRIGGER notifications_stay BEFORE UPDATE OR DELETE ON notification
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER notifications_stay_truncate BEFORE TRUNCATE ON notification
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- ── the doors ────────────────────────────────────────────────────────────────────────────────────────────────────────────

-- An amendment may settle a record in doubt: then the message has a purchase and has moved something.
ALTER TYPE message_amendment ADD ATTRIBUTE hold_id bigint, ADD ATTRIBUTE moved bigint;

-- load_unit as in 0006, with the bonus and with when a hold may be due.
DROP FUNCTION load_unit(bytea[], bytea[], boolean);
CREATE FUNCTION load_unit(lookups bytea[], keys bytea[], lock_accounts boolean)
RETURNS TABLE (
    item bigint, card_id bigint, program text, expiry text, service_code text, status text, locked boolean,
    credential_id bigint, credential_status text, network text,
    account_id bigint, currency text, posted bigint, held bigint, floor bigint, seq bigint, head_hash bytea,
    bonus_posted bigint, bonus_held bigint, expiry_due timestamptz, version bigint, tombstones boolean,
    day date, day_minor bigint, day_count bigint, month_minor bigint, month_count bigint,
    lifetime_minor bigint, lifetime_count bigint,
    stored message_key
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF lock_accounts THEN
        PERFORM 1 FROM account a
         WHERE a.account_id IN (
                   SELECT c.account_id
                     FROM unnest(lookups) AS i (pan_lookup),
                          LATERAL (SELECT n.account_id FROM card_number n WHERE n.pan_lookup = i.pan_lookup LIMIT 1) c
               )
         ORDER BY a.account_id
           FOR NO KEY UPDATE;
    END IF;
    RETURN QUERY
    SELECT i.item, c.card_id, c.program, c.expiry, c.service_code, c.status, c.locked,
           c.credential_id, c.credential_status, c.network,
           a.account_id, a.currency, a.posted, a.held, a.floor, a.seq, a.head_hash,
           a.bonus_posted, a.bonus_held, a.expiry_due, a.xmin::text::bigint, a.tombstone_until > now(),
           u.day, u.day_minor, u.day_count, u.month_minor, u.month_count, u.lifetime_minor, u.lifetime_count,
           m.stored
      FROM unnest(lookups, keys) WITH ORDINALITY AS i (pan_lookup, key, item)
      LEFT JOIN LATERAL (SELECT * FROM card_number n WHERE n.pan_lookup = i.pan_lookup LIMIT 1) c ON true
      LEFT JOIN account a ON a.account_id = c.account_id
      LEFT JOIN limit_usage u ON u.account_id = c.account_id AND u.card_id = c.card_id
      -- LIMIT keeps the planner from walking all messages of the account and comparing the keys afterwards.
      LEFT JOIN LATERAL (
          SELECT s AS stored FROM message_key s
           WHERE s.account_id = coalesce(c.account_id, 0) AND s.key = i.key LIMIT 1
      ) m ON true
     ORDER BY i.item;
END $$;

-- record_unit as in 0005, which also keeps the bonus, when a hold may be due, and since when an account is below its floor.
CREATE OR REPLACE FUNCTION record_unit(
    entries journal_entry[], usages limit_usage[], holds hold[], messages message_key[],
    repeats message_ref[], amendments message_amendment[], concerns concern[], tombstones new_tombstone[],
    versions account_version[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
DECLARE
    expected bigint;
    done     bigint;
BEGIN
    -- The accounts first: from here on their rows are locked, and what was loaded is known to be true still.
    WITH moved AS (
        SELECT x.account_id, max(x.version) AS version, count(x.seq) AS entries,
               min(x.seq) AS first_seq, max(x.seq) AS last_seq,
               sum(x.posted_delta) AS posted_delta, sum(x.held_delta) AS held_delta,
               (array_agg(x.prev_hash ORDER BY x.seq NULLS LAST))[1] AS first_prev_hash,
               (array_agg(x.hash ORDER BY x.seq DESC NULLS LAST))[1] AS last_hash,
               (array_agg(x.posted_after ORDER BY x.seq DESC NULLS LAST))[1] AS posted_after,
               (array_agg(x.held_after ORDER BY x.seq DESC NULLS LAST))[1] AS held_after,
               min(x.currency) AS currency, max(x.currency) AS other_currency,
               coalesce(sum(x.bonus_posted_delta), 0) AS bonus_posted_delta,
               coalesce(sum(x.bonus_held_delta), 0) AS bonus_held_delta,
               max(x.booked_at) AS booked_at, min(x.expires_at) AS expires_at
          FROM (
              SELECT e.account_id, NULL::bigint AS version, e.seq, e.posted_delta, e.held_delta, e.prev_hash, e.hash,
                     e.posted_after, e.held_after, e.currency,
                     CASE WHEN e.credit LIKE 'bonus.%' THEN e.amount ELSE 0 END
                     - CASE WHEN e.debit LIKE 'bonus.%' THEN e.amount ELSE 0 END AS bonus_posted_delta,
                     CASE WHEN e.credit = 'bonus.held' THEN e.amount ELSE 0 END
                     - CASE WHEN e.debit = 'bonus.held' THEN e.amount ELSE 0 END AS bonus_held_delta,
                     e.booked_at, NULL::timestamptz AS expires_at
                FROM unnest(entries) e
              UNION ALL
              SELECT v.account_id, v.version, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
                FROM unnest(versions) v
              UNION ALL
              SELECT h.account_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, h.expires_at
                FROM unnest(holds) h WHERE h.state = 'open'
          ) x
         GROUP BY x.account_id
        HAVING count(x.version) + count(x.seq) > 0
    ), changed AS (
        UPDATE account a
           SET posted = coalesce(m.posted_after, a.posted), held = coalesce(m.held_after, a.held),
               seq = coalesce(m.last_seq, a.seq), head_hash = coalesce(m.last_hash, a.head_hash),
               bonus_posted = a.bonus_posted + m.bonus_posted_delta, bonus_held = a.bonus_held + m.bonus_held_delta,
               -- Never later than the first hold that is due: the sweep sets it right.
               expiry_due = least(a.expiry_due, m.expires_at),
               negative_since = CASE
                   WHEN m.entries = 0 THEN a.negative_since
                   WHEN m.posted_after - m.held_after < a.floor THEN coalesce(a.negative_since, m.booked_at)
               END
          FROM moved m
         WHERE a.account_id = m.account_id
           AND a.xmin::text::bigint = m.version
           AND (m.entries = 0
                OR m.first_seq = a.seq + 1 AND m.last_seq = a.seq + m.entries
                   AND m.first_prev_hash = a.head_hash
                   AND m.posted_after = a.posted + m.posted_delta
                   AND m.held_after = a.held + m.held_delta
                   AND m.currency = a.currency AND m.other_currency = a.currency)
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM moved), (SELECT count(*) FROM changed) INTO expected, done;
    IF done <> expected THEN
        -- The rows that this very transaction has written carry its own number.
        IF EXISTS (
            SELECT 1 FROM unnest(versions) v JOIN account a USING (account_id)
             WHERE a.xmin::text::bigint <> v.version AND a.xmin <> pg_current_xact_id()::xid
        ) THEN
            RAISE EXCEPTION 'accounts have changed since they were read' USING ERRCODE = 'SW002';
        END IF;
        RAISE EXCEPTION 'entries do not continue the journal of % account(s)', expected - done
            USING ERRCODE = 'SW001';
    END IF;

    IF cardinality(entries) > 0 THEN
        INSERT INTO journal_entry SELECT * FROM unnest(entries);
    END IF;

    -- holds has every step in order: a purchase that begins and ends in one batch takes two.
    IF cardinality(holds) > 0 THEN
        SELECT count(*) INTO done
          FROM (SELECT n.account_id, n.hold_id, n.state,
                       lag(n.state) OVER (PARTITION BY n.account_id, n.hold_id ORDER BY n.ordinality) AS before
                  FROM unnest(holds) WITH ORDINALITY n) s
          LEFT JOIN LATERAL (
              SELECT h.state FROM hold h WHERE h.account_id = s.account_id AND h.hold_id = s.hold_id LIMIT 1
          ) o ON true
          JOIN hold_transition t ON t.before = coalesce(s.before, o.state, '') AND t.after = s.state;
        IF done <> cardinality(holds) THEN
            RAISE EXCEPTION 'a purchase would take a step that is not allowed' USING ERRCODE = 'SW001';
        END IF;
        INSERT INTO hold AS h
        SELECT account_id, hold_id, card_id, state, authorized, held, posted, credit, mcc, opened_at,
               begun_by, approval_code, expires_at, presented, refunded, held_bonus, posted_bonus, refunded_bonus
          FROM (SELECT DISTINCT ON (n.account_id, n.hold_id) n.*
                  FROM unnest(holds) WITH ORDINALITY n
                 ORDER BY n.account_id, n.hold_id, n.ordinality DESC) newest
        ON CONFLICT (account_id, hold_id) DO UPDATE
           SET state = excluded.state, authorized = excluded.authorized, held = excluded.held, posted = excluded.posted,
               approval_code = excluded.approval_code, expires_at = excluded.expires_at,
               presented = excluded.presented, refunded = excluded.refunded, held_bonus = excluded.held_bonus,
               posted_bonus = excluded.posted_bonus, refunded_bonus = excluded.refunded_bonus;
    END IF;

    IF cardinality(usages) > 0 THEN
        INSERT INTO limit_usage AS u SELECT * FROM unnest(usages)
        ON CONFLICT (account_id, card_id) DO UPDATE
           SET day = excluded.day, day_minor = excluded.day_minor, day_count = excluded.day_count,
               month_minor = excluded.month_minor, month_count = excluded.month_count,
               lifetime_minor = excluded.lifetime_minor, lifetime_count = excluded.lifetime_count;
    END IF;

    IF cardinality(messages) > 0 THEN
        -- Messages of unknown cards have no account: two daemons may store the same one at once.
        WITH added AS (
            INSERT INTO message_key SELECT * FROM unnest(messages)
            ON CONFLICT (account_id, key) DO NOTHING
            RETURNING account_id
        )
        SELECT (SELECT count(*) FROM unnest(messages) m WHERE m.account_id <> 0),
               (SELECT count(*) FROM added WHERE account_id <> 0) INTO expected, done;
        IF done <> expected THEN
            RAISE EXCEPTION 'a message was stored already' USING ERRCODE = 'SW001';
        END IF;
    END IF;

    -- Answering a repeat writes too: the answer then waits for a commit of its own, so a row that a failed-over primary
    -- had not yet replicated is never the ground for an approval.
    IF cardinality(repeats) > 0 THEN
        UPDATE message_key m SET repeats_answered = m.repeats_answered + r.times
          FROM (SELECT x.account_id, x.key, count(*)::integer AS times FROM unnest(repeats) x GROUP BY 1, 2) r
         WHERE m.account_id = r.account_id AND m.key = r.key;
    END IF;

    IF cardinality(amendments) > 0 THEN
        UPDATE message_key m
           SET state = n.state, reason = n.reason, response_code = n.response_code, answer = n.answer,
               hold_id = n.hold_id, moved = n.moved,
               repeats_answered = m.repeats_answered - n.unheard
          FROM unnest(amendments) n
         WHERE m.account_id = n.account_id AND m.key = n.key;
    END IF;

    IF cardinality(concerns) > 0 THEN
        INSERT INTO exception_item (account_id, key, kind, trace, raised_at) SELECT * FROM unnest(concerns);
    END IF;

    IF cardinality(tombstones) > 0 THEN
        UPDATE account a SET tombstone_until = greatest(a.tombstone_until, n.until)
          FROM unnest(tombstones) n WHERE a.account_id = n.account_id;
    END IF;
END $$;

CREATE TYPE clearing_change AS (
    account_id bigint, key bytea, state text, why text, confidence integer, hold_id bigint,
    at timestamptz, cause_key bytea, by text, agreed_by text
);
CREATE TYPE notice AS (account_id bigint, key bytea, kind text, facts json, raised_at timestamptz);
CREATE TYPE account_expiry AS (account_id bigint, due timestamptz);

-- What only few batches have, in the same transaction as their record_unit: clearing records and their later steps, notices,
-- and, where all open holds of an account were looked at, when the next of them is due. Refuses (SQLSTATE SW001) a step of a
-- clearing record that the table does not allow.
CREATE FUNCTION record_beside(
    items clearing_item[], changes clearing_change[], notices notice[], expiries account_expiry[]
) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = switch, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    expected bigint;
    done     bigint;
BEGIN
    IF cardinality(items) > 0 THEN
        SELECT count(*) INTO done
          FROM unnest(items) i JOIN clearing_transition t ON t.before = '' AND t.after = i.state;
        IF done <> cardinality(items) THEN
            RAISE EXCEPTION 'a clearing record would begin in a state that is not allowed' USING ERRCODE = 'SW001';
        END IF;
        -- Records of unknown cards have no account: two imports may store the same one at once, and the first one stays.
        INSERT INTO clearing_item SELECT * FROM unnest(items) ON CONFLICT (account_id, key) DO NOTHING;
    END IF;

    IF cardinality(changes) > 0 THEN
        INSERT INTO clearing_step (account_id, key, at, before, after, cause_key, by, agreed_by)
        SELECT s.account_id, s.key, s.at, s.before, s.state, s.cause_key, s.by, s.agreed_by
          -- Every step in order: a record may be settled and taken back in one batch.
          FROM (SELECT c.*, coalesce(lag(c.state) OVER (PARTITION BY c.account_id, c.key ORDER BY c.ordinality),
                                     i.state) AS before
                  FROM unnest(changes) WITH ORDINALITY c JOIN clearing_item i USING (account_id, key)) s
          JOIN clearing_transition t ON t.before = s.before AND t.after = s.state;
        GET DIAGNOSTICS done = ROW_COUNT;
        IF done <> cardinality(changes) THEN
            RAISE EXCEPTION 'a clearing record would take a step that is not allowed' USING ERRCODE = 'SW001';
        END IF;
        UPDATE clearing_item i
           SET state = c.state, why = c.why, confidence = c.confidence, hold_id = c.hold_id
          FROM (SELECT DISTINCT ON (n.account_id, n.key) n.*
                  FROM unnest(changes) WITH ORDINALITY n ORDER BY n.account_id, n.key, n.ordinality DESC) c
         WHERE i.account_id = c.account_id AND i.key = c.key;
        DELETE FROM clearing_proposal p USING unnest(changes) c WHERE p.account_id = c.account_id AND p.key = c.key;
    END IF;

    IF cardinality(notices) > 0 THEN
        INSERT INTO notification (account_id, key, kind, facts, raised_at) SELECT * FROM unnest(notices);
    END IF;

    IF cardinality(expiries) > 0 THEN
        UPDATE account a SET expiry_due = e.due FROM unnest(expiries) e WHERE a.account_id = e.account_id;
    END IF;
END $$;

-- Accounts that may have a hold that is due, locked: what another daemon has locked is left to it.
CREATE FUNCTION lock_due(moment timestamptz, accounts_max integer)
RETURNS TABLE (
    account_id bigint, currency text, posted bigint, held bigint, floor bigint, seq bigint, head_hash bytea,
    bonus_posted bigint, bonus_held bigint, version bigint
)
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
    SELECT a.account_id, a.currency, a.posted, a.held, a.floor, a.seq, a.head_hash, a.bonus_posted, a.bonus_held,
           a.xmin::text::bigint
      FROM account a
     WHERE a.expiry_due <= $1
     ORDER BY a.expiry_due
     LIMIT $2
       FOR NO KEY UPDATE SKIP LOCKED;
$$;

-- A file's beginning; false where it is there already (the caller compares the digest).
CREATE FUNCTION begin_clearing_file(
    network text, file_id text, digest text, format text, name text, business_day date, records bigint, totals json,
    begun_at timestamptz
) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
BEGIN
    INSERT INTO clearing_file (network, file_id, digest, format, name, business_day, records, totals, begun_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING;
    RETURN FOUND;
END $$;

-- Every record up to booked_to is booked. It never goes back.
CREATE FUNCTION advance_clearing_file(wanted_network text, wanted_file_id text, to_record bigint, ended timestamptz)
RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
    UPDATE clearing_file f
       SET booked_to = greatest(f.booked_to, $3), ended_at = coalesce(f.ended_at, $4)
     WHERE f.network = $1 AND f.file_id = $2;
$$;

-- What one person asks for about a record in doubt; another must agree. The newest stands.
CREATE FUNCTION propose_clearing(
    wanted_account_id bigint, wanted_key bytea, kind text, hold_id bigint, proposed_by text, proposed_at timestamptz
) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
    INSERT INTO clearing_proposal VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (account_id, key) DO UPDATE
       SET kind = excluded.kind, hold_id = excluded.hold_id, proposed_by = excluded.proposed_by,
           proposed_at = excluded.proposed_at;
$$;

REVOKE ALL ON clearing_file, clearing_item, clearing_transition, clearing_step, clearing_proposal, notification FROM PUBLIC;
GRANT SELECT ON clearing_file, clearing_item, clearing_transition, clearing_step, clearing_proposal, notification
    TO switch_daemon, switch_issuing, switch_console, switch_auditor;
REVOKE ALL ON FUNCTION
    load_unit(bytea[], bytea[], boolean),
    record_beside(clearing_item[], clearing_change[], notice[], account_expiry[]),
    lock_due(timestamptz, integer),
    begin_clearing_file(text, text, text, text, text, date, bigint, json, timestamptz),
    advance_clearing_file(text, text, bigint, timestamptz),
    propose_clearing(bigint, bytea, text, bigint, text, timestamptz)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    load_unit(bytea[], bytea[], boolean),
    record_beside(clearing_item[], clearing_change[], notice[], account_expiry[]),
    lock_due(timestamptz, integer)
    TO switch_daemon, switch_issuing;
GRANT EXECUTE ON FUNCTION
    begin_clearing_file(text, text, text, text, text, date, bigint, json, timestamptz),
    advance_clearing_file(text, text, bigint, timestamptz),
    propose_clearing(bigint, bytea, text, bigint, text, timestamptz)
    TO switch_issuing;
ALTER FUNCTION load_unit(bytea[], bytea[], boolean) SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION record_unit(journal_entry[], limit_usage[], hold[], message_key[], message_ref[], message_amendment[], concern[],
                           new_tombstone[], account_version[])
    SET plan_cache_mode = force_generic_plan;
