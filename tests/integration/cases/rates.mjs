// SPDX-License-Identifier: Apache-2.0
// How fast may be asked: a key's own limits, and those of free models for a whole organization. Minutes are UTC's and fixed, so a
// test that counts in one begins where enough of it is left.
import assert from 'node:assert/strict';
import http from 'node:http';
import test from 'node:test';

import { MODEL, assertError, user } from '../api.mjs';
import { loadModels } from '../catalog.mjs';
import { eventually } from '../harness.mjs';
import { bourse } from './one_instance.mjs';

const FREE = 'test/gift:free';
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
const hello = { model: MODEL, messages: user('Hello'), max_tokens: 10 };
const gift = { ...hello, model: FREE };

bourse.prepare(async () => {
  await loadModels(bourse, { [FREE.slice('test/'.length)]: { prompt: '0', completion: '0' } });
  const { key } = await bourse.makeCustomer();
  await eventually(async () => assert.equal((await bourse.api.chat(key, gift)).status, 200));
});

/** A customer and a key of his with these limits. */
async function limited(rate_limit, { credit = '1' } = {}) {
  const customer = await bourse.makeCustomer({ credit });
  const made = await bourse.api.post('/keys', { name: 'limited', rate_limit }, { key: customer.management });
  assert.equal(made.status, 201, made.text);
  return { ...customer, key: made.json.key, hash: made.json.data.hash };
}

const patch = ({ hash, management }, body) =>
  bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body });

/** At least that many seconds of the running minute are left. */
const minuteWith = (seconds) =>
  eventually(() => assert.ok(new Date().getUTCSeconds() < 60 - seconds), { deadline_ms: 61_000, every_ms: 200 });

const minuteEnd = () => Math.ceil(Date.now() / 60_000) * 60_000;

function assertRefused(answer, { source = 'key_rate_limit', name, limit, remaining = 0 }) {
  const { metadata } = assertError(answer, 429);
  assert.equal(metadata.error_type, 'rate_limit_exceeded');
  assert.equal(metadata.limit_source, source);
  assert.equal(metadata.limit_name, name);
  assert.equal(metadata.limit, limit);
  assert.equal(metadata.remaining, remaining);
  assert.equal(answer.headers['x-ratelimit-limit'], String(limit));
  assert.equal(answer.headers['x-ratelimit-remaining'], String(remaining));
  assert.equal(Date.parse(metadata.resets_at), Number(answer.headers['x-ratelimit-reset']));
  assert.ok(Number(answer.headers['retry-after']) >= 1);
  return metadata;
}

async function balanceOf({ management }) {
  return (await bourse.api.get('/credits', { key: management })).exact.data;
}

// ---- at once

test('200 requests at once on a key with room for three at a time: exactly three pass, and the rest costs nothing', async () => {
  const customer = await limited({ concurrent_requests: 3 });
  const served = await bourse.simulator.total();
  await bourse.simulator.fault('openai', { kind: 'hold' });
  const answers = [];
  const running = Array.from({ length: 200 }, () =>
    bourse.api.chat(customer.key, hello, { agent }).then((answer) => answers.push(answer)),
  );
  await eventually(async () => assert.equal(answers.length + (await bourse.simulator.total()) - served, 200));
  assert.equal((await bourse.simulator.total()) - served, 3);
  assert.equal(answers.length, 197);
  for (const answer of answers) {
    assertRefused(answer, { name: 'concurrent_requests', limit: 3 });
    assert.equal(answer.headers['retry-after'], '1');
  }
  await bourse.simulator.clearFaults();
  await Promise.all(running);
  assert.equal(answers.filter((answer) => answer.status === 200).length, 3);
  // Each refusal left the place as it was: three are free again.
  const after = await Promise.all(Array.from({ length: 3 }, () => bourse.api.chat(customer.key, hello, { agent })));
  for (const answer of after) assert.equal(answer.status, 200, answer.text);
  assert.equal((await balanceOf(customer)).held, '#0');
  assert.equal(
    await bourse.quiet().then(() =>
      bourse.sqlValue('select count(*) from generation where org = $1', [customer.orgNumber]),
    ),
    6n,
  );
});

test('a place is free before the last byte of its answer can be read', async () => {
  const { key } = await limited({ concurrent_requests: 1 });
  for (let i = 0; i < 25; i++) {
    const stream = await bourse.api.stream(key, hello);
    assert.equal(stream.status, 200, `request ${2 * i}: ${stream.text}`);
    assert.ok(stream.isDone);
    const whole = await bourse.api.chat(key, hello);
    assert.equal(whole.status, 200, `request ${2 * i + 1}: ${whole.text}`);
  }
});

