// SPDX-License-Identifier: Apache-2.0
// Buying credits: what is charged, what is credited, what the history says, and that one Idempotency-Key moves money once.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import test from 'node:test';

import { assertError, nanoOf } from '../api.mjs';
import { eventually } from '../harness.mjs';
import { bourse } from './one_instance.mjs';

let keys = 0;
function buy(management, body, idempotencyKey = `test-${++keys}`) {
  const headers = idempotencyKey === null ? {} : { 'idempotency-key': idempotencyKey };
  return bourse.api.post('/purchases', body, { key: management, headers });
}

async function history(management) {
  return (await bourse.api.get('/purchases', { key: management })).exact.data;
}

async function credits(management) {
  return (await bourse.api.get('/credits', { key: management })).exact.data;
}

/** Time passes: only the owner of the tables may change when something was. */
function asOwner(sql) {
  const place = bourse.demo.BOURSE_PG.replace('bourse_reader', 'bourse_owner');
  execFileSync('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', '-d', place, '-c', sql]);
}

async function makeBuyer() {
  const org = await bourse.makeOrg();
  const { key } = await bourse.makeKey(org, { management: true });
  return { org, number: org.replace('org-', ''), management: key };
}

test('buying $25 charges $26.38, credits $25.00, and the history shows both', async () => {
  const { management, number } = await makeBuyer();
  const answer = await buy(management, { amount: 25 });
  assert.equal(answer.status, 201, answer.text);
  const purchase = answer.exact.data;
  const [entry, ...rest] = await history(management);
  assert.deepEqual(rest, []);
  for (const shown of [purchase, entry]) {
    assert.equal(shown.id, purchase.id);
    assert.equal(shown.status, 'paid');
    assert.equal(shown.payment_method, 'manual');
    assert.equal(nanoOf(shown.amount), 25_000_000_000n);
    assert.equal(nanoOf(shown.fee), 1_380_000_000n);
    assert.equal(nanoOf(shown.charged), 26_380_000_000n);
    assert.equal(nanoOf(shown.credited), 25_000_000_000n);
  }
  const balance = await credits(management);
  assert.equal(nanoOf(balance.total_credits), 25_000_000_000n);
  assert.equal(nanoOf(balance.total_usage), 0n);

  const transfers = await bourse.sql(
    'select org = 0 as platform, code, debit_kind, credit_kind, amount from transfer where org in ($1, 0) and reference = $2 order by code',
    [number, purchase.id],
  );
  assert.deepEqual(transfers, [
    { platform: false, code: 'purchase', debit_kind: 101, credit_kind: 1, amount: 25_000_000_000n },
    { platform: true, code: 'purchase_fee', debit_kind: 101, credit_kind: 111, amount: 1_380_000_000n },
  ]);
});

test('the demo organization was charged $26.38 for its $25.00', async () => {
  const [entry] = await history(bourse.demo.BOURSE_MANAGEMENT_KEY);
  assert.equal(nanoOf(entry.charged), 26_380_000_000n);
  assert.equal(nanoOf(entry.credited), 25_000_000_000n);
});

test('the fee is 5.5 % rounded half up to the cent, and $0.80 at least', async () => {
  const { management } = await makeBuyer();
  const expected = [
    ['5', '0.80', '5.80'],
    ['10.00', '0.80', '10.80'],
    ['14.63', '0.80', '15.43'],
    ['14.64', '0.81', '15.45'],
    ['15', '0.83', '15.83'],
    ['20', '1.10', '21.10'],
    ['100', '5.50', '105.50'],
    ['500', '27.50', '527.50'],
    ['10000', '550', '10550'],
    ['25000', '1375', '26375'],
  ];
  for (const [amount, fee, charged] of expected) {
    const answer = await buy(management, `{"amount":${amount}}`);
    assert.equal(answer.status, 201, `${amount}: ${answer.text}`);
    const { data } = answer.exact;
    assert.equal(nanoOf(data.fee), nanoOf(fee), amount);
    assert.equal(nanoOf(data.charged), nanoOf(charged), amount);
    assert.equal(nanoOf(data.credited), nanoOf(amount), amount);
  }
  // 5 + 10 + 14.63 + 14.64 + 15 + 20 + 100 + 500 + 10,000 + 25,000
  assert.equal(nanoOf((await credits(management)).total_credits), 35_679_270_000_000n);
});

