// SPDX-License-Identifier: Apache-2.0
// Requests with a customer's own provider key, as the ledger sees them: no edge asks for them yet, so a fake one does, over the
// ledger's socket. What is free of a month is exact at the line, whatever is killed there.
import assert from 'node:assert/strict';
import test, { after } from 'node:test';

import { nanoOf } from './api.mjs';
import { generationText } from './fake_edge.mjs';
import { startInstance } from './harness.mjs';
import { DOLLAR, OwnKeys } from './own_keys.mjs';

const KILLS = 4;
const WORK = { prompt: 100, completion: 10 }; // 100 · 150 + 10 · 600 = 21,000 nano-dollars; 5 % are 1,050

let own;
const bourse = startInstance({ setup: async (instance) => (own = await OwnKeys.begin(instance)) });
after(() => own?.edge.close());

const MONTH = `(extract(year from now() at time zone 'UTC') * 12 + extract(month from now() at time zone 'UTC') - 1)::integer`;

/** As if this month's requests so far had been `used`, for the time of `during`. */
async function withUsed(org, used, during) {
  const place = `org = ${org} and meter = allowance_meter(${org}, 'requests')`;
  await bourse.asOwner(`insert into meter_period (org, meter, period, limit_nano, spent, requests)
    values (${org}, allowance_meter(${org}, 'requests'), ${MONTH}, 1000000, ${used}, ${used}) on conflict (org, meter, period)
    do update set spent = meter_period.spent + ${used}, requests = meter_period.requests + ${used}`);
  try {
    await during();
  } finally {
    await bourse.quiet(15_000);
    await bourse.asOwner(`update meter_period set spent = spent - ${used}, requests = requests - ${used} where ${place}`);
  }
}

// ---- at the line

test('the 1,000,000th request of a month is free and the next pays 5 %, across a kill -9 of the ledger between them', async () => {
  const { key, orgNumber: org, management } = await bourse.makeCustomer({ credit: '1' });
  await withUsed(org, 999_998, async () => {
    assert.equal(await own.request(key), 0n); // the 999,999th
    const millionth = await own.ask(key, DOLLAR);
    assert.equal(millionth.amount, 0n);
    await bourse.killAndWait('ledger');
    await own.edge.reconnect();
    const beyond = await own.ask(key, DOLLAR); // while the one before it runs
    assert.equal(beyond.amount, 50_000_000n); // 5 % of a dollar is held
    // 101 · 150 + 10 · 600 = 21,150; 5 % are 1,057.5, half up. What ends first does not take the place of what was there first.
    assert.equal(await own.settle(beyond, { prompt: 101, completion: 10 }), 1_058n);
    assert.equal(await own.settle(millionth, WORK), 0n);
    await bourse.quiet(15_000);
    assert.equal(await own.used(org), 1_000_000n);
    const rows = await bourse.sql('select charge, charge_told, provider_cost, byok_list, byok_units from generation where org = $1 order by hold', [org]);
    assert.deepEqual(rows, [
      { charge: 0n, charge_told: 0n, provider_cost: 0n, byok_list: 21_000n, byok_units: 1n },
      { charge: 0n, charge_told: 0n, provider_cost: 0n, byok_list: 21_000n, byok_units: 1n },
      { charge: 1_058n, charge_told: 1_058n, provider_cost: 0n, byok_list: 21_150n, byok_units: 0n },
    ]);
    const fees = await bourse.sql(`select debit_kind, credit_kind, amount from transfer where org = $1 and code = 'byok_fee'`, [org]);
    assert.deepEqual(fees, [{ debit_kind: 3, credit_kind: 113, amount: 1_058n }]);
    const { total_usage: usage } = (await bourse.api.get('/credits', { key: management })).exact.data;
    assert.equal(nanoOf(usage), 1_058n);
    const month = new Date().toISOString().slice(0, 7);
    const page = await bourse.api.get(`/invoices/${month}`, { key: management });
    assert.match(page.text, /, fee on own provider keys<\/td><td[^>]*>3<\/td><td[^>]*>301<\/td><td[^>]*>30<\/td><td[^>]*>\$0\.000001058</);
  });
});

