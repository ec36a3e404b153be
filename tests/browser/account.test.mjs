// SPDX-License-Identifier: Apache-2.0
// The account page as a customer meets it, in Debian's Chromium against a whole instance that sells through the simulated Stripe: what
// was bought and what is left, a refund that happens once, and what is said where something cannot be.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { MODEL, nanoOf, user } from '../integration/api.mjs';
import { DOLLAR, bourse, credits, makeBuyer, makeCredited, post, read, refund, stripe } from '../integration/stripe_instance.mjs';
import { PHONE, SCREENSHOTS, assertAccessible, assertFits, openAddress } from './browser.mjs';

async function openAccount(management, settings) {
  const page = await openAddress(bourse, '/#account', settings);
  await page.getByLabel('Management key').fill(management);
  await page.getByRole('button', { name: 'Show account' }).click();
  return page;
}

const figure = (page, name) => page.locator('dl div', { hasText: name }).locator('dd');
const rowOf = (page, id) => page.getByRole('row').filter({ hasText: id });
const left = async (page, amount) => figure(page, 'Left').getByText(amount, { exact: true }).waitFor();

test('a purchase by the manual method is seen, and can be given back', async () => {
  const buyer = await makeBuyer();
  const { id } = (await post(buyer, '/purchases', { amount: 10_000 })).json.data; // paid at once: payments_manual = immediate
  const page = await openAccount(buyer.management);
  await left(page, '$10,000.00');
  assert.equal(await figure(page, 'Credited in all').innerText(), '$10,000.00');
  assert.equal(await figure(page, 'Used').innerText(), '$0.00');
  // 5.5 % of $10,000 on top (docs/MONEY.md).
  assert.match(await rowOf(page, id).innerText(), /\$10,000\.00\s+\$550\.00\s+\$10,550\.00\s+manual\s+paid\s+/);
  await page.getByRole('button', { name: `Refund ${id}` }).click();
  const dialog = page.getByRole('dialog');
  await assertAccessible(page);
  await dialog.getByRole('button', { name: 'Refund $10,000.00' }).click();
  await dialog.getByText('$10,000.00 was given back.').waitFor();
  await dialog.getByRole('button', { name: 'Close' }).click();
  await left(page, '$0.00');
  assert.deepEqual(page.problems, []);
  await page.close();
});

test('what was used is shown to the nano-dollar', async () => {
  const { buyer } = await makeCredited(5);
  // "sim:tokens=7 hello" is 18 bytes: 5 prompt tokens; 5 · 0.15 + 7 · 0.60 dollars per million = 4,950 nano-dollars.
  assert.equal((await bourse.api.chat(buyer.key, { model: MODEL, messages: user('sim:tokens=7 hello') })).status, 200);
  const page = await openAccount(buyer.management);
  await left(page, '$4.99999505');
  assert.equal(await figure(page, 'Used').innerText(), '$0.00000495');
  await page.close();
});

test('a refund says what will happen, happens once however fast it is clicked, and changes the balance', async () => {
  const { buyer, id, session } = await makeCredited(100);
  const page = await openAccount(buyer.management);
  await left(page, '$100.00');
  await page.getByRole('button', { name: `Refund ${id}` }).click();
  const dialog = page.getByRole('dialog');
  const until = (await read(buyer, id)).refundable_until;
  const said = await dialog.innerText();
  assert.match(said, /\$100\.00 of credit goes back/);
  assert.match(said, /fee of \$5\.50 is kept/);
  assert.match(said, /It is final/);
  assert.ok(said.includes(`until ${until.slice(0, 10)} ${until.slice(11, 16)} UTC`), said);
  await page.screenshot({ path: `${SCREENSHOTS}account-refund.png` });
  const sent = [];
  page.on('request', (request) => request.url().endsWith('/refund') && sent.push(request));
  await dialog.getByRole('button', { name: 'Refund $100.00' }).evaluate((button) => { // faster than any finger
    button.click();
    button.click();
  });
  await dialog.getByText('$100.00 was given back.').waitFor();
  await page.keyboard.press('Enter'); // closes: the button of the refund is gone
  await page.locator('#purchases:focus').waitFor();
  await left(page, '$0.00');
  assert.match(await rowOf(page, id).innerText(), /\$100\.00 given back/);
  assert.equal(await page.getByRole('button', { name: `Refund ${id}` }).count(), 0);
  assert.equal(sent.length, 1);
  const refunds = [...stripe.refunds.values()].filter((one) => one.payment_intent === session.payment_intent);
  assert.deepEqual(refunds.map(({ amount }) => amount), [10_000]);
  assert.equal(await credits(buyer), 0n);
  assert.deepEqual(page.problems, []);
  await page.close();
});

