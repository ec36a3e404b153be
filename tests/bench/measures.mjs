// SPDX-License-Identifier: Apache-2.0
// The measurements. Each takes the bench ({instance, nginx, load, rounds}) and answers {results, rounds}: figures under
// their final names, and every round's values. Rounds of both sides alternate, so that a slow minute of the machine
// falls on both.
import { execFile } from 'node:child_process';
import http from 'node:http';
import { promisify } from 'node:util';

import { SERVICES } from './instance.mjs';
import { STREAM_CHUNKS } from './load.mjs';
import { median, roundTo } from './report.mjs';

const run = promisify(execFile);
const CPU_CONNECTIONS = 16;
const CPU_REQUESTS = 20_000; // of each side per round
const CPU_WARMUP = 2_000;
const STREAMS = 128; // at once, each of STREAM_CHUNKS chunks
const LATENCY_TURNS = 3; // short turns, three per round: a disturbance then falls on both sides
const FIRST_REQUESTS = 100;
const WHOLE_REQUESTS = 300;
const LATENCY_WARMUP = 20;
const SYNCS = 200;
const SYNC_PAUSE_US = 300; // what a request at one connection takes beside its sync
const RSS_WARMUP = 10_000;
const RSS_REQUESTS = 100_000;
const LARGE_BODIES = 50;
const LEDGER_CONNECTIONS = 128; // at once, as STREAMS
const PAIRS_AT_ONCE = 16; // holds and settles over the ledger's socket, as fast as they go
const PAIRS_CALM = 4; // at once, for the time of one: a queue in front of a full ledger is no latency
const PAIRS = 20_000; // of each kind per round
const PAIRS_WARMUP = 60_000; // sixty of each account, in which its lease grows to what it asks for
const HOT_KEYS = 1;
const SPREAD_KEYS = 1_000;
const CORE_KEYS = [1_000, 1_000_000, 65_536]; // the bound is for the last: the room the ledger comes with

/** A record of lists: add({name: value}) appends to each. */
class Rounds {
  values = {};

  add(row) {
    for (const [name, value] of Object.entries(row)) (this.values[name] ??= []).push(value);
  }

  median(name) {
    return median(this.values[name]);
  }

  least(name) {
    return Math.min(...this.values[name]);
  }
}

function perSecond({ requests, elapsed_us }) {
  return (requests * 1e6) / elapsed_us;
}

function difference(after, before) {
  return Object.fromEntries(Object.keys(after).map((name) => [name, after[name] - before[name]]));
}

/** Grown memory over 100,000 requests. First of all: it warms up everything that follows. */
export async function measureMemory({ instance, load }) {
  const ask = (requests) =>
    load.run({ port: instance.port, kind: 'small', requests, connections: CPU_CONNECTIONS, billed: true });
  await ask(RSS_WARMUP);
  await instance.posted(load.total);
  const before = instance.residentKib();
  await ask(RSS_REQUESTS);
  await instance.posted(load.total);
  const after = instance.residentKib();
  const each = difference(after, before);
  const results = { rss_growth_kib: Math.max(...Object.values(each)), rss_growth_kib_each: each, rss_kib: after };
  return { results, rounds: {} };
}

/** CPU of 1 KB requests: of the edge alone, and of everything that takes part, posting included. */
export async function measureRequestCpu({ instance, nginx, load, rounds: count }) {
  const rounds = new Rounds();
  const options = { kind: 'small', connections: CPU_CONNECTIONS };
  const askNginx = (requests) => load.run({ ...options, port: nginx.port, requests });
  const askBourse = async (requests) => {
    const answer = await load.run({ ...options, port: instance.port, requests, billed: true });
    await instance.posted(load.total);
    return answer;
  };
  await askNginx(CPU_WARMUP);
  await askBourse(CPU_WARMUP);
  for (let i = 0; i < count; i++) {
    const nginxBefore = nginx.cpuNs();
    const nginxAnswer = await askNginx(CPU_REQUESTS);
    const nginx_us = (nginx.cpuNs() - nginxBefore) / CPU_REQUESTS / 1000;
    const before = instance.cpuNs();
    const answer = await askBourse(CPU_REQUESTS);
    const used = difference(instance.cpuNs(), before);
    const row = { nginx_us, nginx_rps: perSecond(nginxAnswer), bourse_rps: perSecond(answer) };
    row.system_us = Object.values(used).reduce((sum, ns) => sum + ns, 0) / CPU_REQUESTS / 1000;
    for (const name of [...SERVICES, 'postgres']) row[`${name}_us`] = used[name] / CPU_REQUESTS / 1000;
    rounds.add(row);
  }
  const results = {
    edge_cpu_ratio: roundTo(rounds.median('edge_us') / rounds.median('nginx_us'), 3),
    system_cpu_ratio: roundTo(rounds.median('system_us') / rounds.median('nginx_us'), 3),
    ledger_cpu_ratio_16: roundTo(rounds.median('ledger_us') / rounds.median('edge_us'), 3),
  };
  return { results, rounds: prefixed('request_cpu', rounds) };
}

