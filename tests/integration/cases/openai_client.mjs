// SPDX-License-Identifier: Apache-2.0
// The official openai client with nothing but baseURL and apiKey changed; and that what it was told, what the key was charged, the
// generation's record and the account's balance are one figure, to the nano-dollar.
import assert from 'node:assert/strict';
import test from 'node:test';
import OpenAI from 'openai';

import { CACHED_NANO, COMPLETION_NANO, MODEL, PROMPT_NANO, nanoOf, parseExact, user } from '../api.mjs';
import { prompt } from '../simulator.mjs';
import { bourse } from './one_instance.mjs';

/** The client, and the text of every answer it got: its own numbers have been through a float. */
function makeClient(apiKey, options = {}) {
  const texts = [];
  const client = new OpenAI({
    baseURL: bourse.demo.BOURSE_BASE_URL,
    apiKey,
    maxRetries: 0,
    fetch: async (...call) => {
      const answer = await fetch(...call);
      texts.push(answer.clone().text());
      return answer;
    },
    ...options,
  });
  return { client, texts };
}

/** usage.cost of an answer's text, streamed or not. */
function costOf(text) {
  if (!text.startsWith('data: ')) return nanoOf(parseExact(text).usage.cost);
  const chunks = text
    .split('\n\n')
    .filter((block) => block.startsWith('data: {'))
    .map((block) => parseExact(block.slice(6)));
  return nanoOf(chunks.find((chunk) => chunk.usage).usage.cost);
}

async function collect(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return chunks;
}

test('the demo key lists at least 400 models, with prices as text', async () => {
  const { client } = makeClient(bourse.demo.BOURSE_API_KEY);
  const ids = [];
  for await (const model of client.models.list()) {
    ids.push(model.id);
    assert.equal(typeof model.pricing.prompt, 'string');
    assert.match(model.pricing.prompt, /^\d+(\.\d+)?$/);
  }
  assert.ok(ids.length >= 400, `${ids.length} models`);
  assert.equal(new Set(ids).size, ids.length);
  assert.ok(ids.includes(MODEL));
});

test('one model is found by its id, whose slash the client encodes', async () => {
  const { client } = makeClient(bourse.demo.BOURSE_API_KEY);
  const model = await client.models.retrieve(MODEL);
  assert.equal(model.id, MODEL);
  assert.equal(model.pricing.prompt, '0.00000015');
  assert.equal(model.pricing.completion, '0.0000006');
  await assert.rejects(client.models.retrieve('openai/gpt-0'), (error) => error.status === 404);
});

test('a chat completion answers text, usage and cost', async () => {
  const { key } = await bourse.makeCustomer();
  const { client, texts } = makeClient(key);
  const answer = await client.chat.completions.create({ model: MODEL, messages: user(prompt(400, 'sim:tokens=100 ')) });
  assert.equal(answer.object, 'chat.completion');
  assert.equal(answer.model, MODEL);
  assert.equal(answer.choices.length, 1);
  assert.equal(answer.choices[0].message.role, 'assistant');
  assert.ok(answer.choices[0].message.content.startsWith('Every request is held,'));
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.match(answer.id, /^gen-/);
  assert.equal(answer.usage.prompt_tokens, 100);
  assert.equal(answer.usage.completion_tokens, 100);
  assert.equal(answer.usage.total_tokens, 200);
  assert.equal(costOf(await texts[0]), 100n * PROMPT_NANO + 100n * COMPLETION_NANO);
});

test('a streamed completion answers the same text, and usage with the cost at its end', async () => {
  const { key } = await bourse.makeCustomer();
  const { client, texts } = makeClient(key);
  const request = { model: MODEL, messages: user(prompt(400, 'sim:tokens=100 ')) };
  const whole = await client.chat.completions.create(request);
  const chunks = await collect(await client.chat.completions.create({ ...request, stream: true }));
  const text = chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join('');
  assert.equal(text, whole.choices[0].message.content);
  const last = chunks.at(-1);
  assert.deepEqual(last.choices, []);
  assert.equal(last.usage.completion_tokens, 100);
  assert.equal(costOf(await texts[1]), 100n * PROMPT_NANO + 100n * COMPLETION_NANO);
});

