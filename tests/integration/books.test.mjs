// SPDX-License-Identifier: Apache-2.0
// The books are changed behind the ledger's back, one row at a time, by the owner of the tables with every guard taken off: the audit
// has to name the rule that is broken, and `bourse ledger verify` the place. Expected names stand here, not in the programs.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import test, { after } from 'node:test';
import pg from 'pg';

import { COMPLETION_NANO, MODEL, PROMPT_NANO, nanoOf, user } from './api.mjs';
import { FakeEdge } from './fake_edge.mjs';
import { BUILD, ROOT, eventually, startInstance } from './harness.mjs';

let owner;
const GUARDED = ['transfer', 'generation', 'batch'];

/** Two requests with an own key at a price with a margin, which they do not pay; the plan gives one for nothing. */
async function requestWithOwnKey(bourse) {
  const { org, key } = await bourse.makeCustomer({ credit: '1' });
  await bourse.bourse('plan', 'create', '--name', 'one free', '--like', 'pay-as-you-go');
  await bourse.bourse('plan', 'set', 'one free', '--byok-unit', 'requests', '--byok-allowance', '1');
  await bourse.bourse('plan', 'assign', 'one free', '--org', org);
  const [{ price, provider }] = await bourse.sql('select price, provider from generation where charge > provider_cost limit 1');
  const edge = await FakeEdge.connect(bourse);
  for (const fee of [0n, 1_050n]) {
    const held = await edge.hold(key, { fixed: 30_000n, byok: 1, price_ids: [price] });
    // 100 · 150 + 10 · 600 = 21,000 nano-dollars of list price, of which 5 % are 1,050.
    const told = await edge.settle(held, { price_id: price, usage: { prompt: 100, completion: 10 }, charge: 21_000n, facts: { provider } });
    assert.equal(told, fee);
  }
  edge.close();
}

/** Purchases and grants, keys with and without a limit, requests with and without a margin, settled and released and repeated:
 * something in every table. */
async function fillBooks(bourse) {
  owner = new pg.Pool({ host: path.join(bourse.var, 'run/pg'), database: 'bourse', user: 'bourse_owner', max: 1 });
  const { org, key } = await bourse.makeCustomer({ credit: '2' });
  await bourse.bourse('credit', 'buy', '--org', org, '--amount', '5');
  const limited = await bourse.makeKey(org, { limit: '1', reset: 'monthly' });
  await bourse.makeCustomer({ credit: '1' }); // has transfers and no generations
  for (const one of [key, limited.key]) {
    const answer = await bourse.api.chat(one, { model: MODEL, messages: user('sim:tokens=10') });
    assert.equal(answer.status, 200);
  }
  await askWithMargin(key);
  await bourse.simulator.fault('openai', { kind: 'status', status: 500 });
  await bourse.api.chat(key, { model: MODEL, messages: user('sim:tokens=10') }); // released
  await bourse.simulator.clearFaults();
  await bourse.quiet();
  await requestWithOwnKey(bourse);
  await bourse.quiet();
  // CHECK constraints refuse most of what follows; the audit must not rely on them.
  const checks = await owner.query(`select conrelid::regclass::text as place, conname as name from pg_constraint
     where contype = 'c' and connamespace = 'public'::regnamespace and conislocal`);
  for (const { place, name } of checks.rows) await owner.query(`alter table ${place} drop constraint "${name}"`);
}

/** One request with 100 % on top of its list price, once the edge's one thread has heard of it: 13 bytes in are 4 tokens. */
async function askWithMargin(key) {
  const { data } = await bourse.bourse('endpoint', 'list', '--model', MODEL);
  await bourse.bourse('endpoint', 'margin', `${data[0].id}`, '--basis-points', '10000');
  const [{ price }] = await bourse.sql('select price from endpoint where id = $1', [data[0].id]);
  const revision = Number(await bourse.sqlValue('select revision from market'));
  await eventually(async () => assert.equal((await bourse.metrics('edge')).market_revision, revision));
  const answer = await bourse.api.chat(key, { model: MODEL, messages: user('sim:tokens=10') });
  assert.equal(nanoOf(answer.exact.usage.cost), 2n * (4n * PROMPT_NANO + 10n * COMPLETION_NANO));
  await bourse.quiet();
  assert.equal((await bourse.generationRow(answer.json.id)).price, price);
}

