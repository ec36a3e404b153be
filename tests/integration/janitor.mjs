// SPDX-License-Identifier: Apache-2.0
// The rounds in which the ledger itself looks at purchases of which no event ever comes: again and again while they are open, through
// answers that fail, until they are paid or over; and then no more, whatever comes late. The books are audited after each.
import assert from 'node:assert/strict';
import test from 'node:test';

import { eventually } from './harness.mjs';
import { DOLLAR, asOwner, bourse, buy, credits, delivered, makeBuyer, moves, read, stripe } from './stripe_instance.mjs';

const ROUNDS_MS = 20_000; // a round is every 300 ms; an open session is looked at each time for its first seconds
// $25.00 and 5.5 % of it, half up: 137.5 make 138 cents.
const CREDITED = ['purchase 101>1 2500', 'purchase_fee 101>111 138'];

async function makeOpen() {
  const buyer = await makeBuyer();
  const { id } = (await buy(buyer, 25)).json.data;
  return { buyer, id, session: stripe.sessionOf(id) };
}

const looksAt = (session) => stripe.made(`GET /v1/checkout/sessions/${session.id}`).length;
const statusOf = async ({ buyer, id }) => (await read(buyer, id)).status;
const becomes = (made, status) => eventually(async () => assert.equal(await statusOf(made), status), { deadline_ms: ROUNDS_MS });

/** The rounds look at it so many times more. */
function lookedAt(session, times) {
  const before = looksAt(session);
  return eventually(() => assert.ok(looksAt(session) >= before + times), { deadline_ms: ROUNDS_MS });
}

async function assertCreditedOnce({ buyer, id }) {
  assert.equal(await credits(buyer), 25n * DOLLAR);
  assert.deepEqual(await moves(id), CREDITED);
}

async function assertNothingMoved({ buyer, id }) {
  assert.equal(await credits(buyer), 0n);
  assert.deepEqual(await moves(id), []);
}

/** When Stripe is asked next, in minutes from now; null: never. */
const nextLook = (id) => bourse.sqlValue('select round(extract(epoch from look_at - now()) / 60)::bigint from purchase where id = $1', [id]);

/** Rounds go by in which another purchase is found and credited. */
async function roundsPass() {
  const other = await makeOpen();
  await lookedAt(other.session, 2);
  stripe.pay(other.session);
  await becomes(other, 'paid');
}

test('an open session is looked at until it is paid, is credited once, and its late events credit nothing', async () => {
  const made = await makeOpen();
  await lookedAt(made.session, 3);
  assert.equal(await statusOf(made), 'open');
  await assertNothingMoved(made);

  const paid = stripe.pay(made.session);
  await becomes(made, 'paid');
  await assertCreditedOnce(made);
  assert.equal(await nextLook(made.id), 60n); // for refunds and disputes: a quarter of its age, an hour at least
  const looks = looksAt(made.session);
  await roundsPass();
  assert.equal(looksAt(made.session), looks);

  for (let i = 0; i < 3; i++) await delivered(paid);
  await delivered(stripe.event('checkout.session.completed', made.session)); // again, under an id of its own
  await assertCreditedOnce(made);
});

test('an expired session ends, is asked for no more, and its late event changes nothing', async () => {
  const made = await makeOpen();
  const expired = stripe.expire(made.session);
  await becomes(made, 'cancelled');
  await assertNothingMoved(made);
  assert.equal(await nextLook(made.id), null);
  const looks = looksAt(made.session);
  await roundsPass();
  assert.equal(looksAt(made.session), looks);

  await delivered(expired);
  assert.equal(await statusOf(made), 'cancelled');
  await assertNothingMoved(made);
});

test('a session whose looks fail for some rounds is tried again, holds up nobody, and is credited once', async () => {
  const made = await makeOpen();
  const other = await makeOpen();
  stripe.fault(`GET /v1/checkout/sessions/${made.session.id}`, { status: 500, count: 1000 });
  const paid = stripe.pay(made.session);
  stripe.pay(other.session);
  await lookedAt(made.session, 3);
  await becomes(other, 'paid');
  assert.equal(await statusOf(made), 'open');
  await assertNothingMoved(made);

  stripe.faults = [];
  await becomes(made, 'paid');
  await delivered(paid);
  await assertCreditedOnce(made);
  await assertCreditedOnce(other);
});

test('a session that could not be made is asked for again under one key, and given up when it is a day old', async () => {
  const [made, old] = [await makeBuyer(), await makeBuyer()];
  stripe.fault('POST /v1/checkout/sessions', { status: 500, count: 1000 });
  const buyOne = async (buyer) => ({ buyer, id: (await buy(buyer, 25)).json.data.id });
  const [late, never] = [await buyOne(made), await buyOne(old)];
  const asked = ({ id }) => stripe.made('POST /v1/checkout/sessions').filter((one) => one.form.get('client_reference_id') === id);
  await eventually(() => assert.ok(asked(late).length >= 3 && asked(never).length >= 3), { deadline_ms: ROUNDS_MS });
  assert.equal(new Set(asked(late).map((one) => one.key)).size, 1);
  asOwner(`update purchase set created_at = now() - interval '25 hours' where id = '${never.id}'`);
  await becomes(never, 'cancelled');
  stripe.faults = [];

  await becomes(late, 'open');
  stripe.pay(stripe.sessionOf(late.id));
  await becomes(late, 'paid');
  await assertCreditedOnce(late);
  assert.equal(stripe.sessionOf(never.id), undefined);
  await assertNothingMoved(never);
  assert.equal(await nextLook(never.id), null);
});
