-- What a card has spent stands in its account's row, if it is the first card of the account that has spent; the others have rows
-- of their own, as all had before. Nearly every account has one card, so nearly every message reads and changes one row less,
-- and where there are many accounts, one page less of an index and of a table. Where several cards have spent already, the one with
-- the lowest number is taken for the first.

-- Both at once and in the order in which record_unit takes them. Whoever decides meanwhile waits until all counters have moved.
LOCK TABLE account, limit_usage IN ACCESS EXCLUSIVE MODE;

ALTER TABLE limit_usage RENAME TO further_limit_usage;
ALTER INDEX limit_usage_pkey RENAME TO further_limit_usage_pkey;
COMMENT ON TABLE further_limit_usage IS 'The counters of cards that are not their account''s first to have spent.';

ALTER TABLE account
    ADD COLUMN usage_card_id  bigint,
    ADD COLUMN usage_day      date,
    ADD COLUMN day_minor      bigint NOT NULL DEFAULT 0 CHECK (day_minor >= 0),
    ADD COLUMN day_count      bigint NOT NULL DEFAULT 0 CHECK (day_count >= 0),
    ADD COLUMN month_minor    bigint NOT NULL DEFAULT 0 CHECK (month_minor >= 0),
    ADD COLUMN month_count    bigint NOT NULL DEFAULT 0 CHECK (month_count >= 0),
    ADD COLUMN lifetime_minor bigint NOT NULL DEFAULT 0 CHECK (lifetime_minor >= 0),
    ADD COLUMN lifetime_count bigint NOT NULL DEFAULT 0 CHECK (lifetime_count >= 0),
    ADD CHECK ((usage_card_id IS NULL) = (usage_day IS NULL));
COMMENT ON COLUMN account.usage_card_id IS 'Whose counters stand here: the first card that has spent. It stays that one.';

-- Whoever reads a page on which something has changed tidies it up, and looks at every row of it: let them be few.
ALTER TABLE account SET (fillfactor = 30);

UPDATE account a
   SET usage_card_id = u.card_id, usage_day = u.day, day_minor = u.day_minor, day_count = u.day_count,
       month_minor = u.month_minor, month_count = u.month_count,
       lifetime_minor = u.lifetime_minor, lifetime_count = u.lifetime_count
  FROM (SELECT DISTINCT ON (f.account_id) f.* FROM further_limit_usage f ORDER BY f.account_id, f.card_id) u
 WHERE a.account_id = u.account_id;
DELETE FROM further_limit_usage f USING account a WHERE a.account_id = f.account_id AND a.usage_card_id = f.card_id;

CREATE VIEW limit_usage AS
    SELECT a.account_id, a.usage_card_id AS card_id, a.usage_day AS day, a.day_minor, a.day_count, a.month_minor, a.month_count,
           a.lifetime_minor, a.lifetime_count
      FROM account a WHERE a.usage_card_id IS NOT NULL
    UNION ALL
    SELECT f.* FROM further_limit_usage f;
COMMENT ON VIEW limit_usage IS 'What every card has spent, wherever it stands.';
REVOKE ALL ON limit_usage FROM PUBLIC;
GRANT SELECT ON limit_usage TO switch_daemon, switch_issuing, switch_console, switch_auditor;

-- What a message needs of its card stands in the index: mostly the card's row is not looked at.
CREATE UNIQUE INDEX card_by_number ON card (pan_lookup)
    INCLUDE (card_id, account_id, program, expiry, service_code, status, locked);
ALTER TABLE card DROP CONSTRAINT card_pan_lookup_key;
ALTER TABLE card ADD CONSTRAINT card_pan_lookup_key UNIQUE USING INDEX card_by_number;

DROP FUNCTION record_unit(journal_entry[], usage_change[], hold[], message_key[], message_ref[], message_amendment[], concern[],
                          new_tombstone[], account_version[]);
DROP FUNCTION load_unit(bytea[], bytea[], boolean);
DROP FUNCTION lock_due(timestamptz, integer);
ALTER TYPE account_version
    ADD ATTRIBUTE usage_card_id bigint, ADD ATTRIBUTE usage_day date,
    ADD ATTRIBUTE day_minor bigint, ADD ATTRIBUTE day_count bigint,
    ADD ATTRIBUTE month_minor bigint, ADD ATTRIBUTE month_count bigint,
    ADD ATTRIBUTE lifetime_minor bigint, ADD ATTRIBUTE lifetime_count bigint;

