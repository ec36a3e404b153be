// SPDX-License-Identifier: Apache-2.0
// Processes that hang, and PostgreSQL away for longer than the leases last. What was leased is served, then requests are refused;
// nothing is ever free, and what waited for its bill gets it.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { eventually, startInstance } from '../integration/harness.mjs';
import { QUICK, familyOf, postgresServes, strike, underLoad, whileStanding } from './faults.mjs';

const bourse = startInstance({ options: QUICK });

/** The length of a fault, not a wait for something to happen. */
const lasts = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Requests of the load that began and ended while the fault lasted. */
function within(load, { from, to }) {
  return load.requests.filter((request) => request.begin_ms > from && request.end_ms < to && !request.left);
}

test('the ledger may stand still for 3 s: nothing is served unbilled meanwhile, and what waits is billed afterwards', async () => {
  const window = {};
  const { load } = await underLoad(bourse, (run) => strike(bourse, run, async () => {
    await whileStanding([bourse.pid('ledger')], async () => {
      window.from = performance.now();
      await lasts(3000);
      window.to = performance.now();
    });
  }));
  const answers = within(load, window);
  assert.ok(answers.length > 0, 'the refusals come within the time of the fault');
  for (const { status, complete } of answers) assert.deepEqual({ status, complete }, { status: 503, complete: undefined });
});

test('PostgreSQL may stand still for 5 s: leases serve, then requests are refused, and nothing is free', async () => {
  const window = {};
  const { load } = await underLoad(bourse, (run) => strike(bourse, run, async () => {
    await whileStanding(familyOf(bourse.pid('postgres')), async () => {
      window.from = performance.now();
      await lasts(5000);
      window.to = performance.now();
    });
    await postgresServes(bourse);
  }));
  const statuses = new Set(within(load, window).map((request) => request.status));
  assert.ok(statuses.has(200), 'the leases served nothing');
  assert.ok(statuses.has(503), 'the leases never ended');
});

/** With the supervisor standing still nobody starts anything again. */
async function whileAway(program, signal, during) {
  const supervisor = Number(readFileSync(path.join(bourse.var, 'run/supervise.pid'), 'utf8'));
  const pid = bourse.pid(program);
  await whileStanding([supervisor], async () => {
    process.kill(pid, signal);
    await during();
  });
  await eventually(() => assert.notEqual(bourse.pid(program), pid));
  if (program in bourse.pids) bourse.pids[program] = bourse.pid(program);
}

test('while PostgreSQL is away leases serve, then requests are refused, and the bill is right when it is back', async () => {
  const window = {};
  const { load } = await underLoad(bourse, (run) => strike(bourse, run, async () => {
    await whileAway('postgres', 'SIGINT', async () => {
      window.from = performance.now();
      await eventually(() => assert.ok(within(run, { ...window, to: Infinity }).filter(({ status }) => status === 503).length > 20));
      window.to = performance.now();
    });
    await postgresServes(bourse);
  }));
  assert.ok(within(load, window).some(({ complete }) => complete), 'the leases served nothing');
});

test('while the ledger is away every request is refused, and streams that wait for their bill end well when it is back', async () => {
  const window = {};
  const { load, requests } = await underLoad(bourse, (run) => strike(bourse, run, async () => {
    await whileAway('ledger', 'SIGKILL', async () => {
      window.from = performance.now();
      await eventually(() => assert.ok(within(run, { ...window, to: Infinity }).length > 40));
      await eventually(async () => assert.ok((await bourse.metrics('edge')).frames_unacknowledged > 0));
      window.to = performance.now();
    });
  }));
  for (const { status } of within(load, window)) assert.equal(status, 503);
  const waited = requests.filter((request) => request.begin_ms < window.from && request.end_ms > window.to);
  assert.ok(waited.some(({ stream, complete }) => stream && complete), 'no stream waited for its bill');
});
