-- SPDX-License-Identifier: Apache-2.0
-- Credit may come to an account with a credit line all the same: a customer pays a session that was open when the line was set, a bank
-- sends a refund back, a dispute is won. It pays what is owed, and owed is what was used: what cells have leased on the line lies in
-- escrow and comes back to the receivable, which must still be there to take it.
create or replace function orgs_in_debt(at_most integer) returns table (org bigint)
    language sql stable security definer set search_path = public as $$
    select d.org from account d join account c on c.org = d.org and c.kind = 1
    where d.kind = 4 and c.credits > c.debits
      and d.debits - d.credits > case when d.line is null then 0 else
          (select coalesce(sum(e.credits - e.debits), 0) from account e where e.org = d.org and e.kind = 3) end
    order by d.org limit at_most $$;

-- As before (0015), but for accounts with a line: they have no use for credit.
create or replace function topup_cents(of_org bigint) returns bigint language sql stable set search_path = public as $$
    with rule as (
        select t.*, p.purchase_min_cents as low, p.purchase_max_cents as high,
               coalesce((select sum(a.credits - a.debits)
                         from account a where a.org = t.org and a.kind in (1, 2, 3, 4)), 0) as balance
        from auto_topup t join org o on o.org = t.org join plan p on p.id = o.plan
        where t.org = of_org and t.enabled and not o.frozen and exists (select 1 from payment_card c where c.org = t.org)
          and not exists (select 1 from purchase q where q.org = t.org and q.auto and q.state in ('pending', 'unknown', 'open'))
          and not exists (select 1 from account a where a.org = t.org and a.kind = 4 and a.line is not null)
    ), today as (
        select count(*) as charges, coalesce(sum(amount_cents) filter (where state <> 'cancelled'), 0) as cents
        from purchase where org = of_org and auto and created_at >= date_trunc('day', now() at time zone 'utc') at time zone 'utc'
    ), sized as (
        select least(greatest(ceil(target_cents - balance / 10000000.0), low), high, day_cents_max - cents)::bigint as amount, low
        from rule, today where balance < threshold_cents * 10000000 and charges < day_count_max
    )
    select coalesce((select amount from sized where amount >= low), 0) $$;

-- What a monthly statement tells (0013), and refunds that a bank sent back.
drop index transfer_by_month;
create index transfer_by_month on transfer (org, at)
    where code in ('promo', 'expiry', 'refund', 'refund_void', 'dispute', 'reinstatement', 'invoice_payment');

-- Purchases and refunds whose outcome is not known come before those that are only looked at again, however many those are.
create or replace function purchases_due(at_most integer) returns table (org bigint, id text)
    language sql stable security definer set search_path = public as $$
    select p.org, p.id from purchase p where p.look_at <= now()
    order by p.state not in ('pending', 'unknown')
             and not exists (select 1 from purchase_refund r
                             where r.org = p.org and r.purchase = p.id and r.state in ('pending', 'unknown')),
             p.look_at
    limit at_most $$;
