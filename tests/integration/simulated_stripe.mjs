// SPDX-License-Identifier: Apache-2.0
// The payment processor for tests: Checkout sessions, payment intents, refunds and disputes with the state that Stripe keeps, its
// Idempotency-Key, its faults, and its events, which a test delivers when, how often and in which order it likes. Signatures are made
// by Stripe's own npm package. What was asked is kept, as a truth beside our books.
import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';
import Stripe from 'stripe';

const signer = new Stripe('sk_test_only_signs');
const id = (prefix) => `${prefix}_${randomBytes(9).toString('hex')}`;

export class SimulatedStripe {
  key = 'sk_test_51Simulated';
  secrets = ['whsec_first', 'whsec_second'];
  sessions = new Map();
  intents = new Map();
  refunds = new Map();
  disputes = new Map();
  answers = new Map(); // by Idempotency-Key
  requests = []; // {method, path, form, key}
  events = [];
  movements = []; // balance transactions, the newest first; `created` is a test's to set
  faults = [];
  refundStatus = 'succeeded';
  cardSays = 'succeeded'; // to a charge without its owner: or 'declined', 'processing', 'requires_action'

  async listen() {
    this.server = http.createServer((request, response) => {
      const pieces = [];
      request.on('data', (piece) => pieces.push(piece));
      request.on('end', () => this.#serve(request, Buffer.concat(pieces).toString(), response));
    });
    await new Promise((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  close() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }

  /** The next `count` requests that begin so ("POST /v1/refunds") fail: `before` the effect or `after` it; with a status, or `hang`. */
  fault(begins, { when = 'before', status = 500, hang = false, count = 1 } = {}) {
    this.faults.push({ begins, when, status, hang, count });
  }

  made(begins) {
    return this.requests.filter((request) => `${request.method} ${request.path}`.startsWith(begins));
  }

  // ---- what customers, banks and the operator's dashboard do

  /** The customer pays; what arrives may differ from what was asked, and a bank debit is complete before it is paid. */
  pay(session, { amount = session.amount_total, currency = session.currency, later = false } = {}) {
    const intent = {
      id: id('pi'),
      object: 'payment_intent',
      amount: session.amount_total,
      amount_received: later ? 0 : amount,
      currency,
      livemode: session.livemode,
      status: later ? 'processing' : 'succeeded',
      metadata: session.intent_metadata,
      customer: session.saves_card ? id('cus') : null,
      payment_method: id('pm'),
    };
    this.intents.set(intent.id, intent);
    Object.assign(session, { status: 'complete', payment_status: later ? 'unpaid' : 'paid', payment_intent: intent.id });
    return this.#happened('checkout.session.completed', session);
  }

  /** The bank debit arrives. */
  arrive(session) {
    Object.assign(this.intents.get(session.payment_intent), { amount_received: session.amount_total, status: 'succeeded' });
    session.payment_status = 'paid';
    return this.#happened('checkout.session.async_payment_succeeded', session);
  }

  /** The bank debit does not arrive. */
  fail(session) {
    this.intents.get(session.payment_intent).status = 'requires_payment_method';
    return this.#happened('checkout.session.async_payment_failed', session);
  }

  expire(session) {
    session.status = 'expired';
    return this.#happened('checkout.session.expired', session);
  }

  /** `settled`: what it moves in the currency of the seller's account, as {currency, amount, fee}. */
  dispute(session, { amount = session.amount_total, fee = 1500, currency = 'usd', settled } = {}) {
    const moved = { currency: 'usd', amount, fee, ...settled };
    const dispute = {
      id: id('dp'),
      object: 'dispute',
      amount,
      currency,
      payment_intent: session.payment_intent,
      status: 'needs_response',
      balance_transactions: [{ id: id('txn'), ...moved, amount: -moved.amount }],
    };
    this.disputes.set(dispute.id, dispute);
    return this.#happened('charge.dispute.funds_withdrawn', dispute);
  }

  win(disputeEvent) {
    const dispute = this.disputes.get(disputeEvent.data.object.id);
    const [{ amount, fee, currency }] = dispute.balance_transactions;
    dispute.status = 'won';
    dispute.balance_transactions.push({ id: id('txn'), currency, amount: -amount, fee: -fee });
    return this.#happened('charge.dispute.funds_reinstated', dispute);
  }

  /** The bank has decided for the customer: what was withdrawn stays away. */
  lose(disputeEvent) {
    const dispute = this.disputes.get(disputeEvent.data.object.id);
    dispute.status = 'lost';
    return this.#happened('charge.dispute.closed', dispute);
  }

  refundInDashboard(session, amount) {
    return this.#happened('charge.refunded', this.#refund({ payment_intent: session.payment_intent, amount }));
  }

  /** A refund that was pending is decided, or one that had succeeded is sent back. */
  decide(refund, status) {
    refund.status = status;
    return this.#happened('refund.updated', refund);
  }

  /** A charge that was processing is decided. */
  decideCharge(intent, status) {
    Object.assign(intent, { status, amount_received: status === 'succeeded' ? intent.amount : 0 });
    return this.event(`payment_intent.${status === 'succeeded' ? 'succeeded' : 'payment_failed'}`, intent);
  }

  sessionOf(purchase) {
    return [...this.sessions.values()].find((session) => session.client_reference_id === purchase);
  }

  // ---- events

  #happened(type, object) {
    return this.event(type, object);
  }

  event(type, object, more = {}) {
    const event = {
      id: id('evt'),
      object: 'event',
      api_version: '2024-06-20',
      created: Math.floor(Date.now() / 1000),
      livemode: false,
      type,
      data: { object: structuredClone(object) },
      ...more,
    };
    this.events.push(event);
    return event;
  }

  /** POSTs an event to the instance; `secret`, `timestamp` and `header` for signatures that must not pass. */
  deliver(api, event, { secret = this.secrets[0], timestamp, header, payload = JSON.stringify(event) } = {}) {
    const made = () => signer.webhooks.generateTestHeaderString({ payload, secret, timestamp });
    const signature = header === undefined ? made() : header;
    const headers = signature === null ? {} : { 'stripe-signature': signature };
    return api.post('/webhooks/stripe', payload, { root: true, headers });
  }

  // ---- the API

  #serve(request, text, response) {
    const { pathname, search } = new URL(request.url, this.url);
    const form = new URLSearchParams(request.method === 'GET' ? search : text);
    const key = request.headers['idempotency-key'];
    const asked = `${request.method} ${pathname}`;
    this.requests.push({ method: request.method, path: pathname, form, key });
    const fault = this.faults.find((one) => one.count > 0 && asked.startsWith(one.begins));
    if (fault) fault.count--;
    const say = (status, body) => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    const fail = () => (fault.hang ? undefined : say(fault.status, { error: { type: 'api_error' } }));
    if (fault?.when === 'before') return fail();
    if (request.headers.authorization !== `Bearer ${this.key}`) return say(401, { error: { type: 'invalid_request_error' } });
    const [status, body] = this.#once(key, asked + text, () => this.#answer(asked, form));
    if (fault) return fail();
    say(status, body);
  }

  /** The first answer to a key stands; another request with it is refused. */
  #once(key, request, answer) {
    if (key === undefined) return answer();
    const hash = createHash('sha256').update(request).digest('hex');
    const first = this.answers.get(key);
    if (first === undefined) {
      const made = structuredClone(answer());
      this.answers.set(key, { hash, made });
      return made;
    }
    return first.hash === hash ? first.made : [400, { error: { type: 'idempotency_error' } }];
  }

