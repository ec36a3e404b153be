// SPDX-License-Identifier: Apache-2.0
// The clock of the cell is an hour fast or slow when PostgreSQL's day ends; PostgreSQL's own is a day ahead for a moment. Days belong to
// PostgreSQL: a limit of a day begins anew at its midnight and at no other time, a request belongs to the day of its hold, and a limit
// that is set counts for the day it is.
// Every program of the cell is wrong by BOURSE_CLOCK_OFFSET_S and lives in Tokyo; PostgreSQL's midnight is brought near by a
// clock_timestamp() of the test's that the ledger finds before PostgreSQL's own.
import './fault_build.mjs';

import assert from 'node:assert/strict';
import test from 'node:test';

import { COMPLETION_NANO, MODEL, PROMPT_NANO, assertError, nanoOf, user } from '../integration/api.mjs';
import { eventually, startInstance } from '../integration/harness.mjs';
import { QUICK, startInstanceAgain, stopInstance } from './faults.mjs';
import { buildPlanted } from './planted.mjs';

const bourse = startInstance({ options: QUICK, setup: shiftTheClock });

const DAY_MS = 86_400_000;
const BEFORE_MIDNIGHT_MS = 8_000; // time for what is to happen on the old day
const BEFORE_START_MS = 120_000; // and for a start, which has to be over by then
// 13 bytes are 4 prompt tokens, and 10 tokens come back: 6,600 nano-dollars. The hold for 20 tokens is above 16,800 and at most
// 23,400, as tests/integration/cases/limits.mjs has it: 30,000 is room for two, and each 6,600 more is room for another.
const ask = { model: MODEL, messages: user('sim:tokens=10'), max_tokens: 20 };
const COST = 4n * PROMPT_NANO + 10n * COMPLETION_NANO;
const ROOM_FOR = { two: 0.00003, three: 0.0000366, four: 0.0000432 };

/** The owner keeps to the path of before, because what it creates lands in the first place of it. */
function shiftTheClock() {
  return bourse.asOwner(`create schema shifted;
    create table shifted.clock (by interval not null);
    insert into shifted.clock values ('0');
    create function shifted.clock_timestamp() returns timestamptz language sql security definer
      as 'select pg_catalog.clock_timestamp() + by from shifted.clock';
    grant usage on schema shifted to public;
    grant execute on function shifted.clock_timestamp() to public;
    alter role bourse_owner in database bourse set search_path = public;
    alter database bourse set search_path = shifted, pg_catalog, public`);
}

const postgresNow = async () =>
  Number(await bourse.sqlValue('select (extract(epoch from shifted.clock_timestamp()) * 1000)::bigint'));

const moveClock = (ms) => bourse.asOwner(`update shifted.clock set by = by + ${ms} * interval '1 millisecond'`);

/** Moves PostgreSQL's clock, forward only, to that long before its next midnight, and answers that. */
async function goToMidnight(before_ms) {
  const now = await postgresNow();
  const midnight = Math.ceil((now + before_ms) / DAY_MS) * DAY_MS;
  await moveClock(midnight - before_ms - now);
  return midnight;
}

/** Starts all programs of the cell with a clock that is wrong by so much, and in Tokyo, on the last minutes of a day. */
async function startWithWrongClock(offset_s, build) {
  await goToMidnight(BEFORE_START_MS);
  const wrong_s = Math.round(((await postgresNow()) - Date.now()) / 1000) + offset_s;
  await stopInstance(bourse);
  const zone = { TZ: 'Asia/Tokyo', PGTZ: 'Asia/Tokyo' };
  await startInstanceAgain(bourse, { environment: { BOURSE_CLOCK_OFFSET_S: String(wrong_s), ...zone }, build });
  const [time] = bourse.log('ledger').trim().split('\n').at(-1).match(/(?<=time=)\S+/); // a fault counts only if it was seen
  const off_s = (Date.parse(time) - (await postgresNow())) / 1000;
  assert.ok(Math.abs(off_s - offset_s) < 120, `the ledger's clock is off by ${off_s} s`);
}

