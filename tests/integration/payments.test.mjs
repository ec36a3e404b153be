// SPDX-License-Identifier: Apache-2.0
// Payments where two of the ledger's ways meet: credit that comes to an account with a credit line, refunds and top-ups that undo each
// other, debts that are paid from outside; and what a purchase says of its own refund. The books are audited after each.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import './janitor.mjs'; // tests of their own on this file's instance, because a start takes longer than they
import { MODEL, assertError, nanoOf, user } from './api.mjs';
import { eventually, within } from './harness.mjs';
import {
  DOLLAR,
  asOwner,
  bourse,
  buy,
  credits,
  deliver,
  delivered,
  isFrozen,
  makeBuyer,
  makeCardholder,
  makeCredited,
  moves,
  post,
  read,
  refund,
  rule,
  setRule,
  stripe,
  topupDue,
  topups,
} from './stripe_instance.mjs';

const hello = (buyer) => bourse.api.chat(buyer.key, { model: MODEL, messages: user('Hello') });
const setLine = (buyer, dollars) => bourse.bourse('org', 'set', '--org', buyer.org, '--credit-line', dollars);
const setLineFails = (buyer) => bourse.bourseFails('org', 'set', '--org', buyer.org, '--credit-line', '100');
const organization = async (buyer) =>
  (await bourse.api.get('/organization', { key: buyer.management })).exact.data;
/** An account of the customer's, credits less debits. */
const balance = async (buyer, kind) =>
  (await bourse.sqlValue(
    'select coalesce(sum(credits - debits), 0)::bigint from account where org = $1 and kind = $2',
    [buyer.number, kind],
  ));
const CREDIT_PAID = 1;
const CREDIT_PROMO = 2;
const RECEIVABLE = 4;

/** A line that was set behind the ledger's back, as one from before it looked at purchases that are not decided. */
function forceLine(buyer, dollars) {
  asOwner(`insert into account (org, kind) values (${buyer.number}, 4) on conflict do nothing;
           update account set line = ${dollars} * 1000000000::bigint where org = ${buyer.number} and kind = 4`);
}

const pay = (buyer, nano) =>
  bourse.bourse('org', 'pay', '--org', buyer.org, '--amount', `${nano / DOLLAR}.${String(nano % DOLLAR).padStart(9, '0')}`);

/** A customer who spent some of his $5, all of which went back to his card; what he spent is owed. */
async function makeIndebted() {
  const made = await makeCredited(5);
  const { buyer } = made;
  assert.equal((await bourse.api.chat(buyer.key, { model: MODEL, messages: user('sim:tokens=1000') })).status, 200);
  await bourse.quiet();
  const owed = 5n * DOLLAR - (await credits(buyer));
  await delivered(stripe.refundInDashboard(made.session, 500));
  // What the cell has on lease comes back and pays its part.
  await eventually(async () => assert.equal(await balance(buyer, RECEIVABLE), -owed));
  return { ...made, owed };
}

// ---- credit and lines

test('no line is set while a session is open, or a refund is on its way', async () => {
  const buyer = await makeBuyer();
  const { id } = (await buy(buyer, 25)).json.data;
  assert.equal((await read(buyer, id)).status, 'open');
  assert.match(await setLineFails(buyer), /409.*not decided/);
  await delivered(stripe.expire(stripe.sessionOf(id)));
  await setLine(buyer, '100');

  const made = await makeCredited(25);
  stripe.refundStatus = 'pending';
  assert.equal((await refund(made.buyer, made.id)).json.data.status, 'pending'); // all of it: no credit is left
  assert.match(await setLineFails(made.buyer), /409.*not decided/);
  await delivered(stripe.decide([...stripe.refunds.values()].at(-1), 'failed'));
  assert.equal(await credits(made.buyer), 25n * DOLLAR);
});