const bourse = startInstance({ options: { audit_interval: 1, edge_threads: 1 }, setup: fillBooks });
after(() => owner?.end());

function guard(action) {
  const guards = GUARDED.map((name) => `alter table ${name} ${action} trigger ${name}_is_final;`).join('');
  return `${guards} alter table transfer ${action} trigger credit_is_a_lot; alter table price_tier ${action} trigger price_tier_is_final;`;
}

/** Runs `during` while the rows of `table` are as `change` leaves them; then they are as they were. */
async function whileChanged(table, change, during) {
  await bourse.quiet();
  await owner.query(`begin; create table kept as table ${table}; ${guard('disable')} ${change}; ${guard('enable')} commit`);
  try {
    await during();
  } finally {
    await owner.query(`begin; ${guard('disable')} delete from ${table};
       insert into ${table} overriding system value select * from kept; drop table kept; ${guard('enable')} commit`);
  }
}

function command(...words) {
  return new Promise((resolve) => {
    execFile(path.join(BUILD, 'bourse'), words, { env: bourse.environment() }, (error, stdout, stderr) =>
      resolve({ code: error ? error.code : 0, stdout, stderr }),
    );
  });
}

const one = (table) => `(select ctid from ${table} limit 1)`;

/** What follows `insert into account`: some organizations have the row already. */
const ALSO_IF_THERE = `on conflict (org, kind, cell, detail)
     do update set debits = account.credits + excluded.debits, line = excluded.line`;

/** A refund without transfers. */
function refund(state) {
  return `insert into purchase_refund (org, id, purchase, origin, amount_cents, credit_cents, state)
    select org, 'r', id, 'customer', 1, 1, '${state}' from purchase limit 1`;
}

