// SPDX-License-Identifier: Apache-2.0
// Purchases by the manual method that their customers give back: the credit is gone at once, and an operator says what became of the
// money. On an instance that sells by Stripe, too, which must hear nothing of it. The books are audited after each.
import assert from 'node:assert/strict';
import test from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';

import { MODEL, assertError, nanoOf, user } from './api.mjs';
import { eventually } from './harness.mjs';
import {
  DOLLAR,
  asOwner,
  bourse,
  credits,
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
} from './stripe_instance.mjs';

bourse.prepare(async () => {
  bourse.setOption('payments_manual', 'confirmed');
  await bourse.killAndWait('ledger');
});

const hello = (buyer) => bourse.api.chat(buyer.key, { model: MODEL, messages: user('Hello') });
const confirm = (buyer, id, ...more) => bourse.bourse('refund', 'confirm', '--org', buyer.org, '--id', id, ...more);
const voided = (buyer, id, reason) => bourse.bourse('refund', 'void', '--org', buyer.org, '--id', id, '--reason', reason);
const wordFails = (verb, buyer, id, ...more) => bourse.bourseFails('refund', verb, '--org', buyer.org, '--id', id, ...more);
const waiting = async () => (await bourse.bourse('refund', 'list')).data;
const waitsFor = async (id) => (await waiting()).some((one) => one.id === id);

/** Bought by hand, and the operator has the money. */
async function makePaid(amount = 25, buyer) {
  const who = buyer ?? (await makeBuyer());
  const { id } = (await post(who, '/purchases', { amount })).json.data;
  await bourse.bourse('purchase', 'confirm', '--org', who.org, '--id', id, '--reference', 'statement 7');
  return { buyer: who, id };
}

/** All of it given back by the customer. */
async function makeWaiting(amount = 25, buyer) {
  const made = await makePaid(amount, buyer);
  const answer = await refund(made.buyer, made.id);
  assert.equal(answer.status, 201, answer.text);
  assert.equal(answer.json.data.status, 'pending');
  return { ...made, back: answer.json.data.id };
}

test('a manual purchase tells the same of its refund as one by Stripe', async () => {
  const { buyer, id } = await makePaid();
  const shown = await read(buyer, id);
  assert.equal(nanoOf(shown.refundable), 25n * DOLLAR);
  assert.equal(shown.refund_refusal, null);
  assert.equal(shown.last_refund, null);
  const { paid_at: paid, refundable_until: until } = shown;
  assert.ok(Math.abs(new Date(until) - new Date(paid) - 24 * 3_600_000) < 1000, `${paid} ${until}`);
});

test('a customer’s refund takes the credit at once and waits until the operator has paid it', async () => {
  const { buyer, id, back } = await makeWaiting();
  assert.equal(await credits(buyer), 0n);
  assertError(await hello(buyer), 402);
  assert.deepEqual(await moves(back), ['refund_hold 1>5 2500']);
  let shown = await read(buyer, id);
  assert.equal(nanoOf(shown.refunded), 0n);
  assert.equal(nanoOf(shown.refundable), 0n);
  assert.match(shown.refund_refusal, /under way/);
  assert.equal(shown.last_refund.id, back);
  assert.equal(shown.last_refund.status, 'pending');
  assert.equal(shown.last_refund.done_at, null);
  const { created_at: created, ...one } = (await waiting()).find((each) => each.id === back);
  assert.ok(Date.parse(created) > 0);
  assert.deepEqual(one, {
    org: buyer.org,
    id: back,
    purchase: id,
    status: 'pending',
    amount: 25,
    by: 'customer',
    done_at: null,
    reference: null,
    reason: null,
    purchase_reference: 'statement 7',
    owed: 0,
  });

  const said = await confirm(buyer, back, '--reference', 'transfer 12');
  assert.deepEqual([said.status, said.amount, said.reference], ['succeeded', 25, 'transfer 12']);
  assert.deepEqual(await moves(back), ['refund_hold 1>5 2500', 'refund 5>101 2500']);
  // The fee of $25.00 is kept: 5.5 %, half up, are 138 cents.
  assert.deepEqual(await moves(id), ['purchase 101>1 2500', 'purchase_fee 101>111 138']);
  shown = await read(buyer, id);
  assert.equal(nanoOf(shown.refunded), 25n * DOLLAR);
  assert.equal(shown.last_refund.status, 'succeeded');
  assert.ok(Date.parse(shown.last_refund.done_at) > 0);
  assert.equal(await waitsFor(back), false);
  assert.equal(await credits(buyer), 0n);
});

