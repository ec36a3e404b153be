// SPDX-License-Identifier: Apache-2.0
// Bodies, fields, keys, routes and methods as they must not be. Each gets the error envelope and a status that says whose fault it
// is; none reaches a provider, none is held for, none takes a program down (every test ends with the same processes).
import assert from 'node:assert/strict';
import test from 'node:test';

import { MODEL, assertError, user } from '../api.mjs';
import { loadModels } from '../catalog.mjs';
import { eventually } from '../harness.mjs';
import { bourse } from './one_instance.mjs';

let key;
bourse.prepare(async () => {
  ({ key } = await bourse.makeCustomer({ credit: '100' }));
});

const good = { model: MODEL, messages: user('Hello') };
const text = JSON.stringify(good);

/** Sends a body that must be refused before any provider is called. */
async function refused(body, status = 400, pattern) {
  const served = await bourse.simulator.total();
  const error = assertError(await bourse.api.chat(key, body), status, pattern);
  assert.equal(await bourse.simulator.total(), served, 'a provider was called');
  return error;
}

test('the body that all the others are made of is served', async () => {
  assert.equal((await bourse.api.chat(key, text)).status, 200);
});

// ---- JSON

const withText = (literal) => `{"model":"${MODEL}","messages":[{"role":"user","content":"Hello"}],"x":${literal}}`;

const notJson = {
  nothing: '',
  blanks: ' \n\t ',
  'a word': 'hello',
  'an opened object': '{',
  'an object that is closed twice': `${text}}`,
  'two objects': `${text}${text}`,
  'a comma at the end of an object': text.replace(/}$/, ',}'),
  'a comma at the end of an array': withText('[1,]'),
  'a comma for nothing': withText('[,]'),
  'single quotes': text.replaceAll('"', "'"),
  'a key without quotes': '{model:1}',
  'a comment': `/* hello */${text}`,
  'a byte order mark': `\ufeff${text}`,
  NaN: withText('NaN'),
  Infinity: withText('-Infinity'),
  undefined: withText('undefined'),
  True: withText('True'),
  'half a literal': withText('tru'),
  'a number with a plus': withText('+1'),
  'a number without digits before the point': withText('.5'),
  'a number without digits behind the point': withText('1.'),
  'a number with leading zeros': withText('01'),
  'a hexadecimal number': withText('0x10'),
  'an exponent without digits': withText('1e'),
  'a lone minus': withText('-'),
  'a tab inside a string': withText('"a\tb"'),
  'a line end inside a string': withText('"a\nb"'),
  'a NUL inside a string': withText('"a\0b"'),
  'a NUL behind the body': `${text}\0`,
  'an unknown escape': withText('"\\x41"'),
  'half an escape': withText('"\\u12"'),
  'a string without end': '{"model":"x',
  'a colon that is missing': '{"model" "x"}',
};
for (const [what, body] of Object.entries(notJson)) {
  test(`${what} is not JSON`, async () => {
    assert.throws(() => JSON.parse(body)); // the yardstick agrees
    await refused(body, 400, /not valid JSON/);
  });
}

test('a body that ends at any of its bytes is refused', async () => {
  const served = await bourse.simulator.total();
  for (let length = 0; length < text.length; length++)
    assertError(await bourse.api.chat(key, text.slice(0, length)), 400);
  assert.equal(await bourse.simulator.total(), served);
});

const notUtf8 = {
  'a lone continuation byte': [0x80],
  'a sequence that ends early': [0xc3],
  'an overlong slash': [0xc0, 0xaf],
  'an encoded surrogate': [0xed, 0xa0, 0x80],
  'a code point beyond the last': [0xf4, 0x90, 0x80, 0x80],
  'the byte 0xff': [0xff],
  'Latin-1': [0x48, 0xe9, 0x6c],
};
for (const [what, bytes] of Object.entries(notUtf8)) {
  test(`a string with ${what} is refused`, async () => {
    const [head, tail] = text.split('Hello');
    await refused(Buffer.concat([Buffer.from(head), Buffer.from(bytes), Buffer.from(tail)]), 400);
    await refused(Buffer.concat([Buffer.from(`{"`), Buffer.from(bytes), Buffer.from(`":1,${text.slice(1)}`)]), 400);
  });
}

