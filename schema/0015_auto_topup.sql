-- SPDX-License-Identifier: Apache-2.0
-- A card that a customer let us keep, and the rule by which it is charged when credit runs low. One charge is in flight at most: a
-- unique index says so. Which card a charge is made on is frozen in its row, because asking Stripe again must ask the same.
alter table purchase
    add column save_card        boolean not null default false,
    add column auto             boolean not null default false,
    add column customer         text,
    add column card             text,
    add constraint purchase_auto_has_card check (not auto or (customer is not null and card is not null));
create unique index purchase_auto_in_flight on purchase (org) where auto and state in ('pending', 'unknown', 'open');

create table payment_card (
    org             bigint primary key references org,
    customer        text not null,
    card            text not null,
    saved_at        timestamptz not null default now()
);

create table auto_topup (
    org             bigint primary key references org,
    enabled         boolean not null,
    threshold_cents bigint not null check (threshold_cents > 0),
    target_cents    bigint not null check (target_cents > threshold_cents),
    day_cents_max   bigint not null check (day_cents_max > 0),
    day_count_max   integer not null check (day_count_max between 1 and 100),
    off_reason      text not null default '',       -- why it turned itself off
    changed_at      timestamptz not null default now()
);

-- How much to buy now, in cents; 0: nothing. Credit that a cell has on lease counts as there. One charge closes the gap, within the
-- plan's bounds and what the day has left.
create function topup_cents(of_org bigint) returns bigint language sql stable set search_path = public as $$
    with rule as (
        select t.*, p.purchase_min_cents as low, p.purchase_max_cents as high,
               coalesce((select sum(a.credits - a.debits)
                         from account a where a.org = t.org and a.kind in (1, 2, 3, 4)), 0) as balance
        from auto_topup t join org o on o.org = t.org join plan p on p.id = o.plan
        where t.org = of_org and t.enabled and not o.frozen and exists (select 1 from payment_card c where c.org = t.org)
          and not exists (select 1 from purchase q where q.org = t.org and q.auto and q.state in ('pending', 'unknown', 'open'))
    ), today as (
        select count(*) as charges, coalesce(sum(amount_cents) filter (where state <> 'cancelled'), 0) as cents
        from purchase where org = of_org and auto and created_at >= date_trunc('day', now() at time zone 'utc') at time zone 'utc'
    ), sized as (
        select least(greatest(ceil(target_cents - balance / 10000000.0), low), high, day_cents_max - cents)::bigint as amount, low
        from rule, today where balance < threshold_cents * 10000000 and charges < day_count_max
    )
    select coalesce((select amount from sized where amount >= low), 0) $$;
create function topups_due(at_most integer) returns table (org bigint)
    language sql stable security definer set search_path = public as $$
    select t.org from auto_topup t where t.enabled and topup_cents(t.org) > 0 order by t.org limit at_most $$;
revoke all on function topup_cents(bigint), topups_due(integer) from public;

do $$
declare
    t text;
begin
    foreach t in array array['payment_card', 'auto_topup'] loop
        execute format('alter table %I enable row level security', t);
        execute format('create policy own_rows on %I using (org in (0, current_org()))', t);
    end loop;
end $$;
