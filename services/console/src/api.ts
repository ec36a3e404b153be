// SPDX-License-Identifier: Apache-2.0
// The calls this page makes, all to the edge that served it. Those of the account are in account_api.ts.

export interface Model {
  id: string;
  name: string;
  description: string;
  context_length: number;
  architecture: { input_modalities: string[]; output_modalities: string[] };
  pricing: { prompt: string; completion: string };
}

export interface Readiness {
  ready: boolean;
  simulated: boolean;
}

export class ApiError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

export async function answer(response: Response): Promise<string> {
  const text = await response.text();
  if (response.ok) return text;
  let message = `The server answered ${response.status}.`;
  try {
    message = (JSON.parse(text) as { error: { message: string } }).error.message;
  } catch {
    // Not our envelope: the status says enough.
  }
  throw new ApiError(response.status, message);
}

export async function listModels(): Promise<Model[]> {
  return (JSON.parse(await answer(await fetch('/api/v1/models'))) as { data: Model[] }).data;
}

export async function readReadiness(): Promise<Readiness> {
  const response = await fetch('/readyz');
  const body = (await response.json().catch(() => ({}))) as { simulated?: boolean };
  return { ready: response.ok, simulated: body.simulated === true };
}

export function bearer(key: string): { authorization: string } {
  return { authorization: `Bearer ${key}` };
}

/** The raw text, so that amounts keep their digits. */
export async function readText(key: string, route: string): Promise<string> {
  return answer(await fetch(`/api/v1${route}`, { headers: bearer(key) }));
}

export interface Trial {
  text: string;
  raw: string;
  generation: string;
  simulated: boolean;
}

export async function tryModel(key: string, model: string, prompt: string): Promise<Trial> {
  const response = await fetch('/api/v1/chat/completions', {
    method: 'POST',
    headers: { ...bearer(key), 'content-type': 'application/json' },
    body: JSON.stringify({ model, max_tokens: 256, messages: [{ role: 'user', content: prompt }] }),
  });
  const raw = await answer(response);
  const body = JSON.parse(raw) as { choices: { message: { content: string | null } }[] };
  return {
    text: body.choices[0]?.message.content ?? '',
    raw,
    generation: response.headers.get('x-generation-id') ?? '',
    simulated: response.headers.get('x-bourse-simulated') === 'true',
  };
}
