// SPDX-License-Identifier: Apache-2.0
// Promotional credit: grants that end, and codes that are redeemed once per organization and as often in all as they allow.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import test from 'node:test';

import { MODEL, assertError, nanoOf, user } from '../api.mjs';
import { eventually } from '../harness.mjs';
import { bourse } from './one_instance.mjs';

async function makeCustomer() {
  const org = await bourse.makeOrg();
  const { key } = await bourse.makeKey(org, { management: true });
  return { org, number: org.replace('org-', ''), management: key };
}

let requests = 0;
function redeem(management, code, idempotencyKey = `redeem-${++requests}`) {
  const body = typeof code === 'object' ? JSON.stringify(code) : JSON.stringify({ code });
  const headers = idempotencyKey === null ? {} : { 'idempotency-key': idempotencyKey };
  return bourse.api.post('/credits/redeem', body, { key: management, headers });
}

async function total(management) {
  return nanoOf((await bourse.api.get('/credits', { key: management })).exact.data.total_credits);
}

async function lots(management) {
  return (await bourse.api.get('/credits/lots', { key: management })).exact.data;
}

async function makeCode(...words) {
  return bourse.bourse('code', 'create', ...words);
}

async function usesOf(id) {
  return bourse.sqlValue('select uses from promo_code where id = $1', [String(id)]);
}

function asOwner(sql) {
  const place = bourse.demo.BOURSE_PG.replace('bourse_reader', 'bourse_owner');
  execFileSync('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', '-d', place, '-c', sql]);
}

/** How often which status: {201: 1, 409: 99}. */
function tally(answers) {
  const counts = {};
  for (const { status, text } of answers) {
    counts[status] = (counts[status] ?? 0) + 1;
    if (status >= 500) counts.text ??= text;
  }
  return counts;
}

const inDays = (days) => new Date(Date.now() + days * 86_400_000).toISOString();

test('a code credits its amount once per organization, in whatever case it is written', async () => {
  const { code, id } = await makeCode('--amount', '2.50', '--uses', '3');
  assert.match(code, /^BOURSE-[0-9A-Z]{20}$/);
  const [a, b] = [await makeCustomer(), await makeCustomer()];
  const answer = await redeem(a.management, ` ${code.toLowerCase()} `);
  assert.equal(answer.status, 201, answer.text);
  assert.equal(nanoOf(answer.exact.data.credited), 2_500_000_000n);
  assert.equal(answer.json.data.expires_at, null);
  assertError(await redeem(a.management, code), 409, /before/);
  assert.equal((await redeem(b.management, code)).status, 201);
  assert.equal(await total(a.management), 2_500_000_000n);
  assert.equal(await total(b.management), 2_500_000_000n);
  assert.equal(await usesOf(id), 2);
  const [lot, ...rest] = await lots(a.management);
  assert.deepEqual(rest, []);
  assert.equal(lot.kind, 'promotional');
  assert.equal(nanoOf(lot.left), 2_500_000_000n);
});

test('a hundred at once of one organization are one credit', async () => {
  const { code, id } = await makeCode('--amount', '1', '--uses', '1000');
  const { management } = await makeCustomer();
  const answers = await Promise.all(Array.from({ length: 100 }, () => redeem(management, code)));
  assert.deepEqual(tally(answers), { 201: 1, 409: 99 });
  assert.equal(await total(management), 1_000_000_000n);
  assert.equal(await usesOf(id), 1);
});

test('a hundred at once with one Idempotency-Key get one answer', async () => {
  const { code, id } = await makeCode('--amount', '1', '--uses', '1000');
  const { management } = await makeCustomer();
  const answers = await Promise.all(Array.from({ length: 100 }, () => redeem(management, code, 'the same')));
  assert.deepEqual(tally(answers), { 201: 100 });
  assert.equal(new Set(answers.map(({ text }) => text)).size, 1);
  assert.equal(await total(management), 1_000_000_000n);
  assert.equal(await usesOf(id), 1);
  const other = await makeCode('--amount', '1', '--uses', '1');
  assertError(await redeem(management, other.code, 'the same'), 409, /another body/);
});

