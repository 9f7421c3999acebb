-- What names another message is found by that message's STAN, and no longer only while it is a tombstone: a reversal may name
-- a request that the network has decided for us, and whose advice shares nothing with it but the name. Requests, which name
-- nothing, are not entered.
DROP INDEX message_tombstone;
CREATE INDEX message_by_original ON message_key (account_id, original_stan) WHERE original_stan <> '';