test('three choices are answered, streamed or not, and each is held and billed', async () => {
  const { key } = await bourse.makeCustomer();
  const { client, texts } = makeClient(key);
  const request = { model: MODEL, messages: user(prompt(400, 'sim:tokens=10 ')), max_tokens: 100 };
  const one = await client.chat.completions.create(request);
  const three = await client.chat.completions.create({ ...request, n: 3 });
  const text = one.choices[0].message.content;
  assert.deepEqual(
    three.choices.map(({ index, message, finish_reason }) => [index, message.content, finish_reason]),
    [0, 1, 2].map((index) => [index, text, 'stop']),
  );
  assert.equal(three.usage.completion_tokens, 30);

  const chunks = await collect(await client.chat.completions.create({ ...request, n: 3, stream: true }));
  for (const index of [0, 1, 2]) {
    const mine = chunks.flatMap((chunk) => chunk.choices.filter((choice) => choice.index === index));
    assert.equal(mine.map((choice) => choice.delta.content ?? '').join(''), text);
    assert.deepEqual(
      mine.map((choice) => choice.finish_reason).filter((reason) => reason),
      ['stop'],
    );
  }
  assert.equal(chunks.at(-1).usage.completion_tokens, 30);
  const expected = [10n, 30n, 30n].map((tokens) => 100n * PROMPT_NANO + tokens * COMPLETION_NANO);
  assert.deepEqual((await Promise.all(texts)).map(costOf), expected);

  await bourse.quiet();
  const ids = [one.id, three.id, chunks[0].id];
  const held = await Promise.all(ids.map(async (id) => (await bourse.generationRow(id)).held));
  // 100 tokens of each choice beyond the first.
  assert.equal(held[1] - held[0], 2n * 100n * COMPLETION_NANO);
  assert.equal(held[2], held[1]);
});

test("the client's stream helper assembles the same answer", async () => {
  const { key } = await bourse.makeCustomer();
  const { client } = makeClient(key);
  const runner = client.chat.completions.stream({ model: MODEL, messages: user('sim:tokens=30') });
  const completion = await runner.finalChatCompletion();
  assert.equal(completion.choices[0].finish_reason, 'stop');
  assert.ok(completion.choices[0].message.content.startsWith('Every request is held,'));
});

