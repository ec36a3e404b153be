// SPDX-License-Identifier: Apache-2.0
// The way out of the simulator: a real key is sealed, its provider is called at a real address, and nothing else changes. The key is
// nowhere to be read: not in the database, not in a log, not in an answer.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test, { after } from 'node:test';

import { COMPLETION_NANO, MODEL, PROMPT_NANO, assertError, nanoOf, user } from './api.mjs';
import { eventually, startInstance } from './harness.mjs';
import { ScriptedProvider, makeCertificate } from './scripted_provider.mjs';

const SECRET = 'sk-proj-TheRealKeyOfThisTest0123456789abcdefghijklmnop';
const PROMPT = 'Tell nobody about the purple hippopotamus';
const bourse = startInstance();
const real = await new ScriptedProvider().listen();
after(() => real.close());

function keyFile(secret, name = 'openai.key') {
  const file = path.join(bourse.directory, name);
  writeFileSync(file, `${secret}\n`, { mode: 0o600 });
  chmodSync(file, 0o600);
  return file;
}

const goLive = (secret, url = `http://127.0.0.1:${real.port}/v1`) =>
  bourse.bourse('provider', 'live', 'openai', '--key-file', keyFile(secret), '--base-url', url);

/** The change reaches the edge with the catalog's next word; a request that comes sooner is still right, only older. */
const served = (key, body = {}) => bourse.api.chat(key, { model: MODEL, messages: user(PROMPT), ...body });

async function untilReal(key) {
  await eventually(async () => {
    const answer = await served(key, { max_tokens: 10 });
    assert.equal(answer.headers['x-bourse-simulated'], undefined);
  });
}

test('until a provider is live, its answers say that they are simulated', async () => {
  const { key } = await bourse.makeCustomer();
  const whole = await served(key);
  assert.equal(whole.headers['x-bourse-simulated'], 'true');
  const stream = await bourse.api.stream(key, { model: MODEL, messages: user('Hello') });
  assert.equal(stream.headers['x-bourse-simulated'], 'true');
  const { data } = (await bourse.api.get(`/generation?id=${whole.json.id}`, { key })).json;
  assert.equal(data.simulated, true);
  const { data: providers } = await bourse.bourse('provider', 'list');
  assert.ok(providers.every((provider) => provider.live === false));
  const { status, text } = await served(key, { model: 'openai/o1-pro', max_tokens: 10 }); // live it would need /responses
  assert.equal(status, 200, text);
});

test('a provider that is made live is called with the real key at its address, and answers as itself', async () => {
  const { key, management } = await bourse.makeCustomer();
  await goLive(SECRET);
  await untilReal(key);
  const simulated = await bourse.simulator.total();
  const calls = real.requests.length;
  const whole = await served(key);
  assert.equal(whole.status, 200, whole.text);
  assert.equal(whole.json.choices[0].message.content, 'Good morning');
  assert.equal(whole.headers['x-bourse-simulated'], undefined);
  const stream = await bourse.api.stream(key, { model: MODEL, messages: user(PROMPT) });
  assert.equal(stream.contents.join(''), 'Good morning');
  assert.equal(stream.headers['x-bourse-simulated'], undefined);
  assert.equal(await bourse.simulator.total(), simulated);
  assert.equal(real.requests.length, calls + 2);
  for (const request of real.requests.slice(calls)) {
    assert.equal(request.url, '/v1/chat/completions');
    assert.equal(request.headers.authorization, `Bearer ${SECRET}`);
    assert.equal(request.headers.host, `127.0.0.1:${real.port}`);
    assert.match(request.headers.via, /bourse-/);
    const body = JSON.parse(request.text);
    assert.equal(body.model, 'gpt-4o-mini');
    assert.deepEqual(body.messages, user(PROMPT));
    assert.ok(
      !request.text.includes(key) && !JSON.stringify(request.headers).includes(key),
      "the customer's key stays here",
    );
  }
  // The provider reported 7 and 3 tokens.
  const cost = 7n * PROMPT_NANO + 3n * COMPLETION_NANO;
  assert.equal(nanoOf(whole.exact.usage.cost), cost);
  assert.equal(stream.cost, cost);
  const { data } = (await bourse.api.get(`/generation?id=${whole.json.id}`, { key })).json;
  assert.equal(data.simulated, false);
  assert.equal(data.upstream_id, 'chatcmpl-real');
  assert.ok(nanoOf((await bourse.api.get('/credits', { key: management })).exact.data.total_usage) > 0n);
});

test('a model that the live provider answers on /responses only is not offered, and nobody is called for it', async () => {
  const { key } = await bourse.makeCustomer();
  const calls = real.requests.length;
  assertError(await served(key, { model: 'openai/o1-pro' }), 404);
  assert.equal(real.requests.length, calls);
  const { data } = (await bourse.api.get('/models')).json;
  assert.ok(!data.some(({ id }) => id === 'openai/o1-pro'));
  assert.ok(data.some(({ id }) => id === MODEL));
});