/** By the time of a request's hold, which it answers in milliseconds. */
async function ledgerHasTheTime() {
  const { key } = await bourse.makeCustomer();
  return eventually(async () => {
    const { id } = (await bourse.api.chat(key, ask)).json;
    await bourse.quiet();
    const created_ms = Number((await bourse.generationRow(id)).created_ns / 1_000_000n);
    assert.ok(Math.abs((await postgresNow()) - created_ms) < 1000, 'the ledger has another time');
    return created_ms;
  }, { deadline_ms: 3000 });
}

/** Shortly before midnight, once the ledger has PostgreSQL's time. */
async function approachMidnight() {
  const midnight = await goToMidnight(BEFORE_MIDNIGHT_MS);
  await ledgerHasTheTime();
  return midnight;
}

async function served(key) {
  const answer = await bourse.api.chat(key, ask);
  assert.equal(answer.status, 200, answer.text);
  assert.equal(nanoOf(answer.exact.usage.cost), COST);
}

async function assertRefused(key, source, resets_ms) {
  const { metadata } = assertError(await bourse.api.chat(key, ask), 402);
  assert.equal(metadata.limit_source, source);
  assert.equal(Date.parse(metadata.resets_at), resets_ms);
}

async function changed(answer, status = 200) {
  const { status: is, text, json } = await answer;
  assert.equal(is, status, text);
  return json;
}

/** An organization with a key that has a daily limit, and one that has none. */
async function makeLimited() {
  const customer = await bourse.makeCustomer();
  const body = { name: 'of a day', limit: ROOM_FOR.two, limit_reset: 'daily' };
  const { key, data } = await changed(bourse.api.post('/keys', body, { key: customer.management }), 201);
  return { ...customer, limited: key, hash: data.hash };
}

/** What an organization has spent on a day by the meters of its keys, by its own meter, and by its rows. */
async function spentOn(org, day) {
  const spent = (kind) => bourse.sqlValue(
    `select coalesce(sum(p.spent), 0) from meter m join meter_period p on p.org = m.org and p.meter = m.id
      where m.org = $1 and m.owner_kind = $2 and m.cadence = 1 and p.period = $3`, [org, kind, day]);
  const rows = await bourse.sqlValue('select coalesce(sum(charge), 0) from generation where org = $1 and day = $2', [org, day]);
  return [await spent(1), await spent(4), rows];
}

/** A stream that begins now and ends after `time`. */
function openStreamBeyond(key, left_ms) {
  const chunk_ms = Math.ceil(left_ms / 9);
  return bourse.api.openStream(key, { model: MODEL, messages: user(`sim:tokens=10 sim:chunk_ms=${chunk_ms}`), max_tokens: 20 });
}

/** Three answers were served on the day that ends then. */
async function assertShown(key, resets_ms) {
  const shown = (await bourse.api.get('/key', { key })).exact.data;
  assert.equal(nanoOf(shown.usage_daily), 3n * COST);
  assert.equal(Date.parse(shown.limit_resets_at), resets_ms);
}

/** The last seconds of a day: limits are full, are raised, are set for the first time, and all of it counts for this day. */
async function endTheDay({ management, limited, key, hash }, midnight) {
  await served(limited);
  await served(limited);
  await assertRefused(limited, 'key_limit', midnight);
  await changed(bourse.api.request('PATCH', `/keys/${hash}`, { key: management, body: { limit: ROOM_FOR.three } }));
  await served(limited);
  await assertRefused(limited, 'key_limit', midnight);
  await assertShown(limited, midnight);
  const limits = await changed(
    bourse.api.request('PATCH', '/limits?owner=organization', { key: management, body: { daily: ROOM_FOR.four } }));
  assert.equal(Date.parse(limits.data[1].limit_resets_at), midnight);
  await served(key);
  await assertRefused(key, 'org_limit', midnight);
}

