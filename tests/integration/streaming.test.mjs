// SPDX-License-Identifier: Apache-2.0
// What a stream looks like on the wire, whatever the provider's looked like: clients of three protocols' libraries break on nulls,
// missing roles and chunks that split where they should not. The provider here is a scripted one, so that every byte is ours.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import test, { after } from 'node:test';

import { COMPLETION_NANO, MODEL, PROMPT_NANO, nanoOf, user } from './api.mjs';
import { eventually, startInstance } from './harness.mjs';
import { ScriptedProvider, chunk, completion, delta, events, finish, text, usage } from './scripted_provider.mjs';

const provider = await new ScriptedProvider().listen();
let key;
const bourse = startInstance({
  setup: async (instance) => {
    ({ key } = await instance.makeCustomer({ credit: '10' }));
    const file = path.join(instance.directory, 'openai.key');
    writeFileSync(file, 'sk-real', { mode: 0o600 });
    await instance.bourse(
      'provider',
      'live',
      'openai',
      '--key-file',
      file,
      '--base-url',
      `http://127.0.0.1:${provider.port}/v1`,
    );
    await eventually(async () => {
      const answer = await instance.api.chat(key, request);
      assert.equal(answer.headers['x-bourse-simulated'], undefined);
    });
  },
});
after(() => provider.close());

const request = { model: MODEL, messages: user('Hello'), max_tokens: 1000 };
const COST = 7n * PROMPT_NANO + 3n * COMPLETION_NANO; // of the scripted provider's usual figures

async function streamOf(answer, body = {}) {
  provider.answer = answer;
  const stream = await bourse.api.stream(key, { ...request, ...body });
  provider.answer = completion;
  assert.equal(stream.status, 200, stream.text);
  return stream;
}

/** Every place where a chunk holds null, as a path. */
function nulls(value, place = '') {
  if (value === null) return [place];
  if (typeof value !== 'object') return [];
  return Object.entries(value).flatMap(([name, inner]) =>
    nulls(inner, Array.isArray(value) ? `${place}[]` : `${place}.${name}`),
  );
}

function assertWellFormed(stream) {
  assert.match(stream.headers['content-type'], /^text\/event-stream/);
  assert.match(stream.generation, /^gen-[0-9a-z]{26}$/);
  assert.ok(stream.text.endsWith('data: [DONE]\n\n'));
  assert.equal(stream.text.match(/\[DONE\]/g).length, 1);
  for (const line of stream.text.split('\n')) assert.match(line, /^(data: [^]*|: [^]*|)$/);
  for (const each of stream.chunks) {
    assert.equal(each.id, stream.generation);
    assert.equal(each.object, 'chat.completion.chunk');
    assert.equal(each.model, MODEL);
    assert.ok(Number.isInteger(each.created));
    assert.deepEqual(
      nulls(each).filter((place) => place !== '.choices[].finish_reason'),
      [],
      JSON.stringify(each),
    );
    for (const choice of each.choices) assert.ok('finish_reason' in choice && 'index' in choice && 'delta' in choice);
  }
  const seen = new Set();
  for (const choice of stream.chunks.flatMap((each) => each.choices)) {
    if (!seen.has(choice.index))
      assert.equal(choice.delta.role, 'assistant', 'the first chunk of a choice says the role');
    seen.add(choice.index);
  }
  const last = stream.chunks.at(-1);
  assert.deepEqual(last.choices, []);
  for (const name of ['prompt_tokens', 'completion_tokens', 'total_tokens'])
    assert.ok(Number.isInteger(last.usage[name]));
  assert.equal(typeof last.usage.cost, 'number');
}

test('a plain stream is well-formed, with usage in a last chunk of no choices', async () => {
  const stream = await streamOf(completion);
  assertWellFormed(stream);
  assert.deepEqual(stream.contents, ['Good ', 'morning']);
  assert.equal(stream.cost, COST);
  assert.equal(stream.chunks.filter((each) => each.usage).length, 1);
});

