-- What the issuer's own staff does: opening an account with its card, and changing a card. Each locks the account, as every
-- message does, so a decision sees either the old card or the new one.

CREATE FUNCTION open_account(
    currency text, floor bigint, wanted_card_id bigint, pan_lookup bytea, pan_sealed bytea, pan_masked text,
    program text, expiry text, service_code text, status text, locked boolean
) RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
    WITH opened AS (
        INSERT INTO account (currency, floor) VALUES ($1, $2) RETURNING account_id
    )
    INSERT INTO card (card_id, account_id, pan_lookup, pan_sealed, pan_masked, program, expiry, service_code, status, locked)
    SELECT $3, account_id, $4, $5, $6, $7, $8, $9, $10, $11 FROM opened
    RETURNING account_id;
$$;

CREATE FUNCTION next_card_id() RETURNS bigint
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$ SELECT nextval(pg_get_serial_sequence('switch.card', 'card_id')) $$;

-- NULL leaves a value as it is. Returns false when there is no such card.
CREATE FUNCTION change_card(wanted_card_id bigint, new_status text, new_locked boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
BEGIN
    PERFORM 1 FROM account a JOIN card c USING (account_id)
     WHERE c.card_id = wanted_card_id FOR NO KEY UPDATE OF a;
    UPDATE card c SET status = coalesce(new_status, c.status), locked = coalesce(new_locked, c.locked)
     WHERE c.card_id = wanted_card_id;
    RETURN FOUND;
END $$;
