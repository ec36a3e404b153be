// SPDX-License-Identifier: Apache-2.0
// What is asked, and by whom: the same bodies for both sides, sent by build/load. An answer that is not whole ends the
// bench, because a fast error is not a measurement.
import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
export const ROUTE = '/api/v1/chat/completions';
export const PROVIDER = 'openai'; // the only one of SMALL_MODEL, so both sides ask the same
const SMALL_MODEL = 'openai/gpt-4o-mini';
const LARGE_MODEL = 'openai/gpt-4.1-mini'; // its context takes a quarter of a million tokens
const SMALL_SIZE = 1024;
const LARGE_SIZE = 1 << 20;
export const STREAM_CHUNKS = 200;

const FILLER = 'The quick brown fox jumps over the lazy dog while the ledger holds, settles and audits every request. ';

/** A request of exactly `size` bytes; `words` steer the simulated provider (tools/simprovider/README.md). */
function bodyOfSize(size, model, words, more = {}) {
  const make = (text) => JSON.stringify({ model, messages: [{ role: 'user', content: words + text }], max_tokens: 400, ...more });
  const missing = size - make('').length;
  return make(FILLER.repeat(Math.ceil(missing / FILLER.length)).slice(0, missing));
}

const streamed = { stream: true, stream_options: { include_usage: true } };
const BODIES = {
  // 1 KB there; 40 tokens of 15 bytes and the frame around them make 1 KB back.
  small: bodyOfSize(SMALL_SIZE, SMALL_MODEL, 'sim:tokens=40 sim:bytes=15 '),
  // Chunks come one by one, 10 ms apart, as from a model that writes a hundred tokens a second.
  chunks: bodyOfSize(SMALL_SIZE, SMALL_MODEL, `sim:tokens=${STREAM_CHUNKS} sim:chunk_ms=10 `, streamed),
  // For the first byte: a short stream, as fast as a whole answer. And one that stands still after its first token, so that
  // processors fall asleep.
  first: bodyOfSize(SMALL_SIZE, SMALL_MODEL, 'sim:tokens=2 ', streamed),
  paused: bodyOfSize(SMALL_SIZE, SMALL_MODEL, 'sim:tokens=2 sim:chunk_ms=2 ', streamed),
  large: bodyOfSize(LARGE_SIZE, LARGE_MODEL, 'sim:tokens=40 sim:bytes=15 '),
};

export class Load {
  /** `completed` counts, per kind of body, the requests that Bourse has answered to their end. */
  constructor(directory, key) {
    this.directory = directory;
    this.key = key;
    this.completed = Object.fromEntries(Object.keys(BODIES).map((kind) => [kind, 0]));
    for (const [kind, body] of Object.entries(BODIES)) writeFileSync(this.#file(kind), body);
  }

  #file(kind) {
    return path.join(this.directory, `${kind}.json`);
  }

  get total() {
    return Object.values(this.completed).reduce((sum, count) => sum + count, 0);
  }

  /** The answer of build/load. `billed`: it goes to Bourse, not to nginx. */
  async run({ port, kind, requests, connections = 1, warmup = 0, billed }) {
    const words = ['--port', port, '--path', ROUTE, '--body', this.#file(kind), '--requests', requests];
    words.push('--connections', connections, '--warmup', warmup, '--header', `authorization: Bearer ${this.key}`);
    if (BODIES[kind].includes('"stream":true')) words.push('--stream');
    const { stdout } = await run('build/load', words.map(String)).catch((error) => {
      throw new Error(`build/load had errors at port ${port}, ${kind}: ${error.stdout}${error.stderr}`);
    });
    const answer = JSON.parse(stdout);
    if (answer.errors !== 0 || answer.requests !== requests) throw new Error(`build/load at port ${port}, ${kind}: ${stdout}`);
    if (billed) this.completed[kind] += requests + warmup;
    return answer;
  }

  /** One request over `agent`, answered as text; for what build/load cannot time. */
  async once({ port, kind, agent, billed }) {
    const text = await this.#send(port, BODIES[kind], agent);
    if (billed) this.completed[kind]++;
    return text;
  }

  #send(port, body, agent) {
    const headers = { authorization: `Bearer ${this.key}`, 'content-type': 'application/json', 'content-length': body.length };
    return new Promise((resolve, reject) => {
      const request = http.request({ port, host: '127.0.0.1', path: ROUTE, method: 'POST', headers, agent }, (answer) => {
        let text = '';
        answer.setEncoding('utf8');
        answer.on('data', (piece) => (text += piece));
        answer.on('error', reject);
        answer.on('end', () => (answer.statusCode === 200 ? resolve(text) : reject(new Error(`${answer.statusCode} ${text}`))));
      });
      request.on('error', reject);
      request.end(body);
    });
  }

  /** What one request of a kind costs, in nano-dollars, as the client is told. */
  async costNano({ port, kind }) {
    const text = await this.once({ port, kind, billed: true });
    const usages = text.match(/"cost":\s*([0-9.eE+-]+)/);
    if (!usages) throw new Error(`no usage.cost in: ${text.slice(0, 400)}`);
    return Math.round(Number(usages[1]) * 1e9);
  }
}
