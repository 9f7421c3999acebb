-- Top-ups that stay open for long: said once for each threshold, whichever daemon sees it.

CREATE TABLE funding_alert (
    account_id    bigint  NOT NULL,
    message_key   bytea   NOT NULL,
    since         timestamptz NOT NULL,  -- when the question arose: a charge, or a void, that nobody knows the end of
    after_seconds integer NOT NULL,
    at            timestamptz NOT NULL,
    PRIMARY KEY (account_id, message_key, since, after_seconds)
);
COMMENT ON TABLE funding_alert IS 'Which attempts a person was told of because they had not ended after so long.';
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON funding_alert FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON funding_alert
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Attempts that have passed a threshold since they were told of last, each with the highest that it has passed; with a notice
-- for each. No attempt is changed.
CREATE FUNCTION alert_funding(thresholds integer[], at timestamptz)
RETURNS TABLE (message_key bytea, provider text, state text, after_seconds integer)
LANGUAGE sql SECURITY DEFINER SET search_path = switch, pg_temp
AS $$
    WITH open_attempt AS (
        SELECT f.account_id, f.message_key, f.provider, f.state, s.since
          FROM funding_attempt f, LATERAL (
              SELECT max(x.at) AS since FROM funding_step x
               WHERE x.account_id = f.account_id AND x.message_key = f.message_key
                 AND (x.before IN ('', 'requested', 'booked') OR x.after = 'void_requested' AND x.before <> x.after)
          ) s
         WHERE f.wake_at IS NOT NULL
           AND f.parked_at <= $2 - make_interval(secs => (SELECT min(t) FROM unnest($1) t))
    ), added AS (
        INSERT INTO funding_alert AS a
        SELECT o.account_id, o.message_key, o.since, t.seconds, $2
          FROM open_attempt o JOIN unnest($1) AS t (seconds) ON o.since + make_interval(secs => t.seconds) <= $2
        ON CONFLICT DO NOTHING
        RETURNING a.account_id, a.message_key, a.after_seconds
    ), highest AS (
        SELECT o.account_id, o.message_key, o.provider, o.state, max(a.after_seconds) AS after_seconds
          FROM added a JOIN open_attempt o USING (account_id, message_key)
         GROUP BY o.account_id, o.message_key, o.provider, o.state
    ), told AS (
        INSERT INTO notification (account_id, key, kind, facts, raised_at)
        SELECT h.account_id, h.message_key, 'funding_overdue',
               json_build_object('state', h.state, 'after_seconds', h.after_seconds), $2
          FROM highest h
    )
    SELECT h.message_key, h.provider, h.state, h.after_seconds FROM highest h;
$$;

REVOKE ALL ON funding_alert FROM PUBLIC;
GRANT SELECT ON funding_alert TO switch_daemon, switch_issuing, switch_console, switch_auditor;
REVOKE ALL ON FUNCTION alert_funding(integer[], timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION alert_funding(integer[], timestamptz) TO switch_daemon, switch_issuing;