test('a hundred at once of many organizations never use a code more often than it allows', async () => {
  const { code, id } = await makeCode('--amount', '1', '--uses', '3');
  const customers = [];
  for (let i = 0; i < 5; i++) customers.push(await makeCustomer());
  const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => redeem(customers[i % 5].management, code)));
  assert.deepEqual(tally(answers), { 201: 3, 409: 97 });
  assert.equal(await usesOf(id), 3);
  const totals = await Promise.all(customers.map(({ management }) => total(management)));
  assert.equal(
    totals.reduce((sum, one) => sum + one),
    3_000_000_000n,
  );
  const late = await makeCustomer();
  assertError(await redeem(late.management, code), 409, /as often/);
});

test('what is no code, has expired or was stopped credits nothing', async () => {
  const { management } = await makeCustomer();
  const { key: inference } = await bourse.makeKey((await makeCustomer()).org);
  for (const code of ['NO-SUCH-CODE', 'abc', 'with space inside', "' or 1=1 --", 'ünïcode-code', 'x'.repeat(65)])
    assertError(await redeem(management, code), 404);
  for (const body of [{}, { code: null }, { code: 7 }, { code: '' }, { code: ['x'] }, { code: 'y'.repeat(10_240) }])
    assertError(await redeem(management, body), 400);
  assertError(await redeem(management, { code: 'ABCDEF', org: 'org-1' }), 400, /no such field/);
  assertError(await redeem(management, { code: 'z'.repeat(17_000) }), 413);
  const expired = await makeCode('--amount', '1', '--uses', '5', '--expires', inDays(1));
  asOwner(`update promo_code set expires_at = now() where id = ${expired.id}`);
  assertError(await redeem(management, expired.code), 409, /expired/);
  const stopped = await makeCode('--amount', '1', '--uses', '5');
  assert.equal((await bourse.bourse('code', 'disable', String(stopped.id))).disabled, true);
  assertError(await redeem(management, stopped.code), 409);
  const good = await makeCode('--amount', '1', '--uses', '5');
  assertError(await redeem(management, good.code, null), 400, /Idempotency-Key/);
  assertError(await redeem(inference, good.code), 403);
  assert.equal(await total(management), 0n);
  assert.equal(await usesOf(good.id), 0);
});

test('a code of one’s own is taken once; amounts and uses that cannot be are refused', async () => {
  const own = await makeCode('--amount', '0.000000001', '--uses', '1', '--code', 'Spring-2027');
  assert.equal(own.code, 'SPRING-2027');
  assert.match(
    await bourse.bourseFails('code', 'create', '--amount', '1', '--uses', '1', '--code', 'sPRING-2027'),
    /409/,
  );
  for (const words of [
    ['--amount', '0', '--uses', '1'],
    ['--amount', '-1', '--uses', '1'],
    ['--amount', '25000.000000001', '--uses', '1'],
    ['--amount', '9223372036.854775807', '--uses', '1'],
    ['--amount', '0.0000000000000001', '--uses', '1'], // sixteen decimals
    ['--amount', '1', '--uses', '0'],
    ['--amount', '1', '--uses', '-1'],
    ['--amount', '1', '--uses', '1.5'],
    ['--amount', '1', '--uses', '1000001'],
    ['--amount', '1', '--uses', '1', '--code', 'short'],
    ['--amount', '1', '--uses', '1', '--code', 'not a code'],
    ['--amount', '1', '--uses', '1', '--expires', '2020-01-01T00:00:00Z'],
    ['--amount', '1', '--uses', '1', '--expires', 'tomorrow'],
    ['--amount', '1', '--uses', '1', '--credit-days', '36501'],
  ])
    await bourse.bourseFails('code', 'create', ...words);
  const { data } = await bourse.bourse('code', 'list');
  const [shown] = data.filter(({ id }) => id === own.id);
  assert.deepEqual(shown, {
    id: own.id,
    label: 'SPRI',
    amount: 1e-9,
    uses_max: 1,
    uses: 0,
    expires_at: null,
    credit_days: null,
    disabled: false,
  });
});

test('the code itself is nowhere in the database', async () => {
  const { code, id } = await makeCode('--amount', '1', '--uses', '1');
  const dump = execFileSync('psql', [
    '-XAt',
    '-d',
    bourse.demo.BOURSE_PG.replace('bourse_reader', 'bourse_owner'),
    '-c',
    `select * from promo_code where id = ${id}`,
  ]).toString();
  assert.doesNotMatch(dump, new RegExp(code, 'i'));
  assert.ok(dump.includes('BOUR'));
});

