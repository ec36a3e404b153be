-- SPDX-License-Identifier: Apache-2.0
-- Every statement of the ledger's control plane, run as bourse_ledger_api: it sees one organization at a time.

-- name: insert_org
insert into org (org, name) values ($1, $2)

-- name: insert_workspace
insert into workspace (org, id, name, slug) values ($1, 1, 'Default', 'default')

-- name: find_org
select o.name, o.frozen, p.purchase_fee_permille, p.purchase_fee_min_cents, p.purchase_min_cents, p.purchase_max_cents
from org o join plan p on p.id = o.plan where o.org = $1

-- name: list_orgs
select org, name, frozen, (extract(epoch from created_at) * 1000000000)::bigint, balance from org_list($1, $2)

-- name: insert_key
insert into api_key (org, id, workspace, hash, label, name, kind, expires_at, limit_nano, limit_cadence, include_byok_in_limit,
                     disabled, member)
values ($1, $2, 1, $3, $4, $5, $6, to_timestamp($7::bigint / 1000000000.0), $8, $9, $10, $11, $12)

-- A limit of rates is changed where it is given.
-- name: set_key_rates
update api_key set requests_per_minute = case when $3::boolean then $4::integer else requests_per_minute end,
    tokens_per_minute = case when $5::boolean then $6::integer else tokens_per_minute end,
    concurrent_requests = case when $7::boolean then $8::integer else concurrent_requests end
where org = $1 and id = $2

-- name: free_requests
select free_requests_per_day($1), coalesce((select requests from free_requests where org = $1 and day = $2), 0)

-- Two at once may each count the other not: a few beyond the bound do no harm.
-- name: count_keys
select count(*) from api_key where org = $1 and deleted_at is null

-- name: insert_key_place
insert into key_place (hash, org, key, rotation) values ($1, $2, $3, nullif($4, ''))

-- The secrets that work, at most two, and perhaps one that has just ended: the newest first.
-- name: list_key_places
select hash from key_place where org = $1 and key = $2 order by ends_at desc nulls first limit 3

-- By the hash of any secret that works, or that the rotation which is repeated has ended.
-- name: lock_key_to_rotate
select id, limit_nano, limit_cadence, kind from api_key
where org = $1 and deleted_at is null
  and id = (select p.key from key_place p where p.hash = $2 and p.org = $1 and
            (p.ends_at is null or p.ends_at > now() or
             exists (select 1 from key_place r where r.org = p.org and r.key = p.key and r.rotation = $3)))
for update

-- Whether the secret that this rotation made is the key's present one.
-- name: find_rotation
select ends_at is null from key_place where org = $1 and key = $2 and rotation = $3 order by ends_at desc nulls first limit 1

-- The present secret has its overlap from now on, and whichever had one ends. A repeat ends what was made, and that alone.
-- name: end_key_places
update key_place set ends_at = case when ends_at is null and not $4 then now() + make_interval(secs => $3::integer) else now() end
where org = $1 and key = $2 and (ends_at is null or (ends_at > now() and not $4))

-- name: set_key_secret
update api_key set hash = $3, label = $4, version = nextval('caller_version_seq'), updated_at = now() where org = $1 and id = $2

-- One meter per cadence; the limit stands on one of them.
-- name: insert_key_meters
insert into meter (org, id, owner_kind, owner, cadence, limit_nano, include_byok)
select $1::bigint, 4 * $2::bigint + c, 1, $2::bigint, c, case when c = $3::smallint then $4::bigint end, $5::boolean
from generate_series(0, 3) c

-- name: list_keys
select k.id, k.hash, k.label, k.name, k.kind, k.disabled, (extract(epoch from k.created_at) * 1000000000)::bigint,
       (extract(epoch from k.updated_at) * 1000000000)::bigint, (extract(epoch from k.expires_at) * 1000000000)::bigint,
       k.limit_nano, k.limit_cadence, k.include_byok_in_limit, k.workspace,
       life.spent, day.spent, week.spent, month.spent, life.byok_spent, day.byok_spent, week.byok_spent, month.byok_spent,
       k.member, k.requests_per_minute, k.tokens_per_minute, k.concurrent_requests,
       (select (extract(epoch from max(o.ends_at)) * 1000000000)::bigint from key_place o
        where o.org = k.org and o.key = k.id and o.ends_at > now()),
       u.used_ns, u.prefix
