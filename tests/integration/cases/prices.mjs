// SPDX-License-Identifier: Apache-2.0
// From a price in the catalog to a charge: one rounding, tiers, fees, the price of each kind of token; and that a price which changes
// while an answer is on its way changes only what comes after it. Every figure is worked out by hand.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { nanoOf, user } from '../api.mjs';
import { loadModels } from '../catalog.mjs';
import { eventually } from '../harness.mjs';
import { prompt } from '../simulator.mjs';
import { bourse } from './one_instance.mjs';

let key;
bourse.prepare(async () => {
  ({ key } = await bourse.makeCustomer({ credit: '100' }));
  await load({
    half: { prompt: '0.0000000375', completion: '0.0000000375' },
    worked: { prompt: '0.000000075', completion: '0.0000003' },
    tiers: {
      prompt: '0.000001',
      completion: '0.000002',
      tiers: [{ above_prompt_tokens: 1000, prompt: '0.000003', completion: '0.000006' }],
    },
    fee: { prompt: '0.000001', completion: '0.000001', request: '0.005' },
    kinds: { prompt: '0.000001', completion: '0.000002', reasoning: '0.000004', cache_read: '0.00000025' },
    changing: { prompt: '0.000001', completion: '0.000002' },
  });
  await eventually(async () =>
    assert.equal((await bourse.api.chat(key, { model: 'test/changing', messages: user('x') })).status, 200),
  );
});

const load = (models) => loadModels(bourse, models);

async function costOf(model, content) {
  const answer = await bourse.api.chat(key, { model: `test/${model}`, messages: user(content) });
  assert.equal(answer.status, 200, answer.text);
  const stream = await bourse.api.stream(key, { model: `test/${model}`, messages: user(content) });
  const cost = nanoOf(answer.exact.usage.cost);
  assert.equal(stream.cost, cost, 'streamed or not is one price');
  await bourse.quiet();
  assert.equal((await bourse.generationRow(answer.json.id)).charge, cost);
  return cost;
}

test('components are summed first and rounded half up once', async () => {
  // $0.0375 a million is 37.5 nano-dollars a token. The prompts are 12 bytes: 3 tokens.
  assert.equal(await costOf('half', 'sim:tokens=1'), 150n); // 4 tokens
  assert.equal(await costOf('half', 'sim:tokens=2'), 188n); // 5 tokens: 187.5
  assert.equal(await costOf('half', 'sim:tokens=3'), 225n); // 6 tokens; 113 + 113 would be two roundings
  assert.equal(await costOf('half', 'sim:tokens=4'), 263n); // 7 tokens: 262.5
});

test('1,234 tokens in at $0.075 and 567 out at $0.30 a million cost 262,650 nano-dollars', async () => {
  assert.equal(await costOf('worked', prompt(4936, 'sim:tokens=567 ')), 262_650n);
});

test('a tier applies to the whole request, from one token above its bound', async () => {
  assert.equal(await costOf('tiers', prompt(4000, 'sim:tokens=10 ')), 1000n * 1000n + 10n * 2000n);
  assert.equal(await costOf('tiers', prompt(4001, 'sim:tokens=10 ')), 1001n * 3000n + 10n * 6000n);
});

test('a fee for each request is charged once', async () => {
  assert.equal(await costOf('fee', 'sim:tokens=1'), 3n * 1000n + 1000n + 5_000_000n);
});

test('each kind of token has its price', async () => {
  const content = 'sim:tokens=2 sim:reasoning=3 sim:cached=4'; // 41 bytes: 11 tokens, 4 of them cached
  assert.equal(await costOf('kinds', content), 7n * 1000n + 4n * 250n + 2n * 2000n + 3n * 4000n);
});

test('every charge can be computed again from the prices that are stored', async () => {
  const rows = await bourse.sql(`
    select g.charge, round((g.prompt::numeric * t.prompt + g.cache_read::numeric * t.cache_read + g.completion::numeric * t.completion
           + g.reasoning::numeric * t.reasoning + g.request::numeric * t.request) / 1000000)::bigint as again
    from generation g join lateral (select * from price_tier t where t.price = g.price
           and t.above_prompt_tokens < greatest(g.prompt + g.cache_read, 1) order by above_prompt_tokens desc limit 1) t on true
    where g.state = 1`);
  assert.ok(rows.length >= 18);
  for (const { charge, again } of rows) assert.equal(charge, again);
});