test('UTF-8 of one to four bytes arrives', async () => {
  assert.equal((await bourse.api.chat(key, { ...good, messages: user('aé€😀') })).status, 200);
});

/** `levels` of nesting in all, the outermost object included. */
const nested = (levels, open = '[', close = ']') => withText(open.repeat(levels - 1) + close.repeat(levels - 1));

test('64 levels of nesting are served, 65 and 100,000 are refused', async () => {
  assert.equal((await bourse.api.chat(key, nested(64))).status, 200);
  await refused(nested(65), 400, /64 levels/);
  await refused(nested(100_000), 400, /64 levels/);
  await refused('['.repeat(100_000), 400);
  await refused('{"a":'.repeat(100_000), 400);
});

test('a body of 20 MB is refused with 413, one of 15 MB only for what it says', async () => {
  const big = (bytes) => `{"model":"${MODEL}","messages":[{"role":"user","content":"${'x'.repeat(bytes)}"}]}`;
  await refused(big(20_000_000), 413);
  await refused(big(15_000_000), 400, /context/);
});

test('a body of 20 MB in chunks, which announces no length, is refused with 413', async () => {
  const head = `POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nTransfer-Encoding: chunked\r\n\r\n`;
  const chunk = `100000\r\n${' '.repeat(0x100000)}\r\n`;
  const served = await bourse.simulator.total();
  const answer = await bourse.api.raw(head + chunk.repeat(20) + '0\r\n\r\n', { until: '}}' });
  assert.match(answer, /^HTTP\/1\.1 413 /);
  assert.match(answer, /"code":413/);
  assert.equal(await bourse.simulator.total(), served);
});

test('a million small values are refused or served, and quickly either way', async () => {
  const started = performance.now();
  const answer = await bourse.api.chat(key, withText(`[${'1,'.repeat(1_500_000)}1]`));
  assertError(answer, 413);
  assert.ok(performance.now() - started < 3000);
});

/** Where JSON.parse accepts, we must not say that it is no JSON: whatever else we think of it. */
const isJson = [
  '[]',
  '1',
  '"x"',
  'null',
  'true',
  ' {} ',
  '\t\r\n{}\n',
  '{"":1}',
  withText('""'),
  withText('-0'),
  withText('-0.0'),
  withText('1e400'),
  withText('-1E-400'),
  withText('1e+5'),
  withText('123456789012345678901234567890'),
  withText('0.1234567890123456789012345678901234567890'),
  withText('18446744073709551616'),
  withText('-9223372036854775809'),
  withText('"\\u0000"'),
  withText('"\\ud800"'),
  withText('"\\udc00\\ud800"'),
  withText('"\\ud83d\\ude00"'),
  withText('"\\/\\b\\f\\n\\r\\t\\"\\\\"'),
  withText('"\u007f\u2028\u2029"'),
  withText('[[],{},[{}]]'),
  withText('{"a":1,"a":2}'),
  withText('{"\\u0061":1}'),
  withText('"\ufeff"'),
  `\r\n${text}\r\n`,
  withText('[ 1 , 2 ]'),
  withText('0e0'),
];
for (const body of isJson) {
  test(`${body.length > 60 ? body.slice(body.indexOf('"x":') + 4, -1) : JSON.stringify(body)} is JSON`, async () => {
    JSON.parse(body);
    const answer = await bourse.api.chat(key, body);
    assert.ok(!/not valid JSON/.test(answer.text), answer.text);
    if (body.includes('Hello')) assert.equal(answer.status, 200, answer.text);
    else assertError(answer, 400);
  });
}