from api_key k
left join key_use u on u.org = k.org and u.key = k.id
left join meter_period life on life.org = k.org and life.meter = 4 * k.id and life.period = 0
left join meter_period day on day.org = k.org and day.meter = 4 * k.id + 1 and day.period = $2
left join meter_period week on week.org = k.org and week.meter = 4 * k.id + 2 and week.period = $3
left join meter_period month on month.org = k.org and month.meter = 4 * k.id + 3 and month.period = $4
where k.org = $1 and k.deleted_at is null
  and ($5::bigint is null or k.id = $5) and ($7::boolean or not k.disabled)
  and ($6::bytea is null or k.id = (select p.key from key_place p where p.hash = $6 and p.org = $1
                                    and (p.ends_at is null or p.ends_at > now())))
order by k.created_at desc, k.id offset $8 limit $9

-- By the hash of any secret that works.
-- name: lock_key
select id, limit_nano, limit_cadence, kind from api_key
where org = $1 and deleted_at is null
  and id = (select p.key from key_place p where p.hash = $2 and p.org = $1 and (p.ends_at is null or p.ends_at > now()))
for update

-- name: update_key
update api_key set name = coalesce($3, name), disabled = coalesce($4, disabled), limit_nano = $5, limit_cadence = $6,
    include_byok_in_limit = coalesce($7, include_byok_in_limit),
    expires_at = case when $8::boolean then to_timestamp($9::bigint / 1000000000.0) else expires_at end, version = nextval('caller_version_seq'), updated_at = now()
where org = $1 and id = $2

-- name: update_key_meters
update meter set limit_nano = case cadence when $3::smallint then $4::bigint when $6::smallint then null else limit_nano end,
    include_byok = coalesce($5, include_byok)
where org = $1 and owner_kind = 1 and owner = $2

-- A lowered limit never breaks a running request: what is already beyond it is remembered in `over`.
-- name: update_key_periods
update meter_period p set limit_nano = m.limit_nano, include_byok = m.include_byok,
    over = coalesce(greatest(0, p.spent + case when m.include_byok then p.byok_spent else 0 end + p.leased - m.limit_nano), p.over)
from meter m where m.org = $1 and m.owner_kind = 1 and m.owner = $2 and p.org = m.org and p.meter = m.id
  and p.period = (array[0, $3::integer, $4::integer, $5::integer])[m.cadence + 1]

-- name: delete_key
update api_key set deleted_at = now(), disabled = true, version = nextval('caller_version_seq'), updated_at = now()
where org = $1 and id = $2

-- name: has_purchases
select exists (select 1 from purchase where org = $1 and state = 'paid')

-- Balance = credit and all escrow; usage = what all keys ever spent; the debt is what could not be taken from credit.
-- name: read_credits
select coalesce((select sum(credits - debits) from account where org = $1 and kind in (1, 2, 3)), 0)::bigint,
       coalesce((select sum(p.spent) from meter m join meter_period p on p.org = m.org and p.meter = m.id
                 where m.org = $1 and m.owner_kind = 1 and m.cadence = 0), 0)::bigint,
       coalesce((select sum(debits - credits) from account where org = $1 and kind = 4), 0)::bigint

-- What the plan gives of a month with own provider keys, in its unit, and what is used of that.
-- name: read_allowance
select p.byok_unit = 'requests', p.byok_allowance, coalesce(m.spent, 0)
from org o join plan p on p.id = o.plan
left join meter_period m on m.org = o.org and m.meter = allowance_meter(o.org, p.byok_unit) and m.period = $2
where o.org = $1

-- name: find_idempotency
select request_hash, http_status, response from idempotency where org = $1 and scope = $2 and key = $3

-- Answers older than a year go when a new one comes.
-- name: insert_idempotency
insert into idempotency (org, scope, key, request_hash, http_status, response)
select $1, $2, $3, $4, $5, $6 from idempotency_prune($1)

-- name: insert_purchase
insert into purchase (org, id, method, amount_cents, fee_cents, charged_cents, state) values ($1, $2, 'manual', $3, $4, $5, 'pending')

-- name: lock_purchase
select amount_cents, fee_cents, charged_cents, state, method from purchase where org = $1 and id = $2 for update

-- name: pay_purchase
update purchase set state = 'paid', credited_cents = amount_cents, paid_at = now(), reference = $3 where org = $1 and id = $2

-- name: cancel_purchase
update purchase set state = 'cancelled', reference = $3 where org = $1 and id = $2 and state = 'pending'

