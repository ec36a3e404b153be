// SPDX-License-Identifier: Apache-2.0
// Accounts with a credit line: served without credit up to the line and not a nano-dollar beyond, owed afterwards, paid by invoice.
import assert from 'node:assert/strict';
import test from 'node:test';

import { MODEL, assertError, nanoOf, user } from '../api.mjs';
import { bourse } from './one_instance.mjs';

// 15 bytes of prompt are 4 tokens at 150; 1,000 tokens of answer at 600. The hold is a little more.
const dear = { model: MODEL, messages: user('sim:tokens=1000'), max_tokens: 1000 };
const DEAR_COST = 600_600n;

async function makeDebtor(line) {
  const org = await bourse.makeOrg();
  if (line !== undefined) await bourse.bourse('org', 'set', '--org', org, '--credit-line', line);
  const { key } = await bourse.makeKey(org);
  const { key: management } = await bourse.makeKey(org, { management: true });
  return { org, number: org.replace('org-', ''), key, management };
}

async function organization(management) {
  return (await bourse.api.get('/organization', { key: management })).exact.data;
}

async function owed(management) {
  return nanoOf((await organization(management)).owed);
}

test('fifty at once on a line with room for four: four are served and owed, and the line stands', async () => {
  const { key, management } = await makeDebtor('0.0025');
  const answers = await Promise.all(Array.from({ length: 50 }, () => bourse.api.chat(key, dear)));
  assert.equal(answers.filter(({ status }) => status === 200).length, 4);
  assert.equal(answers.filter(({ status }) => status === 402).length, 46);
  const after = await organization(management);
  assert.equal(nanoOf(after.owed), 4n * DEAR_COST);
  assert.equal(nanoOf(after.credit_line), 2_500_000n);
  assert.equal(nanoOf(after.credit_line_left), 2_500_000n - 4n * DEAR_COST);
  const { metadata } = assertError(await bourse.api.chat(key, dear), 402);
  assert.equal(metadata.limit_source, 'credits');
  const credits = (await bourse.api.get('/credits', { key: management })).exact.data;
  assert.equal(nanoOf(credits.total_usage), 4n * DEAR_COST);
  assert.equal(nanoOf(credits.total_credits), 0n);
  assert.equal(nanoOf(credits.balance), -4n * DEAR_COST);
});

test('a raised line serves at once, a lowered one nothing more', async () => {
  const { org, key, management } = await makeDebtor('0.000000001');
  assertError(await bourse.api.chat(key, dear), 402);
  await bourse.bourse('org', 'set', '--org', org, '--credit-line', '1');
  assert.equal((await bourse.api.chat(key, dear)).status, 200);
  await bourse.bourse('org', 'set', '--org', org, '--credit-line', '0');
  assertError(await bourse.api.chat(key, dear), 402);
  assert.equal(await owed(management), DEAR_COST);
});

test('what is paid is owed no more, and nobody pays more than he owes', async () => {
  const { org, number, key, management } = await makeDebtor('1');
  assert.equal((await bourse.api.chat(key, dear)).status, 200);
  assert.equal(await owed(management), DEAR_COST);
  const pay = (amount, name) => ['org', 'pay', '--org', org, '--amount', amount, '--idempotency-key', name];
  assert.match(await bourse.bourseFails(...pay('0.000600601', 'a')), /owes less/);
  assert.match(await bourse.bourseFails(...pay('0', 'b')), /400/);
  await bourse.bourseFails(...pay('-1', 'c'));
  await bourse.bourseFails(...pay('0.0000000001', 'd'));
  await bourse.bourseFails(...pay('9223372036.854775807', 'e'));
  assert.equal(await owed(management), DEAR_COST);
  const first = await bourse.bourse(...pay('0.0006', 'f'));
  assert.deepEqual(await bourse.bourse(...pay('0.0006', 'f')), first); // repeated: paid once
  assert.match(await bourse.bourseFails(...pay('0.0005', 'f')), /409/);
  assert.equal(await owed(management), 600n);
  await bourse.bourse(...pay('0.0000006', 'g'));
  assert.equal(await owed(management), 0n);
  assert.match(await bourse.bourseFails(...pay('0.000000001', 'h')), /owes less/);
  const transfers = await bourse.sql(
    "select debit_kind, credit_kind, amount from transfer where org = $1 and code = 'invoice_payment' order by id",
    [number],
  );
  assert.deepEqual(transfers, [
    { debit_kind: 101, credit_kind: 4, amount: 600_000n },
    { debit_kind: 101, credit_kind: 4, amount: 600n },
  ]);
});