test('credit that comes to an account with a line pays what was used, never what cells have leased', async () => {
  const buyer = await makeBuyer();
  const { id } = (await buy(buyer, 25)).json.data;
  const session = stripe.sessionOf(id);
  await delivered(stripe.expire(session));
  await setLine(buyer, '100');
  assert.equal((await hello(buyer)).status, 200); // something is leased
  await delivered(stripe.pay(session)); // money that came in spite of it
  await bourse.quiet();
  const used = nanoOf((await bourse.api.get('/credits', { key: buyer.management })).exact.data.total_usage);
  assert.ok(used > 0n);
  await eventually(async () => assert.equal(await balance(buyer, CREDIT_PAID), 25n * DOLLAR - used));
  assert.equal(nanoOf((await organization(buyer)).owed), 0n);
  await bourse.killAndWait('ledger'); // what was leased comes back
  assert.equal(await balance(buyer, RECEIVABLE), 0n);
  assert.equal((await hello(buyer)).status, 200);
});

test('a rule from before the line charges no card, and none is set under a line', async () => {
  const { buyer } = await makeCardholder(5);
  await setRule(buyer, { threshold: 1, target: 50 });
  forceLine(buyer, 100);
  await setRule(buyer, { threshold: 1, target: 50, enabled: false });
  assertError(await setRule(buyer), 409, /invoice/);
  asOwner(`update auto_topup set enabled = true, threshold_cents = 1000 where org = ${buyer.number}`);
  assert.equal(topupDue(buyer), '0');
});

test('purchases that are not decided are looked at before those that only might have changed', async () => {
  const waiting = await makeBuyer();
  stripe.fault('POST /v1/checkout/sessions', { status: 500, count: 1000 });
  const { id } = (await buy(waiting, 25)).json.data;
  const settled = await makeBuyer();
  stripe.faults = [];
  const { id: open } = (await buy(settled, 25)).json.data;
  const first = asOwner(`begin;
    update purchase set look_at = now() - interval '1 day' where id = '${open}';
    update purchase set state = 'unknown', look_at = now() where id = '${id}';
    select id from purchases_due(1);
    rollback`);
  assert.equal(first, id);
});

test('a bank debit that failed is cancelled, and a line may be set; money that comes all the same is credited', async () => {
  const buyer = await makeBuyer();
  const { id } = (await buy(buyer, 25)).json.data;
  const session = stripe.sessionOf(id);
  await delivered(stripe.pay(session, { later: true }));
  assert.equal((await read(buyer, id)).status, 'open');
  await delivered(stripe.fail(session));
  assert.equal((await read(buyer, id)).status, 'cancelled');
  assert.equal(await bourse.sqlValue('select look_at is null from purchase where id = $1', [id]), true);
  await setLine(buyer, '100');
  await bourse.bourse('org', 'unline', '--org', buyer.org);
  await delivered(stripe.arrive(session));
  assert.equal(await credits(buyer), 25n * DOLLAR);
});

// ---- refunds

test('a second refund that Stripe refuses for one purchase ends like the first', async () => {
  const { buyer, id } = await makeCredited(100);
  for (let time = 0; time < 2; time++) {
    stripe.fault('POST /v1/refunds', { status: 400 });
    const answer = await refund(buyer, id, { amount: 40 });
    assert.equal(answer.json.data.status, 'failed', answer.text);
    assert.equal(await credits(buyer), 100n * DOLLAR);
    assert.deepEqual(await moves(answer.json.data.id), ['refund_hold 1>5 4000', 'refund_void 5>1 4000']);
  }
  assert.equal((await refund(buyer, id, { amount: 40 })).json.data.status, 'succeeded');
});

test('what is owed is paid before credit is refunded', async () => {
  const first = await makeCredited(5);
  const { buyer } = first;
  assert.equal((await bourse.api.chat(buyer.key, { model: MODEL, messages: user('sim:tokens=1000') })).status, 200);
  await bourse.quiet();
  const spent = 5n * DOLLAR - (await credits(buyer));
  await delivered(stripe.refundInDashboard(first.session, 500)); // of which `spent` is owed
  const { id } = (await buy(buyer, 25)).json.data;
  // The janitor pays the debt within 0.3 s; what counts is the moment before it.
  await bourse.whileLocked(`select 1 from purchase where id = '${first.id}' for update`, async () => {
    await delivered(stripe.pay(stripe.sessionOf(id)));
    assertError(await refund(buyer, id, { amount: 25 }), 409, /owed is paid first/);
  });
  await eventually(async () => assert.equal(await credits(buyer), 25n * DOLLAR - spent));
  const rest = await refund(buyer, id);
  assert.equal(rest.status, 201, rest.text);
  const left = 25n * DOLLAR - spent;
  assert.equal(nanoOf(rest.exact.data.amount), left - (left % 10_000_000n));
});

