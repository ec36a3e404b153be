// SPDX-License-Identifier: Apache-2.0
// GET /generation: a reader may come before its row is posted and is kept waiting a little; whoever asks for what is not there,
// or for what still runs, does not keep others from theirs.
import assert from 'node:assert/strict';
import test from 'node:test';

import { MODEL, assertError, user } from '../api.mjs';
import { bourse } from './one_instance.mjs';

const DIGITS = '0123456789abcdefghjkmnpqrstvwxyz';
const READERS = 100; // four workers would need 25 seconds for them at a second each: past the edge's patience

/** Well formed (128 bits in 26 digits: the first is below 8), and of no row. */
function randomId() {
  const digit = (count) => DIGITS[Math.floor(Math.random() * count)];
  return `gen-${digit(8)}${Array.from({ length: 25 }, () => digit(32)).join('')}`;
}

const read = (key, id) => bourse.api.get(`/generation?id=${id}`, { key });

test('readers of ids that nobody has do not keep others waiting', async () => {
  const [a, b] = [await bourse.makeCustomer(), await bourse.makeCustomer()];
  const { id } = (await bourse.api.chat(b.key, { model: MODEL, messages: user('Hello!') })).json;
  assert.equal((await read(b.key, id)).status, 200);
  const unknown = Array.from({ length: READERS }, () => read(a.key, randomId()));
  const found = await read(b.key, id);
  assert.equal(found.status, 200, found.text);
  for (const answer of await Promise.all(unknown)) assertError(answer, 404);
});

test('readers of a generation that still runs do not keep others waiting, and find it when it is done', async () => {
  const [a, b] = [await bourse.makeCustomer(), await bourse.makeCustomer()];
  const { id } = (await bourse.api.chat(b.key, { model: MODEL, messages: user('Hello!') })).json;
  assert.equal((await read(b.key, id)).status, 200);
  await bourse.simulator.fault('openai', { kind: 'stall', after_chunks: 2 });
  const stream = await bourse.api.openStream(a.key, { model: MODEL, messages: user('sim:tokens=4') });
  await stream.readContent(2);
  const waiting = Array.from({ length: READERS }, () => read(a.key, stream.generation));
  const found = await read(b.key, id);
  assert.equal(found.status, 200, found.text);
  for (const answer of await Promise.all(waiting)) assertError(answer, 404);
  await bourse.simulator.clearFaults();
  await stream.readAll();
  assert.equal((await read(a.key, stream.generation)).status, 200);
});
