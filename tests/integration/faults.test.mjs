// SPDX-License-Identifier: Apache-2.0
// Providers that fail in every way we know: before the head, in the body, inside a stream, and in what they say they used. Before the
// first byte the next provider gets its turn; after it the client sees an error chunk; nobody pays for a broken answer.
import assert from 'node:assert/strict';
import http from 'node:http';
import test from 'node:test';

import { COMPLETION_NANO, MODEL, PROMPT_NANO, assertError, nanoOf, user } from './api.mjs';
import { eventually, startInstance, within } from './harness.mjs';

// Short patience, so that silence ends within the test's.
const bourse = startInstance({
  options: { upstream_first_byte_timeout: 1500, upstream_idle_timeout: 1500, upstream_total_timeout: 6000 },
});
const agent = new http.Agent({ keepAlive: true, maxSockets: 256 });
const STREAMED = 1,
  ESTIMATED = 4,
  SIMULATED = 8; // enum fact_flag
const SETTLED = 1,
  ABSORBED = 3;

async function balanceOf(management) {
  return nanoOf((await bourse.api.get('/credits', { key: management })).exact.data.balance);
}

/** One request under a fault, on an account of its own; the answer and what it cost the account. */
async function under(fault, body = {}) {
  const { key, management } = await bourse.makeCustomer();
  const after = await bourse.simulator.total();
  await bourse.simulator.fault('openai', fault);
  const answer = await bourse.api.chat(key, { model: MODEL, messages: user('sim:tokens=10 sim:bytes=20'), ...body });
  await bourse.simulator.clearFaults();
  const spent = 1_000_000_000n - (await balanceOf(management));
  return { answer, spent, after };
}

// ---- before the first byte

const beforeTheAnswer = [
  ['an HTML page with status 200', { kind: 'garbage' }, 502],
  ['half a JSON body', { kind: 'half' }, 502],
  ['a body that ends too early for its length', { kind: 'truncate' }, 502],
  ['a body that is cut in the middle', { kind: 'cut' }, 502],
  ['a reset before the head', { kind: 'reset' }, 502],
  ['silence before the head', { kind: 'stall' }, 504],
  ['500', { kind: 'status', status: 500 }, 502],
  ['502', { kind: 'status', status: 502 }, 502],
  ['503', { kind: 'status', status: 503 }, 503],
  ['504', { kind: 'status', status: 504 }, 504],
  ['529', { kind: 'status', status: 529 }, 503],
  ['404', { kind: 'status', status: 404 }, 502],
  ['401, which is the operator’s trouble and never the client’s', { kind: 'status', status: 401 }, 502],
  ['402, which is the operator’s trouble and never the client’s', { kind: 'status', status: 402 }, 502],
  ['403, which is the operator’s trouble and never the client’s', { kind: 'status', status: 403 }, 502],
  ['408', { kind: 'status', status: 408 }, 504],
  ['429', { kind: 'status', status: 429 }, 429],
  ['400', { kind: 'status', status: 400 }, 400],
  ['422', { kind: 'status', status: 422 }, 400],
];
for (const [what, fault, status] of beforeTheAnswer) {
  for (const stream of [false, true]) {
    // A stream that breaks off has begun: that is another table.
    if (stream && ['half', 'truncate', 'cut'].includes(fault.kind)) continue;
    test(`a provider that answers ${what} gives ${status}, free of charge (${stream ? 'streamed' : 'not streamed'})`, async () => {
      const { answer, spent } = await under(fault, { stream });
      const error = assertError(answer, status);
      assert.equal(spent, 0n);
      assert.ok(!/key|authorization/i.test(error.message) || status === 502, error.message);
      if (status === 503) assert.match(answer.headers['retry-after'], /^\d+$/);
    });
  }
}

test('a rate limit is passed on with the time the provider named', async () => {
  const { answer } = await under({ kind: 'status', status: 429, retry_after: 7 });
  assertError(answer, 429);
  assert.equal(answer.headers['retry-after'], '7');
  const overloaded = await under({ kind: 'status', status: 503, retry_after: 9 });
  assertError(overloaded.answer, 503);
  assert.equal(overloaded.answer.headers['retry-after'], '9');
});

test('after a fault is gone the next request is served', async () => {
  const { key } = await bourse.makeCustomer();
  await bourse.simulator.fault('openai', { kind: 'status', status: 500, count: 1 });
  const hello = { model: MODEL, messages: user('Hello') };
  assertError(await bourse.api.chat(key, hello), 502);
  assert.equal((await bourse.api.chat(key, hello)).status, 200);
});

// ---- inside a stream

