// SPDX-License-Identifier: Apache-2.0
// Receipts and monthly invoices as pages: who, what, exact totals, and no text of a customer that becomes markup.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import path from 'node:path';
import test from 'node:test';

import { MODEL, assertError, nanoOf, user } from '../api.mjs';
import { BUILD } from '../harness.mjs';
import { bourse } from './one_instance.mjs';

const THIS_MONTH = () => new Date().toISOString().slice(0, 7);
const ADDRESS = 'Market Street 1\nSpringfield';

// 15 bytes of prompt are 4 tokens at 150 nano-dollars, 1,000 tokens of answer at 600: $0.0006006.
const dear = { model: MODEL, messages: user('sim:tokens=1000'), max_tokens: 1000 };

async function makeCustomer() {
  const org = await bourse.makeOrg({ name: 'Plain name' });
  const { key } = await bourse.makeKey(org);
  const { key: management } = await bourse.makeKey(org, { management: true });
  return { org, number: org.replace('org-', ''), key, management };
}

let purchases = 0;
async function buy(management, amount) {
  const headers = { 'idempotency-key': `invoice-${++purchases}` };
  const answer = await bourse.api.post('/purchases', { amount }, { key: management, headers });
  assert.equal(answer.status, 201, answer.text);
  return answer.json.data.id;
}

const patch = (management, body) => bourse.api.request('PATCH', '/organization', { key: management, body });

/** A page, checked for what every page must be. */
async function page(management, route) {
  const answer = await bourse.api.get(route, { key: management });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.headers['content-type'], 'text/html; charset=utf-8');
  assert.equal(answer.headers['cache-control'], 'no-store');
  assert.match(answer.text, /^<!DOCTYPE html>\n<html lang="en">/);
  assert.match(answer.text, /default-src 'none'/);
  assert.doesNotMatch(answer.text, /<(script|img|link|iframe)/i);
  return answer.text;
}

/** The rows of a page as texts of cells, and the totals under its tables. */
function rows(html) {
  const plain = (text) => text.replace(/<[^>]*>/g, '');
  return Array.from(html.matchAll(/<tr>(.*?)<\/tr>/gs), ([, row]) =>
    Array.from(row.matchAll(/<t[dh][^>]*>(.*?)<\/t[dh]>/gs), ([, cell]) => plain(cell)),
  );
}

function asOwner(sql) {
  const place = bourse.demo.BOURSE_PG.replace('bourse_reader', 'bourse_owner');
  execFileSync('psql', ['-Xq', '-v', 'ON_ERROR_STOP=1', '-d', place, '-c', sql]);
}

test('a receipt names buyer and seller, and what was paid to the cent', async () => {
  const { management } = await makeCustomer();
  const id = await buy(management, 25);
  const before = await page(management, `/purchases/${id}/receipt`);
  assert.ok(before.includes('<strong>Plain name</strong>'));
  const billing = { billing_name: 'Example Ltd', billing_address: ADDRESS, tax_id: 'XX 123' };
  assert.equal((await patch(management, billing)).status, 200);
  const shown = (await bourse.api.get('/organization', { key: management })).json.data;
  for (const [name, value] of Object.entries(billing)) assert.equal(shown[name], value);

  const html = await page(management, `/purchases/${id}/receipt`);
  assert.deepEqual(rows(html), [
    ['Item', 'Amount'],
    ['Credit for the use of models', '$25.00'],
    ['Purchase fee', '$1.38'],
    ['Total in US dollars', '$26.38'],
  ]);
  assert.ok(html.includes('<strong>Example Ltd</strong>\nMarket Street 1\nSpringfield\nTax id: XX 123</p>'));
  assert.ok(html.includes(`<title>Receipt ${id}</title>`));
  assert.ok(html.includes(`<dd>${new Date().toISOString().slice(0, 10)}</dd>`));
  assert.ok(html.includes('Payment method: manual'));
});