test('an account has credit or a line, never both', async () => {
  const { org, management } = await makeDebtor('5');
  const headers = { 'idempotency-key': 'line-1' };
  assertError(await bourse.api.post('/purchases', { amount: 25 }, { key: management, headers }), 409, /invoice/);
  const rule = { enabled: true, threshold: 10, target: 50, daily_max: 100 };
  assertError(await bourse.api.request('PUT', '/auto-topup', { key: management, body: rule }), 409, /invoice/);
  const off = await bourse.api.request('PUT', '/auto-topup', { key: management, body: { ...rule, enabled: false } });
  assert.equal(off.status, 200, off.text);
  assert.match(await bourse.bourseFails('credit', 'grant', '--org', org, '--amount', '1'), /409.*invoice/);
  const { code } = await bourse.bourse('code', 'create', '--amount', '1', '--uses', '1');
  assertError(await bourse.api.post('/credits/redeem', { code }, { key: management, headers }), 409, /invoice/);

  const rich = await bourse.makeOrg({ credit: '1' });
  assert.match(await bourse.bourseFails('org', 'set', '--org', rich, '--credit-line', '1'), /409.*credit/);
  assert.equal((await bourse.bourse('org', 'show', '--org', rich)).credit_line, null);
});

test('a line is taken away once nothing is owed, and the account buys credit again', async () => {
  const { org, key, management } = await makeDebtor('1');
  assert.equal((await bourse.api.chat(key, dear)).status, 200);
  assert.match(await bourse.bourseFails('org', 'unline', '--org', org), /409.*owes/);
  await bourse.quiet();
  await bourse.bourse('org', 'pay', '--org', org, '--amount', '0.0006006');
  await bourse.killAndWait('ledger'); // what was leased is back
  assert.equal((await bourse.bourse('org', 'unline', '--org', org)).credit_line, null);
  assertError(await bourse.api.chat(key, dear), 402);
  await bourse.bourse('credit', 'buy', '--org', org, '--amount', '5');
  assert.equal((await bourse.api.chat(key, dear)).status, 200);
  assert.equal(await owed(management), 0n);
});

test('no customer sets a line, and no line is what it cannot be', async () => {
  const { org, key, management } = await makeDebtor();
  const patch = (body, by = management) => bourse.api.request('PATCH', '/organization', { key: by, body });
  assertError(await patch({ credit_line: 1000 }), 403, /operator/);
  assertError(await patch({ credit_line: null }), 403);
  assertError(await patch({ name: 'x' }, key), 403);
  assertError(await patch({ frozen: false }), 400, /no such field/);
  assertError(await patch({ plan: 'enterprise' }), 400);
  assertError(await patch({ name: '' }), 400);
  assertError(await patch({ name: 'n'.repeat(201) }), 400);
  assertError(await patch('[]'), 400);
  assertError(await patch(''), 400);
  assert.equal((await patch({ name: 'Renamed' })).json.data.name, 'Renamed');
  for (const line of ['-1', '9223373', '0.0000000001', 'all'])
    await bourse.bourseFails('org', 'set', '--org', org, '--credit-line', line);
  await bourse.bourseFails('org', 'set', '--org', 'org-1', '--credit-line', '1');
  const shown = await organization(management);
  assert.equal(shown.credit_line, null);
  assert.equal(shown.name, 'Renamed');
});