// rule of schema/audit.sql: table, change
const rules = [
  ['debits_equal_credits', 'account', 'update account set credits = credits + 1 where kind = 112'],
  ['account_is_fold_of_transfers', 'transfer', `delete from transfer where code = 'promo'`],
  ['account_is_fold_of_transfers', 'account', 'update account set credits = credits + 1, debits = debits + 1 where kind = 111'],
  ['transfer_has_two_sides', 'transfer', `update transfer set amount = 0 where code = 'promo'`],
  ['transfer_has_two_sides', 'transfer', `update transfer set debit_kind = 7 where code = 'promo'`],
  ['transfer_has_two_sides', 'transfer', `update transfer set org = 0 where code = 'promo'`],
  ['transfer_has_two_sides', 'transfer', `update transfer set debit_kind = credit_kind where code = 'lease'`],
  ['customer_balance_not_negative', 'account', 'update account set debits = credits + 1 where kind = 2'],
  ['receivable_is_zero', 'account', `insert into account (org, kind, debits) select max(org), 4, 5 from account ${ALSO_IF_THERE}`],
  ['lease_within_grant', 'lease', 'update lease set returned = granted + 1 where meter = 0'],
  ['leases_are_escrow', 'lease', 'update lease set granted = granted + 1 where meter = 0'],
  ['lease_is_fold_of_transfers', 'lease', 'update lease set granted = granted + 9, settled = settled + 9 where meter = 0'],
  ['leases_are_in_their_period', 'lease', 'update lease set granted = granted + 1 where meter <> 0'],
  ['limit_is_kept', 'meter_period', 'update meter_period set spent = limit_nano + 1 where limit_nano is not null'],
  ['limit_is_kept', 'meter_period', 'update meter_period set include_byok = true, byok_spent = limit_nano + 1 where limit_nano is not null'],
  ['batch_is_its_rows', 'batch', `update batch set rows = rows + 1 where ctid = ${one('batch')}`],
  ['batch_is_its_rows', 'generation', 'update generation set batch_lo = batch_lo + 1'],
  ['rows_are_transfers', 'transfer', `update transfer set amount = amount + 1 where code = 'settle'`],
  ['rows_are_transfers', 'transfer', `update transfer set amount = amount + 1 where code = 'provider_cost'`],
  ['rows_are_transfers', 'transfer', `update transfer set amount = amount + 1 where code = 'byok_fee'`],
  ['rows_are_transfers', 'transfer', `update transfer set credit_kind = 112 where code = 'byok_fee'`],
  ['lease_is_fold_of_transfers', 'transfer', `update transfer set code = 'settle_late' where code = 'byok_fee'`],
  ['providers_are_owed_for_rows', 'generation', 'update generation set provider = provider + 1 where provider_cost > 0'],
  ['absorbed_is_its_rows', 'generation', 'update generation set state = 3, charge = 0 where charge > 0'],
  ['credits_minus_usage_is_balance', 'generation', 'update generation set charge = charge + 1 where charge > 0'],
  ['credits_minus_usage_is_balance', 'account', 'update account set credits = credits - 1 where kind = 1 and credits > 0'],
  ['total_never_falls', 'generation', 'update generation set charge = -charge where charge > 0'],
  ['every_hold_ends_once', 'generation', 'delete from generation where hold = 1'],
  ['every_hold_ends_once', 'generation', 'update generation set hold = hold + 1, day = day + 1 where hold = 1'],
  ['correction_is_absorbed', 'generation', 'update generation set part = 1 where charge > 0'],
  ['charge_follows_from_price', 'generation', 'update generation set charge = charge + 1, charge_told = charge_told + 1 where state = 1'],
  ['charge_follows_from_price', 'generation', 'update generation set completion = completion + 1000 where state = 1'],
  ['fee_follows_from_list_price', 'generation', 'update generation set charge = charge + 1 where byok_unit = 1 and charge > 0'],
  ['fee_follows_from_list_price', 'generation', 'update generation set byok_fee_basis_points = 400 where byok_unit = 1 and charge > 0'],
  ['fee_follows_from_list_price', 'generation', 'update generation set byok_list = byok_list + 1 where byok_units = 1'],
  ['fee_follows_from_list_price', 'generation', 'update generation set byok_units = 0 where byok_units = 1'],
  ['fee_follows_from_list_price', 'generation', 'update generation set byok_units = 2 where byok_units = 1'],
  ['fee_follows_from_list_price', 'generation', 'update generation set provider_cost = 1 where byok_units = 1'],
  ['fee_follows_from_list_price', 'generation', 'update generation set byok_unit = 0 where byok_units = 1'],
  ['fee_follows_from_list_price', 'generation', 'update generation set byok_list = 1 where byok_unit = 0'],
  ['allowance_is_what_was_taken', 'meter_period', 'update meter_period set spent = spent + 1 where meter_is_allowance(meter)'],
  ['allowance_is_what_was_taken', 'meter_period', 'delete from meter_period where meter_is_allowance(meter)'],
  ['allowance_is_what_was_taken', 'generation', 'update generation set state = 2 where byok_units = 1'],
  ['cost_follows_from_list_price', 'generation', 'update generation set provider_cost = charge where charge > provider_cost and byok_unit = 0'],
  ['cost_follows_from_list_price', 'generation', 'update generation set provider_cost = provider_cost + 1 where state = 1'],
  [
    'price_follows_from_list_price',
    'price_tier',
    'update price_tier set web_search = web_search + 1 where price = (select max(id) from price where list is not null)',
  ],
  ['price_follows_from_list_price', 'price_tier', 'delete from price_tier where price = (select max(list) from price)'],
  ['charge_is_what_was_told', 'generation', 'update generation set charge_told = charge_told + 1 where state = 1'],
  ['batches_are_gapless', 'batch', 'update batch set lo = lo + 1 where lo > 0'],
  ['cursor_is_last_batch', 'stream', 'update stream set last_seq = last_seq + 1'],
  ['batch_chain', 'batch', `update batch set root = sha256('x') where lo = 0`],
  ['period_is_sum_of_generations', 'meter_period', 'update meter_period set requests = requests + 1'],
  ['period_is_sum_of_generations', 'meter_period', 'update meter_period set byok_spent = byok_spent + 1'],
  ['purchase_is_credited_once', 'transfer', `update transfer set amount = amount + 1 where code = 'purchase'`],
  ['purchase_is_credited_once', 'purchase', `update purchase set state = 'pending', credited_cents = 0 where state = 'paid'`],
  ['credit_line_is_kept', 'account', `insert into account (org, kind, debits, line) select max(org), 4, 5, 1 from account ${ALSO_IF_THERE}`],
  [
    'line_lease_is_owed',
    'account',
    `insert into account (org, kind, cell, credits, line)
     select max(org), 3, 9, 5, null::bigint from account union all select max(org), 4, 0, 0, 100 from account ${ALSO_IF_THERE}`,
  ],
  [
    'owner_period_is_sum_of_generations',
    'meter',
    'insert into meter (org, id, owner_kind, owner, cadence) select distinct org, 1::bigint << 60, 4, org, 0 from generation',
  ],
  ['free_requests_are_generations', 'free_requests', 'insert into free_requests select max(org), 1, 5 from account'],
  ['credit_is_a_lot', 'lot', 'update lot set amount = amount + 1'],
  ['expiry_is_the_lots', 'lot', 'update lot set expired = expired + 1'],
  ['credit_is_within_its_lots', 'lot', 'update lot set amount = 1'],
  [
    'code_is_redeemed_within_bound',
    'promo_code',
    `insert into promo_code (hash, label, amount, uses_max, uses) values (sha256('x'), 'x', 1, 1, 1)`,
  ],
  ['redemption_is_credited_once', 'transfer', `update transfer set reference = 'code 1' where code = 'promo'`],
  ['dispute_is_what_was_withdrawn', 'purchase', 'update purchase set disputed_cents = 1'],
  ['refund_is_booked_once', 'purchase_refund', refund('succeeded')],
  ['refunded_is_sum_of_refunds', 'purchase', 'update purchase set refunded_cents = 1'],
  ['refund_pending_is_its_refunds', 'purchase_refund', refund('pending')],
  [
    'payment_is_of_one_purchase',
    'purchase',
    `insert into purchase (org, id, method, amount_cents, fee_cents, charged_cents, state, payment_intent)
     select org, 'p', 'stripe', 1, 0, 1, 'open', 'pi_1' from org`,
  ],
  ['suspense_is_empty', 'suspense', `insert into suspense (cell, incarnation, seq, sqlstate, record) values (1, 1, 1, '23514', 'x')`],
  ['default_partition_is_empty', 'generation', 'update generation set day = 1'],
  ['lease_epoch_is_known', 'cell', 'update cell set epoch = 0'],
  ['lease_is_of_its_epoch', 'lease', 'update lease set epoch = epoch - 1, granted = granted + 1 where meter = 0'],
];

