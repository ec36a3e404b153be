// SPDX-License-Identifier: Apache-2.0
// Plans are data: what an operator sets holds from the next purchase, grant or request on, and only for those who are on the plan.
import assert from 'node:assert/strict';
import test from 'node:test';

import { MODEL, assertError, nanoOf, user } from '../api.mjs';
import { bourse } from './one_instance.mjs';

let names = 0;
async function makePlan(like = 'pay-as-you-go') {
  const name = `plan ${++names}`;
  await bourse.bourse('plan', 'create', '--name', name, '--like', like);
  return name;
}

async function makeBuyer(plan) {
  const org = await bourse.makeOrg();
  const { key } = await bourse.makeKey(org, { management: true });
  if (plan) await bourse.bourse('plan', 'assign', plan, '--org', org);
  return { org, management: key };
}

let purchases = 0;
function buy(management, amount) {
  const headers = { 'idempotency-key': `plans-${++purchases}` };
  return bourse.api.post('/purchases', `{"amount":${amount}}`, { key: management, headers });
}

test('the two plans of a new instance are as docs/MONEY.md says', async () => {
  const { data } = await bourse.bourse('plan', 'list');
  const own = data.filter(({ name }) => !name.startsWith('plan '));
  const usual = {
    purchase_fee_permille: 55,
    purchase_fee_min: 0.8,
    purchase_min: 5,
    purchase_max: 25000,
    refund_window_hours: 24,
    output_default: 16384,
    output_min: 256,
    byok_unit: 'requests',
    byok_allowance: 1000000,
    byok_fee_basis_points: 500,
    credit_expiry_days: null,
  };
  assert.deepEqual(own, [
    { name: 'pay-as-you-go', ...usual },
    { name: 'enterprise', ...usual, byok_allowance: 5000000 },
  ]);
  assert.deepEqual(await bourse.bourse('plan', 'show', 'enterprise'), own[1]);
});

test('fee and bounds are those of the plan, and others keep theirs', async () => {
  const plan = await makePlan();
  const [buyer, other] = [await makeBuyer(plan), await makeBuyer()];
  const set = ['--fee-permille', '20', '--fee-min', '0.25', '--purchase-min', '1', '--purchase-max', '100'];
  await bourse.bourse('plan', 'set', plan, ...set);
  // 2 % of $1 is 2 cents, so the least fee; 2 % of $12.75 is 25.5 cents, half up to 26; 2 % of $100 is $2.
  for (const [amount, fee] of [
    ['1', '0.25'],
    ['12.75', '0.26'],
    ['100', '2'],
  ]) {
    const answer = await buy(buyer.management, amount);
    assert.equal(answer.status, 201, answer.text);
    assert.equal(nanoOf(answer.exact.data.fee), nanoOf(fee), amount);
  }
  assertError(await buy(buyer.management, '0.99'), 400);
  assertError(await buy(buyer.management, '100.01'), 400);
  assertError(await buy(other.management, '1'), 400);
  assert.equal(nanoOf((await buy(other.management, '100.01')).exact.data.fee), nanoOf('5.50')); // 5.50055
  await bourse.bourseFails('credit', 'grant', '--org', buyer.org, '--amount', '100.000000001');
  await bourse.bourse('credit', 'grant', '--org', buyer.org, '--amount', '100');
});

test('a plan is set field by field, what is not named stays, and 0 days of expiry is never', async () => {
  const plan = await makePlan('enterprise');
  const before = await bourse.bourse('plan', 'show', plan);
  await bourse.bourse('plan', 'set', plan, '--credit-expiry', '365');
  assert.deepEqual(await bourse.bourse('plan', 'show', plan), { ...before, credit_expiry_days: 365 });
  await bourse.bourse('plan', 'set', plan, '--refund-window', '48', '--output-default', '4096', '--byok-fee', '250');
  assert.deepEqual(await bourse.bourse('plan', 'show', plan), {
    ...before,
    credit_expiry_days: 365,
    refund_window_hours: 48,
    output_default: 4096,
    byok_fee_basis_points: 250,
  });
  await bourse.bourse('plan', 'set', plan, '--credit-expiry', '0');
  await bourse.bourse('plan', 'set', plan, '--byok-unit', 'list_price', '--byok-allowance', '25000.50');
  const after = await bourse.bourse('plan', 'show', plan);
  assert.equal(after.credit_expiry_days, null);
  assert.equal(after.byok_allowance, 25000.5);
  const [{ byok_allowance: nano }] = await bourse.sql('select byok_allowance from plan where name = $1', [plan]);
  assert.equal(nano, 25_000_500_000_000n);
});