test('the place of a client that leaves, and of one whose request fails, is free again', async () => {
  const { key } = await limited({ concurrent_requests: 1 });
  await bourse.simulator.fault('openai', { kind: 'stall', after_chunks: 2 });
  const stream = await bourse.api.openStream(key, { ...hello, messages: user('sim:tokens=100'), max_tokens: 100 });
  await stream.readContent(2);
  assertRefused(await bourse.api.chat(key, hello), { name: 'concurrent_requests', limit: 1 });
  stream.leave();
  await bourse.simulator.clearFaults();
  await eventually(async () => assert.equal((await bourse.api.chat(key, hello)).status, 200));

  await bourse.simulator.fault('openai', { kind: 'status', status: 500 });
  assert.equal((await bourse.api.chat(key, hello)).status, 502);
  await bourse.simulator.clearFaults();
  await eventually(async () => assert.equal((await bourse.api.chat(key, hello)).status, 200));
});

test('the places of an edge that is killed are free once its requests are known to be over', async () => {
  const { key } = await limited({ concurrent_requests: 2 });
  await bourse.simulator.fault('openai', { kind: 'hold' });
  const served = await bourse.simulator.total();
  const lost = [bourse.api.chat(key, hello), bourse.api.chat(key, hello)].map((answer) => answer.catch(() => 'broken'));
  await eventually(async () => assert.equal((await bourse.simulator.total()) - served, 2));
  await bourse.killAndWait('edge');
  assert.deepEqual(await Promise.all(lost), ['broken', 'broken']);
  await bourse.simulator.clearFaults();
  await eventually(
    async () => {
      const both = await Promise.all([bourse.api.chat(key, hello), bourse.api.chat(key, hello)]);
      for (const answer of both) assert.equal(answer.status, 200);
    },
    { deadline_ms: 20_000, every_ms: 200 },
  );
});

test('a ledger that is killed knows what runs', async () => {
  const { key } = await limited({ concurrent_requests: 1 });
  await bourse.simulator.fault('openai', { kind: 'hold' });
  const served = await bourse.simulator.total();
  const running = bourse.api.chat(key, hello);
  await eventually(async () => assert.equal((await bourse.simulator.total()) - served, 1));
  await bourse.killAndWait('ledger');
  await bourse.ready();
  assertRefused(await bourse.api.chat(key, hello), { name: 'concurrent_requests', limit: 1 });
  await bourse.simulator.clearFaults();
  assert.equal((await running).status, 200);
  assert.equal((await bourse.api.chat(key, hello)).status, 200);
});

// ---- in a minute

test('requests of a minute: what is left is said with each answer, and the next is refused without a cost', async () => {
  const customer = await limited({ requests_per_minute: 3 });
  await minuteWith(15);
  const end = minuteEnd();
  for (const left of ['2', '1', '0']) {
    const answer = await bourse.api.chat(customer.key, hello);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers['x-ratelimit-limit'], '3');
    assert.equal(answer.headers['x-ratelimit-remaining'], left);
    assert.equal(answer.headers['x-ratelimit-reset'], String(end));
  }
  const before = await balanceOf(customer);
  const served = await bourse.simulator.total();
  const answer = await bourse.api.chat(customer.key, { ...hello, stream: true });
  assertRefused(answer, { name: 'requests_per_minute', limit: 3 });
  assert.equal(answer.headers['x-ratelimit-reset'], String(end));
  const wait_s = Number(answer.headers['retry-after']);
  assert.ok(wait_s <= 60 && Date.now() + wait_s * 1000 >= end - 1000, String(wait_s));
  assert.equal(await bourse.simulator.total(), served);
  assert.deepEqual(await balanceOf(customer), before);
  // A request that money refuses is none: the limit is raised by one, which is used by the next that can be paid.
  assert.equal((await patch(customer, { rate_limit: { requests_per_minute: 4 } })).status, 200);
  assertError(await bourse.api.chat(customer.key, { ...hello, model: 'openai/gpt-4o', max_tokens: 16000, n: 8 }), 402);
  assert.equal((await bourse.api.chat(customer.key, hello)).status, 200);
  assertRefused(await bourse.api.chat(customer.key, hello), { name: 'requests_per_minute', limit: 4 });
  assert.equal((await patch(customer, { rate_limit: null })).status, 200);
  const unlimited = await bourse.api.chat(customer.key, hello);
  assert.equal(unlimited.status, 200);
  assert.equal(unlimited.headers['x-ratelimit-limit'], undefined);
});

