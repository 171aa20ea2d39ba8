import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { HttpServer } from '@locmoe/logs/http';
import { pageFeature } from '@locmoe/page';
import { RunFolder } from '@locmoe/run-format';
import { type RouteRow, readRoutes } from '@locmoe/run-format/routes-file';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seriousViolations } from '../../packages/page/test/accessibility.js';
import { openAnew, screenshot, TestBrowser, whyNoBrowser } from '../../packages/page/test/browser.js';
import { writeRun } from '../../packages/page/test/run-fixture.js';
import { startRunHttp } from '../../src/cli/run-http.js';
import { loadTokenizer } from '../../src/data/tokenizer/tokenizer.js';
import { formatAddress } from '../../src/rpc/address.js';
import { trainToTheEnd } from './support.js';

const reason = whyNoBrowser();
if (reason !== null) console.warn(`SKIPPED: recorded routes are not looked at in a browser: ${reason}`);

const eventually = <T>(value: () => T) => expect.poll(value, { timeout: 60_000 });

/** Some is dropped, by experts that are full and by experts that choose; a token has several choices. */
const SETS = [
  'train.recordRoutes.every=2',
  'train.recordRoutes.share=1',
  'moe.router=locmoe-plus',
  'moe.selection=both',
  'moe.capacityFactor=0.6',
];

/** ms from a click on a token until its way is laid out: the least of some, as the machine has other work too. */
const CLICK_TO_WAY = `(async () => {
  const times = [];
  for (const token of [...document.querySelectorAll('.token')].slice(3, 11)) {
    const begun = performance.now();
    token.click();
    document.querySelector('.way').getBoundingClientRect();
    const isShown = document.querySelector('.token-name').textContent === token.querySelector('.characters').textContent;
    times.push(isShown ? performance.now() - begun : Infinity);
    await new Promise(requestAnimationFrame);
  }
  return Math.min(...times);
})()`;

