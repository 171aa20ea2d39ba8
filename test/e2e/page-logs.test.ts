import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { HttpServer } from '@locmoe/logs/http';
import { pageFeature } from '@locmoe/page';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { seriousViolations } from '../../packages/page/test/accessibility.js';
import { openAnew, screenshot, TestBrowser, whyNoBrowser } from '../../packages/page/test/browser.js';
import { addMetrics, STARTED_AT, stepRecord, writeRun } from '../../packages/page/test/run-fixture.js';
import { startRunHttp } from '../../src/cli/run-http.js';
import { formatAddress } from '../../src/rpc/address.js';

const reason = whyNoBrowser();
if (reason !== null) console.warn(`SKIPPED: the log explorer is not tested in a browser: ${reason}`);

const eventually = <T>(value: () => T) => expect.poll(value);

const RUN = 'quiet';
/** Lines are logged before and after the pause, and a single one during it. */
const PAUSE_S = [30, 130];
const LONE_S = 80;
const LAST_S = 160;

const HTML_LINE = '<img src=x onerror="document.title=1"><b>bold</b> & <script>alert(1)</script>';

const CONTROLS_WITHOUT_NAME = `[...document.querySelectorAll('button, select, input, summary')].filter(
  (control) => !(control.closest('label') ?? control).textContent.trim() && !control.getAttribute('aria-label') && !control.title && !control.hidden,
).map((control) => control.outerHTML)`;
/**
 * For each tenth of the plot's width, the share of columns with a pixel of the first series. It runs in the browser.
 */
const INK_BY_TENTH = `(() => {
  const canvas = document.querySelector('.metric-result canvas');
  const color = getComputedStyle(document.documentElement).getPropertyValue('--series-0').trim();
  const [r, g, b] = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  const { width, height } = canvas;
  const { data } = canvas.getContext('2d').getImageData(0, 0, width, height);
  const over = document.querySelector('.metric-result .u-over');
  const scale = width / canvas.clientWidth;
  const left = over.offsetLeft * scale;
  const span = over.clientWidth * scale;
  const isInked = (x) => {
    for (let y = 0; y < height; y++) {
      const at = 4 * (y * width + x);
      if (Math.abs(data[at] - r) + Math.abs(data[at + 1] - g) + Math.abs(data[at + 2] - b) < 30) return true;
    }
    return false;
  };
  return Array.from({ length: 10 }, (_, tenth) => {
    const [from, to] = [tenth, tenth + 1].map((each) => Math.round(left + (each / 10) * span));
    let inked = 0;
    for (let x = from; x < to; x++) if (isInked(x)) inked++;
    return inked / (to - from);
  });
})()`;

function logLines(): object[] {
  const lines: object[] = [];
  const add = (second: number, rank: number, more: object) =>
    lines.push({
      level: 'info',
      time: STARTED_AT + 1_000 * second + rank,
      run: RUN,
      generation: 1,
      node: rank >> 1,
      rank,
      ...more,
    });
  for (let second = 1; second <= LAST_S; second++)
    for (let rank = 0; rank < 4; rank++)
      if (second <= PAUSE_S[0] || second >= PAUSE_S[1])
        add(second, rank, { step: second, loss: 3.25, stepMs: 12.5, msg: `step ${second} is done` });
  add(LONE_S, 1, { level: 'warn', msg: 'waited 9.5 s for rank 3' });
  add(LAST_S + 1, 2, {
    level: 'fatal',
    msg: 'lost its disk',
    directory: `/data/${'long/'.repeat(14)}checkpoints`,
    device: 'nvme0n1',
    code: 'EIO',
    attempts: 3,
    remedy: 'replace it, then resume the run',
  });
  return lines;
}