test('a request that fails at the line does not count', async () => {
  const { key, orgNumber: org } = await bourse.makeCustomer({ credit: '1' });
  await withUsed(org, 999_999, async () => {
    const failed = await own.ask(key, DOLLAR);
    const other = await own.ask(key, DOLLAR);
    assert.deepEqual([failed.amount, other.amount], [0n, 50_000_000n]);
    assert.equal(await own.release(failed), 0n);
    assert.equal(await own.settle(other, WORK), 0n); // the millionth after all
    assert.equal(await own.request(key), 1_050n);
    await bourse.quiet();
    assert.equal(await own.used(org), 1_000_000n);
  });
});

test('of ten at once with room for three, three are free', async () => {
  const { key, orgNumber: org } = await bourse.makeCustomer({ credit: '1' });
  // The caller's version is known from here on; with an own key some of the free ones would be leased, too.
  await own.release(await own.ask(key, 0n, { byok: 0 }));
  await withUsed(org, 999_997, async () => {
    const holds = await Promise.all(Array.from({ length: 10 }, () => own.ask(key, DOLLAR / 100n)));
    assert.deepEqual(holds.map(({ error }) => error).filter(Boolean), []);
    assert.equal(holds.filter(({ amount }) => amount === 0n).length, 3);
    const told = await Promise.all(holds.map((held) => own.settle(held, WORK)));
    assert.deepEqual(told.sort().map(String), [...Array(3).fill('0'), ...Array(7).fill('1050')]);
    await bourse.quiet();
    assert.equal(await own.used(org), 1_000_000n);
  });
});

test('a ledger that is killed again and again while the free ones are used up gives exactly those', async () => {
  const free = 60;
  await own.useUp(free, async (until) => {
    for (let kill = 1; kill <= KILLS; kill++) {
      await until((free * kill) / KILLS - 8); // the last time right before the line
      await bourse.killAndWait('ledger');
      await own.edge.reconnect();
    }
  });
});

test('without credit the free ones are served and the next is refused', async () => {
  const org = await bourse.makeOrg();
  const { key } = await bourse.makeKey(org);
  await own.plan(org, 'two free', '--byok-unit', 'requests', '--byok-allowance', '2');
  assert.equal(await own.request(key), 0n);
  assert.equal(await own.request(key), 0n);
  assert.equal((await own.ask(key, DOLLAR)).error, 'NO_CREDIT');
});

// ---- plans

test('a plan that is changed, and another plan, count from the next request on', async () => {
  const { org, orgNumber, key } = await bourse.makeCustomer({ credit: '1' });
  await own.plan(org, 'one free', '--byok-unit', 'requests', '--byok-allowance', '1');
  assert.equal(await own.request(key), 0n);
  assert.equal(await own.request(key), 1_050n); // 5 % of 21,000
  await bourse.bourse('plan', 'set', 'one free', '--byok-unit', 'requests', '--byok-allowance', '2', '--byok-fee', '1000');
  assert.equal(await own.request(key), 0n);
  assert.equal(await own.request(key), 2_100n);
  // 30,000 nano-dollars of list price: 21,000 are free, then 9,000 of the next 21,000.
  await own.plan(org, 'by list price', '--byok-unit', 'list_price', '--byok-allowance', '0.00003');
  assert.equal(await own.request(key), 0n);
  assert.equal(await own.request(key), 600n); // 5 % of 12,000
  assert.equal(await own.request(key), 1_050n);
  await bourse.quiet();
  assert.deepEqual([await own.used(orgNumber), await own.used(orgNumber, 'list_price')], [2n, 30_000n]);
  await bourse.bourse('plan', 'assign', 'enterprise', '--org', org);
  assert.equal(await own.request(key), 0n);
});

