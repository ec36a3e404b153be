// SPDX-License-Identifier: Apache-2.0
// A power cut, which kill -9 is not: what was written and not synced is in the kernel's memory, where a dead ledger's successor and
// everybody else can read it. So here the ledger notes how far its syncs got (build with `FAULT=1`); when the whole instance is dead all
// that lies behind the note is taken out of its journal, and the machine gets another boot id, by which a start knows that it was off.
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after } from 'node:test';

import { killInstance, startInstanceAgain } from './faults.mjs';
import { ENDING, recordsOf } from './segments.mjs';

/** Imported before the instance starts, whose programs find in the environment what the machine is to be for them. */
const place = mkdtempSync(path.join(tmpdir(), 'bourse-machine-'));
const boot = path.join(place, 'boot_id');
const note = path.join(place, 'journal_synced');
chmodSync(place, 0o777); // as root the ledger is a user of its own
switchOn();
process.env.BOURSE_BOOT_ID = boot;
process.env.BOURSE_NOTE_AT = `journal_synced:${note}`;
after(() => rmSync(place, { recursive: true }));

function switchOn() {
  writeFileSync(boot, `${randomUUID()}\n`);
}

/** Answers how many requests' ends went with the power. */
export async function cutPower(bourse, build) {
  await killInstance(bourse);
  const lost = forgetUnsynced(path.join(bourse.var, 'journal'));
  switchOn();
  await startInstanceAgain(bourse, { build });
  return lost;
}

/** Only the newest incarnation is written to. */
function forgetUnsynced(journal) {
  const synced = readFileSync(note).readBigUInt64LE();
  const names = readdirSync(journal).filter((name) => name.endsWith('.seg')).sort();
  assert.ok(names.length > 0, 'there is no journal');
  const [incarnation] = names.at(-1).split('-');
  let lost = 0;
  for (const name of names.filter((other) => other.startsWith(incarnation))) {
    const file = path.join(journal, name);
    const bytes = readFileSync(file);
    const unsynced = [...recordsOf(bytes)].filter(({ sequence }) => sequence > synced);
    if (unsynced.length === 0) continue;
    writeFileSync(file, bytes.fill(0, unsynced[0].at), { flag: 'r+' });
    lost += unsynced.filter(({ type }) => type === ENDING).length;
  }
  return lost;
}
