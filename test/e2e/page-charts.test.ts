import { appendFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { HttpServer } from '@locmoe/logs/http';
import { pageFeature } from '@locmoe/page';
import { Journal, type JournalEntry, RECOVERY_SPANS, type RecoveryBill } from '@locmoe/run-format';
import { machineIdentity, processIdentity } from '@locmoe/run-format/process-identity';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seriousViolations, showView, THEMES, VIEWS } from '../../packages/page/test/accessibility.js';
import {
  openAnew,
  pointAt,
  screenshot,
  TestBrowser,
  whyNoBrowser,
} from '../../packages/page/test/browser.js';
import {
  LARGE_RUN,
  SMALL_RUN,
  type SyntheticRun,
  writeSyntheticRun,
} from '../../packages/page/test/synthetic-run.js';
import { writeTraces } from '../../packages/page/test/trace-fixture.js';
import { startRunHttp } from '../../src/cli/run-http.js';
import { formatAddress } from '../../src/rpc/address.js';
import { NIGHTLY } from '../nightly.js';

const reason = whyNoBrowser();
if (reason !== null) console.warn(`SKIPPED: the page is not tested in a browser: ${reason}`);

const eventually = <T>(value: () => T) => expect.poll(value);

const STEPS = 1_000;
const SPIKE = 700;
/** Updates were skipped in two ranges of steps, one of them at the end. */
const SMALL: SyntheticRun = { ...SMALL_RUN, spikeStep: SPIKE, skippedSteps: [300, 301, 302, 999, 1_000] };
const LIVE: SyntheticRun = { ...SMALL_RUN, runId: 'live-with-a-name-of-27-char' };
const STARTING: SyntheticRun = { ...SMALL_RUN, runId: 'starting' };
const FAILED: SyntheticRun = { ...SMALL_RUN, runId: 'failed', spikeStep: 150 };
const TRACES_OF_LIVE = { numNodes: 2, workersPerNode: 2, steps: [298, 299, 300], slowRank: 1 };

// These programs run in the browser and are text, since the tests are compiled without the DOM's types.
const TOPS_OF_CARDS = `[...document.querySelectorAll('.card')].map((card) => card.getBoundingClientRect().top)`;
const WIDER_THAN_SCREEN = `[...document.querySelectorAll('main *')]
  .filter((each) => each.getBoundingClientRect().right > innerWidth + 1 && !each.closest('.heat-moment, .links .scrolls, .menu-body'))
  .map((each) => each.className)`;
const HEADER_FITS = `document.querySelector('.page-header').scrollWidth <= innerWidth &&
  document.documentElement.scrollWidth <= innerWidth`;
const BRIGHTNESS = `Number(/\\d+/.exec(getComputedStyle(document.body).backgroundColor)[0])`;
/** The cards that are narrower than their chart, until the chart is resized. */
const CARDS_TOO_NARROW = `(() => {
  const cards = [...document.querySelectorAll('.card.chart')];
  for (const card of cards) card.style.width = '360px';
  const wider = cards.filter((card) => card.scrollWidth > card.clientWidth);
  for (const card of cards) card.style.width = '';
  return wider.map((card) => card.ariaLabel);
})()`;
/** How far notices above the charts push them down, in px. */
const PUSHED_BY_NOTICES = `(() => {
  const notices = [...document.querySelectorAll('.notices .menu')];
  const before = notices.map((each) => each.hidden);
  const [shown, none] = [false, true].map((hidden) => {
    for (const each of notices) each.hidden = hidden;
    return document.querySelector('.overview .grid').getBoundingClientRect().top;
  });
  for (const [index, each] of notices.entries()) each.hidden = before[index];
  return shown - none;
})()`;
/** Collects vertical axis labels that are longer than their canvas. */
const CUT_NAMES = `
  window.cutNames = new Set();
  const { fillText } = CanvasRenderingContext2D.prototype;
  CanvasRenderingContext2D.prototype.fillText = function (text, ...place) {
    const { b, f: center } = this.getTransform();
    const room = 2 * Math.min(center, this.canvas.height - center);
    if (b !== 0 && this.measureText(text).width > room) cutNames.add(text);
    return fillText.call(this, text, ...place);
  };`;
