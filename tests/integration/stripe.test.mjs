// SPDX-License-Identifier: Apache-2.0
// Buying credits through Stripe: a purchase is a row first, a session second, credit only when Stripe's own object says that exactly
// our amount is paid; and whatever order, number or delay events have, each payment credits once. The books are audited after each.
import assert from 'node:assert/strict';
import test from 'node:test';

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
  makeCredited,
  makePaid,
  moves,
  post,
  read,
  refund,
  stripe,
  unique,
} from './stripe_instance.mjs';
import './stripe_topups.mjs';

// ---- paying

test('a purchase by Stripe answers with a session of the charged amount, and credits nothing before it is paid', async () => {
  const buyer = await makeBuyer();
  const answer = await buy(buyer, 25);
  assert.equal(answer.status, 201, answer.text);
  const { data } = answer.json;
  const session = stripe.sessionOf(data.id);
  assert.equal(data.payment_method, 'stripe');
  assert.equal(data.status, 'open');
  assert.equal(data.url, session.url);
  assert.equal(session.amount_total, 2638); // $25.00 and 5.5 %, $1.375 rounded up
  assert.equal(session.currency, 'usd');
  assert.deepEqual(session.metadata, { org: buyer.org, purchase: data.id });
  assert.equal(session.success_url, `http://127.0.0.1:8080/?purchase=${data.id}`);
  assert.equal(stripe.made('POST /v1/checkout/sessions').at(-1).key, data.id);
  assert.equal(await credits(buyer), 0n);
  assert.deepEqual(await moves(data.id), []);
});

test('a paid session is credited with the amount once, and its fee is income', async () => {
  const { buyer, id, paid } = await makePaid(25);
  await delivered(paid);
  assert.equal(await credits(buyer), 25n * DOLLAR);
  assert.equal((await read(buyer, id)).status, 'paid');
  assert.deepEqual(await moves(id), ['purchase 101>1 2500', 'purchase_fee 101>111 138']);
});

test('an event fifty times at once credits once, and every copy is answered with 200', async () => {
  const { buyer, id, paid } = await makePaid(25);
  const answers = await Promise.all(Array.from({ length: 50 }, () => deliver(paid)));
  for (const answer of answers) assert.equal(answer.status, 200, answer.text);
  assert.equal(await credits(buyer), 25n * DOLLAR);
  assert.equal((await moves(id)).length, 2);
  assert.equal(await bourse.sqlValue('select count(*) from stripe_event where id = $1', [paid.id]), 1n);
});

test('an equal request gets the same purchase and session; another body with its key is refused with 409', async () => {
  const buyer = await makeBuyer();
  const sessions = stripe.sessions.size;
  const answers = await Promise.all(Array.from({ length: 10 }, () => buy(buyer, 25, 'one')));
  for (const answer of answers) assert.equal(answer.status, 201, answer.text);
  assert.equal(new Set(answers.map((answer) => answer.json.data.url)).size, 1);
  assert.equal(stripe.sessions.size, sessions + 1);
  assertError(await buy(buyer, 26, 'one'), 409);
});

test('a bank debit that is complete but unpaid credits nothing until it arrives', async () => {
  const buyer = await makeBuyer();
  const { id } = (await buy(buyer, 25)).json.data;
  const session = stripe.sessionOf(id);
  await delivered(stripe.pay(session, { later: true }));
  assert.equal(await credits(buyer), 0n);
  assert.equal((await read(buyer, id)).status, 'open');
  await delivered(stripe.arrive(session));
  assert.equal(await credits(buyer), 25n * DOLLAR);
});

test('an event says nothing by itself: one that claims a payment Stripe does not know credits nothing', async () => {
  const buyer = await makeBuyer();
  const { id } = (await buy(buyer, 25)).json.data;
  const lie = { ...stripe.sessionOf(id), payment_status: 'paid', status: 'complete' };
  await delivered(stripe.event('checkout.session.completed', lie));
  assert.equal(await credits(buyer), 0n);
});

test('a wrong amount, a wrong currency or another reference credits nothing, and Stripe is told so', async () => {
  for (const wrong of [{ amount: 1 }, { amount: 2639 }, { currency: 'eur' }]) {
    const buyer = await makeBuyer();
    const { id } = (await buy(buyer, 25)).json.data;
    assertError(await deliver(stripe.pay(stripe.sessionOf(id), wrong)), 409);
    assert.equal(await credits(buyer), 0n, JSON.stringify(wrong));
  }
  for (const wrong of [{ amount_total: 100 }, { currency: 'jpy' }, { client_reference_id: 'pur-other' }, { livemode: true }]) {
    const buyer = await makeBuyer();
    const { id } = (await buy(buyer, 25)).json.data;
    const session = stripe.sessionOf(id);
    const event = stripe.pay(session);
    Object.assign(session, wrong);
    assertError(await deliver(event), 409);
    assert.equal(await credits(buyer), 0n, JSON.stringify(wrong));
  }
});

