// SPDX-License-Identifier: Apache-2.0
// An edge that listens on every interface, with both versions of the protocol: what it tells of its clients' addresses.
import assert from 'node:assert/strict';
import { networkInterfaces } from 'node:os';
import test from 'node:test';

import { Api, MODEL, user } from './api.mjs';
import { startInstance } from './harness.mjs';

const bourse = startInstance({ options: { edge_address: '::' } });
const hello = { model: MODEL, messages: user('Hello') };
const hasVersion6 = networkInterfaces().lo?.some(({ address }) => address === '::1') ?? false;

async function prefixAfter(api) {
  const { key, hash, management } = await bourse.makeCustomer();
  const answer = await api.chat(key, hello);
  assert.equal(answer.status, 200, answer.text);
  return (await bourse.api.get(`/keys/${hash}`, { key: management })).json.data.last_used_prefix;
}

test('a client by IPv4 on a socket for both is known by 24 bits of its IPv4 address', async () => {
  assert.equal(await prefixAfter(bourse.api), '127.0.0.0/24');
});

test('a client by IPv6 is known by 48 bits', { skip: hasVersion6 ? false : 'no IPv6 here' }, async () => {
  const api = new Api(bourse.demo.BOURSE_BASE_URL);
  api.url = { hostname: '::1', port: api.url.port, pathname: api.url.pathname }; // as a socket wants it, without brackets
  assert.equal(await prefixAfter(api), '::/48');
});
