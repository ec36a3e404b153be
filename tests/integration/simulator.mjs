// SPDX-License-Identifier: Apache-2.0
// The simulated provider's other side: faults on order, and what it served, which is a truth independent of our books.
import assert from 'node:assert/strict';

export class Simulator {
  constructor(url) {
    this.url = url;
  }

  async fault(provider, fault) {
    const answer = await fetch(`${this.url}/sim/faults/${provider}`, { method: 'PUT', body: JSON.stringify(fault) });
    assert.equal(answer.status, 200, await answer.text());
  }

  async clearFaults() {
    await (await fetch(`${this.url}/sim/faults`, { method: 'DELETE' })).arrayBuffer();
  }

  async total() {
    return (await (await fetch(`${this.url}/sim/log?limit=0`)).json()).total;
  }

  /** What was served since a number of `total()`, or what one generation caused. */
  async served({ after = 0, generation } = {}) {
    const { data } = await (await fetch(`${this.url}/sim/log?after=${after}`)).json();
    return generation === undefined ? data : data.filter((entry) => entry.request_id === generation);
  }
}

/** The provider's words: a user message that makes it answer so, padded to exactly that many bytes. */
export function prompt(bytes, steering = '') {
  assert.ok(steering.length <= bytes);
  return steering.padEnd(bytes, steering.endsWith(' ') || steering === '' ? 'x' : ' ');
}
