// SPDX-License-Identifier: Apache-2.0
// The journal after an accident: a torn record at its end, the directory gone, an old copy in its place, a second ledger that wants it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  closeSync, cpSync, ftruncateSync, mkdirSync, openSync, readFileSync, readdirSync, rmSync, writeFileSync, writeSync,
} from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { MODEL, user } from '../integration/api.mjs';
import { BUILD, eventually, startInstance } from '../integration/harness.mjs';
import { QUICK, killInstance, servedSoFar, startInstanceAgain, stopInstance, strike, underLoad, whileStanding } from './faults.mjs';
import { RECORD_HEAD, recordsOf } from './segments.mjs';

const bourse = startInstance({ options: QUICK });
const directory = () => path.join(bourse.var, 'journal');

/** Where the records of a segment end, and where the first one begins; undefined when it holds none. */
function findEnd(file) {
  const bytes = readFileSync(file);
  const records = [...recordsOf(bytes)];
  if (records.length === 0) return undefined;
  const { at, end } = records.at(-1);
  return { first: records[0].at, last: bytes.subarray(at, end), end };
}

/** The segment that was written last. */
function newestSegment() {
  const names = readdirSync(directory()).filter((name) => name.endsWith('.seg')).sort().reverse();
  for (const name of names) {
    const found = findEnd(path.join(directory(), name));
    if (found) return { file: path.join(directory(), name), ...found };
  }
  throw new Error('the journal holds no records');
}

/** What a power cut can leave behind the last whole record. */
const TAILS = {
  'half of a record': ({ last }) => last.subarray(0, last.length / 2),
  'a record with a wrong checksum': ({ last }) => Buffer.concat([last.subarray(0, 4), Buffer.alloc(4, 0xa5), last.subarray(8)]),
  'bytes without meaning': () => Buffer.from(Array.from({ length: 3000 }, (_, i) => (i * 7 + 1) % 256)),
};

/** Kills the instance and writes behind the last record; where it is cut, the file ends there. */
async function tear(tail, cut) {
  await killInstance(bourse);
  const segment = newestSegment();
  const bytes = tail(segment);
  const file = openSync(segment.file, 'r+');
  writeSync(file, bytes, 0, undefined, segment.end);
  if (cut) ftruncateSync(file, segment.end + bytes.length);
  closeSync(file);
  await startInstanceAgain(bourse);
}

test(`a journal with a torn end (${Object.keys(TAILS).join(', ')}) is read up to there, and nothing that was acknowledged is lost`, async () => {
  await underLoad(bourse, async (load) => {
    const served = [];
    for (const [what, tail] of Object.entries(TAILS)) {
      await load.more(50);
      served.push(...(await servedSoFar(bourse)));
      load.faultBegins();
      await tear(tail, what === 'half of a record');
      load.faultEnds();
    }
    return served;
  }, { edgeStopped: true, providerLogLost: true });
  assert.doesNotMatch(bourse.log('ledger'), /journal_damaged/);
});

/** Stops in an orderly way, does something to the journal, starts again, all under load. */
async function whileStopped(change) {
  const before = await bourse.sqlValue('select max(incarnation) from stream');
  await underLoad(bourse, async (load) => {
    await load.more(50);
    load.faultBegins();
    const served = await servedSoFar(bourse);
    await stopInstance(bourse);
    change();
    await startInstanceAgain(bourse);
    load.faultEnds();
    await load.more(50);
    return served;
  }, { edgeStopped: true, providerLogLost: true });
  assert.equal(await bourse.sqlValue('select max(incarnation) from stream'), before + 1);
}

test('a journal that is gone begins anew under another number, and the books are right', async () => {
  await whileStopped(() => rmSync(directory(), { recursive: true }));
});

test('an old copy of the journal is recognized and put aside, and the books are right', async () => {
  const copy = path.join(bourse.directory, 'old journal');
  await stopInstance(bourse);
  cpSync(directory(), copy, { recursive: true });
  await startInstanceAgain(bourse);
  await whileStopped(() => {
    rmSync(directory(), { recursive: true });
    cpSync(copy, directory(), { recursive: true });
  });
  assert.match(bourse.log('ledger'), /event=journal_is_old/);
});

/** A disk with room for three segments in the place of the journal, and back. Only root can; answers whether it is there. */
async function useSmallDisk() {
  await stopInstance(bourse);
  rmSync(directory(), { recursive: true });
  mkdirSync(directory());
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'bourse-fault-test', directory()]).status === 0;
  if (mounted) bourse.setOption('journal_segments', 2);
  await startInstanceAgain(bourse);
  return mounted;
}

async function useOwnDisk() {
  await stopInstance(bourse);
  spawnSync('umount', [directory()]);
  bourse.setOption('journal_segments', 4);
  await startInstanceAgain(bourse);
}

