// Frame rate of the page with a live tail while 8 ranks train, and the time until a long run is drawn.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { pageFeature } from '@locmoe/page';
import { startRunHttp } from 'locmoe/cli/run-http';
import { formatAddress } from 'locmoe/rpc/address';
import { TestBrowser, whyNoBrowser } from '../../page/test/browser.js';
import { type SyntheticRun, writeSyntheticRun } from '../../page/test/synthetic-run.js';
import { type Bench, inFolder, type Measurement, median } from './support.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const LONG_STEPS = 10_000;
const STEP_MS = 700;
/** Like those of the recipe `tiny` on 8 ranks. */
const LONG_RUN: SyntheticRun = {
  ...{ runId: 'long-run', numRanks: 8, ranksPerNode: 2, numLayers: 2, numExperts: 8 },
  stepMs: STEP_MS,
  startedAt: Date.now() - LONG_STEPS * STEP_MS,
  spikeStep: 6_543,
};
const START_TIMEOUT_MS = 180_000;
const WATCH_MS = 15_000;
const NUM_OPENINGS = 5;

/**
 * Needs Chromium and `npm run build`.
 *
 * @throws Error without a browser, or if the page shows wrong content
 */
export const measurePage: Bench = async () => {
  const reason = whyNoBrowser();
  if (reason !== null) throw new Error(reason);
  return inFolder(async (folder) => [await measureOpening(folder), await measureFrames(folder)]);
};

/** A new server each time, so that nothing is cached in memory. */
async function measureOpening(folder: string): Promise<Measurement> {
  const runsDir = path.join(folder, 'long');
  writeSyntheticRun(runsDir, LONG_RUN, { steps: LONG_STEPS });
  const times: number[] = [];
  const browser = await TestBrowser.open();
  try {
    for (let opening = 0; opening <= NUM_OPENINGS; opening++) {
      const server = await startRunHttp(
        { http: '127.0.0.1:0', runsDir, page: pageFeature(runsDir) },
        null,
        null,
      );
      if (server === null) throw new Error('no server');
      const started = performance.now();
      const page = await browser.page(`http://${formatAddress(server.address)}/`);
      await page.evaluate(ONCE_DRAWN);
      times.push(performance.now() - started);
      await page.close();
      await server.close();
    }
  } finally {
    await browser.close();
  }
  // The first opening warms up the browser.
  const counted = times.slice(1);
  return {
    name: 'openLongRunMs',
    meaning: `page of a run of ${LONG_STEPS} steps: from opening to drawn`,
    unit: 'ms',
    value: median(counted),
    target: 2_000,
    note: `median of ${counted.length}, ${Math.round(Math.min(...counted))} to ${Math.round(Math.max(...counted))}`,
  };
}

/**
 * Runs in the browser; resolves once the loss line is drawn, the last step is shown, and the expert load is
 * there.
 */
const ONCE_DRAWN = `new Promise((resolve) => {
  const isDrawn = () => {
    const canvas = document.querySelector('.chart canvas');
    if (canvas === null || document.querySelector('.heat-moment td') === null) return false;
    if (!document.querySelector('.numbers').textContent.includes('${LONG_STEPS} / ${LONG_STEPS}')) return false;
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size > 8;
  };
  const look = () => (isDrawn() ? resolve() : requestAnimationFrame(look));
  look();
})`;

async function measureFrames(folder: string): Promise<Measurement> {
  const args = ['train', '--config', 'tiny', '--nodes', '4', '--workers-per-node', '2', '--no-samples'];
  const training = spawn(
    process.execPath,
    [
      path.join(ROOT, 'dist/cli/cli.js'),
      ...args,
      ...['--set', 'train.steps=100000', '--set', 'logLevel=debug'],
      ...['--runs-dir', path.join(folder, 'live'), '--data-dir', path.join(ROOT, 'data')],
    ],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  const ended = new Promise<void>((resolve) => training.once('exit', () => resolve()));
  const browser = await TestBrowser.open();
  try {
    const url = await addressOnceTraining(training.stdout);
    const page = await browser.page(`${url}&view=logs&live=1`);
    await page.waitForSelector('.row');
    const newest = () => page.locator('.row').first().locator('time').textContent();
    const before = await newest();
    const { frames, ms, rows } = await page.evaluate<{ frames: number; ms: number; rows: number }>(
      COUNT_FRAMES,
    );
    if ((await newest()) === before) throw new Error('the tail did not move');
    return {
      name: 'pageFps',
      meaning: 'frames of the page while 8 ranks train and its tail is live',
      unit: '1/s',
      value: (1e3 * frames) / ms,
      target: 30,
      note: `over ${WATCH_MS / 1e3} s, in which ${rows} log rows came`,
    };
  } finally {
    await browser.close();
    training.kill('SIGTERM');
    await sleep(500);
    training.kill('SIGTERM');
    await ended;
  }
}

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

function addressOnceTraining(stdout: NodeJS.ReadableStream): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const timer = setTimeout(
      () => reject(new Error(`no training within ${START_TIMEOUT_MS} ms:\n${text}`)),
      START_TIMEOUT_MS,
    );
    stdout.on('data', (chunk) => {
      text += chunk;
      const url = /page: (http:\S+)/.exec(text)?.[1];
      if (url === undefined || !/step +\d+\//.test(text)) return;
      clearTimeout(timer);
      resolve(url);
    });
  });
}