describe.skipIf(reason !== null)('the routing of a run in the page', () => {
  let folder: string;
  let run: string;
  let rows: RouteRow[];
  let server: HttpServer;
  let browser: TestBrowser;
  let page: Page;
  let origin: string;
  const open = async (hash: string) => {
    await openAnew(page, `${origin}/#run=${path.basename(run)}&view=routing${hash}`);
    await page.waitForSelector('.token');
  };
  const tokens = () => page.locator('.token');
  const state = () => Object.fromEntries(new URLSearchParams(page.url().split('#')[1]));
  const focused = () =>
    page.evaluate<string>(
      `document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent`,
    );
  const choicesOf = (position: number) =>
    rows.filter((row) => row.step === 4 && row.sequence === 0 && row.position === position);

  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'locmoe-routing-'));
    run = await trainToTheEnd({ folder, nodes: 2, workersPerNode: 2, sets: [...SETS, 'train.steps=4'] });
    const { routes } = new RunFolder(run);
    rows = (
      await Promise.all(
        readdirSync(routes)
          .sort()
          .map((name) => readRoutes(path.join(routes, name))),
      )
    ).flat();
    writeRun(path.dirname(run), 'unrecorded');
    const page_ = pageFeature(path.dirname(run));
    server = (await startRunHttp(
      { http: '127.0.0.1:0', runsDir: path.dirname(run), page: page_ },
      null,
      null,
    ))!;
    origin = `http://${formatAddress(server.address)}`;
    browser = await TestBrowser.open();
    page = await browser.page('about:blank');
    await page.setViewportSize({ width: 1440, height: 900 });
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('shows a text of the newest recorded step, with the experts of each token in each layer', async () => {
    await open('');
    expect(await tokens().count()).toBe(32);
    const tokenizer = loadTokenizer(path.join(run, 'checkpoints/step-000004/tokenizer.json'));
    const ids = Array.from({ length: 32 }, (_, position) => choicesOf(position)[0]!.token);
    const shown = await page.locator('.characters').allTextContents();
    // White space has characters that can be seen; one that goes on in the next token is an ellipsis.
    const plain = (text: string) => text.replaceAll(/[\s\d␣↵⇥…]/g, '');
    expect(plain(shown.join(''))).toBe(plain(tokenizer.decode(ids)));
    for (const position of [0, 9, 31]) {
      const chips = tokens().nth(position).locator('.expert-chip');
      const expected = choicesOf(position);
      expect(await chips.allTextContents()).toEqual(expected.map(({ expert }) => String(expert)));
      const classes = await Promise.all(expected.map((_, index) => chips.nth(index).getAttribute('class')));
      expect(classes).toEqual(expected.map(({ outcome }) => `expert-chip is-${outcome.replace(' ', '-')}`));
    }
    await page.selectOption('[aria-label="layers of the text"]', '2');
    expect(await tokens().first().locator('.takers').count()).toBe(1);
    await page.selectOption('[aria-label="recorded step"]', '2');
    await eventually(() => state().recorded).toBe('2');
    await tokens().first().press('n');
    await eventually(() => state().recorded).toBeUndefined();
  });

  it('shows the way of a token that is clicked, within 100 ms, with all that decided it', async () => {
    await open('');
    expect(await page.evaluate<number>(CLICK_TO_WAY)).toBeLessThan(100);
    await tokens().nth(9).click();
    const way = page.locator('.way tbody tr');
    const expected = choicesOf(9);
    expect(await way.count()).toBe(expected.length);
    const head = await page.locator('.way thead th').allTextContents();
    const cells = async (name: string) => {
      const at = head.indexOf(name);
      return Promise.all(expected.map((_, index) => way.nth(index).locator('th, td').nth(at).textContent()));
    };
    expect(await cells('layer')).toEqual(expected.map(({ layer }) => String(layer)));
    expect(await cells('on')).toEqual(
      expected.map((row) => `rank ${row.expertRank}, node ${row.expertNode}`),
    );
    for (const name of ['gate', 'score', 'margin', 'weight'] as const)
      expect(await cells(name)).toEqual(expected.map((row) => row[name]!.toFixed(3)));
    const outcomes = { kept: /^kept, /, 'over capacity': /expert was full/, 'not chosen': /did not choose/ };
    for (const [index, text] of (await cells('outcome')).entries())
      expect(text).toMatch(outcomes[expected[index]!.outcome]);
    expect(await page.locator('.way .picture').count()).toBe(expected.length);
    await screenshot(page, 'routing-way-light');
  });

  it('is reached by the keyboard: a token, its way, an expert, and back', async () => {
    await open('');
    await page.locator('[aria-label="layers of the text"]').focus();
    await page.keyboard.press('Tab');
    expect(await focused()).toBe(await tokens().first().textContent());
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('Enter');
    expect(state().token).toBe('1');
    // The way follows the arrows.
    await page.keyboard.press('ArrowRight');
    expect(state().token).toBe('2');
    await page.keyboard.press('End');
    await page.keyboard.press('Home');
    expect(state().token).toBe('0');
    await page.keyboard.press('Tab');
    expect(await focused()).toBe('close (Esc)');
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    const { layer, expert } = choicesOf(0)[0]!;
    expect(await focused()).toBe(`expert ${expert} of layer ${layer}: its tokens`);
    await page.keyboard.press('Enter');
    await eventually(() => page.locator('.detail-card h2').textContent()).toContain(
      `Expert ${expert} of layer ${layer}`,
    );
    await page.keyboard.press('Escape');
    await eventually(() => state().expert).toBeUndefined();
    expect(await focused()).toBe(await tokens().first().textContent());
    await page.keyboard.press('Escape');
    expect(await page.locator('.detail-card').isVisible()).toBe(false);
    // One stop of Tab for the experts of the step.
    await page.locator('[aria-label="what the load of experts shows"]').focus();
    await page.keyboard.press('Tab');
    expect(await focused()).toMatch(/^layer 1, expert 0: /);
    await page.keyboard.press('ArrowDown');
    expect(await focused()).toMatch(/^layer 2, expert 0: /);
    await page.keyboard.press('Tab');
    expect(await focused()).not.toMatch(/^layer/);
  });

  it('shows of an expert its tokens, its domains and its load over the run, and leaves colour to it alone', async () => {
    await open('&expert=1.0');
    const ofLayer = rows.filter((row) => row.step === 4 && row.layer === 1);
    const own = ofLayer.filter(({ expert }) => expert === 0);
    await eventually(() => page.locator('.detail-words').textContent()).toMatch(
      new RegExp(`^${own.length} of ${ofLayer.length} choices of the layer`),
    );
    const counts = new Map<number, number>();
    for (const { token } of own) counts.set(token, (counts.get(token) ?? 0) + 1);
    expect(await page.locator('.taken').first().locator('li .number:not(.hint)').first().textContent()).toBe(
      String(Math.max(...counts.values())),
    );
    await eventually(() => page.locator('.expert-load .curve').count()).toBe(1);
    expect(await page.locator('.token.hit').count()).toBe(
      new Set(own.filter(({ sequence }) => sequence === 0).map(({ position }) => position)).size,
    );
    await screenshot(page, 'routing-expert-light');
  });

  it('has the bytes of the recorded choices from rank to rank and from node to node', async () => {
    await open('');
    const kept = rows.filter((row) => row.step === 4 && row.outcome === 'kept');
    const bytes = kept
      .filter((row) => row.rank === 0 && row.expertRank === 2)
      .reduce((sum, row) => sum + row.bytes, 0);
    const cell = page.locator('.link-matrix tbody tr').first().locator('td').nth(2);
    expect(await cell.getAttribute('title')).toBe(
      `rank 0 to rank 2: ${bytes >= 1e3 ? `${(bytes / 1e3).toFixed(1)} kB` : `${bytes} B`}`,
    );
    await page.selectOption('[aria-label="places of the links"]', 'node');
    expect(await page.locator('.link-matrix tbody tr').count()).toBe(2);
  });

  it('is what a link says, fits a phone, and has nothing serious for axe, light and dark', async () => {
    // Each theme with one of them: all colours are in both.
    for (const [hash, colorScheme] of [
      ['&recorded=2&sequence=3&token=17', 'light'],
      ['&recorded=2&sequence=3&expert=2.1', 'dark'],
    ] as const) {
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      await page.setViewportSize({ width: 1440, height: 900 });
      await open(hash);
      await eventually(() => page.locator('.detail-body > *').count()).toBeGreaterThan(0);
      expect(await page.locator('[aria-label="recorded step"]').inputValue()).toBe('2');
      expect(await page.locator('[aria-label="sequence"]').inputValue()).toBe('3');
      if (hash.includes('token')) expect(await tokens().nth(17).getAttribute('aria-selected')).toBe('true');
      expect(await seriousViolations(page), `${hash}, ${colorScheme}`).toEqual([]);
      await page.setViewportSize({ width: 390, height: 844 });
      await eventually(() => page.evaluate('document.documentElement.scrollWidth')).toBe(390);
      await screenshot(page, `routing-390-${colorScheme}`);
    }
    await page.emulateMedia({ colorScheme: 'light' });
    await page.setViewportSize({ width: 1440, height: 900 });
    await openAnew(page, `${origin}/#run=${path.basename(run)}&view=routing&recorded=3`);
    await eventually(() => page.textContent('.routing-problem')).toContain(
      'no routes are recorded of step 3',
    );
    browser.problems.length = 0;
  });

  it('says of a run that recorded none how to record', async () => {
    await openAnew(page, `${origin}/#run=unrecorded&view=routing`);
    await eventually(() => page.textContent('.no-routes')).toContain('train.recordRoutes');
    expect(await page.locator('.no-routes .command code').textContent()).toMatch(
      /^\S+cli\.ts train --config .*config\.json --set train\.recordRoutes\.every=50$/,
    );
    expect(await seriousViolations(page)).toEqual([]);
    expect(browser.problems).toEqual([]);
  });
});