/** Counts the reddish pixels of a chart, whose lines have other colours. */
const redPixelsOf = (title: string) => `(() => {
  const canvas = document.querySelector('.card[aria-label="${title}"] canvas');
  const { data } = canvas.getContext('2d').getImageData(0, canvas.height * 0.6, canvas.width, canvas.height * 0.4);
  let count = 0;
  for (let at = 0; at < data.length; at += 4)
    if (data[at] > 180 && data[at + 1] < 70 && data[at + 2] < 70) count++;
  return count;
})()`;

type Spans = RecoveryBill['ranksS'][number];

/** The journal of a run that was restarted before each of its generations but the first. */
function writeJournal(folder: string, { startedAt, stepMs }: SyntheticRun, numGenerations: number): Journal {
  const journal = new Journal(path.join(folder, 'journal.ndjson'));
  const append = (entry: JournalEntry) => journal.append(entry);
  for (let generation = 1; generation <= numGenerations; generation++) {
    const step = 100 * (generation - 1);
    const time = startedAt + stepMs * step;
    const from = { kind: step === 0 ? 'nothing' : 'checkpoint', step } as const;
    append({ type: 'generation', time, generation, from, nodes: 2, workersPerNode: 2 });
    append({ type: 'running', time: time + 5 * stepMs, generation });
    const spansS = Object.fromEntries(RECOVERY_SPANS.map((span) => [span, 0.25])) as Spans;
    const ranksS = [spansS, { ...spansS, modules: 1.5 }, spansS, spansS];
    const isAgain = generation > 1;
    if (isAgain) append({ type: 'bill', time, generation, outageS: 4.5, slowest: 1, ranksS });
    if (generation === numGenerations) break;
    const culprit = { code: 'WORKER_DIED', rank: 1, node: 0, step: step + 100 };
    const message = 'rank 1, node 0: worker was killed by SIGKILL';
    append({ type: 'failure', time: time + 95 * stepMs, generation, message, ...culprit });
  }
  return journal;
}

function changeRecord(folder: string, change: object): void {
  const file = path.join(folder, 'run.json');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...change }));
}

/** A live run that names this process as its leader, so that the page takes this server for the coordinator. */
function writeLive(runsDir: string): void {
  const folder = writeSyntheticRun(runsDir, LIVE, { steps: 300, ofSteps: 100_000 });
  writeJournal(folder, LIVE, 3).close();
  const leader = { machine: machineIdentity(), pid: process.pid, process: processIdentity(process.pid) };
  changeRecord(folder, { generation: 3, ...leader });
  mkdirSync(path.join(folder, 'checkpoints/step-000100'), { recursive: true });
  writeTraces(folder, { ...TRACES_OF_LIVE, late: [0, 3] });
}

/** A run whose last generation has begun, but done no step. */
function writeStarting(runsDir: string): void {
  const folder = writeSyntheticRun(runsDir, STARTING, { steps: 366, ofSteps: 100_000 });
  writeJournal(folder, { ...STARTING, stepMs: 400 }, 4).close();
  changeRecord(folder, { generation: 4, state: 'starting' });
}

