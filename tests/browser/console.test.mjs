// SPDX-License-Identifier: Apache-2.0
// The page as a visitor meets it, in Debian's Chromium against a whole instance: it shows the market, copies a call, makes one with the
// visitor's key and shows what it cost to the last digit; it can be used without a mouse and by a screen reader (axe).
import { test } from 'node:test';
import assert from 'node:assert/strict';

import { eventually, startInstance } from '../integration/harness.mjs';
import { PHONE, SCREENSHOTS, assertAccessible, assertFits, openAddress } from './browser.mjs';

const instance = startInstance();

async function openPage(settings) {
  const page = await openAddress(instance, '/', settings);
  await page.getByRole('columnheader', { name: 'Model' }).waitFor();
  return page;
}

test('the page shows every model of the catalog with its price and says that answers are simulated', async () => {
  const page = await openPage();
  const { data } = await (await fetch(`${instance.demo.BOURSE_BASE_URL}/models`)).json();
  assert.ok(data.length >= 400, `${data.length} models`);
  await page.getByText(`${data.length} of ${data.length} models`).waitFor();
  await page.getByText('Answers are simulated.').waitFor();
  await page.getByText('ready', { exact: true }).waitFor();
  const row = page.getByRole('row', { name: /^openai\/gpt-4o-mini / });
  // $0.15 and $0.60 per million tokens, the provider's list price.
  assert.match(await row.innerText(), /openai\/gpt-4o-mini\s+128,000\s+0\.15\s+0\.60/);
  await page.screenshot({ path: `${SCREENSHOTS}console.png` });
  assert.deepEqual(page.problems, []);
  await page.close();
});

test('searching narrows the list and a search without a match says so', async () => {
  const page = await openPage();
  await page.getByLabel('Search').fill('gpt-4o mini');
  await page.getByRole('row', { name: /^openai\/gpt-4o-mini / }).waitFor();
  assert.equal(await page.getByRole('row', { name: /claude/ }).count(), 0);
  await page.getByLabel('Search').fill('no such model anywhere');
  await page.getByText(/^0 of \d+ models$/).waitFor();
  await page.close();
});

test('sorting by price puts the dearest input first at the second click', async () => {
  const page = await openPage();
  const header = page.getByRole('columnheader', { name: 'Input $/M' });
  await header.getByRole('button').click();
  assert.equal(await header.getAttribute('aria-sort'), 'ascending');
  await header.getByRole('button').click();
  assert.equal(await header.getAttribute('aria-sort'), 'descending');
  const first = Number(await page.locator('tbody tr').first().locator('td').nth(1).innerText());
  const last = Number(await page.locator('tbody tr').last().locator('td').nth(1).innerText());
  assert.ok(first > last, `${first} is not dearer than ${last}`);
  await page.close();
});

test('a call with a key of one’s own shows the answer and its cost as the ledger booked it', async () => {
  const { key } = await instance.makeCustomer({ credit: '1' });
  const page = await openPage();
  await page.getByLabel('API key').fill(key);
  await page.getByLabel('Prompt').fill('sim:tokens=7 hello');
  await page.getByRole('button', { name: 'Send' }).click();
  await page.getByText('Spent by this key').waitFor();
  const shown = await page.locator('.bill').innerText();
  const id = /gen-[0-9a-z]+/.exec(shown)?.[0];
  const row = await eventually(async () => {
    const found = await instance.generationRow(id);
    assert.ok(found);
    return found;
  });
  // "sim:tokens=7 hello" is 18 bytes: 5 prompt tokens; 5 · 0.15 + 7 · 0.60 dollars per million = 4,950 nano-dollars.
  assert.equal(row.charge, 4950n);
  assert.match(shown, /Cost\s+\$0\.00000495\b/);
  assert.match(shown, /Spent by this key\s+\$0\.00000495\b/);
  await page.close();
});

test('a call with a wrong key says what is wrong and shows no bill', async () => {
  const page = await openPage();
  await page.getByLabel('API key').fill('sk-bourse-v1-wrong');
  await page.getByRole('button', { name: 'Send' }).click();
  await page.getByText('This API key is not valid.').waitFor();
  assert.equal(await page.locator('.bill').count(), 0);
  await page.close();
});

test('the key a visitor types is stored nowhere', async () => {
  const { key } = await instance.makeCustomer();
  const page = await openPage();
  await page.getByLabel('API key').fill(key);
  await page.getByRole('button', { name: 'Send' }).click();
  await page.getByText('Spent by this key').waitFor();
  const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]));
  assert.ok(!stored.includes(key));
  await page.close();
});

test('the example is for the model that was chosen and for the client that was chosen', async () => {
  const page = await openPage();
  await page.getByRole('button', { name: 'anthropic/claude-sonnet-4.5', exact: true }).click();
  await page.getByRole('button', { name: 'OpenRouter' }).click();
  const example = await page.getByLabel('Example').innerText();
  assert.match(example, /@openrouter\/sdk/);
  assert.match(example, /anthropic\/claude-sonnet-4\.5/);
  assert.ok(example.includes(`127.0.0.1:${instance.port}/api/v1`));
  await page.close();
});

for (const colorScheme of ['light', 'dark']) {
  test(`axe finds nothing to object to in the ${colorScheme} page`, async () => {
    const page = await openPage({ colorScheme });
    await assertAccessible(page);
    await page.close();
  });
}

test('the page fits a phone without scrolling sideways', async () => {
  const page = await openPage(PHONE);
  await assertFits(page);
  await page.screenshot({ path: `${SCREENSHOTS}console-phone.png` });
  await page.close();
});
