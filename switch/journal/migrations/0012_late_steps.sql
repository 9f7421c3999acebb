-- Late news of a purchase whose hold has expired: a reversal, in full or in part, leaves its mark, and an increment opens the
-- purchase again.

INSERT INTO hold_transition VALUES ('expired', 'reversed'), ('expired', 'expired'), ('expired', 'open');