test('a refund that the operator does not pay is credit again, the customer reads why, and may ask again', async () => {
  const { buyer, id, back } = await makeWaiting();
  const said = await voided(buyer, back, 'The account number does not exist.');
  assert.deepEqual([said.status, said.reason], ['failed', 'The account number does not exist.']);
  assert.deepEqual(await moves(back), ['refund_hold 1>5 2500', 'refund_void 5>1 2500']);
  assert.equal(await credits(buyer), 25n * DOLLAR);
  assert.equal(await waitsFor(back), false);
  const shown = await read(buyer, id);
  assert.equal(nanoOf(shown.refunded), 0n);
  assert.equal(nanoOf(shown.refundable), 25n * DOLLAR);
  assert.deepEqual([shown.last_refund.status, shown.last_refund.reason], ['failed', 'The account number does not exist.']);
  assert.equal((await hello(buyer)).status, 200);
  const again = (await refund(buyer, id, { amount: 10 })).json.data;
  assert.equal(again.status, 'pending');
  await confirm(buyer, again.id);
  assert.equal(nanoOf((await read(buyer, id)).refunded), 10n * DOLLAR);
});

test('a part goes back, then another, and never more than the purchase was', async () => {
  const { buyer, id } = await makePaid();
  for (const [amount, left] of [[10, 15n], [15, 0n]]) {
    const { id: back } = (await refund(buyer, id, { amount })).json.data;
    await confirm(buyer, back);
    assert.equal(await credits(buyer), left * DOLLAR);
  }
  await bourse.bourse('credit', 'grant', '--org', buyer.org, '--amount', '50');
  await makePaid(20, buyer);
  assertError(await refund(buyer, id, { amount: 0.01 }), 409, /not unused/);
  assert.match((await read(buyer, id)).refund_refusal, /Nothing of this purchase is left/);
});

// ---- what must not be

test('what cannot be given back is refused, and nothing waits or moves', async () => {
  const [paid, late, spent] = [await makePaid(), await makePaid(), await makePaid(5)];
  const early = await makeBuyer();
  const { id: unpaid } = (await post(early, '/purchases', { amount: 25 })).json.data;
  asOwner(`update purchase set paid_at = now() - interval '24 hours 1 second' where id = '${late.id}'`);
  assert.equal((await bourse.api.chat(spent.buyer.key, { model: MODEL, messages: user('sim:tokens=100') })).status, 200);
  await bourse.quiet();
  const before = await waiting();
  for (const [buyer, id, body, status, pattern] of [
    [paid.buyer, paid.id, { amount: 25.01 }, 409, /not unused/],
    [paid.buyer, paid.id, { amount: 0 }, 400, /positive/],
    [paid.buyer, paid.id, { amount: 1.001 }, 400, /two decimals/],
    [late.buyer, late.id, {}, 409, /time in which/],
    [early, unpaid, {}, 409, /was paid/],
    [spent.buyer, spent.id, { amount: 5 }, 409, /not unused/],
    [early, paid.id, {}, 404, /No purchase/], // somebody else's
    [{ management: paid.buyer.key }, paid.id, {}, 403, /management key/],
  ])
    assertError(await refund(buyer, id, body), status, pattern);
  assertError(
    await bourse.api.post(`/purchases/${paid.id}/refund`, {}, { key: paid.buyer.management }), 400, /Idempotency-Key/);
  assert.equal(await credits(paid.buyer), 25n * DOLLAR);
  assert.equal(await credits(late.buyer), 25n * DOLLAR);
  assert.deepEqual(await waiting(), before);
  // Of what was spent a little of one cent is gone, and whole cents are given back.
  assert.equal(nanoOf((await refund(spent.buyer, spent.id)).exact.data.amount), 4_990_000_000n);
  // An operator may give back later, and pays at once.
  const words = ['--org', late.buyer.org, '--id', late.id];
  const { id: back, status, by } = await bourse.bourse('purchase', 'refund', ...words);
  assert.deepEqual([status, by], ['succeeded', 'operator']);
  assert.deepEqual(await moves(back), ['refund_hold 1>5 2500', 'refund 5>101 2500']);
});

