// SPDX-License-Identifier: Apache-2.0
// API keys: the secret is shown once and stored as a hash only; a limit holds; a key that is disabled, deleted or expired stops at
// its very next request; each kind of key does its own work and no other.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import test from 'node:test';

import { MODEL, assertError, nanoOf, user } from '../api.mjs';
import { eventually } from '../harness.mjs';
import { bourse } from './one_instance.mjs';

const hello = { model: MODEL, messages: user('Hello') };

// ---- what a key is

const BASE62 = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';

/** CRC32C (Castagnoli) bit by bit, written anew here so that it does not repeat a mistake of the code under test. */
function crc32c(text) {
  let crc = 0xffffffff;
  for (const byte of Buffer.from(text)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

function checksum(text) {
  let number = crc32c(text);
  let digits = '';
  for (let i = 0; i < 6; i++) {
    digits = BASE62[number % 62] + digits;
    number = Math.floor(number / 62);
  }
  return digits;
}

test('a CRC32C of the digits 1 to 9 is the published check value', () => {
  assert.equal(crc32c('123456789'), 0xe3069283);
});

test('a new key has the prefix, 43 random digits and the checksum of all before it', async () => {
  const org = await bourse.makeOrg();
  const { key } = await bourse.makeKey(org);
  assert.match(key, /^sk-bourse-v1-[0-9A-Za-z]{49}$/);
  assert.equal(key.slice(-6), checksum(key.slice(0, -6)));
});

test('a key with one digit changed is refused', async () => {
  const { key } = await bourse.makeCustomer();
  assert.equal((await bourse.api.chat(key, hello)).status, 200);
  for (const at of [13, 30, 55, 61]) {
    const wrong = key.slice(0, at) + (key[at] === '0' ? '1' : '0') + key.slice(at + 1);
    assertError(await bourse.api.chat(wrong, hello), 401);
  }
});

test('a key that nobody made is refused even when its checksum is right', async () => {
  const text = 'sk-bourse-v1-' + '7'.repeat(43);
  const before = await bourse.simulator.total();
  assertError(await bourse.api.chat(text + checksum(text), hello), 401);
  assertError(await bourse.api.get('/key', { key: text + checksum(text) }), 401);
  assert.equal(await bourse.simulator.total(), before);
});

test('the secret is shown once: no later answer holds it', async () => {
  const { management } = await bourse.makeCustomer();
  const made = await bourse.api.post('/keys', { name: 'once' }, { key: management });
  assert.equal(made.status, 201, made.text);
  const { key, data } = made.json;
  assert.ok(made.text.includes(key));
  const later = [
    await bourse.api.get('/keys', { key: management }),
    await bourse.api.get(`/keys/${data.hash}`, { key: management }),
    await bourse.api.get('/key', { key }),
    await bourse.api.request('PATCH', `/keys/${data.hash}`, { key: management, body: { name: 'renamed' } }),
  ];
  for (const answer of later) {
    assert.equal(answer.status, 200, answer.text);
    // The label shows the first 16 and the last 4 characters; no more of it may be seen.
    assert.ok(!answer.text.includes(key.slice(16, -4)));
    assert.ok(!answer.text.includes(key.slice(14, 24)));
  }
  assert.equal(data.label, `${key.slice(0, 16)}…${key.slice(-4)}`);
});

/** Everything in the database as text, with bytea in hexadecimal. */
function dump() {
  const place = bourse.demo.BOURSE_PG.replace('bourse_reader', 'bourse_owner');
  return execFileSync('/usr/lib/postgresql/15/bin/pg_dump', ['--data-only', '--inserts', '--dbname', place], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
}

const blake2b = (bytes) => spawnSync('b2sum', ['-l', '256'], { input: bytes, encoding: 'utf8' }).stdout.slice(0, 64);

test('the database holds neither a key nor any plain hash of it', async () => {
  const { key, hash, management } = await bourse.makeCustomer();
  assert.equal((await bourse.api.chat(key, hello)).status, 200);
  const headers = { 'idempotency-key': 'kept-nowhere' };
  const rotated = await bourse.api.post(`/keys/${hash}/rotate`, {}, { key: management, headers });
  await bourse.quiet();
  const all = dump();
  assert.ok(all.includes(hash), 'the peppered hash is there, so the search looks at the right place');
  assert.ok(all.includes(rotated.json.data.hash));
  for (const secret of [key, rotated.json.key]) {
    assert.ok(!all.includes(secret));
    assert.ok(!all.includes(secret.slice(20, 50)));
  }
  const outer = blake2b(key); // what the edge sends to the ledger
  assert.equal(outer.length, 64);
  assert.notEqual(outer, hash);
  const plain = [outer, blake2b(Buffer.from(outer, 'hex'))];
  for (const name of ['md5', 'sha1', 'sha256', 'sha512', 'sha3-256', 'blake2b512', 'blake2s256'])
    plain.push(createHash(name).update(key).digest('hex'));
  for (const digest of plain) {
    assert.ok(!all.includes(digest));
    assert.ok(!all.includes(Buffer.from(digest, 'hex').toString('base64').slice(0, 24)));
  }
});

test('a key is made with $5 for its life and shows what remains', async () => {
  const { org, management } = await bourse.makeCustomer({ credit: '10' });
  const { key, hash } = await bourse.makeKey(org, { limit: '5' });
  assert.equal((await bourse.api.chat(key, hello)).status, 200);
  const mine = (await bourse.api.get('/key', { key })).exact.data;
  const listed = (await bourse.api.get(`/keys/${hash}`, { key: management })).exact.data;
  // "Hello" is 5 bytes: 2 tokens of 150 nano-dollars; the answer's 12 are of 600.
  const spent = 2n * 150n + 12n * 600n;
  for (const shown of [mine, listed]) {
    assert.equal(nanoOf(shown.limit), 5_000_000_000n);
    assert.equal(shown.limit_reset, null);
    assert.equal(nanoOf(shown.usage), spent);
    assert.equal(nanoOf(shown.limit_remaining), 5_000_000_000n - spent);
  }
});

// ---- limits

test('a limit is enforced with 402 and limit_source key_limit, and less is still served', async () => {
  const { org } = await bourse.makeCustomer({ credit: '10' });
  const { key } = await bourse.makeKey(org, { limit: '0.00005' }); // 50,000 nano-dollars: 83 tokens of output at most
  const before = await bourse.simulator.total();
  const error = assertError(await bourse.api.chat(key, { ...hello, max_tokens: 100 }), 402, /can only afford/);
  assert.equal(error.metadata.limit_source, 'key_limit');
  assert.equal(await bourse.simulator.total(), before);
  assert.equal((await bourse.api.chat(key, { ...hello, max_tokens: 20 })).status, 200);
});

test('a raised limit serves at once, a lowered one refuses at once', async () => {
  const { org, management } = await bourse.makeCustomer({ credit: '10' });
  const { key, hash } = await bourse.makeKey(org, { limit: '0.00001' });
  const change = (limit) => bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body: { limit } });
  const ask = { ...hello, max_tokens: 1000 };
  assertError(await bourse.api.chat(key, ask), 402);
  assert.equal((await change(1)).status, 200);
  assert.equal((await bourse.api.chat(key, ask)).status, 200);
  assert.equal((await change(0.00001)).status, 200);
  assert.equal(assertError(await bourse.api.chat(key, ask), 402).metadata.limit_source, 'key_limit');
  assert.equal((await change(null)).status, 200);
  assert.equal((await bourse.api.chat(key, ask)).status, 200);
});

test('a limit that is lowered below what runs breaks nothing that runs, and refuses what comes', async () => {
  const { org, management } = await bourse.makeCustomer({ credit: '1' });
  const { key, hash } = await bourse.makeKey(org, { limit: '0.01' });
  await bourse.simulator.fault('openai', { kind: 'stall', after_chunks: 2 });
  const stream = await bourse.api.openStream(key, { model: MODEL, messages: user('sim:tokens=100'), max_tokens: 1000 });
  await stream.readContent(2);
  assert.equal(
    (await bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body: { limit: 0.000001 } })).status,
    200,
  );
  assertError(await bourse.api.chat(key, { ...hello, max_tokens: 1 }), 402);
  await bourse.simulator.clearFaults();
  await stream.readAll();
  assert.ok(stream.isDone);
  assert.equal(stream.cost, 4n * 150n + 100n * 600n); // 14 bytes: 4 tokens
  const { data } = (await bourse.api.get('/key', { key })).exact;
  assert.equal(nanoOf(data.usage), stream.cost);
  assert.equal(nanoOf(data.limit_remaining), 0n);
  assertError(await bourse.api.chat(key, { ...hello, max_tokens: 1 }), 402);
});

