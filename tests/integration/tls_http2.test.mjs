// SPDX-License-Identifier: Apache-2.0
// TLS and HTTP/2, which are off until they are configured: a second edge of the same instance listens with them. A client of HTTP/2 is
// billed like any other, one that leaves is seen at once, and one that resets streams by the hundred loses its connection, not our time.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import path from 'node:path';
import tls from 'node:tls';

import { BUILD, eventually, startInstance, within } from './harness.mjs';

const instance = startInstance({ setup: startSecondEdge });
const MODEL = 'openai/gpt-4o-mini';
let edge;
let port;
let authority;

async function startSecondEdge(instance) {
  const file = (name) => path.join(instance.directory, name);
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'],
    ...['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost'],
    ...['-keyout', file('key.pem'), '-out', file('certificate.pem')],
  ]);
  assert.equal(made.status, 0, String(made.stderr));
  authority = readFileSync(file('certificate.pem'));
  port = await freePort();
  const own = { edge_port: port, edge_threads: 1, edge_http2: true, edge_tls_certificate: file('certificate.pem'), edge_tls_key: file('key.pem') };
  const kept = readFileSync(path.join(instance.var, 'bourse.conf'), 'utf8')
    .split('\n')
    .filter((line) => !(line.split(' ')[0] in own));
  const lines = Object.entries(own).map(([name, value]) => `${name} = ${value}`);
  writeFileSync(file('tls.conf'), [...kept, ...lines, ''].join('\n'));
  edge = spawn(path.join(BUILD, 'edge'), ['--config', file('tls.conf')], { cwd: instance.var, stdio: ['ignore', 'ignore', 'pipe'] });
  edge.log = '';
  edge.stderr.on('data', (piece) => (edge.log += piece));
  await eventually(async () => assert.equal((await whole('GET', '/readyz')).status, 200, edge.log));
}

function freePort() {
  return new Promise((resolve) => {
    const server = net.createServer().listen(0, '127.0.0.1', () => {
      const { port: found } = server.address();
      server.close(() => resolve(found));
    });
  });
}

/** One HTTP/1.1 request over TLS. */
function whole(method, route, { key, body, options } = {}) {
  const bytes = body === undefined ? undefined : JSON.stringify(body);
  const headers = bytes === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(bytes) };
  if (key) headers.authorization = `Bearer ${key}`;
  return new Promise((resolve, reject) => {
    const settings = { host: '127.0.0.1', servername: 'localhost', port, ca: authority, method, path: route, headers, agent: false, ...options };
    const request = https.request(settings, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (piece) => (text += piece));
      answer.on('end', () => resolve({ status: answer.statusCode, text, headers: answer.headers }));
    });
    request.on('error', reject);
    request.end(bytes);
  });
}

function openSession() {
  const session = http2.connect(`https://127.0.0.1:${port}`, { ca: authority, servername: 'localhost' });
  session.problems = [];
  session.on('error', (error) => session.problems.push(error));
  return session;
}

function openChat(session, key, content, stream) {
  const body = JSON.stringify({ model: MODEL, stream, messages: [{ role: 'user', content }] });
  const request = session.request({
    ':method': 'POST',
    ':path': '/api/v1/chat/completions',
    authorization: `Bearer ${key}`,
    'content-type': 'application/json',
  });
  request.on('error', () => {});
  request.end(body);
  return request;
}

/** A frame of HTTP/2 (RFC 9113 §4.1). */
function frame(type, flags, stream, payload = Buffer.alloc(0)) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** HEADERS and DATA of a chat request. Header fields are literals with an indexed name (RFC 7541 §6.2.2, appendix A). */
function chatFrames(stream, key) {
  const body = Buffer.from(JSON.stringify({ model: MODEL, messages: [{ role: 'user', content: 'hello' }] }));
  const literal = (name, value) => {
    const index = name < 15 ? [name] : [15, name - 15];
    assert.ok(value.length < 127);
    return Buffer.concat([Buffer.from([...index, value.length]), Buffer.from(value)]);
  };
  const fields = Buffer.concat([
    Buffer.from([0x83, 0x87]), // :method POST, :scheme https
    literal(4, '/api/v1/chat/completions'),
    literal(1, 'localhost'),
    literal(23, `Bearer ${key}`),
    literal(31, 'application/json'),
  ]);
  return [frame(1, 4, stream, fields), frame(0, 1, stream, body)];
}

function readAll(request) {
  return new Promise((resolve, reject) => {
    let status;
    let text = '';
    request.on('response', (headers) => (status = headers[':status']));
    request.setEncoding('utf8').on('data', (piece) => (text += piece));
    request.on('end', () => resolve({ status, text }));
    request.on('close', () => reject(new Error('the stream was closed before its end')));
  });
}