test('a refund turns the automatic top-up off: what was given back is not charged again', async () => {
  const { buyer, id } = await makeCardholder(100);
  assert.equal((await setRule(buyer)).status, 200);
  assert.equal((await refund(buyer, id, { amount: 95 })).status, 201); // $5 are left, below the threshold of $10
  assert.equal(topupDue(buyer), '0');
  const { enabled, off_reason } = await rule(buyer);
  assert.deepEqual({ enabled, off_reason }, { enabled: false, off_reason: 'Credit was refunded.' });
  assert.deepEqual(await topups(buyer), []);
  await setRule(buyer); // whoever wants it says so again
  await eventually(async () => assert.equal(await credits(buyer), 50n * DOLLAR));
});

test('a refund in Stripe’s dashboard and a dispute turn the automatic top-up off, too', async () => {
  for (const [event, reason] of [
    [(session) => stripe.refundInDashboard(session, 9500), 'Credit was refunded.'],
    [(session) => stripe.dispute(session), 'A payment was disputed.'],
  ]) {
    const { buyer, session } = await makeCardholder(100);
    await setRule(buyer);
    await delivered(event(session));
    assert.equal((await rule(buyer)).off_reason, reason);
    assert.deepEqual(await topups(buyer), []);
  }
});

// ---- debts, disputes and frozen accounts

test('a debt of a refund that is paid from outside is a debt no more, and the account is free', async () => {
  const { buyer, id, owed } = await makeIndebted();
  assert.equal(await isFrozen(buyer), true);
  await pay(buyer, owed - 1n);
  assert.equal(await isFrozen(buyer), true);
  assert.equal(await bourse.sqlValue('select debt from purchase where id = $1', [id]), 1n);
  await pay(buyer, 1n);
  assert.equal(await isFrozen(buyer), false);
  assert.equal(await bourse.sqlValue('select debt from purchase where id = $1', [id]), 0n);
  assert.equal(await balance(buyer, RECEIVABLE), 0n);
});

test('a dispute that is lost and owes nothing ends the freeze; its money stays away', async () => {
  const { buyer, id, session } = await makeCredited(100);
  const withdrawn = stripe.dispute(session);
  await delivered(withdrawn);
  assert.equal(await isFrozen(buyer), true);
  await delivered(stripe.lose(withdrawn));
  assert.equal(await isFrozen(buyer), false);
  assert.equal(await credits(buyer), 0n);
  assert.equal(nanoOf((await read(buyer, id)).disputed), 105_500_000_000n);
  const { id: next } = (await buy(buyer, 25)).json.data;
  await delivered(stripe.pay(stripe.sessionOf(next)));
  assert.equal((await hello(buyer)).status, 200);
});

test('a dispute that is lost with a debt ends the freeze once the debt is paid, and not before', async () => {
  const { buyer, session } = await makeCredited(5);
  assert.equal((await bourse.api.chat(buyer.key, { model: MODEL, messages: user('sim:tokens=1000') })).status, 200);
  await bourse.quiet();
  const owed = 5n * DOLLAR - (await credits(buyer));
  const withdrawn = stripe.dispute(session);
  await delivered(withdrawn);
  await eventually(async () => assert.equal(await balance(buyer, RECEIVABLE), -owed));
  await delivered(stripe.lose(withdrawn));
  assert.equal(await isFrozen(buyer), true);
  await pay(buyer, owed);
  assert.equal(await isFrozen(buyer), false);
});

test('one dispute that is over does not end the freeze of another that is open', async () => {
  const { buyer, session } = await makeCredited(100);
  const [first, second] = [stripe.dispute(session, { amount: 2000 }), stripe.dispute(session, { amount: 3000 })];
  await delivered(second);
  await delivered(stripe.lose(first));
  assert.equal(await isFrozen(buyer), true);
  await delivered(stripe.lose(second));
  assert.equal(await isFrozen(buyer), false);
  assert.equal(await credits(buyer), 50n * DOLLAR);
});

