-- SPDX-License-Identifier: Apache-2.0
-- The books, checked from the outside: every row that comes back is a violation, as (rule, detail). Runs beside a working instance:
-- one snapshot, and each rule holds at every commit. The sums are numeric, so the checks share no arithmetic with what they check.
begin isolation level repeatable read read only;
set local max_parallel_workers_per_gather = 0; -- one process, so that posting has the machine's others

-- Debits equal credits over all accounts, for every transfer books both sides.
select 'debits_equal_credits', format('debits %s, credits %s', sum(debits), sum(credits))
from account having sum(debits) <> sum(credits);

-- Every account is the fold of its transfers: the customer's side of a transfer is the organization's, the platform's side org 0's.
with side as (
    select case when debit_kind < 100 then org else 0 end as org, debit_kind as kind,
           case when debit_kind in (1, 2, 4, 5) then 0 else cell end as cell, debit_detail as detail, amount as debit, 0 as credit
    from transfer
    union all
    select case when credit_kind < 100 then org else 0 end, credit_kind,
           case when credit_kind in (1, 2, 4, 5) then 0 else cell end, credit_detail, 0, amount
    from transfer
), folded as (
    select org, kind, cell, detail, sum(debit) as debits, sum(credit) as credits from side group by org, kind, cell, detail
)
select 'account_is_fold_of_transfers', format('account %s/%s/%s/%s: counters %s/%s, transfers %s/%s', org, kind, cell, detail,
       coalesce(a.debits, 0), coalesce(a.credits, 0), coalesce(f.debits, 0), coalesce(f.credits, 0))
from account a full join folded f using (org, kind, cell, detail)
where coalesce(a.debits, 0) <> coalesce(f.debits, 0) or coalesce(a.credits, 0) <> coalesce(f.credits, 0);

-- Both sides of a transfer are accounts that exist, and its customer's side has a customer: kinds are those of 0002_ledger.sql.
select 'transfer_has_two_sides', format('transfer %s/%s: %s -> %s, amount %s', org, id, debit_kind, credit_kind, amount)
from transfer
where amount <= 0 or (debit_kind = credit_kind and debit_detail = credit_detail)
   or (org = 0) <> (debit_kind >= 100 and credit_kind >= 100)
   or debit_kind not in (1, 2, 3, 4, 5, 101, 102, 111, 112, 113, 114, 121, 122, 131, 132, 133)
   or credit_kind not in (1, 2, 3, 4, 5, 101, 102, 111, 112, 113, 114, 121, 122, 131, 132, 133);

-- No customer's money is below zero.
select 'customer_balance_not_negative', format('account %s/%s/%s: %s', org, kind, cell, credits - debits)
from account where kind in (1, 2, 3, 5) and credits < debits;

-- What an organization without a credit line owes is what disputes and foreign refunds of spent credit explain. The rest would come from
-- an answer above its hold, and an operator has to look at it.
select 'receivable_is_zero', format('org %s owes %s', org, debits - credits)
from account a where kind = 4 and line is null
  and debits - credits <> coalesce((select sum(p.debt) from purchase p where p.org = a.org), 0);

-- A credit line is kept, but by what a late charge or a lowering explains; and what is leased on it is part of what is owed.
select 'credit_line_is_kept', format('org %s owes %s of a line of %s + over %s', org, debits - credits, line, over)
from account where line is not null and debits - credits > line + over;
select 'line_lease_is_owed', format('org %s owes %s and has %s in escrow', a.org, a.debits - a.credits, e.escrow)
from account a join (select org, sum(credits - debits) as escrow from account where kind = 3 group by org) e using (org)
where a.line is not null and e.escrow > a.debits - a.credits;

-- A lease gives out no more than it was granted.
select 'lease_within_grant', format('lease %s/%s/%s epoch %s: settled %s + returned %s > granted %s',
       org, meter, period, epoch, settled, returned, granted)
from lease where settled + returned > granted or granted_promo > granted;

