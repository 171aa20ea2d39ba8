import { spawnSync } from 'node:child_process';
import { expect, it } from 'vitest';
import { findPromtool, NO_PROMTOOL, skipLoudly } from '../debian-tool.js';
import { SEQ_LEN, servedModel } from './support.js';

const { serve } = servedModel();
const asked = { model: 'run:a', prompt: Array<number>(SEQ_LEN + 3).fill(1), max_tokens: 5, temperature: 0 };
const question = {
  model: 'run:b',
  messages: [{ role: 'user', content: 'a' }],
  max_tokens: 4,
  temperature: 0,
};

/** Values of the API's series, by name and labels. */
async function seriesOf(root: string): Promise<ReadonlyMap<string, number>> {
  const text = await (await fetch(`${root}/metrics`)).text();
  const found = text.matchAll(/^locmoe_api_([a-z_]+)\{(?:(.*),)?run="run"\} (\S+)$/gm);
  return new Map([...found].map(([, name, labels, value]) => [labels ? `${name} ${labels}` : name, +value]));
}

const ended = (endpoint: string, outcome: string) =>
  `requests_total endpoint="${endpoint}",outcome="${outcome}"`;

it('counts requests by outcome, tokens, their times and the queue', async () => {
  const { root, post, health } = await serve({ maxBatch: 1, maxWaiting: 1 });
  const chat = (body: object, signal?: AbortSignal) => post(body, signal, 'chat/completions');
  expect((await seriesOf(root)).get(ended('chat', 'failed'))).toBe(0);
  await (await post(asked)).json();
  const { usage } = (await (await chat(question)).json()) as { usage: Record<string, number> };
  await (await chat({ ...question, stream: true })).text();
  await post({ ...asked, n: 0 });
  await post('{');
  await post(`{"prompt":"${'a'.repeat(5 << 20)}"}`);

  // One request runs, one waits, and a third is refused as the queue is full; then the two callers disconnect.
  const leave = new AbortController();
  const endless = { ...question, max_tokens: 30_000 };
  const streamed = await chat({ ...endless, stream: true }, leave.signal);
  await streamed.body!.getReader().read();
  const waits = chat(endless, leave.signal).catch(() => null);
  await expect.poll(async () => (await health()).waiting).toBe(1);
  expect((await chat(question)).status).toBe(429);
  const before = await seriesOf(root);
  expect([before.get('texts_running'), before.get('texts_waiting')]).toEqual([1, 1]);
  leave.abort();
  await waits;
  await expect.poll(async () => (await seriesOf(root)).get(ended('chat', 'gone'))).toBe(2);

  const after = await seriesOf(root);
  expect([after.get('texts_running'), after.get('texts_waiting')]).toEqual([0, 0]);
  expect(after.get(ended('completions', 'answered'))).toBe(1);
  expect(after.get(ended('completions', 'refused'))).toBe(3);
  expect(after.get(ended('chat', 'answered'))).toBe(2);
  expect(after.get(ended('chat', 'busy'))).toBe(1);
  // Of a long prompt the window is read; of a question its template and the end-of-text token too, three times.
  expect(after.get('prompt_tokens_total')).toBe(SEQ_LEN + 3 * Math.min(SEQ_LEN, usage.prompt_tokens! + 1));
  const drawnByOthers = 5 + 2 * usage.completion_tokens!;
  expect(after.get('generated_tokens_total')).toBeGreaterThan(drawnByOthers);
  expect(after.get('first_token_seconds_count')).toBe(4);
  expect(after.get('text_tokens_per_second_count')).toBeGreaterThanOrEqual(3);
  expect(after.get('text_tokens_per_second_sum')).toBeGreaterThan(0);
});

it('are what Prometheus expects of metrics, and for those who have the token', async ({ skip }) => {
  const { root } = await serve({ token: 'sesame-sesame-sesame' });
  expect((await fetch(`${root}/metrics`)).status).toBe(401);
  const headers = { Authorization: 'Bearer sesame-sesame-sesame' };
  const answer = await fetch(`${root}/metrics`, { headers });
  const text = await answer.text();
  expect(text).toMatch(/^process_resident_memory_bytes\{run="run"\} \d+/m);
  const promtool = findPromtool();
  if (promtool === null) return skipLoudly(skip, NO_PROMTOOL);
  const check = spawnSync(promtool, ['check', 'metrics'], { input: text, encoding: 'utf8' });
  expect([check.status, check.stdout, check.stderr]).toEqual([0, '', '']);
});
