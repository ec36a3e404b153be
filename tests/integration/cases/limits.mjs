// SPDX-License-Identifier: Apache-2.0
// Limits above the key: of its member, its workspace, its organization, for life, by day, week and month, any of them at once. The
// narrowest refuses and is named; a limit set late counts what was spent before it; 200 at once never overspend one.
import assert from 'node:assert/strict';
import test from 'node:test';

import { MODEL, assertError, nanoOf, user } from '../api.mjs';
import { within } from '../harness.mjs';
import { bourse } from './one_instance.mjs';

// 13 bytes are 4 prompt tokens at 150 nano-dollars, and 10 tokens come back at 600.
const ask = { model: MODEL, messages: user('sim:tokens=10'), max_tokens: 20 };
const COST = 4n * 150n + 10n * 600n;
const CADENCES = [null, 'daily', 'weekly', 'monthly'];

async function makeMember(management, name = 'Ann') {
  const answer = await bourse.api.post('/organization/members', { name, email: 'ann@example.org' }, { key: management });
  assert.equal(answer.status, 201, answer.text);
  return answer.json.data.id;
}

async function makeKeyOf(management, member) {
  const answer = await bourse.api.post('/keys', { name: 'of a member', member_id: member }, { key: management });
  assert.equal(answer.status, 201, answer.text);
  assert.equal(answer.json.data.member_id, member);
  return answer.json.key;
}

function setLimits(management, owner, body) {
  return bourse.api.request('PATCH', `/limits?owner=${owner}`, { key: management, body });
}

async function limitsOf(management, owner) {
  const { data } = (await bourse.api.get(`/limits?owner=${owner}`, { key: management })).exact;
  assert.deepEqual(
    data.map((limit) => limit.limit_reset),
    CADENCES,
  );
  return data;
}

async function refusal(key, status, source) {
  const error = assertError(await bourse.api.chat(key, ask), status);
  assert.equal(error.metadata.limit_source, source);
  return error.metadata;
}

async function served(key) {
  const answer = await bourse.api.chat(key, ask);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(nanoOf(answer.exact.usage.cost), COST);
}

function nextMidnight() {
  const midnight = new Date();
  return midnight.setUTCHours(24, 0, 0, 0);
}

test("a member's limit binds all keys of the member, and nobody else's", async () => {
  const { key: other, management } = await bourse.makeCustomer({ credit: '1' });
  const member = await makeMember(management);
  const keys = [await makeKeyOf(management, member), await makeKeyOf(management, member)];
  // Room for two answers and a hold of 20 tokens, not for a third.
  assert.equal((await setLimits(management, `member:${member}`, { daily: 0.00003 })).status, 200);
  await served(keys[0]);
  await served(keys[1]);
  const { resets_at: resets } = await refusal(keys[0], 402, 'member_limit');
  assert.equal(Date.parse(resets), nextMidnight());
  await refusal(keys[1], 402, 'member_limit');
  await served(other);
  const [, daily] = await limitsOf(management, `member:${member}`);
  assert.equal(nanoOf(daily.usage), 2n * COST);
  assert.equal(nanoOf(daily.limit_remaining), 30_000n - 2n * COST);
  assert.equal(Date.parse(daily.limit_resets_at), nextMidnight());
});

test("an organization's limit counts what was spent before it was set, and every key of it", async () => {
  const { org, key, management } = await bourse.makeCustomer({ credit: '1' });
  const { key: second } = await bourse.makeKey(org);
  await served(key);
  await served(second);
  const before = await limitsOf(management, 'organization');
  for (const limit of before) assert.equal(nanoOf(limit.usage), 2n * COST);
  assert.equal((await setLimits(management, 'organization', { monthly: 0.00003, lifetime: 5 })).status, 200);
  await refusal(second, 402, 'org_limit');
  const [life, , , monthly] = await limitsOf(management, 'organization');
  assert.equal(nanoOf(monthly.usage), 2n * COST);
  assert.equal(nanoOf(life.limit_remaining), 5_000_000_000n - 2n * COST);
  assert.equal((await setLimits(management, 'organization', { monthly: null })).status, 200);
  await served(key);
  assert.equal(nanoOf((await limitsOf(management, 'organization'))[3].usage), 3n * COST);
});

