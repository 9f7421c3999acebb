-- load_unit as in 0019, but for the look-ups of account and usage, which are by key whatever the planner knows of the tables.
-- A daemon plans once for each connection. Where limit_usage had just been analyzed and was empty, reading all of it looked as
-- cheap as looking a card up, and every message then walked over all usages, until the next ANALYZE. LIMIT keeps each
-- look-up apart.
CREATE OR REPLACE FUNCTION load_unit(lookups bytea[], keys bytea[], lock_accounts boolean)
RETURNS TABLE (
    item bigint, card_id bigint, program text, expiry text, service_code text, status text, locked boolean,
    credential_id bigint, credential_status text, network text,
    account_id bigint, currency text, posted bigint, held bigint, floor bigint, seq bigint, head_hash bytea,
    bonus_posted bigint, bonus_held bigint, expiry_due timestamptz, version bigint, place tid, tombstones boolean,
    day date, day_minor bigint, day_count bigint, month_minor bigint, month_count bigint,
    lifetime_minor bigint, lifetime_count bigint, usage_place tid,
    stored message_key
)
LANGUAGE plpgsql SECURITY DEFINER SET search_path = switch, pg_temp SET plan_cache_mode = force_generic_plan
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
      LEFT JOIN LATERAL (SELECT x.*, x.xmin, x.ctid FROM account x WHERE x.account_id = c.account_id LIMIT 1) a ON true
      LEFT JOIN LATERAL (
          SELECT x.*, x.ctid FROM limit_usage x WHERE x.account_id = c.account_id AND x.card_id = c.card_id LIMIT 1
      ) u ON true
      LEFT JOIN LATERAL (
          SELECT s AS stored FROM message_key s
           WHERE s.account_id = coalesce(c.account_id, 0) AND s.key = i.key LIMIT 1
      ) m ON true
     ORDER BY i.item;
END $$;
