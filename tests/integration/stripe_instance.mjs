// SPDX-License-Identifier: Apache-2.0
// An instance that sells credit through the simulated Stripe, for the files that test it: customers, their purchases in every state,
// and what the books say of them.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, chmodSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach } from 'node:test';

import { nanoOf } from './api.mjs';
import { startInstance } from './harness.mjs';
import { SimulatedStripe } from './simulated_stripe.mjs';

export const stripe = await new SimulatedStripe().listen();
const secrets = mkdtempSync(path.join(tmpdir(), 'bourse-stripe-'));
chmodSync(secrets, 0o755); // as root the ledger is a user of its own
writeFileSync(path.join(secrets, 'key'), `${stripe.key}\n`);
writeFileSync(path.join(secrets, 'webhook'), stripe.secrets.join('\n') + '\n');
export const bourse = startInstance({
  options: {
    stripe_key_file: path.join(secrets, 'key'),
    stripe_webhook_secrets_file: path.join(secrets, 'webhook'),
    stripe_base_url: stripe.url,
    stripe_janitor_interval: 300,
    egress_allow: `stripe=${stripe.url}`,
    egress_simulated: stripe.url,
  },
});
afterEach(() => {
  stripe.faults = [];
  stripe.cardSays = stripe.refundStatus = 'succeeded';
});
after(async () => {
  await stripe.close();
  rmSync(secrets, { recursive: true });
});

let names = 0;
export const unique = () => ++names;

export async function makeBuyer() {
  const org = await bourse.makeOrg();
  const { key: management } = await bourse.makeKey(org, { management: true });
  const { key } = await bourse.makeKey(org);
  return { org, number: org.replace('org-', ''), management, key };
}

export const post = (buyer, route, body, idempotencyKey = `stripe-${unique()}`) =>
  bourse.api.post(route, body, { key: buyer.management, headers: { 'idempotency-key': idempotencyKey } });
export const buy = (buyer, amount, idempotencyKey) =>
  post(buyer, '/purchases', { amount, payment_method: 'stripe' }, idempotencyKey);
export const refund = (buyer, id, body = {}, idempotencyKey) => post(buyer, `/purchases/${id}/refund`, body, idempotencyKey);
export const deliver = (event, options) => stripe.deliver(bourse.api, event, options);
export const read = async (buyer, id) => (await bourse.api.get(`/purchases/${id}`, { key: buyer.management })).exact.data;

export async function credits(buyer) {
  const { data } = (await bourse.api.get('/credits', { key: buyer.management })).exact;
  return nanoOf(data.balance);
}

export async function delivered(event, options) {
  const answer = await deliver(event, options);
  assert.equal(answer.status, 200, answer.text);
}

/** Bought, and paid by the customer; nothing was delivered yet. */
export async function makePaid(amount = 100) {
  const buyer = await makeBuyer();
  const { id } = (await buy(buyer, amount)).json.data;
  const session = stripe.sessionOf(id);
  return { buyer, id, session, paid: stripe.pay(session) };
}

export async function makeCredited(amount) {
  const made = await makePaid(amount);
  await delivered(made.paid);
  return made;
}

/** What a purchase, and what its refunds, moved between which accounts. */
export async function moves(reference) {
  const rows = await bourse.sql(
    'select code, debit_kind, credit_kind, amount from transfer where reference = $1 order by id',
    [reference],
  );
  return rows.map((row) => `${row.code} ${row.debit_kind}>${row.credit_kind} ${row.amount / 10_000_000n}`);
}

/** Time passes: only the owner of the tables may change when something was. */
export function asOwner(sql) {
  const place = bourse.demo.BOURSE_PG.replace('bourse_reader', 'bourse_owner');
  return execFileSync('psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1', '-d', place, '-c', sql], { encoding: 'utf8' }).trim();
}

export const isFrozen = (buyer) => bourse.sqlValue('select frozen from org where org = $1', [buyer.number]);
export const DOLLAR = 1_000_000_000n;

/** A customer whose card was saved with a purchase, and whose credit is `credit` dollars then. */
export async function makeCardholder(credit = 5) {
  const buyer = await makeBuyer();
  const { id } = (await post(buyer, '/purchases', { amount: credit, payment_method: 'stripe', save_card: true })).json.data;
  const session = stripe.sessionOf(id);
  await delivered(stripe.pay(session));
  return { buyer, id, session, intent: stripe.intents.get(session.payment_intent) };
}

export const setRule = (buyer, rule = {}) =>
  bourse.api.request('PUT', '/auto-topup', {
    key: buyer.management,
    body: { enabled: true, threshold: 10, target: 50, daily_max: 100, ...rule },
  });
export const rule = async (buyer) => (await bourse.api.get('/auto-topup', { key: buyer.management })).json.data;
/** In cents, as the ledger sizes it. */
export const topupDue = (buyer) => asOwner(`select topup_cents(${buyer.number})`);
export const topups = async (buyer) =>
  (await bourse.api.get('/purchases', { key: buyer.management })).json.data.filter((entry) => entry.auto);
export const charges = (buyer) => stripe.made('POST /v1/payment_intents').filter((one) => one.form.get('metadata[org]') === buyer.org);
