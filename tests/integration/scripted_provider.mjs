// SPDX-License-Identifier: Apache-2.0
// A "real" provider for tests: an HTTP or TLS server of our own that answers what a test tells it, byte for byte, and keeps what it
// was sent. `bourse provider live` points a provider of the catalog at it.
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import path from 'node:path';

export class ScriptedProvider {
  requests = [];

  /** `answer(request, response)` is called with the body read; without one a plain completion is answered. */
  constructor(answer = completion) {
    this.answer = answer;
  }

  async listen({ tls } = {}) {
    const handle = (request, response) => {
      const pieces = [];
      request.on('data', (piece) => pieces.push(piece));
      request.on('end', () => {
        request.text = Buffer.concat(pieces).toString();
        this.requests.push(request);
        this.answer(request, response);
      });
    };
    this.server = tls ? https.createServer(tls, handle) : http.createServer(handle);
    this.server.on('tlsClientError', () => {});
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.port = this.server.address().port;
    return this;
  }

  close() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }
}

const USAGE = { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 };

export function completion(request, response) {
  if (JSON.parse(request.text).stream)
    return events([text('Good '), text('morning'), finish(), usage()])(request, response);
  response.setHeader('content-type', 'application/json');
  response.end(
    JSON.stringify({
      id: 'chatcmpl-real',
      object: 'chat.completion',
      created: 1,
      model: 'gpt-4o-mini-2024-07-18',
      choices: [{ index: 0, message: { role: 'assistant', content: 'Good morning' }, finish_reason: 'stop' }],
      usage: USAGE,
    }),
  );
}

/** Answers these chunks as a stream; `cut` splits its bytes into the pieces that are written. */
export function events(chunks, { cut = (bytes) => [bytes], end = 'data: [DONE]\n\n', line = '\n', before = '' } = {}) {
  const body = before + chunks.map((chunk) => `data: ${JSON.stringify(chunk)}${line}${line}`).join('') + end;
  return (_, response) => {
    response.setHeader('content-type', 'text/event-stream; charset=utf-8');
    response.flushHeaders();
    const pieces = cut(Buffer.from(body));
    const next = () => (pieces.length ? response.write(pieces.shift(), () => setImmediate(next)) : response.end());
    next();
  };
}

export const chunk = (choices, more = {}) => ({
  id: 'chatcmpl-real',
  object: 'chat.completion.chunk',
  created: 1,
  model: 'gpt-4o-mini-2024-07-18',
  choices,
  ...more,
});
export const delta = (delta, index = 0) => chunk([{ index, delta, finish_reason: null }]);
export const text = (content, index = 0) => delta({ content }, index);
export const finish = (reason = 'stop', index = 0) => chunk([{ index, delta: {}, finish_reason: reason }]);
export const usage = (usage = USAGE) => chunk([], { usage });

/** A certificate for a host name by an authority of its own, made by openssl in `directory`. */
export function makeCertificate(directory, host) {
  const file = (name) => path.join(directory, name);
  const openssl = (...words) => execFileSync('openssl', words, { stdio: ['ignore', 'ignore', 'pipe'] });
  openssl(
    'req',
    '-x509',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-days',
    '2',
    '-subj',
    '/CN=Test authority',
    '-addext',
    'basicConstraints=critical,CA:TRUE',
    '-keyout',
    file('ca.key'),
    '-out',
    file('ca.pem'),
  );
  openssl(
    'req',
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-subj',
    `/CN=${host}`,
    '-addext',
    `subjectAltName=DNS:${host}`,
    '-keyout',
    file('server.key'),
    '-out',
    file('server.csr'),
  );
  openssl(
    'x509',
    '-req',
    '-in',
    file('server.csr'),
    '-CA',
    file('ca.pem'),
    '-CAkey',
    file('ca.key'),
    '-CAcreateserial',
    '-days',
    '2',
    '-copy_extensions',
    'copy',
    '-out',
    file('server.pem'),
  );
  return {
    authority: file('ca.pem'),
    tls: { key: readFileSync(file('server.key')), cert: readFileSync(file('server.pem')) },
  };
}