test('a model of a live provider is answered by the simulator no more, though it stands for others that offer the model', async () => {
  const { key } = await bourse.makeCustomer();
  const simulated = await bourse.simulator.total();
  for (let i = 0; i < 20; i++) {
    const answer = await served(key, { model: 'openai/gpt-4.1' }); // Azure offers it, too
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers['x-bourse-simulated'], undefined);
  }
  assertError(await served(key, { model: 'openai/gpt-4.1', provider: { only: ['azure'] } }), 404);
  assertError(await served(key, { model: 'openai/gpt-5-codex' }), 404); // Azure's only, for OpenAI has it on /responses
  assert.equal(await bourse.simulator.total(), simulated);
});

test('other providers are simulated as before', async () => {
  const { key } = await bourse.makeCustomer();
  const answer = await served(key, { model: 'deepseek/deepseek-r1-distill-qwen-7b' });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.headers['x-bourse-simulated'], 'true');
});

test('the sealed key is nowhere in the database, the logs or the answers; nor is a prompt or a customer’s key in a log', async () => {
  const { key, management } = await bourse.makeCustomer();
  assert.equal((await served(key)).status, 200);
  await bourse.quiet();
  const place = bourse.demo.BOURSE_PG.replace('bourse_reader', 'bourse_owner');
  const dump = execFileSync('/usr/lib/postgresql/15/bin/pg_dump', ['--data-only', '--inserts', '--dbname', place], {
    encoding: 'utf8',
    maxBuffer: 1 << 28,
  });
  assert.match(dump, /INSERT INTO public\.provider_key VALUES \(0, /, 'the sealed row is there');
  const middle = SECRET.slice(12, 40);
  for (const form of [
    middle,
    Buffer.from(middle).toString('hex'),
    Buffer.from(SECRET).toString('hex').slice(0, 64),
    Buffer.from(SECRET).toString('base64').slice(0, 40),
  ])
    assert.ok(!dump.includes(form), 'the provider’s key can be read in the database');
  assert.ok(!dump.includes(PROMPT), 'a prompt is in the database');

  const provider = JSON.stringify(await bourse.bourse('provider', 'list'));
  assert.ok(!provider.includes(middle));
  for (const [name, bytes] of bourse.logs()) {
    for (const [what, secret] of [
      ['the provider’s key', middle],
      ['a customer’s key', key.slice(16, 50)],
      ['a management key', management.slice(16, 50)],
      ['a prompt', 'purple hippopotamus'],
      ['an answer', 'Good morning'],
    ])
      assert.ok(!bytes.includes(secret), `${what} is in log/${name}`);
  }
  assert.ok(
    bourse.logs().some(([name, bytes]) => name === 'edge.log' && bytes.length > 0),
    'there are logs to look at',
  );
});

test('a provider that refuses the key is the operator’s trouble: the client sees 502 and nothing of the key', async () => {
  const { key, management } = await bourse.makeCustomer();
  real.answer = (_, response) => {
    response.writeHead(401, { 'content-type': 'application/json' });
    response.end(
      JSON.stringify({ error: { message: `Incorrect API key provided: ${SECRET}.`, code: 'invalid_api_key' } }),
    );
  };
  for (const stream of [false, true]) {
    const answer = await served(key, { stream });
    assertError(answer, 502);
    assert.ok(!answer.text.includes('sk-proj'), answer.text);
  }
  real.answer = new ScriptedProvider().answer;
  assert.equal(nanoOf((await bourse.api.get('/credits', { key: management })).exact.data.total_usage), 0n);
  for (const [name, bytes] of bourse.logs())
    assert.ok(!bytes.includes(SECRET.slice(12, 40)), `the key is in log/${name}`);
});

test('a new key replaces the old one', async () => {
  const { key } = await bourse.makeCustomer();
  await goLive('sk-proj-TheSecondKey');
  await eventually(async () => {
    assert.equal((await served(key, { max_tokens: 10 })).status, 200);
    assert.equal(real.requests.at(-1).headers.authorization, 'Bearer sk-proj-TheSecondKey');
  });
});

test('a live provider is still live after every program was killed', async () => {
  const { key } = await bourse.makeCustomer();
  for (const program of ['catalog', 'ledger', 'usage', 'edge']) await bourse.killAndWait(program);
  await eventually(async () => {
    const answer = await served(key);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers['x-bourse-simulated'], undefined);
    assert.equal(real.requests.at(-1).headers.authorization, 'Bearer sk-proj-TheSecondKey');
  });
});

