// Frame rate of the page with a live tail while 8 ranks train.
import { spawn } from 'node:child_process';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { TestBrowser, whyNoBrowser } from '../../page/test/browser.js';
import { type Bench, inFolder, type Measurement } from './support.js';

const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const START_TIMEOUT_MS = 180_000;
const WATCH_MS = 15_000;

/**
 * Needs Chromium and `npm run build`.
 *
 * @throws Error without a browser, or if the page shows wrong content
 */
export const measurePage: Bench = async () => {
  const reason = whyNoBrowser();
  if (reason !== null) throw new Error(reason);
  return inFolder(async (folder) => [await measureFrames(folder)]);
};

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
