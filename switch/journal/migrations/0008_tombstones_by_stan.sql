-- Tombstones are looked for by what they say of their original, and no longer all of an account's at once.
DROP INDEX message_tombstone;
CREATE INDEX message_tombstone ON message_key (account_id, original_stan) WHERE state = 'tombstone';
