// SPDX-License-Identifier: Apache-2.0
// How to call this instance, ready to paste.
import { signal } from '@preact/signals';
import { chosen } from './state';

const tool = signal<'curl' | 'OpenAI' | 'OpenRouter'>('curl');
const copied = signal(false);

function snippet(): string {
  const base = `${location.origin}/api/v1`;
  const model = chosen.value;
  switch (tool.value) {
    case 'curl':
      return [
        `curl ${base}/chat/completions \\`,
        `  -H "Authorization: Bearer $BOURSE_API_KEY" -H 'Content-Type: application/json' \\`,
        `  -d '{"model": "${model}", "messages": [{"role": "user", "content": "Hello"}]}'`,
      ].join('\n');
    case 'OpenAI':
      return [
        `import OpenAI from 'openai';`,
        `const client = new OpenAI({ baseURL: '${base}', apiKey: process.env.BOURSE_API_KEY });`,
        `const answer = await client.chat.completions.create({`,
        `  model: '${model}', messages: [{ role: 'user', content: 'Hello' }],`,
        `});`,
      ].join('\n');
    case 'OpenRouter':
      return [
        `import { OpenRouter } from '@openrouter/sdk';`,
        `const client = new OpenRouter({ serverURL: '${base}', apiKey: process.env.BOURSE_API_KEY });`,
        `const answer = await client.chat.send({ chatRequest: {`,
        `  model: '${model}', messages: [{ role: 'user', content: 'Hello' }],`,
        `} });`,
      ].join('\n');
  }
}

async function copy(): Promise<void> {
  await navigator.clipboard.writeText(snippet());
  copied.value = true;
}

export function Start() {
  return (
    <section aria-labelledby="start">
      <h2 id="start">Call it</h2>
      <div class="tabs" role="group" aria-label="Client">
        {(['curl', 'OpenAI', 'OpenRouter'] as const).map((name) => (
          <button
            key={name}
            aria-pressed={tool.value === name}
            onClick={() => {
              tool.value = name;
              copied.value = false;
            }}
          >
            {name}
          </button>
        ))}
        <button class="copy" onClick={() => void copy()}>
          {copied.value ? 'Copied' : 'Copy'}
        </button>
      </div>
      <pre tabIndex={0} aria-label="Example">
        <code>{snippet()}</code>
      </pre>
    </section>
  );
}
