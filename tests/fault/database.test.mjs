// SPDX-License-Identifier: Apache-2.0
// PostgreSQL that answers, but slowly; whose answer to a COMMIT is lost; and on a full disk. Requests with leased credit do not notice
// the first, the second is found out, the third stops new business sooner or later, and none loses anything.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { appendFileSync, chownSync, mkdirSync, renameSync, rmSync, rmdirSync, statSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { COMPLETION_NANO, MODEL, PROMPT_NANO, nanoOf, user } from '../integration/api.mjs';
import { eventually, startInstance } from '../integration/harness.mjs';
import { Between } from './between.mjs';
import { kill, postgresServes, signal, startInstanceAgain, stopInstance, strike, underLoad } from './faults.mjs';

const bourse = startInstance({ options: { lease_seconds: 600, lease_idle: 600, journal_segment_size: 1048576 } });
const DELAY_MS = 2000;
const ROLES = ['ledger', 'ledger_api', 'catalog', 'catalog_api', 'usage', 'usage_api'].map((name) => `bourse_${name}`);

const backends = () =>
  bourse.sql('select pid from pg_stat_activity where usename = any($1) order by pid', [ROLES]);

/** Our programs lose their connections and open others. Until all are lost one of them could still be asked something. */
async function reconnect() {
  const pids = (await backends()).map(({ pid }) => pid);
  for (const pid of pids) signal(pid, 'SIGTERM');
  await eventually(async () => assert.ok(!(await backends()).some(({ pid }) => pids.includes(pid))));
}

/** While `during` runs, what our programs say to PostgreSQL goes through us. */
async function whileBetween(pass, during) {
  // The kernel tells PostgreSQL who is behind a socket: now it is us.
  const names = path.join(bourse.var, 'pg/pg_ident.conf');
  if (process.getuid() === 0) appendFileSync(names, ROLES.map((role) => `bourse root ${role}\n`).join(''));
  process.kill(bourse.pid('postgres'), 'SIGHUP');
  const between = new Between(path.join(bourse.var, 'run/pg/.s.PGSQL.5432'), pass);
  await between.begin();
  try {
    await reconnect();
    await eventually(() => assert.ok(between.connections.size > 0));
    return await during(between);
  } finally {
    await between.end();
  }
}

/** A lease is as large as what was held in the last minutes: large holds make it last for many small ones. */
async function makeLargeLease(key) {
  const body = { model: MODEL, messages: user('sim:tokens=1'), max_tokens: 16_000 };
  const answers = await Promise.all(Array.from({ length: 100 }, () => bourse.api.chat(key, body)));
  for (const answer of answers) assert.equal(answer.status, 200, answer.text);
}

/** Sorted milliseconds of one request after the other for so long; all are served. */
async function timesOf(key, lasts_ms) {
  const times = [];
  for (const end = performance.now() + lasts_ms; performance.now() < end; ) {
    const from = performance.now();
    const answer = await bourse.api.chat(key, { model: MODEL, messages: user('sim:tokens=1'), max_tokens: 10 });
    times.push(performance.now() - from);
    assert.equal(answer.status, 200, answer.text);
  }
  return times.sort((a, b) => a - b);
}

const p99 = (times) => times[Math.floor(0.99 * (times.length - 1))];
const leased = (org) =>
  bourse.sqlValue('select coalesce(sum(granted - settled - returned), 0) from lease where org = $1 and meter = 0', [String(org)]);