test('the session of one purchase never pays for another', async () => {
  const cheap = await makePaid(5);
  const buyer = await makeBuyer();
  const { id } = (await buy(buyer, 500)).json.data; // not paid, so the ledger cannot find a payment of its own for it meanwhile
  const dear = stripe.sessionOf(id);
  cheap.session.client_reference_id = id;
  cheap.session.metadata = dear.metadata;
  assertError(await deliver(cheap.paid), 409);
  assert.equal(await credits(cheap.buyer), 0n);
  assert.equal(await credits(buyer), 0n);
  await delivered(stripe.pay(dear));
  assert.equal(await credits(buyer), 500n * DOLLAR);
});

test('forged, stale, early, foreign and missing signatures are refused; each current secret passes', async () => {
  const { buyer, paid } = await makePaid(25);
  const now = Math.floor(Date.now() / 1000);
  const good = JSON.stringify(paid);
  const refused = [
    { secret: 'whsec_guess' },
    { secret: '' },
    { timestamp: now - 330 },
    { timestamp: now + 330 },
    { header: null },
    { header: '' },
    { header: `t=${now}` },
    { header: `t=${now},v1=${'0'.repeat(64)}` },
    { header: `v1=${'0'.repeat(64)},t=nonsense` },
    { header: `t=${now},v0=${'0'.repeat(64)}` },
  ];
  for (const options of refused) {
    const answer = await deliver(paid, { ...options, payload: good });
    assert.equal(answer.status, 400, JSON.stringify(options));
  }
  const { webhooks } = new (await import('stripe')).default('sk_test_only_signs');
  const header = webhooks.generateTestHeaderString({ payload: good, secret: stripe.secrets[0] });
  assertError(await deliver(paid, { header, payload: good.replace("evt_", "evt-") }), 400);
  assert.equal(await credits(buyer), 0n);
  assert.equal(await bourse.sqlValue('select count(*) from stripe_event where id = $1', [paid.id]), 0n);

  await delivered(paid, { secret: stripe.secrets[1], timestamp: now - 200 });
  assert.equal(await credits(buyer), 25n * DOLLAR);
  const rotated = `t=${now},v1=${'0'.repeat(64)},${header.slice(header.indexOf('v1='))}`;
  assert.equal((await deliver(paid, { header: rotated.replace(/t=\d+/, header.split(',')[0]) })).status, 200);
});

test('an event of live mode is refused by an instance with a key for tests', async () => {
  const { buyer, session } = await makePaid(25);
  assertError(await deliver(stripe.event('checkout.session.completed', session, { livemode: true })), 409);
  assert.equal(await credits(buyer), 0n);
});

test('events about what is not ours, and of kinds nobody knows, are taken and change nothing', async () => {
  const alien = { id: 'cs_test_alien', object: 'checkout.session', payment_intent: 'pi_alien' };
  await delivered(stripe.event('checkout.session.completed', alien));
  await delivered(stripe.event('customer.created', { id: 'cus_1', object: 'customer' }));
  await delivered(stripe.event('charge.succeeded', { id: 'ch_1', object: 'charge', payment_intent: 'pi_alien' }));
  for (const payload of ['', '{', '[]', '{}', '{"id":""}', `{"id":"${'x'.repeat(300)}"}`, 'x'.repeat(300_000)]) {
    const { status } = await deliver({}, { payload });
    assert.ok(status >= 400 && status < 500, `${status} for ${payload.slice(0, 20)}`);
  }
});

// ---- what may go wrong between us and Stripe

test('a session that was made although no answer came is found again: the state is unknown, never failed', async () => {
  const buyer = await makeBuyer();
  stripe.fault('POST /v1/checkout/sessions', { when: 'after', status: 500 });
  const sessions = stripe.sessions.size;
  const { data } = (await buy(buyer, 25)).json;
  assert.equal(data.status, 'unknown');
  assert.equal(data.url, null);
  await eventually(async () => assert.equal((await read(buyer, data.id)).status, 'open'));
  assert.equal(stripe.sessions.size, sessions + 1);
  assert.equal((await read(buyer, data.id)).url, stripe.sessionOf(data.id).url);
});