// ---- what is shown

test('credits tell what is left of the allowance, in the unit of the plan, and when it begins anew', async () => {
  const { org, key, management } = await bourse.makeCustomer({ credit: '1' });
  const allowance = async () => (await bourse.api.get('/credits', { key: management })).exact.data.byok_allowance;
  const now = new Date();
  const resets_at = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1));
  const { resets_at: told, ...fresh } = await allowance();
  assert.deepEqual(fresh, { unit: 'requests', limit: '#1000000', used: '#0', remaining: '#1000000' });
  assert.equal(new Date(told).getTime(), resets_at.getTime());
  assert.equal(await own.request(key), 0n);
  await own.release(await own.ask(key, DOLLAR)); // one that fails does not count
  assert.deepEqual([(await allowance()).used, (await allowance()).remaining], ['#1', '#999999']);
  await own.plan(org, 'told by list price', '--byok-unit', 'list_price', '--byok-allowance', '0.00003');
  await own.request(key); // 21,000 of 30,000 nano-dollars
  const { unit, limit, used, remaining } = await allowance();
  assert.equal(unit, 'list_price');
  assert.deepEqual([limit, used, remaining].map(nanoOf), [30_000n, 21_000n, 9_000n]);
  await bourse.bourse('plan', 'set', 'told by list price', '--byok-unit', 'list_price', '--byok-allowance', '0.00001');
  const lowered = await allowance();
  assert.deepEqual([lowered.limit, lowered.used, lowered.remaining].map(nanoOf), [10_000n, 21_000n, 0n]);
});

test('keys and generations show the list price, and a limit counts it where it says so', async () => {
  const { management } = await bourse.makeCustomer({ credit: '1' });
  const made = await bourse.api.post('/keys', { name: 'x', limit: 0.00005, include_byok_in_limit: true }, { key: management });
  const { key, data: { hash } } = made.json;
  const held = await own.ask(key, 21_000n);
  assert.equal(await own.settle(held, WORK), 0n);
  const mine = (await bourse.api.get('/key', { key })).exact.data;
  const listed = (await bourse.api.get(`/keys/${hash}`, { key: management })).exact.data;
  for (const shown of [mine, listed]) {
    assert.equal(nanoOf(shown.usage), 0n);
    for (const period of ['', '_daily', '_weekly', '_monthly']) assert.equal(nanoOf(shown[`byok_usage${period}`]), 21_000n);
    assert.equal(nanoOf(shown.limit_remaining), 29_000n);
  }
  const shown = (await bourse.api.get(`/generation?id=${generationText(held)}`, { key })).exact.data;
  assert.equal(shown.is_byok, true);
  assert.equal(nanoOf(shown.total_cost), 0n);
  assert.equal(nanoOf(shown.upstream_inference_cost), 21_000n);
  assert.equal((await own.ask(key, 29_001n)).error, 'KEY_LIMIT');
  await own.release(await own.ask(key, 29_000n));
  await bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body: { include_byok_in_limit: false } });
  assert.equal(await own.request(key), 0n); // a hold of a dollar, of which the limit counts nothing
  const then = (await bourse.api.get('/key', { key })).exact.data;
  assert.equal(nanoOf(then.limit_remaining), 50_000n);
  assert.equal(nanoOf(then.byok_usage), 42_000n);
});

// ---- limits above the key