-- A lease's counters are the fold of the transfers, too, and not only their difference: what was granted and not returned was moved
-- to escrow, what was settled was moved from there to income. (A new epoch takes over by a grant and a return of the same amount.)
with counted as (
    select org, cell, sum(granted - returned) as out, sum(settled) as settled from lease where meter = 0 group by org, cell
), moved as (
    select org, cell, coalesce(sum(amount) filter (where code = 'lease'), 0) - coalesce(sum(amount) filter (where code = 'lease_return'), 0)
           as out, coalesce(sum(amount) filter (where code in ('settle', 'byok_fee') and debit_kind = 3), 0) as settled
    from transfer where code in ('lease', 'lease_return', 'settle', 'byok_fee') group by org, cell
)
select 'lease_is_fold_of_transfers', format('org %s cell %s: leases %s out %s settled, transfers %s out %s settled', org, cell,
       coalesce(c.out, 0), coalesce(c.settled, 0), coalesce(m.out, 0), coalesce(m.settled, 0))
from counted c full join moved m using (org, cell)
where coalesce(c.out, 0) <> coalesce(m.out, 0) or coalesce(c.settled, 0) <> coalesce(m.settled, 0);

-- What is leased of an account's credit and not settled or returned is what lies in its escrow, per cell.
with open_lease as (
    select org, cell, sum(granted - settled - returned) as left_over from lease where meter = 0 group by org, cell
), escrow as (
    select org, cell, sum(credits - debits) as balance from account where kind = 3 group by org, cell
)
select 'leases_are_escrow', format('org %s cell %s: leases %s, escrow %s', org, cell, coalesce(left_over, 0), coalesce(balance, 0))
from open_lease full join escrow using (org, cell) where coalesce(left_over, 0) <> coalesce(balance, 0);

-- Room under a limit that is leased to a cell is counted in the limit's period, and nothing else is.
with open_lease as (
    select org, meter, period, sum(granted - settled - returned) as left_over from lease where meter <> 0 group by org, meter, period
)
select 'leases_are_in_their_period', format('meter %s/%s/%s: leases %s, period %s', org, meter, period, coalesce(l.left_over, 0),
       coalesce(p.leased, 0))
from open_lease l full join meter_period p using (org, meter, period)
where coalesce(l.left_over, 0) <> coalesce(p.leased, 0);

-- No limit is exceeded, but by what an operator's lowering or a late charge explains; nor is an allowance of free requests with own
-- keys. Where a limit says so it counts their list price, too.
select 'limit_is_kept', format('meter %s/%s/%s: spent %s + list price %s + leased %s > limit %s + over %s',
       org, meter, period, spent, case when include_byok then byok_spent else 0 end, leased, limit_nano, over)
from meter_period where spent + case when include_byok then byok_spent else 0 end + leased > limit_nano + over;

-- The rows of a batch are its count and its charge, and lie within its records.
with summed as (
    select cell, incarnation, batch_lo as lo, count(*) as rows, sum(charge) as charge, min(seq) as first, max(seq) as last
    from generation group by cell, incarnation, batch_lo
)
select 'batch_is_its_rows', format('batch %s/%s/%s: says %s rows %s, has %s rows %s', cell, incarnation, lo, b.rows, b.charge,
       coalesce(s.rows, 0), coalesce(s.charge, 0))
from batch b full join summed s using (cell, incarnation, lo)
where b.rows is distinct from coalesce(s.rows, 0) or b.charge is distinct from coalesce(s.charge, 0)
   or s.first <= lo or s.last > b.hi;