const insideTheStream = [
  ['reset', { kind: 'reset' }],
  ['truncated', { kind: 'truncate' }],
  ['ended without its end mark', { kind: 'cut' }],
  ['garbage', { kind: 'garbage' }],
  ['an error object', { kind: 'error' }],
  ['silent', { kind: 'stall' }],
];
for (const [what, fault] of insideTheStream) {
  for (const chunks of [1, 5, 10]) {
    test(`a stream that is ${what} after chunk ${chunks} ends with an error chunk and is not charged`, async () => {
      const { key, management } = await bourse.makeCustomer();
      await bourse.simulator.fault('openai', { ...fault, after_chunks: chunks });
      // Slow enough that each chunk has gone to the client before the next comes: else another provider could still be asked.
      const content = 'sim:tokens=10 sim:bytes=20 sim:chunk_ms=40';
      const stream = await bourse.api.stream(key, { model: MODEL, messages: user(content) });
      assert.equal(stream.status, 200);
      assert.ok(stream.ended, 'the connection itself ends in order');
      assert.ok(stream.isDone);
      assert.equal(stream.contents.length, chunks);
      const { error, choices, object, id } = stream.errorChunk;
      assert.ok(Number.isInteger(error.code) && error.code >= 500, String(error.code));
      assert.equal(typeof error.message, 'string');
      assert.equal(typeof error.metadata.error_type, 'string');
      assert.equal(choices[0].finish_reason, 'error');
      assert.equal(object, 'chat.completion.chunk');
      assert.equal(id, stream.generation);
      assert.equal(stream.usageChunk, undefined, 'nothing claims that it was billed');
      await bourse.quiet();
      const row = await bourse.generationRow(stream.generation);
      assert.equal(row.state, ABSORBED);
      assert.equal(row.charge, 0n);
      assert.equal(await balanceOf(management), 1_000_000_000n);
    });
  }
}

for (const [what, fault] of insideTheStream.filter(
  ([, { kind }]) => kind !== 'stall' && kind !== 'garbage' && kind !== 'reset',
)) {
  test(`a stream that is ${what} before its first chunk is a plain error`, async () => {
    const { answer, spent } = await under({ ...fault, after_chunks: 0 }, { stream: true });
    assertError(answer, answer.status);
    assert.ok(answer.status >= 500);
    assert.equal(spent, 0n);
  });
}

test('an endless stream is cut at the end of our patience, as an error and free of charge', async () => {
  const { key, management } = await bourse.makeCustomer();
  await bourse.simulator.fault('openai', { kind: 'endless' });
  const stream = await bourse.api.stream(key, { model: MODEL, messages: user('sim:chunk_ms=20'), max_tokens: 16 });
  assert.ok(stream.isDone);
  assert.ok(stream.errorChunk);
  await bourse.quiet();
  const row = await bourse.generationRow(stream.generation);
  assert.equal(row.charge, 0n);
  assert.equal(await balanceOf(management), 1_000_000_000n);
});

test('an endless stream is cut where no tokens within max_tokens could be that long, free of charge', async () => {
  const { key, management } = await bourse.makeCustomer();
  await bourse.simulator.fault('openai', { kind: 'endless' });
  const stream = await bourse.api.stream(key, { model: MODEL, messages: user('sim:bytes=20'), max_tokens: 16 });
  assert.ok(stream.isDone);
  assert.match(stream.errorChunk.error.message, /far beyond/);
  // 16 tokens of 128 bytes and 4096 more are 6144; the chunk of 20 bytes that goes beyond is the last.
  const bytes = stream.contents.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
  assert.ok(bytes > 6144 && bytes <= 6164, `${bytes} bytes`);
  await bourse.quiet();
  assert.equal((await bourse.generationRow(stream.generation)).charge, 0n);
  assert.equal(await balanceOf(management), 1_000_000_000n);
});

test('what was decoded before a fault reaches the client however the bytes were cut into reads', async () => {
  const { key } = await bourse.makeCustomer();
  for (const kind of ['garbage', 'error', 'cut']) {
    await bourse.simulator.fault('openai', { kind, after_chunks: 3 });
    // Nothing between the chunks: they mostly come in one read with the fault.
    for (let i = 0; i < 20; i++) {
      const stream = await bourse.api.stream(key, { model: MODEL, messages: user('sim:tokens=10') });
      assert.equal(stream.status, 200);
      assert.equal(stream.contents.length, 3, kind);
      assert.ok(stream.errorChunk, kind);
      assert.ok(stream.isDone);
    }
  }
});

// ---- what a provider says it used

