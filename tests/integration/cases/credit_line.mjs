// SPDX-License-Identifier: Apache-2.0
// Accounts with a credit line: served without credit up to the line and not a nano-dollar beyond, owed afterwards, paid by invoice; and
// what becomes of credit that is left when a line begins.
import assert from 'node:assert/strict';
import test from 'node:test';

import { MODEL, assertError, nanoOf, user } from '../api.mjs';
import { eventually } from '../harness.mjs';
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

test('an account with a line buys no credit and is given none', async () => {
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
});

test('a line is taken away once nothing is owed, and the account buys credit again', async () => {
  const { org, key, management } = await makeDebtor('1');
  assert.equal((await bourse.api.chat(key, dear)).status, 200);
  assert.match(await bourse.bourseFails('org', 'unline', '--org', org), /409.*owes/);
  await bourse.quiet();
  await bourse.bourse('org', 'pay', '--org', org, '--amount', '0.0006006');
  assert.equal((await bourse.bourse('org', 'unline', '--org', org)).credit_line, null);
  assertError(await bourse.api.chat(key, dear), 402);
  await bourse.bourse('credit', 'buy', '--org', org, '--amount', '5');
  assert.equal((await bourse.api.chat(key, dear)).status, 200);
  assert.equal(await owed(management), 0n);
});

// ---- credit that is left when a line begins

const setLine = (org, line) => bourse.bourse('org', 'set', '--org', org, '--credit-line', line);

/** What moved from credit to what is owed, as "kind amount". */
async function paidFromCredit(orgNumber) {
  const sums = await bourse.sql(
    'select debit_kind, sum(amount) from transfer where org = $1 and debit_kind in (1, 2) and credit_kind = 4 group by 1 order by 1 desc',
    [orgNumber],
  );
  return sums.map(({ debit_kind, sum }) => `${debit_kind} ${sum}`);
}

/** The ledger pays what is owed from credit every ten seconds, and when it starts. */
async function paymentRound() {
  await bourse.quiet();
  await bourse.killAndWait('ledger');
}

const owes = (management, nano) => eventually(async () => assert.equal(await owed(management), nano));

async function serve(key, times) {
  for (let i = 0; i < times; i++) assert.equal((await bourse.api.chat(key, dear)).status, 200);
}

test('what a request left of promotional credit, to the nano-dollar, is no bar to a line and pays the first of it', async () => {
  const { org, orgNumber, key, management } = await bourse.makeCustomer({ credit: '0.001000005' });
  await serve(key, 1); // 399,405 are left, of which no refund of cents takes anything
  await setLine(org, '1');
  assert.equal(await owed(management), 0n);
  await serve(key, 1);
  await paymentRound();
  await owes(management, DEAR_COST - 399_405n);
  assert.deepEqual(await paidFromCredit(orgNumber), ['2 399405']);
  const { balance, total_credits: total } = (await bourse.api.get('/credits', { key: management })).exact.data;
  assert.equal(nanoOf(balance), -201_195n); // 1,000,005 less twice 600,600
  assert.equal(nanoOf(total), 1_000_005n);
  const month = new Date().toISOString().slice(0, 7);
  const invoice = (await bourse.api.get(`/invoices/${month}`, { key: management })).text;
  assert.match(invoice, /Total due in US dollars.*\$0\.0006006/s);
  assert.match(invoice, /Debt paid from credit.*\$0\.000399405/s);
  assert.match(invoice, /Owed in all on \d{4}-\d\d-\d\d: <strong>\$0\.000201195</);
  await bourse.bourse('org', 'pay', '--org', org, '--amount', '0.000201195');
  await bourse.bourse('org', 'unline', '--org', org);
  assertError(await bourse.api.chat(key, dear), 402);
});

test('what is left of a purchase after all refunds of whole cents is no bar to a line', async () => {
  const org = await bourse.makeOrg();
  const { key } = await bourse.makeKey(org);
  const { key: management } = await bourse.makeKey(org, { management: true });
  await bourse.bourse('credit', 'buy', '--org', org, '--amount', '5');
  const id = await bourse.sqlValue('select id from purchase where org = $1', [org.replace('org-', '')]);
  await serve(key, 1);
  await bourse.bourse('purchase', 'refund', '--org', org, '--id', id);
  await setLine(org, '1');
  await serve(key, 20); // 12,012,000; left were 5,000,000,000 - 600,600 - 499 cents = 9,399,400
  await paymentRound();
  await owes(management, 2_612_600n);
  assert.deepEqual(await paidFromCredit(org.replace('org-', '')), ['1 9399400']);
});

test('promotional credit pays before paid credit, and what a line has not used is credit again after it', async () => {
  const { org, orgNumber, key, management } = await bourse.makeCustomer({ credit: '0.001' });
  await bourse.bourse('credit', 'buy', '--org', org, '--amount', '5');
  await setLine(org, '1');
  await serve(key, 1);
  await paymentRound();
  await owes(management, 0n);
  await eventually(async () => assert.deepEqual(await paidFromCredit(orgNumber), [`2 ${DEAR_COST}`]));
  await serve(key, 1);
  await paymentRound();
  await owes(management, 0n);
  await eventually(async () => assert.deepEqual(await paidFromCredit(orgNumber), ['2 1000000', '1 201200']));
  await bourse.bourse('org', 'unline', '--org', org);
  await serve(key, 1);
  const { balance } = (await bourse.api.get('/credits', { key: management })).exact.data;
  assert.equal(nanoOf(balance), 5_001_000_000n - 3n * DEAR_COST);
  await bourse.quiet();
  assert.equal((await bourse.bourse('ledger', 'verify')).differences, 0);
});

test('credit that is left under a line ends when it would, and pays nothing any more', async () => {
  const org = await bourse.makeOrg();
  const { key } = await bourse.makeKey(org);
  const { key: management } = await bourse.makeKey(org, { management: true });
  const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
  await bourse.bourse('credit', 'grant', '--org', org, '--amount', '1', '--expires', tomorrow);
  await setLine(org, '1');
  const number = org.replace('org-', '');
  await bourse.asOwner(`update lot set expires_at = now() where org = ${number}`);
  const ended = "select coalesce(sum(amount), 0)::bigint from transfer where org = $1 and code = 'expiry'";
  await eventually(async () => assert.equal(await bourse.sqlValue(ended, [number]), 1_000_000_000n));
  await serve(key, 1);
  await paymentRound();
  await owes(management, DEAR_COST);
  assert.deepEqual(await paidFromCredit(number), []);
});

test('no line begins or ends while a request runs on what cells have leased', async () => {
  const { org, key } = await bourse.makeCustomer();
  const run = async () => {
    const answer = bourse.api.chat(key, { model: MODEL, messages: user('sim:first_ms=5000') });
    await eventually(async () => assert.equal((await bourse.metrics('ledger')).holds_open, 1));
    return { answer };
  };
  const first = await run();
  assert.match(await bourse.bourseFails('org', 'set', '--org', org, '--credit-line', '1'), /409.*running/);
  assert.equal((await bourse.bourse('org', 'show', '--org', org)).credit_line, null);
  assert.equal((await first.answer).status, 200);
  await setLine(org, '1');
  const second = await run();
  assert.match(await bourse.bourseFails('org', 'unline', '--org', org), /409.*running/);
  assert.equal((await second.answer).status, 200);
  assert.equal((await bourse.bourse('org', 'show', '--org', org)).credit_line, 1);
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
