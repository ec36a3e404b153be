// SPDX-License-Identifier: Apache-2.0
// Requests with customers' own provider keys over a fake edge: what an edge would say, and many of them at once that use up what a
// plan gives of a month while a test does its worst to the ledger.
import assert from 'node:assert/strict';

import { MODEL, user } from './api.mjs';
import { FakeEdge, LOST } from './fake_edge.mjs';
import { eventually } from './harness.mjs';

export const DOLLAR = 1_000_000_000n;
const PROMPT_NANO = 150n; // list price of a prompt token of MODEL; 600 for one of the answer (see api.mjs)
const COMPLETION_NANO = 600n;
const BYOK = 16; // enum fact_flag
const WORKERS = 8;
const WORK = { prompt: 100, completion: 10 }; // 21,000 nano-dollars, of which 5 % are 1,050
const WORK_FEE = 1_050n;

export class OwnKeys {
  #bourse;
  #frozen; // a row with the model's price, endpoint and provider

  static async begin(bourse) {
    const own = new OwnKeys();
    const { key } = await bourse.makeCustomer();
    const { id } = (await bourse.api.chat(key, { model: MODEL, messages: user('Hello!') })).json;
    await bourse.quiet();
    own.#frozen = await bourse.generationRow(id);
    own.#bourse = bourse;
    own.edge = await FakeEdge.connect(bourse);
    return own;
  }

  /** HELD for a request of at most this list price; `byok: 0` is one without an own key. */
  ask(key, list, { byok = 1 } = {}) {
    return this.edge.hold(key, { fixed: list, byok, price_ids: [this.#frozen.price] });
  }

  /** Settles with so many tokens; answers what the client is told. */
  settle(held, { prompt, completion }) {
    return this.edge.settle(held, {
      price_id: this.#frozen.price,
      usage: { prompt, completion },
      charge: BigInt(prompt) * PROMPT_NANO + BigInt(completion) * COMPLETION_NANO,
      facts: this.#facts(),
    });
  }

  release(held) {
    return this.edge.release(held, { facts: this.#facts() });
  }

  /** A whole request; what the client is told. */
  async request(key, work = WORK) {
    const held = await this.ask(key, DOLLAR);
    assert.equal(held.error, undefined);
    return this.settle(held, work);
  }

  #facts() {
    const { model, endpoint, provider } = this.#frozen;
    return { model, endpoint, provider, flags: BYOK, finish: 1 };
  }

  /** A plan of the customer's own, made of `options` of `bourse plan set`. */
  async plan(org, name, ...options) {
    await this.#bourse.bourse('plan', 'create', '--name', name, '--like', 'pay-as-you-go');
    await this.#bourse.bourse('plan', 'set', name, ...options);
    await this.#bourse.bourse('plan', 'assign', name, '--org', org);
  }

  /** What is spent of an allowance, in its unit. */
  used(orgNumber, unit = 'requests') {
    const text = 'select coalesce(sum(spent), 0) from meter_period where org = $1 and meter = allowance_meter($1, $2)';
    return this.#bourse.sqlValue(text, [orgNumber, unit]);
  }

  /** Requests of a new customer with `free` ones a month, every tenth of which fails, while `during(load)` runs and until twice as many
   *  have ended. Exactly the free ones must have been free then, and each told as booked. */
  async useUp(free, during) {
    const customer = await this.#bourse.makeCustomer({ credit: '1' });
    await this.plan(customer.org, `${free} free of ${customer.org}`, '--byok-unit', 'requests', '--byok-allowance', String(free));
    const told = new Map(); // by hold
    let over = false;
    const workers = Array.from({ length: WORKERS }, () => this.#work(customer.key, told, () => !over));
    const until = (count) => eventually(() => assert.ok(told.size >= count), { every_ms: 1, deadline_ms: 30_000 });
    await during(until);
    await until(2 * free);
    over = true;
    await Promise.all(workers);
    await this.#bourse.quiet(15_000);
    await this.#check(customer.orgNumber, BigInt(free), told);
  }

  async #work(key, told, goesOn) {
    for (let i = 1; goesOn(); i++) {
      try {
        const held = await this.ask(key, DOLLAR / 1000n);
        assert.equal(held.error, undefined);
        told.set(held.hold, await (i % 10 === 0 ? this.release(held) : this.settle(held, WORK)));
      } catch (error) {
        if (error.message !== LOST) throw error;
        await eventually(() => assert.ok(this.edge.isConnected), { deadline_ms: 60_000 });
      }
    }
  }

  async #check(orgNumber, free, told) {
    const rows = await this.#bourse.sql('select hold, state, charge, byok_units from generation where org = $1', [orgNumber]);
    const settled = rows.filter(({ state }) => state === 1);
    assert.equal(settled.filter(({ byok_units: units }) => units === 1n).length, Number(free));
    assert.equal(await this.used(orgNumber), free);
    for (const { charge, byok_units: units } of settled) assert.equal(charge, units === 1n ? 0n : WORK_FEE);
    const booked = new Map(rows.map(({ hold, charge }) => [hold, charge]));
    const unknown = [...told.values()].filter((charge) => charge === undefined).length;
    assert.ok(unknown < told.size / 2, `${unknown} of ${told.size} endings were not told`);
    for (const [hold, charge] of told) if (charge !== undefined) assert.equal(booked.get(hold), charge, `hold ${hold}`);
  }
}