-- Until when, and whether now, its customer may give it back; and its last refund.
-- name: list_purchases
select p.id, p.method, p.amount_cents, p.fee_cents, p.charged_cents, p.credited_cents, p.state, p.reference,
       (extract(epoch from p.created_at) * 1000000000)::bigint, (extract(epoch from p.paid_at) * 1000000000)::bigint,
       p.session_url, p.refunded_cents, p.disputed_cents, p.auto,
       (extract(epoch from p.paid_at + l.refund_window) * 1000000000)::bigint, coalesce(p.paid_at + l.refund_window > now(), false),
       exists (select 1 from purchase_refund r where r.org = p.org and r.purchase = p.id and r.state in ('pending', 'unknown')),
       r.id, r.purchase, r.state, r.amount_cents, r.origin, (extract(epoch from r.created_at) * 1000000000)::bigint,
       (extract(epoch from r.done_at) * 1000000000)::bigint, r.reference, r.reason
from purchase p join org o on o.org = p.org join plan l on l.id = o.plan
left join lateral (select * from purchase_refund f where f.org = p.org and f.purchase = p.id order by f.created_at desc, f.id limit 1) r on true
where p.org = $1 and ($2::text is null or p.id = $2) order by p.created_at desc, p.id offset $3 limit $4

-- name: ensure_accounts
insert into account (org, kind, cell) select * from unnest($1::bigint[], $2::bigint[], $3::bigint[]) on conflict do nothing

-- Money is locked in one order everywhere: cell, account, lease, meter_period.
-- name: lock_accounts
select a.org, a.kind, a.cell from account a join unnest($1::bigint[], $2::bigint[], $3::bigint[]) w (org, kind, cell)
    on a.org = w.org and a.kind = w.kind and a.cell = w.cell and a.detail = 0
order by a.org, a.kind, a.cell, a.detail for update of a

-- name: debit_account
update account set debits = debits + $4, over = case when line is null then 0 else greatest(0, debits + $4 - credits - line) end
where org = $1 and kind = $2 and cell = $3 and detail = 0

-- name: credit_account
update account set credits = credits + $4, over = case when line is null then 0 else greatest(0, debits - credits - $4 - line) end
where org = $1 and kind = $2 and cell = $3 and detail = 0

-- name: insert_transfer
insert into transfer (org, debit_kind, credit_kind, cell, amount, code, reference) values ($1, $2, $3, $4, $5, $6, $7)

-- ---- members

-- name: insert_member
insert into member (org, id, name, email) values ($1, $2, $3, $4)

-- name: list_members
select id, name, email, (extract(epoch from created_at) * 1000000000)::bigint from member
where org = $1 and deleted_at is null and ($2::bigint is null or id = $2) order by created_at, id offset $3 limit $4

-- name: count_members
select count(*) from member where org = $1 and deleted_at is null

-- name: find_member
select id from member where org = $1 and id = $2 and deleted_at is null

-- name: find_workspace
select id from workspace where org = $1 and id = $2

-- name: find_org_row
select org from org where org = $1 and org = $2

-- ---- limits of any owner; kinds are those of the table meter

-- name: pause_posting
select posting_pause()

-- A cadence without a meter has no limit; what was spent in its period is the sum of the owner's keys. Where list prices count, it has
-- one (see begin_meter).
-- name: owner_limits
select c, m.limit_nano, case when m.id is not null then coalesce(p.spent + case when m.include_byok then p.byok_spent else 0 end, 0)
       else (select coalesce(sum(s.spent), 0)::bigint from api_key k join meter_period s on s.org = k.org and s.meter = 4 * k.id + c
            and s.period = (array[0, $4::integer, $5::integer, $6::integer])[c + 1]
        where k.org = $1 and case $2::smallint when 2 then k.member = $3 when 3 then k.workspace = $3 else true end) end,
       coalesce(m.include_byok, false)
from generate_series(0, 3) c
left join meter m on m.org = $1 and m.owner_kind = $2::smallint and m.owner = $3 and m.cadence = c
left join meter_period p on p.org = m.org and p.meter = m.id and p.period = (array[0, $4::integer, $5::integer, $6::integer])[c + 1]
order by c

-- $4: cadences.
-- name: meter_begins
select exists (select 1 from unnest($4::bigint[]) c where not exists (
    select 1 from meter m where m.org = $1 and m.owner_kind = $2::smallint and m.owner = $3 and m.cadence = c))

-- A limit begins its own; include_byok those of all cadences, so that none begins later without it.
-- name: begin_meter
insert into meter (org, id, owner_kind, owner, cadence, since)
values ($1, owner_meter($2::smallint, $3::bigint, $4::smallint), $2, $3, $4, $5::integer) on conflict do nothing

-- What the owner's keys have spent in the period. Once: from then on the poster counts.
-- name: begin_meter_period
insert into meter_period (org, meter, period, spent, requests, byok_spent)
select $1, owner_meter($2::smallint, $3::bigint, $4::smallint), $5::integer, coalesce(sum(p.spent), 0), coalesce(sum(p.requests), 0),
       coalesce(sum(p.byok_spent), 0)
