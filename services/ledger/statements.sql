-- SPDX-License-Identifier: Apache-2.0
-- Every statement of the ledger's own threads (role bourse_ledger), called only from store*.c. Rows of money are locked in one order,
-- each statement's rows by its key: cell, account, lease, meter_period. What follows by `unnest` are arrays of one length, a row each;
-- the poster's are sorted by key and its connection joins row by row (db_serve_batches), so that an update locks in that order, too.

-- name: clock
select (extract(epoch from clock_timestamp()) * 1000000)::bigint * 1000

-- ---- start

-- name: cell_begin
insert into cell (id, epoch, seen_at) values ($1, 1, now())
on conflict (id) do update set epoch = cell.epoch + 1, seen_at = now() returning epoch

-- name: partitions_ensure
select generation_partitions_ensure()

-- name: stream_new
insert into stream (cell, incarnation, link)
select $1::smallint, coalesce(max(incarnation), 0) + 1, $2::bytea from stream where cell = $1::smallint returning incarnation

-- name: stream_read
select s.last_seq, s.link, coalesce((select b.hold_floor from batch b where b.cell = s.cell and b.incarnation = s.incarnation
                                     and b.hi = s.last_seq order by b.lo desc limit 1), 1)
from stream s where s.cell = $1 and s.incarnation = $2

-- When the first stream of the cell began, in microseconds: a number that no other database has. Streams are never deleted.
-- name: database_identity
select coalesce((extract(epoch from min(created_at)) * 1000000)::bigint, 0) from stream where cell = $1

-- Accounts whose leases the move to a new epoch touches.
-- name: move_lock
select count(*) from (
    select 1 from account
    where org in (select org from lease where cell = $1 and epoch < $2 and meter = 0 and settled + returned < granted)
      and (kind in (1, 2, 4) or kind = 3 and cell = $1)
    order by org, kind, cell, detail for update) locked

-- From here on no lease of an older epoch has anything left, but what the audit names.
-- name: move_begin
update cell set leases_epoch = $2 where id = $1 and epoch = $2

-- What open holds keep stays in escrow under the new epoch; the rest of every older lease goes back. Promotional money was spent
-- first and goes back last; what a credit line lent goes back to the receivable, as far as that is owed: one organization whose books
-- are wrong must not keep the cell down, so what does not fit stays where it is. One statement, so every part of it sees the leases as
-- they were.
-- name: move_leases
with held as (
    select * from unnest($3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[]) as h (org, meter, period, held)
), old as (
    select org, meter, period, sum(granted - settled - returned)::bigint as rest,
           sum(greatest(0, granted_promo - settled))::bigint as promo
    from lease where cell = $1 and epoch < $2 and settled + returned < granted group by org, meter, period
), kept as (
    select o.*, least(o.rest, coalesce(h.held, 0)) as keep from old o
    left join held h on h.org = o.org and h.meter = o.meter and h.period = o.period
), due as (
    select k.*, least(k.rest - k.keep, k.rest - k.promo) as due_paid, case when a.line is null then 1 else 4 end as paid_kind,
           case when k.meter = 0 and a.line is not null then a.debits - a.credits end as room
    from kept k left join account a on a.org = k.org and a.kind = 4 and a.cell = 0 and a.detail = 0
), split as (
    select d.*, d.rest - d.keep - s.stays as back, d.due_paid - s.stays as back_paid, s.stays
    from due d cross join lateral (select greatest(0, d.due_paid - coalesce(d.room, d.due_paid)) as stays) s
), paid as (
    update account a set credits = a.credits + s.back_paid,
        over = least(a.over, greatest(0, a.debits - a.credits - s.back_paid - a.line)) from split s
    where s.meter = 0 and s.back_paid > 0 and a.org = s.org and a.kind = s.paid_kind and a.cell = 0 and a.detail = 0
), promo as (
    update account a set credits = a.credits + s.back - s.back_paid from split s
    where s.meter = 0 and s.back > s.back_paid and a.org = s.org and a.kind = 2 and a.cell = 0 and a.detail = 0
), escrow as (
    update account a set debits = a.debits + s.back from split s
    where s.meter = 0 and s.back > 0 and a.org = s.org and a.kind = 3 and a.cell = $1 and a.detail = 0
), booked as (
    insert into transfer (org, debit_kind, credit_kind, cell, amount, code, reference)
    select s.org, 3, t.kind, $1, t.amount, 'lease_return', 'lease ' || $1 || '/' || $2
    from split s cross join lateral (values (s.paid_kind, s.back_paid), (2, s.back - s.back_paid)) as t (kind, amount)
    where s.meter = 0 and t.amount > 0
), ended as (
    update lease l set returned = l.granted - l.settled - o.stays
    from (select u.*, least(u.rest, greatest(0, s.stays - (sum(u.rest) over newer - u.rest)))::bigint as stays
          from (select org, meter, period, epoch, granted - settled - returned as rest
                from lease where cell = $1 and epoch < $2 and settled + returned < granted) u
          join split s using (org, meter, period)
          window newer as (partition by u.org, u.meter, u.period order by u.epoch desc)) o
    where l.org = o.org and l.meter = o.meter and l.period = o.period and l.cell = $1 and l.epoch = o.epoch
), freed as (
    update meter_period p set leased = p.leased - s.back from split s
    where s.meter <> 0 and s.back > 0 and p.org = s.org and p.meter = s.meter and p.period = s.period
), begun as (
    insert into lease (org, meter, period, cell, epoch, granted, granted_promo)
    select s.org, s.meter, s.period, $1, $2, s.keep, s.promo - (s.back - s.back_paid) from split s where s.keep > 0
)
select org, meter, period, keep, stays from split where keep > 0 or stays > 0

