// SPDX-License-Identifier: Apache-2.0
// The way out: programs without a network ask the edge over run/egress.sock, and the edge calls nobody that the operator has not
// listed for that purpose. The target is a server of the test's that keeps what it was sent.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import http from 'node:http';
import path from 'node:path';
import test, { after } from 'node:test';
import { promisify } from 'node:util';

import { startInstance, within } from './harness.mjs';
import { ScriptedProvider } from './scripted_provider.mjs';

const run = promisify(execFile);
const target = await new ScriptedProvider((request, response) => answers[request.url](request, response)).listen();
const unlisted = await new ScriptedProvider((_, response) => response.end('never')).listen();
after(() => Promise.all([target.close(), unlisted.close()]));
const base = `http://127.0.0.1:${target.port}`;
const bourse = startInstance({ options: { egress_allow: `stripe=${base}`, egress_simulated: base } });

const answers = {
  '/echo': (_, response) => {
    response.setHeader('content-type', 'application/json');
    response.statusCode = 402;
    response.end('{"kept":true}');
  },
  '/redirect': (_, response) => {
    response.writeHead(302, { location: `http://127.0.0.1:${unlisted.port}/` });
    response.end();
  },
  '/silent': () => {},
  '/torn': (_, response) => {
    response.writeHead(200, { 'content-length': 100 });
    response.write('half');
    setTimeout(() => response.destroy(), 50);
  },
  '/huge': (_, response) => response.end(Buffer.alloc(5 << 20)), // above 4 MiB
};

/** One request on the socket, as the ledger makes it. */
function ask(url, { method = 'POST', purpose = 'stripe', body = 'a=1', headers = {} } = {}) {
  const options = {
    socketPath: path.join(bourse.var, 'run/egress.sock'),
    path: '/',
    method,
    headers: { 'x-bourse-target': url, 'x-bourse-purpose': purpose, 'content-length': Buffer.byteLength(body), ...headers },
  };
  return new Promise((resolve, reject) => {
    const request = http.request(options, (answer) => {
      const pieces = [];
      answer.on('data', (piece) => pieces.push(piece));
      answer.on('error', reject);
      answer.on('end', () =>
        resolve({
          status: answer.statusCode,
          outcome: answer.headers['x-bourse-egress'],
          type: answer.headers['content-type'],
          text: Buffer.concat(pieces).toString(),
        }),
      );
    });
    request.on('error', reject);
    request.end(body);
  });
}

test('a listed address is called with method, body and the listed headers, and its answer comes back as it is', async () => {
  const answer = await ask(`${base}/echo`, {
    body: 'amount=500',
    headers: {
      authorization: 'Bearer sk_test_1',
      'idempotency-key': 'pur-1',
      'content-type': 'application/x-www-form-urlencoded',
      'x-secret': 'stays',
    },
  });
  assert.deepEqual(answer, { status: 402, outcome: 'answered', type: 'application/json', text: '{"kept":true}' });
  const request = target.requests.at(-1);
  assert.equal(request.method, 'POST');
  assert.equal(request.text, 'amount=500');
  assert.equal(request.headers.authorization, 'Bearer sk_test_1');
  assert.equal(request.headers['idempotency-key'], 'pur-1');
  assert.match(request.headers.via, /^1\.1 bourse-/);
  for (const name of ['x-secret', 'x-bourse-target', 'x-bourse-purpose']) assert.equal(request.headers[name], undefined, name);
});

test('what is not listed for the purpose is refused, and nobody is called', async () => {
  const calls = [target.requests.length, unlisted.requests.length];
  const refused = [
    [`http://127.0.0.1:${unlisted.port}/`, 'stripe'],
    [`http://localhost:${target.port}/echo`, 'stripe'],
    [`https://127.0.0.1:${target.port}/echo`, 'stripe'],
    [`${base}/echo`, 'mail'],
    [`${base}/echo`, ''],
    ['unix:run/ledger-operator.sock:/operator/orgs', 'stripe'],
    ['http://169.254.169.254/latest/meta-data', 'stripe'],
    ['nonsense', 'stripe'],
  ];
  for (const [url, purpose] of refused) {
    const answer = await ask(url, { purpose });
    assert.equal(answer.status, 403, url);
    assert.equal(answer.outcome, 'refused', url);
  }
  assert.deepEqual([target.requests.length, unlisted.requests.length], calls);
});

test('a redirect is an answer and is not followed', async () => {
  const calls = unlisted.requests.length;
  const answer = await ask(`${base}/redirect`);
  assert.equal(answer.status, 302);
  assert.equal(answer.outcome, 'answered');
  assert.equal(unlisted.requests.length, calls);
});

test('half an answer, one too large and silence are failures, not answers', async () => {
  for (const [where, status] of [
    ['/torn', 502],
    ['/huge', 502],
    ['/silent', 504],
  ]) {
    const answer = await within(12_000, where, ask(base + where));
    assert.equal(answer.outcome, 'failed', where);
    assert.equal(answer.status, status, where);
  }
});

test('only the ledger may ask: another program’s user is shown the door', { skip: process.getuid() !== 0 }, async () => {
  const script = `const { request } = require('node:http');
    request({ socketPath: process.argv[1], path: '/', headers: { 'x-bourse-target': process.argv[2], 'x-bourse-purpose': 'stripe' } },
      (answer) => { console.log(answer.statusCode); process.exit(); }).on('error', (error) => console.log(error.code)).end();`;
  const as = async (user) => {
    const words = [`--reuid=${user}`, `--regid=${user}`, '--init-groups', process.execPath, '-e', script];
    const { stdout } = await run('setpriv', [...words, path.join(bourse.var, 'run/egress.sock'), `${base}/echo`]);
    return stdout.trim();
  };
  assert.equal(await as('bourse-ledger'), '402');
  assert.match(await as('bourse-catalog'), /^E(CONNRESET|PIPE)$/);
});
