// SPDX-License-Identifier: Apache-2.0
// Each process is killed again and again under load, then asked to stop under load. Whatever dies, every answer that its client read
// to the end is billed once, as told, and nobody is billed for what broke.
import assert from 'node:assert/strict';
import test from 'node:test';

import { COMPLETION_NANO, MODEL, PROMPT_NANO, assertError, nanoOf, user } from '../integration/api.mjs';
import { eventually, startInstance } from '../integration/harness.mjs';
import { QUICK, ROUNDS, kill, killBackend, postgresServes, strike, underLoad } from './faults.mjs';
import { randomOf } from './load.mjs';

const bourse = startInstance({ options: QUICK });
const BETWEEN = 15; // answers between two kills

for (const program of ['edge', 'ledger', 'catalog', 'usage']) {
  test(`${program} may be killed ${ROUNDS} times under load: it is back within a second each time, and the bill is right`, async (t) => {
    const rules = { edgeStopped: program === 'edge' };
    const times_ms = [];
    await underLoad(bourse, async (load) => {
      for (let round = 0; round < ROUNDS; round++) {
        times_ms.push(await strike(bourse, load, () => kill(bourse, program)));
        await load.more(BETWEEN);
      }
    }, rules);
    t.diagnostic(`${program} was back after ${Math.max(...times_ms).toFixed()} ms at most`);
  });
}

test(`one of PostgreSQL’s backends may be killed ${ROUNDS} times under load, and the bill is right`, async () => {
  await underLoad(bourse, async (load) => {
    const random = randomOf(load.seed);
    for (let round = 0; round < ROUNDS; round++) {
      await strike(bourse, load, () => killBackend(bourse, random));
      await load.more(BETWEEN);
    }
  });
});

test(`PostgreSQL may be killed as a whole ${ROUNDS} times under load, and the bill is right`, async () => {
  await underLoad(bourse, async (load) => {
    for (let round = 0; round < ROUNDS; round++) {
      await strike(bourse, load, async () => {
        await kill(bourse, 'postgres');
        await postgresServes(bourse);
      });
      await load.more(BETWEEN);
    }
  });
});

for (const program of ['edge', 'ledger', 'catalog', 'usage', 'postgres']) {
  test(`${program} may be asked to stop under load: nothing that was served is lost, and it comes back`, async () => {
    const rules = program === 'edge' ? { edgeStopped: true, graceful: true } : {};
    const { requests } = await underLoad(bourse, async (load) => {
      const signal = program === 'postgres' ? 'SIGINT' : 'SIGTERM'; // a fast shutdown
      await strike(bourse, load, () => kill(bourse, program, signal, 15_000));
    }, rules);
    assert.ok(requests.some((request) => request.hit), 'nothing was under way');
  });
}

test(`edge and ledger may be killed together ${ROUNDS} times under load, and the bill is right`, async () => {
  await underLoad(bourse, async (load) => {
    for (let round = 0; round < ROUNDS; round++) {
      await strike(bourse, load, MISHAPS['edge and ledger']);
      await load.more(BETWEEN);
    }
  }, { edgeStopped: true });
});

test('an edge that is asked to stop ends the streams that end within the drain time, and bills them', async () => {
  const { key, management } = await bourse.makeCustomer();
  // Sixty chunks, 50 ms apart: three seconds, of a drain time of thirty.
  const stream = await bourse.api.openStream(key, { model: MODEL, messages: user('sim:tokens=60 sim:chunk_ms=50') });
  await stream.readContent(3);
  const stopped = kill(bourse, 'edge', 'SIGTERM', 15_000);
  await stream.readAll();
  assert.ok(stream.isDone, 'the stream was cut');
  await stopped;
  await bourse.ready();
  const { data } = (await bourse.api.get('/credits', { key: management })).exact;
  assert.equal(nanoOf(data.total_usage), 8n * PROMPT_NANO + 60n * COMPLETION_NANO); // 29 bytes: 8 tokens
});

test('a hold that the edge’s death left behind is released within seconds, and its money can be spent again', async () => {
  const { key, management } = await bourse.makeCustomer({ credit: '0.01' }); // 10,000,000 nano-dollars; the hold takes over 9,600,000
  const body = { model: MODEL, messages: user('sim:tokens=10'), max_tokens: 16_000 };
  await bourse.simulator.fault('openai', { kind: 'stall', after_chunks: 3 });
  const stream = await bourse.api.openStream(key, body);
  await stream.readContent(3);
  assertError(await bourse.api.chat(key, body), 402);
  await kill(bourse, 'edge');
  await stream.readAll();
  assert.ok(!stream.isDone, 'the stream broke with its edge');
  await bourse.simulator.clearFaults();
  await eventually(async () => assert.equal((await bourse.api.chat(key, body)).status, 200), { deadline_ms: 5000 });
  const { data } = (await bourse.api.get('/credits', { key: management })).exact;
  assert.equal(nanoOf(data.total_usage), 4n * PROMPT_NANO + 10n * COMPLETION_NANO); // 13 bytes: 4 tokens; the first was free
});

/** Kills a program twice: the second time while it recovers. */
async function killTwice(program) {
  await kill(bourse, program);
  await kill(bourse, program);
}

const MISHAPS = {
  edge: () => kill(bourse, 'edge'),
  ledger: () => kill(bourse, 'ledger'),
  'ledger twice': () => killTwice('ledger'),
  'edge and ledger': () => Promise.all([kill(bourse, 'edge'), kill(bourse, 'ledger')]),
  postgres: () => kill(bourse, 'postgres').then(() => postgresServes(bourse)),
  backend: (random) => killBackend(bourse, random),
  'ledger and postgres': () => Promise.all([kill(bourse, 'ledger'), kill(bourse, 'postgres')]).then(() => postgresServes(bourse)),
  'everything but the provider': () => Promise.all(['edge', 'ledger', 'catalog', 'usage', 'postgres'].map((name) => kill(bourse, name)))
    .then(() => postgresServes(bourse)),
};

test(`${ROUNDS} mishaps in a random order, several at once among them, and the bill is right`, async () => {
  await underLoad(bourse, async (load) => {
    const random = randomOf(load.seed);
    for (let round = 0; round < ROUNDS; round++) {
      const name = Object.keys(MISHAPS)[Math.floor(random() * Object.keys(MISHAPS).length)];
      console.log(`mishap: ${name}`);
      await strike(bourse, load, () => MISHAPS[name](random));
      await load.more(BETWEEN);
    }
  }, { edgeStopped: true });
});