test('a limit of zero refuses every request', async () => {
  const { org } = await bourse.makeCustomer();
  const { key } = await bourse.makeKey(org, { limit: '0' });
  assert.equal(assertError(await bourse.api.chat(key, hello), 402).metadata.limit_source, 'key_limit');
});

test('a daily limit counts the present day', async () => {
  const { org } = await bourse.makeCustomer({ credit: '1' });
  const { key } = await bourse.makeKey(org, { limit: '0.00005', reset: 'daily' });
  assert.equal((await bourse.api.chat(key, { ...hello, max_tokens: 20 })).status, 200);
  const error = assertError(await bourse.api.chat(key, { ...hello, max_tokens: 100 }), 402);
  assert.equal(error.metadata.limit_source, 'key_limit');
  const midnight = new Date();
  midnight.setUTCHours(24, 0, 0, 0);
  assert.equal(Date.parse(error.metadata.resets_at), midnight.getTime());
});

// ---- the end of a key

test('a disabled key stops at its very next request and works again when enabled', async () => {
  const { key, hash, management } = await bourse.makeCustomer();
  const disable = (disabled) => bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body: { disabled } });
  // Every thread of the edge has seen the key, so that its cache is what is put to the test.
  const warm = await Promise.all(Array.from({ length: 16 }, () => bourse.api.chat(key, hello, { agent: false })));
  for (const answer of warm) assert.equal(answer.status, 200, answer.text);
  for (let round = 0; round < 5; round++) {
    assert.equal((await disable(true)).status, 200);
    const served = await bourse.simulator.total();
    const after = await Promise.all(Array.from({ length: 8 }, () => bourse.api.chat(key, hello, { agent: false })));
    for (const answer of after) assertError(answer, 401, /disabled/);
    assertError(await bourse.api.get('/key', { key }), 401);
    assert.equal(await bourse.simulator.total(), served);
    assert.equal((await disable(false)).status, 200);
    assert.equal((await bourse.api.chat(key, hello)).status, 200);
  }
});

