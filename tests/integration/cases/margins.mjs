// SPDX-License-Identifier: Apache-2.0
// Margins: what customers see, are told and pay is the list price and the margin; what the provider is owed is the list price; and
// all of it can be computed again from rows that never change. Every figure is worked out by hand.
import assert from 'node:assert/strict';
import test from 'node:test';

import { nanoOf, user } from '../api.mjs';
import { loadModels } from '../catalog.mjs';
import { eventually } from '../harness.mjs';
import { prompt } from '../simulator.mjs';
import { bourse } from './one_instance.mjs';

const LIST = { prompt: '0.000001', completion: '0.000002' }; // $1.00 and $2.00 a million
const MODEL = 'test/marked';
const PROMPT = prompt(4936, 'sim:tokens=567 '); // 1,234 tokens in and 567 out
const AT_LIST = 1234n * 1000n + 567n * 2000n; // 2,368,000
const AT_10_PER_CENT = 1234n * 1100n + 567n * 2200n; // 2,604,800

let key;
bourse.prepare(async () => {
  ({ key } = await bourse.makeCustomer({ credit: '100' }));
  const tiers = [{ above_prompt_tokens: 1000, prompt: '0.000003' }];
  await loadModels(bourse, { marked: LIST, tiered: { ...LIST, tiers } });
  await eventually(async () => assert.equal((await ask()).status, 200));
});

const ask = (content = 'x', model = MODEL) => bourse.api.chat(key, { model, messages: user(content) });

async function endpointOf(model = MODEL) {
  const { data } = await bourse.bourse('endpoint', 'list', '--model', model);
  assert.equal(data.length, 1);
  return data[0];
}

async function setMargin(basisPoints, model = MODEL) {
  const { id } = await endpointOf(model);
  return bourse.bourse('endpoint', 'margin', `${id}`, '--basis-points', `${basisPoints}`);
}

/** Until the edge charges so: it hears of a new price a moment after the operator. Answers the generation's row. */
async function servedFor(charge, content = PROMPT, model = MODEL) {
  let id;
  await eventually(async () => {
    const answer = await ask(content, model);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(nanoOf(answer.exact.usage.cost), charge);
    id = answer.json.id;
  });
  await bourse.quiet();
  return bourse.generationRow(id);
}

async function shownPrice() {
  const { data } = (await bourse.api.get(`/models/${MODEL}/endpoints`)).json;
  return data.endpoints[0].pricing;
}

test('without a margin the customer pays the list price, and so do we', async () => {
  const row = await servedFor(AT_LIST);
  assert.equal(row.charge, AT_LIST);
  assert.equal(row.provider_cost, AT_LIST);
  const { margin_basis_points: margin, pricing, list_pricing: list } = await endpointOf();
  assert.equal(margin, 0);
  assert.deepEqual(pricing, list);
});

test('with 10 % a million tokens of $1.00 and $2.00 are $1.10 and $2.20, and the provider is owed the list price', async () => {
  const set = await setMargin(1000);
  assert.equal(set.margin_basis_points, 1000);
  assert.deepEqual(set.pricing, { prompt: '0.0000011', completion: '0.0000022' });
  assert.deepEqual(set.list_pricing, { prompt: '0.000001', completion: '0.000002' });
  const row = await servedFor(AT_10_PER_CENT);
  assert.equal(row.charge, AT_10_PER_CENT);
  assert.equal(row.charge_told, AT_10_PER_CENT);
  assert.equal(row.provider_cost, AT_LIST);
  const [price] = await bourse.sql('select list, margin_basis_points from price where id = $1', [row.price]);
  assert.equal(price.margin_basis_points, 1000);
  const tiers = await bourse.sql('select prompt, completion from price_tier where price = $1', [row.price]);
  assert.deepEqual(tiers, [{ prompt: 1_100_000_000n, completion: 2_200_000_000n }]);
});

test('everybody is shown what customers pay, and nobody the list price', async () => {
  assert.deepEqual(await shownPrice(), { prompt: '0.0000011', completion: '0.0000022' });
  const listed = (await bourse.api.get('/models?limit=1000')).json.data.find(({ id }) => id === MODEL);
  assert.deepEqual(listed.pricing, { prompt: '0.0000011', completion: '0.0000022' });
  const text = (await bourse.api.get(`/models/${MODEL}/endpoints`)).text;
  assert.ok(!text.includes('margin') && !text.includes('list_pricing'));
});

test('the customer reads the charge wherever he looks, and never the cost', async () => {
  const answer = await ask(PROMPT);
  await bourse.quiet();
  const { exact, text } = await bourse.api.get(`/generation?id=${answer.json.id}`, { key });
  assert.equal(nanoOf(exact.data.total_cost), AT_10_PER_CENT);
  assert.ok(!text.includes('0.002368'));
});

