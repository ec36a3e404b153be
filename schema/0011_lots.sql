-- SPDX-License-Identifier: Apache-2.0
-- Credit as lots: what came in at one time and may expire at one. Accounts stay the truth about how much there is; lots say which
-- part of it is whose age. Credit is spent promotional first (that is the leases' doing), and of one kind the lot that expires first.
-- Nobody writes lots while money is spent: `spent` is brought up to date (lots_fold) before a lot joins, expires or is shown, and
-- between two of these moments the set of lots is the same, so the order in which they were spent is known exactly.

create table lot (
    org             bigint not null references org,
    id              bigint not null,                -- of the transfer that brought the credit
    kind            smallint not null check (kind in (1, 2)), -- of the account: 1 paid, 2 promotional
    amount          bigint not null check (amount > 0),
    spent           bigint not null default 0 check (spent >= 0), -- or gone for another reason but age, as of the last fold
    expired         bigint not null default 0 check (expired >= 0),
    expires_at      timestamptz,                    -- null: never
    reference       text not null,                  -- of the transfer
    created_at      timestamptz not null default clock_timestamp(),
    primary key (org, id),
    check (spent + expired <= amount)
);
create index lot_open on lot (org, kind) where spent + expired < amount;
create index lot_due on lot (expires_at) where spent + expired < amount and expires_at is not null;

-- A code that people redeem for promotional credit. Of the code itself only a keyed hash is kept.
create table promo_code (
    id              bigint primary key generated always as identity,
    hash            bytea not null unique check (length(hash) = 32),
    label           text not null,                  -- its first characters
    amount          bigint not null check (amount > 0),
    uses_max        integer not null check (uses_max > 0),
    uses            integer not null default 0,
    expires_at      timestamptz,                    -- from then on nobody redeems it
    credit_days     integer check (credit_days between 1 and 36500), -- how long what it credits lives; null: for ever
    disabled        boolean not null default false,
    created_at      timestamptz not null default now(),
    check (uses between 0 and uses_max)
);
create table redemption (
    org             bigint not null references org,
    code            bigint not null references promo_code,
    amount          bigint not null check (amount > 0),
    at              timestamptz not null default now(),
    primary key (org, code)                         -- once per organization
);
create trigger redemption_is_final before update or delete on redemption
    for each row execute function refuse_change();

-- What of one kind lies in leases. Promotional money of a lease is spent first.
create function lots_leased(of_org bigint, of_kind smallint) returns bigint
    language sql stable security definer set search_path = public as $$
    select coalesce(sum(case of_kind when 2 then promo else rest - promo end), 0)::bigint
    from (select granted - settled - returned as rest,
                 least(granted - settled - returned, greatest(0, granted_promo - settled)) as promo
          from lease where org = of_org and meter = 0 and settled + returned < granted) l $$;

-- What has left the accounts since the last fold is taken from the lots that expire first, the oldest of equals first; what came
-- back (a refund that was called off) goes back the other way. Locks the account, so that no lease moves meanwhile. `incoming` is
-- in the account, but no lot yet. Answers what is leased.
create function lots_fold(of_org bigint, of_kind smallint, incoming bigint) returns bigint
    language plpgsql security definer set search_path = public as $$
declare
    available bigint;
    leased bigint;
    gone bigint;
begin
    select credits - debits into available from account
    where org = of_org and kind = of_kind and cell = 0 and detail = 0 for update;
    leased := lots_leased(of_org, of_kind);
    select coalesce(sum(amount - spent - expired), 0) - (coalesce(available, 0) + leased - incoming) into gone
    from lot where org = of_org and kind = of_kind;
    if gone > 0 then
        update lot l set spent = l.spent + least(o.left_over, gone - o.before)
        from (select id, amount - spent - expired as left_over,
                     (sum(amount - spent - expired) over w)::bigint - (amount - spent - expired) as before
              from lot where org = of_org and kind = of_kind and spent + expired < amount
              window w as (order by expires_at nulls last, id)) o
        where l.org = of_org and l.id = o.id and o.before < gone;
    elsif gone < 0 then
        update lot l set spent = l.spent - least(o.spent, -gone - o.before)
        from (select id, spent, (sum(spent) over w)::bigint - spent as before
              from lot where org = of_org and kind = of_kind and spent > 0
              window w as (order by expires_at desc nulls first, id desc)) o
        where l.org = of_org and l.id = o.id and o.before < -gone;
    end if;
    return leased;
end $$;

-- No credit without a lot, whoever books it. Paid credit lives as long as the plan says; of promotional credit its giver says it
-- in the same transaction.
create function credit_is_a_lot() returns trigger language plpgsql security definer set search_path = public as $$
declare
    days integer;
begin
    perform lots_fold(new.org, new.credit_kind, new.amount);
    select p.credit_expiry_days into days from org o join plan p on p.id = o.plan where o.org = new.org and new.credit_kind = 1;
    insert into lot (org, id, kind, amount, expires_at, reference)
    values (new.org, new.id, new.credit_kind, new.amount, now() + make_interval(days => days), new.reference);
    return null;
end $$;
create trigger credit_is_a_lot after insert on transfer for each row
    when (new.code in ('purchase', 'promo') and new.credit_kind in (1, 2)) execute function credit_is_a_lot();

-- Ends what is past its time and lies in available credit; what is leased belongs to the lots that expire first and is left until
-- it is spent or back. Locks in the one order. A repeat finds nothing more to do. Answers what expired.
create function lots_expire(of_org bigint, of_cell smallint) returns bigint
    language plpgsql security definer set search_path = public as $$
declare
    of_kind smallint;
    income smallint;
    leased bigint;
    moved bigint;
    total bigint := 0;
    due record;
begin
    insert into account (org, kind, cell) values (0, 114, of_cell), (0, 131, of_cell) on conflict do nothing;
    perform 1 from account
    where (org = 0 and kind in (114, 131) and cell = of_cell and detail = 0) or (org = of_org and kind in (1, 2) and cell = 0)
    order by org, kind, cell, detail for update;
    foreach of_kind in array array[1, 2]::smallint[] loop
        leased := lots_fold(of_org, of_kind, 0);
        income := case of_kind when 1 then 114 else 131 end;
        moved := 0;
        for due in
            select id, amount from (
                select id, expires_at, amount - spent - expired - least(amount - spent - expired, greatest(0, leased -
                       ((sum(amount - spent - expired) over w)::bigint - (amount - spent - expired)))) as amount
                from lot where org = of_org and kind = of_kind and spent + expired < amount
                window w as (order by expires_at nulls last, id)) o
            where expires_at <= now() and amount > 0
        loop
            update lot set expired = expired + due.amount where org = of_org and id = due.id;
            insert into transfer (org, debit_kind, credit_kind, cell, amount, code, reference)
            values (of_org, of_kind, income, of_cell, due.amount, 'expiry', 'lot ' || due.id);
            moved := moved + due.amount;
        end loop;
        update account set debits = debits + moved where org = of_org and kind = of_kind and cell = 0 and detail = 0;
        update account set credits = credits + moved where org = 0 and kind = income and cell = of_cell and detail = 0;
        total := total + moved;
    end loop;
    return total;
end $$;

revoke all on function lots_leased(bigint, smallint), lots_fold(bigint, smallint, bigint), lots_expire(bigint, smallint),
    credit_is_a_lot() from public;

-- Credit from before there were lots never expires; what was spent of it is told by the first fold.
insert into lot (org, id, kind, amount, reference, created_at)
select org, id, credit_kind, amount, reference, at from transfer
where code in ('purchase', 'promo') and credit_kind in (1, 2);

do $$
declare
    t text;
begin
    foreach t in array array['lot', 'redemption'] loop
        execute format('alter table %I enable row level security', t);
        execute format('create policy own_rows on %I using (org in (0, current_org()))', t);
    end loop;
end $$;