// 26 bytes of prompt are 7 tokens; ten tokens of 20 bytes are 200 bytes: 50 tokens by the estimate.
const RIGHT = 7n * PROMPT_NANO + 10n * COMPLETION_NANO;
const ESTIMATE = 7n * PROMPT_NANO + 50n * COMPLETION_NANO;
const usages = [
  ['missing', ESTIMATE, ESTIMATED],
  ['negative', ESTIMATE, ESTIMATED],
  ['huge', ESTIMATE, ESTIMATED],
  ['text', ESTIMATE, ESTIMATED],
  ['twice', RIGHT, 0],
  ['zero', 0n, 0],
];
for (const [usage, cost, flag] of usages) {
  for (const stream of [false, true]) {
    test(`usage that is ${usage} is billed ${flag ? 'by the estimate' : `as ${cost} nano-dollars`} (${stream ? 'streamed' : 'not streamed'})`, async () => {
      const { key, management } = await bourse.makeCustomer();
      await bourse.simulator.fault('openai', { kind: 'usage', usage });
      const body = { model: MODEL, messages: user('sim:tokens=10 sim:bytes=20') };
      const answer = stream ? await bourse.api.stream(key, body) : await bourse.api.chat(key, body);
      assert.equal(answer.status, 200);
      const id = stream ? answer.generation : answer.json.id;
      const told = stream ? answer.cost : nanoOf(answer.exact.usage.cost);
      assert.equal(told, cost);
      await bourse.quiet();
      const row = await bourse.generationRow(id);
      assert.equal(row.state, SETTLED);
      assert.equal(row.charge, cost);
      assert.equal(row.flags, (stream ? STREAMED : 0) | flag | SIMULATED);
      assert.equal(await balanceOf(management), 1_000_000_000n - cost);
    });
  }
}

// ---- another provider

const TWO = 'deepseek/deepseek-r1-distill-qwen-7b'; // fireworks and nscale, both in the openai dialect
const hello = { model: TWO, messages: user('sim:tokens=10'), provider: { order: ['fireworks', 'nscale'] } };

for (const stream of [false, true]) {
  for (const fault of [
    { kind: 'status', status: 500 },
    { kind: 'status', status: 429 },
    { kind: 'status', status: 401 },
    { kind: 'reset' },
    { kind: 'garbage' },
  ]) {
    const what = fault.status ?? fault.kind;
    test(`a ${what} of the first provider is answered by the second and billed once (${stream ? 'streamed' : 'not streamed'})`, async () => {
      const { key, management } = await bourse.makeCustomer();
      const after = await bourse.simulator.total();
      await bourse.simulator.fault('fireworks', fault);
      const answer = stream ? await bourse.api.stream(key, hello) : await bourse.api.chat(key, hello);
      assert.equal(answer.status, 200, answer.text);
      const told = stream ? answer.cost : nanoOf(answer.exact.usage.cost);
      const id = stream ? answer.generation : answer.json.id;
      const served = await bourse.simulator.served({ after });
      // A reset on a connection that was used before may only mean that it was closed: it is tried again on another.
      const order = served.map((entry) => entry.provider).filter((name, i, all) => name !== all[i - 1]);
      assert.deepEqual(order, ['fireworks', 'nscale']);
      assert.equal(served.filter((entry) => entry.provider === 'nscale').length, 1);
      assert.ok(served.length <= (fault.kind === 'reset' ? 4 : 2));
      assert.deepEqual(new Set(served.map((entry) => entry.request_id)), new Set([id]));
      const { data } = (await bourse.api.get(`/generation?id=${id}`, { key })).json;
      assert.equal(data.provider_name, 'Nscale');
      assert.equal(data.provider_responses.length, 2);
      assert.equal(await balanceOf(management), 1_000_000_000n - told);
      assert.ok(told > 0n);
    });
  }
}

test('when every provider fails the client gets an error that names them', async () => {
  const { key, management } = await bourse.makeCustomer();
  await bourse.simulator.fault('*', { kind: 'status', status: 500 });
  const answer = await bourse.api.chat(key, hello);
  const error = assertError(answer, 502);
  assert.deepEqual(error.metadata.previous_errors.map((entry) => entry.provider).sort(), ['fireworks', 'nscale']);
  assert.equal(answer.headers['x-should-retry'], 'false');
  assert.equal(await balanceOf(management), 1_000_000_000n);
});

test('after the first chunk there is no second provider: the stream ends with an error', async () => {
  const { key } = await bourse.makeCustomer();
  const after = await bourse.simulator.total();
  await bourse.simulator.fault('fireworks', { kind: 'reset', after_chunks: 3 });
  const stream = await bourse.api.stream(key, { ...hello, messages: user('sim:chunk_ms=40') });
  assert.ok(stream.errorChunk);
  assert.equal(stream.contents.length, 3);
  assert.deepEqual(
    (await bourse.simulator.served({ after })).map((entry) => entry.provider),
    ['fireworks'],
  );
});

