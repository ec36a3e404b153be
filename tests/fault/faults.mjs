// SPDX-License-Identifier: Apache-2.0
// What can happen to an instance, and how a test is made of it: load runs, faults strike, all comes to rest, the three logs are
// compared. A fault counts only if it was seen: another process, or a program that stands still.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';

import { BUILD, ROOT, eventually } from '../integration/harness.mjs';
import { check, readLogs } from './checker.mjs';
import { Load, makeCustomers } from './load.mjs';

export const ROUNDS = Number(process.env.FAULT_ROUNDS ?? 10); // kills of one program in one test
export const QUICK = { lease_seconds: 1, lease_idle: 1, journal_segment_size: 1048576 }; // leases end and segments turn over soon
const BACK_MAX_MS = 1000; // a killed program is started again within this
const TURN_MAX_MS = 60_000; // a stop or a start of the whole instance
const REST_MAX_MS = 30_000; // holds of a lost edge are kept for ten seconds; leases go back after one

const run = promisify(execFile);

/** Load on a fresh set of customers while `during(load)` does its worst; then the checker must have nothing to object to. What
 *  `during` answers is the simulator's log from before it died, if it did. `manner` is what a Load takes. */
export async function underLoad(bourse, during, rules = {}, manner = {}) {
  const { objections, ...logs } = await objectionsUnderLoad(bourse, during, { rules, ...manner });
  const { load, requests } = logs;
  assert.deepEqual(objections.slice(0, 20), [], `${objections.length} objections, seed ${load.seed}, ${requests.length} requests`);
  return logs;
}

export async function objectionsUnderLoad(bourse, during, { rules, ...manner } = {}) {
  const load = new Load(bourse, await makeCustomers(bourse), manner);
  let served;
  try {
    await load.more(20);
    served = await during(load);
    await load.more(20);
  } finally {
    await load.stop();
  }
  await rests(bourse);
  const logs = await readLogs(bourse, load, served);
  if (process.env.FAULT_VERBOSE) tell(logs);
  return { load, ...logs, objections: check(logs, rules) };
}

/** How the requests of a run ended, for a person to look at. */
function tell({ requests, rows }) {
  const counts = {};
  for (const { complete, left, status, error } of requests) {
    const end = complete ? 'complete' : left ? 'left' : status >= 400 ? `answered ${status}` : (error ?? 'broken');
    counts[end] = (counts[end] ?? 0) + 1;
  }
  console.log(`${requests.length} requests, ${rows.length} rows:`, counts);
}

/** Everything posted, every hold ended, every lease given back. */
async function rests(bourse) {
  await bourse.quiet(REST_MAX_MS);
  await eventually(async () => {
    const leases = await bourse.sql('select * from lease where granted > settled + returned');
    assert.deepEqual(leases, [], 'leases that nobody uses have not come back');
  }, { deadline_ms: REST_MAX_MS });
}

/** What the provider served so far, before it dies with the others. */
export async function servedSoFar(bourse) {
  return (await bourse.simulator.served()).filter((entry) => entry.closed_by !== 'open');
}

/** A fault and the way back from it: answers under way in between may be hit. */
export async function strike(bourse, load, fault) {
  load.faultBegins();
  try {
    return await fault();
  } finally {
    await bourse.ready();
    load.faultEnds();
  }
}

/** Kills a program of the instance; another one has to be there within a second. Answers how long that took. */
export async function kill(bourse, program, signal = 'SIGKILL', deadline_ms = BACK_MAX_MS) {
  const before = bourse.pid(program);
  const since = performance.now();
  process.kill(before, signal);
  await eventually(() => assert.notEqual(bourse.pid(program), before), { deadline_ms, every_ms: 5 });
  if (program in bourse.pids) bourse.pids[program] = bourse.pid(program);
  return performance.now() - since;
}