  #answer(asked, form) {
    const one = (all, name) => {
      const found = all.get(asked.slice(asked.lastIndexOf('/') + 1));
      return found ? [200, found] : [404, { error: { type: 'invalid_request_error', message: `No such ${name}` } }];
    };
    const list = (all) => {
      const data = [...all.values()].filter((object) => object.payment_intent === form.get('payment_intent'));
      return [200, { object: 'list', data: data.slice(0, Number(form.get('limit') ?? 10)), has_more: false }];
    };
    if (asked === 'POST /v1/checkout/sessions') return [200, this.#makeSession(form)];
    if (asked === 'GET /v1/checkout/sessions') return list(this.sessions);
    if (asked.startsWith('GET /v1/checkout/sessions/')) {
      const [status, session] = one(this.sessions, 'checkout session');
      const expands = form.getAll('expand[]').includes('payment_intent') && session.payment_intent;
      return [status, expands ? { ...session, payment_intent: this.intents.get(session.payment_intent) } : session];
    }
    if (asked === 'POST /v1/payment_intents') return this.#chargeCard(form);
    if (asked.startsWith('GET /v1/payment_intents/')) return one(this.intents, 'payment_intent');
    if (asked === 'GET /v1/refunds') return list(this.refunds);
    if (asked === 'GET /v1/disputes') return list(this.disputes);
    if (asked === 'GET /v1/balance_transactions') return this.#movementsOf(form);
    if (asked === 'POST /v1/refunds') return this.#askedForRefund(form);
    return [404, { error: { type: 'invalid_request_error', message: `Unrecognized request URL (${asked})` } }];
  }