for (const offset_s of [3600, -3600]) {
  test(`a cell whose clock is an hour ${offset_s > 0 ? 'fast' : 'slow'} ends its day at PostgreSQL’s midnight`, async () => {
    await startWithWrongClock(offset_s);
    const customer = await makeLimited();
    const { key: late, orgNumber: night } = await bourse.makeCustomer();
    const midnight = await approachMidnight();
    const [today, tomorrow] = [midnight / DAY_MS - 1, midnight / DAY_MS];
    const stream = await openStreamBeyond(late, midnight - (await postgresNow()));
    await endTheDay(customer, midnight);
    assert.ok((await postgresNow()) < midnight, 'the day was too short for this machine');

    await eventually(() => served(customer.limited), { deadline_ms: 2 * BEFORE_MIDNIGHT_MS });
    assert.ok((await postgresNow()) >= midnight, 'the new day began too soon');
    await served(customer.limited);
    await served(customer.limited);
    await assertRefused(customer.limited, 'key_limit', midnight + DAY_MS);
    await assertShown(customer.limited, midnight + DAY_MS);
    await served(customer.key);
    await assertRefused(customer.key, 'org_limit', midnight + DAY_MS);
    await stream.readAll();
    assert.ok(stream.isDone, stream.text);

    await bourse.quiet();
    for (const day of [today, tomorrow])
      assert.deepEqual(await spentOn(customer.orgNumber, day), [4n * COST, 4n * COST, 4n * COST], `day ${day}`);
    assert.deepEqual(await spentOn(night, today), [stream.cost, 0n, stream.cost]); // it ended on the next
    assert.deepEqual(await spentOn(night, tomorrow), [0n, 0n, 0n]);
    const strays = await bourse.sql('select day, created_ns from generation where day <> created_ns / 86400000000000');
    assert.deepEqual(strays, []);
  });
}

test('a clock of PostgreSQL that is a day ahead for a moment leaves the ledger’s time right, and each day its limit', async () => {
  const midnight = await goToMidnight(DAY_MS / 2);
  const [today, tomorrow] = [midnight / DAY_MS - 1, midnight / DAY_MS];
  await ledgerHasTheTime();
  const { limited, orgNumber } = await makeLimited();
  await served(limited);
  await moveClock(DAY_MS);
  assert.equal(Math.floor((await ledgerHasTheTime()) / DAY_MS), tomorrow);
  await served(limited);
  await served(limited);
  await assertRefused(limited, 'key_limit', midnight + DAY_MS);
  await moveClock(-DAY_MS);
  const [first_ms, second_ms] = [await ledgerHasTheTime(), await ledgerHasTheTime()];
  assert.equal(Math.floor(first_ms / DAY_MS), today);
  assert.ok(second_ms > first_ms, 'time stands still');
  assert.equal(bourse.log('ledger').split('event=clock_stepped_back').length, 2, 'it is told once');
  await served(limited);
  await assertRefused(limited, 'key_limit', midnight);
  await bourse.quiet();
  for (const day of [today, tomorrow]) assert.deepEqual(await spentOn(orgNumber, day), [2n * COST, 0n, 2n * COST], `day ${day}`);
});

test('a planted bug: periods that a job sets are found by the audit when a day has ended', async () => {
  await startWithWrongClock(0, buildPlanted('RESET_JOB'));
  const { key, orgNumber } = await bourse.makeCustomer();
  const today = Math.floor((await postgresNow()) / DAY_MS);
  await ledgerHasTheTime();
  await served(key);
  await bourse.audit(); // as long as it is the day on which the job ran
  await moveClock(BEFORE_START_MS);
  assert.equal(Math.floor((await ledgerHasTheTime()) / DAY_MS), today + 1);
  await served(key);
  await bourse.quiet();
  assert.deepEqual(await spentOn(orgNumber, today), [2n * COST, 0n, COST]);
  assert.deepEqual(await spentOn(orgNumber, today + 1), [0n, 0n, COST]);
  await assert.rejects(bourse.audit(), /period_is_sum_of_generations/);
  bourse.booksAreWrong = true;
});