test('a deleted key stops at its very next request, is listed no more and cannot be deleted twice', async () => {
  const { key, hash, management } = await bourse.makeCustomer();
  assert.equal((await bourse.api.chat(key, hello)).status, 200);
  const deleted = await bourse.api.request('DELETE', `/keys/${hash}`, { key: management });
  assert.equal(deleted.status, 200);
  assert.deepEqual(deleted.json, { deleted: true });
  assertError(await bourse.api.chat(key, hello), 401);
  assertError(await bourse.api.get('/key', { key }), 401);
  const listed = (await bourse.api.get('/keys?include_disabled=true', { key: management })).json.data;
  assert.ok(!listed.some((row) => row.hash === hash));
  assertError(await bourse.api.request('DELETE', `/keys/${hash}`, { key: management }), 404);
  assertError(await bourse.api.get(`/keys/${hash}`, { key: management }), 404);
});

test('a key ends at its time', async () => {
  const org = await bourse.makeOrg({ credit: 1 });
  const expires = new Date(Date.now() + 2000).toISOString();
  const { key } = await bourse.makeKey(org, { expires });
  assert.equal((await bourse.api.chat(key, hello)).status, 200);
  await eventually(async () => assertError(await bourse.api.chat(key, hello), 401, /expired/), { deadline_ms: 4000 });
  assert.ok(Date.now() >= Date.parse(expires), 'not before its time');
  assertError(await bourse.api.get('/key', { key }), 401);
});

test('the end of a key can be moved and taken away', async () => {
  const { key, hash, management } = await bourse.makeCustomer();
  const change = (body) => bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body });
  const soon = new Date(Date.now() + 1000).toISOString();
  assert.equal((await change({ expires_at: soon })).json.data.expires_at, soon);
  await eventually(async () => assertError(await bourse.api.chat(key, hello), 401, /expired/), { deadline_ms: 4000 });
  assert.ok(Date.now() >= Date.parse(soon), 'not before its time');
  // Of another zone, it is the same moment in UTC.
  assert.equal((await change({ expires_at: '2099-01-01T00:00:00+02:00' })).json.data.expires_at, '2098-12-31T22:00:00.000Z');
  assert.equal((await change({ expires_at: soon })).status, 400, 'it has passed');
  const renamed = await change({ name: 'renamed' });
  assert.equal(renamed.json.data.expires_at, '2098-12-31T22:00:00.000Z', 'what a change does not name stays');
  assert.equal((await change({ expires_at: null })).json.data.expires_at, null);
  assert.equal((await bourse.api.chat(key, hello)).status, 200);
});

