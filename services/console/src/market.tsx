// SPDX-License-Identifier: Apache-2.0
// The models and their prices: search, sort, choose.
import { perMillion } from './money';
import { type Order, chosen, descending, models, order, search, shown } from './state';

const columns: { order: Order; title: string; numeric: boolean }[] = [
  { order: 'name', title: 'Model', numeric: false },
  { order: 'context', title: 'Context', numeric: true },
  { order: 'prompt', title: 'Input $/M', numeric: true },
  { order: 'completion', title: 'Output $/M', numeric: true },
];

function sortBy(column: Order): void {
  descending.value = order.value === column && !descending.value;
  order.value = column;
}

function Head() {
  return (
    <thead>
      <tr>
        {columns.map((column) => (
          <th
            key={column.order}
            scope="col"
            class={column.numeric ? 'number' : ''}
            aria-sort={order.value === column.order ? (descending.value ? 'descending' : 'ascending') : 'none'}
          >
            <button onClick={() => sortBy(column.order)}>{column.title}</button>
          </th>
        ))}
      </tr>
    </thead>
  );
}

function Rows() {
  return (
    <tbody>
      {shown.value.map((model) => (
        <tr key={model.id} class={chosen.value === model.id ? 'chosen' : ''}>
          <th scope="row">
            <button title={model.description} onClick={() => { chosen.value = model.id; }}>{model.id}</button>
          </th>
          <td class="number">{model.context_length.toLocaleString('en')}</td>
          <td class="number">{perMillion(model.pricing.prompt)}</td>
          <td class="number">{perMillion(model.pricing.completion)}</td>
        </tr>
      ))}
    </tbody>
  );
}

export function Market() {
  const all = models.value;
  return (
    <section aria-labelledby="market">
      <h2 id="market">Models</h2>
      <label class="search">
        Search
        <input type="search" value={search.value} onInput={(event) => { search.value = event.currentTarget.value; }} />
      </label>
      {all === null ? (
        <p>Loading the market…</p>
      ) : (
        <>
          <p class="count" role="status">
            {shown.value.length} of {all.length} models
          </p>
          <div class="scroll" tabIndex={0} role="region" aria-label="Models and prices">
            <table>
              <Head />
              <Rows />
            </table>
          </div>
        </>
      )}
    </section>
  );
}