test('a manual purchase is given back by the operator’s hand: that is said, and so is what he says', async (t) => {
  t.after(async () => {
    bourse.setOption('payments_manual', 'immediate');
    await bourse.killAndWait('ledger');
  });
  bourse.setOption('payments_manual', 'confirmed');
  await bourse.killAndWait('ledger');
  const buyer = await makeBuyer();
  const { id } = (await post(buyer, '/purchases', { amount: 25 })).json.data;
  await bourse.bourse('purchase', 'confirm', '--org', buyer.org, '--id', id);
  const page = await openAccount(buyer.management);
  await left(page, '$25.00');
  await page.getByRole('button', { name: `Refund ${id}` }).click();
  const dialog = page.getByRole('dialog');
  const said = await dialog.innerText();
  assert.match(said, /\$25\.00 of credit goes back the way it was paid\./);
  assert.match(said, /fee of \$1\.38 is kept/); // 5.5 % of $25.00, half up
  assert.match(said, /You cannot undo it: the credit is gone at once/);
  assert.match(said, /should he not pay it, it becomes your credit again/);
  await page.screenshot({ path: `${SCREENSHOTS}account-refund-manual.png` });
  await dialog.getByRole('button', { name: 'Refund $25.00' }).click();
  await dialog.getByText('$25.00 waits for the operator, who pays it back by hand.').waitFor();
  await dialog.getByRole('button', { name: 'Close' }).click();
  await left(page, '$0.00');
  await rowOf(page, id).getByText('$25.00 waits for the operator').waitFor();
  await rowOf(page, id).getByText('A refund of this purchase is under way.').waitFor();

  const word = async (verb, ...more) => {
    const { id: back } = (await read(buyer, id)).last_refund;
    await bourse.bourse('refund', verb, '--org', buyer.org, '--id', back, ...more);
    await page.getByRole('button', { name: 'Read again' }).click();
  };
  const reason = `Tell us your account number${' and its bank'.repeat(13)}.`; // nearly as long as one may be
  await word('void', '--reason', reason);
  await left(page, '$25.00');
  await rowOf(page, id).getByText(`$25.00 could not be given back: ${reason}`).waitFor();
  await assertAccessible(page);
  await page.getByRole('button', { name: `Refund ${id}` }).click();
  await dialog.getByRole('button', { name: 'Refund $25.00' }).click();
  await dialog.getByText('waits for the operator').waitFor();
  await dialog.getByRole('button', { name: 'Close' }).click();
  await word('confirm');
  await rowOf(page, id).getByText('$25.00 given back').waitFor();
  assert.doesNotMatch(await rowOf(page, id).innerText(), /waits for|could not/);
  await left(page, '$0.00');
  assert.deepEqual(page.problems, []);
  await page.close();
});