test('a PostgreSQL that takes two seconds for a statement is not noticed by requests with leased credit', async (t) => {
  const { key, management, orgNumber } = await bourse.makeCustomer({ credit: '100' });
  await makeLargeLease(key);
  const before = await timesOf(key, 3 * DELAY_MS);
  await bourse.quiet();
  // A request holds below 10,000 nano-dollars; there is credit for four times as many as came so far.
  const lease = await leased(orgNumber);
  assert.ok(lease > 40_000n * BigInt(before.length), `${lease} is leased, too little for what follows`);
  const slowly = (bytes, { server }) => setTimeout(() => server.destroyed || server.write(bytes), DELAY_MS);
  await whileBetween(slowly, async () => {
    const connections = (await backends()).length;
    const from = performance.now();
    const shown = bourse.api.get('/credits', { key: management }).then(() => performance.now() - from);
    const others = Array.from({ length: 50 }, () => bourse.api.get('/keys', { key: management }));
    const during = await timesOf(key, 3 * DELAY_MS);
    t.diagnostic(`p99 ${p99(before).toFixed(1)} ms before, ${p99(during).toFixed(1)} ms while PostgreSQL was slow`);
    assert.ok((await shown) > DELAY_MS, 'PostgreSQL was not slow');
    assert.ok(during.at(-1) < DELAY_MS / 2, `a request took ${during.at(-1)} ms: it waited for PostgreSQL`);
    assert.ok(p99(during) < 2 * p99(before) + 20);
    // Nobody opens another connection because those that there are take long.
    assert.ok((await backends()).length <= Math.max(connections, ROLES.length * 4));
    await Promise.all(others);
  });
  await bourse.quiet(30_000);
});

// ---- an answer that is lost

/** A COMMIT of the poster's reaches PostgreSQL, its answer reaches nobody, and then PostgreSQL is away. */
class Loser {
  commits = Infinity; // until that one
  waiting; // while the poster's words wait: what it said

  begin(between, commits) {
    this.between = between;
    this.commits = commits;
  }

  pass = (bytes, connection) => {
    connection.posts ||= bytes.includes('stream_advance');
    if (connection.posts && this.waiting) return this.waiting.push([bytes, connection]);
    if (connection.posts && bytes.includes('COMMIT') && --this.commits === 0) connection.lost = () => this.#lose();
    connection.server.write(bytes);
  };

  goOn() {
    const { waiting } = this;
    this.waiting = undefined;
    for (const [bytes, connection] of waiting) this.pass(bytes, connection);
  }

  #lose() {
    this.between.away = true;
    this.between.cut();
    return true;
  }
}

test('a COMMIT whose answer is lost is found out when PostgreSQL is back, though more is waiting by then, and no program dies', async () => {
  for (const name of ['lease_seconds', 'lease_idle']) bourse.setOption(name, 1);
  await bourse.killAndWait('ledger', 'SIGTERM');
  const loser = new Loser();
  await underLoad(bourse, (load) => whileBetween(loser.pass, (between) => strike(bourse, load, async () => {
    loser.begin(between, 1);
    await eventually(() => assert.ok(between.away, 'no COMMIT came'));
    const lag = (await bourse.metrics('ledger')).posting_lag_records;
    await eventually(async () => assert.ok((await bourse.metrics('ledger')).posting_lag_records > lag + 10));
    between.away = false;
    await eventually(async () => assert.ok((await bourse.metrics('ledger')).posting_lag_records <= lag));
  })));
  assert.doesNotMatch(bourse.log('ledger'), /event=cursor_gap/);
});

// ---- a full disk

const place = () => path.join(bourse.var, 'pg');