from api_key k join meter_period p on p.org = k.org and p.meter = 4 * k.id + $4::smallint and p.period = $5::integer
where k.org = $1 and case $2::smallint when 2 then k.member = $3::bigint when 3 then k.workspace = $3::bigint else true end
on conflict do nothing

-- Each is changed where it is given.
-- name: set_limit
update meter set limit_nano = case when $5::boolean then $6::bigint else limit_nano end, include_byok = coalesce($7, include_byok),
    version = nextval('caller_version_seq')
where org = $1 and owner_kind = $2::smallint and owner = $3 and cadence = $4::smallint

-- A lowered limit never breaks a running request: what is already beyond it is remembered in `over`.
-- name: set_period_limit
update meter_period p set limit_nano = m.limit_nano, include_byok = m.include_byok,
    over = coalesce(greatest(0, p.spent + case when m.include_byok then p.byok_spent else 0 end + p.leased - m.limit_nano), p.over)
from meter m where m.org = $1 and m.owner_kind = $2::smallint and m.owner = $3 and m.cadence = $4::smallint
  and p.org = m.org and p.meter = m.id and p.period = $5::integer

-- Whoever has read a key of the owner reads it again. Of a key itself, its own fields say the same.
-- name: raise_versions
update api_key k set version = nextval('caller_version_seq'), updated_at = now(),
    limit_nano = case when $2::smallint = 1 then
        (select m.limit_nano from meter m where m.org = k.org and m.id = 4 * k.id + k.limit_cadence) else k.limit_nano end,
    include_byok_in_limit = case when $2::smallint = 1 then
        (select m.include_byok from meter m where m.org = k.org and m.id = 4 * k.id) else k.include_byok_in_limit end
where k.org = $1 and k.deleted_at is null
  and case $2::smallint when 1 then k.id = $3::bigint when 2 then k.member = $3::bigint when 3 then k.workspace = $3::bigint else true end

-- ---- plans

-- name: list_plans
select name, purchase_fee_permille, purchase_fee_min_cents, purchase_min_cents, purchase_max_cents,
       (extract(epoch from refund_window) / 3600)::bigint, output_default, output_min, byok_unit, byok_allowance,
       byok_fee_basis_points, credit_expiry_days
from plan where $1::text is null or name = $1 order by id

-- name: insert_plan
insert into plan (id, name, purchase_fee_permille, purchase_fee_min_cents, purchase_min_cents, purchase_max_cents, refund_window,
                  output_default, output_min, byok_unit, byok_allowance, byok_fee_basis_points, credit_expiry_days,
                  paid_requests_per_minute, paid_tokens_per_minute, paid_concurrent_requests,
                  free_requests_per_minute, free_tokens_per_minute, free_concurrent_requests, free_requests_per_day,
                  free_requests_per_day_bought, free_bought_nano)
select (select max(id) + 1 from plan), $1, purchase_fee_permille, purchase_fee_min_cents, purchase_min_cents, purchase_max_cents,
       refund_window, output_default, output_min, byok_unit, byok_allowance, byok_fee_basis_points, credit_expiry_days,
       paid_requests_per_minute, paid_tokens_per_minute, paid_concurrent_requests,
       free_requests_per_minute, free_tokens_per_minute, free_concurrent_requests, free_requests_per_day,
       free_requests_per_day_bought, free_bought_nano
from plan where name = $2

-- What the core is told of it: the columns of struct plan_terms.
-- name: update_plan
update plan set purchase_fee_permille = coalesce($2, purchase_fee_permille),
    purchase_fee_min_cents = coalesce($3, purchase_fee_min_cents), purchase_min_cents = coalesce($4, purchase_min_cents),
    purchase_max_cents = coalesce($5, purchase_max_cents),
    refund_window = coalesce(make_interval(hours => $6::integer), refund_window), output_default = coalesce($7, output_default),
    output_min = coalesce($8, output_min), byok_unit = coalesce($9, byok_unit), byok_allowance = coalesce($10, byok_allowance),
    byok_fee_basis_points = coalesce($11, byok_fee_basis_points),
    credit_expiry_days = case when $13::boolean then $12 else credit_expiry_days end, version = nextval('caller_version_seq')
where name = $1
returning id, version, output_default, output_min, case byok_unit when 'requests' then 1 else 2 end, byok_fee_basis_points

-- name: plan_rates
select paid_requests_per_minute, paid_tokens_per_minute, paid_concurrent_requests, free_requests_per_minute, free_tokens_per_minute,
       free_concurrent_requests, free_requests_per_day, free_requests_per_day_bought, free_bought_nano
from plan where name = $1

