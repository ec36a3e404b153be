// SPDX-License-Identifier: Apache-2.0
// Was everybody billed right? Three logs that were written independently are joined: what the clients saw (load.mjs), what the
// simulated provider served, and what the database booked. The prices are worked out anew, in whole nano-dollars, from the provider's
// token counts; nothing is taken over from the programs' own sums. Every objection is a sentence; none means that the bill survived.
import { createCipheriv } from 'node:crypto';

import { CACHED_NANO, COMPLETION_NANO, PROMPT_NANO, nanoOf } from '../integration/api.mjs';

const SETTLED = 1;
const BYTES_PER_TOKEN = 4; // by the rule of the estimate

/** The bill of a whole answer by the provider's own count. */
export function priceOf(entry) {
  const input = BigInt(entry.prompt_tokens - entry.cached_tokens) * PROMPT_NANO + BigInt(entry.cached_tokens) * CACHED_NANO;
  return input + BigInt(entry.tokens_generated) * COMPLETION_NANO;
}

/** The bill of a part of an answer: four bytes to a token, rounded up. */
export function estimateOf(prompt_bytes, text_bytes) {
  const tokens = (bytes) => BigInt(Math.ceil(bytes / BYTES_PER_TOKEN));
  return tokens(prompt_bytes) * PROMPT_NANO + tokens(text_bytes) * COMPLETION_NANO;
}

/** `edgeStopped`: the edge was stopped or killed, which alone may break an answer. `graceful`: and was asked to, so nothing it served
 *  may be lost. `providerLogLost`: the simulator died, too, and remembers only what came after. `powerLost`: holds that ran then may
 *  have been forgotten, and with them their rows. */
export function check(logs, rules = {}) {
  const objections = [];
  const { edgeStopped = false, graceful = false, providerLogLost = false, powerLost = false } = rules;
  const context = { ...logs, edgeStopped, graceful, providerLogLost, powerLost, object: (text) => objections.push(text) };
  index(context);
  for (const request of logs.requests) checkRequest(context, request);
  checkRows(context);
  checkServed(context);
  for (const key of new Set(logs.requests.map((request) => request.key))) checkKey(context, key);
  for (const account of logs.accounts) checkAccount(context, account);
  checkDensity(context);
  return objections;
}

const total = (rows) => rows.reduce((sum, row) => sum + row.charge, 0n);
const isHit = (context, request) => context.edgeStopped && request.hit;

function groupBy(rows, name) {
  const groups = new Map();
  for (const row of rows) groups.set(row[name], [...(groups.get(row[name]) ?? []), row]);
  return groups;
}

function index(context) {
  context.byGeneration = groupBy(context.rows, 'id');
  context.byTag = groupBy(context.rows, 'session');
  context.servedBy = new Map(context.served.map((entry) => [entry.request_id, entry]));
  context.known = new Set(); // rows that a request explains
}

function rowsOf(context, request) {
  const tagged = context.byTag.get(request.tag) ?? [];
  const named = request.generation === undefined ? [] : (context.byGeneration.get(request.generation) ?? []);
  const rows = [...new Set([...tagged, ...named])];
  for (const row of rows) context.known.add(row);
  return rows;
}

function checkRequest(context, request) {
  const rows = rowsOf(context, request);
  const object = (text) => context.object(`${request.tag} (${request.generation ?? 'no generation'}): ${text}`);
  if (rows.filter((row) => row.charge > 0n).length > 1) object(`billed ${rows.length} times`);
  if (request.complete) checkComplete(context, request, rows, object);
  else if (request.status !== undefined && request.status !== 200) checkRefused(request, rows, object);
  else if (request.left) checkLeft(context, request, rows, object);
  else checkBroken(context, request, rows, object);
}

/** The client read the end: exactly one row, settled for what it was told, which is what the provider's tokens cost. */
function checkComplete(context, request, rows, object) {
  if (rows.length !== 1) return object(`complete, but has ${rows.length} rows`);
  const [row] = rows;
  if (row.state !== SETTLED) object(`complete, but its row's state is ${row.state}`);
  if (row.id !== request.generation) object(`its row is that of ${row.id}`);
  if (row.charge !== request.cost) object(`was told ${request.cost} and charged ${row.charge}`);
  if (row.charge > row.held) object(`charged ${row.charge} of ${row.held} held`);
  const entry = context.servedBy.get(request.generation);
  if (entry === undefined) return context.providerLogLost || object('complete, but no provider served it');
  if (row.charge !== priceOf(entry)) object(`charged ${row.charge}; the provider's tokens cost ${priceOf(entry)}`);
}

