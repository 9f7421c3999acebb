-- Late news of a purchase whose hold has expired: a reversal, in full or in part, leaves its mark, and an increment opens the
-- purchase again. And who it is that decides about a clearing record in doubt: what a person types is kept beside what the
-- database knows.

INSERT INTO hold_transition VALUES ('expired', 'reversed'), ('expired', 'expired'), ('expired', 'open');

-- ── who decides ──────────────────────────────────────────────────────────────────────────────────────────────────────────

-- session_user is whoever logged in, in a function of the owner too, and no statement can say another.
ALTER TABLE clearing_proposal
    ADD COLUMN login  text NOT NULL DEFAULT '',
    ADD COLUMN ran_by text NOT NULL DEFAULT '';
ALTER TABLE clearing_step ADD COLUMN login text NOT NULL DEFAULT '';
ALTER TABLE clearing_step ALTER COLUMN login SET DEFAULT session_user;
COMMENT ON COLUMN clearing_proposal.login IS 'The database login that asked.';
COMMENT ON COLUMN clearing_proposal.ran_by IS 'The operating system''s user who asked, as the command found it.';
COMMENT ON COLUMN clearing_step.login IS 'The database login that took the step; of two people, that of agreed_by.';

DROP FUNCTION propose_clearing(bigint, bytea, text, bigint, text, timestamptz);
-- What one person asks for about a record in doubt; another must agree. The newest stands.
CREATE FUNCTION propose_clearing(
    wanted_account_id bigint, wanted_key bytea, kind text, hold_id bigint, proposed_by text, ran_by text,
    proposed_at timestamptz
) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
    INSERT INTO clearing_proposal (account_id, key, kind, hold_id, proposed_by, ran_by, proposed_at, login)
    VALUES ($1, $2, $3, $4, $5, $6, $7, session_user)
    ON CONFLICT (account_id, key) DO UPDATE
       SET kind = excluded.kind, hold_id = excluded.hold_id, proposed_by = excluded.proposed_by,
           ran_by = excluded.ran_by, proposed_at = excluded.proposed_at, login = excluded.login;
$$;
REVOKE ALL ON FUNCTION propose_clearing(bigint, bytea, text, bigint, text, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION propose_clearing(bigint, bytea, text, bigint, text, text, timestamptz) TO switch_issuing;

-- A step that two people are said to have agreed on: one has asked for the very same, and it was another login, unless both
-- came through one that is nobody's own.
CREATE FUNCTION check_two_people() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
DECLARE
    asked clearing_proposal;
BEGIN
    SELECT p.* INTO asked FROM clearing_proposal p WHERE p.account_id = NEW.account_id AND p.key = NEW.key;
    IF NOT FOUND OR asked.proposed_by <> NEW."by"
       OR NEW.after <> (CASE asked.kind WHEN 'bind' THEN 'matched' WHEN 'force' THEN 'forced' ELSE 'rejected' END) THEN
        RAISE EXCEPTION 'nobody has asked for what is said to be agreed on' USING ERRCODE = 'SW001';
    END IF;
    IF NEW.agreed_by = NEW."by"
       OR asked.login = session_user AND session_user NOT IN ('switch_issuing', 'switch_daemon') THEN
        RAISE EXCEPTION 'one person can''t agree with themselves' USING ERRCODE = 'SW001';
    END IF;
    RETURN NEW;
END $$;
REVOKE ALL ON FUNCTION check_two_people() FROM PUBLIC;
CREATE TRIGGER two_people BEFORE INSERT ON clearing_step
    FOR EACH ROW WHEN (NEW.agreed_by <> '') EXECUTE FUNCTION check_two_people();