-- ---- callers and prices

-- A secret ends with its key or, once another has taken its place, at a time of its own. One that has ended says so by the clock
-- that ended it: the core's may be a little behind.
-- name: caller_load
select k.org, k.workspace, coalesce(k.member, 0), k.id, k.version,
       coalesce((extract(epoch from least(k.expires_at, p.ends_at)) * 1000000)::bigint * 1000, 0), k.kind,
       k.disabled, k.deleted_at is not null, coalesce(p.ends_at <= now(), false)
from key_place p join api_key k on k.org = p.org and k.id = p.key where p.hash = $1

-- The meters that have a limit: of the key, its member, its workspace and its organization. The widest first, so that a refusal
-- names it.
-- name: caller_meters
select id, owner_kind, cadence, version, include_byok from meter
where org = $1 and limit_nano is not null
  and (owner_kind, owner) in ((1, $2::bigint), (2, $3::bigint), (3, $4::bigint), (4, $1::bigint))
order by owner_kind desc, cadence

-- Columns in the order of struct caller_rates, 0: no limit; then the plan as in struct plan_terms.
-- name: caller_rates
select coalesce(k.requests_per_minute, 0), coalesce(k.tokens_per_minute, 0), coalesce(k.concurrent_requests, 0), 0,
       coalesce(p.paid_requests_per_minute, 0), coalesce(p.paid_tokens_per_minute, 0), coalesce(p.paid_concurrent_requests, 0), 0,
       coalesce(p.free_requests_per_minute, 0), coalesce(p.free_tokens_per_minute, 0), coalesce(p.free_concurrent_requests, 0),
       coalesce(free_requests_per_day(o.org), 0),
       p.id, p.version, p.output_default, p.output_min, case p.byok_unit when 'requests' then 1 else 2 end, p.byok_fee_basis_points
from api_key k join org o on o.org = k.org join plan p on p.id = o.plan where k.org = $1 and k.id = $2

-- name: free_requests_load
select org, requests from free_requests where day = $1

-- Locked after all money, in the order of its key.
-- name: free_requests_count
insert into free_requests (org, day, requests)
select org, day, count(*) from unnest($1::bigint[], $2::bigint[]) as u (org, day) group by org, day order by org, day
on conflict (org, day) do update set requests = free_requests.requests + excluded.requests

