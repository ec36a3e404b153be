// SPDX-License-Identifier: Apache-2.0
// The instance that is measured: `make up` with a directory and ports of its own and the configuration as it comes
// (billing on, strict), one organization with credit, one key. Knows its processes, and when everything they owe has
// reached PostgreSQL.
import { execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import readline from 'node:readline';
import { promisify } from 'node:util';

import { childrenOf, cpuOfGroup, cpuOfProcess, residentKib } from './processes.mjs';

const run = promisify(execFile);
export const SERVICES = ['edge', 'ledger', 'catalog', 'usage'];
const CREDIT = '25000'; // as much as the plan takes at once
const POSTED_MAX_MS = 60_000;
const POSTED_LOOK_MS = 50;

export class Instance {
  constructor(directory, port) {
    this.directory = path.resolve(directory);
    this.port = port;
    this.simPort = port + 1;
    this.environment = { ...process.env, BOURSE_VAR: this.directory, BOURSE_PORT: String(port) };
    for (const name of ['MAKEFLAGS', 'MFLAGS', 'MAKELEVEL', 'BOURSE_ADDRESS', 'BOURSE_BUILD']) delete this.environment[name];
  }

  async start() {
    this.stop(); // of a bench that was killed
    await this.#make('up').catch((error) => {
      throw new Error(`make up failed:\n${error.stdout}${error.stderr}`);
    });
    this.started = true;
    const demo = readFileSync(path.join(this.directory, 'demo.env'), 'utf8');
    this.#openDatabase(spawnSync('sh', ['-c', `${demo}\nprintf %s "$BOURSE_PG"`], { encoding: 'utf8' }).stdout);
    this.#findProcesses();
    const { id } = await this.#bourse('org', 'create', '--name', 'Bench');
    await this.#bourse('credit', 'grant', '--org', id, '--amount', CREDIT);
    const { key, hash } = await this.#bourse('key', 'create', '--org', id, '--name', 'bench');
    this.key = key;
    this.keyHash = hash;
    this.rowsBefore = await this.#rowsPosted();
  }

  #make(target) {
    return run('make', ['--no-print-directory', target], { env: this.environment, maxBuffer: 1 << 24 });
  }

  async #bourse(...words) {
    const { stdout } = await run('build/bourse', [...words, '--json'], { env: this.environment });
    return JSON.parse(stdout);
  }

  /** Stops it and removes its data, which as root may stand elsewhere with a link to it. */
  stop() {
    this.database?.stdin.end();
    if (!existsSync(this.directory)) return;
    spawnSync('make', ['--no-print-directory', 'down'], { env: this.environment, stdio: 'ignore' });
    const place = realpathSync(this.directory);
    rmSync(place, { recursive: true, force: true });
    rmSync(this.directory, { recursive: true, force: true });
    this.started = false;
  }

  // ---- configuration

  option(name) {
    const text = readFileSync(path.join(this.directory, 'bourse.conf'), 'utf8');
    return new RegExp(`^\\s*${name}\\s*=\\s*(\\S+)`, 'm').exec(text)?.[1];
  }

  edgeThreads() {
    return Number(this.option('edge_threads') ?? 0) || os.availableParallelism();
  }

  durability() {
    return this.option('durability') ?? 'strict';
  }

  journalDirectory() {
    return path.join(this.directory, 'journal');
  }

  // ---- processes

  #findProcesses() {
    const supervisor = Number(readFileSync(path.join(this.directory, 'run/supervise.pid'), 'utf8'));
    const children = childrenOf(supervisor);
    this.pids = {};
    for (const name of [...SERVICES, 'postgres']) {
      this.pids[name] = children.find((process) => process.name === name)?.pid;
      if (this.pids[name] === undefined) throw new Error(`no process called ${name} runs`);
    }
  }

  /** CPU time of the four services and PostgreSQL so far, by name, in nanoseconds. */
  cpuNs() {
    const used = {};
    for (const name of SERVICES) used[name] = cpuOfProcess(this.pids[name]);
    used.postgres = cpuOfGroup(this.pids.postgres, this.backend);
    return used;
  }

  edgeCpuNs() {
    return cpuOfProcess(this.pids.edge);
  }

  residentKib() {
    return Object.fromEntries(SERVICES.map((name) => [name, residentKib(this.pids[name])]));
  }

  // ---- database: one psql for the whole bench, whose backend is left out of PostgreSQL's CPU

  #openDatabase(connection) {
    this.database = spawn('psql', ['-X', '-q', '-A', '-t', '-F', '\t', '-v', 'ON_ERROR_STOP=1', connection], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, PGTZ: 'UTC' },
    });
    this.database.on('error', () => {});
    this.answers = readline.createInterface({ input: this.database.stdout })[Symbol.asyncIterator]();
  }

  /** The one row of a question, as texts. */
  async row(question) {
    this.database.stdin.write(`${question};\n`);
    const { value, done } = await this.answers.next();
    if (done) throw new Error(`psql ended at: ${question}`);
    return value.split('\t');
  }

  async #rowsPosted() {
    this.backend ??= Number((await this.row('select pg_backend_pid()'))[0]);
    return Number((await this.row('select coalesce(sum(rows), 0) from batch'))[0]);
  }

  /** Waits until as many requests as were completed have become rows. */
  async posted(completed) {
    const end = performance.now() + POSTED_MAX_MS;
    for (;;) {
      const rows = (await this.#rowsPosted()) - this.rowsBefore;
      if (rows >= completed) return;
      if (performance.now() > end) throw new Error(`only ${rows} of ${completed} requests were posted within a minute`);
      await new Promise((resolve) => setTimeout(resolve, POSTED_LOOK_MS));
    }
  }

  /** Rows of the bench's key: settled ones, all others, and what was charged in nano-dollars. */
  async books() {
    const [settled, others, charged] = await this.row(
      `select count(*) filter (where state = 1), count(*) filter (where state <> 1), coalesce(sum(charge), 0)
       from generation where (org, key) = (select org, id from api_key where hash = decode('${this.keyHash}', 'hex'))`,
    );
    return { settled: Number(settled), others: Number(others), charged_nano: Number(charged) };
  }

  /** What `make audit` finds: the number of violations, and the first of them in words. */
  async audit() {
    const text = await this.#make('audit').then(
      ({ stdout }) => stdout,
      (error) => error.stdout ?? '',
    );
    const found = /^audit: (\d+) violations$/m.exec(text);
    if (!found) throw new Error(`make audit did not come to its end:\n${text}`);
    return { count: Number(found[1]), first: text.split('\n', 1)[0] };
  }
}