test('usage comes whether or not the client asked for it, and the provider is always asked', async () => {
  for (const stream_options of [undefined, null, {}, { include_usage: false }, { include_usage: true }]) {
    const stream = await streamOf(completion, { stream_options });
    assert.equal(stream.cost, COST);
    assert.deepEqual(JSON.parse(provider.requests.at(-1).text).stream_options, { include_usage: true });
  }
});

test('a whole answer has every field that clients require', async () => {
  const answer = await bourse.api.chat(key, request);
  const { json } = answer;
  assert.equal(json.object, 'chat.completion');
  assert.equal(json.id, answer.headers['x-generation-id']);
  assert.ok('system_fingerprint' in json);
  assert.equal(json.choices[0].message.role, 'assistant');
  assert.equal(json.choices[0].finish_reason, 'stop');
  for (const name of ['prompt_tokens', 'completion_tokens', 'total_tokens'])
    assert.ok(Number.isInteger(json.usage[name]));
  assert.ok(Number.isInteger(json.usage.prompt_tokens_details.cached_tokens));
  assert.ok(Number.isInteger(json.usage.completion_tokens_details.reasoning_tokens));
  assert.equal(typeof json.usage.cost_details.upstream_inference_prompt_cost, 'number');
  assert.deepEqual(
    nulls(json).filter((place) => !['.system_fingerprint', '.choices[].message.refusal'].includes(place)),
    [],
  );
  assert.match(answer.headers['content-type'], /^application\/json/);
});

test('only stream: true streams, whatever the Accept header says', async () => {
  const whole = await bourse.api.chat(key, request, { headers: { accept: 'text/event-stream' } });
  assert.match(whole.headers['content-type'], /^application\/json/);
  const odd = await bourse.api.chat(key, request, {
    headers: { accept: 'application/json;q=1, text/event-stream;q=0' },
  });
  assert.match(odd.headers['content-type'], /^application\/json/);
  const stream = await bourse.api.stream(key, request, { headers: { accept: 'application/json' } });
  assertWellFormed(stream);
});

// ---- odd providers

const odd = 'Grüße, 世界 😀 — "quoted" \\ \u2028 \u0000 end';
const oddStream = [
  delta({ role: 'assistant', content: '' }),
  ...Array.from(odd).map((letter) => text(letter)),
  finish(),
  usage(),
];
const cuts = {
  'byte by byte': (bytes) => Array.from(bytes, (_, i) => bytes.subarray(i, i + 1)),
  'in pieces of 7 bytes': (bytes) =>
    Array.from({ length: Math.ceil(bytes.length / 7) }, (_, i) => bytes.subarray(7 * i, 7 * i + 7)),
  'all at once': (bytes) => [bytes],
};
for (const [how, cut] of Object.entries(cuts)) {
  test(`text of many scripts arrives whole when the provider sends ${how}`, async () => {
    const stream = await streamOf(events(oddStream, { cut }));
    assertWellFormed(stream);
    assert.equal(stream.contents.join(''), odd);
  });
}

const shapes = {
  'CRLF line ends': events(oddStream, { line: '\r\n', end: 'data: [DONE]\r\n\r\n' }),
  'CR line ends': events(oddStream, { line: '\r', end: 'data: [DONE]\r\r' }),
  'CRLF cut byte by byte': events(oddStream, { line: '\r\n', end: 'data: [DONE]\r\n\r\n', cut: cuts['byte by byte'] }),
  'comments and event names': events(oddStream, { before: ': hello\n\nevent: message\nid: 7\nretry: 10\n\n: again\n' }),
  'a byte order mark': events(oddStream, { before: '\ufeff' }),
  'no blank behind data:': (_, response) => {
    response.setHeader('content-type', 'text/event-stream');
    response.end(
      [...oddStream.map((each) => JSON.stringify(each)), '[DONE]'].map((data) => `data:${data}\n\n`).join(''),
    );
  },
  'data over two lines': (_, response) => {
    response.setHeader('content-type', 'text/event-stream');
    response.end(
      [...oddStream.map((each) => JSON.stringify(each, null, 1)), '[DONE]']
        .map(
          (data) =>
            data
              .split('\n')
              .map((each) => `data: ${each}\n`)
              .join('') + '\n',
        )
        .join(''),
    );
  },
};
for (const [what, answer] of Object.entries(shapes)) {
  test(`a provider's stream with ${what} is read`, async () => {
    const stream = await streamOf(answer);
    assertWellFormed(stream);
    assert.equal(stream.contents.join(''), odd);
    assert.equal(stream.cost, COST);
  });
}