/** PostgreSQL's files on a disk with little room beyond what they take. Only root can; answers whether they are there. */
async function useSmallDisk() {
  await stopInstance(bourse);
  renameSync(place(), `${place()}.kept`);
  mkdirSync(place(), { mode: 0o700 });
  const [used] = execFileSync('du', ['-sm', `${place()}.kept`], { encoding: 'utf8' }).split('\t');
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${Number(used) + 64}m,mode=700`, 'bourse-fault-test', place()]).status === 0;
  if (!mounted) rmdirSync(place());
  if (mounted) await copyFiles(`${place()}.kept`, place());
  else renameSync(`${place()}.kept`, place());
  await startInstanceAgain(bourse);
  return mounted;
}

async function copyFiles(from, to) {
  execFileSync('cp', ['-a', `${from}/.`, to]);
  const { uid, gid } = statSync(from);
  chownSync(to, uid, gid);
}

async function useOwnDisk() {
  await stopInstance(bourse);
  rmSync(`${place()}.kept`, { recursive: true });
  mkdirSync(`${place()}.kept`, { mode: 0o700 });
  const { uid, gid } = statSync(place());
  chownSync(`${place()}.kept`, uid, gid);
  await copyFiles(place(), `${place()}.kept`);
  execFileSync('umount', [place()]);
  rmdirSync(place());
  renameSync(`${place()}.kept`, place());
  await startInstanceAgain(bourse);
}

test('while PostgreSQL’s disk is full nothing is lost, none is billed twice, and posting goes on when there is room', async (t) => {
  if (!(await useSmallDisk())) return t.skip('only root can mount a small disk');
  try {
    const ballast = path.join(place(), 'ballast');
    await underLoad(bourse, (load) => strike(bourse, load, async () => {
      spawnSync('dd', ['if=/dev/zero', `of=${ballast}`, 'bs=64k']); // until there is no room for more
      await eventually(() => assert.match(bourse.log('postgres'), /No space left on device/), { deadline_ms: 30_000 });
      await eventually(async () => assert.ok((await bourse.metrics('ledger')).posting_lag_records > 100), { deadline_ms: 30_000 });
      rmSync(ballast);
      await postgresServes(bourse);
    }));
    assert.equal((await bourse.metrics('ledger')).suspense_total, 0);
    assert.doesNotMatch(bourse.log('ledger'), /event=posted_(late|to_suspense)/);
  } finally {
    await useOwnDisk();
  }
});

// ---- an answer about a part of a batch that is lost

test('where the answer to a part of a batch is lost, which was halved for a record that is refused, the rest is posted once', async () => {
  const { key, management } = await bourse.makeCustomer();
  const ask = async (tokens) => {
    const answer = await bourse.api.chat(key, { model: MODEL, messages: user(`sim:tokens=${tokens}`) });
    assert.equal(answer.status, 200, answer.text);
  };
  await bourse.quiet();
  await bourse.asOwner('alter table generation add constraint poison check (completion <> 13) not valid');
  const loser = new Loser();
  const before = bourse.pid('ledger');
  await whileBetween(loser.pass, async (between) => {
    // While the first is being posted the others become one batch: of its halves the first is good, and its COMMIT is the second.
    loser.waiting = [];
    await ask(9);
    await eventually(() => assert.ok(loser.waiting.length > 0));
    for (const tokens of [10, 11, 12, 13, 14, 15, 16]) await ask(tokens);
    loser.begin(between, 2);
    loser.goOn();
    await eventually(() => assert.ok(between.away, 'no second COMMIT came'));
    await eventually(() => assert.ok(between.refused > 0));
    between.away = false;
    await bourse.quiet(20_000);
  });
  await bourse.quiet(20_000);
  assert.equal(bourse.pid('ledger'), before, 'the ledger ended itself');
  assert.match(bourse.log('ledger'), /event=batch_refused /);
  assert.equal(await bourse.sqlValue('select count(*) from suspense'), 1n);
  // Whoever asks over a connection that was cut with us is told 503 once.
  const { data } = await eventually(async () => {
    const answer = await bourse.api.get('/credits', { key: management });
    assert.equal(answer.status, 200, answer.text);
    return answer.exact;
  });
  // Eight prompts of 12 or 13 bytes, 3 or 4 tokens each; of the answers all but the poisoned 13.
  assert.equal(nanoOf(data.total_usage), (3n + 6n * 4n) * PROMPT_NANO + BigInt(9 + 10 + 11 + 12 + 14 + 15 + 16) * COMPLETION_NANO);
  await bourse.asOwner('alter table generation drop constraint poison; update suspense set resolved_at = now()');
  await kill(bourse, 'ledger');
  await bourse.ready();
});