test('the event of a session that we do not know yet credits it all the same', async () => {
  const buyer = await makeBuyer();
  stripe.fault('POST /v1/checkout/sessions', { when: 'after', status: 503, count: 1000 });
  const { id } = (await buy(buyer, 25)).json.data;
  await delivered(stripe.pay(stripe.sessionOf(id)));
  assert.equal(await credits(buyer), 25n * DOLLAR);
  assert.equal((await read(buyer, id)).status, 'paid');
});

test('what Stripe refuses is cancelled', async () => {
  const buyer = await makeBuyer();
  stripe.fault('POST /v1/checkout/sessions', { status: 400 });
  const { data } = (await buy(buyer, 25)).json;
  assert.equal(data.status, 'cancelled');
  assert.equal(stripe.sessionOf(data.id), undefined);
});

test('a ledger that is killed between its commit and the session completes the purchase when it is back', async () => {
  const buyer = await makeBuyer();
  stripe.fault('POST /v1/checkout/sessions', { hang: true });
  const before = stripe.made('POST /v1/checkout/sessions').length;
  const cut = buy(buyer, 25, 'killed').catch((error) => error);
  await eventually(() => assert.equal(stripe.made('POST /v1/checkout/sessions').length, before + 1));
  await bourse.killAndWait('ledger');
  assert.notEqual((await cut).status, 201);
  await eventually(async () => {
    const { data } = (await bourse.api.get('/purchases', { key: buyer.management })).json;
    assert.deepEqual(data.map((entry) => entry.status), ['open']);
  });
  const again = await buy(buyer, 25, 'killed');
  assert.equal(again.status, 201, again.text);
  assert.equal(again.json.data.url, stripe.sessionOf(again.json.data.id).url);
});

test('a payment whose events are all lost is credited by the janitor', async () => {
  const { buyer, id } = await makePaid(25);
  await eventually(async () => assert.equal((await read(buyer, id)).status, 'paid'));
  assert.equal(await credits(buyer), 25n * DOLLAR);
});

test('while Stripe is silent an event is not taken, and taken when it comes again', async () => {
  const { buyer, paid, session } = await makePaid(25);
  stripe.fault(`GET /v1/checkout/sessions/${session.id}`, { status: 500, count: 1000 });
  assertError(await deliver(paid), 503);
  assert.equal(await credits(buyer), 0n);
  assert.equal(await bourse.sqlValue('select count(*) from stripe_event where id = $1', [paid.id]), 0n);
  stripe.faults = [];
  await delivered(paid);
  assert.equal(await credits(buyer), 25n * DOLLAR);
});

test('an operator cannot confirm what only Stripe can decide', async () => {
  const buyer = await makeBuyer();
  const { id } = (await buy(buyer, 25)).json.data;
  await bourse.bourseFails('purchase', 'confirm', '--org', buyer.org, '--id', id);
  await bourse.bourseFails('purchase', 'cancel', '--org', buyer.org, '--id', id);
  assert.equal(await credits(buyer), 0n);
});

test('an expired session is cancelled, and money that came in spite of it is credited', async () => {
  const { buyer, id, session } = await makePaid(25);
  const other = await makeBuyer();
  const { id: expired } = (await buy(other, 25)).json.data;
  await delivered(stripe.expire(stripe.sessionOf(expired)));
  assert.equal((await read(other, expired)).status, 'cancelled');
  await delivered(stripe.pay(stripe.sessionOf(expired)));
  assert.equal((await read(other, expired)).status, 'paid');
  assert.equal(await credits(other), 25n * DOLLAR);
  void [buyer, id, session];
});

// ---- refunds

test('a customer gets the unused part back within the window, and the fee is kept', async () => {
  const { buyer, id, session } = await makeCredited(100);
  const answer = await refund(buyer, id, { amount: 40 });
  assert.equal(answer.status, 201, answer.text);
  assert.equal(answer.json.data.status, 'succeeded');
  assert.equal(nanoOf(answer.exact.data.amount), 40n * DOLLAR);
  assert.equal(await credits(buyer), 60n * DOLLAR);
  assert.equal(nanoOf((await read(buyer, id)).refunded), 40n * DOLLAR);
  assert.deepEqual(await moves(answer.json.data.id), ['refund_hold 1>5 4000', 'refund 5>101 4000']);
  const rest = await refund(buyer, id); // all that is left
  assert.equal(nanoOf(rest.exact.data.amount), 60n * DOLLAR);
  assert.equal(await credits(buyer), 0n);
  const amounts = [...stripe.refunds.values()].filter((one) => one.payment_intent === session.payment_intent);
  assert.deepEqual(amounts.map((one) => one.amount), [4000, 6000]);
});

