// SPDX-License-Identifier: Apache-2.0
// Another secret for the same key: both work until the old one's end, on the same limits and figures; never three; and a rotation
// whose answer was lost can be repeated.
import assert from 'node:assert/strict';
import test from 'node:test';

import { MODEL, assertError, nanoOf, user } from '../api.mjs';
import { eventually } from '../harness.mjs';
import { bourse } from './one_instance.mjs';

// 13 bytes are 4 prompt tokens at 150 nano-dollars, and 10 tokens come back at 600.
const ask = { model: MODEL, messages: user('sim:tokens=10'), max_tokens: 20 };
const COST = 4n * 150n + 10n * 600n;
const DAY_S = 86_400;

const rotate = (management, hash, body = {}, idempotencyKey) =>
  bourse.api.post(`/keys/${hash}/rotate`, body, {
    key: management,
    headers: idempotencyKey === undefined ? {} : { 'idempotency-key': idempotencyKey },
  });

async function rotated(...words) {
  const answer = await rotate(...words);
  assert.equal(answer.status, 200, answer.text);
  return answer.json;
}

async function works(key) {
  const answer = await bourse.api.chat(key, ask);
  assert.equal(answer.status, 200, answer.text);
}

async function isOver(key) {
  const served = await bourse.simulator.total();
  assertError(await bourse.api.chat(key, ask), 401, /expired/);
  assertError(await bourse.api.get('/key', { key }), 401, /expired/);
  assert.equal(await bourse.simulator.total(), served);
}

const rowOf = async (management, hash) => (await bourse.api.get(`/keys/${hash}`, { key: management })).json.data;

/** What a rotation leaves alone. */
function unchanged(row) {
  const { hash, label, updated_at, last_used_at, last_used_prefix, old_secret_expires_at, ...rest } = row;
  return rest;
}

test('a rotation makes another secret of the same key, and for a day both work and count on the same figures', async () => {
  const { management } = await bourse.makeCustomer();
  const member = (await bourse.api.post('/organization/members', { name: 'Ann' }, { key: management })).json.data.id;
  const wanted = { name: 'mine', limit: 1, limit_reset: 'weekly', member_id: member, expires_at: '2099-01-31T00:00:00.000Z' };
  const made = (await bourse.api.post('/keys', wanted, { key: management })).json;
  await works(made.key);
  const before = await rowOf(management, made.data.hash);
  const { key, data } = await rotated(management, made.data.hash);
  assert.match(key, /^sk-bourse-v1-[0-9A-Za-z]{49}$/);
  assert.notEqual(key, made.key);
  assert.notEqual(data.hash, made.data.hash);
  assert.equal(data.label, `${key.slice(0, 16)}…${key.slice(-4)}`);
  assert.deepEqual(unchanged(data), unchanged(before));
  const left_s = (Date.parse(data.old_secret_expires_at) - Date.now()) / 1000;
  assert.ok(left_s > DAY_S - 60 && left_s <= DAY_S, `${left_s} s`);

  await works(made.key);
  await works(key);
  for (const secret of [made.key, key]) {
    const own = (await bourse.api.get('/key', { key: secret })).exact.data;
    assert.equal(nanoOf(own.usage), 3n * COST);
    assert.equal(nanoOf(own.limit_remaining), 1_000_000_000n - 3n * COST);
    assert.equal(own.old_secret_expires_at, data.old_secret_expires_at);
  }
  // By either hash it is the one key, and it is listed once.
  assert.deepEqual(await rowOf(management, made.data.hash), await rowOf(management, data.hash));
  const listed = (await bourse.api.get('/keys', { key: management })).json.data.filter((row) => row.name === 'mine');
  assert.deepEqual(listed.map((row) => row.hash), [data.hash]);
  const later = await bourse.api.get('/keys', { key: management });
  assert.ok(!later.text.includes(key.slice(16, -4)), 'shown once');
});

test('the old secret ends at its time, to the next request, and the new one does not', async () => {
  const { key: old, hash, management } = await bourse.makeCustomer();
  await works(old);
  const { key, data } = await rotated(management, hash, { overlap_seconds: 3 });
  await works(old);
  await eventually(() => isOver(old), { deadline_ms: 6000 });
  assert.ok(Date.now() >= Date.parse(data.old_secret_expires_at), 'not before its time');
  await works(key);
  assertError(await bourse.api.get(`/keys/${hash}`, { key: management }), 404);
  assertError(await bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body: { disabled: true } }), 404);
  assertError(await rotate(management, hash), 404);
  assert.equal((await rowOf(management, data.hash)).old_secret_expires_at, null);
});

