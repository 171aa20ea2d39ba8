import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunList } from '../../packages/page/src/api-types.js';
import { screenshot, TestBrowser, whyNoBrowser } from '../../packages/page/test/browser.js';
import { CLI, Locmoe, locmoe, newestRun, trainArguments, trainToTheEnd, UNHURRIED } from './support.js';

const reason = whyNoBrowser();
if (reason !== null) console.warn(`SKIPPED: the page is not tested in a browser: ${reason}`);

const HTML_LINE = '<img src=x onerror="document.title=1"><b>bold</b> & <script>alert(1)</script>';

/** Waits until what `value` returns is as expected. */
const eventually = <T>(value: () => T) => expect.poll(value);

/** Run in the browser, so written as text: the tests themselves know no document. */
const COLORS_OF_CANVASES = `[...document.querySelectorAll('.chart canvas, .heat canvas')].map((canvas) => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
})`;
const BRIGHTNESS = `Number(/\\d+/.exec(getComputedStyle(document.body).backgroundColor)[0])`;
const CONTROLS_WITHOUT_NAME = `[...document.querySelectorAll('button, select, input, summary')].filter(
  (control) => !(control.closest('label') ?? control).textContent.trim() && !control.getAttribute('aria-label') && !control.title && !control.hidden,
).map((control) => control.outerHTML)`;

