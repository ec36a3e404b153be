// SPDX-License-Identifier: Apache-2.0
// The named points of the programs, armed when a test says so (build with `FAULT=1`): who passes one next dies there, or stands there
// until the test lets it go on. So an instance need not be started anew for each. It finds the directory of what is armed in its
// environment: imported before it starts.
import './fault_build.mjs';

import assert from 'node:assert/strict';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';

import { eventually, stands } from '../integration/harness.mjs';
import { deathOf, killPostgres, postgresServes, signal } from './faults.mjs';

const place = mkdtempSync(path.join(tmpdir(), 'bourse-points-'));
chmodSync(place, 0o777); // as root the programs are users of their own, and who is struck takes the file away
process.env.BOURSE_STRIKE_IN = place;
after(() => rmSync(place, { recursive: true }));

/** Armed before this returns for the first time. What was not passed by the end of `during` strikes nobody later. */
async function whileArmed(file, during) {
  const armed = path.join(place, file);
  writeFileSync(armed, '');
  try {
    return await during(armed);
  } finally {
    rmSync(armed, { force: true });
  }
}

/** A program dies at its next passage of a point, and another one is there. */
export async function dieAt(bourse, program, point) {
  await whileArmed(`${point}.crash`, deathOf(bourse, program));
}

/** A program stands at its next passage of a point for the time of `during`; then it goes on. */
export async function whileStandsAt(bourse, program, point, during) {
  const pid = bourse.pid(program);
  await whileArmed(`${point}.stop`, async (armed) => {
    try {
      await eventually(() => assert.ok(!existsSync(armed) && stands(pid), 'the point was not passed'), { every_ms: 5 });
      await during();
    } finally {
      signal(pid, 'SIGCONT');
    }
  });
}

/** PostgreSQL is killed while a program stands at a point, which then goes on and does without. */
export async function killPostgresAt(bourse, program, point, killed = () => killPostgres(bourse)) {
  const pid = bourse.pid(program);
  await whileStandsAt(bourse, program, point, killed);
  await postgresServes(bourse);
  await bourse.ready();
  assert.equal(bourse.pid(program), pid, `the ${program} ended itself`);
}
