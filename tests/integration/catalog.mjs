// SPDX-License-Identifier: Apache-2.0
// A catalog file of models whose prices are easy to compute with.
import { writeFileSync } from 'node:fs';
import path from 'node:path';

/** Loads models test/… with these prices, at the provider openai. */
export async function loadModels(bourse, models) {
  const file = path.join(bourse.directory, 'catalog.json');
  const limits = { context_length: 100_000, max_output: 10_000 };
  const model = ([name, { tiers, ...prices }]) => ({
    id: `test/${name}`,
    name: 'Test',
    description: 'For a test.',
    created: 1784851200,
    ...limits,
    input_modalities: ['text'],
    output_modalities: ['text'],
    tokenizer: 'Other',
    supported_parameters: ['max_tokens'],
    knowledge_cutoff: null,
    deprecation_date: null,
    endpoints: [
      {
        provider: 'openai',
        upstream_model: name,
        ...limits,
        quantization: 'unknown',
        prices,
        ...(tiers ? { tiers } : {}),
      },
    ],
  });
  writeFileSync(
    file,
    JSON.stringify({
      format: 'bourse-catalog-1',
      date: '2026-07-24',
      providers: [],
      models: Object.entries(models).map(model),
    }),
  );
  await bourse.bourse('catalog', 'load', file);
}
