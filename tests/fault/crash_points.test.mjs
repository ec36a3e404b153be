// SPDX-License-Identifier: Apache-2.0
// The ledger dies by its own hand at the named points between a hold and its posted row, each time under load, and all of the
// instance dies at once. Only the ledger has such points, so the environment may reach every program.
import './fault_build.mjs';

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { BUILD, ROOT, eventually, startInstance } from '../integration/harness.mjs';
import {
  QUICK, ROUNDS, deathsOf, killInstance, objectionsUnderLoad, servedSoFar, startInstanceAgain, underLoad,
} from './faults.mjs';

const bourse = startInstance({ options: QUICK });

// At which passage: late enough to be amid the load, different from round to round of a long run.
const POINTS = {
  after_hold: 25,
  before_journal: 40,
  after_journal: 40,
  after_sync: 20,
  after_ack: 20,
  before_commit: 8,
  after_commit: 8,
  lease_granted: 3,
};

/** Answers what waits for one more death of the ledger, by SIGKILL, and its return. */
function ledgerDied() {
  const deaths = deathsOf(bourse, 'ledger').length;
  return async (load) => {
    await eventually(() => assert.equal(deathsOf(bourse, 'ledger').length, deaths + 1, 'the point was not passed'));
    assert.match(deathsOf(bourse, 'ledger').at(-1), / by=signal code=9 /);
    await bourse.ready();
    bourse.pids.ledger = bourse.pid('ledger');
    await load.more(20);
  };
}

for (const [point, passage] of Object.entries(POINTS)) {
  test(`the ledger may die at ${point}: no answer is unbilled, none billed twice`, async () => {
    await killInstance(bourse); // nothing runs on it; so a start finds what a power switch leaves
    await startInstanceAgain(bourse, { environment: { BOURSE_CRASH_AT: `${point}:${passage}` } });
    await underLoad(bourse, ledgerDied());
  });
}

function setDurability(durability, journal_sync_interval) {
  bourse.setOption('durability', durability);
  bourse.setOption('journal_sync_interval', journal_sync_interval);
}

for (const [point, passage] of Object.entries({ after_journal: 40, after_ack: 20 })) {
  test(`where durability is fast the ledger may die at ${point}, before any sync: what was written is there`, async (t) => {
    t.after(() => setDurability('strict', 1));
    await killInstance(bourse);
    setDurability('fast', 200); // what is acknowledged is not synced for up to a fifth of a second
    await startInstanceAgain(bourse, { environment: { BOURSE_CRASH_AT: `${point}:${passage}` } });
    await underLoad(bourse, ledgerDied());
  });
}

test('the whole instance may be killed at once and started again: what was complete is billed, what broke is free', async () => {
  const rounds = Math.max(1, Math.floor(ROUNDS / 5));
  const rules = { edgeStopped: true, providerLogLost: true };
  await underLoad(bourse, async (load) => {
    const served = [];
    for (let round = 0; round < rounds; round++) {
      await load.more(50);
      served.push(...(await servedSoFar(bourse)));
      load.faultBegins();
      await killInstance(bourse);
      await startInstanceAgain(bourse);
      load.faultEnds();
    }
    return served;
  }, rules);
});

/** The programs of build/fault with another ledger: one that does not look at the edge's numbers, so that what is sent again after a
 *  lost acknowledgement is taken for new. */
function buildPlanted() {
  const planted = 'build/planted';
  const flags = 'flags_of_fault=-O1 -DBOURSE_FAULT_POINTS -DBUG_ONE_NUMBER';
  execFileSync('make', ['-j2', 'FAULT=1', `BUILD=${planted}`, flags, `${planted}/ledger`], { cwd: ROOT, stdio: 'pipe' });
  for (const name of ['supervise', 'migrate', 'catalog', 'usage', 'simprovider', 'edge', 'bourse']) {
    const link = path.join(ROOT, planted, name);
    if (!existsSync(link)) symlinkSync(path.join(BUILD, name), link);
  }
  return path.join(ROOT, planted);
}

test('a ledger with a planted bug does not pass: what the checker is for, it finds', async () => {
  const build = buildPlanted();
  await killInstance(bourse);
  await startInstanceAgain(bourse, { build, environment: { BOURSE_CRASH_AT: 'after_sync:20' } });
  const { objections } = await objectionsUnderLoad(bourse, ledgerDied(), { leaves_percent: 0 });
  assert.match(objections.join('\n'), /was told 0 and charged [1-9]/);
});