test('every rule of the audit has a case here', () => {
  const text = readFileSync(path.join(ROOT, 'schema/audit.sql'), 'utf8');
  const named = new Set(Array.from(text.matchAll(/^select '(\w+)'/gm), (match) => match[1]));
  const tried = new Set([...rules.map(([rule]) => rule), 'posted_rows_are_final']);
  assert.deepEqual([...named].filter((rule) => !tried.has(rule)), []);
});

for (const [rule, table, change] of rules) {
  test(`the audit names ${rule}: ${change.slice(0, 70)}`, async () => {
    await whileChanged(table, change, async () => {
      const { code, stdout } = await command('audit');
      assert.equal(code, 1, stdout);
      const names = stdout.split('\n').map((line) => line.split(':')[0]);
      assert.ok(names.includes(rule), stdout);
    });
  });
}

test('with --json the audit is JSON alone, whatever it finds', async () => {
  const clean = await command('audit', '--json');
  assert.equal(clean.stdout, '{"violations":0,"data":[]}\n');
  assert.equal(clean.code, 0);
  await whileChanged('cell', 'update cell set epoch = 0', async () => {
    const { code, stdout } = await command('audit', '--json');
    assert.equal(code, 1, stdout);
    const { violations, data } = JSON.parse(stdout);
    assert.equal(violations, data.length);
    const found = data.filter(({ rule }) => rule === 'lease_epoch_is_known');
    assert.ok(found.length > 0, stdout);
    for (const row of found) assert.deepEqual(Object.keys(row), ['rule', 'detail']);
  });
});

