-- SPDX-License-Identifier: Apache-2.0
-- The first answer to a POST that moves money is kept for a year, long after anybody repeats a request; the purchase and its transfers
-- stay for ever. Each new answer takes up to a hundred old ones of its organization away, so that nothing piles up and nothing needs
-- a time of its own. A function, because no role of the ledger may delete anything else.
create index idempotency_age on idempotency (org, created_at);

create function idempotency_prune(of_org bigint) returns bigint
    language sql security definer set search_path = public as $$
    with expired as (
        delete from idempotency where (org, scope, key) in
            (select org, scope, key from idempotency where org = of_org and created_at < now() - interval '1 year'
             order by created_at limit 100 for update skip locked)
        returning 1)
    select count(*) from expired $$;
revoke all on function idempotency_prune(bigint) from public;