test('an amount that cannot be bought is refused and leaves no purchase', async () => {
  const { management } = await makeBuyer();
  const bodies = [
    '{"amount":4.99}',
    '{"amount":25000.01}',
    '{"amount":0}',
    '{"amount":-25}',
    '{"amount":25.001}',
    '{"amount":"25"}',
    '{"amount":null}',
    '{"amount":true}',
    '{"amount":[25]}',
    '{}',
    '[]',
    '25',
    '',
    '{"amount":25',
    '{"amount":9223372036854775807}',
    '{"amount":1e400}',
    '{"amount":25,"amount":5}',
    '{"amount":25,"payment_method":"card"}',
    '{"amount":25,"payment_method":7}',
  ];
  for (const body of bodies) assertError(await buy(management, body), 400);
  assert.deepEqual(await history(management), []);
  assert.equal(nanoOf((await credits(management)).total_credits), 0n);
});

test('a purchase without an Idempotency-Key is refused', async () => {
  const { management } = await makeBuyer();
  assertError(await buy(management, { amount: 25 }, null), 400, /Idempotency-Key/);
  assertError(await buy(management, { amount: 25 }, ''), 400);
  assertError(await buy(management, { amount: 25 }, 'x'.repeat(256)), 400);
  assert.deepEqual(await history(management), []);
});

test('twenty equal requests at once with one Idempotency-Key are one purchase', async () => {
  const { management } = await makeBuyer();
  const answers = await Promise.all(Array.from({ length: 20 }, () => buy(management, { amount: 25 }, 'once')));
  for (const answer of answers) assert.equal(answer.status, 201, answer.text);
  assert.equal(new Set(answers.map((answer) => answer.text)).size, 1);
  assert.equal((await history(management)).length, 1);
  assert.equal(nanoOf((await credits(management)).total_credits), 25_000_000_000n);
});

test('twenty requests at once with keys of their own are twenty purchases', async () => {
  const { management } = await makeBuyer();
  const answers = await Promise.all(Array.from({ length: 20 }, () => buy(management, { amount: 5 })));
  for (const answer of answers) assert.equal(answer.status, 201, answer.text);
  assert.equal((await history(management)).length, 20);
  assert.equal(nanoOf((await credits(management)).total_credits), 100_000_000_000n);
});

test('an Idempotency-Key used again with another body is refused with 409', async () => {
  const { management } = await makeBuyer();
  assert.equal((await buy(management, { amount: 25 }, 'mine')).status, 201);
  assertError(await buy(management, { amount: 26 }, 'mine'), 409);
  assert.equal((await history(management)).length, 1);
});

test('a first answer is kept for a year; the next purchase takes those away that are older, and only the organization’s own', async () => {
  const [buyer, other] = [await makeBuyer(), await makeBuyer()];
  let first;
  for (const { management } of [other, buyer]) {
    for (const key of ['old', 'young']) {
      first = await buy(management, { amount: 25 }, key);
      assert.equal(first.status, 201, first.text);
    }
  }
  for (const { number } of [buyer, other])
    asOwner(`update idempotency set created_at = now() - interval '1 year 1 day' where org = ${number} and key = 'old';
      update idempotency set created_at = now() - interval '1 year' + interval '1 day' where org = ${number} and key = 'young'`);
  assert.equal((await buy(buyer.management, { amount: 25 }, 'new')).status, 201);
  const kept = async ({ number }) =>
    (await bourse.sql('select key from idempotency where org = $1 order by key', [number])).map((row) => row.key);
  assert.deepEqual(await kept(buyer), ['new', 'young']);
  assert.deepEqual(await kept(other), ['old', 'young']);
  const repeated = await buy(buyer.management, { amount: 25 }, 'young');
  assert.equal(repeated.text, first.text);
  assert.equal((await history(buyer.management)).length, 3);
});

test('two organizations may use the same Idempotency-Key', async () => {
  const [a, b] = [await makeBuyer(), await makeBuyer()];
  const bought = [await buy(a.management, { amount: 25 }, 'same'), await buy(b.management, { amount: 30 }, 'same')];
  assert.deepEqual(
    bought.map((answer) => answer.status),
    [201, 201],
  );
  assert.notEqual(bought[0].json.data.id, bought[1].json.data.id);
});

test('one organization cannot read the purchase of another', async () => {
  const [a, b] = [await makeBuyer(), await makeBuyer()];
  const { id } = (await buy(a.management, { amount: 25 })).json.data;
  assert.equal((await bourse.api.get(`/purchases/${id}`, { key: a.management })).json.data.id, id);
  assertError(await bourse.api.get(`/purchases/${id}`, { key: b.management }), 404);
  assert.deepEqual(await history(b.management), []);
});

test('an inference key cannot buy', async () => {
  const { org, management } = await makeBuyer();
  const { key } = await bourse.makeKey(org);
  assertError(await buy(key, { amount: 25 }), 403);
  assert.deepEqual(await history(management), []);
});