test('a dispute that is won thaws an account with a line, though it is in use', async () => {
  const { buyer, id, session } = await makeCredited(25);
  assert.equal((await refund(buyer, id)).status, 201);
  await setLine(buyer, '100');
  assert.equal((await hello(buyer)).status, 200); // used and leased
  const withdrawn = stripe.dispute(session, { amount: 138 }); // the fee, which was kept
  await delivered(withdrawn);
  assert.equal(await isFrozen(buyer), true);
  await delivered(stripe.win(withdrawn));
  assert.equal(await isFrozen(buyer), false);
  assert.equal((await hello(buyer)).status, 200);
});

test('promotional credit pays what a line has used and nothing of a dispute, so none of it comes back as paid credit', async () => {
  const { buyer, id, session } = await makeCredited(5);
  const serve = async () =>
    assert.equal((await bourse.api.chat(buyer.key, { model: MODEL, messages: user('sim:tokens=1000') })).status, 200);
  const debt = () => bourse.sqlValue('select debt from purchase where id = $1', [id]);
  await serve();
  await bourse.quiet();
  const cost = 5n * DOLLAR - (await credits(buyer)); // of each request
  await bourse.bourse('credit', 'grant', '--org', buyer.org, '--amount', '1');
  await setLine(buyer, '100');
  const withdrawn = stripe.dispute(session, { fee: 0 });
  await delivered(withdrawn); // takes the rest of the $5; the first request is a debt
  assert.equal(await debt(), cost);
  await bourse.bourse('org', 'thaw', '--org', buyer.org);
  await serve();
  // A round has paid the second request, and the first was due before it.
  await eventually(async () => assert.ok((await balance(buyer, CREDIT_PROMO)) < DOLLAR));
  await eventually(async () => assert.equal(nanoOf((await organization(buyer)).owed), cost));
  assert.equal(await balance(buyer, CREDIT_PROMO), DOLLAR - cost);
  assert.equal(await debt(), cost);
  assert.equal(asOwner(`select count(*) from orgs_in_debt(${buyer.number} - 1, 1) where org = ${buyer.number}`), '0');
  await delivered(stripe.win(withdrawn));
  assert.equal(await balance(buyer, CREDIT_PAID), 5n * DOLLAR - cost);
  assert.equal(await balance(buyer, CREDIT_PROMO), DOLLAR - cost);
  assert.equal(await debt(), 0n);
  assert.equal(nanoOf((await organization(buyer)).owed), 0n);
});

test('twenty whose debts cannot be paid keep nobody waiting', async () => {
  const made = [];
  while (made.length < 21) {
    const buyer = await makeBuyer();
    await bourse.bourse('credit', 'grant', '--org', buyer.org, '--amount', '1');
    await setLine(buyer, '1');
    made.push(buyer);
  }
  made.sort((a, b) => Number(BigInt(a.number) - BigInt(b.number)));
  const stuck = made.slice(0, 20);
  asOwner(`create function refuse_debt() returns trigger language plpgsql as $$ begin raise exception 'not now'; end $$;
           create trigger refuse_debt before insert on transfer for each row
           when (new.reference = 'debt' and new.org in (${stuck.map(({ number }) => number)})) execute function refuse_debt()`);
  const owed = async (buyer) => nanoOf((await organization(buyer)).owed);
  const paid = (buyer) => eventually(async () => assert.ok((await balance(buyer, CREDIT_PROMO)) < DOLLAR));
  try {
    for (const buyer of made) assert.equal((await hello(buyer)).status, 200);
    await paid(made[20]);
    for (const buyer of stuck) assert.ok((await owed(buyer)) > 0n);
  } finally {
    asOwner('drop trigger refuse_debt on transfer; drop function refuse_debt()');
  }
  for (const buyer of made) {
    await paid(buyer);
    assert.equal(await owed(buyer), 0n);
  }
});

