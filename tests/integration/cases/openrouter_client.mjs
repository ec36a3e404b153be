// SPDX-License-Identifier: Apache-2.0
// @openrouter/sdk checks every field of every answer against a schema: what it accepts, a client of that protocol can use. Its own
// retries are off, because they would repeat a 5xx for up to an hour.
import assert from 'node:assert/strict';
import test from 'node:test';
import { OpenRouter } from '@openrouter/sdk';

import { MODEL, nanoOf, user } from '../api.mjs';
import { bourse } from './one_instance.mjs';

function makeClient(apiKey) {
  return new OpenRouter({ apiKey, serverURL: bourse.demo.BOURSE_BASE_URL, retryConfig: { strategy: 'none' } });
}

const send = (client, request) => client.chat.send({ chatRequest: { model: MODEL, ...request } });

test('chat: a whole answer passes its schema', async () => {
  const { key } = await bourse.makeCustomer();
  const answer = await send(makeClient(key), { messages: user('sim:tokens=20'), stream: false });
  assert.equal(answer.object, 'chat.completion');
  assert.equal(answer.choices[0].finishReason, 'stop');
  assert.equal(answer.usage.completionTokens, 20);
  assert.ok(answer.usage.cost > 0);
});

test('chat: every chunk of a stream passes its schema', async () => {
  const { key } = await bourse.makeCustomer();
  const chunks = [];
  for await (const chunk of await send(makeClient(key), {
    messages: user('sim:tokens=20 sim:reasoning=3'),
    stream: true,
  }))
    chunks.push(chunk);
  assert.ok(chunks.length >= 23);
  assert.equal(chunks[0].choices[0].delta.role, 'assistant');
  assert.equal(chunks.at(-1).usage.completionTokens, 23);
  assert.ok(chunks.at(-1).usage.cost > 0);
});

test('chat: tool calls pass the schema, streamed and not', async () => {
  const { key } = await bourse.makeCustomer();
  const client = makeClient(key);
  const tools = [
    { type: 'function', function: { name: 'get_weather', parameters: { type: 'object', properties: {} } } },
  ];
  const answer = await send(client, { messages: user('sim:tool=1'), tools, stream: false });
  assert.equal(answer.choices[0].message.toolCalls[0].function.name, 'get_weather');
  const calls = [];
  for await (const chunk of await send(client, { messages: user('sim:tool=1'), tools, stream: true }))
    calls.push(...(chunk.choices[0]?.delta.toolCalls ?? []));
  assert.equal(calls.map((call) => call.function?.name ?? '').join(''), 'get_weather');
  assert.deepEqual(JSON.parse(calls.map((call) => call.function?.arguments ?? '').join('')), { city: 'Paris' });
});

test('chat: an error inside a stream arrives as a chunk with an error', async () => {
  const { key } = await bourse.makeCustomer();
  await bourse.simulator.fault('openai', { kind: 'error', after_chunks: 3 });
  const chunks = [];
  const messages = user('sim:chunk_ms=50'); // slow enough that something has gone to the client before the error
  for await (const chunk of await send(makeClient(key), { messages, stream: true })) chunks.push(chunk);
  const last = chunks.at(-1);
  assert.equal(last.choices[0].finishReason, 'error');
  assert.ok(Number.isInteger(last.error.code));
});

test('errors are the typed ones', async () => {
  const { key } = await bourse.makeCustomer({ credit: '0.00001' });
  const client = makeClient(key);
  const failure = (promise) =>
    promise.then(
      () => assert.fail('should have failed'),
      (error) => error,
    );
  const refused = await failure(send(client, { messages: user('Hello'), maxTokens: 10000, stream: false }));
  assert.equal(refused.constructor.name, 'PaymentRequiredResponseError');
  const wrong = await failure(send(makeClient(`${key}x`), { messages: user('Hello'), stream: false }));
  assert.equal(wrong.constructor.name, 'UnauthorizedResponseError');
  const unknown = await failure(send(client, { model: 'openai/gpt-0', messages: user('Hello'), stream: false }));
  assert.equal(unknown.constructor.name, 'BadRequestResponseError');

  const { key: rich } = await bourse.makeCustomer();
  await bourse.simulator.fault('openai', { kind: 'status', status: 429, retry_after: 3 });
  const limited = await failure(send(makeClient(rich), { messages: user('Hello'), stream: false }));
  assert.equal(limited.constructor.name, 'TooManyRequestsResponseError');
  await bourse.simulator.fault('openai', { kind: 'status', status: 500 });
  const down = await failure(send(makeClient(rich), { messages: user('Hello'), stream: false }));
  assert.equal(down.constructor.name, 'BadGatewayResponseError');
});

test('models: all of them pass the schema, page by page', async () => {
  const client = makeClient(bourse.demo.BOURSE_API_KEY);
  const ids = [];
  for await (const page of await client.models.list()) ids.push(...page.result.data.map((model) => model.id));
  assert.ok(ids.length >= 400);
  assert.equal(new Set(ids).size, ids.length);
  const { data } = await client.models.count();
  assert.equal(data.count, ids.length);
});