test('a key that is made disabled calls nothing until it is enabled', async () => {
  const { management } = await bourse.makeCustomer();
  const made = await bourse.api.post('/keys', { name: 'later', disabled: true }, { key: management });
  assert.equal(made.status, 201, made.text);
  assert.equal(made.json.data.disabled, true);
  assertError(await bourse.api.chat(made.json.key, hello), 401);
  const route = `/keys/${made.json.data.hash}`;
  await bourse.api.request('PATCH', route, { key: management, body: { disabled: false } });
  assert.equal((await bourse.api.chat(made.json.key, hello)).status, 200);
});

test('what a key is made with is what it shows', async () => {
  const { management } = await bourse.makeCustomer();
  const wanted = {
    name: 'all of it',
    limit: 2.5,
    limit_reset: 'weekly',
    include_byok_in_limit: true,
    disabled: true,
    expires_at: '2099-01-31T00:00:00.000Z',
  };
  const made = (await bourse.api.post('/keys', wanted, { key: management })).json.data;
  for (const [field, value] of Object.entries(wanted)) assert.deepEqual(made[field], value, field);
  const changed = {
    name: 'none of it',
    limit: null,
    limit_reset: null,
    include_byok_in_limit: false,
    disabled: false,
    expires_at: null,
  };
  const patched = await bourse.api.request('PATCH', `/keys/${made.hash}`, { key: management, body: changed });
  for (const [field, value] of Object.entries(changed)) assert.deepEqual(patched.json.data[field], value, field);
});

test('a running answer survives that its key is disabled, and is billed', async () => {
  const { key, hash, management } = await bourse.makeCustomer();
  await bourse.simulator.fault('openai', { kind: 'stall', after_chunks: 2 });
  const stream = await bourse.api.openStream(key, { model: MODEL, messages: user('sim:tokens=4') });
  await stream.readContent(2);
  await bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body: { disabled: true } });
  await bourse.simulator.clearFaults();
  await stream.readAll();
  assert.ok(stream.isDone);
  assert.equal(stream.cost, 3n * 150n + 4n * 600n); // 12 bytes of prompt are 3 tokens
  assertError(await bourse.api.chat(key, hello), 401);
});

/** An answer that has begun and stops until the faults are cleared. */
async function openStalled(key) {
  await bourse.simulator.fault('openai', { kind: 'stall', after_chunks: 2 });
  const stream = await bourse.api.openStream(key, { model: MODEL, messages: user('sim:tokens=4'), max_tokens: 1000 });
  await stream.readContent(2);
  return stream;
}

const creditsOf = async (management) => (await bourse.api.get('/credits', { key: management })).exact.data;

/** 12 bytes of prompt are 3 tokens of 150 nano-dollars; the answer's 4 are of 600. */
const STALLED_COST = 3n * 150n + 4n * 600n;

/** The answer came to its end, is booked as it was told, and nothing of the dollar is held any more. */
async function assertBilled(stream, management) {
  assert.ok(stream.isDone);
  assert.equal(stream.cost, STALLED_COST);
  const row = await bourse.generationRow(stream.generation);
  assert.equal(row.state, 1);
  assert.equal(row.charge, STALLED_COST);
  assert.equal(row.charge_told, STALLED_COST);
  const credits = await creditsOf(management);
  assert.equal(nanoOf(credits.held), 0n);
  assert.equal(nanoOf(credits.total_usage), STALLED_COST);
  assert.equal(nanoOf(credits.balance), 1_000_000_000n - STALLED_COST);
}