-- name: update_plan_rates
update plan set paid_requests_per_minute = case when $2::boolean then $3::integer else paid_requests_per_minute end,
    paid_tokens_per_minute = case when $4::boolean then $5::integer else paid_tokens_per_minute end,
    paid_concurrent_requests = case when $6::boolean then $7::integer else paid_concurrent_requests end,
    free_requests_per_minute = case when $8::boolean then $9::integer else free_requests_per_minute end,
    free_tokens_per_minute = case when $10::boolean then $11::integer else free_tokens_per_minute end,
    free_concurrent_requests = case when $12::boolean then $13::integer else free_concurrent_requests end,
    free_requests_per_day = case when $14::boolean then $15::integer else free_requests_per_day end,
    free_requests_per_day_bought = case when $16::boolean then $17::integer else free_requests_per_day_bought end,
    free_bought_nano = case when $18::boolean then $19::bigint else free_bought_nano end
where name = $1

-- name: assign_plan
update org set plan = (select id from plan where name = $2) where org = $1

-- ---- lots and codes

-- Promotional credit only: of paid credit the plan says when it ends.
-- name: expire_lot_at
update lot set expires_at = to_timestamp($3::bigint / 1000000000.0)
where org = $1 and id = (select max(id) from lot where org = $1 and kind = 2 and reference = $2)

-- name: fold_lots
select lots_fold($1, $2, 0)

-- What can still be spent comes first, in the order in which it is spent.
-- name: list_lots
select kind, amount, amount - spent - expired, expired, (extract(epoch from expires_at) * 1000000000)::bigint,
       (extract(epoch from created_at) * 1000000000)::bigint
from lot where org = $1
order by spent + expired = amount, kind desc, expires_at nulls last, id offset $2 limit $3

-- name: largest_purchase
select max(purchase_max_cents) from plan

-- name: insert_code
insert into promo_code (hash, label, amount, uses_max, expires_at, credit_days)
values ($1, $2, $3, $4, to_timestamp($5::bigint / 1000000000.0), $6) returning id

-- name: list_codes
select id, label, amount, uses_max, uses, (extract(epoch from expires_at) * 1000000000)::bigint, credit_days, disabled
from promo_code order by id desc offset $1 limit $2

-- name: disable_code
update promo_code set disabled = true where id = $1
returning id, label, amount, uses_max, uses, (extract(epoch from expires_at) * 1000000000)::bigint, credit_days, disabled

-- One after the other: whoever waited for the row finds how often it was used by then.
-- name: take_code
update promo_code set uses = uses + 1
where hash = $1 and uses < uses_max and not disabled and (expires_at is null or expires_at > now())
returning id, amount, (extract(epoch from now() + make_interval(days => credit_days)) * 1000000000)::bigint

-- name: insert_redemption
insert into redemption (org, code, amount) values ($1, $2, $3) on conflict do nothing

-- name: find_code
select exists (select 1 from redemption r where r.org = $2 and r.code = c.id), coalesce(c.expires_at <= now(), false) or c.disabled
from promo_code c where hash = $1

-- ---- organizations and their credit lines

-- What is owed is what was used: what cells have leased on a line is not owed yet.
-- name: read_organization
select o.name, o.billing_name, o.billing_address, o.tax_id, p.name, o.frozen, a.line,
       coalesce(a.debits - a.credits - case when a.line is null then 0 else e.escrow end, 0)::bigint,
       greatest(0, a.line - (a.debits - a.credits) + e.escrow)::bigint
from org o join plan p on p.id = o.plan left join account a on a.org = o.org and a.kind = 4 and a.cell = 0 and a.detail = 0
    cross join lateral (select coalesce(sum(credits - debits), 0) as escrow from account e where e.org = o.org and e.kind = 3) e
where o.org = $1

-- name: update_organization
update org set name = coalesce($2, name), billing_name = coalesce($3, billing_name),
    billing_address = coalesce($4, billing_address), tax_id = coalesce($5, tax_id)
where org = $1

-- name: lock_customer
select kind, credits - debits, line from account where org = $1 and kind in (1, 2, 3, 4) order by kind, cell, detail for update

-- Whoever brings credit in holds the organization's row; whoever sets a line locks it. So neither overlooks the other.
-- name: hold_org
select 1 from org where org = $1 for key share

-- name: lock_org
select 1 from org where org = $1 for update

-- What may still become credit.
-- name: has_pending
select exists (select 1 from purchase where org = $1 and state in ('pending', 'unknown', 'open'))
       or exists (select 1 from purchase_refund where org = $1 and state in ('pending', 'unknown'))

-- name: set_line
update account set line = $2, over = case when $2::bigint is null then 0 else greatest(0, debits - credits - $2) end
where org = $1 and kind = 4 and cell = 0 and detail = 0

