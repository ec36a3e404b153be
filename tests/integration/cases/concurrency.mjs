// SPDX-License-Identifier: Apache-2.0
// Many requests at once: no limit is overspent, no room is lost to holds that are gone.
import assert from 'node:assert/strict';
import http from 'node:http';
import test from 'node:test';

import { MODEL, assertError, nanoOf, user } from '../api.mjs';
import { eventually } from '../harness.mjs';
import { bourse } from './one_instance.mjs';

const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });

// All the tokens that are asked for are used, so that a hold is spent almost wholly.
const dear = { model: MODEL, messages: user('sim:tokens=1000'), max_tokens: 1000 };
const DEAR_COST = 4n * 150n + 1000n * 600n; // 15 bytes: 4 tokens

/** What the ledger holds for one such request: asked of the instance once, and only bounded here. */
async function holdOf() {
  const { key } = await bourse.makeCustomer({ credit: '1' });
  const { id } = (await bourse.api.chat(key, dear)).json;
  await bourse.quiet();
  const { held } = await bourse.generationRow(id);
  assert.ok(held >= DEAR_COST && held < DEAR_COST + 20_000n, String(held));
  return held;
}

const dollars = (nano) => `${nano / 1_000_000_000n}.${String(nano % 1_000_000_000n).padStart(9, '0')}`;

/** 200 requests at once while the provider keeps every one waiting: those that were let in, and those that were not. */
async function rush(key) {
  const served = await bourse.simulator.total();
  await bourse.simulator.fault('openai', { kind: 'hold' });
  const answers = [];
  const running = Array.from({ length: 200 }, () =>
    bourse.api.chat(key, dear, { agent }).then((answer) => answers.push(answer)),
  );
  await eventually(async () => {
    const inside = (await bourse.simulator.total()) - served;
    assert.equal(answers.length + inside, 200);
  });
  const refused = answers.length;
  const inside = (await bourse.simulator.total()) - served;
  return { refused, inside, running, answers };
}

/** The provider goes on. */
async function release({ running, answers }) {
  await bourse.simulator.clearFaults();
  await Promise.all(running);
  return answers;
}

test('200 requests at once on a key with room for three: three pass, and the limit stands', async () => {
  const hold = await holdOf();
  const org = await bourse.makeOrg({ credit: '1' });
  const limit = 3n * hold + hold / 2n;
  const { key } = await bourse.makeKey(org, { limit: dollars(limit) });
  const rushed = await rush(key);
  assert.equal(rushed.inside, 3);
  assert.equal(rushed.refused, 197);
  for (const answer of rushed.answers) assert.equal(assertError(answer, 402).metadata.limit_source, 'key_limit');
  const answers = await release(rushed);
  assert.equal(answers.filter((answer) => answer.status === 200).length, 3);
  const { data } = (await bourse.api.get('/key', { key })).exact;
  assert.equal(nanoOf(data.usage), 3n * DEAR_COST);
  assert.ok(nanoOf(data.usage) <= limit);
});

test('200 requests at once on an account with credit for three: three pass, and the balance stays above zero', async () => {
  const hold = await holdOf();
  const credit = 3n * hold + hold / 2n;
  const { key, management } = await bourse.makeCustomer({ credit: dollars(credit) });
  const rushed = await rush(key);
  assert.equal(rushed.inside, 3);
  assert.equal(rushed.refused, 197);
  for (const answer of rushed.answers) assert.equal(assertError(answer, 402).metadata.limit_source, 'credits');
  const during = (await bourse.api.get('/credits', { key: management })).exact.data;
  assert.equal(nanoOf(during.held), 3n * hold);
  await release(rushed);
  const { data } = (await bourse.api.get('/credits', { key: management })).exact;
  assert.equal(nanoOf(data.balance), credit - 3n * DEAR_COST);
  assert.equal(nanoOf(data.held), 0n);
});

test('with room for all, 200 requests at once are all served and each is billed once', async () => {
  const { key, management } = await bourse.makeCustomer({ credit: '1' });
  const answers = await Promise.all(Array.from({ length: 200 }, () => bourse.api.chat(key, dear, { agent })));
  for (const answer of answers) assert.equal(answer.status, 200, answer.text);
  assert.equal(new Set(answers.map((answer) => answer.json.id)).size, 200);
  const { data } = (await bourse.api.get('/credits', { key: management })).exact;
  assert.equal(nanoOf(data.total_usage), 200n * DEAR_COST);
});

test('many keys of one account together never spend more than the account has', async () => {
  const hold = await holdOf();
  const org = await bourse.makeOrg({ credit: dollars(5n * hold) });
  const keys = await Promise.all(Array.from({ length: 10 }, () => bourse.makeKey(org)));
  const { key: management } = await bourse.makeKey(org, { management: true });
  const answers = await Promise.all(
    keys.flatMap(({ key }) => Array.from({ length: 10 }, () => bourse.api.chat(key, dear, { agent }))),
  );
  const served = answers.filter((answer) => answer.status === 200);
  for (const answer of answers) if (answer.status !== 200) assertError(answer, 402);
  // Five holds fit at once; what each leaves over (its hold is above its cost) never adds up to a sixth.
  assert.equal(served.length, 5);
  const { data } = (await bourse.api.get('/credits', { key: management })).exact;
  assert.equal(nanoOf(data.balance), 5n * hold - 5n * DEAR_COST);
});

test('nobody is trusted: who has $25,000 is held for as much as who has $1', async () => {
  const hold = await holdOf();
  const { key, management } = await bourse.makeCustomer({ credit: '25000' });
  await bourse.simulator.fault('openai', { kind: 'hold' });
  const served = await bourse.simulator.total();
  const running = bourse.api.chat(key, dear, { agent });
  await eventually(async () => assert.equal(await bourse.simulator.total(), served + 1));
  const { data } = (await bourse.api.get('/credits', { key: management })).exact;
  assert.equal(nanoOf(data.held), hold);
  await bourse.simulator.clearFaults();
  assert.equal((await running).status, 200);
});
