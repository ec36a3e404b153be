// SPDX-License-Identifier: Apache-2.0
// What README.md tells a newcomer to type is typed here, letter for letter, in a directory that looks like the checkout to it: `var` is
// the instance's, `build` is the build, npm packages are found. Of the environment only PATH and HOME are there; the rest README sets.
// Not here: the two commands themselves, because the instance's own test starts and stops with them.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import test from 'node:test';
import { promisify } from 'node:util';

import { nanoOf, parseExact } from '../api.mjs';
import { BUILD, ROOT, eventually } from '../harness.mjs';
import { bourse } from './one_instance.mjs';

const run = promisify(execFile);
const TEXT = 'Every request is held, served, settled and audited once.'; // what the simulated provider says to a prompt without wishes
// "Hello" is 5 bytes: 2 tokens at $0.15 per million; the simulated provider counts the text as 12 tokens, at $0.60 per million.
const COST_NANO = 2n * 150n + 12n * 600n;
const TIME_MAX_MS = 30_000;

const SNIPPETS = Array.from(
  readFileSync(path.join(ROOT, 'README.md'), 'utf8').matchAll(/^```(\w*)\n(.*?)^```$/gms),
  ([, language, text]) => ({ language, text }),
);

/** The one snippet of this language that holds these words. */
function snippet(language, words) {
  const found = SNIPPETS.filter((one) => one.language === language && one.text.includes(words));
  assert.equal(found.length, 1, `${found.length} snippets of ${language} hold ${words}`);
  return found[0].text;
}

/** Runs a line of the shell as a newcomer's shell would after README's first lines; answers what it printed. */
async function type(line) {
  const { PATH, HOME } = process.env;
  const links = { build: BUILD, node_modules: path.join(ROOT, 'tests/integration/node_modules') };
  for (const [name, target] of Object.entries(links)) {
    const link = path.join(bourse.directory, name);
    if (!existsSync(link)) symlinkSync(target, link);
  }
  const script = `${snippet('sh', 'var/demo.env')}\n${line}`;
  const { stdout } = await run('sh', ['-e', '-c', script], {
    cwd: bourse.directory,
    env: { PATH, HOME },
    timeout: TIME_MAX_MS,
  });
  return stdout;
}

async function typeProgram(text) {
  writeFileSync(path.join(bourse.directory, 'hello.mjs'), text);
  return type('node hello.mjs');
}

/** What the demo key has spent so far, in nano-dollars. */
async function spent() {
  const { data } = (await bourse.api.get('/key', { key: bourse.demo.BOURSE_API_KEY })).exact;
  return nanoOf(data.usage);
}

test('README has no snippet that this file does not know', () => {
  const languages = SNIPPETS.map(({ language }) => language);
  // Two commands; environment, curl; two clients; a provider made live; a limit; the tree.
  assert.deepEqual(languages, ['sh', 'sh', 'sh', 'js', 'js', 'sh', 'sh', '']);
});

test('the curl line of README answers text and its cost, and the generation tells the same', async () => {
  const before = await spent();
  const answer = parseExact(await type(snippet('sh', 'chat/completions')));
  assert.equal(answer.choices[0].message.content, TEXT);
  assert.equal(nanoOf(answer.usage.cost), COST_NANO);
  assert.equal(await spent(), before + COST_NANO);
  const { data } = (await bourse.api.get(`/generation?id=${answer.id}`, { key: bourse.demo.BOURSE_API_KEY })).exact;
  assert.equal(nanoOf(data.total_cost), COST_NANO);
});

test('the limit of README is set, and what was spent before counts', async () => {
  const [, daily] = parseExact(await type(snippet('sh', '/limits'))).data;
  assert.equal(nanoOf(daily.limit), 100_000_000_000n);
  assert.equal(nanoOf(daily.limit_remaining), 100_000_000_000n - nanoOf(daily.usage));
  assert.ok(nanoOf(daily.usage) >= COST_NANO);
  const away = { key: bourse.demo.BOURSE_MANAGEMENT_KEY, body: { daily: null } };
  assert.equal((await bourse.api.request('PATCH', '/limits?owner=organization', away)).status, 200);
});

for (const client of ['openai', '@openrouter/sdk']) {
  test(`the program of README for ${client} prints text and its cost`, async () => {
    const before = await spent();
    assert.equal(await typeProgram(snippet('js', `from '${client}'`)), `${TEXT}\nIt cost $0.0000075.\n`);
    assert.equal(await spent(), before + COST_NANO);
  });
}

test("README's programs fail without what README says to set", async () => {
  const file = path.join(bourse.directory, 'hello.mjs');
  writeFileSync(file, snippet('js', "from 'openai'"));
  const { PATH, HOME } = process.env;
  await assert.rejects(run('node', [file], { env: { PATH, HOME }, timeout: TIME_MAX_MS }), /OPENAI_API_KEY/);
});

test('the line of README for a provider makes it live, and back', async () => {
  const isLive = async () => {
    const { data } = await bourse.bourse('provider', 'list');
    return data.find(({ slug }) => slug === 'openai').live;
  };
  writeFileSync(path.join(bourse.directory, 'my-openai-key.txt'), 'sk-proj-nothing\n', { mode: 0o600 });
  assert.equal(await isLive(), false);
  try {
    await type(snippet('sh', 'provider live'));
    assert.equal(await isLive(), true);
  } finally {
    await bourse.bourse('provider', 'simulated', 'openai');
    // The tests after this one must not reach the real provider.
    const { revision } = (await bourse.bourse('catalog', 'show')).data;
    await eventually(async () => assert.ok((await bourse.metrics('edge')).market_revision >= revision));
  }
  assert.equal(await isLive(), false);
});
