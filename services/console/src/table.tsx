// SPDX-License-Identifier: Apache-2.0
// A table of an account: wide ones scroll in themselves, also by the keyboard, so that the page never does sideways.
import type { ComponentChildren } from 'preact';

export interface Column {
  title: string;
  numeric?: boolean;
}

export function Table({ label, columns, children }: { label: string; columns: Column[]; children: ComponentChildren }) {
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={label}>
      <table>
        <thead>
          <tr>{columns.map(({ title, numeric }) => <th key={title} scope="col" class={numeric ? 'number' : ''}>{title}</th>)}</tr>
        </thead>
        <tbody>{children}</tbody>
      </table>
    </div>
  );
}