/** Kills one of PostgreSQL's backends that serve our programs; it ends all others and recovers. */
export async function killBackend(bourse, random) {
  const pid = await eventually(async () => {
    const rows = await bourse.sql(
      `select pid from pg_stat_activity where datname = 'bourse' and usename like 'bourse_ledger%' order by pid`);
    assert.ok(rows.length > 0, 'the ledger has not come back to PostgreSQL');
    const { pid } = rows[Math.floor(random() * rows.length)];
    process.kill(pid, 'SIGKILL'); // fails for one that has just ended by itself: then another one
    return pid;
  });
  await eventually(() => assert.ok(!lives(pid)));
  await postgresServes(bourse);
}

/** Every process of PostgreSQL at once, so that none brings to an end what it began; another one starts, in its own time. */
export async function killPostgres(bourse) {
  const [, ...others] = familyOf(bourse.pid('postgres'));
  const replaced = kill(bourse, 'postgres', 'SIGKILL', 10 * BACK_MAX_MS);
  for (const pid of others) signal(pid, 'SIGKILL');
  await replaced;
}

/** Until PostgreSQL takes statements again. */
export async function postgresServes(bourse) {
  await eventually(() => bourse.sql('select 1'), { deadline_ms: 20_000 });
}

/** A process and all that descend from it. */
export function familyOf(root) {
  const children = new Map();
  for (const name of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    let stat;
    try {
      stat = readFileSync(`/proc/${name}/stat`, 'latin1');
    } catch {
      continue; // it has ended
    }
    const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const family = [root];
  for (const pid of family) family.push(...(children.get(pid) ?? []));
  return family;
}

/** To a process that may have ended by itself. */
export function signal(pid, name) {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}

/** Stops processes in their tracks for the time of `during`. */
export async function whileStanding(pids, during) {
  for (const pid of pids) signal(pid, 'SIGSTOP');
  try {
    return await during();
  } finally {
    for (const pid of pids) signal(pid, 'SIGCONT');
  }
}

/** kill -9 of the supervisor and everything below it at once: all are stopped first, so that none sees another one die. */
export async function killInstance(bourse) {
  const supervisor = Number(readFileSync(path.join(bourse.var, 'run/supervise.pid'), 'utf8'));
  const stopped = new Set();
  for (let fresh = [supervisor]; fresh.length > 0; fresh = familyOf(supervisor).filter((pid) => !stopped.has(pid))) {
    for (const pid of fresh) {
      signal(pid, 'SIGSTOP');
      stopped.add(pid);
    }
  }
  for (const pid of stopped) signal(pid, 'SIGKILL');
  await eventually(() => assert.deepEqual([...stopped].filter(lives), []));
}

function lives(pid) {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

export async function stopInstance(bourse) {
  await run('make', ['--no-print-directory', 'down'], { cwd: ROOT, env: bourse.environment(), timeout: TURN_MAX_MS });
}

/** `environment` reaches every program of the instance; `build` is the directory of the programs. */
export async function startInstanceAgain(bourse, { environment, build = BUILD } = {}) {
  const env = { ...bourse.environment(), ...environment, BOURSE_BUILD: build };
  await run(path.join(ROOT, 'tools/run/instance'), ['up'], { cwd: ROOT, env, timeout: TURN_MAX_MS });
  for (const program of Object.keys(bourse.pids)) bourse.pids[program] = bourse.pid(program);
}

/** Deaths of a program as the supervisor logged them. */
export function deathsOf(bourse, program) {
  return bourse.log('supervise').split('\n').filter((line) => line.includes('event=died') && line.includes(` name=${program} `));
}

/** Answers what waits for one more death of a program, by SIGKILL, and its return. */
export function deathOf(bourse, program) {
  const deaths = deathsOf(bourse, program).length;
  const before = bourse.pid(program);
  return async () => {
    await eventually(() => assert.equal(deathsOf(bourse, program).length, deaths + 1, 'the point was not passed'));
    assert.match(deathsOf(bourse, program).at(-1), / by=signal code=9 /);
    await eventually(() => assert.notEqual(bourse.pid(program), before));
    await bourse.ready();
    bourse.pids[program] = bourse.pid(program);
  };
}