test('a running answer survives that its key is deleted, is billed, and then nothing is held', async () => {
  const { key, hash, management } = await bourse.makeCustomer({ credit: '1', limit: '0.5' });
  const stream = await openStalled(key);
  assert.ok(nanoOf((await creditsOf(management)).held) > STALLED_COST);
  assert.equal((await bourse.api.request('DELETE', `/keys/${hash}`, { key: management })).status, 200);
  assertError(await bourse.api.chat(key, hello), 401, /not valid/);
  assert.ok(nanoOf((await creditsOf(management)).held) > STALLED_COST, 'the hold stands');
  await bourse.simulator.clearFaults();
  await stream.readAll();
  await bourse.quiet();
  await assertBilled(stream, management);
  assertError(await bourse.api.chat(key, hello), 401, /not valid/);
});

test('a running answer survives that its key expires, is billed, and then nothing is held', async () => {
  const org = await bourse.makeOrg({ credit: 1 });
  const { key: management } = await bourse.makeKey(org, { management: true });
  const { key } = await bourse.makeKey(org, { expires: new Date(Date.now() + 2000).toISOString() });
  const stream = await openStalled(key);
  await eventually(async () => assertError(await bourse.api.get('/key', { key }), 401, /expired/), { deadline_ms: 5000 });
  assert.ok(nanoOf((await creditsOf(management)).held) > STALLED_COST, 'the hold stands');
  await bourse.simulator.clearFaults();
  await stream.readAll();
  await bourse.quiet();
  await assertBilled(stream, management);
  assertError(await bourse.api.chat(key, hello), 401, /expired/);
});

test('a client that leaves after its key was deleted pays for what it got, and then nothing is held', async () => {
  const { key, hash, management } = await bourse.makeCustomer({ credit: '1' });
  const stream = await openStalled(key);
  assert.equal((await bourse.api.request('DELETE', `/keys/${hash}`, { key: management })).status, 200);
  stream.leave();
  await bourse.quiet();
  const row = await bourse.generationRow(stream.generation);
  assert.equal(row.state, 1);
  assert.ok(row.charge > 0n && row.charge <= STALLED_COST, `${row.charge}`);
  const credits = await creditsOf(management);
  assert.equal(nanoOf(credits.held), 0n);
  assert.equal(nanoOf(credits.balance), 1_000_000_000n - row.charge);
});

test('an answer whose provider fails after its key was deleted costs nothing, and then nothing is held', async () => {
  const { key, hash, management } = await bourse.makeCustomer({ credit: '1' });
  await bourse.simulator.fault('openai', { kind: 'error', after_chunks: 3 });
  const messages = user('sim:tokens=20 sim:chunk_ms=300');
  const stream = await bourse.api.openStream(key, { model: MODEL, messages, max_tokens: 1000 });
  await stream.readContent(1);
  assert.equal((await bourse.api.request('DELETE', `/keys/${hash}`, { key: management })).status, 200);
  await stream.readAll();
  assert.ok(stream.errorChunk);
  await bourse.quiet();
  const row = await bourse.generationRow(stream.generation);
  assert.equal(row.charge, 0n);
  const credits = await creditsOf(management);
  assert.equal(nanoOf(credits.held), 0n);
  assert.equal(nanoOf(credits.balance), 1_000_000_000n);
});

// ---- who may do what

test('a management key cannot call models', async () => {
  const { management } = await bourse.makeCustomer();
  const before = await bourse.simulator.total();
  assertError(await bourse.api.chat(management, hello), 403);
  assert.equal(await bourse.simulator.total(), before);
});

test('an inference key cannot manage', async () => {
  const { key, hash, management } = await bourse.makeCustomer();
  assertError(await bourse.api.get('/keys', { key }), 403);
  assertError(await bourse.api.post('/keys', { name: 'mine' }, { key }), 403);
  assertError(await bourse.api.get(`/keys/${hash}`, { key }), 403);
  assertError(await bourse.api.request('PATCH', `/keys/${hash}`, { key, body: { limit: null } }), 403);
  assertError(await bourse.api.request('DELETE', `/keys/${hash}`, { key }), 403);
  assertError(await bourse.api.get('/credits', { key }), 403);
  assertError(await bourse.api.get('/purchases', { key }), 403);
  assert.equal((await bourse.api.get('/keys', { key: management })).json.data.length, 2);
});