-- name: begin_line
insert into credit_line_span (org, begun_at) values ($1, now())

-- name: end_line
update credit_line_span set ended_at = now() where org = $1 and ended_at is null

-- name: read_line
select a.line, (a.debits - a.credits - case when a.line is null then 0 else
           (select coalesce(sum(e.credits - e.debits), 0) from account e where e.org = a.org and e.kind = 3) end)::bigint
from account a where a.org = $1 and a.kind = 4 and a.cell = 0 and a.detail = 0

-- ---- receipts and invoices

-- name: read_buyer
select o.name, o.billing_name, o.billing_address, o.tax_id,
       coalesce(a.debits - a.credits - case when a.line is null then 0 else
           (select coalesce(sum(e.credits - e.debits), 0) from account e where e.org = o.org and e.kind = 3) end, 0)::bigint,
       to_char(now() at time zone 'UTC', 'YYYY-MM-DD')
from org o left join account a on a.org = o.org and a.kind = 4 and a.cell = 0 and a.detail = 0
where o.org = $1

-- Whatever became of it later, a purchase that was paid has a receipt.
-- name: read_receipt
select state, amount_cents, fee_cents, charged_cents, method, reference, to_char(paid_at at time zone 'UTC', 'YYYY-MM-DD')
from purchase where org = $1 and id = $2

-- A month is $2 as YYYY-MM; of the rows $3 at most are told, and count and sum of all with each.
-- name: invoice_purchases
select to_char(paid_at at time zone 'UTC', 'YYYY-MM-DD'), id, amount_cents, fee_cents, charged_cents,
       count(*) over (), (sum(charged_cents) over ())::bigint
from purchase
where org = $1 and paid_at >= ($2 || '-01')::timestamp at time zone 'UTC'
  and paid_at < (($2 || '-01')::timestamp + interval '1 month') at time zone 'UTC'
order by paid_at, id limit $3

-- A request belongs to the month of its hold, as in the limits. Numbers of days are those of a generation's row. Fees on own keys stand
-- by themselves, for they are not what the tokens cost. $4: what is due by invoice, or what was paid from credit.
-- name: invoice_usage
select coalesce(m.name, 'no longer listed') || case when g.byok then ', fee on own provider keys' else '' end, g.requests, g.tokens_in, g.tokens_out, g.charge, count(*) over (),
       (sum(g.charge) over ())::bigint
from (select model, byok_unit <> 0 as byok, count(*) filter (where state = 1) as requests,
             sum(prompt::bigint + cache_read + cache_write + cache_write_1h + audio_in + image_in) filter (where state = 1) as tokens_in,
             sum(completion::bigint + reasoning + audio_out + image_out) filter (where state = 1) as tokens_out,
             sum(charge)::bigint as charge
      from generation
      where org = $1 and day >= ($2 || '-01')::date - date '1970-01-01'
        and day < (($2 || '-01')::date + interval '1 month')::date - date '1970-01-01'
        and $4::boolean = coalesce(created_ns <@ (
            select range_agg(int8range((extract(epoch from begun_at) * 1000000000)::bigint, (extract(epoch from ended_at) * 1000000000)::bigint))
            from credit_line_span where org = $1), false)
      group by model, byok_unit <> 0 having count(*) filter (where state = 1) > 0) g
left join model m on m.id = g.model
order by g.charge desc, g.model, g.byok limit $3

-- name: invoice_has_line
select exists (select 1 from credit_line_span
               where org = $1 and begun_at < (($2 || '-01')::timestamp + interval '1 month') at time zone 'UTC'
                 and coalesce(ended_at, 'infinity') > ($2 || '-01')::timestamp at time zone 'UTC')

-- name: invoice_movements
select to_char(at at time zone 'UTC', 'YYYY-MM-DD'),
       case code when 'promo' then 'Promotional credit' when 'expiry' then 'Credit expired' when 'refund' then 'Refund'
            when 'refund_void' then 'Refund sent back' when 'reinstatement' then 'Dispute won' when 'invoice_payment' then 'Payment received'
            else case when debit_kind in (1, 2) and credit_kind = 4 then 'Debt paid from credit' else 'Disputed payment' end end,
       reference, amount, count(*) over ()
from transfer
where org = $1 and code in ('promo', 'expiry', 'refund', 'refund_void', 'dispute', 'reinstatement', 'invoice_payment')
  and (code <> 'refund_void' or debit_kind = 101)
  and at >= ($2 || '-01')::timestamp at time zone 'UTC'
  and at < (($2 || '-01')::timestamp + interval '1 month') at time zone 'UTC'