-- load_unit has gone: what it read, a daemon may read by itself, and without a function around it that costs half. What it may
-- not do is to lock.
CREATE FUNCTION lock_accounts(lookups bytea[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
    SELECT FROM account a
     WHERE a.account_id IN (
               SELECT c.account_id
                 FROM unnest(lookups) AS i (pan_lookup),
                      LATERAL (SELECT n.account_id FROM card_number n WHERE n.pan_lookup = i.pan_lookup LIMIT 1) c
           )
     ORDER BY a.account_id
       FOR NO KEY UPDATE;
$$;

-- record_unit as in 0019, but: an account's own counters are written with its row; purchases that begin in this batch and take no
-- further step in it come by themselves (beginnings), which most do; one order for all aggregates of moved.
CREATE FUNCTION record_unit(
    entries journal_entry[], usages usage_change[], beginnings hold[], holds hold[], messages message_key[],
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
               (array_agg(x.prev_hash ORDER BY x.seq DESC NULLS LAST))[count(x.seq)] AS first_prev_hash,
               (array_agg(x.hash ORDER BY x.seq DESC NULLS LAST))[1] AS last_hash,
               (array_agg(x.posted_after ORDER BY x.seq DESC NULLS LAST))[1] AS posted_after,
               (array_agg(x.held_after ORDER BY x.seq DESC NULLS LAST))[1] AS held_after,
               min(x.currency) AS currency, max(x.currency) AS other_currency,
               coalesce(sum(x.bonus_posted_delta), 0) AS bonus_posted_delta,
               coalesce(sum(x.bonus_held_delta), 0) AS bonus_held_delta,
               max(x.booked_at) AS booked_at, min(x.expires_at) AS expires_at,
               max(x.usage_card_id) AS usage_card_id, max(x.usage_day) AS usage_day,
               max(x.day_minor) AS day_minor, max(x.day_count) AS day_count,
               max(x.month_minor) AS month_minor, max(x.month_count) AS month_count,
               max(x.lifetime_minor) AS lifetime_minor, max(x.lifetime_count) AS lifetime_count
          FROM (
              SELECT e.account_id, NULL::bigint AS version, NULL::tid AS place, e.seq, e.posted_delta, e.held_delta,
                     e.prev_hash, e.hash, e.posted_after, e.held_after, e.currency,
                     CASE WHEN e.credit LIKE 'bonus.%' THEN e.amount ELSE 0 END
                     - CASE WHEN e.debit LIKE 'bonus.%' THEN e.amount ELSE 0 END AS bonus_posted_delta,
                     CASE WHEN e.credit = 'bonus.held' THEN e.amount ELSE 0 END
                     - CASE WHEN e.debit = 'bonus.held' THEN e.amount ELSE 0 END AS bonus_held_delta,
                     e.booked_at, NULL::timestamptz AS expires_at,
                     NULL::bigint AS usage_card_id, NULL::date AS usage_day,
                     NULL::bigint AS day_minor, NULL::bigint AS day_count, NULL::bigint AS month_minor,
                     NULL::bigint AS month_count, NULL::bigint AS lifetime_minor, NULL::bigint AS lifetime_count
                FROM unnest(entries) e
              UNION ALL
              SELECT v.account_id, v.version, v.place, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                     v.usage_card_id, v.usage_day, v.day_minor, v.day_count, v.month_minor, v.month_count,
                     v.lifetime_minor, v.lifetime_count
                FROM unnest(versions) v
              UNION ALL
              SELECT h.account_id, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, h.expires_at,
                     NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL
                FROM unnest(beginnings || holds) h WHERE h.state = 'open'
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
               END,
               usage_card_id = coalesce(m.usage_card_id, a.usage_card_id),
               usage_day = CASE WHEN m.usage_card_id IS NULL THEN a.usage_day ELSE m.usage_day END,
               day_minor = CASE WHEN m.usage_card_id IS NULL THEN a.day_minor ELSE m.day_minor END,
               day_count = CASE WHEN m.usage_card_id IS NULL THEN a.day_count ELSE m.day_count END,
               month_minor = CASE WHEN m.usage_card_id IS NULL THEN a.month_minor ELSE m.month_minor END,
               month_count = CASE WHEN m.usage_card_id IS NULL THEN a.month_count ELSE m.month_count END,
               lifetime_minor = CASE WHEN m.usage_card_id IS NULL THEN a.lifetime_minor ELSE m.lifetime_minor END,
               lifetime_count = CASE WHEN m.usage_card_id IS NULL THEN a.lifetime_count ELSE m.lifetime_count END
          FROM moved m
         WHERE a.ctid = m.place AND a.account_id + 0 = m.account_id
           AND a.xmin::text::bigint = m.version
           AND coalesce(a.usage_card_id = m.usage_card_id, true)  -- whose counters they are, they remain
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
        RAISE EXCEPTION 'entries do not continue the journal of % account(s), or counters are of another card', expected - done
            USING ERRCODE = 'SW001';
    END IF;

    IF cardinality(entries) > 0 THEN
        INSERT INTO journal_entry SELECT * FROM unnest(entries);
    END IF;

    IF cardinality(beginnings) > 0 THEN
        INSERT INTO hold
        SELECT b.* FROM unnest(beginnings) b WHERE b.state = ANY (ARRAY(SELECT t.after FROM hold_transition t WHERE t.before = ''));
        GET DIAGNOSTICS done = ROW_COUNT;
        IF done <> cardinality(beginnings) THEN
            RAISE EXCEPTION 'a purchase would begin as none may' USING ERRCODE = 'SW001';
        END IF;
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
        -- Whoever reads looks into the account's row first: a second row of its card would never be seen.
        IF EXISTS (
            SELECT 1 FROM unnest(usages) n LEFT JOIN account a USING (account_id)
             WHERE a.usage_card_id IS NULL OR a.usage_card_id = n.card_id
        ) THEN
            RAISE EXCEPTION 'these counters belong into the row of the account' USING ERRCODE = 'SW001';
        END IF;
        UPDATE further_limit_usage u
           SET day = n.day, day_minor = n.day_minor, day_count = n.day_count,
               month_minor = n.month_minor, month_count = n.month_count,
               lifetime_minor = n.lifetime_minor, lifetime_count = n.lifetime_count
          FROM unnest(usages) n
         WHERE u.ctid = n.place AND u.account_id + 0 = n.account_id AND u.card_id + 0 = n.card_id;
        GET DIAGNOSTICS done = ROW_COUNT;
        IF done <> cardinality(usages) THEN
            -- First purchases, which have no place yet; all of them, where rows lie elsewhere now.
            INSERT INTO further_limit_usage AS u
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

-- As in 0019, with the card whose counters the account has.
CREATE FUNCTION lock_due(moment timestamptz, accounts_max integer)
RETURNS TABLE (
    account_id bigint, currency text, posted bigint, held bigint, floor bigint, seq bigint, head_hash bytea,
    bonus_posted bigint, bonus_held bigint, version bigint, place tid, usage_card_id bigint
)
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
    SELECT a.account_id, a.currency, a.posted, a.held, a.floor, a.seq, a.head_hash, a.bonus_posted, a.bonus_held,
           a.xmin::text::bigint, a.ctid, a.usage_card_id
      FROM account a
     WHERE a.expiry_due <= $1
     ORDER BY a.expiry_due
     LIMIT $2
       FOR NO KEY UPDATE SKIP LOCKED;
$$;

REVOKE ALL ON FUNCTION
    lock_accounts(bytea[]),
    record_unit(journal_entry[], usage_change[], hold[], hold[], message_key[], message_ref[], message_amendment[], concern[],
                new_tombstone[], account_version[]),
    lock_due(timestamptz, integer)
    FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
    lock_accounts(bytea[]),
    record_unit(journal_entry[], usage_change[], hold[], hold[], message_key[], message_ref[], message_amendment[], concern[],
                new_tombstone[], account_version[]),
    lock_due(timestamptz, integer)
    TO switch_daemon, switch_issuing;
ALTER FUNCTION record_unit(journal_entry[], usage_change[], hold[], hold[], message_key[], message_ref[], message_amendment[],
                           concern[], new_tombstone[], account_version[])
    SET plan_cache_mode = force_generic_plan;