test('the seller is who the configuration names', async () => {
  bourse.setOption('seller_name', 'Seller & Sons');
  bourse.setOption('seller_address', 'Harbour 7, Portland');
  bourse.setOption('seller_tax_id', 'YY 987');
  await bourse.killAndWait('ledger');
  const { management } = await makeCustomer();
  const html = await page(management, `/purchases/${await buy(management, 5)}/receipt`);
  assert.ok(html.includes('<strong>Seller &amp; Sons</strong>\nHarbour 7, Portland\nTax id: YY 987</p>'));
  for (const name of ['seller_name', 'seller_address', 'seller_tax_id']) bourse.setOption(name, '');
  await bourse.killAndWait('ledger');
  assert.ok((await page(management, `/invoices/${THIS_MONTH()}`)).includes('<strong>bourse</strong>'));
});

test('no text of a customer becomes markup', async () => {
  const { org, management } = await makeCustomer();
  const evil = `"><script>alert('1')</script>&lt;`;
  await patch(management, { name: evil, billing_name: evil, billing_address: `${evil}\n<b>`, tax_id: `<i>'` });
  const reference = `<img src=x onerror="alert(1)">`;
  const headers = { 'idempotency-key': 'evil' };
  bourse.setOption('payments_manual', 'confirmed');
  await bourse.killAndWait('ledger');
  const { id } = (await bourse.api.post('/purchases', { amount: 5 }, { key: management, headers })).json.data;
  await bourse.bourse('purchase', 'confirm', '--org', org, '--id', id, '--reference', reference);
  await bourse.bourse('credit', 'grant', '--org', org, '--amount', '1', '--idempotency-key', '<u>"\'&</u>');
  const escaped = '&quot;&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;lt;';
  const receipt = await page(management, `/purchases/${id}/receipt`);
  assert.ok(receipt.includes(`<strong>${escaped}</strong>\n${escaped}\n&lt;b&gt;\nTax id: &lt;i&gt;&#39;</p>`));
  assert.ok(receipt.includes('&lt;img src=x onerror=&quot;alert(1)&quot;&gt;'));
  const invoice = await page(management, `/invoices/${THIS_MONTH()}`);
  assert.ok(invoice.includes(`<strong>${escaped}</strong>`));
  assert.ok(invoice.includes('&lt;u&gt;&quot;&#39;&amp;&lt;/u&gt;'));
  bourse.setOption('payments_manual', 'immediate');
  await bourse.killAndWait('ledger');
});

test('a month of an account with credit: what it bought, used and was given, each total exact', async () => {
  const { org, number, key, management } = await makeCustomer();
  const old = await buy(management, 100);
  asOwner(`update purchase set paid_at = '2026-02-28 23:59:59.999+00' where org = ${number} and id = '${old}'`);
  const ids = [await buy(management, 25), await buy(management, 14.64)];
  await bourse.bourse('credit', 'grant', '--org', org, '--amount', '1.5', '--idempotency-key', 'welcome');
  for (let i = 0; i < 3; i++) assert.equal((await bourse.api.chat(key, dear)).status, 200);
  const html = await page(management, `/invoices/${THIS_MONTH()}`);
  const today = new Date().toISOString().slice(0, 10);
  const model = await bourse.sqlValue('select name from model where slug = $1', [MODEL]);
  assert.deepEqual(rows(html), [
    ['Paid on', 'Purchase', 'Credit', 'Fee', 'Charged'],
    [today, ids[0], '$25.00', '$1.38', '$26.38'],
    [today, ids[1], '$14.64', '$0.81', '$15.45'],
    ['Total charged in US dollars', '$41.83'],
    ['Model', 'Requests', 'Tokens in', 'Tokens out', 'Amount'],
    [model, '3', '12', '3000', '$0.0018018'],
    ['Total used in US dollars', '$0.0018018'],
    ['Date', 'What', 'Reference', 'Amount'],
    [today, 'Promotional credit', 'welcome', '$1.50'],
  ]);
  assert.ok(html.includes('<h1>Monthly statement</h1>'));
  assert.ok(html.includes(`${org}/${THIS_MONTH()}`));
  assert.ok(html.includes('The month is not over'));

  const february = await page(management, '/invoices/2026-02');
  assert.deepEqual(rows(february), [
    ['Paid on', 'Purchase', 'Credit', 'Fee', 'Charged'],
    ['2026-02-28', old, '$100.00', '$5.50', '$105.50'],
    ['Total charged in US dollars', '$105.50'],
    ['Model', 'Requests', 'Tokens in', 'Tokens out', 'Amount'],
    ['Total used in US dollars', '$0.00'],
  ]);
  assert.ok(!february.includes('The month is not over'));
  assert.equal(rows(await page(management, '/invoices/2026-03')).length, 4); // headings and zeros
  asOwner(`update purchase set paid_at = now() where org = ${number} and id = '${old}'`);
});

