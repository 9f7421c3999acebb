-- Who may do what. The roles themselves are made by `switch migrate`, because they belong to the whole server.
--
--   switch_owner    owns everything, cannot log in
--   switch_daemon   reads, and calls the doors; no direct INSERT, UPDATE, DELETE or TRUNCATE anywhere
--   switch_issuing  the same, and opens accounts and changes cards
--   switch_console  reads what a console may show: no sealed card numbers
--   switch_auditor  reads everything but sealed card numbers

REVOKE ALL ON SCHEMA switch FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA switch FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA switch FROM PUBLIC;
GRANT USAGE ON SCHEMA switch TO switch_daemon, switch_issuing, switch_console, switch_auditor;

GRANT SELECT ON account, limit_usage, hold, hold_transition, journal_entry, message_key, exception_item
    TO switch_daemon, switch_issuing, switch_console, switch_auditor;
GRANT SELECT (card_id, account_id, pan_lookup, pan_masked, program, expiry, service_code, status, locked, issued_at)
    ON card TO switch_daemon, switch_issuing;
GRANT SELECT (card_id, account_id, pan_masked, program, expiry, service_code, status, locked, issued_at)
    ON card TO switch_console, switch_auditor;

GRANT EXECUTE ON FUNCTION
    load_unit(bytea[], bytea[]),
    record_unit(journal_entry[], limit_usage[], hold[], message_key[], message_ref[], message_amendment[], concern[],
                new_tombstone[])
    TO switch_daemon, switch_issuing;
GRANT EXECUTE ON FUNCTION
    open_account(text, bigint, bigint, bytea, bytea, text, text, text, text, text, boolean),
    next_card_id(),
    change_card(bigint, text, boolean)
    TO switch_issuing;