/** A run that failed after two warnings about a slow rank. */
function writeFailed(runsDir: string): void {
  const folder = writeSyntheticRun(runsDir, FAILED, { steps: 200 });
  changeRecord(folder, { state: 'failed' });
  const time = FAILED.startedAt + 70_000;
  const journal = writeJournal(folder, FAILED, 1);
  const end = { type: 'end', state: 'failed', exitCode: 3, time } as const;
  journal.append(end);
  journal.close();
  const common = { level: 'warn', run: 'failed', generation: 1, node: 1, rank: 3 };
  for (const [times, step] of [
    ['2.4', 150],
    ['2.9', 199],
  ] as const) {
    const msg = `rank 3 (node 1, b) takes ${times} times as long as the others`;
    const line = { ...common, time: FAILED.startedAt + 300 * step, step, msg };
    appendFileSync(path.join(folder, 'logs/node-1.ndjson'), `${JSON.stringify(line)}\n`);
  }
  const place = { generation: 1, rank: 1, node: 0, step: 201, layer: 2, pid: 12, host: 'a-machine' };
  const operation = 'backward, all-to-all dispatch';
  const message = 'rank 1, node 0, step 201: worker (pid 12) was killed by SIGKILL';
  const report = { time, code: 'WORKER_DIED', signal: 'SIGKILL', ...place, operation, message };
  writeFileSync(path.join(folder, 'failure.json'), JSON.stringify(report));
}

