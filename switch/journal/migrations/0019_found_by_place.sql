-- What load_unit reads, record_unit finds again by the place where it lay (tid) and not through an index: two descents less for
-- an approval, which is much where the tables are large. The place is part of an account's version: a row that lies elsewhere
-- now was changed, or its table was written anew (VACUUM FULL), and the batch is decided again. A place alone is never
-- believed: the row there must be the account's, and of that version. "+ 0" keeps those comparisons from being taken for a
-- search in the index, which looks cheaper to the planner while a table is small.

DROP FUNCTION record_unit(journal_entry[], limit_usage[], hold[], message_key[], message_ref[], message_amendment[], concern[],
                          new_tombstone[], account_version[]);

ALTER TYPE account_version ADD ATTRIBUTE place tid;
CREATE TYPE usage_change AS (
    account_id bigint, card_id bigint, day date, day_minor bigint, day_count bigint, month_minor bigint, month_count bigint,
    lifetime_minor bigint, lifetime_count bigint, place tid
);

-- load_unit as in 0007, with the places.
DROP FUNCTION load_unit(bytea[], bytea[], boolean);
CREATE FUNCTION load_unit(lookups bytea[], keys bytea[], lock_accounts boolean)
RETURNS TABLE (
    item bigint, card_id bigint, program text, expiry text, service_code text, status text, locked boolean,
    credential_id bigint, credential_status text, network text,
    account_id bigint, currency text, posted bigint, held bigint, floor bigint, seq bigint, head_hash bytea,
    bonus_posted bigint, bonus_held bigint, expiry_due timestamptz, version bigint, place tid, tombstones boolean,
    day date, day_minor bigint, day_count bigint, month_minor bigint, month_count bigint,
    lifetime_minor bigint, lifetime_count bigint, usage_place tid,
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
           a.bonus_posted, a.bonus_held, a.expiry_due, a.xmin::text::bigint, a.ctid, a.tombstone_until > now(),
           u.day, u.day_minor, u.day_count, u.month_minor, u.month_count, u.lifetime_minor, u.lifetime_count,
           u.ctid,
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

-- record_unit as in 0017, which finds accounts and usages by their places.
CREATE FUNCTION record_unit(
    entries journal_entry[], usages usage_change[], holds hold[], messages message_key[],
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
        SELECT x.account_id, max(x.version) AS version, max(x.place) AS place, count(x.seq) AS entries,
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
              SELECT e.account_id, NULL::bigint AS version, NULL::tid AS place, e.seq, e.posted_delta, e.held_delta,
                     e.prev_hash, e.hash, e.posted_after, e.held_after, e.currency,
                     CASE WHEN e.credit LIKE 'bonus.%' THEN e.amount ELSE 0 END
                     - CASE WHEN e.debit LIKE 'bonus.%' THEN e.amount ELSE 0 END AS bonus_posted_delta,
                     CASE WHEN e.credit = 'bonus.held' THEN e.amount ELSE 0 END
                     - CASE WHEN e.debit = 'bonus.held' THEN e.amount ELSE 0 END AS bonus_held_delta,
                     e.booked_at, NULL::timestamptz AS expires_at
                FROM unnest(entries) e
              UNION ALL
              SELECT v.account_id, v.version, v.place, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
                FROM unnest(versions) v
              UNION ALL
              SELECT h.account_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, h.expires_at
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
         WHERE a.ctid = m.place AND a.account_id + 0 = m.account_id
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
             WHERE (a.xmin::text::bigint <> v.version OR a.ctid <> v.place) AND a.xmin <> pg_current_xact_id()::xid
        ) THEN
            RAISE EXCEPTION 'accounts have changed since they were read' USING ERRCODE = 'SW002';
        END IF;
        RAISE EXCEPTION 'entries do not continue the journal of % account(s)', expected - done
            USING ERRCODE = 'SW001';
    END IF;

    IF cardinality(entries) > 0 THEN
        INSERT INTO journal_entry SELECT * FROM unnest(entries);
    END IF;

    -- holds has every step in order: a purchase that begins and ends in one batch takes two. The entry that begins one has
    -- its number (hold_id = seq) and stands for its state before the first step: such a purchase need not be looked for.
    IF cardinality(holds) > 0 THEN
        WITH steps AS MATERIALIZED (
            SELECT x.*, lag(x.state) OVER purchase AS before, lead(x.ordinality) OVER purchase IS NULL AS newest,
                   first_value(x.ordinality) OVER purchase = 0 AS begun
              FROM (
                  SELECT n.* FROM unnest(holds) WITH ORDINALITY n
                  UNION ALL
                  SELECT e.account_id, e.hold_id, NULL, '', NULL, NULL, NULL, NULL, NULL, NULL,
                         NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
                    FROM unnest(entries) e WHERE e.hold_id = e.seq
              ) x
            WINDOW purchase AS (PARTITION BY x.account_id, x.hold_id ORDER BY x.ordinality)
        ), beginning AS (
            INSERT INTO hold
            SELECT account_id, hold_id, card_id, state, authorized, held, posted, credit, mcc, opened_at,
                   begun_by, approval_code, expires_at, presented, refunded, held_bonus, posted_bonus, refunded_bonus
              FROM steps WHERE begun AND newest AND ordinality > 0
        ), continuing AS (
            INSERT INTO hold AS h
            SELECT account_id, hold_id, card_id, state, authorized, held, posted, credit, mcc, opened_at,
                   begun_by, approval_code, expires_at, presented, refunded, held_bonus, posted_bonus, refunded_bonus
              FROM steps WHERE NOT begun AND newest
            ON CONFLICT (account_id, hold_id) DO UPDATE
               SET state = excluded.state, authorized = excluded.authorized, held = excluded.held,
                   posted = excluded.posted, approval_code = excluded.approval_code, expires_at = excluded.expires_at,
                   presented = excluded.presented, refunded = excluded.refunded, held_bonus = excluded.held_bonus,
                   posted_bonus = excluded.posted_bonus, refunded_bonus = excluded.refunded_bonus
        )
        SELECT count(*) INTO done
          FROM steps s
          -- The state as it was before this statement.
          LEFT JOIN LATERAL (
              SELECT h.state FROM hold h
               WHERE s.before IS NULL AND h.account_id = s.account_id AND h.hold_id = s.hold_id LIMIT 1
          ) o ON true
          JOIN hold_transition t ON t.before = coalesce(s.before, o.state, '') AND t.after = s.state
         WHERE s.ordinality > 0;
        IF done <> cardinality(holds) THEN
            RAISE EXCEPTION 'a purchase would take a step that is not allowed' USING ERRCODE = 'SW001';
        END IF;
    END IF;

    IF cardinality(usages) > 0 THEN
        UPDATE limit_usage u
           SET day = n.day, day_minor = n.day_minor, day_count = n.day_count,
               month_minor = n.month_minor, month_count = n.month_count,
               lifetime_minor = n.lifetime_minor, lifetime_count = n.lifetime_count
          FROM unnest(usages) n
         WHERE u.ctid = n.place AND u.account_id + 0 = n.account_id AND u.card_id + 0 = n.card_id;
        GET DIAGNOSTICS done = ROW_COUNT;
        IF done <> cardinality(usages) THEN
            -- First purchases, which have no place yet; all of them, where rows lie elsewhere now.
            INSERT INTO limit_usage AS u
            SELECT n.account_id, n.card_id, n.day, n.day_minor, n.day_count, n.month_minor, n.month_count,
                   n.lifetime_minor, n.lifetime_count
              FROM unnest(usages) n
             WHERE n.place IS NULL OR done < (SELECT count(c.place) FROM unnest(usages) c)
            ON CONFLICT (account_id, card_id) DO UPDATE
               SET day = excluded.day, day_minor = excluded.day_minor, day_count = excluded.day_count,
                   month_minor = excluded.month_minor, month_count = excluded.month_count,
                   lifetime_minor = excluded.lifetime_minor, lifetime_count = excluded.lifetime_count;
        END IF;
    END IF;

    IF cardinality(messages) > 0 THEN
        INSERT INTO message_key SELECT * FROM unnest(messages) m WHERE m.account_id <> 0;
        GET DIAGNOSTICS done = ROW_COUNT;
        IF done <> cardinality(messages) THEN
            -- Messages of unknown cards have no account: two daemons may store the same one at once.
            INSERT INTO message_key SELECT * FROM unnest(messages) m WHERE m.account_id = 0
            ON CONFLICT (account_id, key) DO NOTHING;
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

-- As in 0007, with the place.
DROP FUNCTION lock_due(timestamptz, integer);
CREATE FUNCTION lock_due(moment timestamptz, accounts_max integer)
RETURNS TABLE (
    account_id bigint, currency text, posted bigint, held bigint, floor bigint, seq bigint, head_hash bytea,
    bonus_posted bigint, bonus_held bigint, version bigint, place tid
)
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
    SELECT a.account_id, a.currency, a.posted, a.held, a.floor, a.seq, a.head_hash, a.bonus_posted, a.bonus_held,
           a.xmin::text::bigint, a.ctid
      FROM account a
     WHERE a.expiry_due <= $1
     ORDER BY a.expiry_due
     LIMIT $2
       FOR NO KEY UPDATE SKIP LOCKED;
$$;

REVOKE ALL ON FUNCTION
    load_unit(bytea[], bytea[], boolean),
    record_unit(journal_entry[], usage_change[], hold[], message_key[], message_ref[], message_amendment[], concern[],
                new_tombstone[], account_version[]),
    lock_due(timestamptz, integer)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    load_unit(bytea[], bytea[], boolean),
    record_unit(journal_entry[], usage_change[], hold[], message_key[], message_ref[], message_amendment[], concern[],
                new_tombstone[], account_version[]),
    lock_due(timestamptz, integer)
    TO switch_daemon, switch_issuing;
ALTER FUNCTION load_unit(bytea[], bytea[], boolean) SET plan_cache_mode = force_generic_plan;
ALTER FUNCTION record_unit(journal_entry[], usage_change[], hold[], message_key[], message_ref[], message_amendment[], concern[],
                           new_tombstone[], account_version[])
    SET plan_cache_mode = force_generic_plan;
