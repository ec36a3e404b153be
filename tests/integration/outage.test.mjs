// SPDX-License-Identifier: Apache-2.0
// A service that hangs or dies: what needs it is refused with 503 and Retry-After in time, what does not need it goes on, and in no
// case is a call free or unbilled. The simulator's log and the rows of the ledger are compared one by one.
import assert from 'node:assert/strict';
import test from 'node:test';

import { MODEL, assertError, nanoOf, user } from './api.mjs';
import { eventually, startInstance, within } from './harness.mjs';

const bourse = startInstance({ options: { hold_timeout: 1000 } });
const body = { model: MODEL, messages: user('sim:tokens=10') }; // 13 bytes: 4 tokens
const COST = 4n * 150n + 10n * 600n;

function assertUnavailable(answer) {
  assertError(answer, 503);
  assert.match(answer.headers['retry-after'] ?? '', /^\d+$/);
}

/** Every call of the provider has its row; the complete ones are charged what the simulator says it generated, others nothing. */
async function assertAllBilled({ after, orgNumber, told }) {
  await bourse.quiet(15_000);
  const served = await bourse.simulator.served({ after });
  let charged = 0n;
  for (const entry of served) {
    const row = await bourse.generationRow(entry.request_id);
    assert.ok(row, `${entry.request_id} was served and has no row`);
    charged += row.charge;
    if (told.has(entry.request_id)) assert.equal(row.charge, told.get(entry.request_id), entry.request_id);
    if (row.charge > 0n) assert.equal(row.completion, entry.tokens_generated);
  }
  for (const id of told.keys())
    assert.ok(
      served.some((entry) => entry.request_id === id),
      `${id} was told and never served`,
    );
  const booked = await bourse.sqlValue('select coalesce(sum(charge), 0)::bigint from generation where org = $1', [
    String(orgNumber),
  ]);
  assert.equal(booked, charged);
  return served.length;
}

test('while the ledger hangs, requests are refused in time and no provider is called; afterwards all is well', async () => {
  const customer = await bourse.makeCustomer();
  assert.equal((await bourse.api.chat(customer.key, body)).status, 200);
  const { key: unknown } = await bourse.makeCustomer(); // no edge has seen it yet
  const served = await bourse.simulator.total();
  await bourse.whileStopped('ledger', async () => {
    const answers = await within(
      5000,
      'the refusals',
      Promise.all([
        ...Array.from({ length: 10 }, () => bourse.api.chat(customer.key, body)),
        bourse.api.chat(customer.key, { ...body, stream: true }),
        bourse.api.chat(unknown, body),
        bourse.api.get('/key', { key: customer.key }),
        bourse.api.get('/credits', { key: customer.management }),
      ]),
    );
    for (const answer of answers) assertUnavailable(answer);
    assert.equal(await bourse.simulator.total(), served);
    assert.equal((await bourse.api.get('/models/count')).status, 200, 'what needs no ledger goes on');
  });
  await eventually(async () => assert.equal((await bourse.api.chat(customer.key, body)).status, 200));
  const { data } = (await bourse.api.get('/credits', { key: customer.management })).exact;
  assert.equal(nanoOf(data.total_usage), 2n * COST);
  assert.equal(nanoOf(data.held), 0n);
});

test('a stream whose ledger hangs at its end is finished, and billed, when the ledger is back', async () => {
  const { key, management } = await bourse.makeCustomer();
  await bourse.simulator.fault('openai', { kind: 'stall', after_chunks: 3 });
  const stream = await bourse.api.openStream(key, body);
  await stream.readContent(3);
  await bourse.whileStopped('ledger', async () => {
    await bourse.simulator.clearFaults();
    await stream.readContent(10);
    await eventually(async () => assert.ok((await bourse.metrics('edge')).frames_unacknowledged > 0));
    assert.ok(!stream.isDone, 'the end waits for its bill');
  });
  await stream.readAll();
  assert.ok(stream.isDone);
  assert.equal(stream.cost, COST);
  assert.equal(nanoOf((await bourse.api.get('/credits', { key: management })).exact.data.total_usage), COST);
});

test('while catalog and usage hang, their routes answer 503 and chat goes on', async () => {
  const { key } = await bourse.makeCustomer();
  const { id } = (await bourse.api.chat(key, body)).json;
  const generation = () => bourse.api.get(`/generation?id=${id}`, { key });
  await bourse.whileStopped(['catalog', 'usage'], async () => {
    assert.equal((await within(3000, 'chat', bourse.api.chat(key, body))).status, 200);
    const answers = await within(20_000, 'the refusals', Promise.all([bourse.api.get('/models'), generation()]));
    for (const answer of answers) assertUnavailable(answer);
    assert.equal((await within(3000, 'chat', bourse.api.chat(key, body))).status, 200);
  });
  await eventually(async () => assert.equal((await bourse.api.get('/models')).status, 200));
  assert.equal((await generation()).status, 200);
});