test('what an operator freezes only he thaws; what he thaws is served whatever is disputed', async () => {
  const { buyer, session } = await makeCredited(100);
  const org = ['--org', buyer.org];
  assert.equal((await bourse.bourse('org', 'freeze', ...org)).frozen, true);
  assertError(await hello(buyer), 402);
  const withdrawn = stripe.dispute(session, { amount: 2000 });
  await delivered(withdrawn);
  await delivered(stripe.win(withdrawn));
  assert.equal(await isFrozen(buyer), true);
  assert.equal((await bourse.bourse('org', 'thaw', ...org)).frozen, false);
  assert.equal((await hello(buyer)).status, 200);
  await delivered(stripe.dispute(session, { amount: 3000 }));
  assert.equal(await isFrozen(buyer), true);
  assert.equal((await bourse.bourse('org', 'thaw', ...org)).frozen, false);
  assert.equal((await hello(buyer)).status, 200);
  assert.match(await bourse.bourseFails('org', 'thaw', '--org', 'org-1'), /404/);
  const route = '/operator/orgs/thaw';
  assert.ok([401, 403, 404].includes((await bourse.api.post(route, {}, { key: buyer.management, root: true })).status));
});

test('a dispute that moves another currency counts by the disputed dollars; its fee is not of these books', async () => {
  const { buyer, id, session } = await makeCredited(100);
  // $105.50 are ¥15,800 and a fee of ¥2,300 in an account that is settled in yen: as cents they would be $158 and $23.
  const withdrawn = stripe.dispute(session, { settled: { currency: 'jpy', amount: 15_800, fee: 2300 } });
  await delivered(withdrawn);
  assert.equal(nanoOf((await read(buyer, id)).disputed), 105_500_000_000n);
  assert.equal(await credits(buyer), 0n);
  assert.deepEqual((await moves(id)).slice(2), ['dispute 1>101 10000', 'dispute 132>101 550']);
  await delivered(stripe.win(withdrawn));
  assert.equal(await credits(buyer), 100n * DOLLAR);
  assert.deepEqual((await moves(id)).slice(4), ['reinstatement 101>1 10000', 'reinstatement 101>132 550']);
});

test('a dispute or a refund that is itself in another currency than the payment is not believed', async () => {
  for (const happens of [
    (session) => stripe.dispute(session, { currency: 'eur', settled: { currency: 'eur', amount: 9000, fee: 0 } }),
    (session) => {
      const event = stripe.refundInDashboard(session, 3000);
      stripe.refunds.get(event.data.object.id).currency = 'eur';
      return event;
    },
  ]) {
    const { buyer, session } = await makeCredited(100);
    assertError(await deliver(happens(session)), 409);
    assert.equal(await credits(buyer), 100n * DOLLAR);
  }
});

// ---- every day

test('a day is compared to its end, though Stripe says nothing about one of its payments', async () => {
  const yesterday = Math.floor(Date.now() / 1000) - 86_400;
  const [dumb, known] = [await makeCredited(100), await makeCredited(100)];
  asOwner(`update purchase set look_at = now() + interval '1 day' where id in ('${dumb.id}', '${known.id}')`);
  const back = [dumb, known].map(({ session }) => stripe.refundInDashboard(session, 3000).data.object);
  // The newest is told first, so the other one comes after it.
  stripe.move('refund', back[1], yesterday);
  stripe.move('refund', back[0], yesterday);
  stripe.fault(`GET /v1/checkout/sessions/${dumb.session.id}`, { status: 500, count: 1000 });
  asOwner('delete from stripe_reconciliation');
  await eventually(async () => assert.equal(await bourse.sqlValue('select count(*) from stripe_reconciliation'), 1n));
  assert.equal(await credits(known.buyer), 70n * DOLLAR);
  assert.equal(await credits(dumb.buyer), 100n * DOLLAR);
  stripe.faults = [];
  await eventually(async () => assert.equal(await credits(dumb.buyer), 70n * DOLLAR)); // its row was due again
});

// ---- nobody holds up the others

