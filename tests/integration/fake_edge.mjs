// SPDX-License-Identifier: Apache-2.0
// One thread of an edge that is none: it holds and settles over the ledger's socket whatever a test wants, also what no edge asks
// for yet. Frames are made from shared/ipc/messages.def by code that shares nothing with the programs'.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import path from 'node:path';

import { ROOT, within } from './harness.mjs';

const ANSWER_MAX_MS = 5_000;
const ENDING_MAX_MS = 30_000; // over a ledger's death and the next one's start
const HEAD_SIZE = 16; // length, type, flags, request id
const STALE = 'STALE';

/** {hello: {number, fields: [{kind, name}]}, …} */
const MESSAGES = readMessages(readFileSync(path.join(ROOT, 'shared/ipc/messages.def'), 'utf8'));
const NAMES = new Map(Object.entries(MESSAGES).map(([name, { number }]) => [number, name]));
/** The classes of units in their order, and the names of errors by number. */
const CLASSES = listIn('shared/billing.h', /^#define BILLING_CLASSES\(X\)([\s\S]*?)\n\n/m, /X\((\w+)\)/g);
const ERRORS = new Map(
  Array.from(readFileSync(path.join(ROOT, 'shared/errors.def'), 'utf8').matchAll(/^ERROR\((\w+),\s*(\d+)/gm), ([, name, number]) => [
    Number(number),
    name,
  ]),
);

function readMessages(text) {
  const messages = {};
  for (const [, name, number, body] of text.matchAll(/^MESSAGE\((\w+), (\d+), \d+\)\n([\s\S]*?)^END/gm)) {
    const fields = Array.from(body.matchAll(/^(?:FIELD\((\w+), (\w+)\)|TEXT\((\w+), \d+\))/gm), ([, kind, field, text_]) =>
      text_ ? { kind: 'text', name: text_ } : { kind, name: field },
    );
    messages[name] = { number: Number(number), fields };
  }
  return messages;
}

function listIn(file, section, item) {
  return Array.from(section.exec(readFileSync(path.join(ROOT, file), 'utf8'))[1].matchAll(item), (match) => match[1]);
}

// ---- bytes

class Writer {
  pieces = [];

  integer(value, size) {
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value ?? 0)));
    this.pieces.push(bytes.subarray(0, size));
  }

  bytes(value, size) {
    const bytes = value ?? Buffer.alloc(size);
    assert.equal(bytes.length, size);
    this.pieces.push(bytes);
  }

  list(items, size) {
    this.integer(items?.length, 1);
    for (const item of items ?? []) this.integer(item, size);
  }

  text(value) {
    const bytes = Buffer.from(value ?? '');
    this.integer(bytes.length, 2);
    this.pieces.push(bytes);
  }

  facts(facts = {}) {
    for (const name of ['model', 'endpoint', 'provider', 'flags']) this.integer(facts[name], 4);
    this.integer(facts.finish, 1);
    for (const name of ['first_byte_ms', 'total_ms']) this.integer(facts[name], 4);
    for (const name of ['native_finish', 'upstream_id', 'referer', 'title', 'user_agent', 'session']) this.text(facts[name]);
    this.integer(0, 1); // attempts
  }
}

const SIZES = { u8: 1, u16: 2, u32: 4, u64: 8, i64: 8, money: 8, price: 8 };
const WIDE = { key_hash: 32, generation_id: 16 };

