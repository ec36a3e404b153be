// SPDX-License-Identifier: Apache-2.0
// When and from which network a key was last used: the first use of each minute, whatever became of it, through a crash, too.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import test from 'node:test';

import { MODEL, assertError, user } from '../api.mjs';
import { BUILD, eventually } from '../harness.mjs';
import { bourse } from './one_instance.mjs';

const hello = { model: MODEL, messages: user('Hello') };
const LOCAL = '127.0.0.0/24'; // the tests' own network

const rowOf = async (management, hash) => (await bourse.api.get(`/keys/${hash}`, { key: management })).json.data;

/** Times are PostgreSQL's, carried on by the machine's clock: a moment's difference is none. */
function assertBetween(text, from_ms, to_ms) {
  const at_ms = Date.parse(text);
  assert.ok(at_ms >= from_ms - 100 && at_ms <= to_ms + 100, `${text} is not between ${from_ms} and ${to_ms}`);
}

/** Once it was posted: at the latest with the next that is. */
const usedOnce = (management, hash) =>
  eventually(async () => {
    const row = await rowOf(management, hash);
    assert.notEqual(row.last_used_at, null);
    return row;
  });

test('a key that was never used says so, and after a request when and from where', async () => {
  const { key, hash, management } = await bourse.makeCustomer();
  const fresh = await rowOf(management, hash);
  assert.equal(fresh.last_used_at, null);
  assert.equal(fresh.last_used_prefix, null);
  const from_ms = Date.now();
  assert.equal((await bourse.api.chat(key, hello)).status, 200);
  const row = await rowOf(management, hash);
  assertBetween(row.last_used_at, from_ms, Date.now());
  assert.equal(row.last_used_prefix, LOCAL);
  const listed = (await bourse.api.get('/keys', { key: management })).json.data.find((other) => other.hash === hash);
  assert.equal(listed.last_used_at, row.last_used_at);
  const own = (await bourse.api.get('/key', { key })).json.data;
  assert.equal(own.last_used_prefix, LOCAL);
  assertBetween(own.last_used_at, Date.parse(row.last_used_at), Date.now());
});

test('a management key is used by what it asks of the control plane', async () => {
  const org = await bourse.makeOrg();
  const { key, hash } = await bourse.makeKey(org, { management: true });
  const [before] = (await bourse.bourse('key', 'list', '--org', org)).data;
  assert.equal(before.last_used_at, null, 'an operator uses no key');
  const from_ms = Date.now();
  assert.equal((await bourse.api.get('/credits', { key })).status, 200);
  const to_ms = Date.now();
  const row = await eventually(async () => {
    const [found] = (await bourse.bourse('key', 'list', '--org', org)).data;
    assert.notEqual(found.last_used_at, null);
    return found;
  });
  assert.equal(row.hash, hash);
  assertBetween(row.last_used_at, from_ms, to_ms);
  assert.equal(row.last_used_prefix, LOCAL);
});

test('a request that is refused for money is a use, one with a key that may not ask is none', async () => {
  const org = await bourse.makeOrg();
  const { key, hash } = await bourse.makeKey(org);
  const { key: management } = await bourse.makeKey(org, { management: true });
  assertError(await bourse.api.chat(key, hello), 402);
  assert.equal((await usedOnce(management, hash)).last_used_prefix, LOCAL);

  const { key: second, hash: secondHash } = await bourse.makeKey(org);
  await bourse.api.request('PATCH', `/keys/${secondHash}`, { key: management, body: { disabled: true } });
  assertError(await bourse.api.chat(second, hello), 401);
  assertError(await bourse.api.get('/key', { key: second }), 401);
  await bourse.quiet();
  assert.equal((await rowOf(management, secondHash)).last_used_at, null);
});

test('within a minute the row of a key is written once', async () => {
  const { key, hash, management, orgNumber } = await bourse.makeCustomer();
  const minute = () => Math.floor(Date.now() / 60_000);
  const state = async () => {
    await bourse.quiet();
    return bourse.sql('select key, used_ns, xmin::text from key_use where org = $1 order by key', [String(orgNumber)]);
  };
  for (let tries = 0; ; tries++) {
    const began = minute();
    assert.equal((await bourse.api.chat(key, hello)).status, 200);
    await rowOf(management, hash);
    const before = await state();
    assert.equal(before.length, 2); // the key and the one that looked at it
    for (let i = 0; i < 5; i++) assert.equal((await bourse.api.chat(key, hello)).status, 200);
    await rowOf(management, hash);
    const after = await state();
    if (minute() !== began && tries === 0) continue; // the minute turned on the way
    assert.deepEqual(after, before);
    return;
  }
});

test('what was noted survives kill -9 of the ledger', async () => {
  const { key, hash, management } = await bourse.makeCustomer();
  const from_ms = Date.now();
  assert.equal((await bourse.api.chat(key, hello)).status, 200);
  const to_ms = Date.now();
  await bourse.killAndWait('ledger');
  const row = await rowOf(management, hash);
  assertBetween(row.last_used_at, from_ms, to_ms);
  assert.equal(row.last_used_prefix, LOCAL);
});

test('no more of an address than its network can be stored', async () => {
  const store = (prefix) =>
    bourse.asOwner(`begin; insert into key_use values (1, 1, 1, '${prefix}'); rollback`);
  for (const whole of ['203.0.113.77/32', '203.0.112.0/23', '2001:db8:1::5/128', '2001:db8::/32', '2001:db8:1:2::/64'])
    await assert.rejects(store(whole), /key_use_prefix_check|violates check/);
  for (const network of ['203.0.113.0/24', '2001:db8:1::/48']) await store(network);
});

test('a batch of uses alone is one of the chain: its audit and verification find nothing', async () => {
  const org = await bourse.makeOrg();
  const { key, hash } = await bourse.makeKey(org, { management: true });
  await bourse.quiet();
  const batches = () => bourse.sqlValue('select count(*) from batch where rows = 0');
  const before = await batches();
  assert.equal((await bourse.api.get('/organization', { key })).status, 200);
  await usedOnce(key, hash);
  await bourse.quiet();
  assert.ok((await batches()) > before);
  const { status, stdout, stderr } = spawnSync(path.join(BUILD, 'bourse'), ['ledger', 'verify'], {
    env: bourse.environment(),
    encoding: 'utf8',
  });
  assert.equal(status, 0, stdout + stderr);
  assert.match(stdout, / 0 differences$/m);
});
