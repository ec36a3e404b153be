// SPDX-License-Identifier: Apache-2.0
// One call from the page, and what it cost to the last digit.
import { signal } from '@preact/signals';
import { type Trial as Answer, readText, tryModel } from './api';
import { rawNumber } from './money';
import { chosen, key } from './state';

const prompt = signal('Say hello.');
const answer = signal<Answer | null>(null);
const spent = signal('');
const failure = signal('');
const busy = signal(false);

async function send(event: Event): Promise<void> {
  event.preventDefault();
  busy.value = true;
  failure.value = '';
  answer.value = null;
  try {
    answer.value = await tryModel(key.value.trim(), chosen.value, prompt.value);
    spent.value = rawNumber(await readText(key.value.trim(), '/key'), 'usage') ?? '';
  } catch (error) {
    failure.value = error instanceof Error ? error.message : 'The call failed.';
  } finally {
    busy.value = false;
  }
}

function Bill({ raw, generation }: { raw: string; generation: string }) {
  const rows: [string, string | undefined][] = [
    ['Prompt tokens', rawNumber(raw, 'prompt_tokens')],
    ['Completion tokens', rawNumber(raw, 'completion_tokens')],
    ['Cost', `$${rawNumber(raw, 'cost') ?? '?'}`],
    ['Spent by this key', spent.value === '' ? undefined : `$${spent.value}`],
    ['Generation', generation],
  ];
  return (
    <dl class="bill">
      {rows.map(([name, value]) => value !== undefined && <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}
    </dl>
  );
}

export function Trial() {
  return (
    <section aria-labelledby="trial">
      <h2 id="trial">Try it</h2>
      <form onSubmit={(event) => void send(event)}>
        <label>
          API key
          <input type="password" autocomplete="off" placeholder="sk-bourse-v1-…" required value={key.value}
            onInput={(event) => { key.value = event.currentTarget.value; }} />
        </label>
        <label>
          Model
          <input required value={chosen.value} onInput={(event) => { chosen.value = event.currentTarget.value; }} />
        </label>
        <label class="wide">
          Prompt
          <textarea rows={2} required value={prompt.value} onInput={(event) => { prompt.value = event.currentTarget.value; }} />
        </label>
        <button class="primary" disabled={busy.value}>{busy.value ? 'Asking…' : 'Send'}</button>
      </form>
      <div aria-live="polite">
        {failure.value !== '' && <p class="notice error">{failure.value}</p>}
        {answer.value !== null && (
          <>
            <blockquote>{answer.value.text}</blockquote>
            <Bill raw={answer.value.raw} generation={answer.value.generation} />
          </>
        )}
      </div>
    </section>
  );
}
