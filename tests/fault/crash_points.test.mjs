// SPDX-License-Identifier: Apache-2.0
// The ledger at the named points between a hold and its posted row, each time under load: it dies there by its own hand, or stands
// there while PostgreSQL is killed. And all of the instance dies at once. The other programs' points: crash_points_others.test.mjs.
import './fault_build.mjs';

import assert from 'node:assert/strict';
import test from 'node:test';

import { MODEL, user } from '../integration/api.mjs';
import { eventually, stands, startInstance } from '../integration/harness.mjs';
import {
  QUICK, ROUNDS, deathOf, familyOf, kill, killInstance, objectionsUnderLoad, postgresServes, servedSoFar, signal,
  startInstanceAgain, startWith, underLoad,
} from './faults.mjs';
import { USERS } from './load.mjs';
import { buildPlanted } from './planted.mjs';
import { cutPower } from './power.mjs';

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

// ---- the power goes

/** From the next start on there is nearly always something written that is not synced, and the poster does not wait. */
function syncSeldom(t, interval_ms = 200) {
  const set = (journal_sync_interval, post_interval) => {
    bourse.setOption('journal_sync_interval', journal_sync_interval);
    bourse.setOption('post_interval', post_interval);
  };
  t.after(() => set(1, 100));
  set(interval_ms, 1);
}

const CUTS_MAX = 5;
const timesAhead = () => bourse.log('ledger').split('event=journal_is_old').length - 1;

/** Cuts the power under load and amid a stream that began before, until `enough` was seen: how many cuts, how many requests' ends one of
 *  them took, at how many starts PostgreSQL was ahead of the journal. Answers that and the objections. */
async function withoutPower(enough, { build, ...manner } = {}) {
  const { key } = await bourse.makeCustomer();
  const slow = { model: MODEL, messages: user('sim:tokens=2 sim:chunk_ms=600000') };
  const aheadBefore = timesAhead();
  const seen = { cuts: 0, lost: 0, ahead: 0 };
  const { objections } = await objectionsUnderLoad(bourse, async (load) => {
    const served = [];
    while (!enough(seen) && seen.cuts < CUTS_MAX) {
      await (await bourse.api.openStream(key, slow)).readContent(1);
      await load.more(50);
      served.push(...(await servedSoFar(bourse)));
      load.faultBegins();
      seen.lost = Math.max(seen.lost, await cutPower(bourse, build));
      load.faultEnds();
      seen.cuts++;
      seen.ahead = timesAhead() - aheadBefore;
    }
    return served;
  }, { ...manner, rules: { edgeStopped: true, providerLogLost: true, powerLost: true } });
  assert.ok(enough(seen), `not in ${seen.cuts} cuts: ${JSON.stringify(seen)}`);
  return { objections, ahead: seen.ahead };
}

test('the power may go: what was acknowledged or posted is in the journal', async (t) => {
  syncSeldom(t);
  const seen = await withoutPower(({ cuts, lost }) => cuts >= 2 && lost > 0);
  assert.deepEqual(seen, { objections: [], ahead: 0 });
});

// ---- planted bugs: what the checker is for, it finds

async function startPlanted(bug, environment) {
  const build = buildPlanted(bug);
  return { ...(await startWith(bourse, environment, build)), build };
}

test('a ledger that does not look at the edge’s numbers bills again what was sent again', async () => {
  const { customers } = await startPlanted('ONE_NUMBER', { BOURSE_CRASH_AT: 'after_sync:20' });
  const { objections } = await objectionsUnderLoad(bourse, ledgerDied(), { customers, leaves_percent: 0 });
  assert.match(objections.join('\n'), /was told 0 and charged [1-9]/);
});

test('a ledger that acknowledges before the sync loses with the power what its clients were told', async (t) => {
  syncSeldom(t, 1000); // as nobody waits for it
  const manner = { ...(await startPlanted('ACK_BEFORE_SYNC')), leaves_percent: 0 };
  // Each user has one request at a time; so where more ends are lost, there are some among them that were told.
  const { objections, ahead } = await withoutPower(({ lost }) => lost > USERS, manner);
  // Of a hold whose record an earlier sync covered the next start makes up an end: absorbed, for nothing. Else nothing is known of it.
  assert.match(objections.join('\n'), /: complete, but (has 0 rows|its row's state is 3)/);
  assert.equal(ahead, 0);
});

test('a poster that reads what is not synced gets ahead of the journal, which passes for an old copy: open holds never end', async (t) => {
  syncSeldom(t);
  const { objections } = await withoutPower(({ ahead }) => ahead > 0, await startPlanted('POST_UNSYNCED'));
  // The slow stream's hold has no row, and later holds have.
  assert.match(objections.join('\n'), /incarnation \d+: \d+ holds have a row, \d+ were given out/);
});
