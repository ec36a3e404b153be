// SPDX-License-Identifier: Apache-2.0
// Customers under load: concurrent users with keys of every kind, streamed and whole answers, some of which they leave at a random
// chunk. Each request leaves a record of what its client saw, the first of the three logs that checker.mjs compares. What a user
// does next is a function of the seed; only the answers depend on the faults.
import assert from 'node:assert/strict';
import http from 'node:http';

import { MODEL, nanoOf, parseExact, user } from '../integration/api.mjs';
import { eventually, within } from '../integration/harness.mjs';

export const USERS = 16;
const LEAVES_PERCENT = 20; // of the streams
const RETRY_MS = 20; // after a refused connection or a 503: users come back quickly
const END_MAX_MS = 60_000; // for the last answers to come in
const NOTICE_MS = 500; // the edge looks ten times a second whether its clients are still there

const ORDINARY = { weight: 2 };
const TIGHT = ['0.0004', '0.0006', '0.0008', '0.001', '0.0012', '0.0014', '0.0016', '0.002'].map((limit) => ({ weight: 1, limit }));
const times = (count, kind) => Array(count).fill(kind);

/** 64 keys: of three accounts with money to spare, of which eight with tight limits, and eight keys of two accounts that run dry. */
const ACCOUNTS = [
  ['20', [...times(24, ORDINARY), ...TIGHT]],
  ['10', times(16, ORDINARY)],
  ['5', times(8, ORDINARY)],
  ['0.001', times(4, { weight: 1 })],
  ['0.0005', times(4, { weight: 1 })],
];

export async function makeCustomers(bourse) {
  const accounts = await Promise.all(ACCOUNTS.map(([credit, kinds]) => makeAccount(bourse, credit, kinds)));
  return accounts.flat();
}

async function makeAccount(bourse, credit, kinds) {
  const id = await bourse.makeOrg({ credit, name: `Customer with ${credit}` });
  const { key: management } = await bourse.makeKey(id, { management: true });
  const ask = async (method, route, body) => {
    const answer = await bourse.api.request(method, route, { key: management, body });
    assert.ok(answer.status < 300, answer.text);
    return answer.json;
  };
  // Never reached, but leased, settled and counted like the tight ones of keys; the audit adds them up.
  for (const owner of ['organization', 'workspace:1']) await ask('PATCH', `/limits?owner=${owner}`, { lifetime: 100, daily: 100 });
  const account = { org: BigInt(id.replace('org-', '')), credit: nanoOf(credit), management };
  const keys = [];
  for (const { weight, limit } of kinds) {
    const { key, data } = await ask('POST', '/keys', { name: 'load', limit: limit === undefined ? null : Number(limit) });
    keys.push({ ...account, key, hash: data.hash, weight, limit: limit && nanoOf(limit) });
  }
  return keys;
}

