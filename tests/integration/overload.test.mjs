// SPDX-License-Identifier: Apache-2.0
// Every bound of the configuration, small enough to be reached: what is beyond it is refused at once with 503 and Retry-After, what is
// within it is served, and afterwards there is room again.
import assert from 'node:assert/strict';
import net from 'node:net';
import test from 'node:test';

import { MODEL, assertError, user } from './api.mjs';
import { FakeEdge } from './fake_edge.mjs';
import { eventually, startInstance, within } from './harness.mjs';

const HOLDS = 16,
  REQUESTS = 24,
  CONNECTIONS = 60,
  BODIES = 1 << 20;
let key;
const bourse = startInstance({
  options: {
    edge_threads: 1,
    requests_max: REQUESTS,
    ledger_holds: HOLDS,
    body_max: BODIES,
    body_total_max: BODIES,
    edge_connections: CONNECTIONS,
  },
  setup: async (instance) => {
    ({ key } = await instance.makeCustomer({ credit: '100' }));
  },
});
const hello = { model: MODEL, messages: user('Hello') };

/** Sends that many while the provider waits; answers those refused at once, and the rest when it goes on. */
async function crowd(count, body = hello) {
  const before = await bourse.simulator.total();
  await bourse.simulator.fault('*', { kind: 'hold' });
  const early = [];
  const running = Array.from({ length: count }, () =>
    bourse.api.chat(key, body, { agent: false }).then((answer) => early.push(answer) && answer),
  );
  await eventually(async () => assert.equal(early.length + (await bourse.simulator.total()) - before, count));
  const refused = early.slice();
  await bourse.simulator.clearFaults();
  const all = await Promise.all(running);
  return { refused, served: all.filter((answer) => answer.status === 200) };
}

function assertBusy(answer) {
  assertError(answer, 503);
  assert.match(answer.headers['retry-after'], /^\d+$/);
}

test('as many holds as the ledger has room for are served at once', async () => {
  const { refused, served } = await crowd(HOLDS);
  assert.deepEqual(refused, []);
  assert.equal(served.length, HOLDS);
});

test('beyond the ledger’s holds and the edge’s requests the answer is 503, and then there is room again', async () => {
  const { refused, served } = await crowd(REQUESTS + 10);
  assert.equal(served.length, HOLDS);
  assert.equal(refused.length, REQUESTS + 10 - HOLDS);
  for (const answer of refused) assertBusy(answer);
  assert.equal((await crowd(HOLDS)).served.length, HOLDS);
});

test('beyond the bytes of all bodies together the answer is 503, and then there is room again', async () => {
  const big = { model: 'qwen/qwen-flash', messages: user('x'.repeat(600_000)), max_tokens: 10 };
  const { refused, served } = await crowd(2, big);
  assert.equal(served.length, 1);
  assert.equal(refused.length, 1);
  assertBusy(refused[0]);
  assert.equal((await bourse.api.chat(key, big)).status, 200);
  assert.equal((await bourse.api.chat(key, hello)).status, 200);
});

test('connections beyond the bound wait until another ends', async () => {
  const sockets = Array.from({ length: CONNECTIONS }, () =>
    net.connect(bourse.port, '127.0.0.1').on('error', () => {}),
  );
  await eventually(() => assert.ok(sockets.every((socket) => socket.readyState === 'open')));
  let answered = false;
  const late = bourse.api.chat(key, hello, { agent: false }).then((answer) => (answered = answer));
  for (let i = 0; i < 50; i++) await bourse.simulator.total(); // time enough for an answer, were it let in
  assert.equal(answered, false);
  for (const socket of sockets) socket.destroy();
  await within(5000, 'the one that waited', late);
  assert.equal(answered.status, 200);
});

// Ten thousand at a time are more than there is room for. Who is known and has little on lease needs PostgreSQL, too, for more.
test('made-up keys in any number are refused, and who is known is served and does not wait for them', async () => {
  const customers = await Promise.all(Array.from({ length: 8 }, () => bourse.makeCustomer()));
  const ask = ({ key }, tokens) =>
    bourse.api.chat(key, { model: MODEL, messages: user('sim:tokens=1'), max_tokens: tokens }, { agent: false });
  for (const customer of customers) assert.equal((await ask(customer, 1)).status, 200);
  const edge = await FakeEdge.connect(bourse);
  let flooding = true,
    rounds = 0,
    served = 0;
  const flood = async () => {
    const errors = new Set();
    for (; flooding; rounds++) for (const error of Object.keys(await edge.identifyStrangers(10_000))) errors.add(error);
    return [...errors].sort();
  };
  const flooded = flood();
  try {
    for (let tokens = 100; tokens <= 10_000; tokens *= 10) {
      for (const customer of customers) {
        assert.equal((await ask(customer, tokens)).status, 200);
        served++;
      }
    }
    assert.ok(rounds < served / 2, `${rounds} rounds of strangers while ${served} were served`); // in line with them: one each
  } finally {
    flooding = false;
    await flooded;
    edge.close();
  }
  const errors = await flooded;
  for (const error of ['BAD_KEY', 'LEDGER_FULL']) assert.ok(errors.includes(error), `${errors}`);
  const known = ['BAD_KEY', 'LEDGER_FULL', 'LEDGER_DOWN']; // the last: who waits for longer than two seconds
  assert.deepEqual(errors.filter((error) => !known.includes(error)), []);
  // And a newcomer is read again.
  assert.equal((await ask(await bourse.makeCustomer(), 1)).status, 200);
});