/** An error before the answer: free. */
function checkRefused(request, rows, object) {
  if (total(rows) > 0n) object(`answered ${request.status}, but charged ${total(rows)}`);
}

/** The client left: it pays for what it surely got, at least, and never more than was held. */
function checkLeft(context, request, rows, object) {
  if (rows.length === 0 && context.powerLost && isHit(context, request)) return;
  if (rows.length !== 1) return object(`left by its client, but has ${rows.length} rows`);
  const [row] = rows;
  if (row.charge > row.held) object(`charged ${row.charge} of ${row.held} held`);
  if (row.charge === 0n && isHit(context, request)) return;
  const entry = context.servedBy.get(request.generation);
  // The answer may have been over before its client was seen to be gone; then it costs what the provider counted.
  if (entry ? row.charge === priceOf(entry) : context.providerLogLost && row.charge > 0n) return;
  const least = estimateOf(request.prompt_bytes, request.text_bytes);
  if (row.charge < least) object(`charged ${row.charge}; what its client got costs ${least}`);
}

/** Only a dying edge may break an answer, and then it is free, unless the bill was booked and only the last bytes were lost. */
function checkBroken(context, request, rows, object) {
  if (!isHit(context, request)) return object(`broke without a reason: ${request.status} ${request.error ?? request.code}`);
  const charge = total(rows);
  if (charge === 0n) return;
  const entry = context.servedBy.get(rows[0].id);
  if (entry === undefined && context.providerLogLost) return;
  if (entry?.closed_by !== 'server' || charge !== priceOf(entry)) object(`broke, but was charged ${charge}`);
  if (context.graceful) object('was served and charged, but its end was lost in an orderly stop');
}

function checkRows(context) {
  for (const row of context.rows) {
    if (row.charge > 0n && !context.known.has(row)) context.object(`${row.id}: charged ${row.charge} to nobody`);
    if (row.charge !== row.charge_told && row.charge > 0n) context.object(`${row.id}: told ${row.charge_told}, charged ${row.charge}`);
    if (row.state !== SETTLED && row.charge > 0n) context.object(`${row.id}: state ${row.state}, but charged ${row.charge}`);
  }
  for (const [id, rows] of context.byGeneration) {
    if (rows.filter((row) => row.charge > 0n).length > 1) context.object(`${id}: billed twice`);
    if (rows.filter((row) => row.part === 0).length !== 1) context.object(`${id}: ${rows.length} rows, not one for its hold`);
  }
}

/** What a provider did has a row, which only a power cut can take. Without a bill it is absorbed, which happens to answers that a dying
 *  edge broke and to no others. */
function checkServed(context) {
  let absorbed = 0;
  for (const entry of context.served) {
    const rows = context.byGeneration.get(entry.request_id) ?? [];
    if (rows.length === 0 && !context.powerLost) context.object(`${entry.request_id}: served, but has no row`);
    else if (!rows.some((row) => row.state === SETTLED)) absorbed++;
    if (entry.closed_by === 'open') context.object(`${entry.request_id}: the provider still serves it`);
  }
  const lost = context.requests.filter((request) => isHit(context, request) && !request.complete && !(request.status >= 400));
  if (absorbed > lost.length) context.object(`${absorbed} served answers are absorbed, ${lost.length} were in flight at the faults`);
  if (context.graceful && absorbed > 0) context.object(`${absorbed} served answers are absorbed in an orderly stop`);
}

/** A key's usage is the sum of its rows, covers what its clients were told, and is within its limit. */
function checkKey(context, key) {
  const rows = context.rows.filter((row) => row.key_hash === key.hash);
  const charged = total(rows);
  const told = context.requests.filter((request) => request.key === key && request.complete);
  const told_nano = told.reduce((sum, request) => sum + (request.cost ?? 0n), 0n);
  const others = total(rows.filter((row) => !told.some((request) => request.generation === row.id)));
  const object = (text) => context.object(`key ${key.hash.slice(0, 8)}: ${text}`);
  if (told_nano + others !== charged) object(`clients were told ${told_nano}, others owe ${others}, but ${charged} is charged`);
  if (context.usage.get(key.hash) !== charged) object(`shows a usage of ${context.usage.get(key.hash)}, its rows sum to ${charged}`);
  if (key.limit !== undefined && charged > key.limit) object(`charged ${charged} of a limit of ${key.limit}`);
}

