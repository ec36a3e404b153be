// SPDX-License-Identifier: Apache-2.0
// `make bench`: starts an instance and nginx, measures both with the same requests, checks that every request was
// billed, and writes build/bench.json. Exits 1 when a bound is missed or the books are not in order; README.md says
// what each number is.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { randomInt } from 'node:crypto';
import { parseArgs } from 'node:util';

import { Instance } from './instance.mjs';
import { Load, PROVIDER, ROUTE } from './load.mjs';
import { Nginx } from './nginx.mjs';
import * as measures from './measures.mjs';
import { judge, machine, printTable, roundTo, summarize, writeReport } from './report.mjs';

const RESULT_FILE = 'build/bench.json';
const WORK_DIRECTORY = 'build/bench';
const VAR_DIRECTORY = 'build/bench-var';
const LOCK_FILE = 'build/bench.lock'; // holds the number of the process that measures
const ROUNDS = 5;

/** In this order: the first one warms everything up. */
const PARTS = {
  memory: { says: '100,000 requests, for memory', measure: measures.measureMemory },
  request: { says: 'CPU of 1 KB requests', measure: measures.measureRequestCpu },
  ledger: { says: "CPU of the ledger's share", measure: measures.measureLedgerCpu },
  chunk: { says: 'CPU of streamed chunks', measure: measures.measureChunkCpu },
  latency: { says: 'latency at one connection', measure: measures.measureLatency },
  body: { says: 'bodies of 1 MB', measure: measures.measureLargeBody },
  core: { says: "the ledger's core", measure: measures.measureCore },
  holds: { says: "holds over the ledger's socket", measure: measures.measureHolds },
  posting: { says: 'posting', measure: measures.measurePosting },
};

const USAGE = `usage: tests/bench/run [--report-only] [--rounds N] [--only PART,…]
  --report-only  print and write the numbers, but do not fail for a missed bound
  --rounds N     rounds of each side (default ${ROUNDS})
  --only PARTS   some of ${Object.keys(PARTS).join(', ')}; the others' bounds are left out
Writes ${RESULT_FILE}.`;

function readArguments() {
  const options = {
    'report-only': { type: 'boolean' },
    rounds: { type: 'string', default: String(ROUNDS) },
    only: { type: 'string', default: Object.keys(PARTS).join(',') },
    help: { type: 'boolean', short: 'h' },
  };
  const { values } = parseArgs({ options });
  const rounds = Number(values.rounds);
  const parts = values.only.split(',');
  if (!Number.isInteger(rounds) || rounds < 1 || !parts.every((part) => Object.hasOwn(PARTS, part))) throw new Error(USAGE);
  return { help: values.help, reportOnly: values['report-only'], rounds, parts };
}