test('on a full disk no more is admitted, what runs is billed, and service returns when there is room', async (t) => {
  if (!(await useSmallDisk())) return t.skip('only root can mount a small disk');
  try {
    const { key } = await bourse.makeCustomer();
    await underLoad(bourse, async (load) => {
      // Nothing younger than the oldest open hold is deleted, so one slow stream fills the disk.
      const slow = await bourse.api.openStream(key, { model: MODEL, messages: user('sim:tokens=2 sim:chunk_ms=600000') });
      await slow.readContent(1);
      const refused = () => load.requests.filter(({ status }) => status === 503).length;
      await eventually(() => assert.ok(refused() > 100, `${refused()} refused`), { deadline_ms: 60_000 });
      assert.match(bourse.log('ledger'), /event=journal_segment_not_prepared/);
      slow.leave();
      await load.more(50);
    });
  } finally {
    await useOwnDisk();
  }
});

test('a second ledger refuses to start on the journal of a first, which does not notice', async () => {
  const second = spawnSync(path.join(BUILD, 'ledger'), ['--config', 'bourse.conf'], { cwd: bourse.var, encoding: 'utf8', timeout: 10_000 });
  assert.equal(second.signal, null, 'it was still running after ten seconds');
  assert.notEqual(second.status, 0);
  assert.match(second.stdout + second.stderr, /event=journal_locked/);
  const { key } = await bourse.makeCustomer();
  assert.equal((await bourse.api.chat(key, { model: MODEL, messages: user('Hello') })).status, 200);
});

// ---- a journal that may not be used: the ledger says why and stops, and nothing of it is lost

/** Runs the ledger by hand on the journal as `change` leaves it, while the supervisor stands still; what `change` answers puts the
 *  journal back, and the supervisor's ledger goes on with it. Answers what the one in between had to say. */
async function refusalOf(change) {
  const supervisor = Number(readFileSync(path.join(bourse.var, 'run/supervise.pid'), 'utf8'));
  const before = bourse.pid('ledger');
  let said;
  await whileStanding([supervisor], async () => {
    process.kill(before, 'SIGKILL');
    await eventually(() => assert.match(readFileSync(`/proc/${before}/status`, 'utf8'), /^State:\s+Z/m));
    const putBack = change();
    const words = [path.join(BUILD, 'ledger'), '--config', 'bourse.conf'];
    const all = process.getuid() === 0 ? ['runuser', '-u', 'bourse-ledger', '--', ...words] : words;
    said = spawnSync(all[0], all.slice(1), { cwd: bourse.var, encoding: 'utf8', timeout: 20_000 });
    putBack();
  });
  await eventually(() => assert.notEqual(bourse.pid('ledger'), before));
  bourse.pids.ledger = bourse.pid('ledger');
  await bourse.ready();
  assert.equal(said.signal, null, 'it was still running after twenty seconds');
  assert.notEqual(said.status, 0);
  return said.stdout + said.stderr;
}

/** Flips a bit of the byte that `place` finds in the segment written last; answers the way back. */
function flip(place) {
  const { file, first } = newestSegment();
  const bytes = readFileSync(file);
  const at = place(first);
  const write = (byte) => {
    const open = openSync(file, 'r+');
    writeSync(open, Buffer.from([byte]), 0, 1, at);
    closeSync(open);
  };
  write(bytes[at] ^ 1);
  return () => write(bytes[at]);
}

const FLIPPED = {
  'in a record that was synced': [(first) => first + RECORD_HEAD + 5, /event=journal_damaged seq=\d+ .*restore the journal from a copy/],
  'in the head of a segment': [() => 20, /event=journal_damaged incarnation=\d+ segment=\d+ .*restore the journal from a copy/],
};
for (const [where, [place, expected]] of Object.entries(FLIPPED)) {
  test(`a flipped byte ${where} is refused with where it is, and nothing is lost`, async () => {
    await underLoad(bourse, async (load) => {
      await load.more(50);
      await strike(bourse, load, async () => assert.match(await refusalOf(() => flip(place)), expected));
    });
  });
}

test('a journal of another machine, whose numbers are the same, is refused by its owner’s name, and nothing is lost', async () => {
  await underLoad(bourse, async (load) => {
    await load.more(50);
    await strike(bourse, load, async () => {
      const text = await refusalOf(() => {
        const file = path.join(directory(), 'owner');
        const ours = readFileSync(file);
        assert.match(ours.toString(), /^\d{16}\n$/);
        writeFileSync(file, '1795176000000000\n'); // what a copy would have in it: another database's number
        return () => writeFileSync(file, ours);
      });
      assert.match(text, /event=journal_of_another_database .*belongs to another database/);
    });
  });
});
