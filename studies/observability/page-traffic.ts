// Measures what an open tab fetches of a live run with many ranks, layers and experts, as it may go through a tunnel.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { appendSteps, LARGE_RUN, writeSyntheticRun } from '../../packages/page/test/synthetic-run.js';
import { assertEqual, type Bench, inFolder, withPage } from './support.js';

const STEPS = 3_000;
/** The tab has loaded, and settled. */
const SETTLE_MS = 12_000;
const WATCH_MS = 60_000;
const KB = 1e3;

/** @throws Error without a browser, or if the page does not follow the run */
export const measureTraffic: Bench = () =>
  inFolder(async (runsDir) => {
    const run = { ...LARGE_RUN, startedAt: Date.now() - STEPS * LARGE_RUN.stepMs };
    const folder = writeSyntheticRun(runsDir, run, { steps: STEPS, ofSteps: 10 * STEPS });
    let step = STEPS;
    const training = setInterval(() => {
      step++;
      appendSteps(folder, run, step, step);
    }, run.stepMs);
    try {
      return await withPage(runsDir, async (tab, url) => {
        const bytes = countBytes(tab);
        await tab.goto(`${url}/`);
        await tab.waitForSelector('.heat:not([hidden]) canvas');
        await sleep(SETTLE_MS);
        const opening = sumOf(bytes.splice(0));
        const before = step;
        await sleep(WATCH_MS);
        const watched = bytes.splice(0);
        const shown = Number(/step(\d+)/.exec((await tab.textContent('.numbers')) ?? '')?.[1]);
        assertEqual('the page follows the run', shown > before, true);
        return [
          {
            name: 'page64RanksKBPerMinute',
            meaning: 'what an open tab fetches of a live run of 64 ranks, 16 layers, 64 experts',
            unit: 'KB/min',
            value: (sumOf(watched) / KB) * (60_000 / WATCH_MS),
            target: 500,
            note: `${partsOf(watched)}; ${Math.round(opening / KB)} KB to open it at step ${STEPS}`,
          },
        ];
      });
    } finally {
      clearInterval(training);
    }
  });

interface Fetched {
  readonly path: string;
  readonly bytes: number;
}

/** Sizes of the answers on the wire, with their headers, as they come. */
function countBytes(tab: Page): Fetched[] {
  const fetched: Fetched[] = [];
  tab.on('requestfinished', async (request) => {
    const { responseBodySize, responseHeadersSize } = await request.sizes();
    const path = new URL(request.url()).pathname.split('/').at(-1) ?? '';
    fetched.push({ path, bytes: responseBodySize + responseHeadersSize });
  });
  return fetched;
}

function sumOf(fetched: readonly Fetched[]): number {
  return fetched.reduce((sum, { bytes }) => sum + bytes, 0);
}

/** The routes that bring most. */
function partsOf(fetched: readonly Fetched[]): string {
  const totals = new Map<string, number>();
  for (const { path, bytes } of fetched) totals.set(path, (totals.get(path) ?? 0) + bytes);
  const most = [...totals].sort(([, a], [, b]) => b - a).slice(0, 4);
  return most.map(([path, bytes]) => `${path} ${Math.round(bytes / KB)}`).join(', ');
}
