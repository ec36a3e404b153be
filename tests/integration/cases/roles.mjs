// SPDX-License-Identifier: Apache-2.0
// Every role tries what it must not do, on the real database. As root each role is tried as the system user that owns it; as an
// ordinary user, who has all roles, the grants alone are tried. And who may log in as whom is tried where there are such users.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import test from 'node:test';

import { MODEL, user } from '../api.mjs';
import { BUILD } from '../harness.mjs';
import { bourse } from './one_instance.mjs';

bourse.prepare(async () => {
  const { key } = await bourse.makeCustomer(); // rows to try on
  assert.equal((await bourse.api.chat(key, { model: MODEL, messages: user('Hello') })).status, 200);
  await bourse.quiet();
});
const root = process.getuid() === 0;
const PSQL = '/usr/lib/postgresql/15/bin/psql';
const systemUsers = {
  bourse_ledger: 'bourse-ledger',
  bourse_ledger_api: 'bourse-ledger',
  bourse_catalog: 'bourse-catalog',
  bourse_catalog_api: 'bourse-catalog',
  bourse_usage: 'bourse-usage',
  bourse_usage_api: 'bourse-usage',
};
const services = Object.keys(systemUsers);
const everybody = [...services, 'bourse_reader'];

/** Runs a statement as a role; {code, text}. */
function statement(role, sql, systemUser = systemUsers[role]) {
  const place = bourse.demo.BOURSE_PG.replace('bourse_reader', role);
  const words = [PSQL, '-X', '-q', '-A', '-t', '-v', 'ON_ERROR_STOP=1', '-c', sql, place];
  const all = root && systemUser ? ['runuser', '-u', systemUser, '--', ...words] : words;
  const { status, stdout, stderr } = spawnSync(all[0], all.slice(1), { encoding: 'utf8', cwd: '/' });
  return { code: status, text: stdout + stderr };
}

/** A denial says so; anything else, a syntax error above all, would prove nothing. One session tries all statements of a role. */
function assertDenied(role, ...statements) {
  const place = bourse.demo.BOURSE_PG.replace('bourse_reader', role);
  const words = [PSQL, '-X', '-q', '-A', '-t', place];
  const all = root && systemUsers[role] ? ['runuser', '-u', systemUsers[role], '--', ...words] : words;
  // The marks go to the same place as the errors.
  const script = statements
    .map((sql) => `\\warn @@@\n${NO_TRANSACTION.test(sql) ? sql : `begin; ${sql}`};\nrollback;\n`)
    .join('');
  const { stderr, error } = spawnSync(all[0], all.slice(1), {
    input: `set client_min_messages = error;\n${script}`,
    encoding: 'utf8',
    cwd: '/',
  });
  assert.equal(error, undefined);
  const [before, ...answers] = stderr.split('@@@\n');
  assert.equal(before, '');
  assert.equal(answers.length, statements.length);
  for (const [i, sql] of statements.entries()) assert.match(answers[i], DENIED, `${role}: ${sql}`);
}

const DENIED = /permission denied|must be owner|row-level security|never changed or deleted|must be superuser/;
const NO_TRANSACTION = /^alter system/;

const final = ['transfer', 'generation', 'batch', 'price', 'price_tier'];
const tables = [
  'provider',
  'model',
  'price',
  'price_tier',
  'endpoint',
  'provider_key',
  'market',
  'cell',
  'plan',
  'org',
  'workspace',
  'member',
  'api_key',
  'key_place',
  'key_use',
  'account',
  'transfer',
  'meter',
  'meter_period',
  'lease',
  'stream',
  'batch',
  'generation',
  'suspense',
  'purchase',
  'purchase_refund',
  'payment_card',
  'auto_topup',
  'credit_line_span',
  'stripe_event',
  'stripe_reconciliation',
  'idempotency',
  'free_requests',
  'lot',
  'promo_code',
  'redemption',
];
const firstColumn = {
  market: 'revision',
  key_place: 'org',
  price_tier: 'prompt',
  provider_key: 'version',
  batch: 'rows',
  stream: 'last_seq',
  suspense: 'sqlstate',
  cell: 'epoch',
  plan: 'name',
  promo_code: 'uses',
  stripe_event: 'type',
  stripe_reconciliation: 'day',
  provider: 'name',
  model: 'name',
  price: 'source',
  endpoint: 'tag',
};
const update = (table) => `update ${table} set ${firstColumn[table] ?? 'org'} = ${firstColumn[table] ?? 'org'}`;
const insert = (table) => `insert into ${table} default values`;