test('a price that changes during an answer changes the next one only', async () => {
  const body = { model: 'test/changing', messages: user('sim:tokens=4') };
  await bourse.simulator.fault('openai', { kind: 'stall', after_chunks: 2 });
  const stream = await bourse.api.openStream(key, body);
  await stream.readContent(2);
  await load({ changing: { prompt: '0.00001', completion: '0.00002' } });
  await bourse.simulator.clearFaults();
  await stream.readAll();
  assert.equal(stream.cost, 3n * 1000n + 4n * 2000n);
  await eventually(async () => {
    const answer = await bourse.api.chat(key, body);
    assert.equal(nanoOf(answer.exact.usage.cost), 3n * 10_000n + 4n * 20_000n);
  });
  const { data } = (await bourse.api.get('/models/test/changing/endpoints')).json;
  assert.equal(data.endpoints[0].pricing.prompt, '0.00001');
  await bourse.quiet();
  const prices = await bourse.sql(
    "select distinct g.price from generation g join model m on m.id = g.model where m.slug = 'test/changing'",
  );
  assert.equal(prices.length, 2, 'the old price is still the old answer’s');
});

test('the same catalog a second time changes nothing', async () => {
  const before = await bourse.sqlValue('select count(*) from price');
  const again = { changing: { prompt: '0.00001', completion: '0.00002' } };
  await load(again);
  await load(again);
  assert.equal(await bourse.sqlValue('select count(*) from price'), before);
});

test('a price map changes the price of a known model, a dry run and a price of zero do not', async () => {
  const file = path.join(bourse.directory, 'map.json');
  const model = 'openai/gpt-4.1-nano'; // $0.10 in and $0.40 out a million
  const entry = {
    litellm_provider: 'openai',
    mode: 'chat',
    max_input_tokens: 1047576,
    max_output_tokens: 32768,
    output_cost_per_token: 4e-7,
    cache_read_input_token_cost: 2.5e-8,
  };
  const importMap = (input_cost_per_token, ...words) => {
    writeFileSync(file, JSON.stringify({ 'gpt-4.1-nano': { ...entry, input_cost_per_token } }));
    return bourse.bourse('catalog', 'import', file, '--source-date', '2026-11-01', ...words);
  };
  const shown = async () => {
    const { endpoints } = (await bourse.api.get(`/models/${model}/endpoints`)).json.data;
    return endpoints.find((endpoint) => endpoint.provider_name === 'OpenAI').pricing.prompt;
  };
  await importMap(1.2e-7, '--dry-run');
  assert.equal(await shown(), '0.0000001');
  await importMap(0);
  assert.equal(await shown(), '0.0000001');
  await importMap(1.2e-7);
  assert.equal(await shown(), '0.00000012');
  await eventually(async () => {
    const answer = await bourse.api.chat(key, {
      model,
      messages: user('sim:tokens=1'),
      provider: { only: ['openai'] },
    });
    assert.equal(nanoOf(answer.exact.usage.cost), 3n * 120n + 400n);
  });
});

test('a catalog with a fault is refused as a whole', async () => {
  const file = path.join(bourse.directory, 'bad.json');
  const before = await bourse.sqlValue('select revision from market');
  for (const text of [
    '',
    '{',
    '[]',
    '{"format":"bourse-catalog-2"}',
    '{"format":"bourse-catalog-1","date":"2026-07-24","providers":[],"models":[{"id":"test/x"}]}',
    '{"format":"bourse-catalog-1","date":"yesterday","providers":[],"models":[]}',
  ]) {
    writeFileSync(file, text);
    await bourse.bourseFails('catalog', 'load', file);
  }
  await bourse.bourseFails('catalog', 'load', path.join(bourse.directory, 'missing.json'));
  assert.equal(await bourse.sqlValue('select revision from market'), before);
});