for (const table of GUARDED) {
  test(`the audit says when the guard of ${table} is off`, async () => {
    await owner.query(`alter table ${table} disable trigger ${table}_is_final`);
    const { code, stdout } = await command('audit');
    await owner.query(`alter table ${table} enable trigger ${table}_is_final`);
    assert.equal(code, 1);
    assert.match(stdout, new RegExp(`^posted_rows_are_final: trigger ${table}_is_final is disabled$`, 'm'));
  });
}

// ---- bourse ledger verify

test('verify finds nothing in books that are right, and says what it looked at', async () => {
  const { code, stdout, stderr } = await command('ledger', 'verify');
  assert.equal(stderr, '');
  assert.match(stdout, /^verify: 6 generations, \d+ batches, \d+ transfers, \d+ accounts, 0 differences$/m);
  assert.equal(code, 0);
  const counts = JSON.parse((await command('ledger', 'verify', '--json')).stdout);
  assert.deepEqual(counts.found, []);
  assert.equal(counts.generations, 6);
  assert.equal(counts.differences, 0);
  for (const [table, name] of [['transfer', 'transfers'], ['account', 'accounts'], ['batch', 'batches']])
    assert.equal(BigInt(counts[name]), await bourse.sqlValue(`select count(*) from ${table}`), table);
});