test('more than was bought, nothing, less than nothing, fractions of a cent and a second time are refused', async () => {
  const { buyer, id } = await makeCredited(100);
  const refunds = stripe.refunds.size;
  assertError(await refund(buyer, id, { amount: 100.01 }), 409);
  assertError(await refund(buyer, id, { amount: 105.5 }), 409);
  for (const amount of [0, -1, 0.001, '5', null, 1e300]) assertError(await refund(buyer, id, { amount }), 400);
  assertError(await refund(buyer, 'pur-unknown', {}), 404);
  assert.equal((await refund(buyer, id, { amount: 100 })).status, 201);
  assertError(await refund(buyer, id, { amount: 0.01 }), 409);
  assert.equal(stripe.refunds.size, refunds + 1);
});

test('one Idempotency-Key refunds once, and twenty refunds at once give back no more than there was', async () => {
  const { buyer, id } = await makeCredited(100);
  const same = await Promise.all(Array.from({ length: 10 }, () => refund(buyer, id, { amount: 10 }, 'refund-once')));
  for (const answer of same) assert.equal(answer.status, 201, answer.text);
  assert.equal(await credits(buyer), 90n * DOLLAR);
  assertError(await refund(buyer, id, { amount: 11 }, 'refund-once'), 409);
  assertError(await bourse.api.post(`/purchases/${id}/refund`, {}, { key: buyer.management }), 400);
  const many = await Promise.all(Array.from({ length: 20 }, () => refund(buyer, id, { amount: 50 })));
  const made = many.filter((answer) => answer.status === 201);
  assert.ok(made.length >= 1);
  for (const answer of many) assert.ok([201, 409].includes(answer.status), answer.text);
  await eventually(async () =>
    assert.equal(await credits(buyer), 90n * DOLLAR - BigInt(made.length) * 50n * DOLLAR));
  assert.equal(made.length, 1); // a second would leave less than nothing
});

test('all that no request used is given back at once, though the cell had it on lease', async () => {
  const { buyer, id } = await makeCredited(5);
  const spent = await bourse.api.chat(buyer.key, { model: MODEL, messages: user('sim:tokens=100') });
  assert.equal(spent.status, 200, spent.text);
  const left = await credits(buyer);
  const answer = await refund(buyer, id); // whole cents of what is left
  assert.equal(answer.status, 201, answer.text);
  assert.equal(nanoOf(answer.exact.data.amount), left - (left % 10_000_000n));
  assert.equal(await credits(buyer), left % 10_000_000n);
});

test('what was spent is not given back', async () => {
  const { buyer, id } = await makeCredited(5);
  const spent = await bourse.api.chat(buyer.key, { model: MODEL, messages: user('sim:tokens=100') });
  assert.equal(spent.status, 200, spent.text);
  assertError(await refund(buyer, id, { amount: 5 }), 409);
  assert.ok((await credits(buyer)) < 5n * DOLLAR);
});

test('a customer’s window closes; an operator may refund after it; nobody refunds what was not paid', async () => {
  const { buyer, id } = await makeCredited(100);
  asOwner(`update purchase set paid_at = now() - interval '24 hours 1 second' where id = '${id}'`);
  assertError(await refund(buyer, id, { amount: 1 }), 409);
  await bourse.bourse('purchase', 'refund', '--org', buyer.org, '--id', id, '--amount', '30');
  assert.equal(await credits(buyer), 70n * DOLLAR);
  const { id: open } = (await buy(buyer, 25)).json.data;
  assertError(await refund(buyer, open), 409);
  await bourse.bourseFails('purchase', 'refund', '--org', buyer.org, '--id', open);
});

test('an operator refunds a manual purchase at once, and Stripe is not asked', async () => {
  const buyer = await makeBuyer();
  const { id } = (await post(buyer, '/purchases', { amount: 25 })).json.data;
  const asked = stripe.made('POST /v1/refunds').length;
  assert.equal((await bourse.bourse('purchase', 'refund', '--org', buyer.org, '--id', id)).status, 'succeeded');
  assert.equal(stripe.made('POST /v1/refunds').length, asked);
  assert.equal(await credits(buyer), 0n);
  assert.equal(nanoOf((await read(buyer, id)).refunded), 25n * DOLLAR);
});

test('one organization cannot refund the purchase of another', async () => {
  const { id } = await makeCredited(100);
  assertError(await refund(await makeBuyer(), id), 404);
});