test('models: one model and its endpoints pass the schema', async () => {
  const client = makeClient(bourse.demo.BOURSE_API_KEY);
  const { data: model } = await client.models.get({ author: 'openai', slug: 'gpt-4o-mini' });
  assert.equal(model.id, MODEL);
  const { data } = await client.endpoints.list({ author: 'openai', slug: 'gpt-4o-mini' });
  assert.equal(data.id, MODEL);
  assert.equal(data.endpoints.length, 1);
  assert.equal(data.endpoints[0].providerName, 'OpenAI');
  assert.equal(data.endpoints[0].pricing.prompt, '0.00000015');
  await assert.rejects(client.endpoints.list({ author: 'openai', slug: 'gpt-0' }), (error) => error.statusCode === 404);
});

test('providers: the list passes the schema', async () => {
  const { data } = await makeClient(bourse.demo.BOURSE_API_KEY).providers.list();
  assert.ok(data.some((provider) => provider.slug === 'openai'));
  assert.ok(data.length >= 30);
});

test('key: what a key says of itself passes the schema', async () => {
  const { key, hash, management } = await bourse.makeCustomer({ limit: '5' });
  const { data } = await makeClient(key).apiKeys.getCurrentKeyMetadata();
  assert.equal(data.limit, 5);
  assert.equal(data.limitRemaining, 5);
  assert.equal(data.usage, 0);
  assert.equal(data.isManagementKey, false);
  // Used and rotated, so that the fields which the protocol does not know have values.
  await send(makeClient(key), { messages: user('Hello'), stream: false });
  const rotated = await bourse.api.post(`/keys/${hash}/rotate`, {}, { key: management });
  assert.equal(rotated.status, 200, rotated.text);
  assert.ok((await makeClient(rotated.json.key).apiKeys.getCurrentKeyMetadata()).data.usage > 0);
  const { data: row } = await makeClient(management).apiKeys.get({ hash: rotated.json.data.hash });
  assert.equal(row.hash, rotated.json.data.hash);
  const own = await makeClient(management).apiKeys.getCurrentKeyMetadata();
  assert.equal(own.data.isManagementKey, true);
});

test('credits: pass the schema', async () => {
  const { key, management } = await bourse.makeCustomer({ credit: '2.5' });
  const { data } = await makeClient(management).credits.getCredits();
  assert.equal(data.totalCredits, 2.5);
  assert.equal(data.totalUsage, 0);
  await assert.rejects(makeClient(key).credits.getCredits(), (error) => error.statusCode === 403);
});

test('generation: passes the schema and names what was sent', async () => {
  const { key } = await bourse.makeCustomer();
  const client = new OpenRouter({
    apiKey: key,
    serverURL: bourse.demo.BOURSE_BASE_URL,
    retryConfig: { strategy: 'none' },
    httpReferer: 'https://app.example',
    appTitle: 'An app',
  });
  const answer = await send(client, { messages: user('sim:tokens=20'), stream: false });
  const { data } = await client.generations.getGeneration({ id: answer.id });
  assert.equal(data.id, answer.id);
  assert.equal(data.model, MODEL);
  assert.equal(data.providerName, 'OpenAI');
  assert.equal(data.tokensCompletion, 20);
  assert.equal(data.totalCost, answer.usage.cost);
  assert.equal(data.streamed, false);
  assert.equal(data.cancelled, false);
  assert.equal(data.finishReason, 'stop');
  assert.equal(data.httpReferer, 'https://app.example');
  assert.equal(data.providerResponses.length, 1);
  assert.equal(data.providerResponses[0].status, 200);
  await assert.rejects(client.generations.getGeneration({ id: 'gen-nothing' }), (error) => error.statusCode === 404);
});

test('keys: created, listed, read, changed and deleted', async () => {
  const { management } = await bourse.makeCustomer();
  const client = makeClient(management);
  const made = await client.apiKeys.create({
    requestBody: { name: 'through the client', limit: 10, limitReset: 'monthly', includeByokInLimit: true },
  });
  assert.match(made.key, /^sk-bourse-v1-/);
  assert.equal(made.data.limit, 10);
  assert.equal(made.data.limitReset, 'monthly');
  const { hash } = made.data;

  const listed = await client.apiKeys.list();
  assert.ok(listed.data.some((row) => row.hash === hash));
  assert.equal((await client.apiKeys.get({ hash })).data.name, 'through the client');
  const changed = await client.apiKeys.update({ hash, requestBody: { name: 'renamed', limit: 3, disabled: true } });
  assert.equal(changed.data.name, 'renamed');
  assert.equal(changed.data.limit, 3);
  assert.equal(changed.data.disabled, true);
  assert.equal((await client.apiKeys.delete({ hash })).deleted, true);
  await assert.rejects(client.apiKeys.get({ hash }), (error) => error.statusCode === 404);
});

test('figures the client shows are those of the wire', async () => {
  const { key } = await bourse.makeCustomer();
  const answer = await send(makeClient(key), { messages: user('sim:tokens=20'), stream: false }); // 13 bytes: 4 tokens
  assert.equal(nanoOf(answer.usage.cost.toFixed(9)), 4n * 150n + 20n * 600n);
});
