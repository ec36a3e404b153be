-- SPDX-License-Identifier: Apache-2.0
-- Books as they could be under migration 0020, for what comes after it. Organizations 11 to 15 have had disputes or none, 21 to 25 have
-- or had a credit line. Nobody has made a request: what is spent here is leased, ended by age or taken back. One cell, one epoch.
begin;

create function pg_temp.dollars(amount numeric) returns bigint language sql as $$ select (amount * 1000000000)::bigint $$;
-- Between accounts of the platform a transfer is organization 0's.
create function pg_temp.move(of_org bigint, debit smallint, credit smallint, amount numeric, code text, reference text, at text)
    returns void language sql as $$
    insert into transfer (org, debit_kind, credit_kind, cell, amount, code, reference, at)
    values (case when least(debit, credit) < 100 then of_org else 0 end, debit, credit, 1, pg_temp.dollars(amount), code, reference, (at || '+00')::timestamptz) $$;
create function pg_temp.bought(of_org bigint, purchase text, amount numeric, fee numeric, at text) returns void language sql as $$
    insert into purchase (org, id, method, amount_cents, fee_cents, charged_cents, credited_cents, state, payment_intent, created_at, paid_at)
    values (of_org, purchase, 'stripe', amount * 100, fee * 100, (amount + fee) * 100, amount * 100, 'paid', 'pi_' || purchase,
            (at || '+00')::timestamptz, (at || '+00')::timestamptz);
    select pg_temp.move(of_org, 101::smallint, 1::smallint, amount, 'purchase', purchase, at);
    select pg_temp.move(of_org, 101::smallint, 111::smallint, fee, 'purchase_fee', purchase, at) $$;

insert into cell (id, epoch, leases_epoch) values (1, 1, 1);
insert into org (org, name, frozen) values
    (11, 'disputes', true), (12, 'has lost and owes', true), (13, 'has won', false), (14, 'was never disputed', false),
    (15, 'an operator froze', true),
    (21, 'line not used yet', false), (22, 'line after credit', false), (23, 'second line', false), (24, 'line was lowered', false),
    (25, 'line is over', false);

-- 11: $20 are disputed, unspent; Stripe takes $21.10 and $15 for the dispute.
select pg_temp.bought(11, 'pur-open', 20, 1.10, '2026-05-01 10:00');
select pg_temp.move(11, 1::smallint, 101::smallint, 20, 'dispute', 'pur-open', '2026-05-03 10:00');
select pg_temp.move(11, 132::smallint, 101::smallint, 16.10, 'dispute', 'pur-open', '2026-05-03 10:00');
update purchase set disputed_cents = 2110, dispute_fee_cents = 1500, clawed_cents = 2000 where id = 'pur-open';

-- 12: of $10 the cell has $4 on lease when they are disputed, so $4 are a debt. The dispute is lost since, which no column says.
select pg_temp.bought(12, 'pur-lost', 10, 0.80, '2026-01-01 10:00');
select pg_temp.move(12, 1::smallint, 3::smallint, 4, 'lease', 'lease 1/1', '2026-01-02 10:00');
select pg_temp.move(12, 1::smallint, 101::smallint, 6, 'dispute', 'pur-lost', '2026-01-03 10:00');
select pg_temp.move(12, 4::smallint, 101::smallint, 4, 'dispute', 'pur-lost', '2026-01-03 10:00');
select pg_temp.move(12, 132::smallint, 101::smallint, 0.80, 'dispute', 'pur-lost', '2026-01-03 10:00');
update purchase set disputed_cents = 1080, clawed_cents = 1000, debt = pg_temp.dollars(4), look_at = '2026-12-24 00:00+00'
where id = 'pur-lost';

