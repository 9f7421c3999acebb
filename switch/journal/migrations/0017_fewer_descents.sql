-- record_unit as in 0007, with fewer descents into the indexes: where the tables are large, those are most of what an approval
-- costs PostgreSQL. A purchase that begins in this batch is not looked for in hold before it is inserted, and a message of a
-- known card not in message_key. Were one there all the same, its primary key would refuse the batch (23505).
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
        INSERT INTO limit_usage AS u SELECT * FROM unnest(usages)
        ON CONFLICT (account_id, card_id) DO UPDATE
           SET day = excluded.day, day_minor = excluded.day_minor, day_count = excluded.day_count,
               month_minor = excluded.month_minor, month_count = excluded.month_count,
               lifetime_minor = excluded.lifetime_minor, lifetime_count = excluded.lifetime_count;
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

ALTER FUNCTION record_unit(journal_entry[], limit_usage[], hold[], message_key[], message_ref[], message_amendment[], concern[],
                           new_tombstone[], account_version[])
    SET plan_cache_mode = force_generic_plan;