/** credits − usage = balance, as shown and as booked, and nothing is set aside any more. */
function checkAccount(context, account) {
  const charged = total(context.rows.filter((row) => row.org === account.org));
  const object = (text) => context.object(`account ${account.org}: ${text}`);
  const figures = { credits: account.granted, usage: charged, balance: account.granted - charged, held: 0n };
  for (const [name, figure] of Object.entries(figures)) {
    if (account.shown[name] !== figure) object(`shows ${name} ${account.shown[name]}, and it is ${figure}`);
  }
  if (charged > account.granted) object(`charged ${charged} of ${account.granted}`);
  if (account.settled !== charged) object(`transfers settle ${account.settled}, rows charge ${charged}`);
  if (account.booked !== account.granted - charged) object(`accounts hold ${account.booked} instead of ${account.granted - charged}`);
  if (account.receivable !== 0n) object(`owes ${account.receivable}`);
  if (account.leased !== account.escrow) object(`leases of ${account.leased}, escrow of ${account.escrow}`);
  if (account.escrow !== 0n) object(`${account.escrow} is still leased after a rest`);
}

function checkDensity({ streams, suspended, object }) {
  for (const { incarnation, holds, last } of streams) {
    if (holds !== last) object(`incarnation ${incarnation}: ${holds} holds have a row, ${last} were given out`);
  }
  if (suspended !== 0n) object(`${suspended} records wait in suspense`);
}

// ---- reading the logs

/** All that check() needs, once the instance has come to rest. `served`: what the simulator said before it died. */
export async function readLogs(bourse, load, served = []) {
  const { requests, keys } = load;
  const orgs = [...new Set(keys.map((key) => key.org))];
  const seal = sealer(bourse.secret('usage/generation.key'));
  const rows = await bourse.sql(
    `select g.*, encode(k.hash, 'hex') as key_hash from generation g join api_key k on k.org = g.org and k.id = g.key
      where g.org = any($1)`, [orgs.map(String)]);
  for (const row of rows) row.id = seal(row);
  const ours = new Set(rows.map((row) => row.id).concat(requests.map((request) => request.generation)));
  const now = await bourse.simulator.served();
  const streams = await bourse.sql(
    'select incarnation, count(*) as holds, max(hold) as last from generation where part = 0 group by cell, incarnation');
  return {
    requests, rows, streams,
    served: [...served, ...now].filter((entry) => ours.has(entry.request_id)),
    usage: await readUsage(bourse, keys),
    accounts: await Promise.all(orgs.map((org) => readAccount(bourse, org, keys.find((key) => key.org === org)))),
    suspended: await bourse.sqlValue('select count(*) from suspense'),
  };
}

async function readUsage(bourse, keys) {
  const usage = new Map();
  for (const { key, hash } of keys) usage.set(hash, nanoOf((await bourse.api.get('/key', { key })).exact.data.usage));
  return usage;
}

async function readAccount(bourse, org, { credit, management }) {
  const { data } = (await bourse.api.get('/credits', { key: management })).exact;
  const shown = { credits: data.total_credits, usage: data.total_usage, balance: data.balance, held: data.held };
  for (const name of Object.keys(shown)) shown[name] = nanoOf(shown[name]);
  const [booked] = await bourse.sql(
    `select (select coalesce(sum(amount), 0) from transfer where org = $1 and code like 'settle%') as settled,
            (select coalesce(sum(granted - settled - returned), 0) from lease where org = $1 and meter = 0) as leased,
            coalesce(sum(credits - debits) filter (where kind in (1, 2, 3)), 0) as booked,
            coalesce(sum(credits - debits) filter (where kind = 3), 0) as escrow,
            coalesce(sum(debits - credits) filter (where kind = 4), 0) as receivable
       from account where org = $1`, [String(org)]);
  return { org, granted: credit, shown, ...booked };
}

/** The public id of a row: one AES block of where it stands, in base 32 (shared/id.h). */
function sealer(key) {
  return ({ day, cell, incarnation, hold }) => {
    const plain = Buffer.alloc(16);
    plain.writeUInt16BE(day, 0);
    plain.writeUInt16BE(cell, 2);
    plain.writeUInt32BE(incarnation, 4);
    plain.writeBigUInt64BE(hold, 8);
    const cipher = createCipheriv('aes-128-ecb', key, null).setAutoPadding(false);
    let number = BigInt(`0x${Buffer.concat([cipher.update(plain), cipher.final()]).toString('hex')}`);
    let text = '';
    for (let digit = 0; digit < 26; digit++, number >>= 5n) text = '0123456789abcdefghjkmnpqrstvwxyz'[Number(number & 31n)] + text;
    return `gen-${text}`;
  };
}