test('a tier carries the margin, too', async () => {
  await setMargin(2500, 'test/tiered');
  // 1,001 tokens: $3.00 in becomes $3.75, $2.00 out $2.50.
  const row = await servedFor(1001n * 3750n + 10n * 2500n, prompt(4001, 'sim:tokens=10 '), 'test/tiered');
  assert.equal(row.provider_cost, 1001n * 3000n + 10n * 2000n);
});

test('what nobody pays for costs us the list price', async () => {
  await bourse.simulator.fault('openai', { kind: 'cut', after_chunks: 3, count: 1 });
  const stream = await bourse.api.stream(key, { model: MODEL, messages: user(PROMPT) });
  await bourse.simulator.clearFaults();
  await bourse.quiet();
  const row = await bourse.generationRow(stream.chunks[0].id);
  assert.equal(row.state, 3, 'absorbed');
  assert.equal(row.charge, 0n);
  // By the estimate: the prompt's 1,234 tokens, and those that were delivered.
  assert.ok(row.provider_cost > 0n);
  assert.equal(row.provider_cost, BigInt(row.prompt) * 1000n + BigInt(row.completion) * 2000n);
});

test('a request is charged by the margin it began with', async () => {
  await bourse.simulator.fault('openai', { kind: 'stall', after_chunks: 2 });
  const stream = await bourse.api.openStream(key, { model: MODEL, messages: user('sim:tokens=4') });
  await stream.readContent(2);
  await setMargin(10000);
  await bourse.simulator.clearFaults();
  await stream.readAll();
  assert.equal(stream.cost, 3n * 1100n + 4n * 2200n); // 12 bytes are 3 tokens
  await servedFor(3n * 2000n + 4n * 4000n, 'sim:tokens=4');
  await setMargin(1000);
  await servedFor(AT_10_PER_CENT);
});

test('a catalog that is loaded again keeps the margin, with the same list price and with a new one', async () => {
  const before = await endpointOf();
  await loadModels(bourse, { marked: LIST });
  assert.deepEqual((await endpointOf()).pricing, before.pricing);
  await loadModels(bourse, { marked: { prompt: '0.000003', completion: '0.000002' } });
  const row = await servedFor(1234n * 3300n + 567n * 2200n);
  assert.equal(row.provider_cost, 1234n * 3000n + 567n * 2000n);
  await loadModels(bourse, { marked: LIST });
  await servedFor(AT_10_PER_CENT);
});

test('a margin of zero is the list price itself again', async () => {
  const [{ price: marked }] = await bourse.sql('select price from endpoint where id = $1', [(await endpointOf()).id]);
  await setMargin(0);
  const row = await servedFor(AT_LIST);
  assert.equal(row.provider_cost, AT_LIST);
  const [{ list }] = await bourse.sql('select list from price where id = $1', [marked]);
  assert.equal(row.price, list);
});

test('a margin on a provider is one on all of its endpoints', async () => {
  const shown = (await bourse.bourse('provider', 'list')).data.find(({ slug }) => slug === 'mistral');
  assert.equal(shown.margin_basis_points, 0);
  const set = await bourse.bourse('provider', 'margin', 'mistral', '--basis-points', '500');
  assert.deepEqual(set, { provider: 'mistral', margin_basis_points: 500, endpoints: shown.endpoints });
  const margins = `select distinct e.margin_basis_points as of_endpoint, p.margin_basis_points as of_price
    from endpoint e join provider v on v.id = e.provider join price p on p.id = e.price where v.slug = 'mistral'`;
  assert.deepEqual(await bourse.sql(margins), [{ of_endpoint: 500, of_price: 500 }]);
  await bourse.bourse('provider', 'margin', 'mistral', '--basis-points', '0');
  assert.deepEqual(await bourse.sql(margins), [{ of_endpoint: 0, of_price: 0 }]);
});

test('margins that cannot be are refused in words', async () => {
  const { id } = await endpointOf();
  for (const basisPoints of ['-1', '10001', '1.5', 'much'])
    assert.match(await bourse.bourseFails('endpoint', 'margin', `${id}`, '--basis-points', basisPoints), /whole number/);
  assert.match(await bourse.bourseFails('endpoint', 'margin', '999999', '--basis-points', '1'), /404/);
  assert.match(await bourse.bourseFails('endpoint', 'margin', 'x', '--basis-points', '1'), /404/);
  assert.match(await bourse.bourseFails('provider', 'margin', 'nobody', '--basis-points', '1'), /404/);
  assert.match(await bourse.bourseFails('endpoint', 'list', '--model', 'test/none'), /404/);
  assert.equal((await endpointOf()).margin_basis_points, 0);
});

test('both figures of every row can be computed again', async () => {
  assert.deepEqual((await bourse.bourse('ledger', 'verify')).found, []);
});
