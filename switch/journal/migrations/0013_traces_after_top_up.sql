-- A purchase that was approved after a top-up tells how it was decided then, and no longer why it had to wait.

CREATE TYPE message_trace AS (account_id bigint, key bytea, trace json);

-- In the same transaction as the record_unit that approves them. For messages with a top-up alone.
CREATE FUNCTION retrace_topped_up(traces message_trace[]) RETURNS void
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
    UPDATE message_key m SET trace = n.trace
      FROM unnest($1) n
     WHERE m.account_id = n.account_id AND m.key = n.key
       AND EXISTS (SELECT 1 FROM funding_attempt f WHERE f.account_id = n.account_id AND f.message_key = n.key);
$$;

REVOKE ALL ON FUNCTION retrace_topped_up(message_trace[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION retrace_topped_up(message_trace[]) TO switch_daemon, switch_issuing;