test('nulls that a provider sends do not reach the client', async () => {
  const noisy = (choice) => ({
    ...chunk([{ index: 0, logprobs: null, finish_reason: null, ...choice }]),
    usage: null,
    system_fingerprint: null,
    service_tier: null,
  });
  const stream = await streamOf(
    events([
      noisy({
        delta: { role: 'assistant', content: '', refusal: null, tool_calls: null, function_call: null, audio: null },
      }),
      noisy({ delta: { content: 'Good', role: null, reasoning: null, reasoning_content: null } }),
      noisy({ delta: { content: null }, finish_reason: 'stop' }),
      usage(),
    ]),
  );
  assertWellFormed(stream);
  assert.equal(stream.contents.join(''), 'Good');
});

test('chunks without choices before the answer are dropped', async () => {
  const filter = {
    id: '',
    object: '',
    created: 0,
    model: '',
    choices: [],
    prompt_filter_results: [{ prompt_index: 0 }],
  };
  const stream = await streamOf(events([filter, text('Good'), finish(), usage()]));
  assertWellFormed(stream);
});

test('the last of several usages counts', async () => {
  const figures = (prompt_tokens, completion_tokens) =>
    usage({ prompt_tokens, completion_tokens, total_tokens: prompt_tokens + completion_tokens });
  const stream = await streamOf(events([text('a'), figures(1, 1), text('b'), figures(2, 5), finish(), figures(3, 9)]));
  assertWellFormed(stream);
  assert.equal(stream.cost, 3n * PROMPT_NANO + 9n * COMPLETION_NANO);
});

test('usage in the chunk that finishes is understood', async () => {
  const last = { ...finish(), usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 } };
  const stream = await streamOf(events([text('a'), last]));
  assertWellFormed(stream);
  assert.equal(stream.cost, COST);
});

test('two choices stay apart', async () => {
  const stream = await streamOf(
    events([text('a', 0), text('b', 1), text('c', 0), text('d', 1), finish('stop', 0), finish('length', 1), usage()]),
    { n: 2 },
  );
  assertWellFormed(stream);
  const of = (index) => stream.chunks.flatMap((each) => each.choices).filter((choice) => choice.index === index);
  assert.equal(
    of(0)
      .map((choice) => choice.delta.content ?? '')
      .join(''),
    'ac',
  );
  assert.equal(
    of(1)
      .map((choice) => choice.delta.content ?? '')
      .join(''),
    'bd',
  );
  assert.deepEqual([of(0).at(-1).finish_reason, of(1).at(-1).finish_reason], ['stop', 'length']);
});

test('two parallel tool calls arrive with their ids, names and arguments', async () => {
  const call = (index, more) => delta({ tool_calls: [{ index, ...more }] });
  const stream = await streamOf(
    events([
      call(0, { id: 'call_a', type: 'function', function: { name: 'first', arguments: '' } }),
      call(0, { function: { arguments: '{"a":' } }),
      call(1, { id: 'call_b', type: 'function', function: { name: 'second', arguments: '{}' } }),
      call(0, { function: { arguments: '"é\\n"}' } }),
      finish('tool_calls'),
      usage(),
    ]),
  );
  assertWellFormed(stream);
  const calls = stream.chunks.flatMap((each) => each.choices).flatMap((choice) => choice.delta.tool_calls ?? []);
  const joined = (index) =>
    calls
      .filter((each) => each.index === index)
      .map((each) => each.function.arguments ?? '')
      .join('');
  assert.equal(joined(0), '{"a":"é\\n"}');
  assert.equal(joined(1), '{}');
  assert.deepEqual(
    calls.filter((each) => each.id).map((each) => [each.index, each.id, each.type, each.function.name]),
    [
      [0, 'call_a', 'function', 'first'],
      [1, 'call_b', 'function', 'second'],
    ],
  );
});

