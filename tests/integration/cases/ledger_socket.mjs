// SPDX-License-Identifier: Apache-2.0
// Frames as they must not be, from a process of our own on the ledger's real socket: whoever breaks the protocol is hung up on, and
// nobody else notices. Meanwhile a customer's stream stands half-way through its answer; at the end it is whole and billed once.
import assert from 'node:assert/strict';
import net from 'node:net';
import path from 'node:path';
import test from 'node:test';

import { COMPLETION_NANO, MODEL, PROMPT_NANO, nanoOf, user } from '../api.mjs';
import { within } from '../harness.mjs';
import { bourse } from './one_instance.mjs';

const HELLO = 1, WELCOME = 2, HOLDS_OPEN = 3, HOLD = 20, HELD = 21, SETTLE = 30, RELEASE = 31, SETTLED = 32, UNKNOWN = 999;
const HEAD = 16; // {u32 length of what follows, u16 type, u16 flags, u64 request}

function frame(type, body, { length = body.length } = {}) {
  const head = Buffer.alloc(HEAD);
  head.writeUInt32LE(length, 0);
  head.writeUInt16LE(type, 4);
  head.writeBigUInt64LE(BigInt(type), 8);
  return Buffer.concat([head, body]);
}

const u8 = (value) => Buffer.from([value]);
const u64 = (value) => {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
};

/** An edge that nobody has seen before: {u16 version, u64 incarnation, u16 thread, u16 threads, u8}. */
let strangers = 0;
function hello() {
  const body = Buffer.alloc(15);
  body.writeUInt16LE(1, 0);
  body.writeBigUInt64LE(0x5eed_0000n + BigInt(++strangers), 2);
  body.writeUInt16LE(1, 12);
  return frame(HELLO, body);
}

/** {32 bytes of key, u64 version, i64 fixed, i64 price, u32 want, u32 min, u8, u8, u8 count and as many u32, u8, u32}. */
const holdOf = (count) =>
  Buffer.concat([Buffer.alloc(32, 7), u64(1), u64(1000), u64(1000), u64(0), u8(0), u8(0), u8(count), Buffer.alloc(4 * count + 5)]);
/** {u64 n, u64 hold, 16 bytes of generation, …}: fields that are missing at the end are zero. */
const endingOf = (n, hold) => Buffer.concat([u64(n), u64(hold), Buffer.alloc(16, 9)]);

/** Says `bytes` on a connection of its own and answers what came back by the time that the ledger hung up, or `until` it came. */
function say(bytes, { until, half = false } = {}) {
  const heard = [];
  const socket = net.connect(path.join(bourse.var, 'run/ledger-ipc.sock'));
  const end = new Promise((resolve, reject) => {
    socket.on('data', (piece) => {
      heard.push(piece);
      if (until?.(Buffer.concat(heard))) socket.destroy();
    });
    socket.on('error', (error) => (['ECONNRESET', 'EPIPE'].includes(error.code) ? undefined : reject(error)));
    socket.on('close', () => resolve(Buffer.concat(heard)));
  });
  if (half) socket.end(bytes);
  else socket.write(bytes);
  return within(5000, 'the end of the connection', end);
}

/** The types of whole frames. */
function typesIn(bytes) {
  const types = [];
  for (let at = 0; at + HEAD <= bytes.length; at += HEAD + bytes.readUInt32LE(at)) types.push(bytes.readUInt16LE(at + 4));
  return types;
}

/** While `during` runs a customer's stream is open; then it ends as if nothing had been, and costs what it costs. */
async function besideAStream(during) {
  const { key, management } = await bourse.makeCustomer();
  await bourse.simulator.fault('openai', { kind: 'stall', after_chunks: 3 });
  const stream = await bourse.api.openStream(key, { model: MODEL, messages: user('sim:tokens=10') });
  await stream.readContent(3);
  const before = bourse.pid('ledger');
  const connected = (bourse.log('edge').match(/event=peer_connected /g) ?? []).length;
  await during();
  assert.equal(bourse.pid('ledger'), before, 'the ledger died');
  await bourse.simulator.clearFaults();
  await stream.readAll();
  assert.ok(stream.isDone, stream.text);
  assert.equal((await bourse.api.chat(key, { model: MODEL, messages: user('sim:tokens=10') })).status, 200);
  const { data } = (await bourse.api.get('/credits', { key: management })).exact;
  assert.equal(nanoOf(data.total_usage), 2n * (4n * PROMPT_NANO + 10n * COMPLETION_NANO)); // 13 bytes: 4 tokens
  assert.equal((bourse.log('edge').match(/event=peer_connected /g) ?? []).length, connected, 'the edge lost its connection');
}