test('the list of tables here is the whole list', async () => {
  const rows = await bourse.sql(
    "select tablename from pg_tables where schemaname = 'public' and tablename !~ '^generation_' and tablename !~ 'migration' order by 1",
  );
  assert.deepEqual(
    rows.map((row) => row.tablename),
    [...tables].sort(),
  );
});

test('nobody changes or deletes a transfer, a generation, a batch or a price, not even the owner of the tables', () => {
  const statements = final.flatMap((table) => [update(table), `delete from ${table}`]);
  for (const role of everybody) assertDenied(role, ...statements, ...final.map((table) => `truncate ${table} cascade`));
  assertDenied('bourse_owner', ...statements); // by the trigger
});

test('no role but the catalog’s deletes anything, and those only sealed keys', () => {
  for (const role of everybody) {
    const closed = tables.filter((table) => table !== 'provider_key' || !role.startsWith('bourse_catalog'));
    assertDenied(role, ...closed.flatMap((table) => [`delete from ${table}`, `truncate ${table} cascade`]));
  }
});

const money = [
  'account',
  'transfer',
  'meter',
  'meter_period',
  'lease',
  'stream',
  'batch',
  'generation',
  'suspense',
  'purchase',
  'purchase_refund',
  'payment_card',
  'auto_topup',
  'credit_line_span',
  'stripe_event',
  'stripe_reconciliation',
  'idempotency',
  'free_requests',
  'org',
  'workspace',
  'member',
  'api_key',
  'key_place',
  'key_use',
  'cell',
  'plan',
];
const market = ['provider', 'model', 'price', 'price_tier', 'endpoint', 'provider_key', 'market'];
const writes = (names) => names.flatMap((table) => [insert(table), update(table)]);

test('usage and the reader insert and change nothing, anywhere', () => {
  for (const role of ['bourse_usage', 'bourse_usage_api', 'bourse_reader']) assertDenied(role, ...writes(tables));
});

test('the catalog neither reads nor writes what is the ledger’s', () => {
  for (const role of ['bourse_catalog', 'bourse_catalog_api']) {
    assertDenied(role, ...writes(money), ...money.map((table) => `select * from ${table}`));
  }
});

test('the ledger neither writes the market nor reads a sealed key', () => {
  for (const role of ['bourse_ledger', 'bourse_ledger_api'])
    assertDenied(role, ...writes(market), 'select * from provider_key');
});

test('sealed keys and the way to a key by its hash are closed to all but their owners', () => {
  for (const role of everybody) {
    if (!role.startsWith('bourse_catalog')) assertDenied(role, 'select sealed from provider_key');
    if (!role.startsWith('bourse_ledger')) assertDenied(role, 'select hash from key_place');
  }
});

test('the poster cannot make keys, purchases or organizations; the control plane cannot post generations or leases', () => {
  assertDenied(
    'bourse_ledger',
    ...writes(['api_key', 'key_place', 'org', 'workspace', 'purchase', 'purchase_refund', 'stripe_event', 'idempotency', 'meter', 'plan']),
  );
  assertDenied('bourse_ledger_api', ...writes(['generation', 'batch', 'lease', 'stream', 'cell', 'suspense', 'free_requests', 'key_use']));
  assertDenied('bourse_ledger_api', 'update key_place set key = key', 'update key_place set hash = hash');
});