describe.skipIf(reason !== null)('the page of runs', () => {
  let runsDir: string;
  let server: HttpServer;
  let browser: TestBrowser;
  let page: Page;
  let origin: string;
  const open = async (hash: string, width = 1280) => {
    await page.setViewportSize({ width, height: 900 });
    await openAnew(page, `${origin}/#${hash}`);
    await eventually(() => page.locator('.numbers .state').count()).toBe(1);
  };
  const openCharts = async (hash: string, width?: number) => {
    await open(hash, width);
    await page.waitForSelector('.chart .u-over');
    await page.waitForSelector('.heat:not([hidden]) canvas');
  };
  const card = (title: string) => page.locator(`.card[aria-label="${title}"]`);
  const entry = (title: string, label: string) => card(title).locator('.legend button', { hasText: label });
  const timelineStep = () => page.inputValue('.timeline-tools input');

  beforeAll(async () => {
    runsDir = mkdtempSync(path.join(tmpdir(), 'locmoe-charts-'));
    const small = writeSyntheticRun(runsDir, SMALL, { steps: STEPS });
    writeTraces(small, { numNodes: 2, workersPerNode: 2, steps: [1, 20, 30], slowRank: 1 });
    const large = writeSyntheticRun(runsDir, LARGE_RUN, { steps: 150 });
    writeTraces(large, { numNodes: 8, workersPerNode: 8, steps: [100], slowRank: 9 });
    writeLive(runsDir);
    writeStarting(runsDir);
    writeFailed(runsDir);
    server = (await startRunHttp({ http: '127.0.0.1:0', runsDir, page: pageFeature(runsDir) }, null, null))!;
    origin = `http://${formatAddress(server.address)}`;
    browser = await TestBrowser.open();
    page = await browser.page('about:blank');
  });

  afterAll(async () => {
    await browser?.close();
    await server?.close();
    rmSync(runsDir, { recursive: true, force: true });
  });

  it.each(VIEWS)('has nothing serious for axe in %s', async (view) => {
    // The rows of a large run are grouped. Axe checks each of its thousands of elements, so it runs by night only.
    for (const { runId } of NIGHTLY ? [SMALL, LARGE_RUN] : [SMALL]) {
      await showView(page, origin, runId, view);
      for (const colorScheme of THEMES) {
        await page.emulateMedia({ colorScheme });
        expect(await seriousViolations(page), `${runId}, ${colorScheme}`).toEqual([]);
        await screenshot(page, `${runId}-${view}-${colorScheme}`);
      }
      await page.emulateMedia({ colorScheme: 'light' });
    }
  });

  it('is dark where the system is, or when asked', async () => {
    const brightness = () => page.evaluate<number>(BRIGHTNESS);
    await open('run=small&view=details');
    expect(await brightness()).toBeGreaterThan(200);
    await page.emulateMedia({ colorScheme: 'dark' });
    await eventually(brightness).toBeLessThan(60);
    await page.keyboard.press('t');
    await eventually(brightness).toBeGreaterThan(200);
    await page.evaluate('localStorage.clear()');
    await page.emulateMedia({ colorScheme: 'light' });
  });

  describe('has charts that', () => {
    it('stay where they are as the cursor moves, are never wider than their cards, and zoom together', async () => {
      await openCharts('run=small');
      const before = await page.evaluate(TOPS_OF_CARDS);
      const plot = (await card('Loss').locator('.u-over').boundingBox())!;
      for (const share of [0.01, 0.9]) {
        await page.mouse.move(plot.x + share * plot.width, plot.y + 50);
        await eventually(() => page.locator('.legend .at').count()).toBeGreaterThanOrEqual(6);
        expect(await page.evaluate(TOPS_OF_CARDS)).toEqual(before);
      }
      await page.mouse.move(0, 0);
      expect(await page.locator('.card.chart').count()).toBeGreaterThanOrEqual(6);
      expect(await page.evaluate(CARDS_TOO_NARROW)).toEqual([]);
      await page.mouse.move(plot.x + plot.width / 4, plot.y + 40);
      await page.mouse.down();
      await page.mouse.move(plot.x + plot.width / 2, plot.y + 40, { steps: 4 });
      await page.mouse.up();
      await eventually(() => page.url()).toMatch(/range=/);
      await page.mouse.dblclick(plot.x + plot.width / 3, plot.y + 40);
      await eventually(() => page.url()).not.toMatch(/range=/);
    });

    it('have no last value where they end with skipped steps, and tell by keyboard what lies where', async () => {
      await openCharts('run=small');
      await eventually(() => entry('Loss', 'training').textContent()).toBe('trainingnot finite');
      expect(await entry('Gradient norm', 'norm').textContent()).toBe('normnot finite');
      expect(await entry('Learning rate', 'learning rate').textContent()).toBe('learning rate0.00300');
      // Skipped steps are marked in red.
      expect(await page.evaluate<number>(redPixelsOf('Gradient norm'))).toBeGreaterThan(10);
      expect(await page.evaluate<number>(redPixelsOf('Tokens per second'))).toBe(0);
      for (const [title, words] of [
        ['Ranks over time', /^rank 1, \d\d:\d\d:\d\d \S+, training, step \d+/],
        ['Expert load', /^layer 1, expert 0, steps \d+ to \d+, demand \d\.\d\dx a fair share/],
      ] as const) {
        await card(title).locator('.row-plot').focus();
        for (const key of ['ArrowDown', 'ArrowDown', 'ArrowLeft']) await page.keyboard.press(key);
        expect(await card(title).locator('[role=status]').textContent()).toMatch(words);
        expect(await card(title).locator('.tip').isVisible()).toBe(true);
        await page.keyboard.press('Escape');
        expect(await card(title).locator('.tip').isVisible()).toBe(false);
      }
    });

    it('let no first step set the scale, unless asked; and a link brings that back', async () => {
      await openCharts('run=small');
      const note = () => card('Step time by part').locator('.beyond').textContent();
      await eventually(note).toBe('1 outlier, to 4.0 s');
      // The chart shows the mean of several steps there, of which the first took long.
      await card('Step time by part').locator('.beyond').click();
      await eventually(() => page.url()).toMatch(/view=timeline.*step=1(?!\d)/);
      await page.goBack();
      await page.click('button:has-text("Show outliers")');
      await eventually(note).toBe('');
      expect(page.url()).toContain('outliers=1');
      await page.selectOption('[aria-label="smoothing of lines"]', 'strong');
      await openCharts(page.url().split('#')[1]!);
      await eventually(note).toBe('');
      expect(await page.inputValue('[aria-label="smoothing of lines"]')).toBe('strong');
    });

    it('are enlarged, drawn logarithmically, and saved as a picture and as CSV', async () => {
      await openCharts('run=small');
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
      // The last step has a validation, and no loss of training, as it was skipped.
      expect(rows.at(-1)).toMatch(/^1000,(,\d\.\d+){4}$/);
      await page.keyboard.press('Escape');
      await page.keyboard.press('Escape');
      await eventually(() => card('Gradient norm').isVisible()).toBe(true);
    });

    it('draw every run that overlays, in each of them', async () => {
      await openCharts('run=small&with=failed');
      const both = page.locator('.chart .legend').filter({ hasText: 'small' }).filter({ hasText: 'failed' });
      await eventually(() => both.count()).toBe(10);
      // The legend is of the last step of any run.
      expect(await card('Loss').locator('.legend').textContent()).toMatch(
        /^last, step 1000small.*failed\d\.\d+, step 200$/,
      );
      expect(await card('Ranks over time').locator('h2').textContent()).toBe('Ranks over time of small');
    });

    it('hide and show a series by a click on the legend, by the keyboard, and by a link', async () => {
      await openCharts('run=small');
      const zh = entry('Loss', 'zh');
      const drawn = () => zh.getAttribute('aria-pressed');
      await zh.click();
      await eventually(drawn).toBe('false');
      expect(page.url()).toContain('hide=loss%3Azh');
      await openCharts(page.url().split('#')[1]!);
      await eventually(drawn).toBe('false');
      await zh.focus();
      await page.keyboard.press('Enter');
      await eventually(drawn).toBe('true');
      // The focus stays where it was.
      await page.keyboard.press('Space');
      await eventually(drawn).toBe('false');
      await entry('Loss', 'training').click({ modifiers: ['Shift'] });
      await eventually(() => card('Loss').locator('.legend button[aria-pressed=true]').count()).toBe(1);
      // A hidden series is not part of the sums of a stack.
      await entry('Step time by part', 'backward').click();
      await eventually(() => entry('Step time by part', 'backward').textContent()).toBe('backwardhidden');
    });

    it('lead from a spike to its step, also by a click near it where other steps are nearer', async () => {
      await openCharts('run=small');
      for (const beside of [-4, 4])
        await eventually(() => pointAt(card('Loss'), (width) => (width * SPIKE) / STEPS + beside)).toBe(
          `step ${SPIKE}`,
        );
      await page.mouse.down();
      await page.mouse.up();
      await eventually(() => page.url()).toContain(String(SPIKE));
    });

    it('go by tokens; the expert load shows demand, what was kept and what was dropped', async () => {
      await openCharts('run=small&axis=tokens');
      // A step has 2,048 tokens.
      await eventually(() => card('Loss').locator('.legend .place').textContent()).toBe(
        'last, at 2.05M tokens',
      );
      const cells = () => card('Expert load').locator('td').first().textContent();
      const demand = await cells();
      await page.selectOption('[aria-label="what expert load shows"]', 'kept');
      await eventually(cells).not.toBe(demand);
      await page.selectOption('[aria-label="what expert load shows"]', 'dropped');
      await eventually(cells).toMatch(/^\d+ %$/);
      expect(page.url()).toContain('load=dropped');
    });

    it('show the bytes by link of any moment, by rank and by node, with the keyboard and on a phone', async () => {
      await openCharts('run=failed', 390);
      // The reason for the failure takes the full width.
      expect((await page.locator('.banner-text').boundingBox())?.width).toBeGreaterThan(300);
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
      await eventually(() => links.locator('small').textContent()).toMatch(/^rows of tokens, step/);
      await eventually(cells).not.toEqual(shown);
      await links.getByRole('group').focus();
      await links.getByLabel('what sends and receives').selectOption('node');
      expect(await cells()).toHaveLength(4);
      expect(await links.locator('.hint').textContent()).toMatch(/ a step, \d+ % of them between nodes/);
      expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
    });

    it('show 64 ranks by node and 64 experts by layer, which open', async () => {
      await openCharts('run=large');
      const groups = (title: string) => card(title).locator('.row-labels button');
      await eventually(() => groups('Ranks over time').count()).toBe(8);
      expect(await card('Memory by rank').locator('.legend .entry').count()).toBe(3);
      expect(await card('Bytes by link').locator('tbody td').count()).toBe(64);
      await groups('Ranks over time').nth(1).click();
      await eventually(() => card('Ranks over time').locator('.row-labels > div').count()).toBe(16);
      await eventually(() => groups('Expert load').count()).toBe(16);
      expect(await card('Expert load').locator('.row-labels > div').count()).toBe(16 + 64);
      expect(await card('Expert load').locator('thead th').allTextContents()).toEqual(['expert', 'layer 1']);
      await groups('Expert load').nth(2).click();
      await eventually(() => card('Expert load').locator('thead th').count()).toBe(3);
      expect(await card('Expert load').locator('tbody tr').count()).toBe(64);
      expect(page.url()).toMatch(/layers=1%2C5&nodes=node1/);
    });
  });

  describe('has a timeline that', () => {
    it('begins with the newest step that all ranks of a live run have recorded', async () => {
      await open(`run=${LIVE.runId}&view=timeline`);
      await eventually(timelineStep).toBe('299');
      const about = () => page.textContent('.timeline-about');
      expect(await about()).not.toContain('nothing is recorded');
      await page.getByRole('button', { name: 'next step' }).click();
      await eventually(timelineStep).toBe('300');
      await eventually(about).toContain('nothing is recorded of 2 of 4 ranks');
      // The other ranks record the step while the timeline is open.
      writeTraces(path.join(runsDir, LIVE.runId), TRACES_OF_LIVE);
      await eventually(about).not.toContain('nothing is recorded');
      expect(await timelineStep()).toBe('300');
    });

    it('gives way to that of another run', async () => {
      await open('run=small&view=timeline&step=20&generation=1');
      await eventually(timelineStep).toBe('20');
      const rows = page.locator('.timeline-tools button', { hasText: /Expand ranks|One row a rank/ });
      await eventually(() => rows.textContent()).toBe('One row a rank');
      await page.keyboard.press('r');
      await page.click('[data-run=large]');
      await eventually(timelineStep).toBe('100');
      expect(page.url()).not.toMatch(/step=|generation=/);
      // 64 ranks are collapsed to one row each at first.
      expect(await rows.textContent()).toBe('Expand ranks');
    });
  });

  it('has a header that fits its window, also of a live run with restarts', async () => {
    await open(`run=${LIVE.runId}`);
    await eventually(() => page.textContent('.numbers')).toMatch(/generation .*left/);
    for (const width of [390, 1024]) {
      await page.setViewportSize({ width, height: 800 });
      for (const view of ['1', '2', '3', '4', '5']) {
        await page.keyboard.press(view);
        await eventually(() => page.evaluate(HEADER_FITS)).toBe(true);
      }
    }
  });

  it('tells of a generation that starts only what is known yet', async () => {
    await open(`run=${STARTING.runId}`);
    await eventually(() => page.textContent('.numbers')).toMatch(
      /^starting · generation 4step300 \/ 100000loss–$/,
    );
    await page.click('.generations summary');
    const table = page.locator('.generations .menu-body');
    await eventually(() => table.isVisible()).toBe(true);
    expect(await table.locator('h2').first().textContent()).toMatch(/, 3 restarts$/);
    // The slowest rank of each recovery: generation, rank, whole outage, then its spans.
    const bills = table.locator('[aria-label="table of recoveries"] tbody tr');
    expect(await bills.evaluateAll((rows) => rows.map(({ textContent }) => textContent))).toEqual(
      [2, 3, 4].map((generation) => `${generation}14.50${'0.25'.repeat(4)}1.50${'0.25'.repeat(8)}`),
    );
    expect(await table.locator('tbody td[data-name=steps]').last().textContent()).toBe('–');
  });

  it('has warnings at the top, the newest first, each kind once, for which no chart makes room', async () => {
    await open('run=failed');
    const warnings = page.locator('.pins button.is-warning');
    await eventually(() => warnings.first().textContent()).toMatch(
      /^warn, 2 alike.*rank 3 \(node 1, b\) takes 2\.9 times as long as the others$/,
    );
    for (const width of [390, 1280]) {
      await page.setViewportSize({ width, height: 800 });
      expect(await page.evaluate(PUSHED_BY_NOTICES)).toBe(0);
    }
    await page.click('.pins summary');
    expect(await seriousViolations(page)).toEqual([]);
    await warnings.first().click();
    await eventually(() => page.locator('.line-body .row[aria-expanded=true]').textContent()).toContain(
      '2.9',
    );
  });

  it('shows what was recorded of the step that is clicked, beside those before it', async () => {
    await open('run=failed');
    // The steps are 1 to 200. A click before they are drawn would lead nowhere.
    await eventually(() => pointAt(card('Loss'), (width) => (149 / 199) * width)).toBe('step 150');
    await page.mouse.down();
    await page.mouse.up();
    // The click leads to the step where it was made, although the pointer has moved on.
    await pointAt(card('Loss'), () => 20);
    const panel = page.locator('.step-panel');
    await eventually(() => panel.locator('h2').textContent()).toBe('Step 150');
    await eventually(() => panel.locator('.findings').textContent()).toMatch(
      /^loss 11\.000, median of the 50 before 7\.\d{3}$/,
    );
    const row = (name: string) => panel.locator('tr', { has: page.locator(`th:text-is("${name}")`) });
    expect(await row('learning rate').locator('td').allTextContents()).toEqual(['0.003', '0.003']);
    expect((await row('3').locator('td').allTextContents()).join('; ')).toMatch(
      /^1\.\d\dx, expert \d; \d\.\d\dx, expert \d; \d+ %; \d+ %$/,
    );
    await screenshot(page, 'step-panel-light');
    expect(await seriousViolations(page)).toEqual([]);
    await panel.getByRole('button', { name: 'Log lines, all ranks' }).click();
    const textsOf = async (part: string) =>
      new Set(await page.locator(`.line-body .row ${part}`).allTextContents());
    await eventually(() => textsOf('.step')).toEqual(new Set(['150']));
    expect(await textsOf('.origin')).toEqual(new Set(['r0', 'r1', 'r2', 'r3']));
    await page.goBack();
    await panel.getByRole('button', { name: 'the step after' }).click();
    await eventually(() => panel.locator('h2').textContent()).toBe('Step 151');
    await eventually(() => panel.locator('.findings').count()).toBe(0);
    await open('run=failed&record=201');
    await eventually(() => panel.textContent()).toContain('nothing is recorded of step 201');
    expect(browser.problems.splice(0).every((problem) => problem.includes('404'))).toBe(true);
    await panel.press('Escape');
    await eventually(() => panel.isVisible()).toBe(false);
  });

  it('fits a phone, where a tap shows a place and a second one opens it', async () => {
    const tab = await browser.page('about:blank');
    await tab.addInitScript(CUT_NAMES);
    await tab.setViewportSize({ width: 390, height: 844 });
    for (const view of ['logs', 'overview'] as const) {
      await showView(tab, origin, 'small', view);
      expect(await tab.evaluate(WIDER_THAN_SCREEN)).toEqual([]);
      await screenshot(tab, `small-${view}-phone`);
    }
    expect(await tab.evaluate('[...cutNames]')).toEqual([]);
    const session = await browser.context.newCDPSession(tab);
    await session.send('Emulation.setTouchEmulationEnabled', { enabled: true });
    const lanes = tab.locator('.lanes .row-plot canvas');
    // The layout may still move while charts load; a trial waits until it does not.
    await lanes.hover({ trial: true });
    const tap = async () => {
      const box = (await lanes.boundingBox())!;
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

  it('complains about nothing until its server is gone, and then says since when nothing is heard of it', async () => {
    expect(browser.problems).toEqual([]);
    await open(`run=${LIVE.runId}`);
    const header = () => page.textContent('.numbers');
    await eventually(header).toMatch(/running · generation 3.*left/);
    await server.close();
    await eventually(header).toMatch(/^no contact.*last heard of\d\d:\d\d:\d\d$/);
    const banner = await page.textContent('.banner:not([hidden])');
    expect(banner).toMatch(/The coordinator is gone: last heard of at .*at step \d+ of 100000/);
    expect(banner).toMatch(/cli\.\ws train --resume \S+.*cli\.\ws inspect --run \S+/);
  });
});
