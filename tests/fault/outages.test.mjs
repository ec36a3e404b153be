// SPDX-License-Identifier: Apache-2.0
// Processes that hang, and PostgreSQL away for longer than the leases last. What was leased is served, then requests are refused;
// nothing is ever free, and what waited for its bill gets it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { COMPLETION_NANO, MODEL, PROMPT_NANO, nanoOf, user } from '../integration/api.mjs';
import { BUILD, eventually, startInstance } from '../integration/harness.mjs';
import { QUICK, familyOf, kill, postgresServes, strike, underLoad, whileStanding } from './faults.mjs';

const bourse = startInstance({ options: QUICK });

// How long the ledger and PostgreSQL stand still: a minute each in `make test`, which says FAULT_OUTAGE_S=60.
const LEDGER_STANDS_MS = Number(process.env.FAULT_OUTAGE_S ?? 3) * 1000;
const POSTGRES_STANDS_MS = Number(process.env.FAULT_OUTAGE_S ?? 5) * 1000;

/** The length of a fault, not a wait for something to happen. */
const lasts = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Requests of the load that began and ended while the fault lasted. */
function within(load, { from, to }) {
  return load.requests.filter((request) => request.begin_ms > from && request.end_ms < to && !request.left);
}

test(`the ledger may stand still for ${LEDGER_STANDS_MS / 1000} s: nothing is served unbilled meanwhile, and what waits is billed afterwards`, async () => {
  const window = {};
  const { load } = await underLoad(bourse, (run) => strike(bourse, run, async () => {
    await whileStanding([bourse.pid('ledger')], async () => {
      window.from = performance.now();
      await lasts(LEDGER_STANDS_MS);
      window.to = performance.now();
    });
  }));
  const answers = within(load, window);
  assert.ok(answers.length > 0, 'the refusals come within the time of the fault');
  for (const { status, complete } of answers) assert.deepEqual({ status, complete }, { status: 503, complete: undefined });
});

test(`PostgreSQL may stand still for ${POSTGRES_STANDS_MS / 1000} s: leases serve, then requests are refused, and nothing is free`, async () => {
  const window = {};
  const { load } = await underLoad(bourse, (run) => strike(bourse, run, async () => {
    await whileStanding(familyOf(bourse.pid('postgres')), async () => {
      window.from = performance.now();
      await lasts(POSTGRES_STANDS_MS);
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

test('a record that PostgreSQL refuses for ever waits in suspense and is reported; all others are posted', async () => {
  const { key, management } = await bourse.makeCustomer();
  const ask = (tokens) => bourse.api.chat(key, { model: MODEL, messages: user(`sim:tokens=${tokens}`) });
  await bourse.asOwner('alter table generation add constraint poison check (completion <> 13) not valid');
  const answers = await Promise.all([10, 11, 12, 13, 14, 15, 16].map(ask));
  for (const { status } of answers) assert.equal(status, 200);
  await bourse.quiet();
  const [{ seq, sqlstate, record, ...rest }] = await bourse.sql('select cell, seq, sqlstate, record, resolved_at from suspense');
  assert.deepEqual(rest, { cell: 1, resolved_at: null });
  assert.equal(sqlstate, '23514');
  assert.ok(record.length > 100);
  assert.match(bourse.log('ledger'), new RegExp(`event=posted_to_suspense seq=${seq} sqlstate=23514`));
  assert.equal((await bourse.metrics('ledger')).suspense_total, 1);
  const { data } = (await bourse.api.get('/credits', { key: management })).exact;
  // Seven prompts of 13 bytes, 4 tokens each; of the answers all but the poisoned 13.
  assert.equal(nanoOf(data.total_usage), 6n * 4n * PROMPT_NANO + BigInt(10 + 11 + 12 + 14 + 15 + 16) * COMPLETION_NANO);
  const { status, stdout } = spawnSync(path.join(BUILD, 'bourse'), ['audit'], { env: bourse.environment(), encoding: 'utf8' });
  assert.equal(status, 1);
  assert.equal(stdout, `suspense_is_empty: record 1/1/${seq}: SQLSTATE 23514\naudit: 1 violations\n`);
  // The operator has looked: the rule is taken away again, the record is marked, what its lease had for it goes back at the next start.
  await bourse.asOwner('alter table generation drop constraint poison; update suspense set resolved_at = now()');
  await kill(bourse, 'ledger');
  await bourse.ready();
});
