// SPDX-License-Identifier: Apache-2.0
// The ledger at the named points between a hold and its posted row, each time under load: it dies there by its own hand, or stands
// there while PostgreSQL is killed. And all of the instance dies at once. The other programs' points: crash_points_others.test.mjs.
import './fault_build.mjs';

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, symlinkSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { BUILD, ROOT, eventually, stands, startInstance } from '../integration/harness.mjs';
import {
  QUICK, ROUNDS, deathOf, familyOf, kill, killInstance, objectionsUnderLoad, postgresServes, servedSoFar, signal,
  startInstanceAgain, startWith, underLoad,
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

/** Answers what waits under load for one more death of the ledger, and its return. */
function ledgerDied() {
  const died = deathOf(bourse, 'ledger');
  return async (load) => {
    await died();
    await load.more(20);
  };
}

for (const [point, passage] of Object.entries(POINTS)) {
  test(`the ledger may die at ${point}: no answer is unbilled, none billed twice`, async () => {
    const manner = await startWith(bourse, { BOURSE_CRASH_AT: `${point}:${passage}` });
    await underLoad(bourse, ledgerDied(), {}, manner);
  });
}

// ---- PostgreSQL dies while the ledger stands

/** Every process of it at once, so that none brings to an end what it began. */
async function killPostgres() {
  const [, ...others] = familyOf(bourse.pid('postgres'));
  const replaced = kill(bourse, 'postgres');
  for (const pid of others) signal(pid, 'SIGKILL');
  await replaced;
}

/** The one backend that has moved the cursor and not committed; PostgreSQL ends all others and recovers. */
async function killPostersBackend() {
  const rows = await bourse.sql(
    `select distinct pid from pg_locks where relation = 'stream'::regclass and mode = 'RowExclusiveLock'`);
  assert.equal(rows.length, 1, 'the ledger does not stand in a transaction that posts');
  process.kill(rows[0].pid, 'SIGKILL');
}

const KILLS = {
  before_commit: { passage: 8, killed: killPostersBackend },
  after_commit: { passage: 8, killed: killPostgres },
  lease_granted: { passage: 3, killed: killPostgres },
};

/** Waits until the ledger stands at its point, and lets it go on when PostgreSQL is killed. */
async function whileLedgerStands(killed) {
  const ledger = bourse.pid('ledger');
  await eventually(() => assert.ok(stands(ledger), 'the point was not passed'), { every_ms: 5 });
  try {
    await killed();
  } finally {
    signal(ledger, 'SIGCONT');
  }
  await postgresServes(bourse);
  await bourse.ready();
  assert.equal(bourse.pid('ledger'), ledger, 'the ledger ended itself');
}

for (const [point, { passage, killed }] of Object.entries(KILLS)) {
  test(`PostgreSQL may be killed while the ledger stands at ${point}: what was committed stands, the rest is done again`, async () => {
    const manner = await startWith(bourse, { BOURSE_STOP_AT: `${point}:${passage}` });
    const struck = whileLedgerStands(killed); // from now on: a load that waits for the ledger does not get to it
    const survived = underLoad(bourse, async (load) => {
      await struck;
      await load.more(20);
    }, {}, manner);
    await Promise.all([struck, survived]);
  });
}

// ---- more of the ledger, and all at once

function setDurability(durability, journal_sync_interval) {
  bourse.setOption('durability', durability);
  bourse.setOption('journal_sync_interval', journal_sync_interval);
}

for (const [point, passage] of Object.entries({ after_journal: 40, after_ack: 20 })) {
  test(`where durability is fast the ledger may die at ${point}, before any sync: what was written is there`, async (t) => {
    t.after(() => setDurability('strict', 1));
    setDurability('fast', 200); // what is acknowledged is not synced for up to a fifth of a second
    const manner = await startWith(bourse, { BOURSE_CRASH_AT: `${point}:${passage}` });
    await underLoad(bourse, ledgerDied(), {}, manner);
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
  const manner = await startWith(bourse, { BOURSE_CRASH_AT: 'after_sync:20' }, build);
  const { objections } = await objectionsUnderLoad(bourse, ledgerDied(), { ...manner, leaves_percent: 0 });
  assert.match(objections.join('\n'), /was told 0 and charged [1-9]/);
});