/** A customer, a key of a member of his, and his limits as rows: for life, by day, week and month. */
async function makeLimited() {
  const { orgNumber, management } = await bourse.makeCustomer({ credit: '1' });
  const member = (await bourse.api.post('/organization/members', { name: 'Ann' }, { key: management })).json.data.id;
  const made = await bourse.api.post('/keys', { name: 'of Ann', member_id: member }, { key: management });
  const { key, data: { hash } } = made.json;
  const rowsOf = ({ status, text, exact }) => {
    assert.equal(status, 200, text);
    return exact.data.map(({ limit, limit_remaining: left, usage, include_byok_in_limit: byok }) =>
      ({ limit: limit && nanoOf(limit), left: left && nanoOf(left), usage: nanoOf(usage), byok }));
  };
  const set = async (owner, body) => rowsOf(await bourse.api.request('PATCH', `/limits?owner=${owner}`, { key: management, body }));
  const show = async (owner) => rowsOf(await bourse.api.get(`/limits?owner=${owner}`, { key: management }));
  return { orgNumber, management, key, hash, member, set, show };
}

/** The most that a request may hold under what is left; one nano-dollar more is refused. */
async function assertRoom(key, left, error) {
  assert.equal((await own.ask(key, left + 1n)).error, error);
  const held = await own.ask(key, left);
  assert.equal(held.error, undefined);
  await own.release(held);
}

const OWNERS = [
  ['an organization', () => 'organization', 'ORG_LIMIT'],
  ['a workspace', () => 'workspace:1', 'WORKSPACE_BUDGET'],
  ['a member', ({ member }) => `member:${member}`, 'MEMBER_LIMIT'],
];

for (const [whose, ownerOf, error] of OWNERS) {
  test(`the limits of ${whose} count the list price from the request on before which that is set, and while it is`, async () => {
    const limited = await makeLimited();
    const { key } = limited;
    const set = (body) => limited.set(ownerOf(limited), body);
    const none = { limit: null, left: null, usage: 0n, byok: false };
    assert.deepEqual(await set({ lifetime: 0.00005 }), [{ limit: 50_000n, left: 50_000n, usage: 0n, byok: false }, none, none, none]);
    assert.equal(await own.request(key), 0n); // a hold of a dollar, of which the limit counts nothing
    // What was spent before counts, by every cadence, limited or not: 50,000 - 21,000 = 29,000 nano-dollars.
    const counted = { limit: null, left: null, usage: 21_000n, byok: true };
    const [life, ...others] = await set({ include_byok_in_limit: true });
    assert.deepEqual(life, { limit: 50_000n, left: 29_000n, usage: 21_000n, byok: true });
    assert.deepEqual(others, [counted, counted, counted]);
    await assertRoom(key, 29_000n, error);
    const held = await own.ask(key, 29_000n);
    assert.equal((await own.ask(key, 1n)).error, error);
    assert.equal(await own.settle(held, WORK), 0n); // 42,000 of 50,000 are spent
    await assertRoom(key, 8_000n, error);
    assert.equal((await own.ask(key, 8_001n, { byok: 0 })).error, error); // other requests use the same room

    assert.deepEqual((await set({ include_byok_in_limit: false }))[0], { limit: 50_000n, left: 50_000n, usage: 0n, byok: false });
    const running = await own.ask(key, DOLLAR);
    assert.equal(running.error, undefined);
    assert.deepEqual((await set({ include_byok_in_limit: true }))[0], { limit: 50_000n, left: 8_000n, usage: 42_000n, byok: true });
    assert.equal(await own.settle(running, WORK), 0n); // it goes on, and what it used counts: 63,000
    assert.deepEqual((await limited.show(ownerOf(limited)))[0], { limit: 50_000n, left: 0n, usage: 63_000n, byok: true });
    assert.equal((await own.ask(key, 1n)).error, error);
    await bourse.quiet();
    const over = 'select over from meter_period p join meter m on m.org = p.org and m.id = p.meter where m.org = $1 and p.limit_nano = 50000';
    assert.equal(await bourse.sqlValue(over, [limited.orgNumber]), 13_000n); // 63,000 - 50,000

    // A limit that is set later counts as the others do: 70,000 - 63,000.
    assert.deepEqual((await set({ lifetime: null, daily: 0.00007 }))[1], { limit: 70_000n, left: 7_000n, usage: 63_000n, byok: true });
    await assertRoom(key, 7_000n, error);
    assert.equal((await set({ include_byok_in_limit: false }))[1].left, 70_000n);
    assert.equal(await own.request(key), 0n);
  });
}

