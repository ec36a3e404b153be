// SPDX-License-Identifier: Apache-2.0
// Giving a purchase back: said in words, asked once, done once. An intent is one opening of the question; clicks and repeats within
// it carry one Idempotency-Key and the amount that was said, so that nothing else can happen than what was agreed to.
import { signal } from '@preact/signals';
import { ApiError } from './api';
import { type Purchase, type Refund, newIntent, refundPurchase } from './account_api';
import { managementKey, readAccount, sentence } from './account_state';
import { dollars } from './money';
import { timeText } from './time';

const asked = signal<{ purchase: Purchase; intent: string } | null>(null);
const busy = signal(false);
const made = signal<Refund | null>(null);
const failure = signal('');
const refused = signal(false); // by the server, for good: only another intent can succeed

let dialog: HTMLDialogElement | null = null;
let leave: HTMLButtonElement | null = null;

function open(element: HTMLDialogElement | null): void {
  dialog = element;
  if (element !== null && !element.open) element.showModal();
}

export function askForRefund(purchase: Purchase): void {
  made.value = null;
  failure.value = '';
  refused.value = false;
  asked.value = { purchase, intent: newIntent() };
}

/** The browser gives the focus back to the button that opened the dialog, which a refund may have taken away. It says later that the
 *  dialog is closed, when the next question may have been asked already. */
function closed(intent: string): void {
  if (asked.value?.intent === intent) asked.value = null;
  requestAnimationFrame(() => {
    if (document.activeElement === document.body) document.getElementById('purchases')?.focus();
  });
}

async function refund(): Promise<void> {
  const what = asked.value;
  if (what === null || busy.value || made.value !== null) return;
  busy.value = true;
  failure.value = '';
  try {
    const refund = await refundPurchase(managementKey.value.trim(), what.purchase.id, what.purchase.refundable, what.intent);
    await readAccount();
    made.value = refund;
  } catch (error) {
    const isRefused = error instanceof ApiError && error.status < 500;
    if (isRefused) await readAccount();
    refused.value = isRefused;
    failure.value = sentence(error, 'No answer came, so it is not known whether it was done. Try again: it is given back once at most.');
  }
  busy.value = false;
  leave?.focus(); // the other button may go
}

const outcomes: Record<string, string> = {
  succeeded: 'was given back.',
  pending: 'is on its way back. The purchase shows it as given back once that is certain.',
  unknown: 'is to be given back. The payment processor has not answered yet; it is asked again, and the purchase shows what came of it.',
  failed: 'could not be given back. It is in your credit again.',
};

/** A manual purchase was paid by hand, and so is its refund. */
const isManual = (purchase: Purchase) => purchase.payment_method === 'manual';

function outcome(purchase: Purchase, status: string): string {
  if (isManual(purchase) && status === 'pending')
    return 'waits for the operator, who pays it back by hand. The purchase shows it as given back once he says that he has paid.';
  return outcomes[status] ?? `: ${status}`;
}

function Terms({ purchase }: { purchase: Purchase }) {
  return (
    <ul>
      <li><strong>{dollars(purchase.refundable)}</strong> of credit goes back the way it was paid.</li>
      <li>The fee of {dollars(purchase.fee)} is kept.</li>
      <li>
        {isManual(purchase) ? 'You cannot undo it' : 'It is final'}: the credit is gone at once. An automatic top-up is turned off.
      </li>
      {isManual(purchase) && (
        <li>Where the operator pays by hand, it waits for him; should he not pay it, it becomes your credit again, and the purchase says why.</li>
      )}
      {purchase.refundable_until !== null && <li>It can be done until {timeText(purchase.refundable_until)}.</li>}
    </ul>
  );
}

function Answer({ purchase }: { purchase: Purchase }) {
  return (
    <div aria-live="polite">
      {made.value !== null && (
        <p class="notice">
          {dollars(made.value.amount)} {outcome(purchase, made.value.status)} {made.value.reason}
        </p>
      )}
      {failure.value !== '' && (
        <p class="notice error">
          {failure.value}
          {refused.value && ' Nothing was given back. The purchases were read again and show what can be done now.'}
        </p>
      )}
    </div>
  );
}

function Choice({ amount }: { amount: string }) {
  const over = made.value !== null || refused.value;
  const again = failure.value !== '' ? 'Try again' : `Refund ${dollars(amount)}`;
  return (
    <div class="tabs">
      {!over && (
        <button class="primary" aria-disabled={busy.value} onClick={() => void refund()}>{busy.value ? 'Giving back…' : again}</button>
      )}
      <button autofocus ref={(element) => { leave = element; }} onClick={() => dialog?.close()}>{over ? 'Close' : 'Keep the credit'}</button>
    </div>
  );
}

export function RefundDialog() {
  if (asked.value === null) return null;
  const { purchase, intent } = asked.value;
  return (
    <dialog key={intent} ref={open} aria-labelledby="refund" onClose={() => closed(intent)}>
      <h2 id="refund">Give back a purchase</h2>
      <p>The purchase of {timeText(purchase.created_at)} for {dollars(purchase.amount)} ({purchase.id}):</p>
      {made.value === null && !refused.value && <Terms purchase={purchase} />}
      <Answer purchase={purchase} />
      <Choice amount={purchase.refundable} />
    </dialog>
  );
}
