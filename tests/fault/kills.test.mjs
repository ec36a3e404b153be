// SPDX-License-Identifier: Apache-2.0
// Each process is killed again and again under load, then asked to stop under load. Whatever dies, every answer that its client read
// to the end is billed once, as told, and nobody is billed for what broke.
import assert from 'node:assert/strict';
import test from 'node:test';

import { startInstance } from '../integration/harness.mjs';
import { QUICK, ROUNDS, kill, killBackend, strike, underLoad } from './faults.mjs';
import { randomOf } from './load.mjs';

const bourse = startInstance({ options: QUICK });
const BETWEEN = 15; // answers between two kills

for (const program of ['edge', 'ledger', 'catalog', 'usage']) {
  test(`${program} may be killed ${ROUNDS} times under load: it is back within a second each time, and the bill is right`, async () => {
    const rules = { edgeStopped: program === 'edge' };
    await underLoad(bourse, async (load) => {
      for (let round = 0; round < ROUNDS; round++) {
        await strike(bourse, load, () => kill(bourse, program));
        await load.more(BETWEEN);
      }
    }, rules);
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
      await strike(bourse, load, () => kill(bourse, 'postgres'));
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