test('reasoning under either of its names arrives as reasoning', async () => {
  for (const name of ['reasoning', 'reasoning_content']) {
    const stream = await streamOf(events([delta({ [name]: 'Let me think' }), text('Good'), finish(), usage()]));
    assertWellFormed(stream);
    assert.equal(stream.chunks.map((each) => each.choices[0]?.delta.reasoning ?? '').join(''), 'Let me think');
    assert.equal(stream.contents.join(''), 'Good');
  }
});

test('an end without the end mark is an error, never a silent close', async () => {
  for (const end of ['', 'data: [DON', ': bye\n\n']) {
    const stream = await streamOf(events([text('a'), text('b')], { end }));
    assert.ok(stream.errorChunk, JSON.stringify(end));
    assert.ok(stream.isDone);
    assert.equal(stream.usageChunk, undefined);
  }
});

test('a stream with the media type of a plain body is no stream', async () => {
  provider.answer = (_, response) => {
    response.setHeader('content-type', 'application/json');
    response.end('{"id":"x","object":"chat.completion","choices":[]}');
  };
  const answer = await bourse.api.chat(key, { ...request, stream: true });
  provider.answer = completion;
  assert.equal(answer.status, 502, answer.text);
});

// ---- whole answers of odd providers

const whole = (more = {}, message = { role: 'assistant', content: 'Good morning' }) => ({
  id: 'chatcmpl-real',
  object: 'chat.completion',
  created: 1,
  model: 'x',
  choices: [{ index: 0, message, finish_reason: 'stop' }],
  usage: { prompt_tokens: 7, completion_tokens: 3, total_tokens: 10 },
  ...more,
});

async function answerTo(answer, body = {}) {
  provider.answer = answer;
  const got = await bourse.api.chat(key, { ...request, ...body });
  provider.answer = completion;
  return got;
}

const json =
  (bytes, headers = {}) =>
  (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json', ...headers });
    response.end(bytes);
  };

test('answers that their provider names all alike, or not at all, have ids of ours and are billed one by one', async () => {
  const ids = new Set();
  for (const name of ['chatcmpl-same', 'chatcmpl-same', '', '', undefined, undefined]) {
    const got = await answerTo(json(JSON.stringify(whole({ id: name }))));
    assert.equal(got.status, 200, got.text);
    ids.add(got.json.id);
  }
  await bourse.quiet();
  assert.equal(ids.size, 6);
  for (const id of ids) assert.equal((await bourse.generationRow(id)).charge, 7n * PROMPT_NANO + 3n * COMPLETION_NANO, id);
});

const fine = {
  'blanks before the JSON, as sent to keep a connection': json(`${' \n'.repeat(500)}${JSON.stringify(whole())}\n`),
  'a head of the status 103 before the real one': (_, response) =>
    response.writeEarlyHints({ link: '</x>; rel=preload' }, () => json(JSON.stringify(whole()))(_, response)),
  'a body in chunks of one byte': (_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    for (const letter of JSON.stringify(whole())) response.write(letter);
    response.end();
  },
  'many headers': json(
    JSON.stringify(whole()),
    Object.fromEntries(Array.from({ length: 60 }, (_, i) => [`x-header-${i}`, 'x'.repeat(100)])),
  ),
  'fields nobody knows': json(
    JSON.stringify(whole({ x: [1, { y: null }], service_tier: null, system_fingerprint: 'fp' })),
  ),
  'no role': json(JSON.stringify(whole({}, { content: 'Good morning' }))),
  'another media type of JSON': json(JSON.stringify(whole()), { 'content-type': 'application/json; charset=utf-8' }),
};
for (const [what, answer] of Object.entries(fine)) {
  test(`a whole answer with ${what} is understood`, async () => {
    const got = await answerTo(answer);
    assert.equal(got.status, 200, got.text);
    assert.equal(got.json.choices[0].message.content, 'Good morning');
    assert.equal(got.json.choices[0].message.role, 'assistant');
    assert.equal(nanoOf(got.exact.usage.cost), COST);
  });
}

