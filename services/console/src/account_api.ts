// SPDX-License-Identifier: Apache-2.0
// What a management key may ask of its organization. Amounts and counts stay text, as the server wrote them.
import { answer, bearer, readText } from './api';
import { parseExact } from './money';

export const PAGE = 100; // what the server answers at most of a list

export interface Credits {
  total_credits: string;
  total_usage: string;
  balance: string;
  held: string | null;
}

export interface Refund {
  id: string;
  status: string;
  amount: string;
  reason: string | null;
}

export interface Purchase {
  id: string;
  payment_method: string;
  status: string;
  amount: string;
  fee: string;
  charged: string;
  refunded: string;
  disputed: string;
  auto: boolean;
  url: string | null;
  created_at: string;
  paid_at: string | null;
  refundable: string;
  refundable_until: string | null;
  refund_refusal: string | null;
  last_refund: Refund | null;
}

export type Cadence = 'daily' | 'weekly' | 'monthly';

export interface Key {
  hash: string;
  label: string;
  name: string;
  disabled: boolean;
  is_management_key: boolean;
  limit: string | null;
  limit_reset: Cadence | null;
  limit_remaining: string | null;
  limit_resets_at: string | null;
  include_byok_in_limit: boolean;
  usage: string;
  usage_daily: string;
  usage_weekly: string;
  usage_monthly: string;
  byok_usage: string;
  byok_usage_daily: string;
  byok_usage_weekly: string;
  byok_usage_monthly: string;
  expires_at: string | null;
  last_used_at: string | null;
  last_used_prefix: string | null;
}

async function readData<T>(key: string, route: string): Promise<T> {
  return (parseExact(await readText(key, route)) as { data: T }).data;
}

export function readCredits(key: string): Promise<Credits> {
  return readData(key, '/credits');
}

export function listPurchases(key: string, offset: number): Promise<Purchase[]> {
  return readData(key, `/purchases?limit=${PAGE}&offset=${offset}`);
}

export function listKeys(key: string, offset: number): Promise<Key[]> {
  return readData(key, `/keys?include_disabled=true&limit=${PAGE}&offset=${offset}`);
}

/** A page of HTML to keep and to print. */
export async function readReceipt(key: string, purchase: string): Promise<Blob> {
  return new Blob([await readText(key, `/purchases/${purchase}/receipt`)], { type: 'text/html' });
}

/** Exactly `amount`, which is the server's own text. However often it is called with one `intent`, it is given back once. */
export async function refundPurchase(key: string, purchase: string, amount: string, intent: string): Promise<Refund> {
  const response = await fetch(`/api/v1/purchases/${purchase}/refund`, {
    method: 'POST',
    headers: { ...bearer(key), 'content-type': 'application/json', 'idempotency-key': intent },
    body: `{"amount":${amount}}`,
  });
  return (parseExact(await answer(response)) as { data: Refund }).data;
}

/** An Idempotency-Key. Not randomUUID(): browsers have that on https only. */
export function newIntent(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return `console-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')}`;
}
