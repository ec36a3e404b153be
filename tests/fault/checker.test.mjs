// SPDX-License-Identifier: Apache-2.0
// A checker that never objects proves nothing: honest logs pass, and each single lie in them is found. The figures are worked out by
// hand: a prompt token costs 150 nano-dollars, an output token 600, and four bytes are a token by the estimate.
import assert from 'node:assert/strict';
import test from 'node:test';

import { check, estimateOf, priceOf } from './checker.mjs';

const SETTLED = 1, RELEASED = 2, ABSORBED = 3;
const ORG = 7n;
const key = { hash: 'a'.repeat(64), org: ORG, limit: 1_000_000n };

/** Five requests: complete, left by its client, refused, broken by a dying edge, and one whose last bytes the dying edge lost. */
function honest() {
  const entry = (request_id, tokens_generated, closed_by) => ({ request_id, prompt_tokens: 10, cached_tokens: 2, tokens_generated, closed_by });
  const row = (id, session, charge, state = SETTLED) => ({
    id, session, charge, state, charge_told: charge, part: 0, held: 20_000n, org: ORG, key_hash: key.hash,
  });
  const requests = [
    { tag: 't-0', key, status: 200, generation: 'gen-0', complete: true, cost: 7_350n, prompt_bytes: 40, text_bytes: 40, hit: false },
    { tag: 't-1', key, status: 200, generation: 'gen-1', left: true, stream: true, prompt_bytes: 40, text_bytes: 16, hit: false },
    { tag: 't-2', key, status: 402, hit: false },
    { tag: 't-3', key, status: 200, generation: 'gen-3', stream: true, prompt_bytes: 40, text_bytes: 8, error: 'aborted', hit: true },
    { tag: 't-4', key, error: 'socket hang up', prompt_bytes: 40, text_bytes: 0, hit: true },
  ];
  return {
    requests,
    served: [entry('gen-0', 10, 'server'), entry('gen-1', 5, 'client'), entry('gen-3', 3, 'client'), entry('gen-4', 10, 'server')],
    rows: [
      row('gen-0', 't-0', 7_350n), // 8 · 150 + 2 · 75 + 10 · 600
      row('gen-1', 't-1', 3_900n), // 40 bytes: 10 · 150; 16 bytes: 4 · 600
      row('gen-3', '', 0n, ABSORBED),
      row('gen-4', 't-4', 7_350n),
    ],
    usage: new Map([[key.hash, 18_600n]]),
    accounts: [{
      org: ORG, granted: 1_000_000n, settled: 18_600n, booked: 981_400n, escrow: 0n, leased: 0n, receivable: 0n,
      shown: { credits: 1_000_000n, usage: 18_600n, balance: 981_400n, held: 0n },
    }],
    streams: [{ incarnation: 1, holds: 4n, last: 4n }],
    suspended: 0n,
  };
}

const rules = { edgeStopped: true };
const powerRules = { edgeStopped: true, powerLost: true };

test('honest logs pass', () => {
  assert.deepEqual(check(honest(), rules), []);
});

test('the price of tokens and the estimate of bytes are those worked out by hand', () => {
  assert.equal(priceOf({ prompt_tokens: 10, cached_tokens: 2, tokens_generated: 10 }), 7_350n);
  assert.equal(estimateOf(41, 17), 11n * 150n + 5n * 600n);
});

/** Charges a row differently everywhere but in the log at hand, so that only the comparison meant can object. */
function recharge(logs, id, charge) {
  const row = logs.rows.find((candidate) => candidate.id === id);
  const more = charge - row.charge;
  row.charge = row.charge_told = charge;
  const [account] = logs.accounts;
  logs.usage.set(key.hash, logs.usage.get(key.hash) + more);
  account.settled += more;
  account.shown.usage += more;
  account.shown.balance -= more;
  account.booked -= more;
}

function repeat(logs, id, change) {
  const row = logs.rows.find((candidate) => candidate.id === id);
  logs.rows.push({ ...row, charge: 0n, charge_told: 0n, ...change });
}

function lose(logs, id) {
  recharge(logs, id, 0n);
  logs.rows = logs.rows.filter((row) => row.id !== id);
}

test('a power cut may take the rows of what ran then', () => {
  const logs = honest();
  logs.requests[1].hit = true;
  for (const id of ['gen-1', 'gen-3']) lose(logs, id);
  assert.deepEqual(check(logs, powerRules), []);
});