function encode(name, request, message) {
  const out = new Writer();
  for (const field of MESSAGES[name].fields) {
    const value = message[field.name];
    if (SIZES[field.kind]) out.integer(value, SIZES[field.kind]);
    else if (WIDE[field.kind]) out.bytes(value, WIDE[field.kind]);
    else if (field.kind === 'u32_list') out.list(value, 4);
    else if (field.kind === 'u64_list') out.list(value, 8);
    else if (field.kind === 'usage') for (const unit of CLASSES) out.integer(value?.[unit], 4);
    else if (field.kind === 'facts') out.facts(value);
    else assert.fail(`no encoder for ${field.kind}`);
  }
  const body = Buffer.concat(out.pieces);
  const head = new Writer();
  head.integer(body.length, 4);
  head.integer(MESSAGES[name].number, 2);
  head.integer(0, 2);
  head.integer(request, 8);
  return Buffer.concat([...head.pieces, body]);
}

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
  }

  take(size) {
    const taken = Buffer.alloc(size); // what is missing reads as zero
    this.bytes.copy(taken);
    this.bytes = this.bytes.subarray(size);
    return taken;
  }

  integer(kind) {
    const bytes = Buffer.concat([this.take(SIZES[kind]), Buffer.alloc(8)]);
    if (kind === 'i64' || kind === 'money') return bytes.readBigInt64LE();
    return kind === 'u64' || kind === 'price' ? bytes.readBigUInt64LE() : Number(bytes.readBigUInt64LE());
  }

  caller() {
    const caller = {};
    for (const name of ['org', 'workspace', 'member', 'key']) caller[name] = this.integer('i64');
    caller.version = this.integer('u64');
    caller.expires_ns = this.integer('i64');
    caller.kind = this.integer('u8');
    return caller;
  }
}

function decode(name, body) {
  const reader = new Reader(body);
  const message = {};
  for (const { kind, name: field } of MESSAGES[name].fields) {
    if (SIZES[kind]) message[field] = reader.integer(kind);
    else if (WIDE[kind]) message[field] = reader.take(WIDE[kind]);
    else if (kind === 'caller') message[field] = reader.caller();
    else assert.fail(`no decoder for ${kind}`);
  }
  return message;
}

// ---- the edge

export const LOST = 'connection lost'; // what a hold fails with that the ledger did not answer before it died

export class FakeEdge {
  #incarnation = randomBytes(8).readBigUInt64LE() | 1n;
  #path;
  #socket;
  #welcomed = false;
  #unread = Buffer.alloc(0);
  #waiting = new Map(); // request id → whom its answer is for
  #requests = 0n;
  #n = 0n;
  #open = new Map(); // holds that did not end, by number
  #ended = new Map(); // endings that were not acknowledged, by n
  #versions = new Map(); // of callers, by key

  static async connect(bourse) {
    const edge = new FakeEdge();
    edge.#path = path.join(bourse.var, 'run/ledger-ipc.sock');
    await edge.reconnect();
    return edge;
  }

