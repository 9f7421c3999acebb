-- The doors of the unit of work again (they replace those of 0002): nothing need be locked any more while a batch is decided.
--
-- load_unit tells the version of every account that it reads; record_unit takes the versions back, and refuses the batch
-- (SQLSTATE SW002) when any of the accounts has changed meanwhile. A version is the row's xmin, the transaction that wrote
-- it: whoever changes anything that a decision reads (a card, a balance, a limit, a purchase, a message) writes the
-- account's row too, if only with the values that it has. So a batch takes two round trips and one commit, and a daemon
-- that is stopped in the middle of one keeps nobody waiting. Where accounts are fought over, load_unit can lock them as
-- before.

CREATE TYPE account_version AS (account_id bigint, version bigint);

DROP FUNCTION load_unit(bytea[], bytea[]);
DROP FUNCTION record_unit(journal_entry[], limit_usage[], hold[], message_key[], message_ref[], message_amendment[],
                          concern[], new_tombstone[]);

-- Which columns the decision needs, for every message of the batch, in the batch's order. With lock_accounts, within a
-- transaction, the accounts are locked in id order first, in a statement of its own: the second statement then sees what
-- the transactions before left.
CREATE FUNCTION load_unit(lookups bytea[], keys bytea[], lock_accounts boolean)
RETURNS TABLE (
    item bigint, card_id bigint, program text, expiry text, service_code text, status text, locked boolean,
    account_id bigint, currency text, posted bigint, held bigint, floor bigint, seq bigint, head_hash bytea,
    version bigint, tombstones boolean,
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
         WHERE a.account_id IN (SELECT c.account_id FROM card c WHERE c.pan_lookup = ANY (lookups))
         ORDER BY a.account_id
           FOR NO KEY UPDATE;
    END IF;
    RETURN QUERY
    SELECT i.item, c.card_id, c.program, c.expiry, c.service_code, c.status, c.locked,
           a.account_id, a.currency, a.posted, a.held, a.floor, a.seq, a.head_hash,
           a.xmin::text::bigint, a.tombstone_until > now(),
           u.day, u.day_minor, u.day_count, u.month_minor, u.month_count, u.lifetime_minor, u.lifetime_count,
           m.stored
      FROM unnest(lookups, keys) WITH ORDINALITY AS i (pan_lookup, key, item)
      LEFT JOIN card c ON c.pan_lookup = i.pan_lookup
      LEFT JOIN account a ON a.account_id = c.account_id
      LEFT JOIN limit_usage u ON u.account_id = c.account_id AND u.card_id = c.card_id
      -- LIMIT keeps the planner from walking all messages of the account and comparing the keys afterwards.
      LEFT JOIN LATERAL (
          SELECT s AS stored FROM message_key s
           WHERE s.account_id = coalesce(c.account_id, 0) AND s.key = i.key LIMIT 1
      ) m ON true
     ORDER BY i.item;
END $$;

-- Writes what a batch changed. Refuses it as a whole, with SQLSTATE SW002 when an account has changed since it was loaded,
-- with SW001 when an entry does not continue its account's chain, when a balance is not the sum of its entries, or when a
-- purchase takes a step that the table does not allow. versions has every account of the batch, those without entries too.
CREATE FUNCTION record_unit(
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
               min(x.currency) AS currency, max(x.currency) AS other_currency
          FROM (
              SELECT e.account_id, NULL::bigint AS version, e.seq, e.posted_delta, e.held_delta, e.prev_hash, e.hash,
                     e.posted_after, e.held_after, e.currency
                FROM unnest(entries) e
              UNION ALL
              SELECT v.account_id, v.version, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
                FROM unnest(versions) v
          ) x
         GROUP BY x.account_id
    ), changed AS (
        UPDATE account a
           SET posted = coalesce(m.posted_after, a.posted), held = coalesce(m.held_after, a.held),
               seq = coalesce(m.last_seq, a.seq), head_hash = coalesce(m.last_hash, a.head_hash)
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
        SELECT account_id, hold_id, card_id, state, authorized, held, posted, credit, mcc, opened_at
          FROM (SELECT DISTINCT ON (n.account_id, n.hold_id) n.*
                  FROM unnest(holds) WITH ORDINALITY n
                 ORDER BY n.account_id, n.hold_id, n.ordinality DESC) newest
        ON CONFLICT (account_id, hold_id) DO UPDATE
           SET state = excluded.state, authorized = excluded.authorized, held = excluded.held, posted = excluded.posted;
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

-- As in 0003, and writes the account's row, so that a decision on the old card is not booked.
CREATE OR REPLACE FUNCTION change_card(wanted_card_id bigint, new_status text, new_locked boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
BEGIN
    UPDATE account a SET seq = a.seq FROM card c WHERE a.account_id = c.account_id AND c.card_id = wanted_card_id;
    UPDATE card c SET status = coalesce(new_status, c.status), locked = coalesce(new_locked, c.locked)
     WHERE c.card_id = wanted_card_id;
    RETURN FOUND;
END $$;

REVOKE ALL ON FUNCTION
    load_unit(bytea[], bytea[], boolean),
    record_unit(journal_entry[], limit_usage[], hold[], message_key[], message_ref[], message_amendment[], concern[],
                new_tombstone[], account_version[])
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    load_unit(bytea[], bytea[], boolean),
    record_unit(journal_entry[], limit_usage[], hold[], message_key[], message_ref[], message_amendment[], concern[],
                new_tombstone[], account_version[])
    TO switch_daemon, switch_issuing;
