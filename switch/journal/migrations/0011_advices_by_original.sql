-- An advice that names a parked purchase by its original data elements (DE90) alone is looked for by them.
CREATE INDEX message_advice_by_original ON message_key (account_id, original_stan)
    WHERE original_stan <> '' AND kind IN ('authorization_advice', 'financial_advice');