-- A key's row is touched once a minute at most; locked after those, in the order of its key.
-- name: key_uses_note
insert into key_use (org, key, used_ns, prefix)
select u.org, u.key, u.used_ns, nullif(u.prefix, '')::cidr
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[]) as u (org, key, used_ns, prefix) order by u.org, u.key
on conflict (org, key) do update set used_ns = excluded.used_ns, prefix = excluded.prefix where key_use.used_ns < excluded.used_ns

-- name: listen_price
listen price

-- name: prices_load
select t.price, t.above_prompt_tokens, t.prompt, t.cache_read, t.cache_write, t.cache_write_1h, t.audio_in, t.image_in,
       t.completion, t.reasoning, t.audio_out, t.image_out, t.request, t.web_search, coalesce(p.list, 0)
from price_tier t join price p on p.id = t.price order by t.price, t.above_prompt_tokens

-- ---- rows of money: made when absent, then locked in order

-- Those of them that are not there yet begin with these sums, which are 0 where they are only to be locked.
-- name: accounts_make
insert into account (org, kind, cell, detail, debits, credits)
select u.* from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
    as u (org, kind, cell, detail, debits, credits)
where not exists (select from account a where a.org = u.org and a.kind = u.kind and a.cell = u.cell and a.detail = u.detail)
order by 1, 2, 3, 4 on conflict do nothing

-- name: accounts_lock
select a.org, a.kind, a.cell, a.detail, a.credits - a.debits, a.line
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) as u (org, kind, cell, detail)
join account a on a.org = u.org and a.kind = u.kind and a.cell = u.cell and a.detail = u.detail
order by a.org, a.kind, a.cell, a.detail for update of a

-- What was served is a fact: it may take a receivable over its credit line.
-- name: accounts_add
update account a set debits = a.debits + u.debits, credits = a.credits + u.credits,
    over = case when a.line is null then 0 else greatest(0, a.debits + u.debits - a.credits - u.credits - a.line) end
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
    as u (org, kind, cell, detail, debits, credits)
where a.org = u.org and a.kind = u.kind and a.cell = u.cell and a.detail = u.detail

-- A lease is a decision: it may not, and what comes back lowers what was over.
-- name: accounts_lease
update account a set debits = a.debits + u.debits, credits = a.credits + u.credits,
    over = case when a.line is null then 0
                else least(a.over, greatest(0, a.debits + u.debits - a.credits - u.credits - a.line)) end
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
    as u (org, kind, cell, detail, debits, credits)
where a.org = u.org and a.kind = u.kind and a.cell = u.cell and a.detail = u.detail

-- name: transfers_add
insert into transfer (org, debit_kind, debit_detail, credit_kind, credit_detail, amount, code, cell, reference)
select u.*, $8::smallint, $9::text
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::text[]) as u

-- name: leases_make
insert into lease (org, meter, period, cell, epoch, granted)
select u.org, u.meter, u.period, $4::smallint, $5::bigint, 0 from unnest($1::bigint[], $2::bigint[], $3::bigint[])
    as u (org, meter, period) order by 1, 2, 3
on conflict do nothing

-- name: leases_lock
select l.org, l.meter, l.period, l.granted, l.granted_promo, l.settled, l.returned
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) as u (org, meter, period, epoch)
join lease l on l.org = u.org and l.meter = u.meter and l.period = u.period and l.cell = $5::smallint and l.epoch = u.epoch
order by l.org, l.meter, l.period, l.cell, l.epoch for update of l

-- name: leases_settle
update lease l set settled = l.settled + u.settled
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[]) as u (org, meter, period, epoch, settled)
where l.org = u.org and l.meter = u.meter and l.period = u.period and l.cell = $6::smallint and l.epoch = u.epoch

-- name: leases_set
update lease l set granted = u.granted, granted_promo = u.granted_promo, returned = u.returned
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
    as u (org, meter, period, granted, granted_promo, returned)
where l.org = u.org and l.meter = u.meter and l.period = u.period and l.cell = $7::smallint and l.epoch = $8::bigint