test('without an overlap the old secret stops at its very next request, on every thread', async () => {
  const { key: old, hash, management } = await bourse.makeCustomer();
  const onAll = () => Promise.all(Array.from({ length: 16 }, () => bourse.api.chat(old, ask, { agent: false })));
  for (const answer of await onAll()) assert.equal(answer.status, 200, answer.text);
  const { key, data } = await rotated(management, hash, { overlap_seconds: 0 });
  assert.equal(data.old_secret_expires_at, null);
  const served = await bourse.simulator.total();
  for (const answer of await onAll()) assertError(answer, 401, /expired/);
  assert.equal(await bourse.simulator.total(), served);
  await works(key);
});

test('a rotation within an overlap ends the oldest secret: at most two work', async () => {
  const { key: first, hash, management } = await bourse.makeCustomer();
  const second = await rotated(management, hash);
  await works(first);
  const third = await rotated(management, second.data.hash, { overlap_seconds: 3600 });
  await isOver(first);
  await works(second.key);
  await works(third.key);
  const left_s = (Date.parse(third.data.old_secret_expires_at) - Date.now()) / 1000;
  assert.ok(left_s > 3540 && left_s <= 3600, `${left_s} s`);
  await rotated(management, third.data.hash, { overlap_seconds: 0 });
  for (const { key } of [second, third]) await isOver(key);
});

test('a rotation that is repeated with its Idempotency-Key replaces what it made and leaves the old secret its end', async () => {
  const { key: old, hash, management } = await bourse.makeCustomer();
  const lost = await rotated(management, hash, { overlap_seconds: 1000 }, 'monday');
  const again = await rotated(management, hash, { overlap_seconds: 1000 }, 'monday');
  assert.notEqual(again.key, lost.key);
  assert.equal(again.data.old_secret_expires_at, lost.data.old_secret_expires_at);
  await isOver(lost.key);
  await works(old);
  await works(again.key);
  // The next rotation is another, and after it the first cannot be repeated any more.
  const next = await rotated(management, again.data.hash, {}, 'tuesday');
  await isOver(old);
  assertError(await rotate(management, again.data.hash, { overlap_seconds: 1000 }, 'monday'), 409);
  await works(again.key);
  await works(next.key);
});

test('a rotation without an overlap can be repeated, too, by the hash that it ended', async () => {
  const { key: old, hash, management } = await bourse.makeCustomer();
  const lost = await rotated(management, hash, { overlap_seconds: 0 }, 'now');
  assertError(await rotate(management, hash, { overlap_seconds: 0 }, 'another'), 404);
  const again = await rotated(management, hash, { overlap_seconds: 0 }, 'now');
  for (const key of [old, lost.key]) await isOver(key);
  await works(again.key);
});

test('twenty rotations at once leave two secrets that work', async () => {
  const { hash, management } = await bourse.makeCustomer();
  const answers = await Promise.all(Array.from({ length: 20 }, () => rotate(management, hash)));
  const made = answers.filter((answer) => answer.status === 200).map((answer) => answer.json.key);
  assert.ok(made.length >= 1);
  // Whoever comes when the hash has ended finds no key by it.
  for (const answer of answers) if (answer.status !== 200) assertError(answer, 404);
  const after = await Promise.all(made.map((key) => bourse.api.chat(key, ask)));
  assert.equal(after.filter((answer) => answer.status === 200).length, Math.min(made.length, 2));
});

test('whatever changes a key changes it for both secrets', async () => {
  const { key: old, hash, management } = await bourse.makeCustomer();
  const { key, data } = await rotated(management, hash);
  const secrets = [old, key];
  const change = (place, body) => bourse.api.request('PATCH', `/keys/${place}`, { key: management, body });
  for (const secret of secrets) await works(secret);
  assert.equal((await change(hash, { disabled: true })).status, 200);
  for (const secret of secrets) assertError(await bourse.api.chat(secret, ask), 401, /disabled/);
  assert.equal((await change(data.hash, { disabled: false })).status, 200);
  for (const secret of secrets) await works(secret);
  const limits = (body) => bourse.api.request('PATCH', `/limits?owner=key:${hash}`, { key: management, body });
  assert.equal((await limits({ daily: 0 })).status, 200);
  for (const secret of secrets) assertError(await bourse.api.chat(secret, ask), 402);
  assert.equal((await limits({ daily: null })).status, 200);
  for (const secret of secrets) await works(secret);
  assert.equal((await bourse.api.request('DELETE', `/keys/${hash}`, { key: management })).status, 200);
  for (const secret of secrets) assertError(await bourse.api.chat(secret, ask), 401, /not valid/);
  assertError(await rotate(management, data.hash), 404);
});