// table, change, what verify has to say
const differences = [
  ['generation', 'update generation set title = title || chr(120) where hold = 1', /^batch 1\/\d+\/0: its rows are not those that were posted/m],
  ['generation', `update generation set attempts = set_byte(attempts, 0, get_byte(attempts, 0) # 1) where hold = 1`, /^batch 1\/\d+\/0: its rows are not/m],
  ['generation', 'update generation set total_ms = total_ms + 1 where hold = 2', /^batch 1\/\d+\/\d+: its rows are not/m],
  ['generation', 'update generation set charge = charge + 1 where hold = 1', /^hold 1\/\d+\/1 part 0: charges (\d+) nano-dollars, its usage and price make (?!\1)\d+$/m],
  ['generation', 'update generation set completion = completion + 1 where hold = 1', /^hold 1\/\d+\/1 part 0: charges/m],
  ['generation', 'update generation set price = 999999 where hold = 1', /^hold 1\/\d+\/1 part 0: there is no price 999999$/m],
  ['generation', 'update generation set provider_cost = 7 where hold = 1', /^hold 1\/\d+\/1 part 0: owes the provider 7 nano-dollars/m],
  [
    'generation',
    'update generation set provider_cost = charge where charge > provider_cost and byok_unit = 0',
    /^hold 1\/\d+\/\d+ part 0: owes the provider 13200 nano-dollars, its usage and price make 6600$/m, // 4 · 150 + 10 · 600, twice
  ],
  [
    'price_tier',
    'update price_tier set completion = completion + 1 where price = (select max(id) from price where list is not null)',
    /^price \d+: is not list price \d+ with a margin of 10000 basis points$/m,
  ],
  ['generation', 'update generation set charge_told = 0 where hold = 1', /^hold 1\/\d+\/1 part 0: the client was told 0/m],
  ['generation', 'update generation set charge = charge + 1 where byok_unit = 1 and charge > 0', /^hold 1\/\d+\/\d+ part 0: charges 1051 nano-dollars, the fee on its list price is 1050$/m],
  ['generation', 'update generation set byok_units = 0 where byok_units = 1', /^hold 1\/\d+\/\d+ part 0: charges 0 nano-dollars, the fee on its list price is 1050$/m],
  ['generation', 'update generation set byok_list = 20000 where byok_unit = 1', /^hold 1\/\d+\/\d+ part 0: has a list price of 20000 nano-dollars, its usage and price make 21000$/m],
  ['generation', 'update generation set byok_units = 2 where byok_units = 1', /^hold 1\/\d+\/\d+ part 0: took 2 units of an allowance of kind 1$/m],
  ['generation', 'update generation set byok_list = 5 where hold = 1', /^hold 1\/\d+\/1 part 0: took 0 units of an allowance of kind 0$/m],
  ['generation', 'update generation set byok_fee_basis_points = 600 where byok_units = 1', /^batch 1\/\d+\/\d+: its rows are not those that were posted/m],
  ['generation', 'update generation set provider_cost = 7 where byok_units = 1', /^hold 1\/\d+\/\d+ part 0: owes the provider 7 nano-dollars for the customer's own key$/m],
  ['transfer', `update transfer set amount = amount + 1 where code = 'byok_fee'`, /^batch 1\/\d+\/\d+: its rows charge \d+ nano-dollars, its transfers moved \d+$/m],
  ['generation', 'delete from generation where hold = 1', /^batch 1\/\d+\/0: says 1 rows of \d+ nano-dollars, has 0 of 0$/m],
  ['generation', 'update generation set seq = seq + 1000 where hold = 1', /^generation: 1 rows lie outside of every batch$/m],
  ['generation', 'update generation set batch_lo = 77 where hold = 1', /^hold 1\/\d+\/1 part 0: names batch 77/m],
  ['batch', 'update batch set root = set_byte(root, 0, get_byte(root, 0) # 1) where lo = 0', /^batch 1\/\d+\/0: its link is not the hash/m],
  ['batch', 'update batch set link = set_byte(link, 31, get_byte(link, 31) # 128) where lo = 0', /^batch 1\/\d+\/0: its link is not the hash/m],
  ['batch', 'update batch set lo = lo + 1 where lo > 0', /^batch 1\/\d+\/\d+: does not follow record \d+$/m],
  ['stream', 'update stream set last_seq = last_seq + 1', /^stream 1\/\d+: stands at record \d+, its last batch ends at \d+$/m],
  ['transfer', `update transfer set amount = amount + 1 where code = 'settle'`, /^batch 1\/\d+\/\d+: its rows charge \d+ nano-dollars, its transfers moved \d+$/m],
  ['transfer', `update transfer set amount = amount + 1 where code = 'provider_cost'`, /^batch 1\/\d+\/\d+: its rows owe providers/m],
  ['transfer', `update transfer set reference = 'batch 1/1/987654' where code = 'settle'`, /^transfer \d+\/\d+: names a batch that does not exist$/m],
  ['transfer', `update transfer set amount = 0 where code = 'promo'`, /^transfer \d+\/\d+: moves 0 nano-dollars$/m],
  ['account', 'update account set credits = credits + 1 where kind = 112', /^account 0\/112\/1\/0: has debits 0 and credits \d+, its transfers make 0 and \d+$/m],
  ['account', 'update account set debits = debits + 1 where kind = 2', /^account \d+\/2\/0\/0: has debits \d+/m],
  ['account', 'insert into account (org, kind, debits, credits) values (12345, 1, 0, 5)', /^account 12345\/1\/0\/0: has debits 0 and credits 5, its transfers make 0 and 0$/m],
  ['account', 'delete from account where kind = 111', /^account 0\/111\/1\/0: has debits 0 and credits 0, its transfers make 0 and 2180000000$/m], // $25 of the demo: 1.38, $5: 0.80
];
for (const [table, change, expected] of differences) {
  test(`verify names what differs: ${change.slice(0, 70)}`, async () => {
    await whileChanged(table, change, async () => {
      const { code, stdout } = await command('ledger', 'verify');
      assert.match(stdout, expected);
      assert.equal(code, 1);
      const { found, differences: count } = JSON.parse((await command('ledger', 'verify', '--json')).stdout);
      assert.equal(found.length, count);
      assert.ok(found.some(({ where, what }) => expected.test(`${where}: ${what}`)));
    });
  });
}

test('verify explains itself, and refuses words it does not know', async () => {
  const help = await command('ledger', 'verify', '--help');
  assert.equal(help.code, 0);
  assert.match(help.stdout, /bourse ledger verify/);
  const unknown = await command('ledger', 'verify', '--fast');
  assert.equal(unknown.code, 2);
  assert.match(unknown.stderr, /does not know --fast/);
});

// ---- by a timer

test('the usage service audits by itself: nothing while the books are right, a number and a line each when they are not', async () => {
  const audited = async (violations) => {
    const metrics = await bourse.metrics('usage');
    assert.equal(metrics.audit_violations, violations);
    assert.ok(metrics.audit_age_seconds <= 2, String(metrics.audit_age_seconds));
    assert.match(bourse.log('usage'), /event=audited violations=0 /);
  };
  await eventually(() => audited(0));
  assert.doesNotMatch(bourse.log('usage').slice(-200), /audit_violation/);
  // Two rows: one by each of two rules, because a debit without a credit is no fold either.
  await whileChanged('account', 'update account set credits = credits + 3 where kind = 112', async () => {
    await eventually(() => audited(2));
    assert.match(bourse.log('usage'), /event=audit_violation rule=debits_equal_credits detail="debits \d+, credits \d+"/);
    assert.match(bourse.log('usage'), /event=audit_violation rule=account_is_fold_of_transfers detail="account 0\/112\/1\/0/);
  });
  await eventually(() => audited(0));
});

test('an audit that hangs holds up neither requests, nor posting, nor the making of partitions; its age tells', async () => {
  const { key, management } = await bourse.makeCustomer({ credit: '1' });
  const days = await bourse.sqlValue(`select array_agg(relname::text order by relname) from pg_class where relname ~ '^generation_\\d+$'`);
  await owner.query(`drop table ${days.at(-1)}`);
  const reader = await bourse.database.connect(); // as an audit reads: one snapshot, locks until it ends
  await reader.query('begin isolation level repeatable read read only');
  await reader.query('select count(*) from generation');
  const lock = await owner.connect(); // and the audit of the timer waits here
  await lock.query('begin; lock table suspense in access exclusive mode');
  try {
    const began = Date.now();
    await lock.query('savepoint made');
    await lock.query('select generation_partitions_ensure()');
    assert.ok(Date.now() - began < 2000);
    await lock.query('rollback to made');
    for (let i = 0; i < 5; i++)
      assert.equal((await bourse.api.chat(key, { model: MODEL, messages: user('sim:tokens=10') })).status, 200);
    await bourse.quiet(); // posted
    assert.ok(Number((await bourse.api.get('/credits', { key: management })).json.data.total_usage) > 0);
    await eventually(async () => assert.ok((await bourse.metrics('usage')).audit_age_seconds >= 3), { deadline_ms: 15_000 });
  } finally {
    await reader.query('rollback');
    reader.release();
    await lock.query('rollback');
    lock.release();
  }
  await owner.query('select generation_partitions_ensure()');
  await eventually(async () => assert.ok((await bourse.metrics('usage')).audit_age_seconds <= 2), { deadline_ms: 15_000 });
});