test('a refund whose answer was lost is tried again with the same key and given back once', async () => {
  const { buyer, id, session } = await makeCredited(25);
  const page = await openAccount(buyer.management);
  const keys = [];
  await page.route('**/refund', async (route) => {
    keys.push(route.request().headers()['idempotency-key']);
    if (keys.length > 1) return route.continue();
    await route.fetch(); // done, and nobody hears of it
    return route.abort();
  });
  await page.getByRole('button', { name: `Refund ${id}` }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Refund $25.00' }).click();
  await dialog.getByText('it is not known whether it was done').waitFor();
  await dialog.getByRole('button', { name: 'Try again' }).click();
  await dialog.getByText('$25.00 was given back.').waitFor();
  assert.equal(keys.length, 2);
  assert.match(keys[0], /^console-[0-9a-f]{32}$/);
  assert.equal(keys[1], keys[0]);
  const refunds = [...stripe.refunds.values()].filter((one) => one.payment_intent === session.payment_intent);
  assert.deepEqual(refunds.map(({ amount }) => amount), [2500]);
  await page.close();
});

test('a refund that is not possible any more tells the server’s sentence, and the page what can be done now', async () => {
  const { buyer, id } = await makeCredited(100);
  const page = await openAccount(buyer.management);
  await page.getByRole('button', { name: `Refund ${id}` }).click();
  assert.equal((await refund(buyer, id, { amount: 40 })).status, 201); // somebody else was faster
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Refund $100.00' }).click();
  await dialog.getByText('So much of this purchase is not unused.').waitFor();
  await dialog.getByText('Nothing was given back.').waitFor();
  assert.equal(await dialog.getByRole('button', { name: 'Refund' }).count(), 0);
  await dialog.getByRole('button', { name: 'Close' }).click();
  await left(page, '$60.00');
  await page.getByRole('button', { name: `Refund ${id}` }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Refund $60.00' }).waitFor();
  assert.equal(await credits(buyer), 60n * DOLLAR);
  await page.close();
});

test('whoever keeps the credit keeps it, and by the keyboard alone', async () => {
  const { buyer, id } = await makeCredited(25);
  const page = await openAccount(buyer.management);
  await page.getByRole('button', { name: `Refund ${id}` }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Enter'); // what has the focus gives nothing away
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  await page.keyboard.press('Enter'); // the focus is back at the button
  await page.getByRole('dialog').waitFor();
  await page.keyboard.press('Escape');
  await page.getByRole('dialog').waitFor({ state: 'detached' });
  assert.equal(await credits(buyer), 25n * DOLLAR);
  await page.close();
});

test('who asks again before the browser has said that the question is closed is asked again', async () => {
  const { buyer, id } = await makeCredited(25);
  const page = await openAccount(buyer.management);
  const ask = await page.getByRole('button', { name: `Refund ${id}` }).elementHandle();
  await ask.click();
  const dialog = page.getByRole('dialog');
  const keep = await dialog.getByRole('button', { name: 'Keep the credit' }).elementHandle();
  await page.evaluate(([first, second]) => (first.click(), second.click()), [keep, ask]); // its event comes after both
  await dialog.getByRole('button', { name: 'Refund $25.00' }).waitFor();
  await page.waitForTimeout(200);
  await dialog.getByRole('button', { name: 'Keep the credit' }).click();
  await dialog.waitFor({ state: 'detached' });
  await page.close();
});

test('the receipt is saved as a page that names the purchase', async () => {
  const { buyer, id } = await makeCredited(25);
  const page = await openAccount(buyer.management);
  const saving = page.waitForEvent('download');
  await page.getByRole('button', { name: `Save receipt ${id}` }).click();
  const file = await saving;
  assert.equal(file.suggestedFilename(), `receipt-${id}.html`);
  const text = readFileSync(await file.path(), 'utf8');
  assert.ok(text.includes(id));
  assert.match(text, /\$26\.38/); // $25.00 and a fee of $1.38
  await page.close();
});

test('keys are listed with limit, use, rest, last use, end and state', async () => {
  const { buyer } = await makeCredited(5);
  const make = async (body) => (await post(buyer, '/keys', body)).json;
  const { key, data: { hash } } = await make({ name: 'limited', limit: 2.5, limit_reset: 'daily', expires_at: '2099-01-31T00:00:00Z' });
  const { data: { hash: off } } = await make({ name: 'switched off' });
  await bourse.api.request('PATCH', `/keys/${off}`, { key: buyer.management, body: { disabled: true } });
  assert.equal((await bourse.api.chat(key, { model: MODEL, messages: user('sim:tokens=7 hello') })).status, 200);
  const { data } = (await bourse.api.get(`/keys/${hash}`, { key: buyer.management })).exact;
  assert.equal(nanoOf(data.usage_daily), 4950n);
  const page = await openAccount(buyer.management);
  const limited = await rowOf(page, 'limited').innerText();
  // 4,950 nano-dollars as above; 2.5 − 0.00000495 = 2.49999505.
  assert.match(limited, /active\s+\$2\.50\s+a day\s+\$0\.00000495\s+\$2\.49999505\s+until \d{4}-\d\d-\d\d 00:00 UTC/);
  assert.match(limited, /UTC\s+from 127\.0\.0\.0\/24\s+2099-01-31 00:00 UTC/);
  assert.match(await rowOf(page, 'switched off').innerText(), /disabled\s+none\s+\$0\.00\s+no limit\s+never\s+never/);
  await page.screenshot({ path: `${SCREENSHOTS}account.png`, fullPage: true });
  await page.close();
});

test('of many keys the newest hundred are shown, and the others when they are asked for', async () => {
  const buyer = await makeBuyer(); // with two keys
  for (let i = 0; i < 100; i++) assert.equal((await post(buyer, '/keys', { name: `one of many ${i}` })).status, 201);
  const page = await openAccount(buyer.management);
  const rows = page.getByRole('region', { name: 'API keys' }).locator('tbody tr');
  await rows.nth(99).waitFor();
  assert.equal(await rows.count(), 100);
  await page.getByRole('button', { name: 'More keys' }).click();
  await rows.nth(101).waitFor();
  assert.equal(await rows.count(), 102);
  assert.equal(await page.getByRole('button', { name: 'More keys' }).count(), 0);
  await page.close();
});

test('a wrong key and an inference key are told as such, show nothing, and what was shown goes with its key', async () => {
  const buyer = await makeBuyer();
  const page = await openAccount('sk-bourse-v1-wrong');
  await page.getByText('This API key is not valid.').waitFor();
  assert.equal(await page.locator('.bill').count(), 0);
  await page.getByLabel('Management key').fill(buyer.key);
  assert.equal(await page.getByText('This API key is not valid.').count(), 0);
  await page.getByRole('button', { name: 'Show account' }).click();
  await page.getByText('This route needs a management key; an inference key was sent.').waitFor();
  await page.getByLabel('Management key').fill(buyer.management);
  await page.getByRole('button', { name: 'Show account' }).click();
  await left(page, '$0.00');
  await page.getByText('Nothing was bought yet.').waitFor();
  await page.getByLabel('Management key').fill('another');
  assert.equal(await page.locator('.bill').count(), 0);
  await page.close();
});

test('the management key is stored nowhere, and the pages lead to each other', async () => {
  const buyer = await makeBuyer();
  const page = await openAccount(buyer.management);
  await left(page, '$0.00');
  const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]));
  assert.ok(!stored.includes(buyer.management));
  await page.getByRole('link', { name: 'Market' }).click();
  await page.getByRole('columnheader', { name: 'Model' }).waitFor();
  assert.equal(await page.getByLabel('Management key').count(), 0);
  await page.goBack();
  await page.getByLabel('Management key').waitFor();
  assert.equal(await page.getByRole('link', { name: 'Account' }).getAttribute('aria-current'), 'page');
  await page.close();
});

test('who comes back from paying finds the account', async () => {
  const page = await openAddress(bourse, '/?purchase=pur-any');
  await page.getByText('Welcome back from paying.').waitFor();
  await page.close();
});

for (const colorScheme of ['light', 'dark']) {
  test(`axe finds nothing to object to in the ${colorScheme} account, nor in the question`, async () => {
    const { buyer, id } = await makeCredited(25);
    const page = await openAccount(buyer.management, { colorScheme });
    await left(page, '$25.00');
    await assertAccessible(page);
    await page.getByRole('button', { name: `Refund ${id}` }).click();
    await assertAccessible(page);
    await page.close();
  });
}

test('account and question fit a phone without scrolling sideways', async () => {
  const { buyer, id } = await makeCredited(25);
  const page = await openAccount(buyer.management, PHONE);
  await left(page, '$25.00');
  await assertFits(page);
  await page.getByRole('button', { name: `Refund ${id}` }).click();
  await assertFits(page);
  const { x, width } = await page.getByRole('dialog').boundingBox();
  assert.ok(x >= 0 && x + width <= 390, `${x} ${width}`);
  await page.screenshot({ path: `${SCREENSHOTS}account-phone.png` });
  await page.close();
});
