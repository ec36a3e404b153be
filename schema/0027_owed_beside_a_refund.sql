-- SPDX-License-Identifier: Apache-2.0
-- What waits for an operator tells what its organization owes by now: a dispute may have come since, and a debt is paid before credit is
-- given back.
drop function refunds_waiting(integer, integer);
create function refunds_waiting(skipped integer, at_most integer)
    returns table (org bigint, id text, purchase text, amount_cents bigint, origin text, created_at timestamptz, purchase_reference text,
                   owed_nano bigint)
    language sql stable security definer set search_path = public as $$
    select r.org, r.id, r.purchase, r.amount_cents, r.origin, r.created_at, p.reference,
           (select coalesce(sum(d.debt), 0)::bigint from purchase d where d.org = r.org and d.debt > 0)
    from purchase_refund r join purchase p on p.org = r.org and p.id = r.purchase
    where r.state = 'pending' and p.method = 'manual'
    order by r.created_at, r.org, r.id offset skipped limit at_most $$;
revoke all on function refunds_waiting(integer, integer) from public;
