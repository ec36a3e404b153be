// SPDX-License-Identifier: Apache-2.0
// Requests that money refuses: 402 with the amount that can be afforded, which is exact; and keys that open nothing: 401.
import assert from 'node:assert/strict';
import test from 'node:test';

import { MODEL, assertError, nanoOf, user } from '../api.mjs';
import { bourse } from './one_instance.mjs';

test('without credit a request is refused with 402, no provider is called, and a purchase opens the door', async () => {
  const org = await bourse.makeOrg();
  const { key } = await bourse.makeKey(org);
  const hello = { model: MODEL, messages: user('Hello') };
  const before = await bourse.simulator.total();
  for (const body of [hello, { ...hello, stream: true }, { ...hello, max_tokens: 1 }]) {
    const answer = await bourse.api.chat(key, body);
    const error = assertError(answer, 402, /can only afford 0\./);
    assert.equal(error.metadata.error_type, 'payment_required');
    assert.equal(error.metadata.limit_source, 'credits');
    assert.equal(error.metadata.affordable.output_tokens, 0);
    assert.equal(answer.headers['x-should-retry'], 'false');
  }
  assert.equal(await bourse.simulator.total(), before);

  await bourse.bourse('credit', 'buy', '--org', org, '--amount', '5');
  assert.equal((await bourse.api.chat(key, hello)).status, 200);
});

test('the affordable number is exact: one more is refused, exactly that many are served', async () => {
  for (const credit of ['0.00002', '0.000031234', '0.0001', '0.001000001']) {
    const { key } = await bourse.makeCustomer({ credit });
    const ask = (max_tokens) => bourse.api.chat(key, { model: MODEL, messages: user('Hello'), max_tokens });
    const before = await bourse.simulator.total();
    const error = assertError(await ask(16000), 402, /You requested up to 16000 tokens, but can only afford \d+\./);
    const affordable = error.metadata.affordable.output_tokens;
    assert.ok(affordable > 0, credit);
    assert.equal(Number(/afford (\d+)/.exec(error.message)[1]), affordable);
    // "Hello" is at most 5 tokens and costs at least 2: what is left over pays for no more than this.
    assert.ok(BigInt(affordable) * 600n <= nanoOf(credit) - 2n * 150n, `${affordable} of ${credit}`);
    assertError(await ask(affordable + 1), 402);
    assert.equal(await bourse.simulator.total(), before, 'no provider was called for a refused request');
    const served = await ask(affordable);
    assert.equal(served.status, 200, `${credit}: ${served.text}`);
    const row = await bourse.quiet().then(() => bourse.generationRow(served.json.id));
    assert.ok(row.held <= nanoOf(credit));
    assert.ok(row.charge <= row.held);
  }
});

test('what is affordable under a key limit is exact, too', async () => {
  const org = await bourse.makeOrg({ credit: '1' });
  const { key } = await bourse.makeKey(org, { limit: '0.0001' });
  const ask = (max_tokens) => bourse.api.chat(key, { model: MODEL, messages: user('Hello'), max_tokens });
  const { metadata } = assertError(await ask(1000), 402);
  assert.equal(metadata.limit_source, 'key_limit');
  assertError(await ask(metadata.affordable.output_tokens + 1), 402);
  assert.equal((await ask(metadata.affordable.output_tokens)).status, 200);
});

test('without max_tokens a hold shrinks to what is there, and the provider is told the shrunk bound', async () => {
  const { key } = await bourse.makeCustomer({ credit: '0.001' }); // about 1,600 tokens of output
  const answer = await bourse.api.chat(key, { model: MODEL, messages: user('sim:tokens=16000') });
  assert.equal(answer.status, 200, answer.text);
  const { choices, usage } = answer.json;
  assert.equal(choices[0].finish_reason, 'length');
  assert.ok(usage.completion_tokens >= 256 && usage.completion_tokens < 1700, String(usage.completion_tokens));
  assert.ok(nanoOf(answer.exact.usage.cost) <= 1_000_000n);
});

test('without max_tokens and with less than 256 tokens to afford, a request is refused', async () => {
  const { key } = await bourse.makeCustomer({ credit: '0.0001' }); // about 160 tokens of output
  const error = assertError(await bourse.api.chat(key, { model: MODEL, messages: user('Hello') }), 402);
  const affordable = error.metadata.affordable.output_tokens;
  assert.ok(affordable > 0 && affordable < 256);
  assert.equal(
    (await bourse.api.chat(key, { model: MODEL, messages: user('Hello'), max_tokens: affordable })).status,
    200,
  );
});

test('credit is spent to the end and never below', async () => {
  const { key, management } = await bourse.makeCustomer({ credit: '0.0001' });
  let told = 0n;
  let refused;
  for (let i = 0; i < 50 && !refused; i++) {
    const answer = await bourse.api.chat(key, { model: MODEL, messages: user('sim:tokens=20'), max_tokens: 20 });
    if (answer.status === 200) told += nanoOf(answer.exact.usage.cost);
    else refused = assertError(answer, 402);
  }
  assert.ok(refused);
  // 13 bytes of prompt are 4 tokens: 4 · 150 + 20 · 600 = 12,600. Seven fit, and an eighth can be held only if its bound fits.
  assert.ok(told === 7n * 12_600n || told === 6n * 12_600n, String(told));
  const { data } = (await bourse.api.get('/credits', { key: management })).exact;
  assert.equal(nanoOf(data.balance), 100_000n - told);
});

test('missing, empty, malformed and overlong keys are refused with 401, on every route that wants one', async () => {
  const { key } = await bourse.makeCustomer();
  const wrong = [
    undefined,
    '',
    ' ',
    'x',
    'sk-bourse-v1-',
    key.slice(0, -1),
    `${key}0`,
    key.toUpperCase(),
    key.replace('sk-bourse', 'sk-or'),
    'x'.repeat(10_240),
    'sk-bourse-v1-' + '0'.repeat(10_240),
    `${key},${key}`,
    `${key} ${key}`,
    'é'.repeat(62),
  ];
  const before = await bourse.simulator.total();
  for (const text of wrong) {
    const headers = text === undefined ? {} : { authorization: Buffer.from(`Bearer ${text}`).toString('latin1') };
    const body = { model: MODEL, messages: user('Hello') };
    assertError(await bourse.api.post('/chat/completions', body, { headers }), 401);
    assertError(await bourse.api.get('/key', { headers }), 401);
    assertError(await bourse.api.get('/credits', { headers }), 401);
  }
  for (const header of [`Basic ${key}`, `Bearer`, `Bearer: ${key}`])
    assertError(await bourse.api.get('/credits', { headers: { authorization: header } }), 401);
  assert.equal(await bourse.simulator.total(), before);
  assert.equal((await bourse.api.get('/key', { headers: { authorization: `bearer  ${key} ` } })).status, 200);
});

test('models and providers are public', async () => {
  for (const route of ['/models', '/models/count', '/providers', `/models/${MODEL}/endpoints`])
    assert.equal((await bourse.api.get(route)).status, 200, route);
});
