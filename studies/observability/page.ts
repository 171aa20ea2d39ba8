// Frame rate of the page with a live tail while 8 ranks train.
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TestBrowser } from '../../packages/page/test/browser.js';
import { endOf, untilSaid } from '../kit/locmoe.js';
import { type Bench, inFolder, startTraining } from './support.js';

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
      return [
        {
          name: 'pageFps',
          meaning: 'frames of the page while 8 ranks train and its tail is live',
          unit: '1/s',
          value: (1e3 * frames) / ms,
          target: 30,
          note: `over ${WATCH_MS / 1e3} s, in which ${rows} log rows came`,
        },
      ];
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
