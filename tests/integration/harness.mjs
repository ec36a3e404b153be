// SPDX-License-Identifier: Apache-2.0
// One instance of Bourse per test file: started by `make up` with a port and a data directory of its own, audited after every
// test, stopped and removed at the end. Nothing is mocked here; only the provider, the payments and, where a test says so, the
// clock are simulated. The directory's name holds a space, because a checkout's may.
import { after, afterEach, before } from 'node:test';
import assert from 'node:assert/strict';
import { execFile, spawnSync } from 'node:child_process';
import { createDecipheriv, randomInt } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import pg from 'pg';

import { Api } from './api.mjs';
import { Simulator } from './simulator.mjs';

const run = promisify(execFile);
const ROOT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const BUILD = path.join(ROOT, process.env.SAN ? 'build/san' : process.env.FAULT ? 'build/fault' : 'build');
const KEEP = process.env.BOURSE_TEST_KEEP === '1'; // leave data and logs behind, to look at
const METRICS = Array.from(
  readFileSync(path.join(ROOT, 'shared/metrics.def'), 'utf8').matchAll(/^METRIC\((\w+),/gm),
  (match) => match[1],
);
const START_MAX_MS = 120_000;
const QUIET_MAX_MS = 5_000;

pg.types.setTypeParser(20, (text) => BigInt(text)); // bigint: nano-dollars never become floats
pg.types.setTypeParser(1700, (text) => BigInt(text)); // numeric: sums of bigint

/** Starts an instance before the file's first test; `options` go into its bourse.conf, `setup` runs right after. Every test ends
 *  with an audit of 0 violations. */
export function startInstance({ options, setup } = {}) {
  const instance = new Instance();
  // One hook, because those of a file run beside each other.
  before(
    async () => {
      await instance.start(options);
      await setup?.(instance);
      for (const prepare of instance.preparations) await prepare();
    },
    { timeout: START_MAX_MS },
  );
  afterEach(async () => {
    if (!instance.running || instance.booksAreWrong) return;
    instance.api.leaveStreams();
    await instance.simulator.clearFaults();
    await instance.audit();
  });
  after(() => instance.stop(), { timeout: START_MAX_MS });
  return instance;
}

/** Whether every thread of a process is stopped. */
export function stands(pid) {
  const states = readdirSync(`/proc/${pid}/task`).map((thread) => readFileSync(`/proc/${pid}/task/${thread}/stat`, 'latin1'));
  return states.every((stat) => stat.slice(stat.lastIndexOf(')') + 2).startsWith('T'));
}

class Instance {
  running = false;
  booksAreWrong = false; // for good, by the last test of a file: no audit after it
  preparations = [];

  /** For files that share an instance: what one of them needs, done once, before the first test of all. */
  prepare(what) {
    this.preparations.push(what);
  }

  async start(options) {
    this.directory = mkdtempSync(path.join(tmpdir(), 'bourse test-'));
    chmodSync(this.directory, 0o755); // as root the programs run as users of their own and must get in
    this.var = path.join(this.directory, 'var');
    this.port = await freePorts();
    this.#stopWithProcess();
    if (options) this.#writeConfiguration(options);
    try {
      await run('make', ['--no-print-directory', 'up'], { cwd: ROOT, env: this.environment(), maxBuffer: 1 << 24 });
    } catch (error) {
      throw new Error(`make up failed:\n${error.stdout}\n${error.stderr}`);
    }
    this.running = true;
    this.pids = this.#readPids();
    this.demo = readDemoFile(path.join(this.var, 'demo.env'));
    this.api = new Api(this.demo.BOURSE_BASE_URL);
    this.simulator = new Simulator(this.demo.BOURSE_SIM_URL);
    this.database = new pg.Pool({ ...parseLibpq(this.demo.BOURSE_PG), max: 2 });
    this.database.on('error', () => {}); // an idle connection may die with PostgreSQL; the next query opens another
  }

  /** A configuration that a start finds, it keeps. */
  #writeConfiguration(options) {
    const trial = { edge_port: this.port, sim_port: this.port + 1, simulated: true, payments_manual: 'immediate' };
    const lines = Object.entries({ ...trial, ...options }).map(([name, value]) => `${name} = ${value}\n`);
    mkdirSync(this.var, { mode: 0o755 });
    writeFileSync(path.join(this.var, 'bourse.conf'), lines.join(''), { mode: 0o644 });
  }

  /** Changes one option; programs read it when they start. */
  setOption(name, value) {
    const file = path.join(this.var, 'bourse.conf');
    const kept = readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line !== '' && !line.startsWith(`${name} `));
    writeFileSync(file, [...kept, `${name} = ${value}`, ''].join('\n'));
  }

  async stop() {
    if (!this.directory) return;
    await this.database?.end();
    const down = spawnSync('make', ['--no-print-directory', 'down'], { cwd: ROOT, env: this.environment() });
    this.running = false;
    if (KEEP) console.log(`kept: ${this.directory}`);
    else rmSync(this.directory, { recursive: true, force: true });
    this.directory = undefined;
    assert.equal(down.status, 0, `make down failed: ${down.stdout}${down.stderr}`);
  }

  /** What a program needs to find this instance. Of the caller's environment nothing of make or of another instance. */
  environment() {
    const environment = { ...process.env, BOURSE_VAR: this.var, BOURSE_PORT: String(this.port) };
    for (const name of ['MAKEFLAGS', 'MFLAGS', 'MAKELEVEL', 'BOURSE_ADDRESS', 'BOURSE_BUILD']) delete environment[name];
    return environment;
  }

  /** A test process that is killed from outside must not leave servers behind. */
  #stopWithProcess() {
    const stop = () => {
      if (!this.directory) return;
      spawnSync('make', ['--no-print-directory', 'down'], { cwd: ROOT, env: this.environment() });
      if (!KEEP) rmSync(this.directory, { recursive: true, force: true });
      this.directory = undefined;
    };
    process.on('exit', stop);
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, () => process.exit(1));
  }

  // ---- the operator's command line

  /** `build/bourse … --json`; throws when it fails. */
  async bourse(...words) {
    const { stdout } = await run(path.join(BUILD, 'bourse'), [...words, '--json'], {
      env: this.environment(),
      maxBuffer: 1 << 26,
    });
    return JSON.parse(stdout);
  }

  async bourseFails(...words) {
    const failed = await run(path.join(BUILD, 'bourse'), [...words, '--json'], { env: this.environment() }).then(
      () => undefined,
      (error) => error,
    );
    assert.ok(failed, `bourse ${words.join(' ')} should have failed`);
    return failed.stderr;
  }

  /** An organization; `credit` in dollars is granted without a purchase. */
  async makeOrg({ name = 'Test', credit } = {}) {
    const { id } = await this.bourse('org', 'create', '--name', name);
    if (credit !== undefined) await this.bourse('credit', 'grant', '--org', id, '--amount', String(credit));
    return id;
  }

  async makeKey(org, { name = 'test', limit, reset, management, expires } = {}) {
    const words = ['key', 'create', '--org', org, '--name', name];
    if (limit !== undefined) words.push('--limit', String(limit));
    if (reset !== undefined) words.push('--limit-reset', reset);
    if (expires !== undefined) words.push('--expires-at', expires);
    if (management) words.push('--management');
    return this.bourse(...words);
  }

  /** An organization with credit and one key of each kind: what most tests begin with. */
  async makeCustomer({ credit = '1', limit } = {}) {
    const org = await this.makeOrg({ credit });
    const { key, hash } = await this.makeKey(org, { limit });
    const { key: management } = await this.makeKey(org, { management: true });
    return { org, orgNumber: BigInt(org.replace('org-', '')), key, hash, management };
  }

  // ---- looking inside

  async sql(text, values = []) {
    const { rows } = await this.database.query(text, values);
    return rows;
  }

  /** Statements of the tables' owner, who may change what no program may. */
  async asOwner(text) {
    const owner = new pg.Client({ host: path.join(this.var, 'run/pg'), database: 'bourse', user: 'bourse_owner' });
    await owner.connect();
    try {
      await owner.query(text);
    } finally {
      await owner.end();
    }
  }

  /** Holds the locks that a statement takes for the time of `during`, as a transaction that is slow. */
  async whileLocked(text, during) {
    const owner = new pg.Client({ host: path.join(this.var, 'run/pg'), database: 'bourse', user: 'bourse_owner' });
    await owner.connect();
    try {
      await owner.query('begin');
      await owner.query(text);
      return await during();
    } finally {
      await owner.end();
    }
  }

  async sqlValue(text, values = []) {
    const [row] = await this.sql(text, values);
    return Object.values(row)[0];
  }

  /** Every metric of a program, by name without the prefix. */
  async metrics(program) {
    const target =
      program === 'edge'
        ? { host: '127.0.0.1', port: this.port, path: '/metrics' }
        : { socketPath: path.join(this.var, `run/${program}-operator.sock`), path: '/metrics' };
    const text = await new Promise((resolve, reject) => {
      const request = http.get({ ...target, agent: false, timeout: 2000 }, (answer) => {
        let body = '';
        answer.setEncoding('utf8');
        answer.on('data', (piece) => (body += piece));
        answer.on('end', () => resolve(body));
        answer.on('error', reject);
      });
      request.on('timeout', () => request.destroy(new Error(`${program} does not answer /metrics`)));
      request.on('error', reject);
    });
    const metrics = Object.fromEntries(METRICS.map((name) => [name, 0])); // what was never counted is not exported
    for (const line of text.split('\n')) {
      const [, name, value] = /^bourse_(\w+)(?:\{[^}]*\})? (\S+)$/.exec(line) ?? [];
      if (name) metrics[name] = Number(value);
    }
    return metrics;
  }

  #readPids() {
    return Object.fromEntries(
      ['edge', 'ledger', 'catalog', 'usage', 'simprovider'].map((name) => [name, this.pid(name)]),
    );
  }

  pid(program) {
    return Number(readFileSync(path.join(this.var, `run/${program}.pid`), 'utf8'));
  }

  /** Resident memory in bytes. */
  memoryOf(program) {
    return 1024 * Number(/^VmRSS:\s+(\d+) kB/m.exec(readFileSync(`/proc/${this.pid(program)}/status`, 'utf8'))[1]);
  }

  log(program) {
    return readFileSync(path.join(this.var, `log/${program}.log`), 'utf8');
  }

  logs() {
    return readdirSync(path.join(this.var, 'log')).map((name) => [
      name,
      readFileSync(path.join(this.var, 'log', name)),
    ]);
  }

  secret(name) {
    return readFileSync(path.join(this.var, 'secrets', name));
  }

  /** The row of a generation by its public id: the id is one AES block of where the row stands (shared/id.h). */
  async generationRow(id) {
    const place = openGenerationId(id, this.secret('usage/generation.key'));
    const rows = await this.sql(
      'select * from generation where day = $1 and cell = $2 and incarnation = $3 and hold = $4 order by part',
      [place.day, place.cell, place.incarnation, String(place.hold)],
    );
    assert.ok(rows.length <= 1, `${rows.length} rows for ${id}`);
    return rows[0];
  }

  /** No request runs, no hold is open, every record is posted. */
  async quiet(deadline_ms = QUIET_MAX_MS) {
    await eventually(
      async () => {
        const edge = await this.metrics('edge');
        const ledger = await this.metrics('ledger');
        const left = {
          requests: edge.requests_in_flight,
          edgeHolds: edge.holds_open,
          unacknowledged: edge.frames_unacknowledged,
          ledgerHolds: ledger.holds_open,
          unposted: ledger.posting_lag_records,
        };
        assert.deepEqual(left, { requests: 0, edgeHolds: 0, unacknowledged: 0, ledgerHolds: 0, unposted: 0 });
      },
      { deadline_ms },
    );
  }

  /** The books, once everything has come to rest. */
  async audit() {
    await this.quiet();
    const result = spawnSync(path.join(BUILD, 'bourse'), ['audit'], { env: this.environment(), encoding: 'utf8' });
    assert.equal(result.stdout.trim().split('\n').at(-1), 'audit: 0 violations', `${result.stdout}${result.stderr}`);
    assert.equal(result.status, 0);
    const { charge_disagreement_total: disagreements } = await this.metrics('ledger');
    assert.equal(disagreements, 0, 'edge and ledger computed different charges');
    const { pids } = this;
    this.pids = this.#readPids(); // one death fails one test
    assert.deepEqual(this.pids, pids, 'a program died');
  }

  // ---- breaking things

  /** Kills one program of this instance and waits until the supervisor has started another and the instance serves. */
  async killAndWait(program, signal = 'SIGKILL') {
    const before = this.pid(program);
    process.kill(before, signal);
    await eventually(() => {
      assert.ok(existsSync(path.join(this.var, `run/${program}.pid`)) && this.pid(program) !== before);
    });
    await this.ready();
    this.pids[program] = this.pid(program);
  }

  /** Stops a program, or several, in its tracks for the time of `during`: it neither answers nor dies. */
  async whileStopped(programs, during) {
    const pids = [programs].flat().map((program) => this.pid(program));
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    // A thread on another processor goes on until the signal has reached it.
    await eventually(() => assert.ok(pids.every(stands)), { every_ms: 1 });
    try {
      return await during();
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGCONT');
      await this.ready();
    }
  }

  async ready() {
    await eventually(async () => {
      const answer = await fetch(`http://127.0.0.1:${this.port}/readyz`);
      const parts = await answer.json();
      assert.equal(answer.status, 200);
      assert.ok(parts.usage, 'the usage service answers');
    });
  }
}

