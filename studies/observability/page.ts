import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Page } from 'playwright-core';
import { seriousViolations, showView, THEMES, VIEWS } from '../../packages/page/test/accessibility.js';
import { TestBrowser } from '../../packages/page/test/browser.js';
import {
  appendSteps,
  LARGE_RUN,
  SMALL_RUN,
  writeSyntheticRun,
} from '../../packages/page/test/synthetic-run.js';
import { writeTraces } from '../../packages/page/test/trace-fixture.js';
import { endOf, untilSaid } from '../kit/locmoe.js';
import { assertEqual, type Bench, inFolder, startTraining, withPage } from './support.js';

// Frame rate of the page with a live tail while 8 ranks train.

const WATCH_MS = 15_000;

/** @throws Error without a browser, or if the page shows wrong content */
export const measurePage: Bench = () =>
  inFolder(async (folder) => {
    const browser = await TestBrowser.open();
    const training = startTraining({
      runsDir: path.join(folder, 'live'),
      layout: [4, 2],
      sets: ['train.steps=100000', 'logLevel=debug'],
    });
    try {
      const [, url] = await untilSaid(training, /page: (http:\S+)[\s\S]*step +\d+\//, 'that it trains');
      const page = await browser.page(`${url}&view=logs&live=1`);
      await page.waitForSelector('.row');
      const newest = () => page.locator('.row').first().locator('time').textContent();
      const before = await newest();
      const { frames, ms, rows } = await page.evaluate<{ frames: number; ms: number; rows: number }>(
        COUNT_FRAMES,
      );
      if ((await newest()) === before) throw new Error('the tail did not move');
      return {
        pageFps: {
          value: (1e3 * frames) / ms,
          note: `over ${WATCH_MS / 1e3} s, in which ${rows} log rows came`,
        },
      };
    } finally {
      await browser.close();
      training.kill('SIGTERM');
      await sleep(500);
      training.kill('SIGTERM');
      // The second signal ends it at once, with another code.
      await endOf(training, 'the training').catch(() => undefined);
    }
  });

/** Runs in the browser; counts frames and log rows. */
const COUNT_FRAMES = `new Promise((resolve) => {
  let rows = 0;
  const observer = new MutationObserver((changes) => {
    for (const { addedNodes } of changes) rows += addedNodes.length;
  });
  observer.observe(document.querySelector('.line-body'), { childList: true });
  const started = performance.now();
  let frames = 0;
  const frame = () => {
    frames++;
    const ms = performance.now() - started;
    if (ms < ${WATCH_MS}) requestAnimationFrame(frame);
    else {
      observer.disconnect();
      resolve({ frames, ms, rows });
    }
  };
  requestAnimationFrame(frame);
})`;

// Measures what an open tab fetches of a live run with many ranks, layers and experts, as it may go through a tunnel.

const TRAFFIC_STEPS = 3_000;
/** The tab has loaded, and settled. */
const SETTLE_MS = 12_000;
const TRAFFIC_MS = 60_000;
const KB = 1e3;

/** @throws Error without a browser, or if the page does not follow the run */
export const measureTraffic: Bench = () =>
  inFolder(async (runsDir) => {
    const run = { ...LARGE_RUN, startedAt: Date.now() - TRAFFIC_STEPS * LARGE_RUN.stepMs };
    const folder = writeSyntheticRun(runsDir, run, { steps: TRAFFIC_STEPS, ofSteps: 10 * TRAFFIC_STEPS });
    let step = TRAFFIC_STEPS;
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
        await sleep(TRAFFIC_MS);
        const watched = bytes.splice(0);
        const shown = Number(/step(\d+)/.exec((await tab.textContent('.numbers')) ?? '')?.[1]);
        assertEqual('the page follows the run', shown > before, true);
        return {
          page64RanksKBPerMinute: {
            value: (sumOf(watched) / KB) * (60_000 / TRAFFIC_MS),
            note: `${partsOf(watched)}; ${Math.round(opening / KB)} KB to open it at step ${TRAFFIC_STEPS}`,
          },
        };
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

// Runs axe on the page of an ordinary run, and of one with more ranks and experts than fit a screen.

const AXE_STEPS = 120;

/** @throws Error without a browser */
export const countViolations: Bench = () =>
  inFolder(async (runsDir) => {
    const runs = [SMALL_RUN, LARGE_RUN];
    for (const run of runs) {
      const { numRanks, ranksPerNode } = run;
      writeTraces(writeSyntheticRun(runsDir, run, { steps: AXE_STEPS }), {
        numNodes: numRanks / ranksPerNode,
        workersPerNode: ranksPerNode,
        steps: [AXE_STEPS],
        slowRank: 1,
      });
    }
    const found: string[] = [];
    await withPage(runsDir, async (tab, url) => {
      for (const { runId } of runs)
        for (const view of VIEWS) {
          await showView(tab, url, runId, view);
          for (const colorScheme of THEMES) {
            await tab.emulateMedia({ colorScheme });
            found.push(...(await seriousViolations(tab)));
          }
        }
    });
    for (const line of found) console.error(line);
    return { a11y: { value: found.length, note: `all views, light and dark, of ${runs.length} runs` } };
  });
