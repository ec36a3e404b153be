// SPDX-License-Identifier: Apache-2.0
// Bytes that no client library would send: ambiguous framing that two servers in a row could read differently, heads that are too
// large or too slow, garbage. Each is answered with an error or a closed connection, in time.
import assert from 'node:assert/strict';
import net from 'node:net';
import test, { beforeEach } from 'node:test';

import { MODEL, user } from './api.mjs';
import { eventually, startInstance, within } from './harness.mjs';

const HEADER_TIMEOUT_MS = 2000;
const body = JSON.stringify({ model: MODEL, messages: user('Hello') });
let key, served;
const bourse = startInstance({
  options: { edge_header_timeout: HEADER_TIMEOUT_MS },
  setup: async (instance) => {
    ({ key } = await instance.makeCustomer());
  },
});
beforeEach(async () => {
  served = await bourse.simulator.total();
});

const request = (headers, payload = body) =>
  [
    'POST /api/v1/chat/completions HTTP/1.1',
    `Authorization: Bearer ${key}`,
    'Content-Type: application/json',
    ...headers,
    '',
    payload,
  ].join('\r\n');
const length = `Content-Length: ${body.length}`;
const chunked = `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;

/** One answer, an error with that status, and then the connection ends: what follows on it could not be trusted. */
function assertRefused(text, ...statuses) {
  const status = Number(/^HTTP\/1\.[01] (\d{3}) /.exec(text)?.[1]);
  assert.ok(statuses.includes(status), text || 'no answer');
  assert.equal(text.match(/^HTTP\/1\.1 /gm).length, 1, 'one answer');
  const [head, payload] = text.split('\r\n\r\n');
  assert.match(head, /content-type: application\/json/i);
  assert.match(head, /^x-bourse-request: req-[0-9a-f]{16}\r?$/m);
  assert.equal(JSON.parse(payload).error.code, status);
}

test('a well-formed request is served, with a length and in chunks', async () => {
  const plain = await bourse.api.raw(request(['Host: x', length, 'Connection: close']));
  assert.match(plain, /^HTTP\/1\.1 200 /);
  const pieces = await bourse.api.raw(request(['Host: x', 'Transfer-Encoding: chunked', 'Connection: close'], chunked));
  assert.match(pieces, /^HTTP\/1\.1 200 /);
});

const refused = {
  'two different Content-Length': [['Host: x', length, 'Content-Length: 5'], body],
  'two equal Content-Length': [['Host: x', length, length], body],
  'a list as Content-Length': [['Host: x', `Content-Length: ${body.length}, ${body.length}`], body],
  'a negative Content-Length': [['Host: x', 'Content-Length: -5'], body],
  'a Content-Length with a plus': [['Host: x', `Content-Length: +${body.length}`], body],
  'a hexadecimal Content-Length': [['Host: x', 'Content-Length: 0x10'], body],
  'an empty Content-Length': [['Host: x', 'Content-Length: '], body],
  'a Content-Length of twenty digits': [['Host: x', 'Content-Length: 99999999999999999999'], body],
  'Transfer-Encoding beside Content-Length': [['Host: x', length, 'Transfer-Encoding: chunked'], chunked],
  'Content-Length beside Transfer-Encoding': [['Host: x', 'Transfer-Encoding: chunked', length], chunked],
  'two Transfer-Encoding': [['Host: x', 'Transfer-Encoding: chunked', 'Transfer-Encoding: chunked'], chunked],
  'an unknown Transfer-Encoding': [['Host: x', 'Transfer-Encoding: gzip'], chunked],
  'a list of Transfer-Encodings': [['Host: x', 'Transfer-Encoding: gzip, chunked'], chunked],
  'a misspelt Transfer-Encoding': [['Host: x', 'Transfer-Encoding: xchunked'], chunked],
  'no Host': [[length], body],
  'two Hosts': [['Host: x', 'Host: y', length], body],
  'two equal Hosts': [['Host: x', 'Host: x', length], body],
  'a folded line': [['Host: x', 'X-Long: a\r\n b', length], body],
  'a blank before the first header': [[' Host: x', length], body],
  'a chunk size that is no number': [['Host: x', 'Transfer-Encoding: chunked'], `zz\r\n${body}\r\n0\r\n\r\n`],
  'a chunk size beyond 64 bits': [
    ['Host: x', 'Transfer-Encoding: chunked'],
    `fffffffffffffffff\r\n${body}\r\n0\r\n\r\n`,
  ],
  'a negative chunk size': [['Host: x', 'Transfer-Encoding: chunked'], `-1\r\n${body}\r\n0\r\n\r\n`],
};
for (const [what, [headers, payload]] of Object.entries(refused)) {
  test(`${what} is refused and the connection closed`, async () => {
    const text = await bourse.api.raw(request(headers, payload), { deadline_ms: HEADER_TIMEOUT_MS + 3000 });
    assertRefused(text, 400, 413, 501);
    assert.equal(await bourse.simulator.total(), served, 'a provider was called');
  });
}

// What the library's parser cannot read it refuses before there is a request.
const unreadable = {
  'a line without colon': [['Host: x', 'Nonsense', length], body],
  'a blank before the colon': [['Host: x', 'Transfer-Encoding : chunked', length], chunked],
  'a NUL in a header': [['Host: x', 'X-Nul: a\0b', length], body],
  'a lone CR in a header': [['Host: x', 'X-Cr: a\rb', length], body],
  'a header name that is no token': [['Host: x', 'X(y): z', length], body],
  'an empty header name': [['Host: x', ': z', length], body],
  'a blank before the colon of Content-Length': [['Host: x', `Content-Length : ${body.length}`], body],
  'a head of more than 100 lines': [['Host: x', ...Array.from({ length: 100 }, (_, i) => `X-${i}: x`), length], body],
};
for (const [what, [headers, payload]] of Object.entries(unreadable)) {
  test(`${what} is refused and the connection closed`, async () => {
    const text = await bourse.api.raw(request(headers, payload), { deadline_ms: HEADER_TIMEOUT_MS + 3000 });
    assertRefused(text, 400);
    assert.equal(await bourse.simulator.total(), served, 'a provider was called');
  });
}

test('a head that cannot be read is refused behind one that can, on the same connection', async () => {
  const text = await bourse.api.raw('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nNonsense\r\n\r\n');
  const second = text.indexOf('HTTP/1.1 400 ');
  assert.match(text.slice(0, second), /^HTTP\/1\.1 200 .*\{"status":"ok"\}$/s);
  assertRefused(text.slice(second), 400);
});

test('the refusal holds for the control plane, too, and nothing smuggled behind it is served', async () => {
  const smuggled = 'GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n';
  for (const headers of [
    ['Host: x', 'Content-Length: 5', 'Content-Length: 0'],
    ['Host: x', 'Content-Length: 5', 'Transfer-Encoding: chunked'],
    ['Host: x', 'Host: y'],
  ]) {
    const text = await bourse.api.raw(
      ['GET /api/v1/models HTTP/1.1', ...headers, '', `0\r\n\r\n${smuggled}`].join('\r\n'),
      { deadline_ms: HEADER_TIMEOUT_MS + 3000 },
    );
    assertRefused(text, 400);
    assert.ok(!text.includes('"ok"'));
  }
});

test('a header line beyond 32 KB and a head beyond 64 KB are refused', async () => {
  const line = await bourse.api.raw(request(['Host: x', `X-Long: ${'x'.repeat(40_000)}`, length]), {
    deadline_ms: HEADER_TIMEOUT_MS + 3000,
  });
  assertRefused(line, 431, 400);
  const many = Array.from({ length: 80 }, (_, i) => `X-${i}: ${'x'.repeat(1000)}`);
  const head = await bourse.api.raw(request(['Host: x', ...many, length]), { deadline_ms: HEADER_TIMEOUT_MS + 3000 });
  assertRefused(head, 431, 400);
  const fits = await bourse.api.raw(request(['Host: x', `X-Long: ${'x'.repeat(30_000)}`, length, 'Connection: close']));
  assert.match(fits, /^HTTP\/1\.1 200 /);
});

const garbage = {
  'random bytes': Buffer.from(Array.from({ length: 256 }, (_, i) => (i * 37) & 255)).toString('latin1') + '\r\n\r\n',
  'the start of a TLS connection': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03' + '\x00'.repeat(64) + '\r\n\r\n',
  'an unknown version': 'GET /healthz HTTP/9.9\r\nHost: x\r\n\r\n',
  'no version': 'GET /healthz\r\nHost: x\r\n\r\n',
  'no path': 'GET  HTTP/1.1\r\nHost: x\r\n\r\n',
  'a path without slash': 'GET healthz HTTP/1.1\r\nHost: x\r\n\r\n',
  'another protocol': 'EHLO mail.example\r\n\r\n',
  'the start of an HTTP/2 connection': 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
  'HTTP/2.0 as a version': 'GET /healthz HTTP/2.0\r\nHost: x\r\n\r\n',
};
for (const [what, bytes] of Object.entries(garbage)) {
  test(`${what} is refused and the connection closed`, async () => {
    const text = await bourse.api.raw(bytes, { deadline_ms: HEADER_TIMEOUT_MS + 3000 });
    assertRefused(text, 400, 404);
  });
}

test('headers that drip in byte by byte end with the time for them', async () => {
  const started = performance.now();
  const socket = net.connect(bourse.port, '127.0.0.1');
  const closed = new Promise((resolve) => socket.on('close', resolve).on('error', () => {}));
  const text = request(['Host: x', length]);
  let at = 0;
  const drip = setInterval(() => socket.writable && socket.write(text[at++]), 100);
  socket.resume();
  await within(HEADER_TIMEOUT_MS + 2000, 'the connection is closed', closed).finally(() => clearInterval(drip));
  const elapsed = performance.now() - started;
  assert.ok(elapsed > HEADER_TIMEOUT_MS / 2, `${elapsed} ms is no patience`);
  assert.ok(at > 5);
});

test('a body that drips in byte by byte ends with the time for it', async () => {
  const socket = net.connect(bourse.port, '127.0.0.1');
  const closed = new Promise((resolve) => socket.on('close', resolve).on('error', () => {}));
  socket.write(request(['Host: x', length], ''));
  let at = 0;
  const drip = setInterval(() => socket.writable && socket.write(body[at++] ?? ' '), 100);
  socket.resume();
  await within(HEADER_TIMEOUT_MS + 2000, 'the connection is closed', closed).finally(() => clearInterval(drip));
  assert.equal(await bourse.simulator.total(), served, 'a provider was called');
});

test('a connection that says nothing is closed in time', async () => {
  const socket = net.connect(bourse.port, '127.0.0.1');
  const closed = new Promise((resolve) => socket.on('close', resolve).on('error', () => {}));
  socket.resume();
  await within(HEADER_TIMEOUT_MS + 2000, 'the connection is closed', closed);
});

test('a client that ends in the middle of its body is not served', async () => {
  const socket = net.connect(bourse.port, '127.0.0.1');
  const closed = new Promise((resolve) => socket.on('close', resolve).on('error', () => {}));
  socket.end(request(['Host: x', length], body.slice(0, -5)));
  socket.resume();
  await within(HEADER_TIMEOUT_MS + 2000, 'the connection is closed', closed);
  assert.equal(await bourse.simulator.total(), served, 'a provider was called');
});

test('200 connections that drip do not keep others out', async () => {
  const sockets = Array.from({ length: 200 }, () => net.connect(bourse.port, '127.0.0.1').on('error', () => {}));
  for (const socket of sockets) socket.write('POST /api/v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-Slow: ');
  const answer = await within(1000, 'another client is served', bourse.api.chat(key, body));
  assert.equal(answer.status, 200);
  await eventually(() => assert.ok(sockets.every((socket) => socket.destroyed || socket.readyState !== 'open')), {
    deadline_ms: HEADER_TIMEOUT_MS + 3000,
  }).finally(() => sockets.forEach((socket) => socket.destroy()));
});

test('two requests behind each other on one connection are answered in order', async () => {
  const health = 'GET /healthz HTTP/1.1\r\nHost: x\r\n';
  const text = await bourse.api.raw(`${health}\r\n${request(['Host: x', length])}${health}Connection: close\r\n\r\n`);
  const statuses = text.match(/HTTP\/1\.1 \d{3}/g);
  assert.deepEqual(statuses, ['HTTP/1.1 200', 'HTTP/1.1 200', 'HTTP/1.1 200']);
  assert.ok(text.indexOf('chat.completion') > 0);
});

test('a client that asks before it sends is told to go on', async () => {
  const socket = net.connect(bourse.port, '127.0.0.1');
  let text = '';
  socket
    .setEncoding('utf8')
    .on('data', (piece) => (text += piece))
    .on('error', () => {});
  socket.write(request(['Host: x', length, 'Expect: 100-continue', 'Connection: close'], ''));
  await eventually(() => assert.match(text, /^HTTP\/1\.1 100 /));
  socket.write(body);
  await eventually(() => assert.match(text, /HTTP\/1\.1 200 /));
  socket.destroy();
});

test('HTTP/1.0 without a Host is served and closed', async () => {
  const text = await bourse.api.raw('GET /healthz HTTP/1.0\r\n\r\n');
  assert.match(text, /^HTTP\/1\.[01] 200 /);
});