/** CPU of the ledger, posting's own thread included, over the edge's: many requests at once, as where it matters. */
export async function measureLedgerCpu({ instance, load, rounds: count }) {
  const rounds = new Rounds();
  const ask = async (requests) => {
    await load.run({ port: instance.port, kind: 'small', connections: LEDGER_CONNECTIONS, requests, billed: true });
    await instance.posted(load.total);
  };
  await ask(CPU_WARMUP);
  for (let i = 0; i < count; i++) {
    const before = instance.cpuNs();
    await ask(CPU_REQUESTS);
    const used = difference(instance.cpuNs(), before);
    rounds.add({ ledger_us: used.ledger / CPU_REQUESTS / 1000, edge_us: used.edge / CPU_REQUESTS / 1000 });
  }
  const results = { ledger_cpu_ratio: roundTo(rounds.median('ledger_us') / rounds.median('edge_us'), 3) };
  return { results, rounds: prefixed('ledger_cpu', rounds) };
}

/** Holds and settles over the ledger's socket, without an edge: all of one account, then spread over a thousand, in turn. */
export async function measureHolds({ instance, rounds: count }) {
  const rounds = new Rounds();
  const { id, charge } = await instance.cheapPrice();
  await instance.addKeys(SPREAD_KEYS);
  const ask = async (keys, pairs, atOnce = PAIRS_AT_ONCE) => {
    const words = ['run', instance.ledgerSocket(), keys, atOnce, pairs, id, charge].map(String);
    const { stdout } = await run('build/tests/bench/ledger_hold_bench', words);
    await instance.postedAll();
    return JSON.parse(stdout);
  };
  // From cold: a thousand accounts ask for their first leases. After that callers and leases are known.
  for (const keys of [SPREAD_KEYS, HOT_KEYS]) await ask(keys, PAIRS_WARMUP);
  for (let i = 0; i < count; i++) {
    const spread = await ask(SPREAD_KEYS, PAIRS);
    const hot = await ask(HOT_KEYS, PAIRS);
    const calm = await ask(SPREAD_KEYS, PAIRS, PAIRS_CALM);
    const calmHot = await ask(HOT_KEYS, PAIRS, PAIRS_CALM);
    rounds.add({
      spread_per_s: (spread.pairs * 1e6) / spread.elapsed_us,
      hot_per_s: (hot.pairs * 1e6) / hot.elapsed_us,
      full_p99_us: spread.hold_p99_us,
      full_hot_p99_us: hot.hold_p99_us,
      p50_us: calm.hold_p50_us,
      p99_us: calm.hold_p99_us,
      hot_p99_us: calmHot.hold_p99_us,
    });
  }
  const results = {
    hot_account_ratio: roundTo(rounds.median('hot_per_s') / rounds.median('spread_per_s'), 3),
    hold_p99_us: rounds.median('p99_us'),
    hold_p99_us_hot: rounds.median('hot_p99_us'),
  };
  return { results, rounds: prefixed('holds', rounds) };
}

/** Records a second of one poster over those of a bare insert of the same rows; and of one account over a thousand. */
export async function measurePosting({ instance }) {
  const { id } = await instance.cheapPrice();
  const { connection, role, first } = await instance.makeSecondCell(SPREAD_KEYS);
  const words = [connection, role, first, SPREAD_KEYS, id].map(String);
  const { stdout } = await run('build/tests/bench/ledger_post_bench', words);
  await instance.owner('drop table bench_bare');
  const rounds = new Rounds();
  for (const row of JSON.parse(stdout).rounds) rounds.add(row);
  const results = {
    settle_ratio_hot: roundTo(rounds.median('hot_post_per_s') / rounds.median('bare_per_s'), 3),
    settle_ratio: roundTo(rounds.median('post_per_s') / rounds.median('bare_per_s'), 3),
  };
  return { results, rounds: prefixed('posting', rounds) };
}

/** CPU of a chunk that comes alone, as from a model that writes; the request's own cost is spread over its chunks. */
export async function measureChunkCpu({ instance, nginx, load, rounds: count }) {
  const rounds = new Rounds();
  const options = { kind: 'chunks', connections: STREAMS, requests: STREAMS };
  const perChunk = async (cpuNs, port, billed) => {
    const before = cpuNs();
    const { chunks } = await load.run({ ...options, port, billed });
    if (chunks < STREAMS * STREAM_CHUNKS) throw new Error(`only ${chunks} chunks for ${STREAMS} streams`);
    return (cpuNs() - before) / chunks / 1000;
  };
  for (let i = 0; i < count; i++) {
    const nginx_us = await perChunk(() => nginx.cpuNs(), nginx.streamPort, false);
    const edge_us = await perChunk(() => instance.edgeCpuNs(), instance.port, true);
    rounds.add({ nginx_us, edge_us });
    await instance.posted(load.total);
  }
  const results = { sse_chunk_ratio: roundTo(rounds.median('edge_us') / rounds.median('nginx_us'), 3) };
  return { results, rounds: prefixed('chunk_cpu', rounds) };
}