test('a top-level key that appears twice is refused', async () => {
  await refused(text.replace('{', '{"model":"openai/gpt-4o",'), 400, /twice/);
  await refused(text.replace(/}$/, `,"messages":[]}`), 400, /twice/);
  await refused(text.replace(/}$/, ',"unknown":1,"unknown":2}'), 400, /twice/);
  await refused(text.replace(/}$/, ',"max_tokens":1,"stream":false,"max_tokens":2}'), 400, /twice/);
});

test('a top-level key that is written with escapes is refused', async () => {
  await refused(text.replace('"model"', '"mod\\u0065l"'), 400, /escape/);
  await refused(text.replace(/}$/, ',"max\\u005ftokens":5}'), 400, /escape/);
  await refused(text.replace(/}$/, ',"\\/":5}'), 400, /escape/);
});

// ---- models

test('an unknown model is refused', async () => {
  for (const model of [
    'openai/gpt-0',
    'gpt-4o-mini',
    'openai',
    '/',
    'openai/',
    'OPENAI/GPT-4O-MINI ',
    'a'.repeat(160),
    'openai/gpt-4o-mini\0',
    '../etc/passwd',
  ])
    await refused({ ...good, model }, 400);
  await refused({ ...good, model: 'a'.repeat(10_000) }, 400);
  await refused({ ...good, model: '' }, 400);
  await refused({ messages: good.messages }, 400, /model/);
});

test('a model without a price is refused before any provider is called', async () => {
  await loadModels(bourse, {
    priced: { prompt: '0.0000000375', completion: '0.0000001' },
    unpriced: { prompt: '0', completion: '0' },
  });
  await refused({ ...good, model: 'test/unpriced' }, 400, /no price/);
  // $0.0375 a million is 37.5 nano-dollars a token: three are 112.5, rounded half up once. "sim:tokens=1" is 12 bytes: 3 tokens.
  const answer = await bourse.api.chat(key, { model: 'test/priced', messages: user('sim:tokens=1') });
  assert.equal(answer.status, 200, answer.text);
  assert.equal(answer.exact.usage.cost, '#0.000000213'); // 112.5 + 100 = 212.5
});

test('an image that no provider of the model prices is refused before any is called', async () => {
  await refused(
    { ...good, messages: part({ type: 'image_url', image_url: { url: 'data:image/png;base64,iVBORw0KGgo=' } }) },
    400,
  );
  await refused(
    { ...good, messages: part({ type: 'image_url', image_url: { url: 'https://example.org/picture.png' } }) },
    400,
  );
});

test('a body that no route of the control plane takes is refused with the envelope, whatever its size', async () => {
  const { management } = await bourse.makeCustomer();
  for (const bytes of [16_385, 17_000, 100_000, 1_000_000, 2_000_000]) {
    const answer = await bourse.api.post('/keys', Buffer.alloc(bytes, ' '), { key: management });
    assertError(answer, 413);
  }
  const fits = JSON.stringify({ name: 'large' }).padEnd(16_384, ' ');
  assert.equal((await bourse.api.post('/keys', fits, { key: management })).status, 201);
});

// ---- numbers

test('max_tokens that is negative, zero, huge, a fraction, text or something else is refused', async () => {
  for (const field of ['max_tokens', 'max_completion_tokens']) {
    for (const value of [
      '-1',
      '0',
      '-0',
      '1.5',
      '0.5',
      '1e400',
      '2147483648',
      '9223372036854775807',
      '9223372036854775808',
      '18446744073709551616',
      '123456789012345678901234567890',
      '"10"',
      'true',
      '[]',
      '[10]',
      '{}',
      '1e-5',
      '-9223372036854775809',
    ]) {
      const error = await refused(text.replace(/}$/, `,"${field}":${value}}`), 400);
      assert.equal(error.metadata.field, field, value);
    }
    assert.equal((await bourse.api.chat(key, { ...good, [field]: 5 })).status, 200);
    assert.equal((await bourse.api.chat(key, { ...good, [field]: null })).status, 200);
  }
});