test('what a plan cannot be is refused and changes nothing', async () => {
  const plan = await makePlan();
  const before = await bourse.bourse('plan', 'show', plan);
  for (const [set, words] of [
    [['--fee-permille', '1001'], /0 to 1000/],
    [['--fee-permille', '-1'], /0 to 1000/],
    [['--fee-min', '0.001'], /whole cents/],
    [['--fee-min', '-1'], /dollars/],
    [['--purchase-min', '0'], /0\.01/],
    [['--purchase-max', '1000000.01'], /1,000,000/],
    [['--purchase-max', '4.99'], /contradict/], // below the least purchase of $5
    [['--purchase-min', '25000.01'], /contradict/],
    [['--output-min', '16385'], /contradict/],
    [['--output-default', '0'], /tokens/],
    [['--refund-window', '87601'], /hours/],
    [['--byok-unit', 'list_price'], /together/],
    [['--byok-allowance', '5'], /together/],
    [['--byok-unit', 'tokens', '--byok-allowance', '5'], /together/],
    [['--byok-unit', 'requests', '--byok-allowance', '5.5'], /whole number/],
    [['--credit-expiry', '36501'], /36500/],
    [['--credit-expiry', '1.5'], /whole number/],
    [['--purchase-max', '99999999999999999999'], /./],
    [['--fee-min', '0.0000000000000001'], /./], // sixteen decimals
  ])
    assert.match(await bourse.bourseFails('plan', 'set', plan, ...set), words, set.join(' '));
  assert.deepEqual(await bourse.bourse('plan', 'show', plan), before);
  assert.match(await bourse.bourseFails('plan', 'set', 'none', '--fee-permille', '1'), /404/);
  assert.match(await bourse.bourseFails('plan', 'show', "x' or '1'='1"), /404/);
  assert.match(await bourse.bourseFails('plan', 'create', '--name', plan, '--like', 'enterprise'), /409/);
  assert.match(await bourse.bourseFails('plan', 'create', '--name', 'plan of nothing', '--like', 'none'), /404/);
  assert.match(await bourse.bourseFails('plan', 'create', '--name', '', '--like', 'enterprise'), /400/);
  const org = await bourse.makeOrg();
  assert.match(await bourse.bourseFails('plan', 'assign', 'none', '--org', org), /404/);
  assert.match(await bourse.bourseFails('plan', 'assign', plan, '--org', 'org-1'), /404/);
});

test('no customer sees or changes a plan', async () => {
  const { management } = await makeBuyer();
  for (const [method, route] of [
    ['GET', '/operator/plans'],
    ['PATCH', '/operator/plans/enterprise'],
    ['POST', '/operator/plans/enterprise/assign'],
  ]) {
    const answer = await bourse.api.request(method, route, { key: management, body: '{}', root: true });
    assert.equal(answer.status, 404, `${method} ${route}: ${answer.text}`);
  }
});

/** A customer on a plan, with a key that calls models. */
async function makeCaller(plan, credit) {
  const { org, key } = await bourse.makeCustomer({ credit });
  await bourse.bourse('plan', 'assign', plan, '--org', org);
  return key;
}

