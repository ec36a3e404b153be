// SPDX-License-Identifier: Apache-2.0
// The other programs die by their own hand at named points, each time under load, or stand there while PostgreSQL is killed: the edge
// between a hold and the answer's last byte, the catalog and usage between what they did and who is to hear of it. The ledger's points:
// crash_points.test.mjs. What is armed is there for every program, so no two points have one name.
import './fault_build.mjs';

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { MODEL, nanoOf, user } from '../integration/api.mjs';
import { loadModels } from '../integration/catalog.mjs';
import { ROOT, startInstance } from '../integration/harness.mjs';
import { QUICK, killPostgres, strike, underLoad } from './faults.mjs';
import { dieAt, killPostgresAt } from './points.mjs';

const REPRICED = 'test/repriced'; // nobody of the load asks for it
const LIST = { prompt: '0.000001', completion: '0.000002' }; // 1,000 and 2,000 nano-dollars a token
const SIMULATED = 8; // FACT_SIMULATED in shared/ipc/codec.h
const bourse = startInstance({ options: QUICK, setup: (instance) => loadModels(instance, { repriced: LIST }) });

test('every named point of the programs is in a test, and has a name of its own', () => {
  const points = ['-rhoP', '--include=*.c', 'fault_point\\("\\K\\w+', 'services', 'shared'];
  const names = execFileSync('grep', points, { cwd: ROOT, encoding: 'utf8' }).trim().split('\n');
  assert.equal(new Set(names).size, names.length, `two of ${names} have one name`);
  const files = ['crash_points', 'crash_points_others'].map((name) => path.join(ROOT, `tests/fault/${name}.test.mjs`));
  const tests = files.map((file) => readFileSync(file, 'utf8')).join('');
  assert.deepEqual(names.filter((name) => !new RegExp(`\\b${name}\\b`).test(tests)), []);
});

// ---- the edge

// What stands at each point leaves in the logs.
const EDGE = {
  edge_after_hold: { served: false, seen: false, paid: false },
  edge_first_byte: { served: true, seen: false, paid: false },
  edge_after_settle: { served: true, seen: false, paid: true }, // of whole answers
  edge_after_ack: { served: true, paid: true },
};

/** Of each row that broke: whether a provider served it, the client saw its head, and it is paid for. */
function tracesOf({ requests, rows, served }) {
  const ended = requests.filter(({ complete, left }) => complete || left);
  const whole = new Set(ended.flatMap(({ tag, generation }) => [tag, generation]));
  const broken = rows.filter(({ id, session }) => !whole.has(id) && !whole.has(session));
  return broken.map(({ id, charge }) => ({
    served: served.some((entry) => entry.request_id === id),
    seen: requests.some(({ generation }) => generation === id),
    paid: charge > 0n,
  }));
}

for (const [point, trace] of Object.entries(EDGE)) {
  test(`the edge may die at ${point}: what it broke is free, unless its bill was booked`, async () => {
    const logs = await underLoad(bourse, async (load) => {
      await strike(bourse, load, () => dieAt(bourse, 'edge', point));
      await load.more(20);
    }, { edgeStopped: true });
    const traces = tracesOf(logs);
    const stood = traces.some((found) => Object.keys(trace).every((name) => found[name] === trace[name]));
    assert.ok(stood, `no request stood at the point: ${JSON.stringify(traces)}`);
  });
}

test('PostgreSQL may be killed while the edge stands at each of its points in turn: no answer breaks', async () => {
  await underLoad(bourse, async (load) => {
    for (const point of Object.keys(EDGE)) {
      await killPostgresAt(bourse, 'edge', point);
      await load.more(20);
    }
  });
});

// ---- the catalog

// The request's 13 bytes are 4 tokens, and 10 come back: 4 · 1,000 + 10 · 2,000 = 24,000 at list price, and the margin.
const CATALOG = [
  { point: 'catalog_after_commit', dies: true, basisPoints: 1000, cost: 26_400n },
  { point: 'catalog_after_push', dies: true, basisPoints: 2000, cost: 28_800n },
  { point: 'catalog_after_commit', dies: false, basisPoints: 3000, cost: 31_200n },
  { point: 'catalog_after_push', dies: false, basisPoints: 4000, cost: 33_600n },
];

async function setMargin(basisPoints) {
  const { data: [{ id }] } = await bourse.bourse('endpoint', 'list', '--model', REPRICED);
  await bourse.bourse('endpoint', 'margin', `${id}`, '--basis-points', `${basisPoints}`);
}

