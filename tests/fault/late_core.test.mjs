// SPDX-License-Identifier: Apache-2.0
// The core's thread stands still for more than the second that the control plane waits for it. What was changed is committed by then:
// the answer says so, a repeat is harmless, and the first request that the core decides afterwards meets the change, also one that
// waited meanwhile. Nothing is repeated before that request, so it is the late change that it meets.
import './fault_build.mjs';

import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import test, { after } from 'node:test';

import { MODEL, assertError, nanoOf, user } from '../integration/api.mjs';
import { startInstance } from '../integration/harness.mjs';

const place = mkdtempSync(path.join(tmpdir(), 'bourse-stands-'));
chmodSync(place, 0o755); // as root the ledger is a user of its own
const stands = path.join(place, 'core');
process.env.BOURSE_STAND_AT = `before_change:${stands}`;
const bourse = startInstance();
after(() => rmSync(place, { recursive: true }));

const WAIT_MS = 1000; // of the control plane for the core
const LATE = /It is changed, but not in force everywhere yet/;
const ask = { model: MODEL, messages: user('sim:tokens=10'), max_tokens: 20 };
const changeKey = ({ management, hash }, body) => bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body });

/** The core takes no change before this one was answered; `meanwhile` begins when it was, and ends when the core goes on. */
async function whileLate(change, meanwhile = () => undefined) {
  const begun = Date.now();
  writeFileSync(stands, '');
  try {
    const answer = await change();
    assert.ok(Date.now() - begun >= WAIT_MS, 'the core was not late');
    return [answer, meanwhile()];
  } finally {
    rmSync(stands);
  }
}

async function served(key) {
  const answer = await bourse.api.chat(key, ask);
  assert.equal(answer.status, 200, answer.text);
}

/** One key that the edge and the core know and have credit for. */
async function makeKnown() {
  const customer = await bourse.makeCustomer();
  await served(customer.key);
  return customer;
}

async function assertRefused(answer, source) {
  assert.equal(assertError(await answer, 402).metadata.limit_source, source);
}

const limitOf = ({ orgNumber }) =>
  bourse.sqlValue('select limit_nano from meter where org = $1 and owner_kind = 1 and cadence = 0 and limit_nano is not null', [orgNumber]);

test('a key’s limit that the core is late to take is kept, told as changed, and refuses the next request', async () => {
  const known = await makeKnown();
  const [answer] = await whileLate(() => changeKey(known, { limit: 0.000001 }));
  assertError(answer, 503, LATE);
  assert.equal(await limitOf(known), 1000n);
  await assertRefused(bourse.api.chat(known.key, ask), 'key_limit');
  const again = await changeKey(known, { limit: 0.000001 });
  assert.equal(again.status, 200, again.text);
  assert.equal(nanoOf(again.exact.data.limit), 1000n);
});

test('a key that is disabled while the core is late is refused, also for a request that waited meanwhile', async () => {
  const known = await makeKnown();
  const [answer, waited] = await whileLate(
    () => changeKey(known, { disabled: true }),
    () => bourse.api.chat(known.key, ask),
  );
  assertError(answer, 503, LATE);
  assertError(await waited, 401);
  assertError(await bourse.api.chat(known.key, ask), 401);
  assert.equal((await changeKey(known, { disabled: false })).status, 200);
  await served(known.key);
});

test('a key that is deleted while the core is late is gone, and the repeat says so', async () => {
  const known = await makeKnown();
  const remove = () => bourse.api.request('DELETE', `/keys/${known.hash}`, { key: known.management });
  const [answer] = await whileLate(remove);
  assertError(answer, 503, LATE);
  assertError(await bourse.api.chat(known.key, ask), 401);
  assertError(await remove(), 404);
});

test('a key that is made while the core is late is told with its secret, for nobody has it yet, and works', async () => {
  const { management } = await bourse.makeCustomer();
  const [answer] = await whileLate(() => bourse.api.post('/keys', { name: 'new' }, { key: management }));
  assert.equal(answer.status, 201, answer.text);
  await served(answer.json.key);
});

test('an organization’s limit that the core is late to take is kept and refuses the next request', async () => {
  const { key, management, orgNumber } = await makeKnown();
  const change = () => bourse.api.request('PATCH', '/limits?owner=organization', { key: management, body: { daily: 0.000001 } });
  const [answer] = await whileLate(change);
  assertError(answer, 503, LATE);
  const kept = 'select limit_nano from meter where org = $1 and owner_kind = 4 and cadence = 1';
  assert.equal(await bourse.sqlValue(kept, [orgNumber]), 1000n);
  await assertRefused(bourse.api.chat(key, ask), 'org_limit');
  assert.equal((await change()).status, 200);
});

/** What a request without max_tokens gets. */
async function tokensServed(key) {
  const answer = await bourse.api.chat(key, { model: MODEL, messages: user('sim:tokens=1000') });
  assert.equal(answer.status, 200, answer.text);
  return answer.json.usage.completion_tokens;
}

test('a plan that is changed, and one that is assigned, while the core is late holds for the next request', async () => {
  const { key, org } = await makeKnown();
  for (const [name, tokens] of [['narrow', '60'], ['wide', '80']]) {
    await bourse.bourse('plan', 'create', '--name', name, '--like', 'pay-as-you-go');
    await bourse.bourse('plan', 'set', name, '--output-default', tokens, '--output-min', '10');
  }
  await bourse.bourse('plan', 'assign', 'narrow', '--org', org);
  assert.equal(await tokensServed(key), 60);

  const [changed] = await whileLate(() => bourse.bourseFails('plan', 'set', 'narrow', '--output-default', '70'));
  assert.match(changed, LATE);
  assert.equal((await bourse.bourse('plan', 'show', 'narrow')).output_default, 70);
  assert.equal(await tokensServed(key), 70);
  await bourse.bourse('plan', 'set', 'narrow', '--output-default', '70');

  const [assigned] = await whileLate(() => bourse.bourseFails('plan', 'assign', 'wide', '--org', org));
  assert.match(assigned, LATE);
  assert.equal(await tokensServed(key), 80);
  await bourse.bourse('plan', 'assign', 'wide', '--org', org);
});