-- What the rows of a batch charge is what its transfers take from customers, usage and fees on own keys each by itself; what providers
-- did is what we owe them.
with moved as (
    select reference, sum(amount) filter (where code in ('settle', 'settle_late') and credit_kind = 112) as charged,
           sum(amount) filter (where code = 'byok_fee' and credit_kind = 113) as fees,
           sum(amount) filter (where code in ('provider_cost', 'absorbed')) as owed
    from transfer where reference like 'batch %' group by reference
), row_sums as (
    select format('batch %s/%s/%s', cell, incarnation, batch_lo) as reference, sum(charge) filter (where byok_unit = 0) as charged,
           sum(charge) filter (where byok_unit <> 0) as fees, sum(provider_cost) as owed
    from generation group by cell, incarnation, batch_lo
)
select 'rows_are_transfers', format('%s: rows %s and fees %s owed %s, transfers %s and fees %s owed %s', reference,
       coalesce(r.charged, 0), coalesce(r.fees, 0), coalesce(r.owed, 0), coalesce(m.charged, 0), coalesce(m.fees, 0), coalesce(m.owed, 0))
from moved m full join row_sums r using (reference)
where coalesce(m.charged, 0) <> coalesce(r.charged, 0) or coalesce(m.fees, 0) <> coalesce(r.fees, 0)
   or coalesce(m.owed, 0) <> coalesce(r.owed, 0);

-- Each provider is owed what its rows cost, and what nobody pays for is the rows that were not settled.
with owed as (
    select cell, provider as detail, sum(provider_cost) as cost from generation group by cell, provider
), payable as (
    select cell, detail, sum(credits) as credits from account where kind = 122 group by cell, detail
)
select 'providers_are_owed_for_rows', format('cell %s provider %s: rows cost %s, payable %s', cell, detail, coalesce(o.cost, 0),
       coalesce(p.credits, 0))
from owed o full join payable p using (cell, detail) where coalesce(o.cost, 0) <> coalesce(p.credits, 0);

with unpaid as (
    select cell, sum(provider_cost) as cost from generation where state <> 1 group by cell
), expense as (
    select cell, sum(debits) as debits from account where kind = 133 group by cell
)
select 'absorbed_is_its_rows', format('cell %s: rows cost %s, absorbed %s', cell, coalesce(u.cost, 0), coalesce(e.debits, 0))
from unpaid u full join expense e using (cell) where coalesce(u.cost, 0) <> coalesce(e.debits, 0);

-- Credits minus usage is the balance: all that came in from outside, less what the generations charge, is what lies in the
-- customer's accounts.
with came_in as (
    select org, sum(case when credit_kind < 100 then amount else 0 end - case when debit_kind < 100 then amount else 0 end) as amount
    from transfer where org <> 0 and code not in ('settle', 'settle_late', 'byok_fee') group by org
), used as (
    select org, sum(charge) as amount from generation group by org
), balance as (
    select org, sum(credits::numeric - debits) as amount from account where kind < 100 group by org
)
select 'credits_minus_usage_is_balance', format('org %s: credits %s, usage %s, balance %s', org, coalesce(c.amount, 0),
       coalesce(u.amount, 0), coalesce(b.amount, 0))
from came_in c full join used u using (org) full join balance b using (org)
where coalesce(c.amount, 0) - coalesce(u.amount, 0) <> coalesce(b.amount, 0);

-- A key's total never falls: no row takes anything away, and nobody has taken the guard off the rows that stand.
select 'total_never_falls', format('hold %s/%s/%s part %s: held %s, charge %s, provider cost %s', cell, incarnation, hold, part, held,
       charge, provider_cost)
from generation where charge < 0 or held < 0 or provider_cost < 0;

select 'posted_rows_are_final', format('trigger %s is %s', name, case when t.tgname is null then 'missing' else 'disabled' end)
from (values ('transfer', 'transfer_is_final'), ('generation', 'generation_is_final'), ('batch', 'batch_is_final')) as v (place, name)
left join pg_trigger t on t.tgrelid = to_regclass(v.place) and t.tgname = v.name
where t.tgenabled is distinct from 'O';

