// SPDX-License-Identifier: Apache-2.0
// The instance that is measured: `make up` with a directory and ports of its own and the configuration as it comes
// (billing on, strict), one organization with credit, one key. Knows its processes, and when everything they owe has
// reached PostgreSQL.
import { execFile, spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
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
    this.connection = connection.replace(/\s*user=\S+/, '');
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

  // ---- accounts that were never bought: what the measurements of the ledger alone need

  /** A statement of the tables' owner. */
  async owner(statements) {
    await run('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-c', statements, this.#connectionOf('bourse_owner')]);
  }

  #connectionOf(role) {
    return `${this.connection} user=${role}`;
  }

  ledgerSocket() {
    return path.join(this.directory, 'run/ledger-ipc.sock');
  }

  /** The ledger's own syncs of its journal so far: [{bound_us, count}], counts without those of the buckets below. */
  async journalSyncs() {
    const socket = path.join(this.directory, 'run/ledger-operator.sock');
    const { stdout } = await run('curl', ['-sS', '--fail', '--unix-socket', socket, 'http://ledger/metrics']);
    const lines = stdout.matchAll(/^bourse_journal_sync_seconds_bucket\{.*le="([^"]+)"\} (\d+)$/gm);
    let below = 0;
    return Array.from(lines, ([, bound, count]) => {
      const bucket = { bound_us: bound === '+Inf' ? Infinity : Number(bound) * 1e6, count: Number(count) - below };
      below = Number(count);
      return bucket;
    });
  }

  /** A price, and what 250 prompt and 150 completion tokens cost by it, by hand: one rounding, half up. */
  async cheapPrice() {
    const [id, prompt, completion] = await this.row(
      `select e.price, t.prompt, t.completion from endpoint e join model m on m.id = e.model
       join price_tier t on t.price = e.price and t.above_prompt_tokens = 0 where m.slug = 'openai/gpt-4o-mini' limit 1`,
    );
    const millionths = 250n * BigInt(prompt) + 150n * BigInt(completion);
    return { id: Number(id), charge: Number((millionths + 500_000n) / 1_000_000n) };
  }

  /** Promotional credit for organizations `first` and on, in SQL. */
  #grants(first, count, cell) {
    const orgs = `generate_series(${first}, ${first + count - 1}) as org`;
    const nano = 1_000_000_000_000n;
    return `insert into org (org, name) select org, 'bench' from ${orgs} on conflict do nothing;
      insert into account (org, kind, credits) select org, 2, ${nano} from ${orgs};
      insert into account (org, kind, cell, debits) values (0, 131, ${cell}, ${nano * BigInt(count)})
        on conflict (org, kind, cell, detail) do update set debits = account.debits + excluded.debits;
      insert into transfer (org, debit_kind, credit_kind, cell, amount, code, reference)
        select org, 131, 2, ${cell}, ${nano}, 'promo', 'bench' from ${orgs};`;
  }

  /** Keys of as many organizations, which ledger_hold_bench has the secrets of. */
  async addKeys(count) {
    const pepper = path.join(this.directory, 'secrets/ledger/pepper');
    const { stdout } = await run('build/tests/bench/ledger_hold_bench', ['hashes', pepper, String(count)], { maxBuffer: 1 << 24 });
    const hashes = stdout.trim().split('\n');
    const first = 8_000_000;
    const keys = hashes.map((hash, i) => `(${first + i}, '\\x${hash}'::bytea)`).join(', ');
    const file = path.join(this.directory, 'bench-keys.sql');
    writeFileSync(
      file,
      `begin; create temporary table made (org bigint, hash bytea); insert into made values ${keys};
       insert into org (org, name) select org, 'bench' from made;
       insert into workspace (org, id, name, slug) select org, 1, 'Default', 'default' from made;
       insert into api_key (org, id, hash, label, name, kind) select org, org, hash, 'bench', 'bench', 1 from made;
       insert into key_place (hash, org, key) select hash, org, org from made;
       insert into meter (org, id, owner_kind, owner, cadence) select org, 4 * org + c, 1, org, c from made, generate_series(0, 3) as c;
       ${this.#grants(first, count, 1)} commit;`,
    );
    await run('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f', file, this.#connectionOf('bourse_owner')]);
    rmSync(file);
  }

  /** A cell whose ledger never was, with a lease for each of `count` organizations, and a bare table like generation. */
  async makeSecondCell(count) {
    const first = 9_000_000;
    const last = first + count - 1;
    await this.owner(`insert into cell (id, epoch) values (2, 1);
      insert into stream (cell, incarnation, link) values (2, 1, decode(repeat('00', 32), 'hex'));
      ${this.#grants(first, count, 2)}
      insert into lease (org, meter, period, cell, epoch, granted, granted_promo)
        select org, 0, 0, 2, 1, credits, credits from account where kind = 2 and org between ${first} and ${last};
      insert into account (org, kind, cell, credits) select org, 3, 2, credits from account where kind = 2 and org between ${first} and ${last};
      update account set debits = credits where kind = 2 and org between ${first} and ${last};
      insert into transfer (org, debit_kind, credit_kind, cell, amount, code, reference)
        select org, 2, 3, 2, credits, 'lease', 'lease 2/1' from account where kind = 3 and org between ${first} and ${last};
      create table bench_bare (like generation including all)`);
    return { connection: this.connection, role: 'bourse_owner', first };
  }

  /** Waits until the ledger has posted whatever it has journalled. */
  async postedAll() {
    const end = performance.now() + POSTED_MAX_MS;
    let before = -1;
    for (;;) {
      const rows = await this.#rowsPosted();
      if (rows === before) return;
      if (performance.now() > end) throw new Error('posting does not come to an end');
      before = rows;
      await new Promise((resolve) => setTimeout(resolve, 4 * POSTED_LOOK_MS));
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