/** As long an answer as there may be: how many tokens the provider was asked for and made. */
async function tokensServed(key, more = {}) {
  const after = await bourse.simulator.total();
  const answer = await bourse.api.chat(key, { model: MODEL, messages: user('sim:tokens=16000'), ...more });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.json.choices[0].finish_reason, 'length');
  const [served] = await bourse.simulator.served({ after, generation: answer.json.id });
  assert.equal(served.tokens_generated, answer.json.usage.completion_tokens);
  return served.tokens_generated;
}

test('without max_tokens the provider is asked for what the plan says, and from the next request on for what it says then', async () => {
  const plan = await makePlan();
  const key = await makeCaller(plan, '1');
  const other = (await bourse.makeCustomer({ credit: '1' })).key;
  await bourse.bourse('plan', 'set', plan, '--output-default', '100', '--output-min', '50');
  assert.equal(await tokensServed(key), 100);
  assert.equal(await tokensServed(key, { stream: false, n: 2 }), 200); // a hundred for each choice
  assert.equal(await tokensServed(key, { max_tokens: 300 }), 300); // who names a number gets it
  for (const tokens of [120, 90, 1000]) {
    await bourse.bourse('plan', 'set', plan, '--output-default', `${tokens}`);
    assert.equal(await tokensServed(key), tokens);
  }
  // 16,384 is more than the simulated answer has.
  const answer = await bourse.api.chat(other, { model: MODEL, messages: user('sim:tokens=16000') });
  assert.equal(answer.json.usage.completion_tokens, 16000);
});

test('the hold itself is as large as the plan says', async () => {
  const plan = await makePlan();
  await bourse.bourse('plan', 'set', plan, '--output-default', '100', '--output-min', '50');
  const key = await makeCaller(plan, '1');
  const answer = await bourse.api.chat(key, { model: MODEL, messages: user('Hello') });
  await bourse.quiet();
  // 5 bytes, 8 and 16 of the template at 150 nano-dollars, and 100 tokens at 600.
  assert.equal((await bourse.generationRow(answer.json.id)).held, 29n * 150n + 100n * 600n);
});

test('a hold is shrunk down to the least of the plan and refused below it', async () => {
  const plan = await makePlan();
  await bourse.bourse('plan', 'set', plan, '--output-min', '50');
  // 40 tokens of prompt at 150 are 6,000 nano-dollars. Of 100,000 half is 50,000: 44,000 pay 73 tokens at 600.
  assert.equal(await tokensServed(await makeCaller(plan, '0.0001')), 73);
  // Half of 40,000 would pay 23 tokens, all of it 56: the least, 50, is served.
  assert.equal(await tokensServed(await makeCaller(plan, '0.00004')), 50);
  // 35,000 pay 48 tokens.
  const poor = await makeCaller(plan, '0.000035');
  const ask = () => bourse.api.chat(poor, { model: MODEL, messages: user('sim:tokens=16000') });
  const error = assertError(await ask(), 402);
  assert.equal(error.metadata.affordable.output_tokens, 48);
  // The next request is measured by another least.
  await bourse.bourse('plan', 'set', plan, '--output-min', '48');
  assert.equal(await tokensServed(poor), 48);
  // On the usual plan, all three are refused: 256 tokens and the prompt would be 159,600.
  const { key } = await bourse.makeCustomer({ credit: '0.0001' });
  assertError(await bourse.api.chat(key, { model: MODEL, messages: user('sim:tokens=16000') }), 402);
});

test('an organization that moves to another plan is held for by that one at its next request', async () => {
  const [narrow, wide] = [await makePlan(), await makePlan()];
  await bourse.bourse('plan', 'set', narrow, '--output-default', '60', '--output-min', '10');
  await bourse.bourse('plan', 'set', wide, '--output-default', '80', '--output-min', '10');
  const { org, key } = await bourse.makeCustomer({ credit: '1' });
  for (const [plan, tokens] of [
    [narrow, 60],
    [wide, 80],
    [narrow, 60],
  ]) {
    await bourse.bourse('plan', 'assign', plan, '--org', org);
    assert.equal(await tokensServed(key), tokens);
  }
});