test('while one refund waits there is no second, neither the customer’s nor the operator’s', async () => {
  const { buyer, id } = await makePaid();
  const { id: back } = (await refund(buyer, id, { amount: 10 })).json.data;
  assertError(await refund(buyer, id, { amount: 5 }), 409, /under way/);
  assert.match(await bourse.bourseFails('purchase', 'refund', '--org', buyer.org, '--id', id), /409.*under way/);
  assert.equal(await credits(buyer), 15n * DOLLAR);
  assert.deepEqual(await moves(back), ['refund_hold 1>5 1000']);
});

test('of ten refunds at once one is made; of ten with one Idempotency-Key all tell of the same', async () => {
  const ten = (make) => Promise.all(Array.from({ length: 10 }, (_, i) => make(i)));
  const { buyer, id } = await makePaid();
  const answers = await ten(() => refund(buyer, id));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, ...Array(9).fill(409)]);
  assert.equal(await credits(buyer), 0n);

  const other = await makePaid();
  const same = await ten(() => refund(other.buyer, other.id, { amount: 10 }, 'all-the-same'));
  for (const answer of same) assert.equal(answer.status, 201, answer.text);
  assert.equal(new Set(same.map(({ json }) => json.data.id)).size, 1);
  assert.equal(await credits(other.buyer), 15n * DOLLAR);
  // A repeat tells what became of it.
  const { id: back } = same[0].json.data;
  await voided(other.buyer, back, 'no');
  assert.equal((await refund(other.buyer, other.id, { amount: 10 }, 'all-the-same')).json.data.status, 'failed');
  assertError(await refund(other.buyer, other.id, { amount: 11 }, 'all-the-same'), 409);
  assert.equal(await credits(other.buyer), 25n * DOLLAR);
});

test('a second equal word changes nothing, another word is refused', async () => {
  const [paid, unpaid] = [await makeWaiting(), await makeWaiting()];
  await confirm(paid.buyer, paid.back, '--reference', 'first');
  const again = await confirm(paid.buyer, paid.back, '--reference', 'second');
  assert.deepEqual([again.status, again.reference], ['succeeded', 'first']);
  assert.match(await wordFails('void', paid.buyer, paid.back, '--reason', 'no'), /409.*decided otherwise/);
  assert.deepEqual(await moves(paid.back), ['refund_hold 1>5 2500', 'refund 5>101 2500']);

  await voided(unpaid.buyer, unpaid.back, 'first');
  assert.equal((await voided(unpaid.buyer, unpaid.back, 'second')).reason, 'first');
  assert.match(await wordFails('confirm', unpaid.buyer, unpaid.back), /409.*decided otherwise/);
  assert.deepEqual(await moves(unpaid.back), ['refund_hold 1>5 2500', 'refund_void 5>1 2500']);
  assert.equal(await credits(unpaid.buyer), 25n * DOLLAR);
});