-- Every hold below the floor of its stream has exactly one ending; those in suspense are reported by their own rule.
with floor_of as (
    select cell, incarnation, max(hold_floor) as floor from batch group by cell, incarnation
), ended as (
    select cell, incarnation, hold, count(*) as rows from generation where part = 0 group by cell, incarnation, hold
), counted as (
    select f.cell, f.incarnation, f.floor, count(e.hold) as holds, max(e.rows) as rows
    from floor_of f left join ended e on e.cell = f.cell and e.incarnation = f.incarnation and e.hold < f.floor
    group by f.cell, f.incarnation, f.floor
)
select 'every_hold_ends_once', format('stream %s/%s: %s holds below %s, at most %s rows each', cell, incarnation, holds, floor, rows)
from counted c
where rows > 1
   or holds + (select count(*) from suspense s where s.cell = c.cell and s.incarnation = c.incarnation) < floor - 1;

-- A correction belongs to a hold the ledger had released, and moves no money of the customer.
select 'correction_is_absorbed', format('hold %s/%s/%s part %s', cell, incarnation, hold, part)
from generation where part > 0 and (charge <> 0 or charge_told <> 0 or state <> 3 or part > 1);

-- The charge follows from usage and the frozen price: one rounding, half up. What the provider is owed follows in the same way from the
-- list price that the frozen one was made from, which is the same row where there is no margin. With a
-- customer's own key no provider is owed: what one would be is the list price of the request, and the charge is the fee on what is not
-- free of it, rounded half up again.
with asked as (
    select g.*, g.price as by, true as charges, f.list is null as owes from generation g left join price f on f.id = g.price
    union all
    select g.*, f.list, false, true from generation g join price f on f.id = g.price where f.list is not null
), due as (
    select cell, incarnation, hold, part, state, flags, charge, provider_cost, byok_unit, byok_fee_basis_points, byok_list, byok_units,
           byok_unit <> 0 or byok_list <> 0 or byok_units <> 0 or byok_fee_basis_points <> 0 as own_key, charges, owes, cost
    from asked g cross join lateral (
        select coalesce(floor((g.prompt::numeric * t.prompt + g.cache_read::numeric * t.cache_read + g.cache_write::numeric * t.cache_write
            + g.cache_write_1h::numeric * t.cache_write_1h + g.audio_in::numeric * t.audio_in + g.image_in::numeric * t.image_in
            + g.completion::numeric * t.completion + g.reasoning::numeric * t.reasoning + g.audio_out::numeric * t.audio_out
            + g.image_out::numeric * t.image_out + g.request::numeric * t.request + g.web_search::numeric * t.web_search
            + 500000) / 1000000), 0) as cost
        from (values (0)) one left join (
            select * from price_tier p where p.price = g.by and (p.above_prompt_tokens = 0 or p.above_prompt_tokens
                < g.prompt::bigint + g.cache_read + g.cache_write + g.cache_write_1h + g.audio_in)
            order by p.above_prompt_tokens desc limit 1) t on true
        offset 0) computed -- once for a row, though it is looked at four times: that is what the offset is for
), wrong as (
    select * from (
        select *, not own_key and charges and charge <> case state when 1 then cost else 0 end as charge_wrong,
               not own_key and owes and case state when 1 then provider_cost <> cost when 2 then provider_cost <> 0
                                                   else provider_cost not in (0, cost) end as cost_wrong,
               own_key and owes and (byok_unit not in (1, 2) or (byok_unit <> 0) <> (flags & 16 <> 0) or provider_cost <> 0
                   or byok_list <> case state when 1 then cost else 0 end
                   or byok_units not between 0 and case when state <> 1 then 0 when byok_unit = 1 then 1 else byok_list end
                   or charge <> floor((case when byok_unit = 1 and byok_units > 0 then 0 when byok_unit = 1 then byok_list
                                            else byok_list - byok_units end * byok_fee_basis_points::numeric + 5000) / 10000)) as fee_wrong
        from due) compared
    where charge_wrong or cost_wrong or fee_wrong
)
select 'charge_follows_from_price', format('hold %s/%s/%s part %s: charge %s, computed %s', cell, incarnation, hold, part, charge,
       case state when 1 then cost else 0 end)
from wrong where charge_wrong
union all
select 'cost_follows_from_list_price', format('hold %s/%s/%s part %s: provider cost %s, computed %s', cell, incarnation, hold, part,
       provider_cost, case state when 2 then 0 else cost end)