test('a refund that Stripe refuses gives the credit back', async () => {
  const { buyer, id } = await makeCredited(100);
  stripe.fault('POST /v1/refunds', { status: 400 });
  const answer = await refund(buyer, id, { amount: 40 });
  assert.equal(answer.json.data.status, 'failed');
  assert.equal(await credits(buyer), 100n * DOLLAR);
  assert.deepEqual(await moves(answer.json.data.id), ['refund_hold 1>5 4000', 'refund_void 5>1 4000']);
});

test('a refund whose answer is lost is made once, and its credit stays aside until that is known', async () => {
  const { buyer, id } = await makeCredited(100);
  const refunds = stripe.refunds.size;
  stripe.fault('POST /v1/refunds', { when: 'after', status: 500 });
  stripe.fault('GET /v1/refunds', { when: 'after', status: 500, count: 0 });
  const answer = await refund(buyer, id, { amount: 40 });
  assert.equal(answer.json.data.status, 'unknown');
  assert.equal(await credits(buyer), 60n * DOLLAR);
  await eventually(async () => assert.equal(nanoOf((await read(buyer, id)).refunded), 40n * DOLLAR));
  assert.equal(stripe.refunds.size, refunds + 1);
  assert.equal(await credits(buyer), 60n * DOLLAR);
});

test('a refund that waits for a bank stays pending, and one that comes back later is credited again', async () => {
  const { buyer, id } = await makeCredited(100);
  stripe.refundStatus = 'pending';
  const answer = await refund(buyer, id, { amount: 40 });
  stripe.refundStatus = 'succeeded';
  assert.equal(answer.json.data.status, 'pending');
  assertError(await refund(buyer, id, { amount: 1 }), 409); // one at a time
  const made = [...stripe.refunds.values()].at(-1);
  await delivered(stripe.decide(made, 'succeeded'));
  assert.equal(await credits(buyer), 60n * DOLLAR);
  await delivered(stripe.decide(made, 'failed'));
  assert.equal(await credits(buyer), 100n * DOLLAR);
  const { refunded, last_refund } = await read(buyer, id);
  assert.equal(nanoOf(refunded), 0n);
  assert.equal(last_refund.status, 'failed');
  assert.equal(last_refund.reason, null); // an operator's words; Stripe gives none
});

test('a refund in Stripe’s dashboard takes the credit, then the fee; events in any order and number take it once', async () => {
  const { buyer, id, session } = await makeCredited(100);
  const events = [stripe.refundInDashboard(session, 3000), stripe.refundInDashboard(session, 7550)];
  const copies = [...events, ...events].reverse().flatMap((event) => Array.from({ length: 10 }, () => event));
  for (const answer of await Promise.all(copies.map((event) => deliver(event)))) assert.equal(answer.status, 200, answer.text);
  assert.equal(await credits(buyer), 0n);
  assert.equal(nanoOf((await read(buyer, id)).refunded), 100n * DOLLAR);
  const [first, second] = events.map((event) => event.data.object.id);
  assert.deepEqual(await moves(first), ['refund 1>101 3000']);
  assert.deepEqual(await moves(second), ['refund 1>101 7000', 'refund 111>101 550']);
  assert.equal(await isFrozen(buyer), false);
});

// ---- disputes

test('a dispute takes the credit and freezes the account; won, all of it comes back, whatever the order of the events', async () => {
  const { buyer, id, session } = await makeCredited(100);
  const withdrawn = stripe.dispute(session);
  await delivered(withdrawn);
  assert.equal(await credits(buyer), 0n);
  assert.equal(await isFrozen(buyer), true);
  assert.equal(nanoOf((await read(buyer, id)).disputed), 105_500_000_000n);
  assertError(await bourse.api.chat(buyer.key, { model: MODEL, messages: user('Hello') }), 402);
  assertError(await refund(buyer, id), 409);
  // The fee of the purchase and the $15 that Stripe takes are ours.
  assert.deepEqual((await moves(id)).slice(2), ['dispute 1>101 10000', 'dispute 132>101 2050']);
  const won = stripe.win(withdrawn);
  const copies = [won, withdrawn, won, withdrawn].flatMap((event) => Array.from({ length: 12 }, () => ({ ...event, id: `evt_${unique()}` })));
  for (const answer of await Promise.all(copies.map((event) => deliver(event)))) assert.equal(answer.status, 200, answer.text);
  assert.equal(await credits(buyer), 100n * DOLLAR);
  assert.equal(await isFrozen(buyer), false);
  assert.deepEqual((await moves(id)).slice(4), ['reinstatement 101>1 10000', 'reinstatement 101>132 2050']);
  assert.equal((await bourse.api.chat(buyer.key, { model: MODEL, messages: user('Hello') })).status, 200);
});