test('max_tokens beyond what any provider of the model can do is refused with the largest that would be served', async () => {
  for (const field of ['max_tokens', 'max_completion_tokens']) {
    for (const value of [16_385, 2_000_000_000, 2_147_483_647]) {
      const error = await refused({ ...good, [field]: value }, 400, /^max_(completion_)?tokens must be at most 16384: /);
      assert.equal(error.metadata.field, field);
    }
    assert.equal((await bourse.api.chat(key, { ...good, [field]: 16_384 })).status, 200);
  }
});

// ---- types

const part = (extra) => [{ role: 'user', content: [{ type: 'text', text: 'Hello' }, extra] }];
const wrongTypes = {
  model: [1, true, [], {}, null],
  models: [1, 'x', {}, [1], [null], ['a'.repeat(200)]],
  messages: [1, 'x', {}, null, true, [], [1], ['x'], [null], [[]], [{}], [{ role: 'user' }, 5]],
  'messages[0].role': [
    [{ role: 1, content: 'x' }],
    [{ role: null, content: 'x' }],
    [{ role: {}, content: 'x' }],
    [{ content: 'x' }],
  ],
  'messages[0].content': [
    [{ role: 'user', content: 1 }],
    [{ role: 'user', content: true }],
    [{ role: 'user', content: {} }],
    part(1),
    part(null),
    part('x'),
    part([]),
    part({}),
    part({ type: 1 }),
    part({ type: 'text' }),
    part({ type: 'text', text: 5 }),
    part({ type: 'text', text: null }),
    part({ type: 'image_url' }),
    part({ type: 'image_url', image_url: 5 }),
    part({ type: 'video_url', video_url: { url: 'x' } }),
    part({ type: 'input_audio', input_audio: {} }),
    part({ type: 'unknown' }),
  ],
  stream: [1, 'true', [], {}, 0],
  n: [0, -1, 1.5, 9, '2', true, [], {}, 1e30],
  provider: [1, 'openai', true, []],
  'provider.order': [
    { order: 1 },
    { order: 'openai' },
    { order: {} },
    { order: [1] },
    { order: ['x'.repeat(65)] },
    { order: Array(17).fill('openai') },
  ],
  'provider.only': [{ only: 1 }, { only: [null] }, { only: true }],
  'provider.ignore': [{ ignore: 'openai' }, { ignore: [{}] }],
  'provider.allow_fallbacks': [{ allow_fallbacks: 'no' }, { allow_fallbacks: 1 }, { allow_fallbacks: [] }],
  'provider.sort': [{ sort: 1 }, { sort: [] }, { sort: true }, { sort: { by: 7 } }],
  stream_options: [1, 'x', [], true, { include_usage: 'yes' }, { include_usage: 1 }],
  usage: [1, 'x', [], true, { include: 'yes' }],
  tools: [1, 'x', {}, true],
  functions: [1, 'x', {}, true],
  response_format: [1, 'json', [], true],
  modalities: [1, 'text', {}, [1], ['image'], ['text', 'audio']],
  session_id: [1, [], {}, true, 'x'.repeat(257)],
  user: [1, [], {}, true],
  plugins: [1, 'web', true, [{ id: 'web' }]],
  web_search_options: [1, 'x', true, {}],
  service_tier: [1, true, {}, [], 'priority', 'flex', 'scale', ''],
};
for (const [field, values] of Object.entries(wrongTypes)) {
  test(`${field} of a wrong type is refused, and the error names it`, async () => {
    const name = field.split(/[.[]/)[0];
    for (const value of values) {
      const error = await refused({ ...good, [name]: value }, 400);
      const shown = `${JSON.stringify(value)}: ${error.message}`;
      assert.ok(error.metadata.field?.startsWith(name), shown);
      assert.ok(error.message.includes(name), shown);
    }
  });
}

test('optional fields that are null count as absent', async () => {
  const names = [
    'models',
    'stream',
    'max_tokens',
    'max_completion_tokens',
    'n',
    'provider',
    'stream_options',
    'usage',
    'tools',
    'functions',
    'response_format',
    'modalities',
    'session_id',
    'user',
    'plugins',
    'web_search_options',
    'service_tier',
    'temperature',
    'metadata',
    'stop',
    'reasoning',
  ];
  const answer = await bourse.api.chat(key, { ...good, ...Object.fromEntries(names.map((name) => [name, null])) });
  assert.equal(answer.status, 200, answer.text);
});

test('fields that nobody here reads pass through, whatever they hold', async () => {
  for (const value of [1, 'x', true, null, [], {}, [1, { a: [] }], 1e300])
    assert.equal((await bourse.api.chat(key, { ...good, something_new: value, temperature: value })).status, 200);
});

test('every field with every kind of value is answered by 200 or 4xx, never by a fault of ours', async () => {
  const names = Object.keys(wrongTypes)
    .filter((name) => !/[.[]/.test(name))
    .concat('stop', 'tool_choice', 'reasoning', 'reasoning_effort', 'metadata', 'logit_bias', 'transforms', 'route');
  const values = [
    null,
    true,
    false,
    0,
    -1,
    1,
    1.5,
    1e300,
    '',
    'x',
    'x'.repeat(5000),
    [],
    [null],
    [[]],
    [{}],
    {},
    { a: {} },
    { type: 'x' },
    [1, 'x', null],
  ];
  for (const name of names) {
    const answers = await Promise.all(
      values.map((value) =>
        bourse.api.chat(key, { ...good, [name]: value, ...(name === 'stream' ? { stream: value } : {}) }),
      ),
    );
    for (const [i, answer] of answers.entries())
      assert.ok(answer.status < 500, `${name} = ${JSON.stringify(values[i])}: ${answer.status} ${answer.text}`);
  }
});

// ---- routes and methods

test('routes that do not exist are 404', async () => {
  const routes = [
    '/api',
    '/api/v1',
    '/api/v1/',
    '/api/v2/models',
    '/api/v1/chat',
    '/api/v1/chat/completions/',
    '/api/v1//models',
    '//api/v1/models',
    '/api/v1/keys/a/b',
    '/api/v1/models/a/b/c/d',
    '/api/v1/../v1/models',
    '/api/v1/./models',
    '/api/v1/%6dodels',
    '/operator/orgs',
    '/metrics/',
    '/api/v1/models%00',
    '/api/v1/models/%2e%2e/key',
    '/api/v1/%2e%2e/operator/orgs',
    `/api/v1/${'x'.repeat(8000)}`,
    '/api/v1/%',
    '/api/v1/%zz',
    '/api/v1/keys/%2e%2e%2forgs',
  ];
  for (const route of routes) {
    const answer = await bourse.api.get(route, { root: true, key });
    assert.ok([404, 400, 403].includes(answer.status), `${route}: ${answer.status} ${answer.text}`);
    assertError(answer, answer.status);
  }
});

const methods = {
  '/api/v1/chat/completions': ['POST'],
  '/api/v1/key': ['GET'],
  '/api/v1/keys': ['GET', 'POST'],
  [`/api/v1/keys/${'0'.repeat(64)}`]: ['GET', 'PATCH', 'DELETE'],
  '/api/v1/credits': ['GET'],
  '/api/v1/purchases': ['GET', 'POST'],
  '/api/v1/models': ['GET'],
  [`/api/v1/models/${MODEL}/endpoints`]: ['GET'],
  '/api/v1/providers': ['GET'],
  '/api/v1/generation': ['GET'],
  '/healthz': ['GET'],
  '/readyz': ['GET'],
  '/metrics': ['GET'],
};
for (const [route, allowed] of Object.entries(methods)) {
  test(`${route.replace(/0{64}/, '{hash}')} refuses other methods with 405 and says which it takes`, async () => {
    const takes = allowed.includes('GET') ? [...allowed, 'HEAD'] : allowed;
    for (const method of ['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'BREW']) {
      if (allowed.includes(method)) continue;
      // A browser's question about a route of the API, which is answered.
      if (method === 'OPTIONS' && route.startsWith('/api/')) continue;
      const [head, body] = (
        await bourse.api.raw(
          `${method} ${route} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${key}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
        )
      ).split('\r\n\r\n');
      assert.match(head, /^HTTP\/1\.1 405 /, method);
      assert.equal(
        /^allow: (.*)$/im.exec(head)?.[1].trim().split(', ').sort().join(),
        [...takes].sort().join(),
        method,
      );
      assert.equal(JSON.parse(body).error.code, 405);
    }
  });
}

test('HEAD answers like GET without the body, and is refused where GET is', async () => {
  const { management } = await bourse.makeCustomer();
  for (const route of [
    '/healthz',
    '/metrics',
    '/api/v1/models/count',
    '/api/v1/key',
    '/api/v1/keys',
    '/api/v1/models/x/y',
    '/none',
  ]) {
    const options = { key: route === '/api/v1/keys' ? management : key, root: true };
    const get = await bourse.api.get(route, options);
    const head = await bourse.api.request('HEAD', route, options);
    assert.deepEqual([head.status, head.headers['content-type']], [get.status, get.headers['content-type']], route);
    assert.equal(head.text, '');
    assert.match(head.headers['content-length'], /^\d+$/, route);
    if (!/metrics|key/.test(route)) assert.equal(head.headers['content-length'], String(get.text.length), route);
  }
  assert.equal((await bourse.api.request('HEAD', '/chat/completions', { key })).status, 405);
  assert.equal((await bourse.api.request('HEAD', '/key')).status, 401);
  // The connection goes on behind an answer without body.
  const text = await bourse.api.raw(
    'HEAD /api/v1/models HTTP/1.1\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n',
  );
  assert.match(text, /^HTTP\/1\.1 200 [^{]*\r\n\r\nHTTP\/1\.1 200 [^{]*\{"status":"ok"\}$/);
});

test('a page of another origin may use the API, and nothing else here', async () => {
  const origin = { origin: 'https://app.example' };
  for (const [route, methods] of [
    ['/chat/completions', 'POST'],
    ['/keys', 'GET, HEAD, POST'],
    ['/models', 'GET, HEAD'],
  ]) {
    const asked = { ...origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'x-a' };
    const answer = await bourse.api.request('OPTIONS', route, { headers: asked });
    assert.deepEqual([answer.status, answer.text], [204, '']);
    assert.equal(answer.headers['access-control-allow-origin'], '*');
    assert.equal(answer.headers['access-control-allow-methods'], methods);
    assert.match(answer.headers['access-control-allow-headers'], /^authorization, content-type, .*\*$/);
    assert.equal(answer.headers['access-control-allow-credentials'], undefined);
  }
  assertError(await bourse.api.request('OPTIONS', '/none', { headers: origin }), 404);
  for (const answer of [
    await bourse.api.chat(key, good, { headers: origin }),
    await bourse.api.chat('wrong', good, { headers: origin }),
    await bourse.api.get('/models/count', { headers: origin }),
  ]) {
    assert.equal(answer.headers['access-control-allow-origin'], '*');
    assert.match(answer.headers['access-control-expose-headers'], /x-generation-id/);
  }
  assert.equal((await bourse.api.chat(key, good)).headers['access-control-allow-origin'], undefined); // no page asked
  for (const route of ['/healthz', '/metrics', '/readyz']) {
    const answer = await bourse.api.get(route, { headers: origin, root: true });
    assert.equal(answer.headers['access-control-allow-origin'], undefined, route);
    assertError(await bourse.api.request('OPTIONS', route, { headers: origin, root: true }), 405);
  }
});

test('a target that cannot be passed on is refused as the client’s, not as a service that is down', async () => {
  for (const query of ['q=\u00e9'.repeat(10), `q=${'x'.repeat(9000)}\u00e9`]) {
    const head = Buffer.from(`GET /api/v1/models?${query} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n`);
    assert.match(String(await bourse.api.raw(head)), /^HTTP\/1.1 400 /);
  }
});

test('a 401 says how to identify oneself', async () => {
  for (const answer of [
    await bourse.api.chat(undefined, good),
    await bourse.api.chat('wrong', good),
    await bourse.api.get('/key', { key: 'wrong' }),
    await bourse.api.get('/credits'),
  ]) {
    assertError(answer, 401);
    assert.equal(answer.headers['www-authenticate'], 'Bearer');
  }
});

test('a compressed body is refused as such, an identity is none', async () => {
  for (const coding of ['gzip', 'br', 'zstd', 'gzip, identity']) {
    const headers = { 'content-encoding': coding };
    assertError(await bourse.api.chat(key, good, { headers }), 415, /compressed/);
    assertError(await bourse.api.post('/keys', { name: 'x' }, { key, headers }), 415, /compressed/);
  }
  assert.equal((await bourse.api.chat(key, good, { headers: { 'content-encoding': 'Identity' } })).status, 200);
});

test('two Authorization headers are refused, whichever comes first', async () => {
  const { key: other } = await bourse.makeCustomer();
  for (const keys of [
    [key, other],
    [key, key],
    ['wrong', key],
  ]) {
    const lines = keys.map((each) => `Authorization: Bearer ${each}\r\n`).join('');
    const answer = await bourse.api.raw(
      `GET /api/v1/key HTTP/1.1\r\nHost: x\r\n${lines}Connection: close\r\n\r\n`,
    );
    assert.match(answer, /^HTTP\/1\.1 400 .*"Send one Authorization header\."/s);
  }
});

test('an answer that failed names its generation when there is one', async () => {
  await bourse.simulator.fault('openai', { kind: 'status', status: 500 });
  const answer = await bourse.api.chat(key, good);
  await bourse.simulator.clearFaults();
  assertError(answer, 502);
  const id = answer.headers['x-generation-id'];
  const row = await bourse.api.get(`/generation?id=${id}`, { key });
  assert.equal(row.status, 200, row.text);
  assert.equal(row.exact.data.total_cost, '#0');
  assert.equal((await bourse.api.chat(key, { ...good, model: 'none/none' })).headers['x-generation-id'], undefined);
});

test('a model id with an encoded slash is the model, with and without what follows', async () => {
  for (const rest of ['', '/endpoints', '/endpoints?x=%2F']) {
    for (const slash of ['%2F', '%2f']) {
      // The outcomes of the tests before still come in between two answers: figures of health move.
      await eventually(async () => {
        const plain = await bourse.api.get(`/models/openai/gpt-4o-mini${rest}`);
        const encoded = await bourse.api.get(`/models/openai${slash}gpt-4o-mini${rest}`);
        assert.equal(encoded.status, 200);
        assert.deepEqual(encoded.json, plain.json);
      });
    }
  }
  assertError(await bourse.api.get('/models/openai%2Fgpt-4o-mini%2F..%2Fx/endpoints'), 404);
});

test('queries of the control plane that make no sense are refused', async () => {
  const { management } = await bourse.makeCustomer();
  for (const route of [
    '/keys?offset=-1',
    '/keys?offset=x',
    '/keys?limit=0',
    '/keys?limit=1000000',
    '/keys?offset=99999999999999999999',
    '/purchases?limit=1.5',
  ])
    assertError(await bourse.api.get(route, { key: management }), 400);
  for (const id of [
    '',
    'x',
    'gen-',
    'gen-' + '0'.repeat(26),
    'gen-' + 'z'.repeat(26),
    "gen-' or 1=1--",
    '%00',
    'x'.repeat(5000),
  ]) {
    const answer = await bourse.api.get(`/generation?id=${encodeURIComponent(id)}`, { key });
    assert.ok([400, 404, 431].includes(answer.status), `${answer.status} for ${id.slice(0, 40)}: ${answer.text}`);
    assertError(answer, answer.status);
  }
  assertError(await bourse.api.get('/generation', { key }), 400);
});