describe.skipIf(reason !== null)('the log of a run', () => {
  let runsDir: string;
  let server: HttpServer;
  let browser: TestBrowser;
  let page: Page;
  let origin: string;
  const rows = () => page.locator('.line-body .row');
  const line = () => page.locator('.query');
  /** Opens the view with a query, of this run by default. */
  const open = async (query = '', more = '') => {
    await openAnew(page, `${origin}/#run=${RUN}&view=logs&query=${encodeURIComponent(query)}${more}`);
    await page.waitForSelector('.lines[aria-busy="false"]', { state: 'attached' });
  };
  const of = (rest: string) => `{run="${RUN}"} ${rest}`;

  beforeAll(async () => {
    runsDir = mkdtempSync(path.join(tmpdir(), 'locmoe-page-logs-'));
    const folder = writeRun(runsDir, RUN);
    addMetrics(folder, ...[1, LAST_S].map((step) => stepRecord(step, { time: STARTED_AT + 1_000 * step })));
    writeFileSync(
      path.join(folder, 'logs', 'node-0.ndjson'),
      logLines()
        .map((each) => `${JSON.stringify(each)}\n`)
        .join(''),
    );
    server = (await startRunHttp({ http: '127.0.0.1:0', runsDir, page: pageFeature(runsDir) }, null, null))!;
    origin = `http://${formatAddress(server.address)}`;
    browser = await TestBrowser.open();
    page = await browser.page('about:blank');
  });

  beforeEach(async () => {
    await page?.setViewportSize({ width: 1440, height: 900 });
  });

  afterAll(async () => {
    await browser?.close();
    server?.close();
    rmSync(runsDir, { recursive: true, force: true });
  });

  it('names levels as the label does', async () => {
    await open(of('|~ "waited|disk"'));
    await eventually(() => rows().locator('.level-name').allTextContents()).toEqual(['fatal', 'warn']);
    await eventually(() => page.locator('.level').allTextContents()).toEqual(['fatal1', 'warn1']);
    const styleOf = (selector: string, property: string) =>
      page.evaluate<string>(`getComputedStyle(document.querySelectorAll('${selector}')[1]).${property}`);
    expect(await styleOf('.line-body .row .bar', 'backgroundColor')).toMatch(/^rgb\(/);
    // A level that is not chosen is not hidden: its count is not struck out.
    expect(await styleOf('.level b', 'textDecorationLine')).toBe('none');
    await page.click('.level[data-level="warn"]');
    await eventually(() => line().inputValue()).toContain('level="warn"');
    await eventually(() => rows().count()).toBe(1);
    // The query selects one level, but the other levels are still counted.
    await open('{level="warn"}');
    await eventually(() => page.locator('.level').allTextContents()).toEqual(['fatal1', 'warn1', 'info244']);
    expect(await page.locator('.query-error').isVisible()).toBe(false);
    await page.click('.level[data-level="warn"]');
    await eventually(() => rows().count()).toBe(246);
  });

  it('shows the fields of a line whether a stage extracts them or not', async () => {
    const extras = async (query: string) => {
      await open(query);
      await eventually(() => rows().count()).toBe(4);
      return rows().locator('.extras').allTextContents();
    };
    const plain = await extras(of('|= "step 20 is"'));
    expect(plain).toEqual(Array(4).fill('loss=3.25 stepMs=12.5'));
    expect(await extras(of('|= "step 20 is" | json'))).toEqual(plain);
    await rows().first().click();
    // A field is not a label, so a selector could not match it.
    await page.click('.details [aria-label="only lines where loss is 3.25"]');
    await eventually(() => line().inputValue()).toBe(of('|= "step 20 is" | json | loss="3.25"'));
    await eventually(() => rows().count()).toBe(4);
    // Lines that are not JSON have only the fields that the query extracts.
    await open(of('|= "step 20 is" | line_format "took 7ms at {{.rank}}" | pattern "took <took> at <_>"'));
    await eventually(() => rows().count()).toBe(4);
    await rows().first().click();
    await eventually(() => page.locator('.fields th').allTextContents()).toContain('took');
  });

  it('counts the lines that a stage cannot read too, and shows lines as text, whatever is in them', async () => {
    const folder = writeRun(runsDir, 'mixed');
    addMetrics(folder, stepRecord(1, { time: STARTED_AT + 1_000 }));
    const record = { level: 'info', time: STARTED_AT + 1_000, run: 'mixed', rank: 1, msg: HTML_LINE };
    writeFileSync(path.join(folder, 'logs', 'node-0.ndjson'), `${JSON.stringify(record)}\nno JSON\n`);
    await open('{run="mixed"} | json');
    await eventually(() => rows().count()).toBe(2);
    await eventually(() => page.locator('.level b').allTextContents()).toEqual(['1', '1']);
    expect(await page.locator('.query-error').isVisible()).toBe(false);
    await page.fill('.query', '{run="mixed"} |= "img src"');
    await page.keyboard.press('Enter');
    await eventually(() => rows().locator('.message').allTextContents()).toEqual([HTML_LINE]);
    await rows().first().click();
    expect(await page.locator('.lines img, .lines b:not(.count), .lines script').count()).toBe(0);
    expect(await page.title()).not.toBe('1');
  });

  it('opens a line: a column of a field, and the lines around it', async () => {
    await open(of('|= "step 1"'), '&order=oldest');
    await eventually(() => rows().locator('mark').count()).toBeGreaterThan(3);
    expect(await page.textContent('.toolbar')).toContain('Oldest first');
    await rows().nth(40).click();
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
    expect(await rows().first().locator('.column').textContent()).toBe('3.25');
    await page.selectOption('.toolbar select', 'numbers');
    await eventually(() => page.locator('.count:not(:empty)').count()).toBeGreaterThan(0);
  });

  it('says where a query is wrong, and leaves nothing of the one before', async () => {
    await open(of('|= "disk"'));
    await page.fill('.query', '{run="a"} |= ');
    await page.keyboard.press('Enter');
    await eventually(() => page.textContent('.query-error')).toMatch(/parse error/);
    expect(await page.locator('.error-place mark').count()).toBe(1);
    const results = page.locator('.lines, .histogram, .metric-result').filter({ visible: true });
    expect(await results.count()).toBe(0);
    // Both the lines and their histogram are refused, in any order.
    await eventually(() => browser.problems.length).toBe(2);
    expect(browser.problems.splice(0).every((problem) => problem.includes('400'))).toBe(true);
  });

  it('is used with the keyboard alone, also while answers are slow', async () => {
    await open(of('|= "step 20 is"'));
    await page.route('**/loki/api/v1/query_range*', async (route) => {
      await new Promise((resolve) => setTimeout(resolve, 400));
      await route.continue();
    });
    await page.evaluate('document.activeElement.blur()');
    await page.keyboard.press('?');
    expect(await page.locator('dialog.help').isVisible()).toBe(true);
    await page.keyboard.press('Escape');
    await page.keyboard.press('/');
    expect(await page.evaluate('document.activeElement.className')).toBe('query');
    await page.keyboard.press('Enter');
    await page.keyboard.press('Escape');
    // The answer replaces the previous rows, and with them the focus.
    await page.waitForSelector('.lines[aria-busy="false"]');
    await eventually(() => rows().count()).toBe(4);
    for (const key of ['j', 'j', 'Enter']) await page.keyboard.press(key);
    await eventually(() => rows().nth(1).getAttribute('aria-expanded')).toBe('true');
    expect(await page.evaluate(CONTROLS_WITHOUT_NAME)).toEqual([]);
    await page.unrouteAll({ behavior: 'wait' });
  });

  it('cuts the fields of a line where the row ends, not before', async () => {
    await open(of('|= "disk"'));
    const extras = rows().locator('.extras');
    await eventually(() => extras.textContent()).toMatch(
      /checkpoints device=nvme0n1 code=EIO attempts=3 remedy=.*run$/,
    );
    await page.click('.toolbar button:has-text("Wrap")');
    await eventually(() => page.locator('.lines.wrapped').count()).toBe(0);
    const [message, row] = await Promise.all(
      ['.message', ''].map((part) => page.locator(`.line-body .row ${part}`).boundingBox()),
    );
    expect(row!.height).toBeLessThan(1.5 * 21);
    expect(message!.x + message!.width).toBeGreaterThan(row!.x + row!.width - 30);
    await page.click('.toolbar button:has-text("Wrap")');
  });

  it('draws no line where a metric query has no values', async () => {
    await open(`sum(count_over_time(${of('')}[2s]))`);
    await eventually(() => page.locator('.metric-result .entry').allTextContents()).toEqual(['value1']);
    await page.waitForSelector('.metric-result canvas');
    const tenths = await page.evaluate<number[]>(INK_BY_TENTH);
    await screenshot(page, 'logs-metric-gap');
    expect(tenths[1]).toBeGreaterThan(0.5);
    expect(tenths[8]).toBeGreaterThan(0.5);
    // The pause is empty except for its single line, which is drawn as a point.
    expect([2, 3, 6].map((tenth) => tenths[tenth])).toEqual([0, 0, 0]);
    const lone = tenths[4] + tenths[5];
    expect(lone).toBeGreaterThan(0.02);
    expect(lone).toBeLessThan(0.2);
  });

  const list = () => page.locator('.suggestions');
  const options = () => list().locator('[role=option] span').allTextContents();
  /** The option that Enter would take, as a screen reader is told. */
  const active = async () => {
    const id = await line().getAttribute('aria-activedescendant');
    return id === null ? null : page.locator(`#${id} span`).textContent();
  };

  it('completes labels, values, operators and fields with the keyboard', async () => {
    const asked: string[] = [];
    page.on('request', (request) => {
      if (/\/(?:labels|label\/|detected_)/.test(request.url())) asked.push(request.url());
    });
    // There are few rows, as axe checks each of them.
    await open('', `&from=${STARTED_AT + 1_000 * (LAST_S - 2)}`);
    await line().focus();
    await page.keyboard.press('End');
    await page.keyboard.press('ArrowLeft');
    await page.keyboard.type(', le');
    await eventually(options).toEqual(['level']);
    expect(await line().getAttribute('aria-expanded')).toBe('true');
    expect(await active()).toBeNull();
    await page.keyboard.press('Tab');
    await eventually(() => line().inputValue()).toBe(`{run="${RUN}", level=}`);
    await eventually(options).toEqual(['fatal', 'info', 'warn']);
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('ArrowDown');
    expect(await active()).toBe('warn');
    expect(await seriousViolations(page)).toEqual([]);
    await page.keyboard.press('ArrowUp');
    expect(await active()).toBe('info');
    await page.keyboard.press('Enter');
    await eventually(() => line().inputValue()).toBe(`{run="${RUN}", level="info"}`);
    // After the selector, suggestions are operators, stages, and fields with the stage that extracts them.
    await page.keyboard.press('End');
    await page.keyboard.type(' ');
    await eventually(options).toContain('|= ""');
    await page.keyboard.type('| los');
    await eventually(options).toEqual(['loss']);
    await screenshot(page, 'logs-completion');
    await page.keyboard.press('Tab');
    await eventually(() => line().inputValue()).toBe(`{run="${RUN}", level="info"} | json | loss `);
    await eventually(options).toContain('>=');
    await page.keyboard.type('> 3 ');
    await eventually(options).toContain('| json');
    // The first Escape closes the list, the second one leaves the input.
    await page.keyboard.press('Escape');
    await eventually(() => list().isVisible()).toBe(false);
    expect(await page.evaluate('document.activeElement.className')).toBe('query');
    await page.keyboard.press('Enter');
    await eventually(() => page.url()).toContain('loss');
    // Answers are cached, and typing does not send a request for every letter.
    expect(asked.length).toBeLessThanOrEqual(4);
    expect(asked.every((url) => /limit=|labels|label\/level/.test(url))).toBe(true);
  });

  it('suggests values with a click, and nothing where nothing is known', async () => {
    await open();
    await line().fill(of('| json | device = '));
    await eventually(options).toEqual(['nvme0n1']);
    await list().getByText('nvme0n1').click();
    await eventually(() => line().inputValue()).toBe(of('| json | device = "nvme0n1"'));
    await page.keyboard.press('Enter');
    await eventually(() => rows().count()).toBe(1);
    await line().fill(of('| json | device = '));
    await eventually(() => list().isVisible()).toBe(true);
    await line().fill(of('|= "anything'));
    await eventually(() => list().isVisible()).toBe(false);
  });

  it('keeps the queries of this browser, for whichever run is shown', async () => {
    const other = 'other';
    writeRun(runsDir, other);
    await open();
    await page.evaluate('localStorage.clear()');
    for (const text of ['waited', 'disk', 'waited']) {
      await line().fill(of(`|= "${text}"`));
      await page.keyboard.press('Enter');
      await eventually(() => rows().count()).toBe(1);
    }
    await page.reload();
    await page.waitForSelector('.line-body .row');
    await line().focus();
    await page.keyboard.press('ArrowUp');
    await eventually(options).toEqual([of('|= "waited"'), of('|= "disk"')]);
    expect(await active()).toBe(of('|= "waited"'));
    await page.keyboard.press('ArrowDown');
    await page.keyboard.press('Enter');
    await eventually(() => line().inputValue()).toBe(of('|= "disk"'));
    await page.keyboard.press('Enter');
    await eventually(() => rows().locator('.level-name').allTextContents()).toEqual(['fatal']);
    await openAnew(page, `${origin}/#run=${other}&view=logs`);
    await eventually(() => line().inputValue()).toBe(`{run="${other}"}`);
    await page.click('[aria-label="queries before this one"]');
    await eventually(options).toEqual([`{run="${other}"} |= "disk"`, `{run="${other}"} |= "waited"`]);
    // The list is bounded, and can be cleared with the keyboard.
    await page.keyboard.press('Escape');
    const many = Array.from({ length: 50 }, (_, number) => `{run=~".+"} |= "${number}"`);
    await page.evaluate(`localStorage.setItem('locmoe-queries', ${JSON.stringify(JSON.stringify(many))})`);
    await line().fill(`{run="${other}"} |= "newest"`);
    await page.keyboard.press('Enter');
    await page.keyboard.press('ArrowUp');
    await eventually(options).toEqual([`{run="${other}"} |= "newest"`, ...many.slice(0, 49)]);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await eventually(() => list().isVisible()).toBe(false);
    await page.keyboard.press('ArrowUp');
    expect(await list().isVisible()).toBe(false);
  });

  it('is whole where the browser stores nothing', async () => {
    const blocked = await browser.page('about:blank');
    await blocked.addInitScript(
      `Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError'); } })`,
    );
    await blocked.goto(`${origin}/#run=${RUN}&view=logs`);
    await blocked.waitForSelector('.line-body .row');
    const input = blocked.locator('.query');
    await input.fill(of('|= "disk"'));
    await blocked.keyboard.press('Enter');
    await eventually(() => blocked.locator('.line-body .row').count()).toBe(1);
    await blocked.keyboard.press('ArrowUp');
    await eventually(() => blocked.locator('.suggestions [role=option] span').allTextContents()).toEqual([
      of('|= "disk"'),
    ]);
    await blocked.close();
  });

  it('counts patterns, and takes them into the query or out of it', async () => {
    await open();
    await page.getByRole('tab', { name: 'Patterns' }).click();
    const patterns = page.locator('.patterns tbody tr');
    await eventually(() => patterns.locator('.pattern').allTextContents()).toEqual([
      'step <_> is done',
      'lost its disk',
      'waited <_> s for rank <_>',
    ]);
    await eventually(() => patterns.first().locator('td').allTextContents()).toEqual([
      'info',
      '244',
      '99 %',
      '',
      'Include Exclude',
    ]);
    expect(await patterns.nth(2).locator('td').first().textContent()).toBe('warn');
    // The bars are one for each step with lines, so the pause leaves a gap.
    const bars = await patterns.nth(2).locator('.sparkline path').getAttribute('d');
    expect(bars!.match(/M/g)).toHaveLength(1);
    await page.emulateMedia({ colorScheme: 'dark' });
    expect(await seriousViolations(page)).toEqual([]);
    await screenshot(page, 'logs-patterns-dark');
    await page.emulateMedia({ colorScheme: 'light' });
    const press = (row: number, name: string) => patterns.nth(row).getByRole('button', { name }).click();
    await press(0, 'Exclude');
    await eventually(() => line().inputValue()).toContain('!> `<_>"msg":"step <_> is done"<_>`');
    await eventually(() =>
      patterns.nth(0).getByRole('button', { name: 'Exclude' }).getAttribute('aria-pressed'),
    ).toBe('true');
    await page.getByRole('tab', { name: 'Patterns' }).focus();
    await page.keyboard.press('ArrowLeft');
    await eventually(() => rows().locator('.level-name').allTextContents()).toEqual(['fatal', 'warn']);
    await page.keyboard.press('ArrowRight');
    await press(0, 'Exclude');
    await eventually(() => line().inputValue()).toBe(`{run="${RUN}"}`);
    await press(1, 'Include');
    await press(2, 'Include');
    await eventually(() => line().inputValue()).toMatch(/^\{run="quiet"\} \|> `[^`]*` or `[^`]*`$/);
    await page.goto(page.url().replace('tab=patterns', 'tab=lines'));
    await eventually(() => rows().locator('.level-name').allTextContents()).toEqual(['fatal', 'warn']);
  });

  it('complained about nothing', () => {
    expect(browser.problems).toEqual([]);
  });
});
