-- PostgreSQL reads the text of each CHECK and prepares it anew for every statement that writes the table: 28 of them were a
-- seventh of what a unit of one message cost it. Five say the same, for less.
ALTER TABLE account
    DROP CONSTRAINT account_held_check, DROP CONSTRAINT account_seq_check,
    DROP CONSTRAINT account_check, DROP CONSTRAINT account_check1, DROP CONSTRAINT account_check2,
    DROP CONSTRAINT account_day_minor_check, DROP CONSTRAINT account_day_count_check,
    DROP CONSTRAINT account_month_minor_check, DROP CONSTRAINT account_month_count_check,
    DROP CONSTRAINT account_lifetime_minor_check, DROP CONSTRAINT account_lifetime_count_check,
    ADD CONSTRAINT account_is_sound CHECK (
        least(seq, held, bonus_held, bonus_posted - bonus_held, held - bonus_held,
              day_minor, day_count, month_minor, month_count, lifetime_minor, lifetime_count) >= 0
        AND (usage_card_id IS NULL) = (usage_day IS NULL)
    );
ALTER TABLE hold
    DROP CONSTRAINT hold_authorized_check, DROP CONSTRAINT hold_held_check, DROP CONSTRAINT hold_posted_check,
    DROP CONSTRAINT hold_presented_check, DROP CONSTRAINT hold_refunded_check, DROP CONSTRAINT hold_check,
    DROP CONSTRAINT hold_check1, DROP CONSTRAINT hold_check2, DROP CONSTRAINT hold_check3,
    ADD CONSTRAINT hold_is_sound CHECK (
        least(authorized, presented, held_bonus, held - held_bonus, posted_bonus, posted - posted_bonus,
              refunded_bonus, refunded - refunded_bonus) >= 0
        AND (held = 0 OR state = 'open')
    );
ALTER TABLE journal_entry
    DROP CONSTRAINT journal_entry_seq_check, DROP CONSTRAINT journal_entry_amount_check,
    DROP CONSTRAINT journal_entry_held_after_check, DROP CONSTRAINT journal_entry_check,
    ADD CONSTRAINT journal_entry_is_sound CHECK (least(seq, amount) > 0 AND held_after >= 0 AND credit <> debit);
ALTER TABLE message_key
    DROP CONSTRAINT message_key_key_check, DROP CONSTRAINT message_key_moved_check,
    DROP CONSTRAINT message_key_state_check,
    ADD CONSTRAINT message_key_is_sound CHECK (
        length(key) = 16 AND moved >= 0
        AND state = ANY ('{answered,tombstone,tombstone_met,reversed,withdrawn,in_doubt,rejected,parked}'::text[])
    );

-- ANALYZE sorts 30,000 rows by each of their columns, for a second or two at a time and a processor of its own, while messages
-- wait. Nothing of these tables is looked up but by key, which needs no such knowledge: 3,000 rows are plenty.
DO $$
DECLARE
    sampled record;
BEGIN
    FOR sampled IN
        SELECT a.attrelid::regclass AS books, a.attname,
               CASE WHEN a.attname IN ('answer', 'trace', 'hash', 'prev_hash', 'head_hash', 'fingerprint') THEN 0 ELSE 10 END AS target
          FROM pg_attribute a
         WHERE a.attrelid IN ('account'::regclass, 'hold'::regclass, 'journal_entry'::regclass, 'message_key'::regclass)
           AND a.attnum > 0 AND NOT a.attisdropped
    LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN %I SET STATISTICS %s', sampled.books, sampled.attname, sampled.target);
    END LOOP;
END $$;

-- A look-up needs the index of card alone only where VACUUM has seen the card's page, which a small portfolio never was given.
ALTER TABLE card SET (autovacuum_vacuum_insert_threshold = 100);
