// SPDX-License-Identifier: Apache-2.0
// The wire as bytes: plain requests, streams chunk by chunk, raw sockets for what no client library would send, and JSON whose
// numbers stay text, because an amount that went through a float proves nothing.
import assert from 'node:assert/strict';
import http from 'node:http';
import net from 'node:net';

export class Api {
  constructor(baseUrl) {
    this.baseUrl = baseUrl; // ends in /api/v1
    this.url = new URL(baseUrl);
    this.streams = new Set();
  }

  /** A test that failed may have left some behind. */
  leaveStreams() {
    for (const stream of this.streams) stream.leave();
    this.streams.clear();
  }

  /** One request; the answer as {status, headers, text, json}. `body` may be an object, a string or a Buffer. A route is below
   *  /api/v1 unless `root` is set. */
  request(method, route, { key, body, headers = {}, signal, agent, root } = {}) {
    const bytes = body === undefined || typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body);
    const all = { ...headers };
    if (key !== undefined) all.authorization = `Bearer ${key}`;
    if (bytes !== undefined) {
      all['content-type'] ??= 'application/json';
      all['content-length'] = Buffer.byteLength(bytes);
    }
    const target = root ? route : this.url.pathname + route;
    const options = { host: this.url.hostname, port: this.url.port, method, path: target, headers: all, signal, agent };
    return new Promise((resolve, reject) => {
      const request = http.request(options, (answer) => {
        const pieces = [];
        answer.on('data', (piece) => pieces.push(piece));
        answer.on('error', reject);
        answer.on('end', () =>
          resolve(new Answer(answer.statusCode, answer.headers, Buffer.concat(pieces).toString())),
        );
      });
      // A server that refuses a large body early may answer and close while we still write: what it said comes first.
      request.on('error', (error) => {
        const early = error.code === 'EPIPE' || error.code === 'ECONNRESET';
        setTimeout(() => reject(error), early ? 500 : 0);
      });
      request.end(bytes);
    });
  }

  get(route, options) {
    return this.request('GET', route, options);
  }

  post(route, body, options) {
    return this.request('POST', route, { ...options, body });
  }

  chat(key, body, options) {
    return this.post('/chat/completions', body, { ...options, key });
  }

  /** A streamed completion, opened: head first, then `chunks()` one by one, or `leave()`. */
  openStream(key, body, { headers = {} } = {}) {
    const bytes = JSON.stringify({ ...body, stream: true });
    const all = { authorization: `Bearer ${key}`, 'content-type': 'application/json', ...headers };
    all['content-length'] = Buffer.byteLength(bytes);
    const options = {
      host: this.url.hostname,
      port: this.url.port,
      method: 'POST',
      path: `${this.url.pathname}/chat/completions`,
      headers: all,
      agent: false,
    };
    return new Promise((resolve, reject) => {
      const request = http.request(options, (answer) => {
        const stream = new Stream(request, answer);
        this.streams.add(stream);
        resolve(stream);
      });
      request.on('error', reject);
      request.end(bytes);
    });
  }

  /** Reads a stream to its end. */
  async stream(key, body, options) {
    const stream = await this.openStream(key, body, options);
    await stream.readAll();
    return stream;
  }

  /** Sends bytes as they are and answers everything that comes back until the server closes, or `until` is seen. */
  raw(bytes, { until, deadline_ms = 10_000, half = false } = {}) {
    return new Promise((resolve, reject) => {
      const socket = net.connect(Number(this.url.port), this.url.hostname);
      let text = '';
      const timer = setTimeout(
        () => socket.destroy(new Error(`no end within ${deadline_ms} ms; got: ${text}`)),
        deadline_ms,
      );
      socket.on('connect', () => (half ? socket.end(bytes) : socket.write(bytes)));
      socket.on('data', (piece) => {
        text += piece.toString('latin1');
        if (until !== undefined && text.includes(until)) socket.end();
      });
      // A refusal may be followed by a reset when we were still sending; what was said before it counts.
      socket.on('error', (error) =>
        error.code === 'ECONNRESET' || error.code === 'EPIPE' ? undefined : reject(error),
      );
      socket.on('close', () => {
        clearTimeout(timer);
        resolve(text);
      });
    });
  }
}