const broken = {
  'status 204': (_, response) => response.writeHead(204).end(),
  'an empty body': json(''),
  null: json('null'),
  'an array': json('[]'),
  'no choices': json(JSON.stringify(whole({ choices: undefined }))),
  'choices that are no array': json(JSON.stringify(whole({ choices: {} }))),
  'an error under status 200': json('{"error":{"message":"no"}}'),
  'a body of another length than it says': json(JSON.stringify(whole()), { 'content-length': 2000 }),
  'text that is no UTF-8': json(Buffer.from(JSON.stringify(whole()).replace('Good', 'G\xf6\xf6d'), 'latin1')),
  'no HTTP at all': (incoming) => incoming.socket.end('SSH-2.0-OpenSSH_9.2\r\n'),
  'two bodies': json(JSON.stringify(whole()).repeat(2)),
};
for (const [what, answer] of Object.entries(broken)) {
  for (const stream of [false, true]) {
    test(`a provider that answers ${what} gives 502, free of charge (${stream ? 'streamed' : 'not streamed'})`, async () => {
      const before = nanoOf((await bourse.api.get('/key', { key })).exact.data.usage);
      const ends = (incoming, response) => {
        answer(incoming, response);
        // A body that promises more than comes: the connection ends.
        if (what.includes('length')) setImmediate(() => incoming.socket.end());
      };
      const got = await answerTo(ends, { stream });
      assert.equal(got.status, 502, got.text);
      assert.equal(nanoOf((await bourse.api.get('/key', { key })).exact.data.usage), before);
    });
  }
}

test('a provider that claims more than was held for is billed by the estimate, within the hold', async () => {
  const claim = { prompt_tokens: 7, completion_tokens: 5000, total_tokens: 5007 };
  const got = await answerTo(json(JSON.stringify(whole({ usage: claim }))), { max_tokens: 100 });
  assert.equal(got.status, 200, got.text);
  // "Hello" is 2 tokens by the estimate, "Good morning" 3.
  assert.equal(nanoOf(got.exact.usage.cost), 2n * PROMPT_NANO + 3n * COMPLETION_NANO);
  const long = await answerTo(
    json(JSON.stringify(whole({ usage: claim }, { role: 'assistant', content: 'x'.repeat(20_000) }))),
    { max_tokens: 100 },
  );
  assert.equal(
    nanoOf(long.exact.usage.cost),
    2n * PROMPT_NANO + 100n * COMPLETION_NANO,
    'never more tokens than were asked for',
  );
  // As long as a stream of 100 tokens may be: 16,896 bytes.
  const stream = await streamOf(events([text('x'.repeat(16_896)), finish(), usage(claim)]), { max_tokens: 100 });
  assert.equal(stream.cost, 2n * PROMPT_NANO + 100n * COMPLETION_NANO);
});

test('a stream that is one byte longer than its tokens could be ends with an error and costs nothing', async () => {
  const stream = await streamOf(events([text('x'.repeat(16_896)), text('y'), finish(), usage()]), { max_tokens: 100 });
  assert.ok(stream.isDone);
  assert.match(stream.errorChunk.error.message, /far beyond/);
  assert.equal(stream.contents.join(''), `${'x'.repeat(16_896)}y`);
  await bourse.quiet();
  assert.equal((await bourse.generationRow(stream.generation)).charge, 0n);
});

test('one chunk of five megabytes arrives whole or ends the stream with an error, and is never cut', async () => {
  const letters = 'x'.repeat(5_000_000);
  const stream = await streamOf(events([text('a'), text(letters), finish(), usage()]));
  assert.ok(stream.isDone);
  if (!stream.errorChunk) assert.equal(stream.contents.join(''), `a${letters}`);
});

// ---- in order and in time