for (const program of ['usage', 'catalog', 'ledger']) {
  test(`when ${program} is killed under load, every call is billed as it was told, and service returns within seconds`, async () => {
    const { key, orgNumber } = await bourse.makeCustomer();
    const after = await bourse.simulator.total();
    const told = new Map();
    const seen = new Map();
    let running = true;
    const one = async () => {
      while (running) {
        const answer = await bourse.api.chat(key, body);
        seen.set(answer.status, (seen.get(answer.status) ?? 0) + 1);
        if (answer.status === 200) told.set(answer.json.id, nanoOf(answer.exact.usage.cost));
        else assertUnavailable(answer);
      }
    };
    const load = Array.from({ length: 8 }, one);
    await eventually(() => assert.ok(told.size > 50));
    const before = told.size;
    await bourse.killAndWait(program);
    await eventually(() => assert.ok(told.size > before + 50));
    running = false;
    await Promise.all(load);
    if (program !== 'ledger') assert.equal(seen.get(503) ?? 0, 0, 'chat needs only the ledger');
    for (const cost of told.values()) assert.equal(cost, COST);
    const served = await assertAllBilled({ after, orgNumber, told });
    assert.ok(served >= told.size);
  });
}

test('when the edge is killed under load, no call that was answered is unbilled and none is billed twice', async () => {
  const { key, orgNumber } = await bourse.makeCustomer();
  const after = await bourse.simulator.total();
  const told = new Map();
  let running = true;
  const one = async () => {
    while (running) {
      const answer = await bourse.api.chat(key, body).catch(() => undefined); // refused and reset connections while it is away
      if (answer?.status === 200) told.set(answer.json.id, nanoOf(answer.exact.usage.cost));
    }
  };
  const load = Array.from({ length: 8 }, one);
  await eventually(() => assert.ok(told.size > 50));
  const before = told.size;
  await bourse.killAndWait('edge');
  await eventually(() => assert.ok(told.size > before + 50));
  running = false;
  await Promise.all(load);
  await assertAllBilled({ after, orgNumber, told });
});

for (const program of ['edge', 'ledger']) {
  test(`when ${program} is told to stop, the answers in flight end in order and are billed`, async () => {
    const { key, orgNumber } = await bourse.makeCustomer();
    const after = await bourse.simulator.total();
    await bourse.simulator.fault('openai', { kind: 'stall', after_chunks: 3 });
    const streams = await Promise.all(Array.from({ length: 5 }, () => bourse.api.openStream(key, body)));
    await Promise.all(streams.map((stream) => stream.readContent(3)));
    const stopped = bourse.killAndWait(program, 'SIGTERM');
    if (program === 'ledger') await stopped;
    await bourse.simulator.clearFaults();
    await Promise.all(streams.map((stream) => stream.readAll()));
    await stopped;
    for (const stream of streams) {
      assert.ok(stream.isDone, stream.text);
      assert.equal(stream.cost, COST);
    }
    await assertAllBilled({
      after,
      orgNumber,
      told: new Map(streams.map((stream) => [stream.generation, stream.cost])),
    });
  });
}

test('PostgreSQL may be killed: what was served is billed, and service returns', async () => {
  const { key, orgNumber } = await bourse.makeCustomer();
  const after = await bourse.simulator.total();
  const told = new Map();
  const ask = async () => {
    const answer = await bourse.api.chat(key, body);
    if (answer.status === 200) told.set(answer.json.id, nanoOf(answer.exact.usage.cost));
    else assertUnavailable(answer);
    return answer.status;
  };
  assert.equal(await ask(), 200);
  const before = bourse.pid('postgres');
  process.kill(before, 'SIGKILL');
  for (let i = 0; i < 20; i++) await ask();
  await eventually(() => assert.notEqual(bourse.pid('postgres'), before));
  await eventually(async () => assert.equal(await ask(), 200), { deadline_ms: 30_000 });
  await assertAllBilled({ after, orgNumber, told });
});

// ---- what a balancer is told

const readyz = async () => {
  const { status, json } = await within(2000, 'readyz', bourse.api.get('/readyz', { root: true }));
  return { status, ...json };
};

test('readyz says 503 and names the part for as long as a chat request could not be served, and no longer', async () => {
  const all = { ledger: true, catalog: true, market: true, running: true, usage: true, ready: true, simulated: true };
  assert.deepEqual(await readyz(), { status: 200, ...all });
  for (const part of ['ledger', 'catalog']) {
    await bourse.whileStopped(part, async () => {
      assert.deepEqual(await readyz(), { status: 503, ...all, [part]: false, ready: false });
    });
    assert.deepEqual(await readyz(), { status: 200, ...all });
  }
});

test('readyz stays 200 without the usage service, which it names: chat is served', async () => {
  const { key } = await bourse.makeCustomer();
  await bourse.whileStopped('usage', async () => {
    // Balancers often wait a second; a crowd of them waits for the same answers.
    const answers = await within(900, 'readyz', Promise.all(Array.from({ length: 200 }, readyz)));
    for (const answer of answers) assert.deepEqual([answer.status, answer.ready, answer.usage], [200, true, false]);
    assert.equal((await bourse.api.chat(key, body)).status, 200);
  });
});
