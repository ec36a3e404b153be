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
  };
  return { results, rounds: prefixed('request_cpu', rounds) };
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

/** One connection, nothing else running: what Bourse adds to the first byte, and to the end of an answer beyond that. */
export async function measureLatency({ instance, nginx, load, rounds: count }) {
  const rounds = new Rounds();
  const first = { kind: 'first', requests: FIRST_REQUESTS, warmup: LATENCY_WARMUP };
  const whole = { kind: 'small', requests: WHOLE_REQUESTS, warmup: LATENCY_WARMUP };
  for (let i = 0; i < count * LATENCY_TURNS; i++) {
    const row = {};
    row.first_nginx_us = (await load.run({ ...first, port: nginx.streamPort })).first_us.p50;
    row.first_bourse_us = (await load.run({ ...first, port: instance.port, billed: true })).first_us.p50;
    row.whole_nginx_us = (await load.run({ ...whole, port: nginx.port })).whole_us.p50;
    row.whole_bourse_us = (await load.run({ ...whole, port: instance.port, billed: true })).whole_us.p50;
    await instance.posted(load.total);
    row.fdatasync_us = await syncUs(instance, 0);
    row.fdatasync_paused_us = await syncUs(instance, SYNC_PAUSE_US);
    row.first_added_us = row.first_bourse_us - row.first_nginx_us;
    row.whole_added_us = row.whole_bourse_us - row.whole_nginx_us;
    rounds.add(row);
  }
  const results = {
    added_p50_us: roundTo(rounds.median('first_added_us'), 1),
    strict_tail_us: roundTo(rounds.median('whole_added_us') - rounds.median('first_added_us'), 1),
    fdatasync_us: roundTo(rounds.median('fdatasync_us'), 1),
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