from wrong where cost_wrong
union all
select 'fee_follows_from_list_price', format('hold %s/%s/%s part %s: list price %s, computed %s, %s units free, charge %s', cell, incarnation,
       hold, part, byok_list, cost, byok_units, charge)
from wrong where fee_wrong;

-- A price with a margin is its list price and that on top, class by class, rounded half up; its tiers begin where the list's do.
with tier as (
    select price, above_prompt_tokens, array[prompt, cache_read, cache_write, cache_write_1h, audio_in, image_in, completion, reasoning,
           audio_out, image_out, request, web_search]::numeric[] as classes
    from price_tier
)
select 'price_follows_from_list_price', format('price %s is not list price %s with %s basis points', p.id, p.list, p.margin_basis_points)
from price p join price l on l.id = p.list
where l.list is not null or (p.model, p.provider) <> (l.model, l.provider) or exists (
    select 1 from (select * from tier where price = p.id) m full join (select * from tier where price = l.id) t using (above_prompt_tokens)
    where m.classes is distinct from (
        select array_agg(floor((u.class * (10000 + p.margin_basis_points) + 5000) / 10000) order by u.place)
        from unnest(t.classes) with ordinality as u (class, place)));

-- What an allowance gave in a month is what the requests of that month took of it, and no others.
with taken as (
    select org, (1::bigint << 60) + 16 * org + 11 + byok_unit as meter,
           (extract(year from date '1970-01-01' + day) * 12 + extract(month from date '1970-01-01' + day) - 1)::integer as period,
           sum(byok_units) as units, count(*) as requests
    from generation where byok_unit <> 0 and state = 1 group by 1, 2, 3
)
select 'allowance_is_what_was_taken', format('meter %s/%s/%s: spent %s in %s requests, generations %s in %s', org, meter, period,
       p.spent, p.requests, t.units, t.requests)
from (select * from meter_period where meter >= 1::bigint << 60 and meter & 15 >= 12) p full join taken t using (org, meter, period)
where coalesce(p.spent, 0) <> coalesce(t.units, 0) or coalesce(p.requests, 0) <> coalesce(t.requests, 0);

-- What the client was told is what stands.
select 'charge_is_what_was_told', format('hold %s/%s/%s part %s: told %s, charged %s', cell, incarnation, hold, part, charge_told, charge)
from generation where charge_told <> charge;

-- The cursor stands at the end of the last batch, and batches follow each other without gap or overlap.
with chained as (
    select cell, incarnation, lo, hi, link, lag(hi, 1, 0::bigint) over (partition by cell, incarnation order by lo) as expected,
           lead(lo) over (partition by cell, incarnation order by lo) is null as last
    from batch
)
select 'batches_are_gapless', format('batch %s/%s/%s does not follow %s', cell, incarnation, lo, expected)
from chained where lo <> expected
union all
select 'cursor_is_last_batch', format('stream %s/%s stands at %s, last batch ends at %s', s.cell, s.incarnation, s.last_seq, c.hi)
from stream s left join chained c on c.cell = s.cell and c.incarnation = s.incarnation and c.last
where s.last_seq <> coalesce(c.hi, 0) or s.link <> c.link;

-- The chain of batches was not broken: each link is the hash of the one before, the records' range and the root of the rows.
with linked as (
    select cell, incarnation, lo, hi, root, link,
           lag(link, 1, decode(repeat('00', 32), 'hex')) over (partition by cell, incarnation order by lo) as previous
    from batch
), little_endian as (
    select l.*, (select string_agg(set_byte('\x00', 0, ((l.lo >> (8 * i)) & 255)::integer), '' order by i) from generate_series(0, 7) i)
        as lo_bytes, (select string_agg(set_byte('\x00', 0, ((l.hi >> (8 * i)) & 255)::integer), '' order by i)
        from generate_series(0, 7) i) as hi_bytes
    from linked l
)
select 'batch_chain', format('batch %s/%s/%s has another link', cell, incarnation, lo)
from little_endian where link <> sha256(previous || lo_bytes || hi_bytes || root);