for (const { point, dies, basisPoints, cost } of CATALOG) {
  const what = dies ? `the catalog may die at ${point}` : `PostgreSQL may be killed while the catalog stands at ${point}`;
  test(`${what} of a price change: it stands and is charged`, async () => {
    const { key } = await bourse.makeCustomer();
    const { requests } = await underLoad(bourse, async (load) => {
      const struck = dies ? dieAt(bourse, 'catalog', point) : killPostgresAt(bourse, 'catalog', point);
      // Who asked a catalog that died may not hear that it was done.
      const asked = setMargin(basisPoints).catch((error) => assert.ok(dies, error));
      await Promise.all([struck, asked]);
      await load.more(20);
    });
    // Without PostgreSQL leases end.
    if (dies) assert.ok(requests.every(({ status }) => status !== 503), 'a request needed the catalog');
    const answer = await bourse.api.chat(key, { model: REPRICED, messages: user('sim:tokens=10') });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(nanoOf(answer.exact.usage.cost), cost);
  });
}

/** Its key is sealed from then on, and opened for the edge; its answers come from the simulator all the same. */
async function makeLive() {
  const file = path.join(bourse.directory, 'provider.key');
  writeFileSync(file, 'sk-a-key-that-the-simulator-does-not-look-at\n', { mode: 0o600 });
  await bourse.bourse('provider', 'live', 'openai', '--key-file', file, '--base-url', `${bourse.demo.BOURSE_SIM_URL}/openai/v1`);
}

/** A load whose first request asks for the key; `struck()` arms the point where it is opened. No answer comes from the simulator's own. */
async function underLoadWithKey(t, struck) {
  await makeLive();
  t.after(() => bourse.bourse('provider', 'simulated', 'openai'));
  const armed = struck();
  const loaded = underLoad(bourse, async (load) => {
    await armed;
    await load.more(20);
  });
  const [logs] = await Promise.all([loaded, armed]);
  assert.ok(logs.rows.every(({ flags }) => (Number(flags) & SIMULATED) === 0), 'the key of another provider was opened');
  return logs;
}

test('the catalog may die at catalog_key_opened, of a sealed key: who waited for it is refused, and all others are billed', async (t) => {
  const { requests } = await underLoadWithKey(t, () => dieAt(bourse, 'catalog', 'catalog_key_opened'));
  assert.ok(requests.some(({ status }) => status === 503), 'no request waited for the key');
});

test('PostgreSQL may be killed while the catalog stands at catalog_key_opened: who waits for the key is served', async (t) => {
  let killed_ms, killing;
  const { requests } = await underLoadWithKey(t, async () => {
    // The catalog goes on at once: who waits for a key does so for two seconds, and PostgreSQL may need longer to come back.
    await killPostgresAt(bourse, 'catalog', 'catalog_key_opened', () => {
      killed_ms = performance.now();
      killing = killPostgres(bourse);
    });
    await killing;
  });
  assert.ok(requests.some(({ begin_ms, complete }) => begin_ms < killed_ms && complete), 'nobody waited for the key and was served');
});

// ---- usage

/** Asks while usage is struck at its point for what a request cost, and afterwards again. Answers the first answer and how to judge it. */
async function readWhile(load, struck) {
  const { generation, key, cost } = load.requests.find(({ complete }) => complete);
  const read = () => bourse.api.get(`/generation?id=${generation}`, { key: key.key });
  const tells = (answer) => {
    assert.equal(answer.status, 200, answer.text);
    assert.equal(nanoOf(answer.exact.data.total_cost), cost);
  };
  const [, first] = await Promise.all([struck(), read()]);
  tells(await read());
  await load.more(20);
  return { first, tells };
}

test('usage may die at usage_row_read: who asks again is told what the request cost', async () => {
  await underLoad(bourse, async (load) => {
    const { first } = await readWhile(load, () => dieAt(bourse, 'usage', 'usage_row_read'));
    assert.equal(first.status, 503, first.text);
  });
});

test('PostgreSQL may be killed while usage stands at usage_row_read: what was read is told, and may be read again', async () => {
  await underLoad(bourse, async (load) => {
    const { first, tells } = await readWhile(load, () => killPostgresAt(bourse, 'usage', 'usage_row_read'));
    tells(first);
  });
});