test('who keeps to the protocol is welcomed, answered, and may say what a newer version knows', async () => {
  const answers = (count) => (bytes) => typesIn(bytes).length >= count;
  assert.deepEqual(typesIn(await say(hello(), { until: answers(1) })), [WELCOME]);
  const newer = Buffer.concat([hello(), frame(UNKNOWN, Buffer.alloc(100)), frame(HOLD, holdOf(1))]);
  const [welcome, held] = typesIn(await say(newer, { until: answers(2) }));
  assert.deepEqual([welcome, held], [WELCOME, HELD]); // nobody has the key: a refusal, but an answer
});

const malformed = {
  'a frame beyond 64 KB': () => [hello(), frame(HOLD, Buffer.alloc(0), { length: 65_521 })],
  'a frame of four gigabytes': () => [hello(), frame(HOLD, Buffer.alloc(64), { length: 0xffff_ffff })],
  'a first frame that is no HELLO': () => [frame(HOLD, holdOf(1))],
  'a HELLO of an edge without a number': () => [frame(HELLO, Buffer.alloc(15))],
  'a second HELLO': () => [hello(), hello()],
  'a HELLO that ends in the middle of a field': () => [frame(HELLO, Buffer.alloc(1))],
  'a HOLD that ends in the middle of its key': () => [hello(), frame(HOLD, Buffer.alloc(31, 7))],
  'a HOLD with nine prices': () => [hello(), frame(HOLD, holdOf(9))],
  'a HOLD that says three prices and has two': () => [hello(), frame(HOLD, holdOf(3).subarray(0, 32 + 8 * 4 + 3 + 10))],
  'a HOLD with a price below zero': () => {
    const body = holdOf(1);
    body.writeBigInt64LE(-1n, 48);
    return [hello(), frame(HOLD, body)];
  },
  'a SETTLE without a number': () => [hello(), frame(SETTLE, endingOf(0, 1))],
  // The first is answered, for nobody's hold it moves nothing; the third cannot follow it.
  'a RELEASE that leaves out a number': () => [hello(), frame(RELEASE, endingOf(1, 1)), frame(RELEASE, endingOf(3, 1))],
  'a SETTLE that ends in the middle of its number': () => [hello(), frame(SETTLE, Buffer.alloc(3))],
  'more open holds than a frame may name': () => [hello(), frame(HOLDS_OPEN, Buffer.from([1, 255]))],
};
test('a malformed frame closes the connection it came on and nothing else', async () => {
  await besideAStream(async () => {
    for (const [what, frames] of Object.entries(malformed)) {
      const types = typesIn(await say(Buffer.concat(frames())).catch((error) => assert.fail(`${what}: ${error.message}`)));
      assert.deepEqual(types.filter((type) => ![WELCOME, SETTLED].includes(type)), [], what);
    }
  });
  assert.match(bourse.log('ledger'), /event=frame_malformed /);
  assert.match(bourse.log('ledger'), /event=frame_refused message=settle /);
});

test('a frame that is cut off anywhere moves nothing, and is no trouble to others', async () => {
  const rows = () => bourse.sqlValue('select count(*) from generation');
  const whole = Buffer.concat([hello(), frame(HOLD, holdOf(8)), frame(SETTLE, endingOf(1, 1))]);
  await bourse.quiet();
  const before = await rows();
  await besideAStream(async () => {
    // Not the last byte: that would be a whole SETTLE of a hold that nobody was given.
    for (let length = 0; length < whole.length; length++) {
      const types = typesIn(await say(whole.subarray(0, length), { half: true }));
      assert.deepEqual(types, [WELCOME, HELD].slice(0, types.length), `cut at ${length}`);
    }
  });
  await bourse.quiet();
  assert.equal(await rows(), before + 2n); // the customer's two
});

test('bytes without meaning are refused, a hundred times and all at once', async () => {
  await besideAStream(async () => {
    const byte = (seed) => (Math.imul(seed, 2654435761) >>> 13) & 255;
    const noise = (seed) => Buffer.from(Array.from({ length: 4000 }, (_, i) => byte(seed * 4000 + i)));
    const ends = Array.from({ length: 100 }, (_, seed) => say(noise(seed), { half: true }));
    for (const heard of await Promise.all(ends)) assert.equal(heard.length, 0);
  });
});
