// The time until the page shows a run of 64 ranks and 100,000 steps that it has not seen since the machine started: in a new
// process, without its files in the cache of the file system. Writes 3 GB into the folder for temporary files.
import { execFileSync } from 'node:child_process';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pageFeature } from '@locmoe/page';
import { median } from '../../packages/bench/src/statistics.js';
import type { MetricsReply } from '../../packages/page/src/api-types.js';
import { TestBrowser } from '../../packages/page/test/browser.js';
import { LARGE_RUN, type SyntheticRun, writeSyntheticRun } from '../../packages/page/test/synthetic-run.js';
import { startLocmoe, untilSaid } from '../kit/locmoe.js';
import { assertEqual, type Bench, type Found, inFolder } from './support.js';

const STEPS = 100_000;
const NUM_OPENINGS = 5;
const POLL_MS = 500;
const INDEX_TIMEOUT_MS = 600_000;

/** 16 layers of 64 experts, and 4 of 16. */
const RUNS: readonly (readonly [name: string, run: SyntheticRun])[] = [
  ['openLongRunMs', LARGE_RUN],
  ['openLongRunOfFewExpertsMs', { ...LARGE_RUN, numLayers: 4, numExperts: 16 }],
];

/** @throws Error without a browser, or if the page shows wrong content */
export const measureLongRuns: Bench = async () => {
  const browser = await TestBrowser.open();
  try {
    const found: Record<string, Found> = {};
    for (const [name, run] of RUNS)
      found[name] = await inFolder((runsDir) => measureOpening(browser, runsDir, run));
    return found;
  } finally {
    await browser.close();
  }
};

async function measureOpening(browser: TestBrowser, runsDir: string, run: SyntheticRun): Promise<Found> {
  const folder = writeSyntheticRun(runsDir, run, { steps: STEPS });
  const indexedS = await index(runsDir, run.runId);
  const times: number[] = [];
  for (let opening = 0; opening <= NUM_OPENINGS; opening++) {
    dropFromCache(folder);
    const server = startLocmoe(['inspect', '--runs-dir', runsDir, '--http', '127.0.0.1:0']);
    try {
      const [, url] = await untilSaid(server, /page: (http:\S+)/, 'where its page is');
      const started = performance.now();
      const page = await browser.page(url!);
      await page.evaluate(ONCE_DRAWN);
      times.push(performance.now() - started);
      await page.close();
    } finally {
      server.kill('SIGTERM');
    }
  }
  // The first opening warms up the browser.
  const counted = times.slice(1);
  const gigabytes = statSync(path.join(folder, 'metrics.ndjson')).size / 1e9;
  return {
    value: median(counted),
    note: `median of ${counted.length}, ${Math.round(Math.min(...counted))} to ${Math.round(Math.max(...counted))}; ${gigabytes.toFixed(1)} GB of metrics, indexed once in ${Math.round(indexedS)} s`,
  };
}

/** Makes the index that a process that leads a run keeps. @returns how long that took in s */
async function index(runsDir: string, runId: string): Promise<number> {
  const { routes } = pageFeature(runsDir);
  const started = performance.now();
  for (;;) {
    const response = await routes.request(`http://localhost/api/runs/${runId}/metrics?layer=all`);
    const reply = (await response.json()) as MetricsReply;
    if (reply.reading === null) {
      assertEqual('steps that the page has read', reply.numRows, STEPS);
      return (performance.now() - started) / 1e3;
    }
    if (performance.now() - started > INDEX_TIMEOUT_MS) throw new Error('the metrics are not read in time');
    await sleep(POLL_MS);
  }
}

/** Needs no rights, and takes nothing from others. */
function dropFromCache(folder: string): void {
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    const file = path.join(folder, name);
    if (statSync(file).isFile())
      execFileSync('dd', [`if=${file}`, 'iflag=nocache', 'count=0', 'status=none'], { stdio: 'inherit' });
  }
}

/** Runs in the browser; resolves once the loss line is drawn, the last step is shown, and the expert load is there. */
const ONCE_DRAWN = `new Promise((resolve) => {
  const isDrawn = () => {
    const canvas = document.querySelector('.chart canvas');
    if (canvas === null || document.querySelector('.heat-moment td') === null) return false;
    if (!document.querySelector('.numbers').textContent.includes('${STEPS} / ${STEPS}')) return false;
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(data.buffer)).size > 8;
  };
  const look = () => (isDrawn() ? resolve() : requestAnimationFrame(look));
  look();
})`;
