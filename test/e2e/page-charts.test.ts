import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { HttpServer } from '@locmoe/logs/http';
import { pageFeature } from '@locmoe/page';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seriousViolations, showView, THEMES, VIEWS } from '../../packages/page/test/accessibility.js';
import { openAnew, screenshot, TestBrowser, whyNoBrowser } from '../../packages/page/test/browser.js';
import { LARGE_RUN, SMALL_RUN, writeSyntheticRun } from '../../packages/page/test/synthetic-run.js';
import { writeTraces } from '../../packages/page/test/trace-fixture.js';
import { startRunHttp } from '../../src/cli/run-http.js';
import { formatAddress } from '../../src/rpc/address.js';
import { NIGHTLY } from '../nightly.js';

const reason = whyNoBrowser();
if (reason !== null) console.warn(`SKIPPED: the charts are not tested in a browser: ${reason}`);

/** Themes in which axe looks at a run with thousands of elements. */
const LARGE_THEMES = NIGHTLY ? THEMES : (['light'] as const);

const eventually = <T>(value: () => T) => expect.poll(value);

/** Run in the browser, so written as text: the tests themselves know no document. */
const TOPS_OF_CARDS = `[...document.querySelectorAll('.card')].map((card) => card.getBoundingClientRect().top)`;
const WIDER_THAN_SCREEN = `[...document.querySelectorAll('main *')]
  .filter((each) => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('.heat-moment, .links .scrolls, .menu-body'))
  .map((each) => each.className)`;

/** Gathers the upright names of axes that are longer than their canvas has room for. */
const CUT_NAMES = `
  window.cutNames = new Set();
  const { fillText } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
    const { b, f: center } = this.getTransform();
    const room = 2 * Math.min(center, this.canvas.height - center);
    if (b !== 0 && this.measureText(text).width > room) cutNames.add(text);
    return fillText.call(this, text, ...place);
  };`;