test('both secrets share one limit of money and one of requests at once', async () => {
  const { org, management } = await bourse.makeCustomer();
  // 30,000 nano-dollars: a request holds more than 16,800 of them and costs 6,600, so a third is refused.
  const { key: old, hash } = await bourse.makeKey(org, { limit: '0.00003' });
  const { key } = await rotated(management, hash);
  await works(old);
  await works(key);
  for (const secret of [old, key])
    assert.equal(assertError(await bourse.api.chat(secret, ask), 402).metadata.limit_source, 'key_limit');

  const rated = (await bourse.api.post('/keys', { name: 'r', rate_limit: { concurrent_requests: 1 } }, { key: management })).json;
  const next = await rotated(management, rated.data.hash);
  await bourse.simulator.fault('openai', { kind: 'stall', after_chunks: 2 });
  const stream = await bourse.api.openStream(rated.key, ask);
  await stream.readContent(2);
  assertError(await bourse.api.chat(next.key, ask), 429);
  await bourse.simulator.clearFaults();
  await stream.readAll();
  assert.ok(stream.isDone);
  await works(next.key);
});

test('an answer that runs on the old secret ends well after the secret, and is billed', async () => {
  const { key: old, hash, management } = await bourse.makeCustomer();
  await bourse.simulator.fault('openai', { kind: 'stall', after_chunks: 2 });
  const stream = await bourse.api.openStream(old, ask);
  await stream.readContent(2);
  const { key } = await rotated(management, hash, { overlap_seconds: 0 });
  await bourse.simulator.clearFaults();
  await stream.readAll();
  assert.ok(stream.isDone);
  assert.equal(stream.cost, COST);
  await isOver(old);
  assert.equal(nanoOf((await bourse.api.get('/key', { key })).exact.data.usage), COST);
});

test('who may rotate what', async () => {
  const { org, key, hash, management } = await bourse.makeCustomer();
  const { management: stranger } = await bourse.makeCustomer();
  const { key: second, hash: secondHash } = await bourse.makeKey(org, { management: true });
  assertError(await rotate(key, hash), 403);
  assertError(await rotate(stranger, hash), 404);
  assertError(await rotate(management, secondHash), 403, /by itself or by an operator/);
  await works(key);
  assert.equal((await bourse.api.get('/keys', { key: second })).status, 200);
  // Itself, and then by both secrets until the overlap is over.
  const own = await rotated(second, secondHash, { overlap_seconds: 0 });
  assertError(await bourse.api.get('/keys', { key: second }), 401);
  assert.equal((await bourse.api.get('/keys', { key: own.key })).status, 200);
  assert.equal(own.data.is_management_key, true);
  const words = ['key', 'rotate', '--org', org, '--hash', own.data.hash, '--overlap', '0'];
  const byOperator = await bourse.bourse(...words);
  assert.deepEqual(Object.keys(byOperator), ['key', 'hash']);
  assertError(await bourse.api.get('/keys', { key: own.key }), 401);
  assert.equal((await bourse.api.get(`/keys/${byOperator.hash}`, { key: byOperator.key })).status, 200);
  assert.match(await bourse.bourseFails(...words), /404/);
});

test('a disabled key is rotated and stays disabled', async () => {
  const { key: old, hash, management } = await bourse.makeCustomer();
  await bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body: { disabled: true } });
  const { key, data } = await rotated(management, hash);
  assert.equal(data.disabled, true);
  for (const secret of [old, key]) assertError(await bourse.api.chat(secret, ask), 401, /disabled/);
});

test('an overlap is a whole number of seconds up to seven days, and what is refused changes nothing', async () => {
  const { key: old, hash, management } = await bourse.makeCustomer();
  const before = await rowOf(management, hash);
  for (const value of ['-1', '604801', '1.5', '"5"', 'null', 'true', '[]', '1e400', '9223372036854775808'])
    assertError(await rotate(management, hash, `{"overlap_seconds":${value}}`), 400, /^overlap_seconds must be/);
  for (const body of ['{"overlap":5}', '{"name":"x"}']) assertError(await rotate(management, hash, body), 400, /overlap_seconds/);
  for (const body of ['', '[]', '5', '{', '{"overlap_seconds":1,"overlap_seconds":2}'])
    assertError(await rotate(management, hash, body), 400);
  assertError(await rotate(management, hash, {}, 'x'.repeat(256)), 400, /255/);
  for (const place of ['xyz', '0'.repeat(64), `${hash}0`]) assertError(await rotate(management, place), 404);
  const { last_used_at, last_used_prefix, ...row } = await rowOf(management, hash);
  const { last_used_at: a, last_used_prefix: b, ...was } = before;
  assert.deepEqual(row, was);
  await works(old);
  const { data } = await rotated(management, hash, { overlap_seconds: 604_800 });
  const left_s = (Date.parse(data.old_secret_expires_at) - Date.now()) / 1000;
  assert.ok(left_s > 604_740 && left_s <= 604_800, `${left_s} s`);
});
