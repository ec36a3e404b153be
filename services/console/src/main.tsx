// SPDX-License-Identifier: Apache-2.0
// The page an instance shows a browser: is it up, what does it offer, how is it called, what does a call cost.
import { render } from 'preact';
import { Market } from './market';
import { Start } from './start';
import { load, problem, readiness } from './state';
import './style.css';
import { Trial } from './trial';

function Status() {
  const state = readiness.value;
  if (state === null) return <span class="status">checking…</span>;
  return <span class={`status ${state.ready ? 'good' : 'bad'}`}>{state.ready ? 'ready' : 'starting'}</span>;
}

function Page() {
  return (
    <>
      <header>
        <h1>Bourse</h1>
        <p>Every model, one key, one bill.</p>
        <Status />
      </header>
      {readiness.value?.simulated && (
        <p class="notice" role="status">
          <strong>Answers are simulated.</strong> No provider is asked and no real money is spent until an operator makes a
          provider live.
        </p>
      )}
      {problem.value !== '' && (
        <p class="notice error" role="alert">
          {problem.value} <button onClick={() => void load()}>Try again</button>
        </p>
      )}
      <main>
        <Start />
        <Trial />
        <Market />
      </main>
      <footer>Prices are in dollars per million tokens, as the provider lists them. Bourse adds nothing to them.</footer>
    </>
  );
}

const root = document.getElementById('app');
if (root !== null) render(<Page />, root);
void load();