/** Repeats until `check` no longer throws, and answers what it returned; at the deadline its last error is thrown. */
export async function eventually(check, { deadline_ms = 10_000, every_ms = 20 } = {}) {
  const end = performance.now() + deadline_ms;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (performance.now() >= end) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, every_ms));
  }
}

/** Fails if the promise is not settled in time. */
export function within(deadline_ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${deadline_ms} ms`)), deadline_ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Two neighbouring ports, below the range from which the kernel gives out ports by itself. */
async function freePorts() {
  for (let tries = 0; tries < 100; tries++) {
    const port = 2 * randomInt(5000, 15000);
    if ((await isFree(port)) && (await isFree(port + 1))) return port;
  }
  throw new Error('no two free ports found');
}

function isFree(port) {
  return new Promise((resolve) => {
    const server = net.createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** demo.env is shell syntax, so the shell reads it. */
function readDemoFile(file) {
  const names = ['BOURSE_BASE_URL', 'BOURSE_API_KEY', 'BOURSE_MANAGEMENT_KEY', 'BOURSE_SIM_URL', 'BOURSE_PG'];
  const script = `. "$0"; printf '%s\\0' ${names.map((name) => `"$${name}"`).join(' ')}`;
  const { stdout } = spawnSync('sh', ['-c', script, file], { encoding: 'utf8' });
  const values = stdout.split('\0');
  return Object.fromEntries(names.map((name, i) => [name, values[i]]));
}

/** "host=/path\ with\ space dbname=x user=y" as libpq reads it. */
function parseLibpq(text) {
  const values = {};
  for (const [, name, value] of text.matchAll(/(\w+)\s*=\s*((?:\\.|[^\\\s])+)/g))
    values[name] = value.replace(/\\(.)/g, '$1');
  return { host: values.host, database: values.dbname, user: values.user };
}

const BASE32 = '0123456789abcdefghjkmnpqrstvwxyz';

function openGenerationId(text, key) {
  assert.match(text, /^gen-[0-9a-hjkmnp-tv-z]{26}$/);
  let number = 0n;
  for (const digit of text.slice(4)) number = (number << 5n) | BigInt(BASE32.indexOf(digit));
  const block = Buffer.from(number.toString(16).padStart(32, '0'), 'hex');
  const cipher = createDecipheriv('aes-128-ecb', key, null).setAutoPadding(false);
  const plain = Buffer.concat([cipher.update(block), cipher.final()]);
  return {
    day: plain.readUInt16BE(0),
    cell: plain.readUInt16BE(2),
    incarnation: plain.readUInt32BE(4),
    hold: plain.readBigUInt64BE(8),
  };
}

export { ROOT, BUILD };