test('every event of a payment’s life, fifty times at once each, counts once; all again with the last first change nothing', async () => {
  const buyer = await makeBuyer();
  const { id } = (await buy(buyer, 100)).json.data;
  const session = stripe.sessionOf(id);
  const told = [];
  const happens = async (event, balance, frozen) => {
    told.push(event);
    const answers = await Promise.all(Array.from({ length: 50 }, () => deliver(event)));
    for (const answer of answers) assert.equal(answer.status, 200, `${event.type}: ${answer.text}`);
    assert.equal(await credits(buyer), balance * DOLLAR, event.type);
    assert.equal(await isFrozen(buyer), frozen, event.type);
  };
  await happens(stripe.pay(session, { later: true }), 0n, false);
  await happens(stripe.arrive(session), 100n, false);
  const refunded = stripe.refundInDashboard(session, 3000);
  await happens(refunded, 70n, false);
  const withdrawn = stripe.dispute(session, { amount: 7550, fee: 0 }); // $105.50 were charged, $30 given back
  await happens(withdrawn, 0n, true);
  await happens(stripe.win(withdrawn), 70n, false);

  // With the ids that are known, and with others, as from a second webhook endpoint.
  const copies = told.reverse().flatMap((event) => Array.from({ length: 50 }, (_, i) => (i % 2 ? event : { ...event, id: `evt_again_${i}_${event.id}` })));
  for (const answer of await Promise.all(copies.map((event) => deliver(event)))) assert.equal(answer.status, 200, answer.text);
  assert.equal(await credits(buyer), 70n * DOLLAR);
  assert.equal(await isFrozen(buyer), false);
  assert.deepEqual(await moves(refunded.data.object.id), ['refund 1>101 3000']);
  assert.deepEqual(await moves(id), [
    'purchase 101>1 10000',
    'purchase_fee 101>111 550',
    'dispute 1>101 7000',
    'dispute 132>101 550',
    'reinstatement 101>1 7000',
    'reinstatement 101>132 550',
  ]);
});

test('a dispute that is told before the payment credits first and then takes back', async () => {
  const { buyer, id, session, paid } = await makePaid(100);
  const withdrawn = stripe.dispute(session);
  await delivered(withdrawn);
  await delivered(paid);
  assert.equal(await credits(buyer), 0n);
  assert.deepEqual(await moves(id), [
    'purchase 101>1 10000',
    'purchase_fee 101>111 550',
    'dispute 1>101 10000',
    'dispute 132>101 2050',
  ]);
});

test('a dispute after the credit was spent leaves a debt; won, the debt is gone', async () => {
  const { buyer, id, session } = await makeCredited(5);
  const spent = await bourse.api.chat(buyer.key, { model: MODEL, messages: user('sim:tokens=1000') });
  assert.equal(spent.status, 200, spent.text);
  await bourse.quiet();
  const balance = await credits(buyer);
  assert.ok(balance < 5n * DOLLAR);
  const withdrawn = stripe.dispute(session, { fee: 0 });
  await delivered(withdrawn);
  assert.equal(await credits(buyer), balance - 5n * DOLLAR); // less than nothing: what was spent is owed
  assert.equal(await isFrozen(buyer), true);
  // What the cell had on lease comes back and goes into the debt; then what is owed is what was spent.
  const owed = () =>
    bourse.sqlValue('select debits - credits from account where org = $1 and kind = 4', [buyer.number]);
  await eventually(async () => assert.equal(await owed(), 5n * DOLLAR - balance));
  assert.equal(await credits(buyer), balance - 5n * DOLLAR);
  await delivered(stripe.win(withdrawn));
  assert.equal(await credits(buyer), balance);
  assert.equal(await isFrozen(buyer), false);
  assert.equal(await bourse.sqlValue('select debt from purchase where id = $1', [id]), 0n);
});

test('two disputes of one payment are added up, and the account is free once both are won', async () => {
  const { buyer, id, session } = await makeCredited(100);
  const first = stripe.dispute(session, { amount: 4000, fee: 0 });
  await delivered(first);
  assert.equal(await credits(buyer), 60n * DOLLAR);
  const second = stripe.dispute(session, { amount: 6550, fee: 0 }); // the rest of $105.50
  await delivered(second);
  assert.equal(await credits(buyer), 0n);
  assert.equal(nanoOf((await read(buyer, id)).disputed), 105_500_000_000n);
  await delivered(stripe.win(second));
  assert.equal(await isFrozen(buyer), true);
  await delivered(stripe.win(first));
  assert.equal(await isFrozen(buyer), false);
  assert.equal(await credits(buyer), 100n * DOLLAR);
  assert.equal(nanoOf((await read(buyer, id)).disputed), 0n);
});