test('requests that run while it is set and taken back are counted once each', async () => {
  const { key, member, set, show } = await makeLimited();
  const owner = `member:${member}`;
  await set(owner, { lifetime: 0.0005, include_byok_in_limit: true }); // room for 23 of 21,000, not for 24
  const waves = [];
  for (let wave = 1; wave <= 4; wave++) {
    waves.push(...Array.from({ length: 10 }, async () => {
      let held = await own.ask(key, 21_000n);
      while (held.error === 'STALE') held = await own.ask(key, 21_000n); // changed while it was asked; an edge asks anew, too
      if (held.error === undefined) assert.equal(await own.settle(held, WORK), 0n);
      return held.error;
    }));
    await set(owner, { include_byok_in_limit: wave % 2 === 0 });
  }
  const errors = await Promise.all(waves);
  const refused = errors.filter((error) => error === 'MEMBER_LIMIT').length;
  assert.equal(errors.filter((error) => error === undefined).length, 40 - refused);
  const spent = BigInt(40 - refused) * 21_000n;
  const [{ usage, left }] = await show(owner);
  assert.deepEqual([usage, left], [spent, spent < 500_000n ? 500_000n - spent : 0n]);
});

test('what limits count may be said before there is one, and then holds for the first', async () => {
  const { orgNumber, key, set, show } = await makeLimited();
  assert.equal(await own.request(key), 0n);
  assert.deepEqual((await set('organization', { include_byok_in_limit: false })).map(({ byok }) => byok), Array(4).fill(false));
  assert.deepEqual((await set('organization', { include_byok_in_limit: true })).map(({ usage }) => usage), Array(4).fill(21_000n));
  // The audit goes by the periods' rows, which say so at once and not only with the next lease. Four are the organization's.
  const says = 'select count(*) from meter_period where org = $1 and meter >= 1::bigint << 60 and include_byok';
  assert.equal(await bourse.sqlValue(says, [orgNumber]), 4n);
  assert.equal(await own.request(key), 0n); // there is no limit
  assert.deepEqual(await show('organization'), Array(4).fill({ limit: null, left: null, usage: 42_000n, byok: true }));
  const [, , , monthly] = await set('organization', { monthly: 0.00005 });
  assert.deepEqual(monthly, { limit: 50_000n, left: 8_000n, usage: 42_000n, byok: true });
  await assertRoom(key, 8_000n, 'ORG_LIMIT');
});

test('of a key it is one flag, whichever route sets it', async () => {
  const { key, hash, management, set, show } = await makeLimited();
  const ofKey = async () => (await bourse.api.get('/key', { key })).exact.data;
  await set(`key:${hash}`, { lifetime: 0.00005, include_byok_in_limit: true });
  assert.equal(await own.settle(await own.ask(key, 21_000n), WORK), 0n);
  assert.deepEqual((await show(`key:${hash}`))[0], { limit: 50_000n, left: 29_000n, usage: 21_000n, byok: true });
  const { include_byok_in_limit: byok, limit_remaining: left } = await ofKey();
  assert.deepEqual([byok, nanoOf(left)], [true, 29_000n]);
  await assertRoom(key, 29_000n, 'KEY_LIMIT');
  const { status } = await bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body: { include_byok_in_limit: false } });
  assert.equal(status, 200);
  assert.deepEqual((await show(`key:${hash}`)).map((row) => row.byok), Array(4).fill(false));
  await set(`key:${hash}`, { include_byok_in_limit: true });
  assert.equal((await ofKey()).include_byok_in_limit, true);
  await set(`key:${hash}`, { daily: 1 }); // and stays as it is where nothing is said of it
  assert.equal((await ofKey()).include_byok_in_limit, true);
});