-- What a key spent in a period is the sum of its generations in it, for each of the four cadences.
with periods as (
    select org, key, charge, byok_list, state, cadence,
           case cadence when 0 then 0 when 1 then day when 2 then floor((day + 3) / 7.0)::integer
                else (extract(year from date '1970-01-01' + day) * 12 + extract(month from date '1970-01-01' + day) - 1)::integer end
           as period
    from generation cross join generate_series(0, 3) as cadence
), summed as (
    select org, 4 * key + cadence as meter, period, sum(charge) as spent, sum(byok_list) as byok_spent,
           count(*) filter (where state = 1) as requests
    from periods group by org, key, cadence, period
)
select 'period_is_sum_of_generations', format('meter %s/%s/%s: spent %s and list price %s in %s requests, generations %s and %s in %s',
       org, meter, period, p.spent, p.byok_spent, p.requests, s.spent, s.byok_spent, s.requests)
from (select * from meter_period where meter < 1::bigint << 60) p full join summed s using (org, meter, period)
where coalesce(p.spent, 0) <> coalesce(s.spent, 0) or coalesce(p.byok_spent, 0) <> coalesce(s.byok_spent, 0)
   or coalesce(p.requests, 0) <> coalesce(s.requests, 0);

-- So is what a member, a workspace or an organization spent, from the period on in which its meter began.
with counted as (
    select m.org, m.id as meter, m.since, g.charge, g.byok_list, g.state,
           case m.cadence when 0 then 0 when 1 then g.day when 2 then floor((g.day + 3) / 7.0)::integer
                else (extract(year from date '1970-01-01' + g.day) * 12 + extract(month from date '1970-01-01' + g.day) - 1)::integer
           end as period
    from meter m join generation g on g.org = m.org
        and m.owner = case m.owner_kind when 2 then g.member when 3 then g.workspace when 4 then g.org end
    where m.owner_kind > 1
), summed as (
    select org, meter, period, sum(charge) as spent, sum(byok_list) as byok_spent, count(*) filter (where state = 1) as requests
    from counted where period >= since group by org, meter, period
), kept as (
    select p.* from meter_period p join meter m on m.org = p.org and m.id = p.meter where m.owner_kind > 1 and p.period >= m.since
)
select 'owner_period_is_sum_of_generations', format('meter %s/%s/%s: spent %s and list price %s in %s requests, generations %s and %s in %s',
       org, meter, period, p.spent, p.byok_spent, p.requests, s.spent, s.byok_spent, s.requests)
from kept p full join summed s using (org, meter, period)
where coalesce(p.spent, 0) <> coalesce(s.spent, 0) or coalesce(p.byok_spent, 0) <> coalesce(s.byok_spent, 0)
   or coalesce(p.requests, 0) <> coalesce(s.requests, 0);

-- The requests of free models that were counted for a day are the rows of that day.
with summed as (
    select org, day, count(*) as requests from generation where flags & 32 <> 0 and part = 0 group by org, day
)
select 'free_requests_are_generations', format('org %s day %s: counted %s, generations %s', org, day, f.requests, s.requests)
from free_requests f full join summed s using (org, day)
where coalesce(f.requests, 0) <> coalesce(s.requests, 0);

-- A paid purchase credited its amount to its organization and took its fee exactly once; any other moved nothing.
with moved as (
    select reference, max(org) as org, count(*) filter (where code = 'purchase') as credits,
           count(*) filter (where code = 'purchase_fee') as fees, coalesce(sum(amount) filter (where code = 'purchase'), 0) as credited,
           coalesce(sum(amount) filter (where code = 'purchase_fee'), 0) as fee
    from transfer where code in ('purchase', 'purchase_fee') group by reference
)
select 'purchase_is_credited_once', format('purchase %s of org %s (%s): credited %s in %s, fee %s in %s', coalesce(p.id, m.reference),
       coalesce(p.org, m.org), coalesce(p.state, 'unknown'), coalesce(m.credited, 0), coalesce(m.credits, 0), coalesce(m.fee, 0),
       coalesce(m.fees, 0))