test('the control plane sees one organization at a time', async () => {
  const count = (role, org) => {
    const { code, text } = statement(
      role,
      `begin; set local bourse.org = '${org}'; select count(*) from api_key; rollback`,
    );
    assert.equal(code, 0, text);
    return Number(text.trim());
  };
  const [a, b] = [await bourse.makeCustomer(), await bourse.makeCustomer()];
  await bourse.makeKey(b.org);
  for (const role of ['bourse_ledger_api', 'bourse_usage_api']) {
    assert.equal(count(role, a.orgNumber), 2);
    assert.equal(count(role, b.orgNumber), 3);
    assert.equal(count(role, 1), 0);
    assert.equal(Number(statement(role, 'select count(*) from api_key').text.trim()), 0);
  }
  assertDenied(
    'bourse_ledger_api',
    `set local bourse.org = '${a.orgNumber}'; insert into workspace (org, id, name, slug) values (${b.orgNumber}, 7, 'x', 'x')`,
  );
  assert.ok(Number(statement('bourse_ledger', 'select count(*) from api_key').text.trim()) >= 5);
  // What waits for an operator is listed over all of them, for the operator's list alone.
  for (const role of everybody.filter((name) => name !== 'bourse_ledger_api')) assertDenied(role, 'select * from refunds_waiting(0, 1)');
});

test('no role changes the schema, makes roles or reads files', () => {
  for (const role of everybody) {
    assertDenied(
      role,
      'create table mine (a int)',
      'alter table account disable row level security',
      'drop table transfer',
      'alter table transfer disable trigger all',
      'create role mine',
      "copy account to program 'cat'",
      "copy account from '/etc/passwd'",
      "select pg_read_file('/etc/passwd')",
      'set role bourse_owner',
      'alter system set fsync = off',
    );
    // PostgreSQL only warns of this one.
    assert.match(
      statement(role, 'grant all on transfer to public').text,
      /no privileges were granted|permission denied/,
    );
  }
});

test('what each role is for, it may do', () => {
  const may = [
    ['bourse_ledger', 'select count(*) from account'],
    ['bourse_ledger_api', 'select count(*) from purchase'],
    ['bourse_ledger_api', 'select count(*) from key_use'],
    ['bourse_ledger_api', 'update key_place set ends_at = now() where false'],
    ['bourse_ledger_api', 'select count(*) from purchase_refund'],
    ['bourse_ledger_api', 'select count(*) from refunds_waiting(0, 100)'],
    ['bourse_catalog', 'select count(*) from provider_key'],
    ['bourse_usage', 'select count(*) from generation'],
    ['bourse_reader', 'select count(*) from transfer'],
    ['bourse_reader', 'select count(*) from generation'],
  ];
  for (const [role, sql] of may) {
    const { code, text } = statement(role, sql);
    assert.equal(code, 0, `${role}: ${text}`);
  }
});

test(
  'each system user has his own roles and no other',
  { skip: root ? false : 'all roles belong to the one user who runs everything' },
  () => {
    const users = ['bourse-ledger', 'bourse-catalog', 'bourse-usage', 'bourse-edge', 'bourse-sim', 'nobody'];
    for (const name of users) {
      for (const role of [...everybody, 'bourse_owner', 'postgres']) {
        const { code, text } = statement(role, 'select 1', name);
        const audits = name === 'bourse-usage' && role === 'bourse_reader'; // reads the books to check them
        if (systemUsers[role] === name || audits) assert.equal(code, 0, text);
        else assert.notEqual(code, 0, `${name} can log in as ${role}`);
      }
    }
  },
);

test('the edge is not linked to the database’s library, and has no statements', () => {
  const needed = (program) => spawnSync('readelf', ['-d', path.join(BUILD, program)], { encoding: 'utf8' }).stdout;
  assert.match(needed('edge'), /NEEDED/);
  assert.doesNotMatch(needed('edge'), /libpq/);
  assert.match(needed('ledger'), /libpq/, 'the search looks at the right place');
});