test('tokens of a minute: all that is asked for counts at first, what was used in the end', async () => {
  const customer = await limited({ tokens_per_minute: 1000 });
  await minuteWith(15);
  // 12 bytes are 3 tokens of prompt; the answer has 7.
  const ask = (max_tokens) =>
    bourse.api.chat(customer.key, { model: MODEL, messages: user('sim:tokens=7'), max_tokens });
  assertRefused(await ask(998), { name: 'tokens_per_minute', limit: 1000, remaining: 1000 });
  assert.equal((await ask(997)).status, 200); // and used 10
  assertRefused(await ask(988), { name: 'tokens_per_minute', limit: 1000, remaining: 990 });
  assert.equal((await ask(987)).status, 200);
  // Without max_tokens the request is made to fit: 980 are left, 976 of them for the answer to a prompt of 15 bytes.
  const { json } = await bourse.api.chat(customer.key, { model: MODEL, messages: user('sim:tokens=5000') });
  assert.equal(json.usage.completion_tokens, 976);
  assert.equal(json.choices[0].finish_reason, 'length');
  assertRefused(await ask(1), { name: 'tokens_per_minute', limit: 1000, remaining: 0 });
});

// ---- the fields

test('the limits of a key are shown as they were given, and changed where they are named', async () => {
  const none = { requests_per_minute: null, tokens_per_minute: null, concurrent_requests: null };
  const customer = await limited({ requests_per_minute: 100, concurrent_requests: 5 });
  const shown = async () => (await bourse.api.get(`/keys/${customer.hash}`, { key: customer.management })).json.data;
  assert.deepEqual((await shown()).rate_limit, { ...none, requests_per_minute: 100, concurrent_requests: 5 });
  const own = (await bourse.api.get('/key', { key: customer.key })).json.data.rate_limit;
  assert.equal(own.requests, 100);
  assert.equal(own.interval, '1m');
  assert.equal(own.concurrent_requests, 5);
  await patch(customer, { rate_limit: { tokens_per_minute: 9, concurrent_requests: null } });
  assert.deepEqual((await shown()).rate_limit, { ...none, requests_per_minute: 100, tokens_per_minute: 9 });
  await patch(customer, { name: 'renamed' });
  assert.deepEqual((await shown()).rate_limit, { ...none, requests_per_minute: 100, tokens_per_minute: 9 });
  await patch(customer, { rate_limit: null });
  assert.equal((await shown()).rate_limit, null);
  assert.equal((await bourse.api.get('/key', { key: customer.key })).json.data.rate_limit.requests, -1);
});

test('a limit that nobody could keep to is refused, and changes nothing', async () => {
  const customer = await limited({ requests_per_minute: 7 });
  const bad = [
    ...[0, -1, 1.5, 2147483648, '3', true, []].map((value) => ({ requests_per_minute: value })),
    { requests_per_hour: 3 },
    [],
    'fast',
    60,
  ];
  for (const rate_limit of bad) {
    assertError(await patch(customer, { rate_limit }), 400, /rate_limit must be/);
    assertError(await bourse.api.post('/keys', { name: 'x', rate_limit }, { key: customer.management }), 400);
  }
  assertError(
    await patch(customer, '{"rate_limit":{"concurrent_requests":3,"concurrent_requests":4}}'),
    400,
    /rate_limit must be/,
  );
  const { data } = (await bourse.api.get(`/keys/${customer.hash}`, { key: customer.management })).json;
  assert.equal(data.rate_limit.requests_per_minute, 7);
});

// ---- free models

const freeRequests = async (key) => (await bourse.api.get('/key', { key })).json.data.free_model_daily_requests;

test('of free models an organization asks 20 times a minute, whichever of its keys does', async () => {
  const org = await bourse.makeOrg(); // without any credit
  const [a, b] = [await bourse.makeKey(org), await bourse.makeKey(org)];
  assert.deepEqual(await freeRequests(a.key), { used: 0, limit: 50, remaining: 50 });
  await minuteWith(20);
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, i) => bourse.api.chat((i % 2 ? a : b).key, gift, { agent })),
  );
  const served = answers.filter((answer) => answer.status === 200);
  assert.equal(served.length, 20);
  for (const answer of served) {
    assert.equal(answer.json.usage.cost, 0);
    assert.equal(answer.headers['x-ratelimit-limit'], '20');
  }
  const refused = answers.filter((answer) => answer.status !== 200);
  for (const answer of refused)
    assertRefused(answer, { source: 'free_models_rate_limit', name: 'requests_per_minute', limit: 20 });
  assert.deepEqual(await freeRequests(b.key), { used: 20, limit: 50, remaining: 30 });
  // Other models are another class, and another organization is not bound.
  assertError(await bourse.api.chat(a.key, hello), 402);
  const { key } = await bourse.makeCustomer();
  assert.equal((await bourse.api.chat(key, gift)).status, 200);
});