test('words that contradict each other at once: one is taken, and the money moves once', async () => {
  const { buyer, back } = await makeWaiting();
  const stuck = () => bourse.sqlValue('select count(*) from pg_locks where not granted');
  let words;
  // Held where the money would move: whoever has not waited for the first word's end has read that none was said.
  await bourse.whileLocked(`select 1 from account where org = ${buyer.number} and kind = 5 for update`, async () => {
    words = Promise.allSettled(
      Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? confirm(buyer, back) : voided(buyer, back, 'no'))),
    );
    await eventually(async () => assert.ok((await stuck()) >= 3n));
  });
  const said = await words;
  const taken = said.map(({ status }) => status === 'fulfilled');
  const paid = taken[0];
  assert.deepEqual(taken, taken.map((_, i) => (i % 2 === 0) === paid));
  assert.deepEqual(await moves(back), ['refund_hold 1>5 2500', paid ? 'refund 5>101 2500' : 'refund_void 5>1 2500']);
  assert.equal(await credits(buyer), paid ? 0n : 25n * DOLLAR);
});

test('a word about a refund that is not there, of another organization, by Stripe, or without a reason is none', async () => {
  const [{ buyer, back }, other] = [await makeWaiting(), await makeBuyer()];
  for (const [whose, id] of [[buyer, 'ref-unknown'], [other, back], [buyer, '']]) {
    assert.match(await wordFails('confirm', whose, id), /404/);
    assert.match(await wordFails('void', whose, id, '--reason', 'no'), /404/);
  }
  await wordFails('void', buyer, back);
  assert.match(await wordFails('void', buyer, back, '--reason', ''), /400.*reason/);
  assert.match(await wordFails('void', buyer, back, '--reason', 'x'.repeat(201)), /400.*reason/);
  assert.match(await wordFails('confirm', buyer, back, '--reference', 'x'.repeat(201)), /400.*reference/);
  for (const word of ['confirm', 'void']) {
    const asked = [`/operator/refunds/${back}/${word}`, { reason: 'mine' }, { key: buyer.management, root: true }];
    assertError(await bourse.api.post(...asked), 404); // no such place for those who come over the network
  }
  assert.deepEqual(await moves(back), ['refund_hold 1>5 2500']);

  const byStripe = await makeCredited(25);
  stripe.refundStatus = 'pending';
  const { id: running, status } = (await refund(byStripe.buyer, byStripe.id)).json.data;
  assert.equal(status, 'pending');
  assert.equal(await waitsFor(running), false);
  assert.match(await wordFails('confirm', byStripe.buyer, running), /409.*Stripe/);
  assert.match(await wordFails('void', byStripe.buyer, running, '--reason', 'no'), /409.*Stripe/);
  assert.deepEqual(await moves(running), ['refund_hold 1>5 2500']);
});

// ---- beside the rest

test('Stripe hears nothing of what waits for an operator, who finds it after a crash, too', async () => {
  const asked = () => stripe.made('POST /v1/refunds').length;
  const before = asked();
  const { buyer, id, back } = await makeWaiting();
  const counted = async () => (await bourse.metrics('ledger')).refunds_waiting;
  const waits = async () => assert.equal(await counted(), (await waiting()).length);
  await eventually(waits); // a round has counted it
  await bourse.killAndWait('ledger');
  await eventually(waits);
  assert.ok((await counted()) >= 1);
  await refund(buyer, id, {}); // refused, and a reason to look
  assert.equal(asked(), before);
  assert.equal((await read(buyer, id)).last_refund.status, 'pending');
  assert.equal(await bourse.sqlValue('select look_at is null from purchase where id = $1', [id]), true);
  await confirm(buyer, back);
  await eventually(waits);
  assert.deepEqual(await moves(back), ['refund_hold 1>5 2500', 'refund 5>101 2500']);
});