  /** Also after the ledger died: says hello again, names the holds that are open, and sends again what was not acknowledged. */
  async reconnect() {
    this.#unread = Buffer.alloc(0);
    const socket = net.connect(this.#path);
    socket.on('error', () => {}); // of a ledger that is killed
    socket.on('close', () => this.#lost(socket));
    socket.on('data', (bytes) => this.#received(bytes));
    this.#socket = socket;
    await once(socket, 'connect');
    const { mark } = await this.#ask('hello', { version: 1, incarnation: this.#incarnation, threads: 1 });
    const unended = [...this.#ended.values()].filter(({ message: { n } }) => n > mark);
    for (const [n, { done }] of this.#ended) if (n <= mark) done(undefined); // booked; how much nobody says any more
    this.#send('holds_open', 0n, { last: 1, holds: [...this.#open.keys(), ...unended.map(({ message: { hold } }) => hold)] });
    this.#welcomed = true;
    for (const ending of unended) this.#sendEnding(ending);
  }

  close() {
    this.#socket.destroy();
  }

  get isConnected() {
    return this.#welcomed;
  }

  /** HELD, whatever it says; its `error` is a name, or undefined. */
  async hold(key, message) {
    const outer = spawnSync('b2sum', ['-l', '256'], { input: key, encoding: 'utf8' }).stdout.slice(0, 64);
    const ask = () =>
      this.#ask('hold', { ...message, key: Buffer.from(outer, 'hex'), caller_version: this.#versions.get(key) ?? 0n });
    let held = await ask();
    if (ERRORS.get(held.error) === STALE) {
      this.#versions.set(key, held.caller.version);
      held = await ask();
    }
    held.error = held.error === 0 ? undefined : ERRORS.get(held.error);
    if (held.error === undefined) this.#open.set(held.hold, held);
    return held;
  }

  /** Asks for so many keys that nobody has in one breath: {name of an error: how many were answered with it}. */
  async identifyStrangers(count) {
    const frames = [];
    const answers = Array.from({ length: count }, () => {
      const request = ++this.#requests;
      frames.push(encode('identify', request, { key: randomBytes(32) }));
      return new Promise((resolve, reject) => this.#waiting.set(request, { resolve, reject, socket: this.#socket }));
    });
    this.#socket.write(Buffer.concat(frames));
    const errors = {};
    for (const { error } of await within(ENDING_MAX_MS, 'the answers to strangers', Promise.all(answers)))
      errors[ERRORS.get(error)] = (errors[ERRORS.get(error)] ?? 0) + 1;
    return errors;
  }

  /** What is booked and told, in nano-dollars; undefined when nobody could say it any more after a ledger's death. */
  async settle(held, message) {
    return this.#end('settle', held, message);
  }

  async release(held, message = {}) {
    return this.#end('release', held, message);
  }

  #end(name, held, message) {
    const n = ++this.#n;
    this.#open.delete(held.hold);
    const acknowledged = new Promise((resolve) => {
      const done = (charge) => {
        this.#ended.delete(n);
        resolve(charge);
      };
      this.#ended.set(n, { name, done, message: { ...message, n, hold: held.hold, generation: held.generation } });
    });
    this.#sendEnding(this.#ended.get(n));
    return within(ENDING_MAX_MS, `the acknowledgement of ${name}`, acknowledged);
  }

  #sendEnding({ name, message, done }) {
    this.#ask(name, message).then(({ charge }) => done(charge), () => {}); // what is lost is sent again
  }

  #ask(name, message) {
    if (!this.#welcomed && name !== 'hello') return Promise.reject(new Error(LOST));
    const request = ++this.#requests;
    const answered = new Promise((resolve, reject) => this.#waiting.set(request, { resolve, reject, socket: this.#socket }));
    this.#send(name, request, message);
    return within(ANSWER_MAX_MS, `the answer to ${name}`, answered);
  }

  #lost(socket) {
    if (socket === this.#socket) this.#welcomed = false;
    for (const [request, waiting] of this.#waiting) {
      if (waiting.socket !== socket) continue;
      this.#waiting.delete(request);
      waiting.reject(new Error(LOST));
    }
  }

  #send(name, request, message) {
    this.#socket.write(encode(name, request, message));
  }

  #received(bytes) {
    this.#unread = Buffer.concat([this.#unread, bytes]);
    while (this.#unread.length >= HEAD_SIZE) {
      const length = this.#unread.readUInt32LE(0);
      if (this.#unread.length < HEAD_SIZE + length) return;
      const name = NAMES.get(this.#unread.readUInt16LE(4));
      const request = this.#unread.readBigUInt64LE(8);
      const body = this.#unread.subarray(HEAD_SIZE, HEAD_SIZE + length);
      this.#unread = this.#unread.subarray(HEAD_SIZE + length);
      this.#waiting.get(request)?.resolve(decode(name, body));
      this.#waiting.delete(request);
    }
  }
}

const BASE32 = '0123456789abcdefghjkmnpqrstvwxyz';

/** The public id of a generation, as shared/id.h has it: 128 bits in 26 digits. */
export function generationText(held) {
  let number = BigInt(`0x${held.generation.toString('hex')}`);
  let digits = '';
  for (let i = 0; i < 26; i++, number >>= 5n) digits = BASE32[Number(number & 31n)] + digits;
  return `gen-${digits}`;
}