test('a client over TLS 1.3 is answered and billed like any other', async () => {
  const { key } = await instance.makeCustomer();
  const answer = await whole('POST', '/api/v1/chat/completions', {
    key,
    body: { model: MODEL, messages: [{ role: 'user', content: 'sim:tokens=3' }] },
    options: { minVersion: 'TLSv1.3' },
  });
  assert.equal(answer.status, 200);
  // 12 bytes of prompt are 3 tokens: 3 · 0.15 + 3 · 0.60 dollars per million = 2,250 nano-dollars.
  assert.match(answer.text, /"cost":0\.00000225[,}]/);
});

test('TLS before 1.2 is refused', async () => {
  const attempt = new Promise((resolve, reject) => {
    const socket = tls.connect({ host: '127.0.0.1', port, ca: authority, servername: 'localhost', maxVersion: 'TLSv1.1', minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' });
    socket.on('secureConnect', resolve);
    socket.on('error', reject);
  });
  await assert.rejects(attempt);
});

test('HTTP/2 carries many streams over one connection, each whole and each billed', async () => {
  const { key } = await instance.makeCustomer();
  const session = openSession();
  const answers = await Promise.all(Array.from({ length: 20 }, () => readAll(openChat(session, key, 'sim:tokens=5', true))));
  for (const { status, text } of answers) {
    assert.equal(status, 200);
    assert.ok(text.endsWith('data: [DONE]\n\n'));
    assert.match(text, /"cost":0\.00000345[,}]/); // 3 · 0.15 + 5 · 0.60 dollars per million
  }
  session.close();
  const usage = await eventually(async () => {
    const { text } = await whole('GET', '/api/v1/key', { key });
    assert.match(text, /"usage":0\.000069[,}]/); // 20 times that
    return text;
  });
  assert.ok(usage);
});

test('an HTTP/2 client that resets its stream is cancelled upstream at once and pays only for what it got', async () => {
  const { key } = await instance.makeCustomer();
  const session = openSession();
  const request = openChat(session, key, 'sim:tokens=1000 sim:chunk_ms=20', true);
  const id = await new Promise((resolve) => request.on('response', (headers) => resolve(headers['x-generation-id'])));
  await new Promise((resolve) => request.once('data', resolve));
  request.close(http2.constants.NGHTTP2_CANCEL);
  const row = await eventually(async () => {
    const found = await instance.generationRow(id);
    assert.ok(found);
    return found;
  });
  assert.equal(row.state, 1);
  assert.ok((row.flags & 2) !== 0, 'the row says that the client left');
  // 31 bytes of prompt are 8 tokens; far fewer than 1000 tokens were delivered in that time.
  assert.ok(row.charge > 0n && row.charge < 100_000n, `${row.charge}`);
  await eventually(async () => {
    const [served] = await instance.simulator.served({ generation: id });
    assert.equal(served?.closed_by, 'client');
  });
  session.close();
});

test('a connection that resets hundreds of streams is cut, and others are served', async () => {
  const { key } = await instance.makeCustomer();
  await instance.simulator.fault('openai', { kind: 'hold' });
  const socket = tls.connect({ host: '127.0.0.1', port, ca: authority, servername: 'localhost', ALPNProtocols: ['h2'] });
  socket.on('error', () => {});
  socket.resume();
  const cut = new Promise((resolve) => socket.on('close', resolve));
  await new Promise((resolve) => socket.on('secureConnect', resolve));
  // No client library attacks like this, so the frames are made by hand: a request, its end, and its reset, again and again.
  socket.write(Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(4, 0, 0)]));
  const streams = 2000;
  let sent = 0;
  while (sent < streams && !socket.destroyed) {
    const stream = 1 + 2 * sent++;
    socket.write(Buffer.concat([...chatFrames(stream, key), frame(3, 0, stream, Buffer.from([0, 0, 0, 8]))]));
    if (sent % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await within(10_000, 'the connection to be cut', cut);
  await instance.simulator.clearFaults();
  const other = openSession();
  const { status } = await readAll(openChat(other, key, 'hello', false));
  assert.equal(status, 200);
  other.close();
  assert.match((await whole('GET', '/metrics')).text, /bourse_rapid_resets_total\{[^}]*\} 1\n/);
  const { text } = await whole('GET', '/metrics');
  const taken = Number(/bourse_requests_total\{[^}]*\} (\d+)/.exec(text)[1]);
  assert.ok(taken < streams, `${taken} requests were taken`);
});

test('a connection that finishes hundreds of streams is never cut', async () => {
  const { key } = await instance.makeCustomer();
  const session = openSession();
  for (let round = 0; round < 30; round++) {
    const answers = await Promise.all(Array.from({ length: 10 }, () => readAll(openChat(session, key, 'sim:tokens=1', false))));
    for (const { status } of answers) assert.equal(status, 200);
  }
  assert.deepEqual(session.problems, []);
  session.close();
});

test('at SIGTERM the edge ends in order, also with HTTP/2 connections open', async () => {
  const session = openSession();
  await new Promise((resolve) => session.on('connect', resolve));
  const ended = new Promise((resolve) => edge.on('exit', (code, signal) => resolve(signal ?? code)));
  edge.kill('SIGTERM');
  assert.equal(await within(10_000, 'the second edge to end', ended), 0, edge.log);
  session.close();
});