  #makeSession(form) {
    let total = 0;
    for (let line = 0; form.has(`line_items[${line}][quantity]`); line++)
      total += Number(form.get(`line_items[${line}][quantity]`)) * Number(form.get(`line_items[${line}][price_data][unit_amount]`));
    const metadataOf = (prefix) =>
      Object.fromEntries(['org', 'purchase'].map((name) => [name, form.get(`${prefix}[${name}]`)]));
    const session = {
      id: id('cs_test'),
      object: 'checkout.session',
      client_reference_id: form.get('client_reference_id'),
      mode: form.get('mode'),
      amount_total: total,
      currency: form.get('line_items[0][price_data][currency]'),
      livemode: false,
      payment_status: 'unpaid',
      status: 'open',
      payment_intent: null,
      success_url: form.get('success_url'),
      metadata: metadataOf('metadata'),
      intent_metadata: metadataOf('payment_intent_data[metadata]'),
      saves_card:
        form.get('customer_creation') === 'always' &&
        form.get('payment_intent_data[setup_future_usage]') === 'off_session',
    };
    session.url = `${this.url}/pay/${session.id}`;
    this.sessions.set(session.id, session);
    return session;
  }

  /** Something moved at `created`: {type, source}. */
  move(type, source, created = Math.floor(Date.now() / 1000)) {
    this.movements.unshift({ id: id('txn'), object: 'balance_transaction', type, source, created });
  }

  #movementsOf(form) {
    const [from, until] = [Number(form.get('created[gte]')), Number(form.get('created[lt]'))];
    const all = this.movements.filter((one) => one.created >= from && one.created < until);
    const start = form.has('starting_after') ? all.findIndex((one) => one.id === form.get('starting_after')) + 1 : 0;
    const data = all.slice(start, start + Number(form.get('limit')));
    return [200, { object: 'list', data, has_more: start + data.length < all.length }];
  }

  #chargeCard(form) {
    if (form.get('off_session') !== 'true' || form.get('confirm') !== 'true') return [400, { error: { type: 'invalid_request_error' } }];
    if (this.cardSays === 'declined') return [402, { error: { type: 'card_error', code: 'card_declined' } }];
    const amount = Number(form.get('amount'));
    const intent = {
      id: id('pi'),
      object: 'payment_intent',
      amount,
      amount_received: this.cardSays === 'succeeded' ? amount : 0,
      currency: form.get('currency'),
      livemode: false,
      status: this.cardSays,
      customer: form.get('customer'),
      payment_method: form.get('payment_method'),
      metadata: { org: form.get('metadata[org]'), purchase: form.get('metadata[purchase]') },
    };
    this.intents.set(intent.id, intent);
    return [200, intent];
  }

  #refundable(intent) {
    const made = [...this.refunds.values()].filter((refund) => refund.payment_intent === intent.id);
    const gone = made.filter((refund) => refund.status !== 'failed').reduce((sum, refund) => sum + refund.amount, 0);
    return intent.amount_received - gone;
  }

  #askedForRefund(form) {
    const intent = this.intents.get(form.get('payment_intent'));
    const amount = Number(form.get('amount'));
    if (!intent || amount <= 0 || amount > this.#refundable(intent))
      return [400, { error: { type: 'invalid_request_error', message: 'Refund amount is greater than charge amount' } }];
    const refund = this.#refund({ payment_intent: intent.id, amount, metadata: { refund: form.get('metadata[refund]') } });
    return [200, refund];
  }

  #refund({ payment_intent, amount, metadata = {} }) {
    const refund = { id: id('re'), object: 'refund', amount, currency: 'usd', payment_intent, metadata, status: this.refundStatus };
    this.refunds.set(refund.id, refund);
    return refund;
  }
}