from purchase p full join moved m on m.reference = p.id
where coalesce(m.credited, 0) <> coalesce(p.credited_cents, 0) * 10000000::numeric
   or coalesce(m.fee, 0) <> case when p.state = 'paid' then p.fee_cents else 0 end * 10000000::numeric
   or coalesce(m.credits, 0) > 1 or coalesce(m.fees, 0) > 1 or m.org <> p.org
   or p.charged_cents <> p.amount_cents + p.fee_cents;

-- Credit that came in is a lot, one per transfer, and of what expired the lot says as much as the transfers.
with brought as (
    select org, id, credit_kind as kind, amount from transfer where code in ('purchase', 'promo') and credit_kind in (1, 2)
)
select 'credit_is_a_lot', format('org %s lot %s: %s of kind %s, transfer: %s of kind %s', org, id, l.amount, l.kind, b.amount, b.kind)
from lot l full join brought b using (org, id)
where l.amount is distinct from b.amount or l.kind is distinct from b.kind;
with ended as (
    select org, reference, debit_kind as kind, sum(amount) as expired from transfer where code = 'expiry' group by org, reference, debit_kind
)
select 'expiry_is_the_lots', format('org %s %s: expired %s, transfers %s', coalesce(l.org, e.org), coalesce('lot ' || l.id, e.reference),
       coalesce(l.expired, 0), coalesce(e.expired, 0))
from lot l full join ended e on e.org = l.org and e.reference = 'lot ' || l.id and e.kind = l.kind
where coalesce(l.expired, 0) <> coalesce(e.expired, 0);

-- There is no more credit of a kind, in the account and in leases, than its lots brought and did not let expire.
with brought as (
    select org, kind, sum(amount - expired) as lots from lot group by org, kind
), leased as (
    select org, sum(least(granted - settled - returned, greatest(0, granted_promo - settled))) as promo,
           sum(granted - settled - returned) as whole
    from lease where meter = 0 and settled + returned < granted
    and org not in (select org from account where kind = 4 and line is not null) group by org
), there as (
    select a.org, a.kind, a.credits - a.debits + case a.kind when 2 then coalesce(l.promo, 0)
           else coalesce(l.whole - l.promo, 0) end as credit
    from account a left join leased l using (org) where a.kind in (1, 2)
)
select 'credit_is_within_its_lots', format('org %s kind %s: credit %s, lots %s', org, kind, credit, coalesce(lots, 0))
from there left join brought using (org, kind) where credit > coalesce(lots, 0);

-- A code was used as often as it was redeemed, by each organization once, and each redemption is one promotional credit.
with redeemed as (
    select code, count(*) as times from redemption group by code
)
select 'code_is_redeemed_within_bound', format('code %s: %s uses of %s, %s redemptions', id, uses, uses_max, coalesce(times, 0))
from promo_code left join redeemed on code = id where uses <> coalesce(times, 0) or uses > uses_max;
with moved as (
    select org, reference, count(*) as times, sum(amount) as amount from transfer
    where code = 'promo' and reference like 'code %' group by org, reference
)
select 'redemption_is_credited_once', format('org %s %s: redeemed %s, credited %s in %s', coalesce(r.org, m.org),
       coalesce('code ' || r.code, m.reference), coalesce(r.amount, 0), coalesce(m.amount, 0), coalesce(m.times, 0))
from redemption r full join moved m on m.org = r.org and m.reference = 'code ' || r.code
where r.amount is distinct from m.amount or m.times <> 1;

-- What went back of a purchase is what its rows say: disputes as Stripe withdrew them, and each refund once, by its state.
with moved as (
    select reference, sum(case when credit_kind = 101 then amount when debit_kind = 101 then -amount else 0 end) as cleared
    from transfer where code in ('dispute', 'reinstatement') and reference <> 'debt' group by reference
)
select 'dispute_is_what_was_withdrawn', format('purchase %s: disputed %s + fee %s cents, cleared %s', coalesce(p.id, m.reference),
       p.disputed_cents, p.dispute_fee_cents, coalesce(m.cleared, 0))