test('a request the provider refuses as invalid is not offered to another', async () => {
  const { key } = await bourse.makeCustomer();
  const after = await bourse.simulator.total();
  await bourse.simulator.fault('fireworks', { kind: 'status', status: 400 });
  assertError(await bourse.api.chat(key, hello), 400, /told to fail/);
  assert.equal((await bourse.simulator.served({ after })).length, 1);
});

// ---- all of it together

test('after a mix of success, refusal, errors, timeouts and clients that leave, nothing is held and every counter is the sum', async () => {
  const { key, management, orgNumber } = await bourse.makeCustomer({ credit: '5' });
  const small = { model: MODEL, messages: user('sim:tokens=10'), max_tokens: 20 };
  const seen = new Map();
  const note = (name) => seen.set(name, (seen.get(name) ?? 0) + 1);
  const send = (count, body = small) =>
    Promise.all(Array.from({ length: count }, async () => note((await bourse.api.chat(key, body, { agent })).status)));
  const leave = (count, chunks) =>
    Promise.all(
      Array.from({ length: count }, async () => {
        const stream = await bourse.api.openStream(key, small);
        await stream.readContent(chunks);
        stream.leave();
        note('left');
      }),
    );
  const leaveEarly = async (count) => {
    const controllers = Array.from({ length: count }, () => new AbortController());
    const before = await bourse.simulator.total();
    const calls = controllers.map(({ signal }) =>
      bourse.api.chat(key, small, { signal, agent: false }).catch(() => note('left early')),
    );
    await eventually(async () => assert.equal((await bourse.simulator.total()) - before, count));
    for (const controller of controllers) controller.abort();
    await Promise.all(calls);
  };

  await send(100);
  await send(20, { ...small, model: 'openai/gpt-0' });
  await send(20, { ...small, n: 9 });
  for (const [fault, count] of [
    [{ kind: 'status', status: 429 }, 20],
    [{ kind: 'status', status: 500 }, 20],
    [{ kind: 'reset' }, 20],
    [{ kind: 'half' }, 10],
    [{ kind: 'usage', usage: 'missing' }, 10],
    [{ kind: 'usage', usage: 'huge' }, 10],
    [{ kind: 'stall' }, 10], // a timeout: the edge waits for 1.5 s here
  ]) {
    await bourse.simulator.fault('openai', fault);
    await send(count);
    await bourse.simulator.clearFaults();
  }
  await bourse.simulator.fault('openai', { kind: 'stall', after_chunks: 3 });
  await leave(20, 3);
  await bourse.simulator.fault('openai', { kind: 'stall' });
  await leaveEarly(20);
  await bourse.simulator.clearFaults();
  assert.equal(seen.get(200), 120);
  assert.equal(seen.get(400), 40);
  assert.equal(seen.get(429), 20);
  assert.equal(seen.get('left'), 20);
  assert.equal(seen.get('left early'), 20);

  await within(3000, 'everything held is free again', bourse.quiet(1000 + 500)); // clients that left are noticed within 0.5 s
  const { data } = (await bourse.api.get('/credits', { key: management })).exact;
  const mine = (await bourse.api.get('/key', { key })).exact.data;
  const charged = await bourse.sqlValue('select sum(charge)::bigint from generation where org = $1', [
    String(orgNumber),
  ]);
  const counted = await bourse.sqlValue(
    'select p.spent from meter m join meter_period p on p.org = m.org and p.meter = m.id where m.org = $1 and m.cadence = 0 and p.spent > 0',
    [String(orgNumber)],
  );
  assert.equal(nanoOf(data.held), 0n);
  assert.equal(nanoOf(data.total_usage), charged);
  assert.equal(nanoOf(mine.usage), charged);
  assert.equal(counted, charged);
  assert.equal(nanoOf(data.balance), 5_000_000_000n - charged);
});

// ---- the simulator's own word

test('a fault of one provider that is used up leaves him to the fault of all', async () => {
  const { key } = await bourse.makeCustomer();
  await bourse.simulator.fault('*', { kind: 'status', status: 500, count: 1 });
  await bourse.simulator.fault('openai', { kind: 'status', status: 429, count: 1 });
  const statuses = [];
  for (let i = 0; i < 3; i++) {
    statuses.push((await bourse.api.chat(key, { model: MODEL, messages: user('Hi') })).status);
  }
  await bourse.simulator.clearFaults();
  assert.deepEqual(statuses, [429, 502, 200]);
});