describe.skipIf(reason !== null)('charts of a run', () => {
  let runsDir: string;
  let server: HttpServer;
  let browser: TestBrowser;
  let page: Page;
  let origin: string;
  const open = async (hash: string) => {
    await openAnew(page, `${origin}/#${hash}`);
    await page.waitForSelector('.chart .u-over');
    await page.waitForSelector('.heat:not([hidden]) canvas');
  };
  const card = (title: string) => page.locator(`.card[aria-label="${title}"]`);

  beforeAll(async () => {
    runsDir = mkdtempSync(path.join(tmpdir(), 'locmoe-charts-'));
    const small = writeSyntheticRun(runsDir, SMALL_RUN, { steps: 2_500 });
    const large = writeSyntheticRun(runsDir, LARGE_RUN, { steps: 150 });
    writeTraces(small, { numNodes: 2, workersPerNode: 2, steps: [1, 20, 30], slowRank: 1 });
    writeTraces(large, { numNodes: 8, workersPerNode: 8, steps: [100], slowRank: 9 });
    server = (await startRunHttp({ http: '127.0.0.1:0', runsDir, page: pageFeature(runsDir) }, null, null))!;
    origin = `http://${formatAddress(server.address)}`;
    browser = await TestBrowser.open();
    page = await browser.page('about:blank');
  });

  afterAll(async () => {
    await browser?.close();
    server?.close();
    rmSync(runsDir, { recursive: true, force: true });
  });

  it.each(VIEWS)('have nothing serious for axe in %s', async (view) => {
    // A large run has other rows where they are grouped; colours are the same whatever its size.
    const isGrouped = view === 'overview' || view === 'timeline';
    const runs = [
      { ...SMALL_RUN, themes: THEMES },
      ...(isGrouped ? [{ ...LARGE_RUN, themes: LARGE_THEMES }] : []),
    ];
    for (const { runId, themes } of runs) {
      await showView(page, origin, runId, view);
      for (const colorScheme of themes) {
        await page.emulateMedia({ colorScheme });
        expect(await seriousViolations(page), `${runId}, ${colorScheme}`).toEqual([]);
        await screenshot(page, `${runId}-${view}-${colorScheme}`);
      }
      await page.emulateMedia({ colorScheme: 'light' });
    }
  });

  it('stay where they are as the cursor moves, at any width', async () => {
    for (const width of [1280, 1440]) {
      await page.setViewportSize({ width, height: 900 });
      await open('run=small');
      const before = await page.evaluate(TOPS_OF_CARDS);
      const plot = (await card('Loss').locator('.u-over').boundingBox())!;
      for (const share of [0.01, 0.3, 0.9]) {
        await page.mouse.move(plot.x + share * plot.width, plot.y + 50);
        await eventually(() => page.locator('.legend .at').count()).toBeGreaterThanOrEqual(6);
        expect(await page.evaluate(TOPS_OF_CARDS)).toEqual(before);
      }
      await page.mouse.move(0, 0);
    }
  });

  it('let no first step set the scale, unless asked; and a link brings that back', async () => {
    await open('run=small');
    const note = () => card('Step time by part').locator('.beyond').textContent();
    await eventually(note).toBe('1 outlier, to 4.0 s');
    // The chart has the mean of several steps there: the first of them is the one that took long.
    await card('Step time by part').locator('.beyond').click();
    await eventually(() => page.url()).toMatch(/view=timeline.*step=1(?!\d)/);
    await page.goBack();
    await page.click('button:has-text("Show outliers")');
    await eventually(note).toBe('');
    expect(page.url()).toContain('outliers=1');
    await page.selectOption('[aria-label="smoothing of lines"]', 'strong');
    await open(page.url().split('#')[1]);
    await eventually(note).toBe('');
    expect(await page.inputValue('[aria-label="smoothing of lines"]')).toBe('strong');
  });

  it('are enlarged, drawn logarithmically, and saved as a picture and as CSV', async () => {
    await open('run=small');
    await card('Loss').getByRole('button', { name: 'enlarge Loss' }).click();
    await eventually(() => card('Gradient norm').isVisible()).toBe(false);
    const menu = card('Loss').locator('.chart-menu');
    await menu.locator('summary').click();
    await menu.getByLabel('logarithmic scale').check();
    expect(page.url()).toMatch(/log=loss&chart=loss/);
    const saved = async (name: string) => {
      const download = page.waitForEvent('download');
      await menu.getByRole('button', { name }).click();
      return readFileSync(await (await download).path());
    };
    expect((await saved('picture')).subarray(1, 4).toString()).toBe('PNG');
    const [head, first, ...rows] = (await saved('CSV')).toString().trim().split('\n');
    expect(head).toBe('step,training,en,zh,code,telecom');
    expect(first).toMatch(/^1,\d\.\d+,,,,$/);
    expect(rows.at(-1)).toMatch(/^2500(,\d\.\d+){5}$/);
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await eventually(() => card('Gradient norm').isVisible()).toBe(true);
  });

  it('draw every run that overlays, in each of them', async () => {
    await open('run=small&with=large');
    const both = page.locator('.chart .legend').filter({ hasText: 'small' }).filter({ hasText: 'large' });
    await eventually(() => both.count()).toBe(10);
    // The legend names the last step of all.
    expect(await card('Loss').locator('.legend').textContent()).toMatch(
      /^last, step 2500small\d\.\d+large\d\.\d+, step 150$/,
    );
    expect(await card('Ranks over time').locator('h2').textContent()).toBe('Ranks over time of small');
  });

  it('have the bytes by link beside the experts, by rank and by node, at any moment, with the keyboard', async () => {
    await page.setViewportSize({ width: 390, height: 844 });
    await open('run=small');
    const links = card('Bytes by link');
    const cells = () => links.locator('tbody td').allTextContents();
    const shown = await cells();
    expect(shown).toHaveLength(16);
    expect([shown[0], shown[5]]).toEqual(['·', '·']);
    expect(await links.locator('tbody td').nth(1).getAttribute('title')).toMatch(
      /^rank 0 to rank 1: 1\d\d.* kB$/,
    );
    await page.getByRole('slider', { name: 'moment' }).focus();
    await page.keyboard.press('Home');
    await eventually(() => links.locator('small').textContent()).toMatch(/^rows of tokens, steps 1 to /);
    expect(await cells()).not.toEqual(shown);
    await links.getByRole('group').focus();
    const picker = links.getByLabel('what sends and receives');
    await picker.selectOption('node');
    expect(await cells()).toHaveLength(4);
    expect(await links.locator('.hint').textContent()).toMatch(
      / a step, \d+ % of them between nodes; the busiest/,
    );
    expect(await page.locator('.numbers').textContent()).toMatch(
      /max\/meanload 1\.\d\d · time 1\.\d\d · bytes 1\.\d\d/,
    );
    expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
    const choice = card('What decides the choice').locator('.legend');
    expect(await choice.textContent()).toMatch(/as the last token with the id.*first of the gate.*entropy/);
    await open('run=large');
    expect(await cells()).toHaveLength(64);
    await page.setViewportSize({ width: 1280, height: 900 });
  });

  it("give way to the timeline of another run, which begins with that run's newest step", async () => {
    await openAnew(page, `${origin}/#run=small&view=timeline&step=20&generation=1`);
    await eventually(() => page.inputValue('.timeline-tools input')).toBe('20');
    const rows = page.locator('.timeline-tools button', { hasText: /Expand ranks|One row a rank/ });
    await eventually(() => rows.textContent()).toBe('One row a rank');
    await page.keyboard.press('r');
    await page.click('[data-run=large]');
    await eventually(() => page.inputValue('.timeline-tools input')).toBe('100');
    expect(page.url()).not.toMatch(/step=|generation=/);
    // 64 ranks begin with one row each.
    expect(await rows.textContent()).toBe('Expand ranks');
  });

  it('show 64 ranks by node and 64 experts by layer, which open', async () => {
    await page.setViewportSize({ width: 1280, height: 900 });
    await open('run=large');
    const groups = (title: string) => card(title).locator('.row-labels button');
    await eventually(() => groups('Ranks over time').count()).toBe(8);
    expect(await card('Memory by rank').locator('.legend .entry').count()).toBe(3);
    await groups('Ranks over time').nth(1).click();
    await eventually(() => card('Ranks over time').locator('.row-labels > div').count()).toBe(16);
    await eventually(() => groups('Expert load').count()).toBe(16);
    expect(await card('Expert load').locator('.row-labels > div').count()).toBe(16 + 64);
    expect(await card('Expert load').locator('thead th').allTextContents()).toEqual(['expert', 'layer 1']);
    await groups('Expert load').nth(2).click();
    await eventually(() => card('Expert load').locator('thead th').count()).toBe(3);
    expect(await card('Expert load').locator('tbody tr').count()).toBe(64);
    expect(page.url()).toMatch(/layers=1%2C5&nodes=node1/);
    await screenshot(page, 'large-open');
  });

  it('tell by keyboard what lies where in lanes and expert load', async () => {
    await open('run=small');
    for (const [title, words] of [
      ['Ranks over time', /^rank 1, \d\d:\d\d:\d\d \S+, training, step \d+/],
      ['Expert load', /^layer 1, expert 0, steps \d+ to \d+, demand \d\.\d\dx a fair share/],
    ] as const) {
      await card(title).locator('.row-plot').focus();
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('ArrowDown');
      await page.keyboard.press('ArrowLeft');
      expect(await card(title).locator('[role=status]').textContent()).toMatch(words);
      expect(await card(title).locator('.tip').isVisible()).toBe(true);
      await page.keyboard.press('Escape');
      expect(await card(title).locator('.tip').isVisible()).toBe(false);
    }
  });

  it('are never wider than their cards, not even until they are drawn anew', async () => {
    await page.setViewportSize({ width: 1280, height: 900 });
    await open('run=small');
    // In one go: a chart hears of its new size only afterwards.
    const narrowed = `(() => {
      const cards = [...document.querySelectorAll('.card.chart')];
      for (const card of cards) card.style.width = '360px';
      const wider = cards.filter((card) => card.scrollWidth > card.clientWidth);
      for (const card of cards) card.style.width = '';
      return wider.map((card) => card.ariaLabel);
    })()`;
    expect(await page.locator('.card.chart').count()).toBeGreaterThanOrEqual(6);
    expect(await page.evaluate(narrowed)).toEqual([]);
  });

  it('fit a phone, where a tap shows a place and a second one opens it', async () => {
    const tab = await browser.page('about:blank');
    await tab.addInitScript(CUT_NAMES);
    await tab.setViewportSize({ width: 390, height: 844 });
    for (const [runId, view] of [
      ['large', 'overview'],
      ['small', 'logs'],
      ['small', 'overview'],
    ] as const) {
      await showView(tab, origin, runId, view);
      expect(await tab.evaluate(WIDER_THAN_SCREEN)).toEqual([]);
      await screenshot(tab, `${runId}-${view}-phone`);
    }
    expect(await tab.evaluate('[...cutNames]')).toEqual([]);
    const session = await browser.context.newCDPSession(tab);
    await session.send('Emulation.setTouchEmulationEnabled', { enabled: true });
    const lanes = tab.locator('.lanes .row-plot canvas');
    await lanes.scrollIntoViewIfNeeded();
    const box = (await lanes.boundingBox())!;
    const tap = async () => {
      const touchPoints = [{ x: box.x + box.width / 2, y: box.y + 30 }];
      await session.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints });
      await session.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
    };
    await tap();
    await eventually(() => tab.locator('.lanes .tip').isVisible()).toBe(true);
    expect(tab.url()).not.toContain('rank');
    await tap();
    await eventually(() => tab.url()).toMatch(/view=logs.*rank/);
    await tab.close();
  });

  it('complained about nothing', () => {
    expect(browser.problems).toEqual([]);
  });
});