-- As accounts_make. A period's row begins with the meter's limit; an allowance's is the plan's. Nothing is leased under it, so what a
-- lease covered meets the row's CHECK.
-- name: periods_make
insert into meter_period (org, meter, period, limit_nano, include_byok, spent, leased, requests, byok_spent, over)
select u.org, u.meter, u.period, l.limit_nano, l.include_byok, u.spent, -u.leased, u.requests, u.byok_spent,
       case when l.limit_nano is null then 0
            else greatest(0, u.spent + case when l.include_byok then u.byok_spent else 0 end - u.leased - l.limit_nano) end
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
    as u (org, meter, period, spent, leased, requests, byok_spent)
left join meter m on m.org = u.org and m.id = u.meter
cross join lateral (
    select case when meter_is_allowance(u.meter) then allowance_limit(u.org, u.meter) else m.limit_nano end as limit_nano,
           coalesce(m.include_byok, false) as include_byok) l
where not exists (select from meter_period p where p.org = u.org and p.meter = u.meter and p.period = u.period)
order by 1, 2, 3 on conflict do nothing

-- name: periods_lock
select p.org, p.meter, p.period, case when meter_is_allowance(p.meter) then allowance_limit(p.org, p.meter) else m.limit_nano end,
       p.spent + case when m.include_byok then p.byok_spent else 0 end, p.leased
from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as u (org, meter, period)
join meter_period p on p.org = u.org and p.meter = u.meter and p.period = u.period
left join meter m on m.org = p.org and m.id = p.meter
order by p.org, p.meter, p.period for update of p

-- Members, workspaces and organizations have meters only if a limit, or that it counts list prices, was ever set; most have none.
-- name: owner_meters
select m.org, m.owner_kind, m.owner, m.id, m.cadence
from (select distinct * from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as u (org, owner_kind, owner)) u
join meter m on m.org = u.org and m.owner_kind = u.owner_kind and m.owner = u.owner

-- Only what no lease had covered may take a limit further over.
-- name: periods_settle
update meter_period p set spent = p.spent + u.spent, leased = p.leased - u.leased, requests = p.requests + u.requests,
    byok_spent = p.byok_spent + u.byok_spent,
    over = p.over + case when p.limit_nano is null then 0 else
        greatest(0, least(u.spent + case when p.include_byok then u.byok_spent else 0 end - u.leased,
                          p.spent + u.spent + case when p.include_byok then p.byok_spent + u.byok_spent else 0 end
                          + p.leased - u.leased - p.limit_nano - p.over)) end
from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[])
    as u (org, meter, period, spent, leased, requests, byok_spent)
where p.org = u.org and p.meter = u.meter and p.period = u.period

-- The limit is copied again, because an operator may have changed it since. A lowered one, or one that counts more, explains what is
-- over; a lease does not: what comes back lowers it, and what would be lent beyond it meets the row's CHECK.
-- name: periods_lease
update meter_period p set leased = u.leased, limit_nano = u.limit_nano, include_byok = u.include_byok,
    over = case when u.limit_nano is null then p.over
                when p.limit_nano is null or u.limit_nano < p.limit_nano or u.include_byok and not p.include_byok
                then greatest(p.over, p.spent + case when u.include_byok then p.byok_spent else 0 end + p.leased - u.limit_nano)
                else least(p.over,
                    greatest(0, p.spent + case when u.include_byok then p.byok_spent else 0 end + u.leased - u.limit_nano)) end
from (select u.*, case when meter_is_allowance(u.meter) then allowance_limit(u.org, u.meter) else m.limit_nano end as limit_nano,
             coalesce(m.include_byok, false) as include_byok
      from unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[]) as u (org, meter, period, leased)
      left join meter m on m.org = u.org and m.id = u.meter) u
where p.org = u.org and p.meter = u.meter and p.period = u.period

-- ---- leases

-- Another ledger of this cell has raised the epoch: this one may not spend any more. A share lock, so that raising it waits for a grant
-- whose COMMIT is under way, and the move that follows sees it. (A key share lock would not: the epoch is no key.)
-- name: lease_begin
select c.epoch, coalesce(o.frozen, true) from cell c left join org o on o.org = $2 where c.id = $1 for share of c