test('a repeat asks Stripe only while something is not decided', async () => {
  const buyer = await makeBuyer();
  const { id } = (await buy(buyer, 100, 'asked-once')).json.data;
  await delivered(stripe.pay(stripe.sessionOf(id)));
  assert.equal((await refund(buyer, id, { amount: 10 }, 'refunded-once')).json.data.status, 'succeeded');
  asOwner(`update purchase set look_at = now() + interval '1 hour' where id = '${id}'`);
  stripe.fault('GET /v1/', { hang: true, count: 1000 });
  const [bought, back] = await within(2000, 'both repeats', Promise.all([
    buy(buyer, 100, 'asked-once'),
    refund(buyer, id, { amount: 10 }, 'refunded-once'),
  ]));
  assert.equal(bought.json.data.status, 'paid');
  assert.equal(back.json.data.status, 'succeeded');
});

test('a refund of what is not there, or was not paid, waits for nothing', async () => {
  const { buyer, id } = await makeCredited(100);
  await bourse.whileLocked('select 1 from stream for update', async () => { // nothing is posted
    assert.equal((await hello(buyer)).status, 200);
    const began = performance.now();
    for (let time = 0; time < 5; time++) assertError(await refund(buyer, 'pur-unknown'), 404);
    assert.ok(performance.now() - began < 4000, 'each waited for posting'); // which is a second
  });
  assert.equal((await read(buyer, id)).status, 'paid');
});

test('a row that somebody holds costs its own organization 503 after 5 s, and nobody a worker for long', async () => {
  const [buyer, other] = [await makeBuyer(), await makeBuyer()];
  await bourse.whileLocked(`select 1 from org where org = ${buyer.number} for update`, async () => {
    const renamed = Array.from({ length: 6 }, () => // more than there are workers
      bourse.bourseFails('org', 'set', '--org', buyer.org, '--name', 'Held'));
    for (const said of await within(30_000, 'all of them', Promise.all(renamed))) assert.match(said, /503/);
    assert.equal(await credits(other), 0n);
  });
  assert.equal((await bourse.bourse('org', 'set', '--org', buyer.org, '--name', 'Free')).name, 'Free');
});

// ---- what a purchase says of its refund

/** What a purchase says of its own refund: dollars, and the sentence of a refusal. */
async function refundable(buyer, id) {
  const { refundable: amount, refund_refusal: refusal } = await read(buyer, id);
  return [nanoOf(amount), refusal];
}

test('a purchase says how much of it can be refunded until when, and a refund of just that is made', async () => {
  const { buyer, id } = await makeCredited(5);
  assert.deepEqual(await refundable(buyer, id), [5n * DOLLAR, null]);
  const { paid_at: paid, refundable_until: until } = await read(buyer, id);
  assert.ok(Math.abs(new Date(until) - new Date(paid) - 24 * 3_600_000) < 1000, `${paid} ${until}`);
  // A few thousand nano-dollars are spent and more is on lease: one whole cent of $5.00 is lost.
  assert.equal((await bourse.api.chat(buyer.key, { model: MODEL, messages: user('sim:tokens=100') })).status, 200);
  assert.deepEqual(await refundable(buyer, id), [4_990_000_000n, null]);
  const { data: [listed] } = (await bourse.api.get('/purchases', { key: buyer.management })).exact;
  assert.equal(nanoOf(listed.refundable), 4_990_000_000n);
  assert.equal((await refund(buyer, id, { amount: 4.99 })).status, 201);
  assert.deepEqual(await refundable(buyer, id), [0n, 'Nothing of this purchase is left: it was used or given back.']);
});

test('of two purchases no more can be refunded than the credit that is left of both', async () => {
  const { buyer, id } = await makeCredited(5);
  const { id: second } = (await buy(buyer, 20)).json.data;
  await delivered(stripe.pay(stripe.sessionOf(second)));
  assert.equal((await refund(buyer, second, { amount: 3 })).status, 201);
  assert.deepEqual(await refundable(buyer, id), [5n * DOLLAR, null]);
  assert.deepEqual(await refundable(buyer, second), [17n * DOLLAR, null]);
  await bourse.bourse('credit', 'grant', '--org', buyer.org, '--amount', '50'); // given credit is not given back
  assert.deepEqual(await refundable(buyer, second), [17n * DOLLAR, null]);
});

