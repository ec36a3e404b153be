// SPDX-License-Identifier: Apache-2.0
// The API keys of the account: what each may spend, what it has, when and from where it was last used. To read only.
import type { Cadence, Key } from './account_api';
import { keys, readMoreKeys, reading } from './account_state';
import { dollars, isZero } from './money';
import { type Column, Table } from './table';
import { Time } from './time';

const columns: Column[] = [
  { title: 'Key' },
  { title: 'State' },
  { title: 'Limit', numeric: true },
  { title: 'Used', numeric: true },
  { title: 'Remaining', numeric: true },
  { title: 'Last used' },
  { title: 'Expires' },
];
const periods: Record<Cadence, string> = { daily: 'a day', weekly: 'a week', monthly: 'a month' };

function stateOf(key: Key): string {
  if (key.disabled) return 'disabled';
  if (key.expires_at !== null && Date.parse(key.expires_at) <= Date.now()) return 'expired';
  return 'active';
}

/** In the present period of the limit; without one, in the key's life. */
function usedOf(key: Key): { usage: string; byok: string } {
  const suffix = key.limit_reset === null ? '' : (`_${key.limit_reset}` as const);
  return { usage: key[`usage${suffix}`], byok: key[`byok_usage${suffix}`] };
}

function Limit({ limit, reset }: { limit: string | null; reset: Cadence | null }) {
  if (limit === null) return <>none</>;
  return (
    <>
      {dollars(limit)}
      <small>{reset === null ? 'in all' : periods[reset]}</small>
    </>
  );
}

function Used({ of }: { of: Key }) {
  const { usage, byok } = usedOf(of);
  return (
    <>
      {dollars(usage)}
      {of.include_byok_in_limit && !isZero(byok) && <small>and {dollars(byok)} with own provider keys</small>}
    </>
  );
}

function LastUse({ at, prefix }: { at: string | null; prefix: string | null }) {
  if (at === null) return <>never</>;
  return (
    <>
      <Time at={at} />
      {prefix !== null && <small>from {prefix}</small>}
    </>
  );
}

function Row({ of }: { of: Key }) {
  return (
    <tr>
      <th scope="row">
        {of.name}
        <small>{of.label}</small>
      </th>
      <td>
        {stateOf(of)}
        {of.is_management_key && <small>management</small>}
      </td>
      <td class="number"><Limit limit={of.limit} reset={of.limit_reset} /></td>
      <td class="number"><Used of={of} /></td>
      <td class="number">
        {of.limit_remaining === null ? 'no limit' : dollars(of.limit_remaining)}
        {of.limit_resets_at !== null && <small>until <Time at={of.limit_resets_at} /></small>}
      </td>
      <td><LastUse at={of.last_used_at} prefix={of.last_used_prefix} /></td>
      <td>{of.expires_at === null ? 'never' : <Time at={of.expires_at} />}</td>
    </tr>
  );
}

export function Keys() {
  const list = keys.value;
  if (list === null) return null;
  return (
    <section aria-labelledby="keys">
      <h2 id="keys">API keys</h2>
      <Table label="API keys and their limits" columns={columns}>
        {list.rows.map((key) => <Row key={key.hash} of={key} />)}
      </Table>
      {list.more && <button disabled={reading.value} onClick={() => void readMoreKeys()}>More keys</button>}
      <p class="hint">
        Keys are made and changed with <code>POST /api/v1/keys</code> and <code>PATCH /api/v1/keys/HASH</code>.
      </p>
    </section>
  );
}