class Answer {
  constructor(status, headers, text) {
    this.status = status;
    this.headers = headers;
    this.text = text;
  }

  get json() {
    return JSON.parse(this.text);
  }

  /** The same with every number as its own text: {"cost":"#0.000075"}. */
  get exact() {
    return parseExact(this.text);
  }

  get error() {
    return this.json.error;
  }
}

class Stream {
  constructor(request, answer) {
    this.request = request;
    this.status = answer.statusCode;
    this.headers = answer.headers;
    this.answer = answer;
    this.text = '';
    this.events = []; // the data of every event, as text
    this.ended = false; // in an orderly way
    this.broken = false;
  }

  get generation() {
    return this.headers['x-generation-id'];
  }

  /** Reads until `enough(this)` or the end. */
  async read(enough) {
    this.iterator ??= this.answer[Symbol.asyncIterator]();
    try {
      while (!enough?.(this)) {
        const { value, done } = await this.iterator.next();
        if (done) {
          this.ended = true;
          break;
        }
        this.text += value.toString();
        this.#split();
      }
    } catch {
      this.broken = true;
    }
    return this;
  }

  readAll() {
    return this.read();
  }

  readContent(count) {
    return this.read(() => this.contents.length >= count);
  }

  leave() {
    this.request.destroy();
  }

  #split() {
    const blocks = this.text.split('\n\n');
    this.events = blocks.slice(0, -1).flatMap((block) =>
      block
        .split('\n')
        .filter((line) => line.startsWith('data: '))
        .map((line) => line.slice(6)),
    );
  }

  /** The chunks as objects, without the end mark. */
  get chunks() {
    return this.events.filter((event) => event !== '[DONE]').map((event) => JSON.parse(event));
  }

  get exactChunks() {
    return this.events.filter((event) => event !== '[DONE]').map(parseExact);
  }

  get contents() {
    return this.chunks.flatMap((chunk) => chunk.choices.map((choice) => choice.delta.content).filter((text) => text));
  }

  get isDone() {
    return this.events.at(-1) === '[DONE]';
  }

  get usageChunk() {
    return this.exactChunks.find((chunk) => chunk.usage);
  }

  get errorChunk() {
    return this.chunks.find((chunk) => chunk.error);
  }

  /** What usage.cost said, in nano-dollars. */
  get cost() {
    return nanoOf(this.usageChunk.usage.cost);
  }
}

/** JSON with each number turned into the string "#" + its digits as they were written. */
export function parseExact(text) {
  return JSON.parse(
    text.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g, (token) =>
      token[0] === '"' ? token : `"#${token}"`,
    ),
  );
}

/** "#0.000075" or "26.38" in nano-dollars; more than nine decimals is a mistake of the server's. */
export function nanoOf(value) {
  assert.equal(typeof value, 'string', `not an exact number: ${value}`);
  const [, sign, whole, fraction = ''] =
    /^#?(-?)(\d+)(?:\.(\d{1,9}))?$/.exec(value) ?? assert.fail(`not an amount: ${value}`);
  const nano = BigInt(whole) * 1_000_000_000n + BigInt(fraction.padEnd(9, '0'));
  return sign ? -nano : nano;
}

/** Every error has this shape, whoever found it. */
export function assertError(answer, status, pattern) {
  assert.equal(answer.status, status, `${answer.status}: ${answer.text}`);
  assert.match(answer.headers['content-type'] ?? '', /^application\/json/);
  const body = answer.json;
  assert.deepEqual(Object.keys(body), ['error']);
  assert.equal(body.error.code, status);
  assert.equal(typeof body.error.message, 'string');
  assert.ok(body.error.message.length > 0);
  assert.equal(typeof body.error.metadata, 'object');
  assert.notEqual(body.error.metadata, null);
  assert.equal(typeof body.error.metadata.error_type, 'string');
  if (pattern) assert.match(body.error.message, pattern);
  return body.error;
}

export const user = (content) => [{ role: 'user', content }];
export const MODEL = 'openai/gpt-4o-mini';

/** The list price of MODEL in nano-dollars per token, worked out from the catalog: $0.15, $0.60 and $0.075 a million. */
export const PROMPT_NANO = 150n;
export const COMPLETION_NANO = 600n;
export const CACHED_NANO = 75n;
