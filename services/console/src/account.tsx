// SPDX-License-Identifier: Apache-2.0
// The account of whoever has a management key: its credit, its purchases and their refunds, its API keys.
import { credits, failure, managementKey, readAccount, reading, setManagementKey } from './account_state';
import { Keys } from './keys';
import { dollars } from './money';
import { Purchases } from './purchases';
import { RefundDialog } from './refund';
import { isBackFromPaying } from './state';

function Ask() {
  function submit(event: Event): void {
    event.preventDefault();
    void readAccount();
  }
  return (
    <section aria-labelledby="account">
      <h2 id="account">Account</h2>
      {isBackFromPaying && credits.value === null && (
        <p>Welcome back from paying. Show your account to see the purchase and its credit.</p>
      )}
      <form onSubmit={submit}>
        <label class="wide">
          Management key
          <input type="password" autocomplete="off" placeholder="sk-bourse-v1-…" required aria-describedby="management"
            value={managementKey.value} onInput={(event) => setManagementKey(event.currentTarget.value)} />
        </label>
        <button class="primary" disabled={reading.value}>
          {reading.value ? 'Asking…' : credits.value === null ? 'Show account' : 'Read again'}
        </button>
      </form>
      <p id="management" class="hint">
        The operator of this instance makes management keys (<code>bourse key create --management</code>). The key stays in this
        page’s memory and is gone when you leave it.
      </p>
      <div aria-live="polite">{failure.value !== '' && <p class="notice error">{failure.value}</p>}</div>
    </section>
  );
}

function Balance() {
  if (credits.value === null) return null;
  const { total_credits: bought, total_usage: used, balance, held } = credits.value;
  const rows: [string, string][] = [
    ['Credited in all', dollars(bought)],
    ['Used', dollars(used)],
    ['Left', dollars(balance)],
    ['Held by running requests', held === null ? 'not known right now' : dollars(held)],
  ];
  return (
    <section aria-labelledby="credits">
      <h2 id="credits">Credits</h2>
      <dl class="bill">{rows.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>
    </section>
  );
}

export function Account() {
  return (
    <>
      <Ask />
      <Balance />
      <Purchases />
      <Keys />
      <RefundDialog />
    </>
  );
}
