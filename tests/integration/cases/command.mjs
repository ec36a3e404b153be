// SPDX-License-Identifier: Apache-2.0
// The operator's command line: a list is the whole list, what it refuses is said in words that fit, and a script may repeat what
// moves money.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';

import { nanoOf } from '../api.mjs';
import { BUILD } from '../harness.mjs';
import { bourse } from './one_instance.mjs';

/** As a person sees it: {status, stdout, stderr}. */
function typed(...words) {
  return spawnSync(path.join(BUILD, 'bourse'), words, { env: bourse.environment(), encoding: 'utf8' });
}

async function makeBuyer() {
  const org = await bourse.makeOrg();
  const { key } = await bourse.makeKey(org, { management: true });
  return { org, management: key };
}

async function totalOf(org) {
  const { total_credits: total } = await bourse.bourse('credit', 'show', '--org', org);
  return total;
}

test('all keys and purchases are listed, however many pages they are', async () => {
  const { org, management } = await makeBuyer();
  const hashes = new Set();
  for (let i = 0; i < 104; i++) {
    const made = await bourse.api.post('/keys', { name: `key ${i}` }, { key: management });
    assert.equal(made.status, 201, made.text);
    hashes.add(made.json.data.hash);
  }
  const { data: keys } = await bourse.bourse('key', 'list', '--org', org);
  assert.equal(keys.length, 105); // and the one that made them
  for (const { hash } of keys.filter(({ name }) => name.startsWith('key '))) assert.ok(hashes.delete(hash));
  assert.equal(hashes.size, 0);
  assert.equal(typed('key', 'list', '--org', org).stdout.trim().split('\n').length, 1 + 105);

  for (let i = 0; i < 101; i++) {
    const headers = { 'idempotency-key': `page-${i}` };
    const bought = await bourse.api.post('/purchases', { amount: 5 }, { key: management, headers });
    assert.equal(bought.status, 201, bought.text);
  }
  const { data: purchases } = await bourse.bourse('purchase', 'list', '--org', org);
  assert.equal(new Set(purchases.map(({ id }) => id)).size, 101);
});

test('the list of organizations goes on behind the one that is named', async () => {
  await bourse.makeOrg();
  const { data: all } = await bourse.bourse('org', 'list');
  assert.ok(all.length >= 2);
  const { data: rest } = await bourse.bourse('org', 'list', '--after', all[0].id);
  assert.deepEqual(
    rest.map(({ id }) => id),
    all.slice(1).map(({ id }) => id),
  );
  const { data: none } = await bourse.bourse('org', 'list', '--after', all.at(-1).id);
  assert.deepEqual(none, []);
});

test('a list without rows is an empty one', async () => {
  const org = await bourse.makeOrg();
  assert.deepEqual(await bourse.bourse('key', 'list', '--org', org), { data: [] });
  assert.match(typed('key', 'list', '--org', org).stdout, /\(none\)/);
});

test('a grant that is repeated with its idempotency key is one grant', async () => {
  const org = await bourse.makeOrg();
  const grant = ['credit', 'grant', '--org', org, '--amount', '7', '--idempotency-key'];
  const first = await bourse.bourse(...grant, 'march');
  assert.deepEqual(await bourse.bourse(...grant, 'march'), first);
  assert.equal(await totalOf(org), 7);
  await bourse.bourse(...grant, 'april');
  assert.equal(await totalOf(org), 14);
  const other = ['credit', 'grant', '--org', org, '--amount', '8', '--idempotency-key', 'march'];
  assert.match(await bourse.bourseFails(...other), /409/);
  for (const bad of ['', 'two words', 'a\r\nx: y', 'é', 'x'.repeat(256)])
    assert.match(await bourse.bourseFails(...grant, bad), /1 to 255/);
  assert.equal(await totalOf(org), 14);
});

test('a purchase that is repeated with its idempotency key is one purchase', async () => {
  const { org, management } = await makeBuyer();
  const buy = ['credit', 'buy', '--org', org, '--amount', '10', '--idempotency-key', 'x'.repeat(255)];
  const first = await bourse.bourse(...buy);
  assert.equal((await bourse.bourse(...buy)).data.id, first.data.id);
  const { data } = (await bourse.api.get('/purchases', { key: management })).exact;
  assert.equal(data.length, 1);
  assert.equal(nanoOf(data[0].credited), 10_000_000_000n);
});

test('what is refused is named as it was typed', () => {
  const said = (...words) => {
    const { status, stderr } = typed(...words);
    assert.notEqual(status, 0);
    return stderr;
  };
  assert.match(said('org', 'create'), /needs the option --name\. /);
  assert.match(said('nonsense'), /there is no command nonsense\.$/m);
  assert.match(said('org', 'nonsense'), /there is no command org nonsense\.$/m);
  const grant = (amount) => said('credit', 'grant', '--org', 'org-1', '--amount', amount);
  assert.match(grant('99999999999'), /at most 9223372036\.854775807/);
  assert.match(grant('0.0000000001'), /at most 9 decimals/);
  assert.match(grant('many'), /must be a number of dollars/);
  const twice = said('credit', 'grant', '--org', 'org-1', '--amount', '5', '--amount=500');
  assert.match(twice, /bourse credit grant: takes only once --amount=500\. /);
  assert.match(said('key', 'create', '--management', '--management'), /takes only once --management\. /);
});