test('of free models an organization asks 50 times a day, also across a restart, and 1,000 times once $10 were bought', async () => {
  const org = await bourse.makeOrg();
  const { key } = await bourse.makeKey(org);
  await bourse.bourse('plan', 'create', '--name', 'plan without minutes', '--like', 'pay-as-you-go');
  await bourse.bourse('plan', 'limit', 'plan without minutes', '--free-requests', '0');
  await bourse.bourse('plan', 'assign', 'plan without minutes', '--org', org);
  const ask = () => bourse.api.chat(key, gift, { agent });
  const answers = await Promise.all(Array.from({ length: 60 }, ask));
  assert.equal(answers.filter((answer) => answer.status === 200).length, 50);
  const day = { source: 'free_models_rate_limit', name: 'requests_per_day', limit: 50 };
  for (const answer of answers.filter((one) => one.status !== 200)) assertRefused(answer, day);
  assert.deepEqual(await freeRequests(key), { used: 50, limit: 50, remaining: 0 });

  await bourse.killAndWait('ledger');
  await bourse.ready();
  assertRefused(await ask(), day);
  const midnight = new Date();
  midnight.setUTCHours(24, 0, 0, 0);
  assert.equal(assertRefused(await ask(), day).resets_at, midnight.toISOString());

  // Given credit was not bought; five dollars are not ten.
  await bourse.bourse('credit', 'grant', '--org', org, '--amount', '100');
  assertRefused(await ask(), day);
  await bourse.bourse('credit', 'buy', '--org', org, '--amount', '5');
  assertRefused(await ask(), day);
  await bourse.bourse('credit', 'buy', '--org', org, '--amount', '5');
  assert.equal((await ask()).status, 200);
  assert.deepEqual(await freeRequests(key), { used: 51, limit: 1000, remaining: 949 });
});

test('the limits of a plan are set one by one, and hold for all keys of an organization together', async () => {
  const usual = {
    paid_requests_per_minute: null,
    paid_tokens_per_minute: null,
    paid_concurrent_requests: null,
    free_requests_per_minute: 20,
    free_tokens_per_minute: null,
    free_concurrent_requests: null,
    free_requests_per_day: 50,
    free_requests_per_day_bought: 1000,
    free_bought: 10,
  };
  await bourse.bourse('plan', 'create', '--name', 'plan slow', '--like', 'pay-as-you-go');
  assert.deepEqual(await bourse.bourse('plan', 'rates', 'plan slow'), usual);
  await bourse.bourse('plan', 'limit', 'plan slow', '--paid-concurrent', '1', '--free-bought', '2.50', '--free-day', '0');
  const slow = { ...usual, paid_concurrent_requests: 1, free_bought: 2.5, free_requests_per_day: null };
  assert.deepEqual(await bourse.bourse('plan', 'rates', 'plan slow'), slow);
  for (const words of [
    ['--paid-requests', '-1'],
    ['--paid-requests', '2147483648'],
    ['--free-bought', '-1'],
  ])
    assert.match(await bourse.bourseFails('plan', 'limit', 'plan slow', ...words), /400|dollars/, words.join(' '));
  assert.match(await bourse.bourseFails('plan', 'limit', 'none', '--paid-requests', '1'), /404/);
  assert.deepEqual(await bourse.bourse('plan', 'rates', 'plan slow'), slow);
  assert.deepEqual(await bourse.bourse('plan', 'rates', 'pay-as-you-go'), usual);

  const org = await bourse.makeOrg({ credit: '1' });
  await bourse.bourse('plan', 'assign', 'plan slow', '--org', org);
  const [a, b] = [await bourse.makeKey(org), await bourse.makeKey(org)];
  await bourse.simulator.fault('openai', { kind: 'hold' });
  const served = await bourse.simulator.total();
  const running = bourse.api.chat(a.key, hello);
  await eventually(async () => assert.equal((await bourse.simulator.total()) - served, 1));
  const source = 'paid_models_rate_limit';
  assertRefused(await bourse.api.chat(b.key, hello), { source, name: 'concurrent_requests', limit: 1 });
  await bourse.simulator.clearFaults();
  assert.equal((await running).status, 200);
  assert.equal((await bourse.api.chat(b.key, hello)).status, 200);
  assert.deepEqual(await freeRequests(a.key), { used: 0, limit: null, remaining: null });
});
