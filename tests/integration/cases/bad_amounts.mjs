// SPDX-License-Identifier: Apache-2.0
// Amounts as they must not be, at every door that takes money, gives it or bounds it: refused with a sentence, and nothing moved. An
// amount is read digit by digit, so what a float would round away is still there to be refused.
import assert from 'node:assert/strict';
import test from 'node:test';

import { assertError, nanoOf } from '../api.mjs';
import { bourse } from './one_instance.mjs';

let keys = 0;
const once = () => ({ 'idempotency-key': `amount-${++keys}` });

/** An organization with a purchase of $25, all of it unused, and a key. */
async function makeBuyer() {
  const { org, orgNumber, hash, management } = await bourse.makeCustomer();
  const bought = await bourse.api.post('/purchases', { amount: 25 }, { key: management, headers: once() });
  assert.equal(bought.status, 201, bought.text);
  return { org, orgNumber, hash, management, purchase: bought.json.data.id };
}

/** Everything that an amount could have changed. */
async function stateOf({ management, orgNumber }) {
  const { data } = (await bourse.api.get('/credits', { key: management })).exact;
  const count = (table) => bourse.sqlValue(`select count(*) from ${table} where org = $1`, [String(orgNumber)]);
  const counts = await Promise.all(['transfer', 'purchase', 'purchase_refund', 'api_key', 'auto_topup'].map(count));
  const codes = await bourse.sqlValue('select count(*) from promo_code');
  const limits = await bourse.sql('select id, limit_nano from meter where org = $1 and limit_nano is not null', [String(orgNumber)]);
  return { balance: nanoOf(data.balance), counts, codes, limits };
}

// ---- over HTTP

const notAnAmount = [
  '-1', '-0.01', '-0', '-0.000000001',
  '0.0000000001', '25.0000000001', // ten decimals: less than a nano-dollar
  '25.0000000000000001', '0.1234567890123456', '1e-16', '5.000000000000001', // sixteen and fifteen: a float would not see some of them
  '9223372036.854775808', '92233720368547758080', '1e400', '1e-400', '1e19', '123456789012345678901234567890.5',
  '"25"', '"25.00"', '"NaN"', '"Infinity"', 'true', '[]', '[25]', '{}', '{"usd":25}',
  'NaN', 'Infinity', '+25', '025', '.5', '25.', '0x19', '2_500', '25,00', '$25', '１０', // no JSON
];

const doors = {
  'POST /purchases': (x) => `{"amount":${x}}`,
  'POST /keys': (x) => `{"name":"bad","limit":${x}}`,
  'PATCH /keys/{hash}': (x) => `{"limit":${x}}`,
  'PATCH /limits?owner=organization': (x) => `{"daily":${x}}`,
  'PUT /auto-topup threshold': (x) => `{"enabled":true,"threshold":${x},"target":50,"daily_max":100}`,
  'PUT /auto-topup target': (x) => `{"enabled":true,"threshold":10,"target":${x},"daily_max":100}`,
  'PUT /auto-topup daily_max': (x) => `{"enabled":true,"threshold":10,"target":50,"daily_max":${x}}`,
};

function knock(door, buyer, body) {
  const [method, route] = door.split(' ');
  const path = route.replace('{purchase}', buyer.purchase).replace('{hash}', buyer.hash);
  return bourse.api.request(method, path, { key: buyer.management, headers: once(), body });
}

for (const [door, bodyOf] of Object.entries(doors)) {
  test(`${door} takes no amount that is none, and no digit is rounded away`, async () => {
    const buyer = await makeBuyer();
    const before = await stateOf(buyer);
    for (const amount of notAnAmount) {
      const answer = await knock(door, buyer, bodyOf(amount));
      assert.equal(answer.status, 400, `${amount}: ${answer.text}`);
      assertError(answer, 400);
    }
    assert.deepEqual(await stateOf(buyer), before);
  });
}

test('another currency, or a field that nobody knows, is refused wherever money moves, and not taken for dollars', async () => {
  const buyer = await makeBuyer();
  const before = await stateOf(buyer);
  for (const currency of ['"eur"', '"usd"', '"USD"', '"XXX"', '""', 'null', '978']) {
    for (const door of ['POST /purchases', 'POST /purchases/{purchase}/refund']) {
      const error = assertError(await knock(door, buyer, `{"amount":25,"currency":${currency}}`), 400, /currency/);
      assert.match(error.message, /This route takes amount/);
    }
  }
  // Without an amount a refund is of everything.
  for (const body of ['{"amuont":1}', '{"amount":1,"amount_cents":100}', '[]', '"all"', '25'])
    assertError(await knock('POST /purchases/{purchase}/refund', buyer, body), 400);
  const rule = '{"enabled":true,"threshold":10,"target":50,"daily_max":100,';
  for (const field of ['"currency":"eur"', '"daily_cuont":1', '"daily_limit":5'])
    assertError(await knock('PUT /auto-topup', buyer, `${rule}${field}}`), 400);
  assertError(await knock('POST /keys', buyer, '{"name":"k","limit":5,"currency":"eur"}'), 400);
  assertError(await knock('PATCH /limits?owner=organization', buyer, '{"daily":5,"currency":"eur"}'), 400);
  assert.deepEqual(await stateOf(buyer), before);
});

// ---- the operator's command line

const notDollars = ['-1', '0.0000000001', '25.0000000000000001', '1e400', '99999999999999999999', '25,00', '$25', '25 eur', 'NaN', ''];

const commands = {
  'credit grant': ({ org }, x) => ['credit', 'grant', '--org', org, '--amount', x],
  'credit buy': ({ org }, x) => ['credit', 'buy', '--org', org, '--amount', x],
  'org set --credit-line': ({ org }, x) => ['org', 'set', '--org', org, '--credit-line', x],
  'org pay': ({ org }, x) => ['org', 'pay', '--org', org, '--amount', x],
  'code create': (_, x) => ['code', 'create', '--uses', '1', '--amount', x],
  'purchase refund': ({ org, purchase }, x) => ['purchase', 'refund', '--org', org, '--id', purchase, '--amount', x],
  'key create --limit': ({ org }, x) => ['key', 'create', '--org', org, '--name', 'bad', '--limit', x],
  'limit set --daily': ({ org }, x) => ['limit', 'set', '--org', org, '--owner', 'organization', '--daily', x],
};

test(`bourse ${Object.keys(commands).join(', ')} refuse what is no amount, and nothing moves`, async () => {
  const buyer = await makeBuyer();
  const before = await stateOf(buyer);
  for (const [what, wordsOf] of Object.entries(commands)) {
    await Promise.all(notDollars.map(async (amount) => {
      const said = await bourse.bourseFails(...wordsOf(buyer, amount)).catch((error) => assert.fail(`${what} ${amount}: ${error.message}`));
      assert.match(said, /amount|credit.line|limit|daily|number|dollars/i, `${what} ${amount}`);
      assert.doesNotMatch(said, /\b40[349]\b/, `${what} ${amount}: refused, but for another reason`);
    }));
  }
  assert.deepEqual(await stateOf(buyer), before);
});