test('a purchase that cannot be refunded says the sentence that its refund is refused with', async () => {
  const [late, disputed, running] = await Promise.all([makeCredited(25), makeCredited(25), makeCredited(25)]);
  const [early, manual] = [await makeBuyer(), await makeBuyer()];
  const { id: unpaid } = (await buy(early, 25)).json.data;
  const { id: by_hand } = (await post(manual, '/purchases', { amount: 25 })).json.data;
  asOwner(`update purchase set paid_at = now() - interval '24 hours 1 second' where id in ('${late.id}', '${by_hand}')`);
  await delivered(stripe.dispute(disputed.session));
  stripe.refundStatus = 'pending';
  assert.equal((await refund(running.buyer, running.id, { amount: 10 })).json.data.status, 'pending');
  for (const [buyer, id, pattern] of [
    [early, unpaid, /was paid/],
    [late.buyer, late.id, /time in which/],
    [disputed.buyer, disputed.id, /disputed/],
    [running.buyer, running.id, /under way/],
    [manual, by_hand, /time in which/],
  ]) {
    const [amount, refusal] = await refundable(buyer, id);
    assert.equal(amount, 0n);
    assert.match(refusal, pattern);
    assert.equal(assertError(await refund(buyer, id), 409).message, refusal);
  }
  // The operator may give back both of these, and is told so.
  for (const [{ org }, id] of [[late.buyer, late.id], [manual, by_hand]]) {
    const { data: [shown] } = await bourse.bourse('purchase', 'list', '--org', org);
    assert.deepEqual([shown.id, shown.refundable, shown.refund_refusal], [id, 25, null]);
  }
});

test('where manual purchases are paid at once they are given back at once, too', async () => {
  const buyer = await makeBuyer();
  const { id } = (await post(buyer, '/purchases', { amount: 25 })).json.data;
  const { id: back, status, by } = (await refund(buyer, id, { amount: 10 })).json.data;
  assert.deepEqual([status, by], ['succeeded', 'customer']);
  assert.deepEqual(await moves(back), ['refund_hold 1>5 1000', 'refund 5>101 1000']);
  assert.equal(nanoOf((await read(buyer, id)).refunded), 10n * DOLLAR);
  assert.equal(await credits(buyer), 15n * DOLLAR);
  assert.deepEqual((await bourse.bourse('refund', 'list')).data, []);
});

// ---- words and switches

test('a month says what a debt that credit paid is, and a refund that a bank sent back', async () => {
  const { buyer, owed } = await makeIndebted();
  const { id } = (await buy(buyer, 25)).json.data;
  await delivered(stripe.pay(stripe.sessionOf(id)));
  await eventually(async () => assert.equal(await credits(buyer), 25n * DOLLAR - owed));
  await eventually(async () => assert.equal(await balance(buyer, RECEIVABLE), 0n));
  assert.equal((await refund(buyer, id, { amount: 10 })).status, 201);
  await delivered(stripe.decide([...stripe.refunds.values()].at(-1), 'failed'));
  const month = new Date().toISOString().slice(0, 7);
  const page = (await bourse.api.get(`/invoices/${month}`, { key: buyer.management })).text;
  const told = Array.from(page.matchAll(/<td>(Refund|Refund sent back|Debt paid from credit|Disputed payment)<\/td>/g), ([, what]) => what);
  // What was leased came back and paid its part, then the purchase the rest.
  assert.deepEqual([...new Set(told)], ['Refund', 'Debt paid from credit', 'Refund sent back']);
});

test('where Stripe is switched off, a refund of its payment is refused, and the credit stays', async () => {
  const { buyer, id } = await makeCredited(100);
  const file = /^stripe_key_file = (.*)$/m.exec(readFileSync(path.join(bourse.var, 'bourse.conf'), 'utf8'))[1];
  bourse.setOption('stripe_key_file', '');
  await bourse.killAndWait('ledger');
  try {
    assertError(await refund(buyer, id, { amount: 10 }), 503, /switched off/);
    assert.equal(await credits(buyer), 100n * DOLLAR);
  } finally {
    bourse.setOption('stripe_key_file', file);
    await bourse.killAndWait('ledger');
  }
  assert.equal((await refund(buyer, id, { amount: 10 })).json.data.status, 'succeeded');
});