/** The median of one fdatasync in the journal's directory, each after a pause or, with 0, back to back. */
async function syncUs(instance, pauseUs) {
  const words = [instance.journalDirectory(), SYNCS, pauseUs].map(String);
  const { stdout } = await run('build/tests/bench/fdatasync_bench', words);
  return JSON.parse(stdout).median_ns / 1000;
}

/** The median of the syncs between two readings of the ledger's histogram; evenly spread within the bucket it falls into. */
function medianSyncUs(before, after) {
  const counts = after.map(({ count }, i) => count - before[i].count);
  let left = counts.reduce((sum, count) => sum + count, 0) / 2;
  const bucket = counts.findIndex((count) => (left -= count) <= 0);
  const low = bucket === 0 ? 0 : after[bucket - 1].bound_us;
  return low + (after[bucket].bound_us - low) * (1 + left / counts[bucket]);
}

/** One connection, nothing else running: what Bourse adds to the first byte, and to the end of an answer beyond that. */
export async function measureLatency({ instance, nginx, load, rounds: count }) {
  const rounds = new Rounds();
  const first = { kind: 'first', requests: FIRST_REQUESTS, warmup: LATENCY_WARMUP };
  const whole = { kind: 'small', requests: WHOLE_REQUESTS, warmup: LATENCY_WARMUP };
  const firstUs = async (options) => (await load.run({ ...first, ...options })).first_us.p50;
  for (let i = 0; i < count * LATENCY_TURNS; i++) {
    const row = {};
    row.first_nginx_us = await firstUs({ port: nginx.streamPort });
    row.first_bourse_us = await firstUs({ port: instance.port, billed: true });
    row.paused_nginx_us = await firstUs({ kind: 'paused', port: nginx.streamPort });
    row.paused_bourse_us = await firstUs({ kind: 'paused', port: instance.port, billed: true });
    row.whole_nginx_us = (await load.run({ ...whole, port: nginx.port })).whole_us.p50;
    const syncsBefore = await instance.journalSyncs();
    row.whole_bourse_us = (await load.run({ ...whole, port: instance.port, billed: true })).whole_us.p50;
    row.fdatasync_us = medianSyncUs(syncsBefore, await instance.journalSyncs());
    await instance.posted(load.total);
    row.fdatasync_bare_us = await syncUs(instance, 0);
    row.fdatasync_paused_us = await syncUs(instance, SYNC_PAUSE_US);
    for (const kind of ['first', 'paused', 'whole']) row[`${kind}_added_us`] = row[`${kind}_bourse_us`] - row[`${kind}_nginx_us`];
    rounds.add(row);
  }
  const results = {
    added_p50_us: roundTo(rounds.median('first_added_us'), 1),
    added_p50_paused_us: roundTo(rounds.median('paused_added_us'), 1),
    strict_tail_us: roundTo(rounds.median('whole_added_us') - rounds.median('first_added_us'), 1),
    fdatasync_us: roundTo(rounds.median('fdatasync_us'), 1),
    fdatasync_bare_us: roundTo(rounds.median('fdatasync_bare_us'), 1),
    fdatasync_paused_us: roundTo(rounds.median('fdatasync_paused_us'), 1),
  };
  return { results, rounds: prefixed('latency', rounds) };
}

/** A body of 1 MB at a time, each with what the edge used for it. */
export async function measureLargeBody({ instance, load }) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const used = [];
  for (let i = 0; i < LARGE_BODIES; i++) {
    const before = instance.edgeCpuNs();
    await load.once({ port: instance.port, kind: 'large', agent, billed: true });
    await instance.posted(load.total); // its last work is done, too
    used.push((instance.edgeCpuNs() - before) / 1000);
  }
  agent.destroy();
  return { results: { body_1mb_cpu_us: roundTo(median(used), 1) }, rounds: { body_1mb_edge_us: used } };
}

/** The ledger's core against a bare hash table, in one process without any I/O, for several numbers of keys. The least disturbed
 *  round of each counts: whoever shares the memory with us slows a look-up down more than a pair, and would flatter the ratio. */
export async function measureCore() {
  const all = {};
  const byKeys = {};
  for (const keys of CORE_KEYS) {
    const { stdout } = await run('build/tests/bench/ledger_core_bench', [String(keys)]);
    const rounds = new Rounds();
    for (const { lookup_ps, lookup_at_once_ps, pair_ps } of JSON.parse(stdout).rounds) {
      rounds.add({ lookup_ns: lookup_ps / 1000, lookup_at_once_ns: lookup_at_once_ps / 1000, pair_ns: pair_ps / 1000 });
    }
    byKeys[keys] = roundTo(rounds.least('lookup_ns') / rounds.least('pair_ns'), 4);
    Object.assign(all, prefixed(`core_${keys}`, rounds));
  }
  return { results: { core_ratio: byKeys[CORE_KEYS.at(-1)], core_ratio_by_keys: byKeys }, rounds: all };
}

function prefixed(prefix, rounds) {
  return Object.fromEntries(Object.entries(rounds.values).map(([name, values]) => [`${prefix}_${name}`, values]));
}