test('a management key of one organization does not reach keys of another', async () => {
  const [a, b] = [await bourse.makeCustomer(), await bourse.makeCustomer()];
  assertError(await bourse.api.get(`/keys/${a.hash}`, { key: b.management }), 404);
  assertError(
    await bourse.api.request('PATCH', `/keys/${a.hash}`, { key: b.management, body: { disabled: true } }),
    404,
  );
  assertError(await bourse.api.request('DELETE', `/keys/${a.hash}`, { key: b.management }), 404);
  const listed = (await bourse.api.get('/keys', { key: b.management })).json.data;
  assert.ok(!listed.some((row) => row.hash === a.hash));
  assert.equal((await bourse.api.chat(a.key, hello)).status, 200);
});

test('a customer cannot name an organization or become the operator', async () => {
  const [a, b] = [await bourse.makeCustomer({ credit: '3' }), await bourse.makeCustomer()];
  const forged = {
    'x-bourse-principal': 'operator',
    'x-bourse-org': a.org,
    'x-bourse-request': 'req-0000000000000000',
  };
  const mine = (await bourse.api.get('/credits', { key: b.management })).exact.data;
  const asked = (await bourse.api.get(`/credits?org=${a.org}`, { key: b.management, headers: forged })).exact.data;
  assert.deepEqual(asked, mine);
  for (const route of ['/operator/orgs', '/operator/market', '/operator/providers'])
    assertError(await bourse.api.get(route, { key: b.management, root: true }), 404);
  assertError(await bourse.api.post('/keys', { name: 'x', management: true }, { key: b.management }), 403);
});

// By field, as they stand in a body. The greatest amount is 9223372036.854775807, and a dollar has nine decimals.
const wrong = {
  limit: ['"5"', '-1', '-0.000000001', '0.0000000001', '0.0000000000000001', '1e-10', '9223372036.854775808', '1e30', '1e400',
          'true', '[1]', '{}', '""'],
  limit_reset: ['"hourly"', '"Daily"', '""', '5', 'true', '["daily"]'],
  include_byok_in_limit: ['1', '"true"', 'null'],
  disabled: ['"yes"', '0', 'null'],
  name: ['""', '7', 'null', `"${'x'.repeat(201)}"`, '"a\\u0000b"'],
  expires_at: ['"x"', '5', 'true', '""', '"2001-01-01T00:00:00Z"', '"2099-01-01"', '"2099-13-01T00:00:00Z"'],
  rate_limit: ['5', '"60"', '[]', '{"requests_per_minute":0}', '{"requests_per_minute":1.5}', '{"per_second":1}'],
};
const strangers = ['{"expires":"2099-01-01T00:00:00Z"}', '{"workspace_id":"1"}', '{"Limit":5}', '{"external":{"id":"x"}}'];

test('a wrong field is refused by its name, when a key is made and when it is changed, and nothing is changed', async () => {
  const { hash, management } = await bourse.makeCustomer({ limit: '1' });
  const change = (body) => bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body });
  const make = (body) => bourse.api.post('/keys', body, { key: management });
  const read = async () => (await bourse.api.get('/keys?include_disabled=true', { key: management })).json.data;
  const before = await read();
  for (const [field, values] of Object.entries(wrong)) {
    for (const value of values) {
      const named = new RegExp(`^${field} must be`);
      assertError(await change(`{"${field}":${value}}`), 400, named);
      const rest = field === 'name' ? '' : '"name":"k",';
      assertError(await make(`{${rest}"${field}":${value}}`), 400, named);
    }
  }
  for (const body of strangers) {
    const [name] = Object.keys(JSON.parse(body));
    assertError(await change(body), 400, new RegExp(`no such field here: .*${name}`));
    assertError(await make(body.replace('{', '{"name":"k",')), 400, new RegExp(`no such field here: .*${name}`));
  }
  assertError(await make({}), 400, /^name must be/);
  assertError(await make({ limit: 5 }), 400, /^name must be/);
  for (const member of ['5', '"x"', '"mem-"', '"mem-x"', '"mem-0"', `"mem-${'9'.repeat(40)}"`])
    assertError(await make(`{"name":"k","member_id":${member}}`), 400, /^member_id must be/);
  assertError(await change({ member_id: null }), 400, /no such field here/);
  const unused = (rows) => rows.map(({ last_used_at, last_used_prefix, ...row }) => row);
  assert.deepEqual(unused(await read()), unused(before));
});