/** Name of the lie, what it changes, what must be said, and the rules if others. */
const LIES = [
  ['a complete request has no row', (logs) => lose(logs, 'gen-0'), /t-0 .*complete, but has 0 rows/],
  ['the power took a complete request', (logs) => lose(logs, 'gen-0'), /t-0 .*complete, but has 0 rows/, powerRules],
  ['the power took one whose client had left before', (logs) => lose(logs, 'gen-1'), /t-1 .*left by its client, but has 0 rows/, powerRules],
  ['a complete request was released', (logs) => (logs.rows[0].state = RELEASED), /t-0 .*state is 2/],
  ['a row is billed twice', (logs) => {
    repeat(logs, 'gen-0', { part: 1 });
    logs.rows.at(-1).charge = 7_350n;
  }, /gen-0: billed twice/],
  ['a second hold of the same request is billed, too', (logs) => {
    repeat(logs, 'gen-0', { id: 'gen-9' });
    recharge(logs, 'gen-9', 7_350n);
  }, /t-0 .*billed 2 times/],
  ['a charge is one nano-dollar above what was told', (logs) => recharge(logs, 'gen-0', 7_351n), /t-0 .*told 7350 and charged 7351/],
  ['a charge is one nano-dollar below what was told', (logs) => recharge(logs, 'gen-0', 7_349n), /t-0 .*told 7350 and charged 7349/],
  ['a charge and what was told are both one nano-dollar off', (logs) => {
    recharge(logs, 'gen-0', 7_351n);
    logs.requests[0].cost = 7_351n;
  }, /t-0 .*tokens cost 7350/],
  ['a charge is above its hold', (logs) => (logs.rows[0].held = 7_349n), /t-0 .*7350 of 7349 held/],
  ['the row tells another figure than it charges', (logs) => (logs.rows[0].charge_told = 7_349n), /gen-0: told 7349, charged 7350/],
  ['a complete request was never served', (logs) => logs.served.shift(), /t-0 .*no provider served it/],
  ['a refused request is charged', (logs) => {
    repeat(logs, 'gen-0', { id: 'gen-2', session: 't-2' });
    recharge(logs, 'gen-2', 1n);
  }, /t-2 .*answered 402, but charged 1/],
  ['a client that left pays nothing', (logs) => recharge(logs, 'gen-1', 0n), /t-1 .*what its client got costs 3900/],
  ['a client that left pays for less than it got', (logs) => recharge(logs, 'gen-1', 3_899n), /t-1 .*charged 3899/],
  ['a client that left pays more than was held', (logs) => recharge(logs, 'gen-1', 20_001n), /t-1 .*20001 of 20000 held/],
  ['a broken answer is charged', (logs) => recharge(logs, 'gen-3', 1_500n), /t-3 .*broke, but was charged 1500/],
  ['an answer breaks although nothing struck', (logs) => (logs.requests[3].hit = false), /t-3 .*broke without a reason/],
  ['an answer breaks although the edge lived', () => {}, /t-3 .*broke without a reason/, {}],
  ['an orderly stop loses an answer', () => {}, /1 served answers are absorbed in an orderly stop/, { edgeStopped: true, graceful: true }],
  ['somebody is charged who asked for nothing', (logs) => {
    repeat(logs, 'gen-0', { id: 'gen-8', session: '' });
    recharge(logs, 'gen-8', 5n);
  }, /gen-8: charged 5 to nobody/],
  ['an absorbed row is charged', (logs) => (logs.rows[3].state = ABSORBED), /gen-4: state 3, but charged/],
  ['a served answer has no row', (logs) => logs.rows.splice(2, 1), /gen-3: served, but has no row/],
  ['more answers are absorbed than were in flight', (logs) => {
    logs.requests.splice(3, 2);
    recharge(logs, 'gen-4', 0n);
    logs.rows[3].state = ABSORBED;
  }, /2 served answers are absorbed, 0 were in flight/],
  ['the provider still serves', (logs) => (logs.served[1].closed_by = 'open'), /gen-1: the provider still serves it/],
  ['a key shows less than its rows', (logs) => logs.usage.set(key.hash, 18_599n), /shows a usage of 18599, its rows sum to 18600/],
  ['a key is above its limit', (logs) => (logs.requests.forEach((request) => (request.key = { ...key, limit: 18_599n }))), /of a limit of 18599/],
  ['a balance is one nano-dollar off', (logs) => logs.accounts[0].shown.balance++, /shows balance 981401, and it is 981400/],
  ['a hold is still shown', (logs) => (logs.accounts[0].shown.held = 1n), /shows held 1/],
  ['a settlement has no transfer', (logs) => (logs.accounts[0].settled -= 7_350n), /transfers settle 11250, rows charge 18600/],
  ['an account lost a nano-dollar', (logs) => logs.accounts[0].booked--, /accounts hold 981399 instead of 981400/],
  ['a customer has a debt', (logs) => (logs.accounts[0].receivable = 1n), /owes 1/],
  ['a lease is stuck', (logs) => (logs.accounts[0].escrow = logs.accounts[0].leased = 1n), /1 is still leased after a rest/],
  ['an escrow is not that of its leases', (logs) => (logs.accounts[0].leased = 1n), /leases of 1, escrow of 0/],
  ['a hold has no row', (logs) => (logs.streams[0].holds = 3n), /3 holds have a row, 4 were given out/],
  ['a record could not be posted', (logs) => (logs.suspended = 1n), /1 records wait in suspense/],
];

for (const [lie, tell, objection, otherRules = rules] of LIES) {
  test(`the checker objects when ${lie}`, () => {
    const logs = honest();
    tell(logs);
    const objections = check(logs, otherRules);
    assert.ok(objections.some((text) => objection.test(text)), `it said: ${objections.join('; ') || 'nothing'}`);
  });
}