-- ---- credit past its time

-- name: lots_due
select distinct org from lot where expires_at <= now() and spent + expired < amount and org > $1 order by org limit 50

-- name: lots_expire
select lots_expire($1, $2)

-- ---- posting

-- name: stream_advance
update stream set last_seq = $4, link = $5 where cell = $1 and incarnation = $2 and last_seq = $3

-- A column that is 0, or empty, in every row comes as an empty array.
-- name: generations_add
insert into generation (
    cell, incarnation, batch_lo, org, day, hold, part, seq, workspace, member, key, created_ns, state, reason, price, prompt,
    cache_read, cache_write, cache_write_1h, audio_in, image_in, completion, reasoning, audio_out, image_out, request, web_search,
    held, charge, charge_told, provider_cost, flags, finish, model, endpoint, provider, first_byte_ms, total_ms, byok_unit,
    byok_fee_basis_points, byok_list, byok_units, native_finish, upstream_id, referer, title, user_agent, session, attempts)
select
    $1::smallint, $2::integer, $3::bigint, u.org, u.day, u.hold, coalesce(u.part, 0), u.seq, u.workspace, nullif(u.member, 0), u.key,
    u.created_ns, u.state, coalesce(u.reason, 0), coalesce(u.price, 0), coalesce(u.prompt, 0), coalesce(u.cache_read, 0),
    coalesce(u.cache_write, 0), coalesce(u.cache_write_1h, 0), coalesce(u.audio_in, 0), coalesce(u.image_in, 0),
    coalesce(u.completion, 0), coalesce(u.reasoning, 0), coalesce(u.audio_out, 0), coalesce(u.image_out, 0),
    coalesce(u.request, 0), coalesce(u.web_search, 0), coalesce(u.held, 0), coalesce(u.charge, 0), coalesce(u.charge_told, 0),
    coalesce(u.provider_cost, 0), coalesce(u.flags, 0), coalesce(u.finish, 0), coalesce(u.model, 0), coalesce(u.endpoint, 0),
    coalesce(u.provider, 0), coalesce(u.first_byte_ms, 0), coalesce(u.total_ms, 0), coalesce(u.byok_unit, 0),
    coalesce(u.byok_fee_basis_points, 0), coalesce(u.byok_list, 0), coalesce(u.byok_units, 0), coalesce(u.native_finish, ''),
    coalesce(u.upstream_id, ''), coalesce(u.referer, ''), coalesce(u.title, ''), coalesce(u.user_agent, ''),
    coalesce(u.session, ''), u.attempts
from unnest(
    $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[],
    $13::bigint[], $14::bigint[], $15::bigint[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[],
    $21::bigint[], $22::bigint[], $23::bigint[], $24::bigint[], $25::bigint[], $26::bigint[], $27::bigint[], $28::bigint[],
    $29::bigint[], $30::bigint[], $31::bigint[], $32::bigint[], $33::bigint[], $34::bigint[], $35::bigint[], $36::bigint[],
    $37::bigint[], $38::bigint[], $39::bigint[], $40::bigint[], $41::bigint[], $42::bigint[], $43::text[], $44::text[], $45::text[],
    $46::text[], $47::text[], $48::text[], $49::bytea[])
    as u (
        org, day, hold, part, seq, workspace, member, key, created_ns, state, reason, price, prompt, cache_read, cache_write,
        cache_write_1h, audio_in, image_in, completion, reasoning, audio_out, image_out, request, web_search, held, charge,
        charge_told, provider_cost, flags, finish, model, endpoint, provider, first_byte_ms, total_ms, byok_unit,
        byok_fee_basis_points, byok_list, byok_units, native_finish, upstream_id, referer, title, user_agent, session, attempts)

-- name: batch_add
insert into batch (cell, incarnation, lo, hi, rows, charge, hold_first, hold_floor, root, link)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: suspense_add
insert into suspense (cell, incarnation, seq, sqlstate, record) values ($1, $2, $3, $4, $5)
