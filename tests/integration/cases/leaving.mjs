// SPDX-License-Identifier: Apache-2.0
// Clients that leave: before the first byte, at a chunk, at the last one. What was delivered is billed by the estimate and marked so;
// what was not is free; the provider is told to stop; no hold stays.
import assert from 'node:assert/strict';
import test from 'node:test';

import { COMPLETION_NANO, MODEL, PROMPT_NANO, nanoOf, user } from '../api.mjs';
import { eventually } from '../harness.mjs';
import { bourse } from './one_instance.mjs';

const STREAMED = 1,
  CANCELLED = 2,
  ESTIMATED = 4,
  SIMULATED = 8; // enum fact_flag
const SETTLED = 1;

/** The generation's row and the simulator's entry, once both are there. */
async function outcome(after) {
  await bourse.quiet();
  const entry = await eventually(async () => {
    const [last, ...rest] = await bourse.simulator.served({ after });
    assert.ok(last);
    assert.deepEqual(rest, []);
    assert.notEqual(last.closed_by, 'open');
    return last;
  });
  return { entry, row: await bourse.generationRow(entry.request_id) };
}

async function balanceOf(management) {
  return nanoOf((await bourse.api.get('/credits', { key: management })).exact.data.balance);
}

for (const [count, tokens] of [
  [1, 10],
  [5, 10],
  [9, 10],
  [10, 10],
]) {
  test(`a client that leaves a stream after chunk ${count} of ${tokens} pays for what it got, estimated`, async () => {
    const { key, management } = await bourse.makeCustomer();
    const after = await bourse.simulator.total();
    await bourse.simulator.fault('openai', { kind: 'stall', after_chunks: count });
    const content = `sim:tokens=${tokens} sim:bytes=20`; // 26 or 25 bytes of prompt: 7 tokens by the estimate
    const stream = await bourse.api.openStream(key, { model: MODEL, messages: user(content) });
    await stream.readContent(count);
    assert.equal(stream.contents.join('').length, 20 * count);
    stream.leave();
    const { entry, row } = await outcome(after);
    assert.equal(entry.closed_by, 'client');
    assert.equal(stream.generation, entry.request_id);
    assert.equal(row.state, SETTLED);
    assert.equal(row.flags, STREAMED | CANCELLED | ESTIMATED | SIMULATED);
    // Four bytes to a token, rounded up: 20 bytes a chunk are 5 tokens.
    const cost = BigInt(Math.ceil(content.length / 4)) * PROMPT_NANO + BigInt(5 * count) * COMPLETION_NANO;
    assert.equal(row.completion, 5 * count);
    assert.equal(row.charge, cost);
    assert.equal(await balanceOf(management), 1_000_000_000n - cost);
    const { data } = (await bourse.api.get(`/generation?id=${stream.generation}`, { key })).exact;
    assert.equal(data.cancelled, true);
    assert.equal(data.estimated, true);
    assert.equal(nanoOf(data.total_cost), cost);
  });
}

test('a client that stays to the end is billed by the provider’s figure, not by the estimate', async () => {
  const { key } = await bourse.makeCustomer();
  const stream = await bourse.api.stream(key, { model: MODEL, messages: user('sim:tokens=10 sim:bytes=20') });
  await bourse.quiet();
  const row = await bourse.generationRow(stream.generation);
  assert.equal(row.flags, STREAMED | SIMULATED);
  assert.equal(row.completion, 10);
  assert.equal(row.charge, 7n * PROMPT_NANO + 10n * COMPLETION_NANO);
  assert.equal(stream.cost, row.charge);
});

for (const stream of [true, false]) {
  test(`a client that leaves before the first byte pays nothing (${stream ? 'streamed' : 'not streamed'})`, async () => {
    const { key, management } = await bourse.makeCustomer();
    const after = await bourse.simulator.total();
    await bourse.simulator.fault('openai', { kind: 'stall' });
    const leaving = new AbortController();
    const call = bourse.api.chat(
      key,
      { model: MODEL, messages: user('Hello'), stream },
      { signal: leaving.signal, agent: false },
    );
    const gone = assert.rejects(call);
    await eventually(async () => assert.equal(await bourse.simulator.total(), after + 1));
    assert.ok(nanoOf((await bourse.api.get('/credits', { key: management })).exact.data.held) > 0n);
    leaving.abort();
    await gone;
    const { entry, row } = await outcome(after);
    assert.equal(entry.closed_by, 'client');
    assert.notEqual(row.state, SETTLED);
    assert.equal(row.flags & CANCELLED, CANCELLED);
    assert.equal(row.charge, 0n);
    assert.equal(await balanceOf(management), 1_000_000_000n);
  });
}

test('a client that leaves a whole answer while it is made pays nothing', async () => {
  const { key, management } = await bourse.makeCustomer();
  const after = await bourse.simulator.total();
  const leaving = new AbortController();
  const body = { model: MODEL, messages: user('sim:first_ms=5000 sim:tokens=50') };
  const gone = assert.rejects(bourse.api.chat(key, body, { signal: leaving.signal, agent: false }));
  await eventually(async () => assert.equal(await bourse.simulator.total(), after + 1));
  leaving.abort();
  await gone;
  await bourse.quiet();
  assert.equal(await balanceOf(management), 1_000_000_000n);
});

test('an endless provider is cut when its client leaves, and the bill stays within the hold', async () => {
  const { key } = await bourse.makeCustomer();
  const after = await bourse.simulator.total();
  await bourse.simulator.fault('openai', { kind: 'endless' });
  // Enough tokens that the client leaves long before the edge cuts what goes beyond them.
  const stream = await bourse.api.openStream(key, { model: MODEL, messages: user('Hello'), max_tokens: 16_000 });
  await stream.readContent(50);
  stream.leave();
  const { entry, row } = await outcome(after);
  assert.equal(entry.closed_by, 'client');
  assert.equal(row.flags & (CANCELLED | ESTIMATED), CANCELLED | ESTIMATED);
  assert.ok(row.charge > 0n && row.charge <= row.held, `${row.charge} of ${row.held}`);
});

test('clients that leave leave nothing behind: fifty at once, and the account is as the rows say', async () => {
  const { key, management, orgNumber } = await bourse.makeCustomer();
  await bourse.simulator.fault('openai', { kind: 'stall', after_chunks: 2 });
  await Promise.all(
    Array.from({ length: 50 }, async () => {
      const stream = await bourse.api.openStream(key, { model: MODEL, messages: user('sim:tokens=9 sim:bytes=20') });
      await stream.readContent(2);
      stream.leave();
    }),
  );
  await bourse.quiet();
  // 25 bytes of prompt: 7 tokens; 40 bytes delivered: 10 tokens.
  const cost = 50n * (7n * PROMPT_NANO + 10n * COMPLETION_NANO);
  const [{ rows, charge }] = await bourse.sql(
    'select count(*) as rows, sum(charge)::bigint as charge from generation where org = $1',
    [String(orgNumber)],
  );
  assert.equal(rows, 50n);
  assert.equal(charge, cost);
  assert.equal(await balanceOf(management), 1_000_000_000n - cost);
});