describe.skipIf(reason !== null)('the page of a live run', () => {
  let run: Locmoe;
  let folder: string;
  let url: string;
  let browser: TestBrowser;
  let page: Page;
  const rows = () => page.locator('.line-body .row');
  const query = () => page.inputValue('.query');

  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'locmoe-page-'));
    run = new Locmoe(
      trainArguments({
        folder,
        nodes: 2,
        workersPerNode: 1,
        sets: [
          'train.steps=100000',
          'logLevel=debug',
          'train.validateEvery=10',
          'train.checkpointEvery=20',
          'train.recordRoutes.every=10',
        ],
      }),
      UNHURRIED,
    );
    [, url] = await run.until(/page: (http:\S+)/, 120_000);
    await run.until(/step +(?:[2-9]\d|\d{3,})\/100000/, 120_000);
    browser = await TestBrowser.open();
    page = await browser.page(url);
  });

  afterAll(async () => {
    await browser?.close();
    for (const pid of run?.descendants() ?? []) process.kill(pid, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  it('has no token left in its address, and opens without from then on, in this browser alone', async () => {
    expect(new URL(url).searchParams.get('token')).toMatch(/^[\w-]{43}$/);
    await page.waitForSelector('.chart .u-over');
    expect(page.url()).toBe(url.replace(/\?token=[^#]*/, ''));
    const again = await browser.page(page.url());
    await again.waitForSelector('.chart .u-over');
    await again.close();
    expect((await fetch(page.url())).status).toBe(401);
  });

  it('draws every chart, and goes on as the run does', async () => {
    await page.waitForSelector('.chart .u-over');
    await page.waitForSelector('.heat-moment td');
    const inks = await page.evaluate<number[]>(COLORS_OF_CANVASES);
    // Six of the seven charts at least: memory needs heartbeats, which an old run has not.
    expect(inks.length).toBeGreaterThanOrEqual(7);
    for (const numColors of inks) expect(numColors).toBeGreaterThan(3);
    const step = async () => Number(/step(\d+)/.exec((await page.textContent('.numbers'))!)?.[1]);
    const before = await step();
    await eventually(step).toBeGreaterThan(before + 3);
    expect(await page.textContent('.numbers')).toMatch(/running.*tokens\/s\d.*left\d/);
    await screenshot(page, 'overview-light');
  });

  it('has one cursor over all charts, and zooms them together', async () => {
    const plot = (await page.locator('.chart .u-over').first().boundingBox())!;
    await page.mouse.move(plot.x + plot.width / 2, plot.y + 40);
    await eventually(() => page.locator('.legend .at').count()).toBeGreaterThanOrEqual(6);
    await page.mouse.move(plot.x + plot.width / 4, plot.y + 40);
    await page.mouse.down();
    await page.mouse.move(plot.x + plot.width / 2, plot.y + 40, { steps: 4 });
    await page.mouse.up();
    await eventually(() => page.url()).toMatch(/range=/);
    await page.mouse.dblclick(plot.x + plot.width / 3, plot.y + 40);
    await eventually(() => page.url()).not.toMatch(/range=/);
  });

  it('leads from a point of a chart to the lines of its step on all ranks', async () => {
    const plot = (await page.locator('.chart .u-over').first().boundingBox())!;
    await page.mouse.move(plot.x + plot.width / 3, plot.y + 60);
    await page.mouse.click(plot.x + plot.width / 3, plot.y + 60);
    await page.getByRole('button', { name: 'Log lines, all ranks' }).click();
    await eventually(query).toMatch(/^\{run="micro-.*"\} \| json \| step = (\d+) or failure_step = \1$/);
    const step = /step = (\d+)/.exec(await query())![1];
    await expect
      .poll(async () => new Set(await rows().locator('.origin').allTextContents()))
      .toEqual(new Set(['r0', 'r1']));
    expect(new Set(await rows().locator('.step').allTextContents())).toEqual(new Set([step]));
    await page.goBack();
    await page.waitForSelector('.step-panel:not([hidden])');
    await page.goBack();
    await page.waitForSelector('.overview:not([hidden])');
  });

  it('leads from the step time to the timeline of a step, which mouse and keyboard read', async () => {
    const chart = page.locator('.chart', { hasText: 'Step time by part' }).locator('.u-over');
    const plot = (await chart.boundingBox())!;
    await page.mouse.move(plot.x + plot.width / 2, plot.y + 40);
    await page.mouse.click(plot.x + plot.width / 2, plot.y + 40);
    await eventually(() => page.url()).toMatch(/view=timeline.*step=\d+/);
    await eventually(() => page.textContent('.timeline-about')).toMatch(/\d m?s from \d\d:\d\d:\d\d\.\d{3}/);
    const step = Number(/step=(\d+)/.exec(page.url())![1]);
    expect(await page.inputValue('.timeline-tools input')).toBe(String(step));
    const tip = page.locator('.timeline-tip');
    await page.locator('.timeline-lanes').focus();
    await page.keyboard.press('ArrowRight');
    await eventually(() => tip.textContent()).toMatch(/rank0.*took\d/);
    await page.keyboard.press('ArrowDown');
    await eventually(() => tip.textContent()).toMatch(/rank1.*took\d/);
    await page.keyboard.press('Escape');
    await eventually(() => tip.isVisible()).toBe(false);
    const canvas = (await page.locator('.timeline-canvas').boundingBox())!;
    // The phases of the first rank, right of the names; a step that waits for another has them elsewhere.
    let share = 0.2;
    await eventually(async () => {
      share = share > 0.9 ? 0.2 : share + 0.05;
      await page.mouse.move(canvas.x + share * canvas.width, canvas.y + 52);
      return tip.textContent();
    }).toMatch(/(for|back)ward/);
    await screenshot(page, 'timeline');
    await page.keyboard.press(']');
    await eventually(() => page.url()).toMatch(new RegExp(`step=${step + 1}`));
    await page.keyboard.press('1');
    await page.waitForSelector('.overview:not([hidden])');
  });

  it('filters by a level of the histogram, and takes it back', async () => {
    await page.keyboard.press('2');
    await page.click('.level[data-level="info"]');
    await eventually(query).toContain('level="info"');
    await eventually(() => rows().count()).toBeGreaterThan(3);
    await eventually(() => page.locator('.line-body .row:not(.level-info)').count()).toBe(0);
    // The other levels stay in the legend, to be chosen instead.
    await page.click('.level[data-level="debug"]');
    await eventually(query).toContain('level="debug"');
    await eventually(() => page.locator('.line-body .row:not(.level-debug)').count()).toBe(0);
    await page.click('.level[data-level="debug"]');
    await eventually(query).not.toContain('level');
  });

  it('opens a line: fields that edit the query, a column, and the lines around it', async () => {
    await page.fill('.query', `{run="${runId(url)}", rank="1"} |= "step"`);
    await page.keyboard.press('Enter');
    await eventually(() => rows().locator('mark').count()).toBeGreaterThan(3);
    await rows().nth(5).click();
    await page.click('.details button:has-text("Context")');
    await eventually(() => page.locator('.context-line').count()).toBeGreaterThan(10);
    const before = await page.locator('.context-line').count();
    await page.click('.context button:has-text("more before")');
    await eventually(() => page.locator('.context-line').count()).toBeGreaterThan(before);
    const times = await page.locator('.context-line time').allTextContents();
    expect(times).toEqual(times.toSorted());
    await screenshot(page, 'logs-light');
    await page.click('.details [aria-label="show loss as a column"]');
    await eventually(() => page.locator('.line-head .column').allTextContents()).toEqual(['loss']);
    expect(await rows().first().locator('.column').textContent()).toMatch(/^\d+\.\d+$/);
    await rows().first().click();
    await page.click('.details [aria-label^="only lines where step is"]:not([aria-label*="not"])');
    await eventually(query).toMatch(/\| json \| step="\d+"$/);
    await eventually(() => rows().count()).toBe(1);
  });

  it('shows lines as text, whatever is in them', async () => {
    const record = {
      level: 'warn',
      time: Date.now(),
      run: runId(url),
      generation: 1,
      rank: 1,
      msg: HTML_LINE,
    };
    appendFileSync(path.join(newestRun(folder), 'logs', 'node-0.ndjson'), `${JSON.stringify(record)}\n`);
    await page.fill('.query', `{run="${runId(url)}", level="warn"} |= "img src"`);
    await page.keyboard.press('Enter');
    await eventually(() => rows().locator('.message').allTextContents()).toEqual([HTML_LINE]);
    await rows().first().click();
    expect(await page.locator('.lines img, .lines b:not(.count), .lines script').count()).toBe(0);
    expect(await page.title()).not.toBe('1');
  });

  it('says where a query is wrong', async () => {
    await page.fill('.query', '{run="a"} |= ');
    await page.keyboard.press('Enter');
    await eventually(() => page.textContent('.query-error')).toMatch(/parse error/);
    expect(await page.locator('.error-place mark').count()).toBe(1);
    // Nothing is left of the query before.
    expect(await page.locator('.lines, .histogram, .metric-result').filter({ visible: true }).count()).toBe(
      0,
    );
    // Both the lines and their histogram are refused, in any order.
    await eventually(() => browser.problems.length).toBe(2);
    expect(browser.problems.splice(0).every((problem) => problem.includes('400'))).toBe(true);
  });

  it('restores a view from its link', async () => {
    await page.fill('.query', `{run="${runId(url)}", rank="0"} |= "step"`);
    await page.keyboard.press('Enter');
    await page.click('.toolbar button:has-text("Newest first")');
    await page.selectOption('.toolbar select', 'numbers');
    await eventually(() => page.locator('.count:not(:empty)').count()).toBeGreaterThan(0);
    const other = await browser.page(page.url());
    await other.waitForSelector('.line-body .row');
    expect(await other.inputValue('.query')).toBe(await query());
    expect(await other.textContent('.toolbar')).toContain('Oldest first');
    const first = (view: Page) => view.locator('.line-body .row .message').first().textContent();
    expect(await first(other)).toBe(await first(page));
    await other.close();
    await page.selectOption('.toolbar select', 'none');
    await page.click('.toolbar button:has-text("Oldest first")');
  });

  it('follows the log, pauses, goes on, and clears', async () => {
    await page.fill('.query', `{run="${runId(url)}"}`);
    await page.keyboard.press('Enter');
    await page.click('.live');
    await eventually(() => rows().count()).toBeGreaterThan(10);
    const newest = () => rows().first().locator('.step').textContent();
    const before = Number(await newest());
    await eventually(async () => Number(await newest())).toBeGreaterThan(before);
    await screenshot(page, 'tail-light');
    await page.click('button:has-text("Pause")');
    const paused = await rows().count();
    await page.waitForTimeout(1_500);
    expect(await rows().count()).toBe(paused);
    await page.click('button:has-text("Resume")');
    await eventually(() => rows().count()).toBeGreaterThan(paused);
    await page.click('button:has-text("Clear")');
    expect(await rows().count()).toBeLessThan(paused);
    await page.click('.live');
    expect(await page.textContent('.tail-status')).toBe('');
  });

  it('is dark where the system is, or when asked', async () => {
    const brightness = () => page.evaluate<number>(BRIGHTNESS);
    expect(await brightness()).toBeGreaterThan(200);
    await page.emulateMedia({ colorScheme: 'dark' });
    await eventually(brightness).toBeLessThan(60);
    await screenshot(page, 'logs-dark');
    await page.keyboard.press('1');
    await page.waitForSelector('.chart .u-over');
    await screenshot(page, 'overview-dark');
    await page.keyboard.press('t');
    await eventually(brightness).toBeGreaterThan(200);
  });

  it('is used with the keyboard alone', async () => {
    // Slow answers, as on a busy machine.
    const queries = '**/loki/api/v1/query_range*';
    await page.route(queries, async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 400));
      await route.continue();
    });
    await page.keyboard.press('?');
    expect(await page.locator('dialog.help').isVisible()).toBe(true);
    await page.keyboard.press('Escape');
    await page.keyboard.press('/');
    expect(await page.evaluate('document.activeElement.className')).toBe('query');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Escape');
    // Not the rows of the query before, which the answer replaces together with their focus.
    await page.waitForSelector('.lines[aria-busy="false"]');
    await eventually(() => rows().count()).toBeGreaterThan(3);
    await page.keyboard.press('j');
    await page.keyboard.press('j');
    await page.keyboard.press('Enter');
    await eventually(() => rows().nth(1).getAttribute('aria-expanded')).toBe('true');
    const nameless = await page.evaluate<string[]>(CONTROLS_WITHOUT_NAME);
    expect(nameless).toEqual([]);
    await page.unrouteAll({ behavior: 'wait' });
  });

  it('gets the routes of the steps as they are recorded', async () => {
    await page.keyboard.press('5');
    await page.waitForSelector('.token');
    const newest = async () => Number(await page.locator('[aria-label="recorded step"]').inputValue());
    const first = await newest();
    expect(first).toBeGreaterThan(0);
    await eventually(newest).toBeGreaterThan(first);
  });

  it('complained about nothing, and broke no policy', () => {
    expect(browser.problems).toEqual([]);
  });

  it('is named by locmoe inspect', async () => {
    const told = await locmoe('inspect', '--runs-dir', path.join(folder, 'runs'));
    expect(told.code, told.stderr).toBe(0);
    expect(told.stdout).toContain(`its page: ${url}`);
  });
});

describe('locmoe inspect', () => {
  let folder: string;
  let run: string;

  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'locmoe-inspect-'));
    run = await trainToTheEnd({ folder, nodes: 1, workersPerNode: 1, sets: ['train.steps=5'] });
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('serves the runs of a folder, with one chosen, until Ctrl-C', async () => {
    const inspect = new Locmoe(['inspect', '--run', run]);
    const [, url] = await inspect.until(/page: (http:\S+)/);
    expect(runId(url)).toBe(path.basename(run));
    const { address, headers } = await inspect.http();
    const origin = `http://${address}`;
    const list = (await (await fetch(`${origin}/api/runs`, { headers })).json()) as RunList;
    expect(list.runs).toMatchObject([{ runId: path.basename(run), state: 'finished', step: 5, steps: 5 }]);
    expect((await fetch(origin, { headers })).headers.get('content-security-policy')).toContain(
      "script-src 'self'",
    );
    const lines = await fetch(
      `${origin}/loki/api/v1/query_range?query=${encodeURIComponent(`{run="${path.basename(run)}"}`)}&since=1h`,
      { headers },
    );
    expect(lines.status).toBe(200);
    inspect.interrupt();
    expect((await inspect.finished).code).toBe(0);
  });

  it('leaves the token out of a file that others can read', async () => {
    for (const [mode, pattern] of [
      [0o644, /page: http:\/\/127\.0\.0\.1:\d+\/#run=\S+\n {2}its token is left out, .* --token-file FILE\n/],
      [0o600, /page: http:\/\/127\.0\.0\.1:\d+\/\?token=[\w-]{43}#run=/],
    ] as const) {
      const output = path.join(folder, `output-${mode}`);
      writeFileSync(output, '', { mode });
      const inspect = new Locmoe(
        [`exec '${process.execPath}' '${CLI}' inspect --run '${run}' >'${output}'`],
        {},
        ['/bin/sh', '-c'],
      );
      await expect.poll(() => readFileSync(output, 'utf8'), { timeout: 60_000 }).toMatch(pattern);
      inspect.interrupt();
      expect((await inspect.finished).code).toBe(0);
    }
  });
});

function runId(url: string): string {
  return decodeURIComponent(/run=([^&]+)/.exec(url)![1]);
}