test('a month of an account with a credit line is its usage, and payments lower what is owed', async () => {
  const { org, key, management } = await makeCustomer();
  await bourse.bourse('org', 'set', '--org', org, '--credit-line', '1', '--tax-id', 'ZZ 5');
  for (let i = 0; i < 2; i++) assert.equal((await bourse.api.chat(key, dear)).status, 200);
  await bourse.quiet();
  await bourse.bourse('org', 'pay', '--org', org, '--amount', '0.001', '--reference', 'bank, line 7');
  const html = await page(management, `/invoices/${THIS_MONTH()}`);
  const model = await bourse.sqlValue('select name from model where slug = $1', [MODEL]);
  assert.deepEqual(rows(html), [
    ['Model', 'Requests', 'Tokens in', 'Tokens out', 'Amount'],
    [model, '2', '8', '2000', '$0.0012012'],
    ['Total due in US dollars', '$0.0012012'],
    ['Date', 'What', 'Reference', 'Amount'],
    [new Date().toISOString().slice(0, 10), 'Payment received', 'bank, line 7', '$0.001'],
  ]);
  assert.match(html, /Owed in all on \d{4}-\d\d-\d\d: <strong>\$0\.0002012<\/strong>/);
  assert.ok(html.includes('<h1>Invoice</h1>'));
  assert.ok(html.includes('Tax id: ZZ 5'));
  const printed = execFileSync(path.join(BUILD, 'bourse'), ['invoice', 'show', THIS_MONTH(), '--org', org], {
    env: bourse.environment(),
    encoding: 'utf8',
  });
  assert.equal(printed, html); // the operator prints the same page
  assert.equal(nanoOf((await bourse.api.get('/organization', { key: management })).exact.data.owed), 201_200n);
});

test('a month in which a line began tells what credit paid and what is due, each by itself', async () => {
  const { org, number, key, management } = await makeCustomer();
  const bought = await buy(management, 5);
  assert.equal((await bourse.api.chat(key, dear)).status, 200);
  await bourse.quiet();
  await bourse.killAndWait('ledger'); // what was leased is back
  // The rest goes back, to the last nano-dollar, as if it had expired: no line is set while there is credit.
  asOwner(`begin;
    insert into account (org, kind, cell) values (0, 114, 1) on conflict do nothing;
    insert into transfer (org, debit_kind, credit_kind, cell, amount, code, reference)
        select org, 1, 114, 1, credits - debits, 'expiry', 'lot ' || (select max(id) from lot where org = ${number})
        from account where org = ${number} and kind = 1;
    update account set credits = credits + (select credits - debits from account where org = ${number} and kind = 1)
        where org = 0 and kind = 114 and cell = 1;
    update lot set spent = 600600, expired = amount - 600600 where org = ${number};
    update account set debits = credits where org = ${number} and kind = 1;
    commit`);
  await bourse.bourse('org', 'set', '--org', org, '--credit-line', '1');
  for (let i = 0; i < 2; i++) assert.equal((await bourse.api.chat(key, dear)).status, 200);
  await bourse.quiet();
  const html = await page(management, `/invoices/${THIS_MONTH()}`);
  const model = await bourse.sqlValue('select name from model where slug = $1', [MODEL]);
  const today = new Date().toISOString().slice(0, 10);
  const usage = ['Model', 'Requests', 'Tokens in', 'Tokens out', 'Amount'];
  assert.ok(html.includes('<h1>Invoice</h1>'));
  assert.deepEqual(rows(html), [
    ['Paid on', 'Purchase', 'Credit', 'Fee', 'Charged'],
    [today, bought, '$5.00', '$0.80', '$5.80'],
    ['Total charged in US dollars', '$5.80'],
    usage,
    [model, '2', '8', '2000', '$0.0012012'], // due: twice $0.0006006
    ['Total due in US dollars', '$0.0012012'],
    usage,
    [model, '1', '4', '1000', '$0.0006006'],
    ['Total used in US dollars', '$0.0006006'],
    ['Date', 'What', 'Reference', 'Amount'],
    [today, 'Credit expired', rows(html).at(-1)[2], '$4.9993994'],
  ]);
  assert.match(html, /Owed in all on \d{4}-\d\d-\d\d: <strong>\$0\.0012012<\/strong>/);
});

