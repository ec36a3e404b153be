// SPDX-License-Identifier: Apache-2.0
// The page an instance shows a browser: is it up, what does it offer, how is it called, what does a call cost; and the account of
// whoever has a management key.
import { render } from 'preact';
import { Account } from './account';
import { Market } from './market';
import { Start } from './start';
import { load, problem, readiness, view } from './state';
import './style.css';
import { Trial } from './trial';

function Status() {
  const state = readiness.value;
  if (state === null) return <span class="status">checking…</span>;
  return <span class={`status ${state.ready ? 'good' : 'bad'}`}>{state.ready ? 'ready' : 'starting'}</span>;
}

const prices = 'Prices are in dollars per million tokens: the provider’s list price and whatever the operator adds to it.';

function Views() {
  return (
    <nav aria-label="Pages">
      <a href="#market" aria-current={view.value === 'market' ? 'page' : undefined}>Market</a>
      <a href="#account" aria-current={view.value === 'account' ? 'page' : undefined}>Account</a>
    </nav>
  );
}

function MarketPage() {
  return (
    <>
      <Start />
      <Trial />
      <Market />
    </>
  );
}

function Page() {
  return (
    <>
      <header>
        <h1>Bourse</h1>
        <p>Every model, one key, one bill.</p>
        <Views />
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
      <main>{view.value === 'account' ? <Account /> : <MarketPage />}</main>
      <footer>{view.value === 'account' ? 'Amounts are US dollars, exact to the nano-dollar.' : prices}</footer>
    </>
  );
}

const root = document.getElementById('app');
if (root !== null) render(<Page />, root);
void load();