from purchase p full join moved m on m.reference = p.id
where coalesce(m.cleared, 0) <> (coalesce(p.disputed_cents, 0) + coalesce(p.dispute_fee_cents, 0)) * 10000000::numeric;

with moved as (
    select reference, sum(amount) filter (where code = 'refund_hold') as held,
           sum(amount) filter (where code = 'refund') as paid, sum(amount) filter (where code = 'refund_void') as back
    from transfer where code in ('refund_hold', 'refund', 'refund_void') group by reference
), cents as (
    select r.*, amount_cents * 10000000::numeric as amount, credit_cents * 10000000::numeric as credit from purchase_refund r
)
select 'refund_is_booked_once', format('refund %s of %s (%s): held %s, paid %s, back %s', coalesce(r.id, m.reference), r.purchase, r.state,
       coalesce(m.held, 0), coalesce(m.paid, 0), coalesce(m.back, 0))
from cents r full join moved m on m.reference = r.id
where r.id is null
   or coalesce(m.held, 0) <> case when r.origin = 'stripe' then 0 else r.credit end
   or r.state in ('pending', 'unknown') and (coalesce(m.paid, 0) <> 0 or coalesce(m.back, 0) <> 0)
   or r.state = 'succeeded' and (coalesce(m.paid, 0) <> r.amount or coalesce(m.back, 0) <> 0)
   or r.state = 'failed' and (coalesce(m.back, 0) <> r.amount or coalesce(m.paid, 0) not in (0, r.amount));

-- What was refunded of a purchase, and what waits in refund_pending, is the sum of its refunds.
select 'refunded_is_sum_of_refunds', format('purchase %s: refunded %s cents, refunds %s', p.id, p.refunded_cents, coalesce(sum(r.credit_cents), 0))
from purchase p left join purchase_refund r on r.org = p.org and r.purchase = p.id and r.state = 'succeeded'
group by p.org, p.id, p.refunded_cents having p.refunded_cents <> coalesce(sum(r.credit_cents), 0);

select 'refund_pending_is_its_refunds', format('org %s: account %s, refunds %s', org, coalesce(a.balance, 0), coalesce(r.held, 0))
from (select org, sum(credits - debits) as balance from account where kind = 5 group by org) a
full join (select org, sum(credit_cents) * 10000000::numeric as held from purchase_refund where state in ('pending', 'unknown') group by org) r
    using (org)
where coalesce(a.balance, 0) <> coalesce(r.held, 0);

-- One payment pays for one purchase.
select 'payment_is_of_one_purchase', format('payment %s is of %s purchases', payment_intent, count(*))
from purchase where payment_intent is not null group by payment_intent having count(*) > 1;

-- No record waits for an operator.
select 'suspense_is_empty', format('record %s/%s/%s: SQLSTATE %s', cell, incarnation, seq, sqlstate)
from suspense where resolved_at is null;

-- Every day's rows lie in a partition of their own.
select 'default_partition_is_empty', format('%s rows of day %s', count(*), day)
from generation where tableoid = 'generation_rest'::regclass group by day;

-- No cell holds authority of an epoch that has not begun.
select 'lease_epoch_is_known', format('lease %s/%s/%s of cell %s has epoch %s', l.org, l.meter, l.period, l.cell, l.epoch)
from lease l left join cell c on c.id = l.cell where l.epoch > coalesce(c.epoch, 0);

-- Nor anything of an epoch before the one to which the cell moved its leases last: that could not go back, or was lent too late.
select 'lease_is_of_its_epoch', format('lease %s/%s/%s of cell %s, epoch %s before %s, has %s left', l.org, l.meter, l.period, l.cell,
       l.epoch, c.leases_epoch, l.granted - l.settled - l.returned)
from lease l join cell c on c.id = l.cell where l.epoch < c.leases_epoch and l.settled + l.returned < l.granted;

commit;