test('what a month was it stays: before a line a statement, with one an invoice, whatever the account has today', async () => {
  const { org, number, management } = await makeCustomer();
  const month = (back) => {
    const now = new Date();
    return new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() - back, 1)).toISOString().slice(0, 7);
  };
  const kind = async (back) => /<h1>(.*?)<\/h1>/.exec(await page(management, `/invoices/${month(back)}`))[1];
  await bourse.bourse('org', 'set', '--org', org, '--credit-line', '1');
  assert.deepEqual([await kind(0), await kind(1)], ['Invoice', 'Monthly statement']);
  await bourse.bourse('org', 'unline', '--org', org);
  assert.equal(await kind(0), 'Invoice');
  asOwner(`update credit_line_span set begun_at = '${month(2)}-01 00:00+00', ended_at = '${month(1)}-01 00:00+00' where org = ${number}`);
  assert.deepEqual([await kind(0), await kind(1), await kind(2), await kind(3)],
    ['Monthly statement', 'Monthly statement', 'Invoice', 'Monthly statement']);
});

test('there is no page of what is not there, not paid, to come, or another’s', async () => {
  const [a, b] = [await makeCustomer(), await makeCustomer()];
  const id = await buy(a.management, 5);
  const refused = async (management, route, status) =>
    assertError(await bourse.api.get(route, { key: management }), status);
  await refused(b.management, `/purchases/${id}/receipt`, 404);
  await refused(a.management, '/purchases/pur-none/receipt', 404);
  await refused(a.key, `/purchases/${id}/receipt`, 403);
  await refused(a.key, `/invoices/${THIS_MONTH()}`, 403);
  const next = new Date(Date.UTC(new Date().getUTCFullYear(), new Date().getUTCMonth() + 1)).toISOString().slice(0, 7);
  for (const month of [next, '2026-13', '2026-00', '2019-12', '2201-01', '2026', '202611', '2026-1', '-026-01', 'abcd-ef'])
    await refused(a.management, `/invoices/${month}`, 404);
  bourse.setOption('payments_manual', 'confirmed');
  await bourse.killAndWait('ledger');
  const pending = await buy(a.management, 5);
  await refused(a.management, `/purchases/${pending}/receipt`, 409);
  await bourse.bourse('purchase', 'cancel', '--org', a.org, '--id', pending);
  await refused(a.management, `/purchases/${pending}/receipt`, 409);
  bourse.setOption('payments_manual', 'immediate');
  await bourse.killAndWait('ledger');
  const tooLong = [
    { billing_name: 'n'.repeat(201) },
    { billing_address: 'a'.repeat(501) },
    { tax_id: 't'.repeat(61) },
    { billing_name: 'null\u0000byte' },
    { billing_name: 'bell\u0007' },
    { billing_name: null },
    { billing_name: 7 },
  ];
  for (const body of tooLong) assertError(await patch(a.management, body), 400);
});