test("a workspace's budget is policy: 403", async () => {
  const { key, management } = await bourse.makeCustomer({ credit: '1' });
  await served(key);
  assert.equal((await setLimits(management, 'workspace:1', { weekly: 0.000001 })).status, 200);
  await refusal(key, 403, 'workspace_budget');
  assert.equal((await setLimits(management, 'workspace:1', { weekly: null })).status, 200);
  await served(key);
});

test('a key has a limit of each cadence at once, and its own limit_reset moves only its own', async () => {
  const { org, management } = await bourse.makeCustomer({ credit: '1' });
  const { key, hash } = await bourse.makeKey(org, { limit: '5' });
  assert.equal((await setLimits(management, `key:${hash}`, { weekly: 0.00002 })).status, 200);
  await served(key);
  await refusal(key, 402, 'key_limit');
  const moved = await bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body: { limit: 3, limit_reset: 'daily' } });
  assert.equal(moved.status, 200, moved.text);
  assert.equal(Date.parse(moved.json.data.limit_resets_at), nextMidnight());
  await refusal(key, 402, 'key_limit');
  const limits = await limitsOf(management, `key:${hash}`);
  assert.deepEqual(
    limits.map((limit) => (limit.limit === null ? null : nanoOf(limit.limit))),
    [null, 3_000_000_000n, 20_000n, null],
  );
  assert.equal((await setLimits(management, `key:${hash}`, { weekly: null, daily: 2 })).status, 200);
  await served(key);
  // The key's own limit is the one of its own cadence, whichever way it was set.
  assert.equal(nanoOf((await bourse.api.get('/key', { key })).exact.data.limit), 2_000_000_000n);
});

test('200 requests at once on eight keys of one member: as many pass as there is room for, and no more', async () => {
  const { management } = await bourse.makeCustomer({ credit: '1' });
  const member = await makeMember(management);
  const keys = [];
  for (let i = 0; i < 8; i++) keys.push(await makeKeyOf(management, member));
  await setLimits(management, `member:${member}`, { lifetime: 0.0002 });
  const answers = await Promise.all(Array.from({ length: 200 }, (_, i) => bourse.api.chat(keys[i % 8], ask)));
  const passed = answers.filter((answer) => answer.status === 200).length;
  for (const answer of answers) if (answer.status !== 200) assertError(answer, 402);
  const [life] = await limitsOf(management, `member:${member}`);
  assert.equal(nanoOf(life.usage), BigInt(passed) * COST);
  assert.ok(nanoOf(life.usage) <= 200_000n, `${life.usage}`);
  assert.ok(passed >= 10, `${passed} of 30 passed`);
});

test('a limit that is set while requests run counts them, too', async () => {
  const { key, management } = await bourse.makeCustomer({ credit: '1' });
  const running = [];
  for (let i = 0; i < 40; i++) running.push(bourse.api.chat(key, ask));
  await setLimits(management, 'organization', { daily: 1 });
  const answers = await Promise.all(running);
  for (const answer of answers) assert.equal(answer.status, 200, answer.text);
  assert.equal(nanoOf((await limitsOf(management, 'organization'))[1].usage), 40n * COST);
});