order by at, id limit $3

-- Purchases by Stripe. The lock is held while Stripe is asked.
-- name: insert_stripe_purchase
insert into purchase (org, id, method, amount_cents, fee_cents, charged_cents, state, look_at, save_card)
values ($1, $2, 'stripe', $3, $4, $5, 'pending', now() + $6::bigint * interval '1 millisecond', $7)

-- name: lock_stripe_purchase
select p.state, p.session, p.payment_intent, p.amount_cents, p.fee_cents, p.charged_cents, p.credited_cents, p.refunded_cents,
       coalesce((select sum(r.credit_cents) from purchase_refund r
                 where r.org = p.org and r.purchase = p.id and r.state in ('pending', 'unknown')), 0)::bigint,
       p.disputed_cents, p.dispute_fee_cents, p.clawed_cents, p.debt, extract(epoch from now() - p.created_at)::bigint,
       p.save_card, p.auto, p.customer, p.card, p.dispute_open
from purchase p where p.org = $1 and p.id = $2 and p.method = 'stripe' for update of p

-- name: save_stripe_purchase
update purchase set state = $3, session = nullif($4, ''), session_url = coalesce(nullif($5, ''), session_url),
    payment_intent = nullif($6, ''), refunded_cents = $7, disputed_cents = $8, dispute_fee_cents = $9, clawed_cents = $10, debt = $11,
    look_at = now() + $12::bigint * interval '1 millisecond', dispute_open = $13
where org = $1 and id = $2

-- name: list_purchase_refunds
select id, state, stripe_refund, amount_cents, credit_cents
from purchase_refund where org = $1 and purchase = $2 order by created_at, id

-- name: read_refund
select id, purchase, state, amount_cents, origin, (extract(epoch from created_at) * 1000000000)::bigint,
       (extract(epoch from done_at) * 1000000000)::bigint, reference, reason
from purchase_refund where org = $1 and id = $2

-- name: list_refunds_waiting
select id, purchase, 'pending', amount_cents, origin, (extract(epoch from created_at) * 1000000000)::bigint, null::bigint, null, null,
       org, purchase_reference, owed_nano
from refunds_waiting($1, $2)

-- name: count_refunds_waiting
select count(*) from refunds_waiting(0, null)

-- The purchase's row before the refund's, as everywhere.
-- name: lock_refund
select p.id, p.method, r.state, r.credit_cents
from purchase p join purchase_refund r on r.org = p.org and r.purchase = p.id
where r.org = $1 and r.id = $2 for update of p, r

-- name: decide_refund
update purchase_refund set state = $3, reference = $4, reason = $5, done_at = now() where org = $1 and id = $2

-- name: insert_purchase_refund
insert into purchase_refund (org, id, purchase, origin, amount_cents, credit_cents, state, stripe_refund, done_at)
values ($1, $2, $3, $4, $5, $6, $7, nullif($8, ''), case when $7 in ('succeeded', 'failed') then now() end)

-- name: set_purchase_refund
update purchase_refund set state = $3, stripe_refund = nullif($4, ''),
    done_at = case when $3 in ('succeeded', 'failed') then now() end
where org = $1 and id = $2

-- What cells have leased on a line is not owed: it may come back. Under the receivable's lock it can only become less. Then the
-- paid credit that cells have leased, and the promotional credit that pays what is owed: on a line alone, and of it what was used, not
-- what disputes and refunds left owing.
-- name: read_credit_and_debt
select coalesce(sum(credits - debits) filter (where kind = 1), 0)::bigint,
       greatest(0, coalesce(sum(debits - credits) filter (where kind = 4), 0)
                   - case when bool_or(line is not null) then coalesce(sum(credits - debits) filter (where kind = 3), 0) else 0 end)::bigint,
       case when bool_or(line is not null) then 0 else lots_leased($1, 1::smallint) end,
       case when bool_or(line is not null) then greatest(0, least(
           coalesce(sum(credits - debits) filter (where kind = 2), 0),
           coalesce(sum(debits - credits) filter (where kind = 4), 0) - coalesce(sum(credits - debits) filter (where kind = 3), 0)
               - (select coalesce(sum(debt), 0) from purchase where org = $1 and debt > 0)))
       else 0 end::bigint
from account where org = $1 and kind in (1, 2, 3, 4)

-- name: freeze_org
update org set frozen = true where org = $1 and not frozen

-- A dispute that is over and a debt that was paid end what they began. What is used on a credit line is no debt.
-- name: thaw_org
update org set frozen = false where org = $1 and frozen and not operator_froze
    and not exists (select 1 from purchase p where p.org = $1 and (p.dispute_open or p.debt > 0))
    and not exists (select 1 from account a where a.org = $1 and a.kind = 4 and a.line is null and a.debits > a.credits)

