// SPDX-License-Identifier: Apache-2.0
// Numbers, bounds, and what is said about them: statistics over rounds, the verdicts, build/bench.json and the table on
// the screen.
import { writeFileSync } from 'node:fs';
import os from 'node:os';

/** The bounds. `limit` may depend on other results of the same run. */
const BOUNDS = [
  { name: 'edge_cpu_ratio', at: 'most', limit: () => 1.8, digits: 2, says: 'CPU of a 1 KB request, edge / nginx' },
  { name: 'system_cpu_ratio', at: 'most', limit: () => 5, digits: 2, says: 'the same, four processes and PostgreSQL / nginx' },
  { name: 'sse_chunk_ratio', at: 'most', limit: () => 2, digits: 2, says: 'CPU of a streamed chunk, edge / nginx' },
  { name: 'added_p50_us', at: 'most', limit: () => 150, digits: 0, says: 'first byte of a stream, beyond nginx' },
  {
    name: 'strict_tail_us',
    at: 'most',
    limit: ({ fdatasync_us }) => 1.5 * fdatasync_us,
    digits: 0,
    says: 'whole answer, beyond nginx and that; ≤ 1.5 fdatasync_us',
  },
  { name: 'core_ratio', at: 'least', limit: () => 0.1, digits: 3, says: "hold + settle in the ledger's core / bare look-ups" },
  { name: 'ledger_cpu_ratio', at: 'most', limit: () => 0.4, digits: 2, says: 'CPU of a 1 KB request, ledger / edge, 128 at once' },
  { name: 'settle_ratio', at: 'least', limit: () => 0.4, digits: 2, says: 'records of one poster / a bare insert of the same rows' },
  { name: 'hot_account_ratio', at: 'least', limit: () => 0.9, digits: 2, says: 'holds and settles of one account / of a thousand' },
  { name: 'hold_p99_us', at: 'most', limit: () => 1000, digits: 0, says: 'HOLD over the socket, a thousand accounts, the journal syncing' },
  { name: 'rss_growth_kib', at: 'most', limit: () => 1024, digits: 0, says: 'growth over 100,000 requests, at most of the four' },
  { name: 'body_1mb_cpu_us', at: 'below', limit: () => 3000, digits: 0, says: 'CPU of the edge for one body of 1 MB' },
];
const SIGNS = { most: '≤', least: '≥', below: '<' };
const HOLDS = {
  most: (value, limit) => value <= limit,
  least: (value, limit) => value >= limit,
  below: (value, limit) => value < limit,
};

export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

export function roundTo(value, digits) {
  return Number(value.toFixed(digits));
}

/** {name: [one value per round]} as {name: {min, median, max}}. */
export function summarize(rounds) {
  const entries = Object.entries(rounds).map(([name, values]) => [
    name,
    {
      min: roundTo(Math.min(...values), 3),
      median: roundTo(median(values), 3),
      max: roundTo(Math.max(...values), 3),
      values: values.map((value) => roundTo(value, 3)),
    },
  ]);
  return Object.fromEntries(entries);
}

/** Every bound with its verdict; what was not measured counts as missed unless only a part was asked for. */
export function judge(results, partial) {
  return BOUNDS.flatMap(({ name, at, limit, digits, says }) => {
    const value = results[name];
    if (value === undefined && partial) return [];
    const bound = roundTo(limit(results), 3);
    const met = Number.isFinite(value) && HOLDS[at](value, bound);
    return [{ name, says, sign: SIGNS[at], bound, value, digits, met }];
  });
}

export function machine() {
  const cpus = os.cpus();
  return { cores: cpus.length, cpu: cpus[0]?.model ?? '', kernel: os.release(), load_before: os.loadavg()[0] };
}

export function writeReport(file, { results, verdicts, problems, details }) {
  const bounds = Object.fromEntries(verdicts.map(({ name, sign, bound, met }) => [name, { bound: `${sign} ${bound}`, met }]));
  const passed = problems.length === 0 && verdicts.every(({ met }) => met);
  writeFileSync(file, `${JSON.stringify({ ...results, passed, problems, bounds, ...details }, null, 2)}\n`);
  return passed;
}

export function printTable(verdicts) {
  const width = Math.max(...verdicts.map(({ name }) => name.length));
  const text = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits) : '-');
  console.log(`\n  ${'number'.padEnd(width)}  ${'bound'.padStart(9)}  ${'value'.padStart(9)}`);
  for (const { name, sign, bound, value, digits, met, says } of verdicts) {
    const limit = `${sign} ${text(bound, digits && 1)}`.padStart(9);
    console.log(`  ${name.padEnd(width)}  ${limit}  ${text(value, digits).padStart(9)}  ${met ? 'pass' : 'FAIL'}  ${says}`);
  }
}
