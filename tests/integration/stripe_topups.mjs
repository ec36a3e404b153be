// SPDX-License-Identifier: Apache-2.0
// Credit that tops itself up from a saved card: once, within its bounds, and not again after a refusal. A part of stripe.test.mjs.
import assert from 'node:assert/strict';
import test from 'node:test';

import { MODEL, assertError, user } from './api.mjs';
import { eventually } from './harness.mjs';
import {
  DOLLAR,
  asOwner,
  bourse,
  charges,
  credits,
  deliver,
  makeBuyer,
  makeCardholder,
  moves,
  post,
  rule,
  setRule,
  stripe,
  topupDue,
  topups,
} from './stripe_instance.mjs';

test('credit below the threshold is topped up to the target with one charge of the saved card', async () => {
  const { buyer, intent } = await makeCardholder(5);
  assert.equal((await rule(buyer)).card_saved, true);
  assert.deepEqual(await topups(buyer), []);
  const answer = await setRule(buyer);
  assert.equal(answer.status, 200, answer.text);
  await eventually(async () => assert.equal(await credits(buyer), 50n * DOLLAR));
  const [entry, ...others] = await topups(buyer);
  assert.deepEqual(others, []);
  assert.equal(entry.amount, 45);
  assert.equal(entry.fee, 2.48); // 5.5 % of $45 is $2.475
  const [charge, ...more] = charges(buyer);
  assert.deepEqual(more, []);
  assert.equal(charge.form.get('amount'), '4748');
  assert.equal(charge.form.get('customer'), intent.customer);
  assert.equal(charge.form.get('payment_method'), intent.payment_method);
  assert.equal(charge.key, entry.id);
  assert.deepEqual(await moves(entry.id), ['purchase 101>1 4500', 'purchase_fee 101>111 248']);
});

test('what a cell has on lease counts as there, and enough is not topped up', async () => {
  const { buyer } = await makeCardholder(10.01);
  assert.equal((await bourse.api.chat(buyer.key, { model: MODEL, messages: user('Hello') })).status, 200);
  await bourse.quiet();
  assert.equal((await setRule(buyer)).status, 200);
  assert.equal(topupDue(buyer), '0');
  const { buyer: witness } = await makeCardholder(5); // by the time this one is served, the other was looked at, too
  await setRule(witness);
  await eventually(async () => assert.equal((await topups(witness)).length, 1));
  assert.deepEqual(await topups(buyer), []);
});

test('a card that is declined is tried once: the rule turns itself off and says why', async () => {
  const { buyer } = await makeCardholder(5);
  stripe.cardSays = 'declined';
  await setRule(buyer);
  await eventually(async () => assert.equal((await rule(buyer)).enabled, false));
  assert.match((await rule(buyer)).off_reason, /declined/);
  assert.equal((await topups(buyer))[0].status, 'cancelled');
  assert.equal(await credits(buyer), 5n * DOLLAR);
  assert.equal(charges(buyer).length, 1);
  stripe.cardSays = 'requires_action';
  await setRule(buyer);
  await eventually(async () => assert.match((await rule(buyer)).off_reason ?? '', /owner/));
  assert.equal(await credits(buyer), 5n * DOLLAR);
});

test('a charge whose answer is lost is made once and credited once', async () => {
  const { buyer } = await makeCardholder(5);
  stripe.fault('POST /v1/payment_intents', { when: 'after', status: 500, count: 2 });
  await setRule(buyer);
  await eventually(async () => assert.equal(await credits(buyer), 50n * DOLLAR));
  assert.equal((await topups(buyer)).length, 1);
  assert.ok(charges(buyer).length >= 3);
  assert.equal(new Set(charges(buyer).map((one) => one.key)).size, 1);
  const made = [...stripe.intents.values()].filter((one) => one.metadata.org === buyer.org && one.amount === 4748);
  assert.equal(made.length, 1);
});

test('while a charge is on its way no other is made; its event credits it, however often it comes', async () => {
  const { buyer } = await makeCardholder(5);
  stripe.cardSays = 'processing';
  await setRule(buyer);
  await eventually(async () => assert.equal((await topups(buyer))[0]?.status, 'open'));
  const [entry] = await topups(buyer);
  const intent = [...stripe.intents.values()].find((one) => one.metadata.purchase === entry.id);
  const event = stripe.decideCharge(intent, 'succeeded');
  for (const answer of await Promise.all(Array.from({ length: 20 }, () => deliver(event)))) assert.equal(answer.status, 200, answer.text);
  assert.equal(await credits(buyer), 50n * DOLLAR);
  assert.equal((await topups(buyer)).length, 1);
  assert.equal(charges(buyer).length, 1);
});

test('a day’s charges stay within the day’s bounds', async () => {
  const { buyer } = await makeCardholder(5);
  await setRule(buyer, { daily_max: 20 });
  await eventually(async () => assert.equal(await credits(buyer), 25n * DOLLAR)); // what the day has left, not the gap of 45
  const spent = await setRule(buyer, { threshold: 40, target: 50, daily_max: 20 });
  assert.equal(spent.status, 200);
  assert.equal(topupDue(buyer), '0');
  asOwner(`update purchase set created_at = created_at - interval '1 day' where org = ${buyer.number}`);
  await eventually(async () => assert.equal(await credits(buyer), 45n * DOLLAR));
  await setRule(buyer, { threshold: 49, target: 60, daily_max: 1000, daily_count: 1 });
  assert.equal(topupDue(buyer), '0');
});

test('rules that make no sense are refused, and without a saved card nothing is charged', async () => {
  const buyer = await makeBuyer();
  for (const wrong of [
    { threshold: 50 },
    { threshold: 0 },
    { target: -1 },
    { target: 50.001 },
    { daily_max: '100' },
    { daily_count: 0 },
    { daily_count: 101 },
    { enabled: 'yes' },
  ])
    assertError(await setRule(buyer, wrong), 400);
  assertError(await bourse.api.get('/auto-topup', { key: buyer.key }), 403);
  assert.equal((await setRule(buyer)).status, 200);
  assert.equal((await rule(buyer)).card_saved, false);
  assert.equal(topupDue(buyer), '0');
  assertError(await post(buyer, '/purchases', { amount: 5, payment_method: 'manual', save_card: true }), 400);
  assertError(await post(buyer, '/purchases', { amount: 5, payment_method: 'stripe', save_card: 1 }), 400);
});