test('a disputed payment that was partly refunded takes only what is left of the credit', async () => {
  const { buyer, id, session } = await makeCredited(100);
  assert.equal((await refund(buyer, id, { amount: 40 })).status, 201);
  await delivered(stripe.dispute(session, { amount: 6550, fee: 0 }));
  assert.equal(await credits(buyer), 0n);
  assert.deepEqual((await moves(id)).slice(2), ['dispute 1>101 6000', 'dispute 132>101 550']);
});

test('a dashboard refund of spent credit is a debt, which the next purchase pays, and the account is free again', async () => {
  const { buyer, id, session } = await makeCredited(5);
  assert.equal((await bourse.api.chat(buyer.key, { model: MODEL, messages: user('sim:tokens=1000') })).status, 200);
  await bourse.quiet();
  const spent = 5n * DOLLAR - (await credits(buyer));
  await delivered(stripe.refundInDashboard(session, 500));
  assert.equal(await credits(buyer), -spent);
  assert.equal(await isFrozen(buyer), true);
  assert.equal(nanoOf((await read(buyer, id)).refunded), 5n * DOLLAR);
  const { id: next } = (await buy(buyer, 10)).json.data;
  await delivered(stripe.pay(stripe.sessionOf(next)));
  await eventually(async () => assert.equal(await isFrozen(buyer), false));
  assert.equal(await credits(buyer), 10n * DOLLAR - spent);
  assert.equal((await bourse.api.chat(buyer.key, { model: MODEL, messages: user('Hello') })).status, 200);
});

test('a refund that fails after a debt arose pays the debt first, and the account is free again', async () => {
  const { buyer, session, id } = await makeCredited(100);
  assert.equal((await bourse.api.chat(buyer.key, { model: MODEL, messages: user('sim:tokens=1000') })).status, 200);
  await bourse.quiet();
  const spent = 100n * DOLLAR - (await credits(buyer));
  assert.ok(spent > 0n);
  stripe.refundStatus = 'pending';
  assert.equal((await refund(buyer, id, { amount: 60 })).json.data.status, 'pending');
  stripe.refundStatus = 'succeeded';
  const pending = [...stripe.refunds.values()].at(-1);
  // All else of the $105.50: the other $40, less what was spent, the fee, and the rest is owed.
  await delivered(stripe.refundInDashboard(session, 4550));
  assert.equal(await credits(buyer), -spent);
  assert.equal(await isFrozen(buyer), true);
  await delivered(stripe.decide(pending, 'failed'));
  await eventually(async () => assert.equal(await isFrozen(buyer), false));
  assert.equal(await credits(buyer), 60n * DOLLAR - spent);
  assert.equal(await bourse.sqlValue('select debits - credits from account where org = $1 and kind = 4', [buyer.number]), 0n);
  assert.equal((await bourse.api.chat(buyer.key, { model: MODEL, messages: user('Hello') })).status, 200);
});

test('refunds and disputes whose events are lost are found when the ledger looks, at least daily', async () => {
  const { buyer, id, session } = await makeCredited(100);
  stripe.refundInDashboard(session, 3000);
  const due = (when) => asOwner(`update purchase set look_at = now() + interval '${when}' where id = '${id}'`);
  const next = await bourse.sqlValue('select look_at < now() + interval \'1 day\' from purchase where id = $1', [id]);
  assert.equal(next, true);
  due('0');
  await eventually(async () => assert.equal(await credits(buyer), 70n * DOLLAR));
  stripe.dispute(session, { amount: 7550, fee: 0 });
  due('0');
  await eventually(async () => assert.equal(await credits(buyer), 0n));
});

test('a dispute or a refund of more than was paid is not believed', async () => {
  for (const lie of [(session) => stripe.dispute(session, { amount: 10551 }), (session) => stripe.refundInDashboard(session, 10551)]) {
    const { buyer, session } = await makeCredited(100);
    assertError(await deliver(lie(session)), 409);
    assert.equal(await credits(buyer), 100n * DOLLAR);
  }
});

// ---- every day

