// SPDX-License-Identifier: Apache-2.0
// The other programs die by their own hand at named points, each time under load: the edge between a hold and the answer's last byte,
// the catalog and usage between what they did and who is to hear of it. The ledger's points: crash_points.test.mjs. The environment
// reaches every program, so no two points have one name.
import './fault_build.mjs';

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { MODEL, nanoOf, user } from '../integration/api.mjs';
import { loadModels } from '../integration/catalog.mjs';
import { ROOT, startInstance } from '../integration/harness.mjs';
import { QUICK, deathOf, startWith, strike, underLoad } from './faults.mjs';

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

// At which passage: amid the load. And what stands there leaves in the logs.
const EDGE = {
  edge_after_hold: { passage: 150, trace: { served: false, seen: false, paid: false } },
  edge_first_byte: { passage: 150, trace: { served: true, seen: false, paid: false } },
  edge_after_settle: { passage: 75, trace: { served: true, seen: false, paid: true } }, // of whole answers
  edge_after_ack: { passage: 150, trace: { served: true, paid: true } },
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

for (const [point, { passage, trace }] of Object.entries(EDGE)) {
  test(`the edge may die at ${point}: what it broke is free, unless its bill was booked`, async () => {
    const manner = await startWith(bourse, { BOURSE_CRASH_AT: `${point}:${passage}` });
    const died = deathOf(bourse, 'edge');
    const logs = await underLoad(bourse, async (load) => {
      await strike(bourse, load, died);
      await load.more(20);
    }, { edgeStopped: true }, manner);
    const traces = tracesOf(logs);
    const stood = traces.some((found) => Object.keys(trace).every((name) => found[name] === trace[name]));
    assert.ok(stood, `no request stood at the point: ${JSON.stringify(traces)}`);
  });
}

// ---- the catalog

// The request's 13 bytes are 4 tokens, and 10 come back: 4 · 1,000 + 10 · 2,000 = 24,000 at list price, and the margin.
const CATALOG = {
  catalog_after_commit: { passage: 1, basisPoints: 1000, cost: 26_400n },
  catalog_after_push: { passage: 2, basisPoints: 2000, cost: 28_800n }, // the first goes to the edge that just came
};

async function setMargin(basisPoints) {
  const { data: [{ id }] } = await bourse.bourse('endpoint', 'list', '--model', REPRICED);
  await bourse.bourse('endpoint', 'margin', `${id}`, '--basis-points', `${basisPoints}`);
}

for (const [point, { passage, basisPoints, cost }] of Object.entries(CATALOG)) {
  test(`the catalog may die at ${point} of a price change: it stands and is charged, and no request notices`, async () => {
    const { key } = await bourse.makeCustomer();
    const manner = await startWith(bourse, { BOURSE_CRASH_AT: `${point}:${passage}` });
    const died = deathOf(bourse, 'catalog');
    const { requests } = await underLoad(bourse, async (load) => {
      const asked = setMargin(basisPoints).catch(() => {}); // who asked may not hear that it was done
      await died();
      await asked;
      await load.more(20);
    }, {}, manner);
    assert.ok(requests.every(({ status }) => status !== 503), 'a request needed the catalog');
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

test('the catalog may die at catalog_key_opened, of a sealed key: who waited for it is refused, and all others are billed', async (t) => {
  await makeLive();
  t.after(() => bourse.bourse('provider', 'simulated', 'openai'));
  const manner = await startWith(bourse, { BOURSE_CRASH_AT: 'catalog_key_opened' });
  const died = deathOf(bourse, 'catalog');
  const { requests, rows } = await underLoad(bourse, async (load) => {
    await died();
    await load.more(20);
  }, {}, manner);
  assert.ok(requests.some(({ status }) => status === 503), 'no request waited for the key');
  assert.ok(rows.every(({ flags }) => (Number(flags) & SIMULATED) === 0), 'the key of another provider was opened');
});

// ---- usage

test('usage may die at usage_row_read: who asks again is told what the request cost', async () => {
  const manner = await startWith(bourse, { BOURSE_CRASH_AT: 'usage_row_read' });
  const died = deathOf(bourse, 'usage');
  await underLoad(bourse, async (load) => {
    const { generation, key, cost } = load.requests.find(({ complete }) => complete);
    const read = () => bourse.api.get(`/generation?id=${generation}`, { key: key.key });
    const lost = await read();
    assert.equal(lost.status, 503, lost.text);
    await died();
    const answer = await read();
    assert.equal(answer.status, 200, answer.text);
    assert.equal(nanoOf(answer.exact.data.total_cost), cost);
    await load.more(20);
  }, {}, manner);
});
