// SPDX-License-Identifier: Apache-2.0
// The ledger dies by its own hand at named points while a month's free requests with own provider keys are used up: exactly those are
// free, and each is booked as it was told.
import './fault_build.mjs';

import assert from 'node:assert/strict';
import test, { after } from 'node:test';

import { eventually, startInstance } from '../integration/harness.mjs';
import { OwnKeys } from '../integration/own_keys.mjs';
import { QUICK, deathsOf, killInstance, startInstanceAgain } from './faults.mjs';

const FREE = 60;
// At which passage: before or about the line.
const POINTS = { after_hold: 50, after_sync: 40, before_commit: 4, lease_granted: 2 };

let own;
const bourse = startInstance({ options: QUICK, setup: async (instance) => (own = await OwnKeys.begin(instance)) });
after(() => own?.edge.close());

for (const [point, passage] of Object.entries(POINTS)) {
  test(`the ledger may die at ${point} while the free ones are used up`, async () => {
    await killInstance(bourse);
    await startInstanceAgain(bourse, { environment: { BOURSE_CRASH_AT: `${point}:${passage}` } });
    await own.edge.reconnect();
    const deaths = deathsOf(bourse, 'ledger').length;
    await own.useUp(FREE, async () => {
      await eventually(() => assert.equal(deathsOf(bourse, 'ledger').length, deaths + 1, 'the point was not passed'));
      await bourse.ready();
      bourse.pids.ledger = bourse.pid('ledger');
      await own.edge.reconnect();
    });
  });
}