test('once a day everything that moved at Stripe is compared: lost payments are credited, unknown ones reported', async () => {
  const yesterday = Math.floor(Date.now() / 1000) - 86_400;
  const known = await makeCredited(100);
  const lost = await makePaid(25);
  asOwner(`update purchase set look_at = now() + interval '1 day' where id in ('${known.id}', '${lost.id}')`);
  const back = stripe.refundInDashboard(known.session, 3000).data.object;
  const chargeOf = ({ session }) => ({
    id: 'ch_1',
    object: 'charge',
    payment_intent: session.payment_intent,
    metadata: session.intent_metadata,
  });
  stripe.move('refund', back, yesterday);
  for (let i = 0; i < 150; i++) stripe.move('payout', { id: `po_${i}`, object: 'payout' }, yesterday); // more than a page
  stripe.move('charge', chargeOf(lost), yesterday);
  const alien = { ...chargeOf(known), payment_intent: 'pi_gone', metadata: { org: known.buyer.org, purchase: 'pur-gone' } };
  stripe.move('charge', alien, yesterday);
  stripe.move('charge', { id: 'ch_2', object: 'charge', payment_intent: 'pi_shop', metadata: {} }, yesterday);
  stripe.move('charge', { ...alien, payment_intent: 'pi_today' }); // tomorrow's business
  const { payments_unknown_total: unknown } = await bourse.metrics('ledger');

  asOwner('delete from stripe_reconciliation');
  await eventually(async () => assert.equal(await bourse.sqlValue('select count(*) from stripe_reconciliation'), 1n));
  const [row] = await bourse.sql("select day = (now() at time zone 'utc')::date - 1 as yesterday, movements, unknown from stripe_reconciliation");
  assert.deepEqual(row, { yesterday: true, movements: 154n, unknown: 1n });
  assert.equal(await credits(known.buyer), 70n * DOLLAR);
  assert.equal(await credits(lost.buyer), 25n * DOLLAR);
  assert.equal((await bourse.metrics('ledger')).payments_unknown_total, unknown + 1);
});

test('a day that Stripe did not tell to its end is compared again', async () => {
  const known = await makeCredited(100);
  const back = stripe.refundInDashboard(known.session, 3000).data.object;
  asOwner(`update purchase set look_at = now() + interval '1 day' where id = '${known.id}'`);
  stripe.move('refund', back, Math.floor(Date.now() / 1000) - 86_400);
  stripe.fault('GET /v1/balance_transactions', { status: 500, count: 2 });
  asOwner('delete from stripe_reconciliation');
  await eventually(async () => assert.equal(await credits(known.buyer), 70n * DOLLAR));
  await eventually(async () => assert.equal(await bourse.sqlValue('select count(*) from stripe_reconciliation'), 1n));
});

test('a ledger that is killed while events and refunds rain credits and refunds each once', async () => {
  const made = await Promise.all(Array.from({ length: 10 }, () => makePaid(25)));
  const events = made.flatMap(({ paid }) => Array.from({ length: 5 }, () => paid));
  const rain = Promise.allSettled(events.map((event) => deliver(event)));
  await bourse.killAndWait('ledger');
  await rain;
  for (const { paid } of made) await eventually(() => delivered(paid)); // Stripe repeats what was not answered
  const refunds = made.map(({ buyer, id }) => [buyer, id, { amount: 10 }, `rain-${id}`]);
  const shower = Promise.allSettled(refunds.map((one) => refund(...one)));
  await bourse.killAndWait('ledger');
  await shower;
  for (const one of refunds) await eventually(async () => assert.equal((await refund(...one)).status, 201));
  for (const { buyer, id } of made) {
    await eventually(async () => assert.equal(nanoOf((await read(buyer, id)).refunded), 10n * DOLLAR));
    assert.equal(await credits(buyer), 15n * DOLLAR);
    assert.equal((await moves(id)).length, 2);
  }
});

test('while Stripe is silent nobody else waits: keys and credits are served, and events refused at once', async () => {
  const { buyer, paid } = await makePaid(25);
  stripe.fault('GET /v1/', { hang: true, count: 1000 });
  const slow = deliver(paid); // 8 s
  assertError(await within(15_000, 'the first event', slow), 503);
  const events = Array.from({ length: 20 }, () => deliver(paid));
  for (let i = 0; i < 5; i++) {
    await within(1500, 'credits', credits(buyer));
    await within(1500, 'keys', bourse.api.get('/keys', { key: buyer.management }));
  }
  const answers = await within(20_000, 'the events', Promise.all(events));
  for (const answer of answers) assertError(answer, 503);
  stripe.faults = [];
  await eventually(() => delivered(paid), { deadline_ms: 20_000 });
  assert.equal(await credits(buyer), 25n * DOLLAR);
});