/** Numbers in [0, 1) from a seed (mulberry32). */
export function randomOf(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export class Load {
  requests = [];
  inFlight = new Set();
  faults = []; // {from, to}: what ran in between may have been hit
  completed = 0;

  constructor(bourse, keys, { users = USERS, seed, leaves_percent = LEAVES_PERCENT } = {}) {
    this.seed = seed ?? Number(process.env.FAULT_SEED ?? Math.floor(Math.random() * 2 ** 31));
    console.log(`seed ${this.seed}: FAULT_SEED=${this.seed} does the same again`);
    this.url = new URL(bourse.demo.BOURSE_BASE_URL);
    this.agent = new http.Agent({ keepAlive: true, maxSockets: users });
    this.dice = keys.flatMap((key) => Array(key.weight).fill(key));
    this.keys = keys;
    this.leaves_percent = leaves_percent;
    this.running = true;
    this.users = Array.from({ length: users }, (_, i) => this.#use(randomOf(this.seed + i)));
  }

  /** Waits until `count` more answers were read to their end. */
  async more(count, deadline_ms = 30_000) {
    const wanted = this.completed + count;
    await eventually(() => assert.ok(this.completed >= wanted, `${this.completed} of ${wanted} complete`), { deadline_ms });
  }

  faultBegins() {
    this.faults.push({ from: performance.now(), to: Infinity });
  }

  faultEnds() {
    this.faults.at(-1).to = performance.now();
  }

  async stop() {
    this.running = false;
    await within(END_MAX_MS, `the last of ${this.inFlight.size} answers`, Promise.all(this.users));
    this.agent.destroy();
    for (const request of this.requests) {
      request.hit = this.faults.some(({ from, to }) => request.begin_ms <= to && request.end_ms >= from);
    }
    return this.requests;
  }

  async #use(random) {
    while (this.running) {
      const request = this.#plan(random);
      this.requests.push(request);
      this.inFlight.add(request);
      await this.#send(request);
      request.end_ms = performance.now() + (request.left ? NOTICE_MS : 0);
      this.inFlight.delete(request);
      if (request.complete) this.completed++;
      if (request.error || request.status === 503) await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }

  #plan(random) {
    const key = this.dice[Math.floor(random() * this.dice.length)];
    const stream = random() < 0.5;
    const tokens = 1 + Math.floor(random() * 24);
    const leaves = stream && random() < this.leaves_percent / 100 ? 1 + Math.floor(random() * tokens) : undefined;
    // Four bytes a token, as the estimate counts, so that it never meets the bound of max_tokens.
    const words = [`sim:tokens=${tokens}`, 'sim:bytes=4', `sim:chunk_ms=${Math.floor(random() * 6)}`];
    if (random() < 0.2) words.push('sim:cached=2');
    if (random() < 0.2) words.push('sim:reasoning=3');
    const content = `${words.join(' ')} ${'x'.repeat(Math.floor(random() * 60))}`;
    const body = { model: MODEL, messages: user(content), stream };
    if (random() < 0.5) body.max_tokens = 40;
    const tag = `load-${this.seed}-${this.requests.length}`;
    return { tag, key, stream, leaves, body, prompt_bytes: content.length, text_bytes: 0, chunks: 0, begin_ms: performance.now() };
  }

  /** Fills in the record; never throws. */
  #send(request) {
    const bytes = JSON.stringify(request.body);
    const headers = {
      authorization: `Bearer ${request.key.key}`,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(bytes),
      'x-session-id': request.tag, // it comes back in the row, so a row finds its request even if no head was read
    };
    const { hostname: host, port } = this.url;
    const options = { host, port, method: 'POST', path: `${this.url.pathname}/chat/completions`, headers, agent: this.agent };
    return new Promise((resolve) => {
      const outgoing = http.request(options, (answer) => {
        request.status = answer.statusCode;
        request.generation = answer.headers['x-generation-id'];
        request.first_ms = performance.now();
        answer.setEncoding('latin1');
        const reader = request.stream && request.status === 200 ? new StreamReader(request, outgoing) : new BodyReader(request);
        answer.on('data', (text) => reader.take(text));
        answer.on('error', (error) => (request.error = error.message));
        answer.on('end', () => answer.complete && reader.end());
        answer.on('close', resolve);
      });
      outgoing.on('error', (error) => {
        request.error = error.message;
        resolve();
      });
      outgoing.end(bytes);
    });
  }
}

function note(request, chunk) {
  if (chunk.usage) request.cost = nanoOf(chunk.usage.cost);
  if (chunk.error) request.code = chunk.error.code;
}

/** A whole body: complete when all of it was read, which the library knows. */
class BodyReader {
  text = '';

  constructor(request) {
    this.request = request;
  }

  take(text) {
    this.text += text;
  }

  end() {
    const answer = parseExact(this.text);
    note(this.request, answer);
    if (this.request.status !== 200) return;
    this.request.complete = true;
    assert.equal(answer.id, this.request.generation);
  }
}

/** A stream: complete when [DONE] was read. */
class StreamReader {
  rest = '';

  constructor(request, outgoing) {
    this.request = request;
    this.outgoing = outgoing;
  }

  take(text) {
    if (this.request.left) return;
    const blocks = (this.rest + text).split('\n\n');
    this.rest = blocks.pop();
    for (const block of blocks) this.#event(block);
  }

  #event(block) {
    const request = this.request;
    if (!block.startsWith('data: ') || request.left) return;
    if (block === 'data: [DONE]') {
      request.done = true;
      request.complete = request.code === undefined;
      return;
    }
    const chunk = parseExact(block.slice(6));
    note(request, chunk);
    for (const { delta } of chunk.choices ?? []) {
      const text = (delta.content ?? '') + (delta.reasoning ?? '');
      if (text === '') continue;
      request.text_bytes += text.length;
      request.chunks++;
    }
    if (request.leaves === undefined || request.chunks < request.leaves) return;
    request.left = true;
    this.outgoing.destroy();
  }

  end() {}
}
