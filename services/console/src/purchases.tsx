// SPDX-License-Identifier: Apache-2.0
// What was bought, what became of it, and what can be given back of it. Whether something can, the server alone decides.
import { signal } from '@preact/signals';
import { type Purchase, readReceipt } from './account_api';
import { managementKey, purchases, readMorePurchases, reading, sentence } from './account_state';
import { dollars, isZero } from './money';
import { askForRefund } from './refund';
import { type Column, Table } from './table';
import { Time } from './time';

const receiptFailure = signal('');
const columns: Column[] = [
  { title: 'Purchase' },
  { title: 'Credit', numeric: true },
  { title: 'Fee', numeric: true },
  { title: 'Charged', numeric: true },
  { title: 'Method' },
  { title: 'State' },
  { title: 'Receipt' },
  { title: 'Refund' },
];

/** As a file: the receipt is asked for with the key, which an address must not hold. */
async function saveReceipt(purchase: string): Promise<void> {
  receiptFailure.value = '';
  try {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(await readReceipt(managementKey.value.trim(), purchase));
    link.download = `receipt-${purchase}.html`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000); // the browser reads it after the click
  } catch (error) {
    receiptFailure.value = sentence(error, 'The receipt did not come. Try again.');
  }
}

/** Of one that succeeded the sum of all tells. */
function LastRefund({ purchase }: { purchase: Purchase }) {
  const { last_refund: refund } = purchase;
  if (refund === null || refund.status === 'succeeded') return null;
  const where = purchase.payment_method === 'manual' ? 'waits for the operator' : 'on its way back';
  if (refund.status !== 'failed') return <small>{dollars(refund.amount)} {where}</small>;
  return <small>{dollars(refund.amount)} could not be given back{refund.reason !== null && `: ${refund.reason}`}</small>;
}

function State({ purchase }: { purchase: Purchase }) {
  const back: [string, string][] = [
    ['given back', purchase.refunded],
    ['disputed', purchase.disputed],
  ];
  return (
    <>
      {purchase.status}
      {back.map(([name, amount]) => !isZero(amount) && <small key={name}>{dollars(amount)} {name}</small>)}
      <LastRefund purchase={purchase} />
      {purchase.url !== null && purchase.status === 'open' && <a href={purchase.url}>Pay</a>}
    </>
  );
}

function RefundCell({ purchase }: { purchase: Purchase }) {
  if (purchase.refund_refusal !== null) return <small>{purchase.refund_refusal}</small>;
  return (
    <button aria-label={`Refund ${purchase.id}`} onClick={() => askForRefund(purchase)}>Refund</button>
  );
}

function Row({ purchase }: { purchase: Purchase }) {
  return (
    <tr>
      <th scope="row">
        <Time at={purchase.created_at} />
        <small>{purchase.id}</small>
      </th>
      <td class="number">{dollars(purchase.amount)}</td>
      <td class="number">{dollars(purchase.fee)}</td>
      <td class="number">{dollars(purchase.charged)}</td>
      <td>{purchase.auto ? `${purchase.payment_method}, automatic` : purchase.payment_method}</td>
      <td class="words"><State purchase={purchase} /></td>
      <td>
        {purchase.paid_at === null ? (
          <small>once it is paid</small>
        ) : (
          <button aria-label={`Save receipt ${purchase.id}`} onClick={() => void saveReceipt(purchase.id)}>Save</button>
        )}
      </td>
      <td class="words"><RefundCell purchase={purchase} /></td>
    </tr>
  );
}

export function Purchases() {
  const list = purchases.value;
  if (list === null) return null;
  return (
    <section aria-labelledby="purchases">
      <h2 id="purchases" tabIndex={-1}>Purchases</h2>
      {list.rows.length === 0 ? (
        <p>Nothing was bought yet. Credit is bought with <code>POST /api/v1/purchases</code>, or the operator grants it.</p>
      ) : (
        <Table label="Purchases and refunds" columns={columns}>
          {list.rows.map((purchase) => <Row key={purchase.id} purchase={purchase} />)}
        </Table>
      )}
      {list.more && <button disabled={reading.value} onClick={() => void readMorePurchases()}>Older purchases</button>}
      <div aria-live="polite">{receiptFailure.value !== '' && <p class="notice error">{receiptFailure.value}</p>}</div>
    </section>
  );
}
