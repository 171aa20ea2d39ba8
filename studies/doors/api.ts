import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { median } from '../../packages/bench/src/statistics.js';
import { startLocmoe, untilSaid } from '../kit/locmoe.js';
import type { DoorPart } from './figures.js';
import { trained } from './trained.js';

/** Numbers of clients, in the order in which they are tried. */
const CLIENTS = [25, 50, 100, 200, 256, 400];
const TOKENS = 64;
/** Text for the notes. */
const QUOTED = 100;

interface Load {
  readonly errors: number;
  readonly tokensPerS: number;
  /** Median and slowest answer. */
  readonly medianMs: number;
  readonly slowestMs: number;
  /** Slowest answer of /health meanwhile. */
  readonly healthMs: number;
}

/**
 * Clients that ask `locmoe api` for a completion at the same time, as many as all get one. Its queue has 256
 * places unless told otherwise: those beyond are told to come again, which counts as an error here.
 */
export const apiPart: DoorPart = async (context) => {
  const { checkpoint, name } = await trained(context);
  const server = startLocmoe(['api', '--checkpoint', checkpoint.folder, '--port', '0']);
  const exited = once(server, 'exit');
  try {
    const [, url] = await untilSaid(server, /^api: (\S+)$/m, 'its address');
    const model = `${checkpoint.manifest.runId}:${checkpoint.manifest.config.data.domains[0]}`;
    let served = 0;
    let quoted: Load | undefined;
    for (const numClients of context.quick ? CLIENTS.slice(0, 3) : CLIENTS) {
      const load = await ask(url!, model, numClients, context.signal);
      context.log(`${numClients} clients: ${JSON.stringify(load)}`);
      if (numClients <= QUOTED) quoted = load;
      if (load.errors > 0) break;
      served = numClients;
    }
    return {
      figures: { apiConcurrentClients: served },
      notes: `${name}, ${TOKENS} tokens each${quoted === undefined ? '' : `; at ${QUOTED} clients ${quoted.tokensPerS.toFixed(0)} tokens/s together, an answer in ${(quoted.medianMs / 1000).toFixed(1)} s (median), 16 at a time, and /health within ${quoted.healthMs.toFixed(0)} ms`}.`,
    };
  } finally {
    server.kill('SIGTERM');
    await exited;
  }
};

async function ask(url: string, model: string, numClients: number, signal: AbortSignal): Promise<Load> {
  let watching = true;
  const watch = (async () => {
    let slowest = 0;
    while (watching) {
      const started = performance.now();
      await (await fetch(new URL('/health', url), { signal })).text();
      slowest = Math.max(slowest, performance.now() - started);
      await sleep(50);
    }
    return slowest;
  })();
  const started = performance.now();
  const answers = await Promise.all(
    Array.from({ length: numClients }, async (_, i) => {
      const response = await fetch(`${url}/completions`, {
        method: 'POST',
        body: JSON.stringify({ model, prompt: `The ${i}`, max_tokens: TOKENS, temperature: 1, seed: i }),
        signal,
      });
      const { usage } = (await response.json()) as { usage?: { completion_tokens: number } };
      return {
        ok: response.ok,
        ms: performance.now() - started,
        tokens: usage?.completion_tokens ?? 0,
      };
    }),
  ).finally(() => {
    watching = false;
  });
  const seconds = (performance.now() - started) / 1000;
  return {
    errors: answers.filter(({ ok }) => !ok).length,
    tokensPerS: answers.reduce((sum, { tokens }) => sum + tokens, 0) / seconds,
    medianMs: median(answers.map(({ ms }) => ms)),
    slowestMs: Math.max(...answers.map(({ ms }) => ms)),
    healthMs: await watch,
  };
}
