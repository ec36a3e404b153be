// SPDX-License-Identifier: Apache-2.0
// What the page knows, as signals. The key stays in memory: it is never stored and never put into an address.
import { computed, signal } from '@preact/signals';
import { type Model, type Readiness, listModels, readReadiness } from './api';
import { compareDecimal } from './money';

/** The payment processor sends a customer back with the purchase in the address. */
export const isBackFromPaying = new URLSearchParams(location.search).has('purchase');

/** Which page: the address's fragment says it, so that the browser's buttons go back and forth. */
function viewOfAddress(): 'market' | 'account' {
  return location.hash === '#account' || (location.hash === '' && isBackFromPaying) ? 'account' : 'market';
}
export const view = signal(viewOfAddress());
addEventListener('hashchange', () => {
  view.value = viewOfAddress();
});

export const models = signal<Model[] | null>(null);
export const problem = signal('');
export const readiness = signal<Readiness | null>(null);
export const search = signal('');
export type Order = 'name' | 'prompt' | 'completion' | 'context';
export const order = signal<Order>('name');
export const descending = signal(false);
export const chosen = signal('openai/gpt-4o-mini');
export const key = signal('');

const comparisons: Record<Order, (a: Model, b: Model) => number> = {
  name: (a, b) => (a.id < b.id ? -1 : a.id > b.id ? 1 : 0),
  prompt: (a, b) => compareDecimal(a.pricing.prompt, b.pricing.prompt),
  completion: (a, b) => compareDecimal(a.pricing.completion, b.pricing.completion),
  context: (a, b) => a.context_length - b.context_length,
};

export const shown = computed(() => {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  const found = (models.value ?? []).filter((model) => {
    const text = `${model.id} ${model.name}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
  const sign = descending.value ? -1 : 1;
  return found.sort((a, b) => sign * comparisons[order.value](a, b) || comparisons.name(a, b));
});

export async function load(): Promise<void> {
  problem.value = '';
  try {
    [models.value, readiness.value] = await Promise.all([listModels(), readReadiness()]);
  } catch (error) {
    problem.value = error instanceof Error ? error.message : 'The server does not answer.';
  }
}
