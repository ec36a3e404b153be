// SPDX-License-Identifier: Apache-2.0
// The ledger at the named points between a hold and its posted row, each time under load: it dies there by its own hand, or stands
// there while PostgreSQL is killed. And all of the instance dies at once. The other programs' points: crash_points_others.test.mjs.
import './fault_build.mjs';

import assert from 'node:assert/strict';
import test from 'node:test';

import { MODEL, user } from '../integration/api.mjs';
import { eventually, startInstance } from '../integration/harness.mjs';
import {
  QUICK, ROUNDS, killInstance, killPostgres, objectionsUnderLoad, postgresServes, servedSoFar, startInstanceAgain, underLoad,
} from './faults.mjs';
import { USERS } from './load.mjs';
import { buildPlanted } from './planted.mjs';
import { dieAt, killPostgresAt, whileStandsAt } from './points.mjs';
import { cutPower } from './power.mjs';

const bourse = startInstance({ options: QUICK });

/** Answers what waits under load for a death of the ledger at a point, and its return. */
function dies(point) {
  return async (load) => {
    await dieAt(bourse, 'ledger', point);
    await load.more(20);
  };
}

const POINTS = [
  'after_hold', 'before_journal', 'after_journal', 'after_sync', 'after_ack', 'before_commit', 'commit_sent', 'after_commit',
  'lease_granted',
];

for (const point of POINTS) {
  test(`the ledger may die at ${point}: no answer is unbilled, none billed twice`, async () => {
    await underLoad(bourse, dies(point));
  });
}

// ---- PostgreSQL dies while the ledger stands

/** The one that has moved the cursor and not committed. */
async function postersBackend() {
  const rows = await bourse.sql(
    `select distinct pid from pg_locks where relation = 'stream'::regclass and mode = 'RowExclusiveLock'`);
  assert.equal(rows.length, 1, 'the ledger does not stand in a transaction that posts');
  return rows[0].pid;
}

/** PostgreSQL ends all other backends and recovers. */
async function killPostersBackend() {
  process.kill(await postersBackend(), 'SIGKILL');
}

for (const point of POINTS.filter((name) => name !== 'commit_sent')) {
  const killed = point === 'before_commit' ? killPostersBackend : undefined;
  test(`PostgreSQL may be killed while the ledger stands at ${point}: what was committed stands, the rest is done again`, async () => {
    await underLoad(bourse, async (load) => {
      await killPostgresAt(bourse, 'ledger', point, killed);
      await load.more(20);
    });
  });
}

const cursors = () => bourse.sqlValue('select sum(last_seq) from stream');

/** PostgreSQL is killed while the ledger, which has sent a COMMIT, has not looked for the answer. `done`: the COMMIT is done by then;
 *  else the backend stands still and never reads it. */
async function killPostgresAtCommit(done) {
  let sent;
  await whileStandsAt(bourse, 'ledger', 'before_commit', async () => {
    const before = await cursors();
    if (!done) process.kill(await postersBackend(), 'SIGSTOP');
    sent = killPostgresAt(bourse, 'ledger', 'commit_sent', async () => {
      if (done) await eventually(async () => assert.ok((await cursors()) > before));
      await killPostgres(bourse);
      await postgresServes(bourse);
      assert.equal((await cursors()) > before, done, 'the COMMIT was not met where it was to be');
    });
  });
  await sent;
}

for (const [state, done] of [['has done the COMMIT', true], ['has not read the COMMIT', false]]) {
  test(`PostgreSQL may be killed while the ledger stands at commit_sent and it ${state}: the cursor says what is done`, async () => {
    await underLoad(bourse, async (load) => {
      await killPostgresAtCommit(done);
      await load.more(20);
    });
  });
}

// ---- more of the ledger, and all at once

function setDurability(durability, journal_sync_interval) {
  bourse.setOption('durability', durability);
  bourse.setOption('journal_sync_interval', journal_sync_interval);
}

for (const point of ['after_journal', 'after_ack']) {
  test(`where durability is fast the ledger may die at ${point}, before any sync: what was written is there`, async (t) => {
    t.after(() => setDurability('strict', 1));
    setDurability('fast', 200); // what is acknowledged is not synced for up to a fifth of a second
    await bourse.killAndWait('ledger');
    await underLoad(bourse, dies(point));
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

async function startPlanted(bug) {
  const build = buildPlanted(bug);
  await killInstance(bourse); // nothing runs on it
  await startInstanceAgain(bourse, { build });
  return build;
}

test('a ledger that does not look at the edge’s numbers bills again what was sent again', async () => {
  await startPlanted('ONE_NUMBER');
  const { objections } = await objectionsUnderLoad(bourse, dies('after_sync'), { leaves_percent: 0 });
  assert.match(objections.join('\n'), /was told 0 and charged [1-9]/);
});

test('a ledger that acknowledges before the sync loses with the power what its clients were told', async (t) => {
  syncSeldom(t, 1000); // as nobody waits for it
  const manner = { build: await startPlanted('ACK_BEFORE_SYNC'), leaves_percent: 0 };
  // Each user has one request at a time; so where more ends are lost, there are some among them that were told.
  const { objections, ahead } = await withoutPower(({ lost }) => lost > USERS, manner);
  // Of a hold whose record an earlier sync covered the next start makes up an end: absorbed, for nothing. Else nothing is known of it.
  assert.match(objections.join('\n'), /: complete, but (has 0 rows|its row's state is 3)/);
  assert.equal(ahead, 0);
});

test('a poster that reads what is not synced gets ahead of the journal, which passes for an old copy: open holds never end', async (t) => {
  syncSeldom(t);
  const { objections } = await withoutPower(({ ahead }) => ahead > 0, { build: await startPlanted('POST_UNSYNCED') });
  // The slow stream's hold has no row, and later holds have.
  assert.match(objections.join('\n'), /incarnation \d+: \d+ holds have a row, \d+ were given out/);
});