test('what was told, the key, the records, the balance and the ledger agree to the nano-dollar', async () => {
  const { key, management, hash, orgNumber } = await bourse.makeCustomer({ credit: '3' });
  const { client, texts } = makeClient(key);
  // Bytes of prompt, tokens of answer, of these read from the cache, reasoning.
  const requests = [
    [1, 1, 0, 0],
    [3, 1, 0, 0],
    [5, 7, 0, 0],
    [400, 100, 0, 0],
    [401, 101, 0, 0],
    [4000, 333, 250, 0],
    [999, 11, 1, 77],
    [40, 1000, 9, 1],
  ];
  let expected = 0n;
  for (const [bytes, tokens, cached, reasoning] of requests) {
    // The words that steer are part of the prompt, so a second message holds them and a first one the rest.
    const steering = `sim:tokens=${tokens} sim:cached=${cached} sim:reasoning=${reasoning}`;
    const messages = [{ role: 'system', content: prompt(bytes) }, ...user(steering)];
    const promptTokens = BigInt(Math.ceil((bytes + steering.length) / 4));
    expected += (promptTokens - BigInt(cached)) * PROMPT_NANO + BigInt(cached) * CACHED_NANO;
    expected += BigInt(tokens + reasoning) * COMPLETION_NANO;
    await client.chat.completions.create({ model: MODEL, messages });
    await collect(await client.chat.completions.create({ model: MODEL, messages, stream: true }));
    expected += (promptTokens - BigInt(cached)) * PROMPT_NANO + BigInt(cached) * CACHED_NANO;
    expected += BigInt(tokens + reasoning) * COMPLETION_NANO;
  }
  const all = await Promise.all(texts);
  const told = all.map(costOf).reduce((sum, cost) => sum + cost, 0n);
  assert.equal(told, expected);

  // Read at once: one's own writes are seen.
  const mine = (await bourse.api.get('/key', { key })).exact.data;
  for (const name of ['usage', 'usage_daily', 'usage_weekly', 'usage_monthly'])
    assert.equal(nanoOf(mine[name]), expected, name);
  const listed = (await bourse.api.get(`/keys/${hash}`, { key: management })).exact.data;
  assert.equal(nanoOf(listed.usage), expected);

  const credits = (await bourse.api.get('/credits', { key: management })).exact.data;
  assert.equal(nanoOf(credits.total_usage), expected);
  assert.equal(nanoOf(credits.total_credits), 3_000_000_000n);
  assert.equal(nanoOf(credits.balance), 3_000_000_000n - expected);
  assert.equal(nanoOf(credits.held), 0n);

  let recorded = 0n;
  for (const text of all) {
    const id = /"id":"(gen-[^"]+)"/.exec(text)[1];
    const { data } = (await bourse.api.get(`/generation?id=${id}`, { key })).exact;
    assert.equal(nanoOf(data.total_cost), costOf(text), id);
    assert.equal(nanoOf(data.usage), costOf(text), id);
    recorded += nanoOf(data.total_cost);
  }
  assert.equal(recorded, expected);

  await bourse.quiet();
  const [rows] = await bourse.sql(
    'select count(*) as rows, sum(charge)::bigint as charge, sum(charge_told)::bigint as told from generation where org = $1',
    [String(orgNumber)],
  );
  assert.deepEqual(rows, { rows: BigInt(all.length), charge: expected, told: expected });
  const income = await bourse.sqlValue(
    "select sum(amount)::bigint from transfer where org = $1 and code in ('settle', 'settle_late')",
    [String(orgNumber)],
  );
  assert.equal(income, expected);
});

test('a balance read between two requests is never out of step with what was told', async () => {
  const { key, management } = await bourse.makeCustomer({ credit: '1' });
  let told = 0n;
  for (let i = 0; i < 10; i++) {
    const answer = await bourse.api.chat(key, { model: MODEL, messages: user(`sim:tokens=${10 + i}`) });
    told += nanoOf(answer.exact.usage.cost);
    const { data } = (await bourse.api.get('/credits', { key: management })).exact;
    assert.equal(nanoOf(data.total_usage), told);
    assert.equal(nanoOf(data.total_credits), 1_000_000_000n);
  }
});

test('a generation of another organization is not found', async () => {
  const [a, b] = [await bourse.makeCustomer(), await bourse.makeCustomer()];
  const { id } = (await bourse.api.chat(a.key, { model: MODEL, messages: user('Hello') })).json;
  assert.equal((await bourse.api.get(`/generation?id=${id}`, { key: a.key })).status, 200);
  assert.equal((await bourse.api.get(`/generation?id=${id}`, { key: b.key })).status, 404);
  assert.equal((await bourse.api.get(`/generation?id=${id}`)).status, 401);
});

test('tool calls arrive whole, streamed and not', async () => {
  const { key } = await bourse.makeCustomer();
  const { client } = makeClient(key);
  const tools = [
    {
      type: 'function',
      function: { name: 'get_weather', parameters: { type: 'object', properties: { city: { type: 'string' } } } },
    },
  ];
  const request = { model: MODEL, messages: user('sim:tool=1'), tools };
  const whole = await client.chat.completions.create(request);
  assert.equal(whole.choices[0].finish_reason, 'tool_calls');
  const [call] = whole.choices[0].message.tool_calls;
  assert.equal(call.type, 'function');
  assert.equal(call.function.name, 'get_weather');
  assert.deepEqual(JSON.parse(call.function.arguments), { city: 'Paris' });

  const streamed = await client.chat.completions.stream(request).finalChatCompletion();
  assert.equal(streamed.choices[0].finish_reason, 'tool_calls');
  assert.equal(streamed.choices[0].message.tool_calls[0].function.name, 'get_weather');
  assert.deepEqual(JSON.parse(streamed.choices[0].message.tool_calls[0].function.arguments), { city: 'Paris' });
  // Eight tokens are what a simulated call counts; the prompt is 10 bytes.
  assert.equal(whole.usage.completion_tokens, 8);
  assert.equal(whole.usage.prompt_tokens, 3);
});