test('whose limit, and which, is checked', async () => {
  const { key, management } = await bourse.makeCustomer();
  const { management: stranger } = await bourse.makeCustomer();
  const member = await makeMember(management);
  for (const owner of ['', 'nobody', 'member:', 'member:5', 'organization:1', 'key:ff', 'workspace:x'])
    assertError(await setLimits(management, owner, { daily: 1 }), 400);
  for (const owner of ['member:mem-5', 'workspace:7', `key:${'0'.repeat(64)}`])
    assertError(await setLimits(management, owner, { daily: 1 }), 404);
  assertError(await setLimits(stranger, `member:${member}`, { daily: 1 }), 404);
  assertError(await setLimits(key, 'organization', { daily: 1 }), 403);
  const before = (await bourse.api.get('/limits?owner=organization', { key: management })).text;
  for (const name of ['lifetime', 'daily', 'weekly', 'monthly']) {
    for (const value of ['-1', '"1"', '1e30', '1e400', '0.0000000001', '9223372036.854775808', 'true', '[]', '{}', '""'])
      assertError(await setLimits(management, 'organization', `{"${name}":${value}}`), 400, new RegExp(`^${name} must be`));
  }
  for (const value of ['1', '0', '"true"', 'null', '[]', '{}', '""'])
    assertError(await setLimits(management, 'organization', `{"daily":1,"include_byok_in_limit":${value}}`), 400, /^include_byok_in_limit must be true or false/);
  assertError(await setLimits(management, 'organization', {}), 400, /lifetime, daily, weekly, monthly and include_byok_in_limit/);
  assertError(await setLimits(management, 'organization', { yearly: 1, daily: 1 }), 400, /no such field here: .*yearly/);
  assert.equal((await bourse.api.get('/limits?owner=organization', { key: management })).text, before);
  assertError(await bourse.api.post('/keys', { name: 'x', member_id: 'mem-5' }, { key: management }), 404);
  assertError(await bourse.api.post('/keys', { name: 'x', member_id: 5 }, { key: management }), 400);
  const makeWrong = (body) => bourse.api.post('/organization/members', body, { key: management });
  for (const body of [{}, { name: '' }, { name: 5 }, { name: null }, { name: 'x'.repeat(201) }])
    assertError(await makeWrong(body), 400, /^name must be/);
  for (const email of [5, null, 'x'.repeat(255)]) assertError(await makeWrong({ name: 'x', email }), 400, /^email must be/);
  assertError(await makeWrong({ name: 'x', role: 'admin' }), 400, /no such field here: .*role/);
  const { json } = await bourse.api.get('/organization/members', { key: management });
  assert.equal(json.total_count, 1);
  assert.equal(json.data[0].id, member);
});

test('a limit that is changed holds up nobody’s posting; only one that begins needs it to pause', async () => {
  const { management } = await bourse.makeCustomer();
  assert.equal((await setLimits(management, 'organization', { daily: 1 })).status, 200);
  await bourse.whileLocked('select 1 from stream for update', async () => { // as a batch that is long under way
    const changed = await within(4000, 'the change', setLimits(management, 'organization', { daily: 2 }));
    assert.equal(changed.status, 200, changed.text);
    assertError(await setLimits(management, 'organization', { weekly: 2 }), 503); // begins: it would have to wait
  });
  assert.equal((await setLimits(management, 'organization', { weekly: 2 })).status, 200);
});

test('an organization has ten thousand keys and no more', async () => {
  const { orgNumber, management } = await bourse.makeCustomer(); // two keys
  await bourse.asOwner(`insert into api_key (org, id, hash, label, name, kind)
    select ${orgNumber}, n, sha256(('many ' || n)::bytea), 'many', 'many', 1 from generate_series(1, 9997) n`);
  const make = () => bourse.api.post('/keys', { name: 'one more' }, { key: management });
  assert.equal((await make()).status, 201);
  assertError(await make(), 409, /10,000 keys/);
  await bourse.asOwner(`update api_key set deleted_at = now() where org = ${orgNumber} and id <= 9997`);
  assert.equal((await make()).status, 201);
});

test('a key whose limits change all the time is served all the time', async () => {
  const { key, management, hash } = await bourse.makeCustomer({ credit: '1' });
  let asked = true;
  let changes = 0;
  const change = async () => {
    while (asked) {
      const answer = await bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body: { limit: 1 + (++changes % 100) } });
      assert.equal(answer.status, 200, answer.text);
    }
  };
  const changing = Promise.all([change(), change(), change(), change()]);
  const ask25 = async () => {
    for (let i = 0; i < 25; i++) await served(key);
  };
  await Promise.all(Array.from({ length: 8 }, ask25)).finally(() => (asked = false));
  await changing;
  assert.ok(changes > 25, `only ${changes} changes`);
});