test('a provider whose server is away gives 502, free of charge', async () => {
  const { key, management } = await bourse.makeCustomer();
  const nobody = await new ScriptedProvider().listen();
  await nobody.close();
  await goLive(SECRET, `http://127.0.0.1:${nobody.port}/v1`);
  await eventually(async () => assertError(await served(key, { max_tokens: 10 }), 502));
  await goLive(SECRET);
  await untilReal(key);
  const { data } = (await bourse.api.get('/credits', { key: management })).exact;
  assert.equal(nanoOf(data.held), 0n);
});

test('a redirect is not followed', async () => {
  const { key } = await bourse.makeCustomer();
  const elsewhere = await new ScriptedProvider().listen();
  real.answer = (_, response) =>
    response.writeHead(307, { location: `http://127.0.0.1:${elsewhere.port}/v1/chat/completions` }).end();
  assertError(await served(key), 502);
  real.answer = new ScriptedProvider().answer;
  assert.equal(elsewhere.requests.length, 0);
  await elsewhere.close();
});

test('a provider that closes idle connections costs nobody an answer', async () => {
  const { key } = await bourse.makeCustomer();
  const { answer } = new ScriptedProvider();
  real.answer = (request, response) => {
    answer(request, response);
    response.on('finish', () => setImmediate(() => request.socket.destroy()));
  };
  for (let i = 0; i < 30; i++) assert.equal((await served(key)).status, 200, `request ${i}`);
  real.answer = answer;
});

test('what would loop through this instance is refused', async () => {
  const { key } = await bourse.makeCustomer();
  const via = real.requests.at(-1).headers.via;
  const answer = await bourse.api.chat(key, { model: MODEL, messages: user('Hello') }, { headers: { via } });
  assertError(answer, 508);
  assert.equal(
    (await bourse.api.chat(key, { model: MODEL, messages: user('Hello') }, { headers: { via: '1.1 other' } })).status,
    200,
  );
});

test('a wrong key file or address leaves everything as it is', async () => {
  await bourse.bourseFails('provider', 'live', 'openai', '--key-file', path.join(bourse.directory, 'missing'));
  await bourse.bourseFails('provider', 'live', 'nobody', '--key-file', keyFile(SECRET));
  await bourse.bourseFails('provider', 'live', 'openai', '--key-file', keyFile(''));
  await bourse.bourseFails('provider', 'live', 'openai', '--key-file', keyFile('two\nlines'));
  for (const url of [
    'ftp://127.0.0.1/',
    'nonsense',
    'http://',
    'file:///etc/passwd',
    'http://user:password@127.0.0.1/',
    'http://[::1',
    'http://127.0.0.1:99999/',
  ])
    await bourse.bourseFails('provider', 'live', 'openai', '--key-file', keyFile(SECRET), '--base-url', url);
  const { key } = await bourse.makeCustomer();
  assert.equal((await served(key)).headers['x-bourse-simulated'], undefined);
});

test('over TLS the certificate must be for the host that is called', async () => {
  const { authority, tls } = makeCertificate(bourse.directory, 'localhost');
  chmodSync(authority, 0o644);
  const secure = await new ScriptedProvider().listen({ tls });
  const { key } = await bourse.makeCustomer();

  // Not trusted: the system does not know this authority.
  await goLive(SECRET, `https://localhost:${secure.port}/v1`);
  await eventually(async () => assertError(await served(key, { max_tokens: 10 }), 502));
  assert.equal(secure.requests.length, 0);

  bourse.setOption('upstream_ca_file', authority);
  await bourse.killAndWait('edge');
  await eventually(async () => assert.equal((await served(key)).status, 200));
  assert.equal(secure.requests.at(-1).headers.authorization, `Bearer ${SECRET}`);

  // Trusted, but for another name.
  const calls = secure.requests.length;
  await goLive(SECRET, `https://127.0.0.1:${secure.port}/v1`);
  await eventually(async () => assertError(await served(key, { max_tokens: 10 }), 502));
  const before = secure.requests.length;
  assertError(await served(key), 502);
  assert.equal(secure.requests.length, before);
  assert.ok(before - calls < 50);
  await secure.close();
});

test('a provider can go back to the simulator, and forgets the address that was not the catalog’s', async () => {
  const addresses = async () => {
    const { data } = await bourse.bourse('provider', 'list');
    const { base_url, base_url_override } = data.find(({ slug }) => slug === 'openai');
    return [base_url, base_url_override];
  };
  const { key } = await bourse.makeCustomer();
  const own = `http://127.0.0.1:${real.port}/v1`;
  await goLive(SECRET);
  assert.deepEqual(await addresses(), [own, own]);
  await bourse.bourse('provider', 'simulated', 'openai');
  assert.deepEqual(await addresses(), ['https://api.openai.com/v1', null]);
  await eventually(async () => {
    const answer = await served(key);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.headers['x-bourse-simulated'], 'true');
  });
});