/** Four neighbouring ports, below the range from which the kernel gives out ports by itself. */
async function freePorts() {
  const isFree = (port) =>
    new Promise((resolve) => {
      const server = net.createServer();
      server.once('error', () => resolve(false));
      server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
  for (let tries = 0; tries < 100; tries++) {
    const port = 4 * randomInt(2500, 7500);
    const free = await Promise.all([port, port + 1, port + 2, port + 3].map(isFree));
    if (free.every(Boolean)) return port;
  }
  throw new Error('no four free ports found');
}

/** Two benches at once would measure each other, and the second one would take the first one's instance for a leftover. */
function takeLock() {
  try {
    const pid = readFileSync(LOCK_FILE, 'utf8');
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    if (words.includes('bench.mjs')) throw new Error(`another bench runs here, process ${pid}; wait for its end`);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error; // no lock, or that of a process that is gone
  }
  mkdirSync('build', { recursive: true });
  writeFileSync(LOCK_FILE, String(process.pid));
  process.once('exit', () => rmSync(LOCK_FILE, { force: true }));
}

async function start() {
  const port = await freePorts();
  rmSync(WORK_DIRECTORY, { recursive: true, force: true });
  mkdirSync(WORK_DIRECTORY, { recursive: true });
  const instance = new Instance(VAR_DIRECTORY, port);
  const stop = () => {
    nginx?.stop();
    instance.stop();
    rmSync(WORK_DIRECTORY, { recursive: true, force: true });
  };
  let nginx;
  process.once('exit', stop);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(1));
  await instance.start();
  const workers = instance.edgeThreads();
  nginx = new Nginx(`${WORK_DIRECTORY}/nginx`, {
    workers,
    port: port + 2,
    streamPort: port + 3,
    simPort: instance.simPort,
    provider: PROVIDER,
    route: ROUTE,
  });
  await nginx.start();
  const load = new Load(WORK_DIRECTORY, instance.key);
  return { instance, nginx, load, workers };
}

/** What one request of each kind costs, as its client is told; the books must come to the same. */
async function findCosts({ instance, load }) {
  const costs = {};
  for (const kind of Object.keys(load.completed)) {
    costs[kind] = await load.costNano({ port: instance.port, kind });
  }
  return costs;
}

/** The problems of the books, in words: none when every completed request is one settled row with its charge. */
async function checkBooks({ instance, load }, costs) {
  await instance.posted(load.total);
  const books = await instance.books();
  books.completed = load.total;
  books.expected_nano = Object.entries(load.completed).reduce((sum, [kind, count]) => sum + count * costs[kind], 0);
  const audit = await instance.audit();
  books.audit_violations = audit.count;
  const problems = [];
  if (books.settled !== books.completed) problems.push(`${books.completed} requests were completed, ${books.settled} are settled`);
  if (books.others !== 0) problems.push(`${books.others} rows of the key are not settled`);
  if (books.charged_nano !== books.expected_nano) {
    problems.push(`charged ${books.charged_nano} nano-dollars, clients were told ${books.expected_nano}`);
  }
  if (audit.count !== 0) problems.push(`the audit finds ${audit.count} violations, first: ${audit.first}`);
  if (instance.durability() !== 'strict') problems.push(`durability is ${instance.durability()}, not strict`);
  return { books, problems };
}

/** Every part that was asked for, in order. */
async function measureAll(bench, parts, say) {
  const results = {};
  const rounds = {};
  for (const [name, { says, measure }] of Object.entries(PARTS)) {
    if (!parts.includes(name)) continue;
    say(says);
    const measured = await measure(bench);
    Object.assign(results, measured.results);
    Object.assign(rounds, measured.rounds);
  }
  return { results, rounds: summarize(rounds) };
}

async function main() {
  const { help, reportOnly, rounds: count, parts } = readArguments();
  if (help) return console.log(USAGE);
  const began = performance.now();
  const took_s = () => roundTo((performance.now() - began) / 1000, 1);
  const say = (text) => console.log(`${took_s().toFixed(0).padStart(4)} s  ${text}`);
  takeLock();
  const before = machine();
  say('starting an instance of Bourse, and nginx');
  const bench = { ...(await start()), rounds: count };
  const costs = await findCosts(bench);
  const { results, rounds } = await measureAll(bench, parts, say);
  say('the books');
  const { books, problems } = await checkBooks(bench, costs);
  const verdicts = judge(results, parts.length < Object.keys(PARTS).length);
  const details = { rounds, books, threads: bench.workers, machine: before, took_s: took_s() };
  const passed = writeReport(RESULT_FILE, { results, verdicts, problems, details });
  printTable(verdicts);
  for (const problem of problems) console.log(`  FAIL  ${problem}`);
  console.log(`\n  ${books.completed} requests, ${books.settled} settled, audit: ${books.audit_violations} violations`);
  console.log(`  ${RESULT_FILE} has all of it; took ${details.took_s.toFixed(0)} s`);
  if (problems.length > 0 || (!passed && !reportOnly)) process.exitCode = 1;
}

main().then(
  () => process.exit(),
  (error) => {
    console.error(`bench: ${error.message}`);
    process.exit(1);
  },
);