test('every value stands apart from its name, however long the name is', () => {
  const { stdout } = typed('plan', 'rates', 'pay-as-you-go');
  assert.match(stdout, /^free_requests_per_minute +20$/m); // 24 letters, and the default of docs/API.md
});

test('a report inside an answer is shown a line for each of its rows', () => {
  const map = path.join(bourse.directory, 'map.json');
  const model = { litellm_provider: 'openai', mode: 'chat', max_input_tokens: 1000, max_output_tokens: 100 };
  const priced = { ...model, input_cost_per_token: 1.5000000000000002e-7, output_cost_per_token: 6e-7 };
  const free = { ...model, input_cost_per_token: 0, output_cost_per_token: 0 };
  writeFileSync(map, JSON.stringify({ 'gpt-rounded': priced, 'gpt-zero': free }));
  const { stdout } = typed('catalog', 'import', map, '--source-date', '2026-07-24', '--dry-run');
  assert.match(stdout, /^dropped_total +2$/m);
  assert.match(stdout, /^dropped\n( {2}gpt-(rounded|zero) {2}\S.*\n){2}$/m);
});

const aboutKeys = {
  key: ['create', 'list', 'limit', 'unlimit', 'disable', 'enable', 'rotate', 'delete'],
  member: ['create', 'list'],
  limit: ['show', 'set', 'clear'],
};

test('every command about keys, members and limits explains itself and refuses what it does not know', () => {
  for (const [noun, verbs] of Object.entries(aboutKeys)) {
    for (const verb of verbs) {
      const help = typed(noun, verb, '--help');
      assert.equal(help.status, 0);
      assert.match(help.stdout, new RegExp(`^bourse ${noun} ${verb} --org TEXT.* \\[--json\\]\n    \\S`));
      assert.match(help.stdout, /^ {4}--org +organization/m);
      const unknown = typed(noun, verb, '--org', 'org-1', '--nonsense', '1');
      assert.notEqual(unknown.status, 0);
      assert.match(unknown.stderr, new RegExp(`bourse ${noun} ${verb}: does not know --nonsense`));
      assert.match(typed(noun, verb).stderr, /needs the option --org/);
    }
    assert.equal(typed(noun, '--help').stdout.match(/^bourse /gm).length, verbs.length, `all commands of ${noun}`);
  }
});

test('a key, its member and their limits from beginning to end by the command line, for scripts and for people', async () => {
  const org = await bourse.makeOrg();
  const member = await bourse.bourse('member', 'create', '--org', org, '--name', 'Ann');
  assert.deepEqual((await bourse.bourse('member', 'list', '--org', org)).data.map(({ id }) => id), [member.id]);
  const made = await bourse.bourse('key', 'create', '--org', org, '--name', 'k', '--member', member.id, '--limit', '2');
  const of = (hash) => ['--org', org, '--hash', hash];
  assert.equal((await bourse.bourse('key', 'limit', ...of(made.hash), '--limit', '3', '--limit-reset', 'daily')).limit, 3);
  assert.equal((await bourse.bourse('key', 'unlimit', ...of(made.hash))).limit, null);
  assert.equal((await bourse.bourse('key', 'disable', ...of(made.hash))).disabled, true);
  assert.equal((await bourse.bourse('key', 'enable', ...of(made.hash))).disabled, false);

  const rotate = (...words) => bourse.bourse('key', 'rotate', ...of(made.hash), ...words);
  const first = await rotate('--overlap', '600', '--idempotency-key', 'one');
  const again = await rotate('--overlap', '600', '--idempotency-key', 'one');
  assert.notEqual(again.key, first.key);
  assert.equal((await bourse.api.get('/key', { key: made.key })).status, 200, 'the old secret has its overlap still');
  assert.equal((await bourse.api.get('/key', { key: first.key })).status, 401);
  assert.equal((await bourse.api.get('/key', { key: again.key })).status, 200);
  assert.match(await bourse.bourseFails('key', 'rotate', ...of(made.hash), '--overlap', '604801'), /overlap_seconds must be/);
  assert.match(await bourse.bourseFails('key', 'rotate', ...of(made.hash), '--overlap', 'long'), /--overlap must be a whole number/);

  const owner = ['--org', org, '--owner', `member:${member.id}`];
  assert.equal((await bourse.bourse('limit', 'set', ...owner, '--daily', '1.5')).data[1].limit, 1.5);
  assert.equal((await bourse.bourse('limit', 'show', ...owner)).data[1].limit, 1.5);
  assert.equal((await bourse.bourse('limit', 'clear', ...owner)).data[1].limit, null);
  const include = (...value) => bourse.bourse('limit', 'set', ...owner, '--include-byok', ...value);
  for (const value of [true, false]) assert.equal((await include(String(value))).data[1].include_byok_in_limit, value);
  assert.match(await bourse.bourseFails('limit', 'set', ...owner, '--include-byok', 'yes'), /--include-byok must be true or false/);
  const shown = typed('key', 'list', '--org', org).stdout.split('\n');
  assert.match(shown[0], /^hash +name .*last_used_at/);
  assert.match(shown[1], new RegExp(`^${again.hash} `));
  assert.equal((await bourse.bourse('key', 'delete', ...of(again.hash))).deleted, true);
  assert.deepEqual((await bourse.bourse('key', 'list', '--org', org)).data, []);
});