test('each chunk is passed on when it comes, not when the answer is complete', async () => {
  let release;
  const held = new Promise((resolve) => (release = resolve));
  provider.answer = async (_, response) => {
    response.setHeader('content-type', 'text/event-stream');
    response.write(`data: ${JSON.stringify(text('first'))}\n\n`);
    await held;
    response.end(
      [text('second'), finish(), usage()].map((each) => `data: ${JSON.stringify(each)}\n\n`).join('') +
        'data: [DONE]\n\n',
    );
  };
  const stream = await bourse.api.openStream(key, request);
  await stream.readContent(1);
  assert.deepEqual(stream.contents, ['first']);
  release();
  await stream.readAll();
  provider.answer = completion;
  assert.deepEqual(stream.contents, ['first', 'second']);
  assert.ok(stream.isDone);
});

test('a client that does not read stops the provider, and gets everything when it reads on', async () => {
  const pieces = 7000,
    letters = 'x'.repeat(9000); // 63 MB, far beyond what the kernel keeps for the sockets on the way
  // Not as text, of which 1000 tokens cannot have that much.
  const chunk = text('x');
  chunk.choices[0].delta.annotations = [letters];
  let written = 0;
  provider.answer = async (_, response) => {
    response.setHeader('content-type', 'text/event-stream');
    for (; written < pieces; written++) {
      if (!response.write(`data: ${JSON.stringify(chunk)}\n\n`))
        await new Promise((resolve) => response.once('drain', resolve));
    }
    response.end([finish(), usage()].map((each) => `data: ${JSON.stringify(each)}\n\n`).join('') + 'data: [DONE]\n\n');
  };
  const memory = bourse.memoryOf('edge');
  const pauses = (await bourse.metrics('edge')).upstream_pauses_total;
  const stream = await bourse.api.openStream(key, request);
  await eventually(async () => assert.ok((await bourse.metrics('edge')).upstream_pauses_total > pauses));
  let last = -1;
  await eventually(
    () => {
      const before = last;
      last = written;
      assert.equal(written, before, 'the provider still writes');
    },
    { every_ms: 300 },
  );
  assert.ok(written < pieces / 2, `${written} of ${pieces} chunks were taken from the provider`);
  // A build with sanitizers keeps what was freed.
  if (!process.env.SAN) assert.ok(bourse.memoryOf('edge') - memory < 16 << 20, 'the answer piles up in the edge');
  let bytes = 0,
    tail = '';
  for await (const piece of stream.answer) {
    bytes += piece.length;
    tail = (tail + piece.toString('latin1')).slice(-4000);
  }
  provider.answer = completion;
  assert.ok(bytes > pieces * letters.length);
  assert.ok(tail.endsWith('data: [DONE]\n\n'));
  assert.match(tail, /"cost":/);
});

test('a client that leaves after the provider said what it used pays that, and not an estimate', async () => {
  // All in one piece: when the client has seen the finish, the edge has seen the usage. The end mark never comes.
  const piece = [text('x'.repeat(400)), finish(), usage()].map((each) => `data: ${JSON.stringify(each)}\n\n`).join('');
  let gone;
  const left = new Promise((resolve) => (gone = resolve));
  provider.answer = (_, response) => {
    response.setHeader('content-type', 'text/event-stream');
    response.write(piece);
    response.on('close', gone);
  };
  const stream = await bourse.api.openStream(key, request);
  await stream.read(({ chunks }) => chunks.some((each) => each.choices[0]?.finish_reason));
  stream.leave();
  await left;
  provider.answer = completion;
  await bourse.quiet();
  const row = await bourse.generationRow(stream.generation);
  assert.equal(row.flags, 1 | 2); // streamed, cancelled, and not estimated
  assert.equal(row.charge, COST);
});

test('amounts on the wire are plain decimals', async () => {
  const stream = await streamOf(
    events([text('a'), finish(), usage({ prompt_tokens: 1, completion_tokens: 0, total_tokens: 1 })]),
  );
  assert.match(stream.text, /"cost":0\.00000015,/);
  assert.equal(stream.cost, nanoOf('0.00000015'));
});