test('a grant has the bound of a purchase, and one above it changes nothing for anybody', async () => {
  const [a, b] = [await makeBuyer(), await makeBuyer()];
  for (const amount of ['25000.01', '25000.000000001', '9223372036'])
    assert.match(await bourse.bourseFails('credit', 'grant', '--org', a.org, '--amount', amount), /400.*\$25,000/);
  await bourse.bourseFails('credit', 'grant', '--org', a.org, '--amount', '0');
  await bourse.bourse('credit', 'grant', '--org', a.org, '--amount', '25000');
  await bourse.bourse('credit', 'grant', '--org', b.org, '--amount', '1');
  assert.equal((await buy(a.management, { amount: 25 })).status, 201);
  assert.equal(nanoOf((await credits(a.management)).total_credits), 25_025_000_000_000n);
  assert.equal(nanoOf((await credits(b.management)).total_credits), 1_000_000_000n);
});

test('where purchases wait for an operator, nothing is credited before his word', async () => {
  bourse.setOption('payments_manual', 'confirmed');
  await bourse.killAndWait('ledger');
  const { org, management } = await makeBuyer();
  const answer = await buy(management, { amount: 25 });
  assert.equal(answer.status, 201, answer.text);
  assert.equal(answer.json.data.status, 'pending');
  assert.equal(nanoOf(answer.exact.data.credited), 0n);
  assert.equal(nanoOf((await credits(management)).total_credits), 0n);

  const { id } = answer.json.data;
  await bourse.bourse('purchase', 'confirm', '--org', org, '--id', id, '--reference', 'bank statement, line 7');
  await bourse.bourse('purchase', 'confirm', '--org', org, '--id', id); // a second word changes nothing
  const [entry] = await history(management);
  assert.equal(entry.status, 'paid');
  assert.equal(nanoOf(entry.credited), 25_000_000_000n);
  assert.equal(nanoOf((await credits(management)).total_credits), 25_000_000_000n);
  await bourse.bourseFails('purchase', 'cancel', '--org', org, '--id', id);
});

test('without Stripe, too, a refund waits for the operator, and a repeat tells what he said', async () => {
  const { org, management } = await makeBuyer();
  const { id } = (await buy(management, { amount: 25 })).json.data;
  await bourse.bourse('purchase', 'confirm', '--org', org, '--id', id);
  const refund = async () => {
    const headers = { 'idempotency-key': 'refunded-once' };
    return (await bourse.api.post(`/purchases/${id}/refund`, { amount: 10 }, { key: management, headers })).json.data;
  };
  const first = await refund();
  assert.equal(first.status, 'pending');
  assert.equal(nanoOf((await credits(management)).balance), 15_000_000_000n);
  await bourse.bourse('refund', 'confirm', '--org', org, '--id', first.id);
  const again = await refund();
  assert.deepEqual([again.id, again.status], [first.id, 'succeeded']);
  assert.equal(nanoOf((await credits(management)).balance), 15_000_000_000n);
});

test('a cancelled purchase is never credited', async () => {
  const { org, management } = await makeBuyer();
  const { id } = (await buy(management, { amount: 25 })).json.data;
  await bourse.bourse('purchase', 'cancel', '--org', org, '--id', id);
  await bourse.bourseFails('purchase', 'confirm', '--org', org, '--id', id);
  assert.equal((await history(management))[0].status, 'cancelled');
  assert.equal(nanoOf((await credits(management)).total_credits), 0n);
  bourse.setOption('payments_manual', 'immediate');
  await bourse.killAndWait('ledger');
});

test('without Stripe, too, credit that comes later pays what is owed', async () => {
  const { org, management } = await makeBuyer();
  const bought = await buy(management, { amount: 5 });
  const number = org.replace('org-', '');
  // As a refund of spent credit leaves it: a dollar is owed for the purchase.
  asOwner(`begin;
    insert into account (org, kind) values (${number}, 4) on conflict do nothing;
    update account set debits = debits + 1000000000 where org = ${number} and kind = 4;
    update account set credits = credits + 1000000000 where org = 0 and kind = 101 and cell = 1 and detail = 0;
    insert into transfer (org, debit_kind, credit_kind, cell, amount, code, reference) values (${number}, 4, 101, 1, 1000000000, 'dispute', 'debt');
    update purchase set debt = 1000000000 where id = '${bought.json.data.id}';
    update org set frozen = true where org = ${number};
    commit`);
  const left = () =>
    bourse.sqlValue('select sum(debits - credits)::bigint from account where org = $1 and kind = 4', [number]);
  await eventually(async () => assert.equal(await left(), 0n), { deadline_ms: 25_000 }); // the ledger looks every 10 s
  assert.equal(nanoOf((await credits(management)).balance), 4_000_000_000n);
  assert.equal(await bourse.sqlValue('select frozen from org where org = $1', [number]), false);
});
