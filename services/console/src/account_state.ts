// SPDX-License-Identifier: Apache-2.0
// What the page knows of an account. The management key stays in memory, as the other key does; what was read with it goes when it
// is changed.
import { type Signal, batch, signal } from '@preact/signals';
import { type Credits, type Key, PAGE, type Purchase, listKeys, listPurchases, readCredits } from './account_api';

/** Rows read so far, and whether there may be others. */
export interface List<T> {
  rows: T[];
  more: boolean;
}

export const managementKey = signal('');
export const credits = signal<Credits | null>(null);
export const purchases = signal<List<Purchase> | null>(null);
export const keys = signal<List<Key> | null>(null);
export const reading = signal(false);
export const failure = signal('');

export function setManagementKey(key: string): void {
  batch(() => {
    managementKey.value = key;
    failure.value = '';
    credits.value = purchases.value = keys.value = null;
  });
}

export function sentence(error: unknown, otherwise: string): string {
  // What fetch() throws where there is no answer is the browser's own words.
  return error instanceof Error && !(error instanceof TypeError) ? error.message : otherwise;
}

function listOf<T>(rows: T[], before: T[] = []): List<T> {
  return { rows: [...before, ...rows], more: rows.length === PAGE };
}

/** Runs what asks the server, one at a time. An answer for a key that was changed meanwhile is dropped. */
async function whileReading(ask: (key: string) => Promise<() => void>): Promise<void> {
  if (reading.value) return;
  const asked = managementKey.value;
  reading.value = true;
  failure.value = '';
  try {
    const show = await ask(asked.trim());
    if (managementKey.value === asked) batch(show);
  } catch (error) {
    if (managementKey.value === asked) failure.value = sentence(error, 'The server does not answer. Try again.');
  } finally {
    reading.value = false;
  }
}

export function readAccount(): Promise<void> {
  return whileReading(async (key) => {
    const answers = await Promise.all([readCredits(key), listPurchases(key, 0), listKeys(key, 0)]);
    return () => {
      credits.value = answers[0];
      purchases.value = listOf(answers[1]);
      keys.value = listOf(answers[2]);
    };
  });
}

function readMore<T>(list: Signal<List<T> | null>, ask: (key: string, offset: number) => Promise<T[]>): Promise<void> {
  return whileReading(async (key) => {
    const before = list.value?.rows ?? [];
    const next = await ask(key, before.length);
    return () => {
      list.value = listOf(next, before);
    };
  });
}

export const readMorePurchases = (): Promise<void> => readMore(purchases, listPurchases);
export const readMoreKeys = (): Promise<void> => readMore(keys, listKeys);