-- 13: disputed and won, so nothing is withdrawn any more. 14: Stripe is asked again on a day. 15: nothing was ever bought.
select pg_temp.bought(13, 'pur-won', 10, 0.80, '2026-02-01 10:00');
select pg_temp.move(13, 1::smallint, 101::smallint, 10, 'dispute', 'pur-won', '2026-02-02 10:00');
select pg_temp.move(13, 101::smallint, 1::smallint, 10, 'reinstatement', 'pur-won', '2026-02-09 10:00');
select pg_temp.bought(14, 'pur-quiet', 10, 0.80, '2026-03-01 10:00');
update purchase set look_at = '2026-12-24 00:00+00' where id = 'pur-quiet';

-- 22: $5 bought, $3 of them leased and returned, all of it ended by age; then a line, first used on 10 April and again on the 12th.
select pg_temp.bought(22, 'pur-22', 5, 0.80, '2026-03-01 10:00');
select pg_temp.move(22, 1::smallint, 3::smallint, 3, 'lease', 'lease 1/1', '2026-03-02 10:00');
select pg_temp.move(22, 3::smallint, 1::smallint, 3, 'lease_return', 'lease 1/1', '2026-03-02 11:00');
select pg_temp.move(22, 4::smallint, 3::smallint, 10, 'lease', 'lease 1/1', '2026-04-10 10:00');
select pg_temp.move(22, 3::smallint, 4::smallint, 10, 'lease_return', 'lease 1/1', '2026-04-10 11:00');
select pg_temp.move(22, 4::smallint, 3::smallint, 5, 'lease', 'lease 1/1', '2026-04-12 10:00');
select pg_temp.move(22, 3::smallint, 4::smallint, 5, 'lease_return', 'lease 1/1', '2026-04-12 11:00');

-- 23: a line in January, credit in February, a line again, of which $8 are on lease.
select pg_temp.move(23, 4::smallint, 3::smallint, 7, 'lease', 'lease 1/1', '2026-01-05 10:00');
select pg_temp.move(23, 3::smallint, 4::smallint, 7, 'lease_return', 'lease 1/1', '2026-01-05 11:00');
select pg_temp.bought(23, 'pur-23', 5, 0.80, '2026-02-01 10:00');
select pg_temp.move(23, 4::smallint, 3::smallint, 8, 'lease', 'lease 1/1', '2026-03-10 08:30');

-- 24: $60 of a line of $100 are on lease, and it was lowered to $50. 25: a line that was used and taken away.
select pg_temp.move(24, 4::smallint, 3::smallint, 60, 'lease', 'lease 1/1', '2026-05-01 12:00');
select pg_temp.move(25, 4::smallint, 3::smallint, 9, 'lease', 'lease 1/1', '2026-05-02 12:00');
select pg_temp.move(25, 3::smallint, 4::smallint, 9, 'lease_return', 'lease 1/1', '2026-05-02 13:00');

insert into lease (org, meter, period, cell, epoch, granted, returned)
select org, 0, 0, 1, 1, pg_temp.dollars(granted), pg_temp.dollars(returned)
from (values (12, 4, 0), (22, 18, 18), (23, 15, 7), (24, 60, 0), (25, 9, 9)) as l (org, granted, returned);

-- Credit is a lot, which a trigger made; those of 22 and 23 have ended.
update lot set expired = amount, expires_at = '2026-03-05 00:00+00' where org in (22, 23);
insert into transfer (org, debit_kind, credit_kind, cell, amount, code, reference, at)
select org, 1, 114, 1, amount, 'expiry', 'lot ' || id, expires_at from lot where expired > 0;

-- Accounts are the fold of all that.
insert into account (org, kind, cell, debits, credits)
select case when kind < 100 then org else 0 end, kind, case when kind in (1, 2, 4, 5) then 0 else 1 end, sum(debit), sum(credit)
from (select org, debit_kind as kind, amount as debit, 0 as credit from transfer
      union all select org, credit_kind, 0, amount from transfer) side
group by 1, 2, 3;
insert into account (org, kind) values (21, 4);
update account set line = pg_temp.dollars(20) where kind = 4 and org in (21, 22, 23);
update account set line = pg_temp.dollars(50), over = pg_temp.dollars(10) where kind = 4 and org = 24;
commit;