test('no credit line is set while a refund waits, and the automatic top-up is off', async () => {
  const buyer = (await makeCardholder(5)).buyer;
  const { id } = await makePaid(25, buyer);
  assert.equal((await setRule(buyer)).status, 200);
  const { id: back } = (await refund(buyer, id)).json.data;
  const { enabled, off_reason } = await rule(buyer);
  assert.deepEqual({ enabled, off_reason }, { enabled: false, off_reason: 'Credit was refunded.' });

  const other = await makeWaiting();
  const setLine = ['org', 'set', '--org', other.buyer.org, '--credit-line', '100'];
  assert.match(await bourse.bourseFails(...setLine), /409.*not decided/);
  await confirm(other.buyer, other.back);
  await bourse.bourse(...setLine);
  await confirm(buyer, back);
});

test('what is owed is paid before a manual purchase is given back, and from what comes back', async () => {
  const { buyer, session } = await makeCredited(5);
  const { id } = await makePaid(25, buyer);
  assert.equal((await bourse.api.chat(buyer.key, { model: MODEL, messages: user('sim:tokens=1000') })).status, 200);
  await bourse.quiet();
  const spent = 30n * DOLLAR - (await credits(buyer));
  assert.ok(spent > 0n && spent < 5n * DOLLAR);
  const { id: back } = (await refund(buyer, id)).json.data; // all $25
  assert.equal(await credits(buyer), 5n * DOLLAR - spent);
  await delivered(stripe.refundInDashboard(session, 500)); // of which `spent` is owed
  assert.equal(await credits(buyer), -spent);
  assert.equal(await isFrozen(buyer), true);
  const [{ owed }] = (await waiting()).filter(({ id: waits }) => waits === back);
  assert.equal(Math.round(owed * 1e9), Number(spent));
  await voided(buyer, back, 'A debt came first.');
  await eventually(async () => assert.equal(await isFrozen(buyer), false));
  assert.equal(await credits(buyer), 25n * DOLLAR - spent);
  assertError(await refund(buyer, id, { amount: 25 }), 409);
  const left = 25n * DOLLAR - spent;
  assert.equal(nanoOf((await refund(buyer, id)).exact.data.amount), left - (left % 10_000_000n));
});

test('credit whose time comes while its refund waits ends when it is not paid', async () => {
  const { buyer, id, back } = await makeWaiting();
  const other = await makePaid(10, buyer);
  const end = "update lot set expires_at = now() + interval '1 second' where org = $1 and reference = $2";
  await asOwner(end.replace('$1', buyer.org.replace('org-', '')).replace('$2', `'${id}'`));
  await pause(1500);
  assert.equal(await credits(buyer), 10n * DOLLAR);
  await voided(buyer, back, 'no');
  await eventually(async () => assert.equal(await credits(buyer), 10n * DOLLAR), { deadline_ms: 20_000 });
  assert.equal(nanoOf((await read(buyer, other.id)).refundable), 10n * DOLLAR);
});

test('a month tells of a refund once it is paid, and nothing of one that was not', async () => {
  const [paid, unpaid] = [await makeWaiting(), await makeWaiting()];
  await voided(unpaid.buyer, unpaid.back, 'no');
  const told = async (buyer) => {
    const page = (await bourse.api.get(`/invoices/${new Date().toISOString().slice(0, 7)}`, { key: buyer.management })).text;
    return Array.from(page.matchAll(/<td>(Refund[^<]*)<\/td>/g), ([, what]) => what);
  };
  assert.deepEqual(await told(paid.buyer), []);
  await confirm(paid.buyer, paid.back);
  assert.deepEqual(await told(paid.buyer), ['Refund']);
  assert.deepEqual(await told(unpaid.buyer), []);
});

test('verify makes every sum again over refunds that wait, were paid and were not, and finds nothing that differs', async () => {
  const [paid, unpaid] = [await makeWaiting(), await makeWaiting(), await makeWaiting()];
  await confirm(paid.buyer, paid.back);
  await voided(unpaid.buyer, unpaid.back, 'no');
  await bourse.quiet();
  const { transfers, differences, found } = await bourse.bourse('ledger', 'verify');
  assert.deepEqual([found, differences], [[], 0]);
  assert.equal(BigInt(transfers), await bourse.sqlValue('select count(*) from transfer'));
});