test('every amount that is money is taken, to the last nano-dollar', async () => {
  const { hash, management } = await bourse.makeCustomer();
  const taken = [
    ['0', 0n],
    ['0.000000001', 1n],
    ['1e-9', 1n],
    ['5e0', 5_000_000_000n],
    ['0.100000000000000000', 100_000_000n],
    ['9223372036.854775807', 9_223_372_036_854_775_807n],
  ];
  for (const [text, nano] of taken) {
    const answer = await bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body: `{"limit":${text}}` });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(nanoOf(answer.exact.data.limit), nano);
  }
});

test('a limit below what is spent is taken, refuses what comes, and shows that nothing remains', async () => {
  const { key, hash, management } = await bourse.makeCustomer();
  const change = (limit) => bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body: { limit } });
  assert.equal((await bourse.api.chat(key, hello)).status, 200);
  const lowered = await change(0.000000001);
  assert.equal(lowered.status, 200, lowered.text);
  assert.equal(nanoOf(lowered.exact.data.limit_remaining), 0n);
  assert.equal(assertError(await bourse.api.chat(key, hello), 402).metadata.limit_source, 'key_limit');
  assert.equal((await change(1)).status, 200);
  assert.equal((await bourse.api.chat(key, hello)).status, 200);
});

test('a limit says when it begins anew: at midnight, on Monday, on the first, and never for life or without a limit', async () => {
  const { key, hash, management } = await bourse.makeCustomer();
  const at = (year, month, day) => Date.UTC(year, month, day);
  const expected = () => {
    const now = new Date();
    const [year, month, day] = [now.getUTCFullYear(), now.getUTCMonth(), now.getUTCDate()];
    return { daily: at(year, month, day + 1), weekly: at(year, month, day + 7 - ((now.getUTCDay() + 6) % 7)), monthly: at(year, month + 1, 1) };
  };
  for (const reset of ['daily', 'weekly', 'monthly']) {
    const body = { limit: 1, limit_reset: reset };
    const changed = await bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body });
    for (const shown of [changed.json.data, (await bourse.api.get('/key', { key })).json.data]) {
      assert.equal(Date.parse(shown.limit_resets_at), expected()[reset], reset);
      assert.equal(shown.limit_reset, reset);
    }
  }
  for (const body of [{ limit: null }, { limit: 1, limit_reset: null }]) {
    const changed = await bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body });
    assert.equal(changed.json.data.limit_resets_at, null);
    assert.equal((await bourse.api.get('/key', { key })).json.data.limit_resets_at, null);
  }
});

test('wrong fields in a key are refused and change nothing', async () => {
  const { hash, management } = await bourse.makeCustomer({ limit: '1' });
  const bad = [
    { limit: '5' },
    { limit: -1 },
    { limit: true },
    { limit: [1] },
    '{"limit":1e400}',
    '{"limit":0.0000000001}',
    { limit_reset: 'hourly' },
    { limit_reset: 5 },
    { disabled: 'yes' },
    { include_byok_in_limit: 1 },
    { name: '' },
    { name: 7 },
    { name: 'x'.repeat(201) },
    { name: null },
    { disabled: null },
    { expires_at: 'x' },
    { expires_at: '2001-01-01T00:00:00Z' },
    { expires_at: 5 },
    { expires: '2099-01-01T00:00:00Z' },
    { management: true },
    { workspace_id: '1' },
    { name: 'k', ['é'.repeat(300)]: 1 },
    '[]',
    '"x"',
    '{',
    '',
    '{"limit":1,"limit":2}',
  ];
  const before = (await bourse.api.get(`/keys/${hash}`, { key: management })).text;
  for (const body of bad) {
    const answer = await bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body });
    assertError(answer, 400);
  }
  assert.equal((await bourse.api.get(`/keys/${hash}`, { key: management })).text, before);
  for (const body of [
    {},
    { name: null },
    { name: 'k', expires_at: '2001-01-01T00:00:00Z' },
    { name: 'k', expires_at: 'soon' },
    { name: 'k', disabled: 'true' },
    { name: 'k', external: { id: 'x' } },
    { name: 'k', creator_user_id: 'x' },
  ])
    assertError(await bourse.api.post('/keys', body, { key: management }), 400);
  for (const place of ['/keys/xyz', `/keys/${'0'.repeat(64)}`, `/keys/${hash}0`])
    assertError(await bourse.api.get(place, { key: management }), 404);
});
