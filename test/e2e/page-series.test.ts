import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { HttpServer } from '@locmoe/logs/http';
import { pageFeature } from '@locmoe/page';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  openAnew,
  pointAt,
  screenshot,
  TestBrowser,
  whyNoBrowser,
} from '../../packages/page/test/browser.js';
import { SMALL_RUN, type SyntheticRun, writeSyntheticRun } from '../../packages/page/test/synthetic-run.js';
import { startRunHttp } from '../../src/cli/run-http.js';
import { formatAddress } from '../../src/rpc/address.js';

const reason = whyNoBrowser();
if (reason !== null) console.warn(`SKIPPED: lines of charts are not tested in a browser: ${reason}`);

const eventually = <T>(value: () => T) => expect.poll(value, { timeout: 60_000 });

const STEPS = 2_500;
const SPIKE = 1_700;
/** Two ranges, one of them at the end. */
const RUN: SyntheticRun = {
  ...SMALL_RUN,
  runId: 'skips',
  spikeStep: SPIKE,
  skippedSteps: [800, 801, 802, 2_499, 2_500],
};

describe.skipIf(reason !== null)('lines of a chart', { timeout: 120_000 }, () => {
  let runsDir: string;
  let server: HttpServer;
  let browser: TestBrowser;
  let page: Page;
  let origin: string;
  const open = async (hash: string) => {
    await openAnew(page, `${origin}/#run=skips${hash}`);
    await page.waitForSelector('.chart .u-over', { timeout: 60_000 });
    await page.waitForSelector('.heat:not([hidden]) canvas', { timeout: 60_000 });
  };
  const card = (title: string) => page.locator(`.card[aria-label="${title}"]`);
  const entry = (title: string, label: string) => card(title).locator('.legend button', { hasText: label });
  /** Reddish pixels of a chart, whose lines have other colours. */
  const redPixels = (title: string) =>
    page.evaluate<number>(`(() => {
      const canvas = document.querySelector('.card[aria-label="${title}"] canvas');
      const { data } = canvas.getContext('2d').getImageData(0, canvas.height * 0.6, canvas.width, canvas.height * 0.4);
      let count = 0;
      for (let at = 0; at < data.length; at += 4)
        if (data[at] > 180 && data[at + 1] < 70 && data[at + 2] < 70) count++;
      return count;
    })()`);

  beforeAll(async () => {
    runsDir = mkdtempSync(path.join(tmpdir(), 'locmoe-series-'));
    writeSyntheticRun(runsDir, RUN, { steps: STEPS });
    server = (await startRunHttp({ http: '127.0.0.1:0', runsDir, page: pageFeature(runsDir) }, null, null))!;
    origin = `http://${formatAddress(server.address)}`;
    browser = await TestBrowser.open();
    page = await browser.page('about:blank');
    await page.setViewportSize({ width: 1280, height: 900 });
  });

  afterAll(async () => {
    await browser?.close();
    server?.close();
    rmSync(runsDir, { recursive: true, force: true });
  });

  it('that end with skipped steps have no last value, and a mark where the steps were skipped', async () => {
    await open('');
    await eventually(() => entry('Loss', 'training').textContent()).toBe('trainingnot finite');
    expect(await entry('Gradient norm', 'norm').textContent()).toBe('normnot finite');
    expect(await entry('Auxiliary loss', 'all layers').textContent()).toBe('all layersnot finite');
    expect(await entry('Learning rate', 'learning rate').textContent()).toBe('learning rate0.00300');
    expect(await redPixels('Gradient norm')).toBeGreaterThan(10);
    expect(await redPixels('Tokens per second')).toBe(0);
    await screenshot(page, 'skips-overview');
  });

  it('are hidden and shown by a click on the legend, by the keyboard, and by a link', async () => {
    await open('');
    expect(await card('Loss').getAttribute('class')).toContain('wide');
    expect(await card('Gradient norm').getAttribute('class')).not.toContain('wide');
    const drawn = () => entry('Loss', 'zh').getAttribute('aria-pressed');
    await entry('Loss', 'zh').click();
    await eventually(drawn).toBe('false');
    expect(page.url()).toContain('hide=loss%3Azh');
    expect(await entry('Loss', 'zh').textContent()).toBe('zhhidden');
    await open(page.url().split('#run=skips')[1]);
    await eventually(drawn).toBe('false');
    await entry('Loss', 'zh').focus();
    await page.keyboard.press('Enter');
    await eventually(drawn).toBe('true');
    // The focus stays where it was.
    await page.keyboard.press('Space');
    await eventually(drawn).toBe('false');
    await entry('Loss', 'training').click({ modifiers: ['Shift'] });
    await eventually(() => card('Loss').locator('.legend button[aria-pressed=true]').count()).toBe(1);
    // A series that is hidden in a stack is no part of its sums.
    await entry('Step time by part', 'backward').click();
    await eventually(() => entry('Step time by part', 'backward').textContent()).toBe('backwardhidden');
  });

  it('lead from a spike to its step: by a click near it, also where other steps are nearer', async () => {
    await open('');
    for (const beside of [-4, 4])
      await eventually(() => pointAt(card('Loss'), (width) => (width * SPIKE) / STEPS + beside)).toBe(
        `step ${SPIKE}`,
      );
    await page.mouse.down();
    await page.mouse.up();
    await eventually(() => page.url()).toContain(String(SPIKE));
  });

  it('are drawn by tokens, as is the expert load, which shows demand, what was kept and what was dropped', async () => {
    await open('&axis=tokens');
    // 2,048 tokens a step.
    await eventually(() => card('Loss').locator('.legend .place').textContent()).toBe(
      'last, at 5.12M tokens',
    );
    const cells = () => card('Expert load').locator('td').first().textContent();
    const demand = await cells();
    await page.selectOption('[aria-label="what expert load shows"]', 'kept');
    await eventually(cells).not.toBe(demand);
    await page.selectOption('[aria-label="what expert load shows"]', 'dropped');
    await eventually(cells).toMatch(/^\d+ %$/);
    expect(page.url()).toContain('load=dropped');
    await screenshot(page, 'skips-tokens');
  });

  it('complained about nothing', () => {
    expect(browser.problems).toEqual([]);
  });
});