test('a grant ends when it says, only what is left of it, and the rest of the credit stays', async () => {
  const { org, number, management } = await makeCustomer();
  await bourse.bourse('credit', 'grant', '--org', org, '--amount', '7');
  await bourse.bourse('credit', 'grant', '--org', org, '--amount', '3', '--expires', inDays(30));
  const [first, second] = await lots(management); // what ends first is spent first
  assert.equal(nanoOf(first.left), 3_000_000_000n);
  assert.ok(Math.abs(Date.parse(first.expires_at) - Date.now() - 30 * 86_400_000) < 60_000);
  assert.equal(second.expires_at, null);
  asOwner(`update lot set expires_at = now() where org = ${number} and amount = 3000000000`);
  await eventually(async () => assert.equal(await total(management), 7_000_000_000n));
  const [kept, ended] = await lots(management);
  assert.equal(nanoOf(kept.left), 7_000_000_000n);
  assert.equal(nanoOf(ended.expired), 3_000_000_000n);
  assert.equal(nanoOf(ended.left), 0n);
  const [transfer] = await bourse.sql("select * from transfer where org = $1 and code = 'expiry'", [number]);
  assert.equal(transfer.debit_kind, 2);
  assert.equal(transfer.credit_kind, 131);
  assert.equal(transfer.amount, 3_000_000_000n);
  for (const when of ['2020-01-01T00:00:00Z', '2027-02-30T00:00:00Z', 'soon', ''])
    await bourse.bourseFails('credit', 'grant', '--org', org, '--amount', '1', '--expires', when);
  assert.equal(await total(management), 7_000_000_000n);
});

test('what a code credits lives as many days as the code says', async () => {
  const { code } = await makeCode('--amount', '1', '--uses', '1', '--credit-days', '10');
  const { management } = await makeCustomer();
  const answer = await redeem(management, code);
  assert.equal(answer.status, 201, answer.text);
  assert.ok(Math.abs(Date.parse(answer.json.data.expires_at) - Date.now() - 10 * 86_400_000) < 60_000);
  const [lot] = await lots(management);
  assert.equal(lot.expires_at, answer.json.data.expires_at);
});

test('credit that ends while it is being spent: what came in is what was used, what ended and what is left', async () => {
  const { org, number, management } = await makeCustomer();
  const { key } = await bourse.makeKey(org);
  await bourse.bourse('credit', 'grant', '--org', org, '--amount', '0.1');
  for (let i = 0; i < 8; i++)
    await bourse.bourse('credit', 'grant', '--org', org, '--amount', '0.0025', '--expires', inDays(i + 1));
  // A hundred requests at 8 · 150 + 1,000 · 600 nano-dollars in ten rows, while one grant after the other comes to its end.
  const body = { model: MODEL, messages: user('sim:tokens=1000 sim:first_ms=500'), max_tokens: 1000 };
  let left = 100;
  const row = async () => {
    while (left-- > 0) assert.equal((await bourse.api.chat(key, body)).status, 200);
  };
  const rows = Array.from({ length: 10 }, row);
  const lotIds = await bourse.sql('select id from lot where org = $1 and expires_at is not null order by id', [number]);
  for (const { id } of lotIds) {
    asOwner(`update lot set expires_at = now() where org = ${number} and id = ${id}`);
    await eventually(async () => {
      const due = 'select count(*) from lot where id = $1 and spent + expired < amount and expired = 0';
      assert.ok(left <= 0 || (await bourse.sqlValue(due, [id])) === 0n);
    });
  }
  await Promise.all(rows);
  await bourse.quiet();
  await bourse.killAndWait('ledger'); // what was leased is back, so that all that is due can end
  await eventually(async () => {
    const all = await lots(management);
    for (const lot of all) if (lot.expires_at !== null) assert.equal(nanoOf(lot.left), 0n);
  });
  const all = await lots(management);
  const sum = (name) => all.reduce((total, lot) => total + nanoOf(lot[name]), 0n);
  const credits = (await bourse.api.get('/credits', { key: management })).exact.data;
  assert.equal(nanoOf(credits.total_usage), 100n * 601_200n);
  assert.equal(sum('amount'), 120_000_000n);
  assert.equal(sum('left'), nanoOf(credits.balance));
  assert.equal(sum('amount') - sum('expired') - nanoOf(credits.total_usage), nanoOf(credits.balance));
});