test('reasoning arrives apart from the answer and is billed as output', async () => {
  const { key } = await bourse.makeCustomer();
  const { client, texts } = makeClient(key);
  const request = { model: MODEL, messages: user('sim:reasoning=20 sim:tokens=5') }; // 29 bytes: 8 tokens
  const whole = await client.chat.completions.create(request);
  assert.ok(whole.choices[0].message.reasoning.length > 0);
  assert.equal(whole.usage.completion_tokens, 25);
  assert.equal(whole.usage.completion_tokens_details.reasoning_tokens, 20);
  assert.equal(costOf(await texts[0]), 8n * PROMPT_NANO + 25n * COMPLETION_NANO);
  const chunks = await collect(await client.chat.completions.create({ ...request, stream: true }));
  const reasoning = chunks.map((chunk) => chunk.choices[0]?.delta.reasoning ?? '').join('');
  assert.equal(reasoning, whole.choices[0].message.reasoning);
  assert.equal(costOf(await texts[1]), 8n * PROMPT_NANO + 25n * COMPLETION_NANO);
});

test('tokens read from the cache are billed at the price of the cache', async () => {
  const { key } = await bourse.makeCustomer();
  const { client, texts } = makeClient(key);
  const answer = await client.chat.completions.create({
    model: MODEL,
    messages: user(prompt(400, 'sim:cached=60 sim:tokens=10 ')),
  });
  assert.equal(answer.usage.prompt_tokens, 100);
  assert.equal(answer.usage.prompt_tokens_details.cached_tokens, 60);
  assert.equal(costOf(await texts[0]), 40n * PROMPT_NANO + 60n * CACHED_NANO + 10n * COMPLETION_NANO);
});

test('the client raises its own error types', async () => {
  const { key } = await bourse.makeCustomer({ credit: '0.00001' });
  const { client } = makeClient(key);
  const messages = user('Hello');
  await assert.rejects(client.chat.completions.create({ model: 'openai/gpt-0', messages }), OpenAI.BadRequestError);
  await assert.rejects(
    client.chat.completions.create({ model: MODEL, messages, max_tokens: 100000 }),
    OpenAI.BadRequestError,
  );
  await assert.rejects(
    client.chat.completions.create({ model: MODEL, messages, max_tokens: 10000 }),
    (error) => error.status === 402,
  );
  const wrong = makeClient(`${key}x`).client;
  await assert.rejects(wrong.chat.completions.create({ model: MODEL, messages }), OpenAI.AuthenticationError);
});

test('the client does not repeat a refusal for want of credit, and repeats a rate limit', async () => {
  const { key } = await bourse.makeCustomer({ credit: '0.00001' });
  const poor = makeClient(key, { maxRetries: 2 });
  await assert.rejects(
    poor.client.chat.completions.create({ model: MODEL, messages: user('Hello'), max_tokens: 10000 }),
  );
  assert.equal(poor.texts.length, 1);

  const { key: rich } = await bourse.makeCustomer();
  const patient = makeClient(rich, { maxRetries: 2 });
  await bourse.simulator.fault('openai', { kind: 'status', status: 429, retry_after: 1, count: 1 });
  const answer = await patient.client.chat.completions.create({ model: MODEL, messages: user('Hello') });
  assert.equal(answer.choices[0].finish_reason, 'stop');
  assert.equal(patient.texts.length, 2);
});