-- An operator's word.
-- name: set_frozen
update org set frozen = $2, operator_froze = $2 where org = $1

-- name: find_stripe_event
select 1 from stripe_event where id = $1

-- name: insert_stripe_event
insert into stripe_event (id, type, object, org, purchase) values ($1, $2, $3, nullif($4::bigint, 0), nullif($5, '')) on conflict do nothing

-- name: find_purchase_of_payment
select org, id from purchase_of_payment(nullif($1, ''), nullif($2, ''))

-- name: list_purchases_due
select org, id from purchases_due($1)

-- name: list_orgs_in_debt
select org from orgs_in_debt($1, $2)

-- name: purchase_for_refund
select p.method, p.state, p.amount_cents - p.refunded_cents, p.disputed_cents > 0, p.paid_at + l.refund_window > now(),
       exists (select 1 from purchase_refund r where r.org = p.org and r.purchase = p.id and r.state in ('pending', 'unknown'))
from purchase p join org o on o.org = p.org join plan l on l.id = o.plan where p.org = $1 and p.id = $2

-- Whether Stripe has something to say about it that is not known yet.
-- name: purchase_is_undecided
select exists (
    select 1 from purchase p where p.org = $1 and p.id = $2 and p.method = 'stripe' and (p.state in ('pending', 'unknown')
        or exists (select 1 from purchase_refund r where r.org = p.org and r.purchase = p.id and r.state in ('pending', 'unknown'))))

-- name: add_purchase_refunded
update purchase set refunded_cents = refunded_cents + $3 where org = $1 and id = $2

-- name: look_at_purchase
update purchase set look_at = now() + $3::bigint * interval '1 millisecond' where org = $1 and id = $2

-- name: read_leased
select coalesce(sum(granted - settled - returned), 0)::bigint from lease where org = $1 and meter = 0

-- name: lock_debts
select id from purchase where org = $1 and debt > 0 order by id for update

-- The oldest first.
-- name: lower_debts
with owing as (
    select id, sum(debt) over (order by created_at, id) - debt as before from purchase where org = $1 and debt > 0
)
update purchase p set debt = p.debt - least(p.debt, greatest(0, $2::bigint - o.before)) from owing o where p.org = $1 and p.id = o.id

-- Cards that were saved, and charging them.
-- name: save_payment_card
insert into payment_card (org, customer, card) values ($1, $2, $3)
on conflict (org) do update set customer = excluded.customer, card = excluded.card, saved_at = now()

-- name: read_auto_topup
select t.enabled, t.threshold_cents, t.target_cents, t.day_cents_max, t.day_count_max, t.off_reason,
       exists (select 1 from payment_card c where c.org = o.org)
from org o left join auto_topup t on t.org = o.org where o.org = $1

-- name: set_auto_topup
insert into auto_topup (org, enabled, threshold_cents, target_cents, day_cents_max, day_count_max) values ($1, $2, $3, $4, $5, $6)
on conflict (org) do update set enabled = excluded.enabled, threshold_cents = excluded.threshold_cents, target_cents = excluded.target_cents,
    day_cents_max = excluded.day_cents_max, day_count_max = excluded.day_count_max, off_reason = '', changed_at = now()

-- name: turn_topup_off
update auto_topup set enabled = false, off_reason = $2, changed_at = now() where org = $1 and enabled

-- name: list_topups_due
select org from topups_due($1)

-- name: lock_auto_topup
select 1 from auto_topup where org = $1 for update

-- name: size_topup
select topup_cents($1), p.purchase_fee_permille, p.purchase_fee_min_cents
from org o join plan p on p.id = o.plan where o.org = $1

-- name: insert_topup
insert into purchase (org, id, method, amount_cents, fee_cents, charged_cents, state, look_at, auto, customer, card)
select $1, $2, 'stripe', $3, $4, $5, 'pending', now(), true, c.customer, c.card from payment_card c where c.org = $1

-- From the day after the last that was compared, thirty days back at most, to the end of yesterday.
-- name: find_days_to_reconcile
select extract(epoch from greatest(coalesce((select max(day) + 1 from stripe_reconciliation), today - 1), today - 30))::bigint,
       extract(epoch from today)::bigint
from (select (now() at time zone 'utc')::date as today) t
where not exists (select 1 from stripe_reconciliation r where r.day >= today - 1)

-- name: insert_reconciliation
insert into stripe_reconciliation (day, movements, unknown)
values ((to_timestamp($1::bigint) at time zone 'utc')::date - 1, $2, $3) on conflict do nothing
