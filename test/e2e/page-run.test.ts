import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { HttpServer } from '@locmoe/logs/http';
import { pageFeature } from '@locmoe/page';
import { Journal, type JournalEntry } from '@locmoe/run-format';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seriousViolations } from '../../packages/page/test/accessibility.js';
import {
  openAnew,
  pointAt,
  screenshot,
  TestBrowser,
  whyNoBrowser,
} from '../../packages/page/test/browser.js';
import { SMALL_RUN, type SyntheticRun, writeSyntheticRun } from '../../packages/page/test/synthetic-run.js';
import { writeTraces } from '../../packages/page/test/trace-fixture.js';
import { startRunHttp } from '../../src/cli/run-http.js';
import { formatAddress } from '../../src/rpc/address.js';

const reason = whyNoBrowser();
if (reason !== null) console.warn(`SKIPPED: the page is not tested in a browser: ${reason}`);

const eventually = <T>(value: () => T) => expect.poll(value);

/** Run in the browser, so written as text: the tests themselves know no document. */
const HEADER_FITS = `document.querySelector('.page-header').scrollWidth <= innerWidth &&
  document.documentElement.scrollWidth <= innerWidth`;

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

const LIVE: SyntheticRun = { ...SMALL_RUN, runId: 'live-with-a-name-of-27-char' };
const STARTING: SyntheticRun = { ...SMALL_RUN, runId: 'starting' };
const FAILED: SyntheticRun = { ...SMALL_RUN, runId: 'failed', spikeStep: 150 };

/** The journal of a run that was restarted before each of its generations but the first. */
function writeJournal(folder: string, { startedAt, stepMs }: SyntheticRun, numGenerations: number): void {
  const journal = new Journal(path.join(folder, 'journal.ndjson'));
  const append = (entry: JournalEntry) => journal.append(entry);
  for (let generation = 1; generation <= numGenerations; generation++) {
    const step = 100 * (generation - 1);
    const time = startedAt + stepMs * step;
    const from = { kind: step === 0 ? 'nothing' : 'checkpoint', step } as const;
    append({ type: 'generation', time, generation, from, nodes: 2, workersPerNode: 2 });
    append({ type: 'running', time: time + 5 * stepMs, generation });
    if (generation === numGenerations) break;
    const culprit = { code: 'WORKER_DIED', rank: 1, node: 0, step: step + 100 };
    const message = 'rank 1, node 0: worker was killed by SIGKILL';
    append({ type: 'failure', time: time + 95 * stepMs, generation, message, ...culprit });
  }
  journal.close();
}

function changeRecord(folder: string, change: object): void {
  const file = path.join(folder, 'run.json');
  writeFileSync(file, JSON.stringify({ ...JSON.parse(readFileSync(file, 'utf8')), ...change }));
}

describe.skipIf(reason !== null)('the page of a run', () => {
  let runsDir: string;
  let server: HttpServer;
  let browser: TestBrowser;
  let page: Page;
  let origin: string;
  const open = async (hash: string, width = 1366) => {
    await page.setViewportSize({ width, height: 800 });
    await openAnew(page, `${origin}/#${hash}`);
    await eventually(() => page.locator('.numbers .state').count()).toBe(1);
  };

  beforeAll(async () => {
    runsDir = mkdtempSync(path.join(tmpdir(), 'locmoe-run-'));
    const live = writeSyntheticRun(runsDir, LIVE, { steps: 300, ofSteps: 100_000 });
    writeJournal(live, LIVE, 3);
    changeRecord(live, { generation: 3 });
    writeTraces(live, { numNodes: 2, workersPerNode: 2, steps: [298, 299, 300], slowRank: 1, late: [0, 3] });
    const starting = writeSyntheticRun(runsDir, STARTING, { steps: 366, ofSteps: 100_000 });
    // Its last generation begins after these steps.
    writeJournal(starting, { ...STARTING, stepMs: 400 }, 4);
    changeRecord(starting, { generation: 4, state: 'starting' });
    const failed = writeSyntheticRun(runsDir, FAILED, { steps: 200 });
    changeRecord(failed, { state: 'failed' });
    writeJournal(failed, FAILED, 1);
    const journal = new Journal(path.join(failed, 'journal.ndjson'));
    const end = { type: 'end', state: 'failed', exitCode: 3, time: FAILED.startedAt + 70_000 } as const;
    journal.append(end);
    journal.close();
    const slow = (times: string, step: number) =>
      `${JSON.stringify({
        level: 'warn',
        time: FAILED.startedAt + 300 * step,
        run: 'failed',
        generation: 1,
        node: 1,
        rank: 3,
        step,
        msg: `rank 3 (node 1, b) takes ${times} times as long as the others`,
      })}\n`;
    appendFileSync(path.join(failed, 'logs/node-1.ndjson'), slow('2.4', 150) + slow('2.9', 199));
    writeFileSync(
      path.join(failed, 'failure.json'),
      JSON.stringify({
        time: FAILED.startedAt + 70_000,
        generation: 1,
        code: 'WORKER_DIED',
        rank: 1,
        node: 0,
        step: 201,
        pid: 12,
        host: 'a-machine',
        signal: 'SIGKILL',
        layer: 2,
        operation: 'backward, all-to-all dispatch',
        message: 'rank 1, node 0, step 201: worker (pid 12) was killed by SIGKILL',
      }),
    );
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

  it('begins the timeline of a live run with the newest step that all ranks have recorded', async () => {
    await open(`run=${LIVE.runId}&view=timeline`);
    await eventually(() => page.inputValue('.timeline-tools input')).toBe('299');
    const about = () => page.textContent('.timeline-about');
    expect(await about()).not.toContain('nothing is recorded');
    await page.getByRole('button', { name: 'next step' }).click();
    await eventually(() => page.inputValue('.timeline-tools input')).toBe('300');
    await eventually(about).toContain('nothing is recorded of 2 of 4 ranks');
    // The others record it, while it is looked at.
    writeTraces(path.join(runsDir, LIVE.runId), {
      numNodes: 2,
      workersPerNode: 2,
      steps: [298, 299, 300],
      slowRank: 1,
    });
    await eventually(about).not.toContain('nothing is recorded');
    expect(await page.inputValue('.timeline-tools input')).toBe('300');
  });

  it('has a header that fits its window, also of a live run with restarts', async () => {
    await open(`run=${LIVE.runId}`);
    await eventually(() => page.textContent('.numbers')).toMatch(/generation .*left/);
    for (const view of ['1', '2', '3', '4', '5'])
      for (const width of [390, 768, 1024, 1280, 1440]) {
        await page.setViewportSize({ width, height: 800 });
        await page.keyboard.press(view);
        await eventually(() => page.evaluate(HEADER_FITS)).toBe(true);
      }
    await screenshot(page, 'header-1440-light');
  });

  it('tells of a generation that starts only what is known yet', async () => {
    await open(`run=${STARTING.runId}`);
    const numbers = () => page.textContent('.numbers');
    await eventually(numbers).toMatch(/^starting · generation 4step300 \/ 100000loss–$/);
    const dot = (state: string) =>
      page.evaluate<string>(`(() => {
        const state = document.querySelector('.numbers .state');
        state.className = 'state state-${state}';
        return getComputedStyle(state, '::before').backgroundColor;
      })()`);
    expect(await dot('starting')).not.toBe(await dot('running'));
    await page.click('.generations summary');
    const table = page.locator('.generations .menu-body');
    await eventually(() => table.isVisible()).toBe(true);
    expect(await table.locator('h2').textContent()).toMatch(/, 3 restarts$/);
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
    const card = page.locator('.card[aria-label="Loss"]');
    // The steps are 1 to 200. A click before they are drawn would lead nowhere.
    await eventually(() => pointAt(card, (width) => (149 / 199) * width)).toBe('step 150');
    await page.mouse.down();
    await page.mouse.up();
    // The click leads to the step where it was made, although the pointer has moved on.
    await pointAt(card, () => 20);
    const panel = page.locator('.step-panel');
    await eventually(() => panel.locator('h2').textContent()).toBe('Step 150');
    await eventually(() => panel.locator('.findings').textContent()).toMatch(
      /^loss 11\.000, median of the 50 before 7\.\d{3}$/,
    );
    const row = (name: string) => panel.locator('tr', { has: page.locator(`th:text-is("${name}")`) });
    expect(await row('learning rate').locator('td').allTextContents()).toEqual(['0.003', '0.003']);
    expect(await row('zh').locator('td').count()).toBe(2);
    expect(await row('3').locator('td').allTextContents()).toEqual([
      expect.stringMatching(/^1\.\d\dx, expert \d$/),
      expect.stringMatching(/^\d\.\d\dx, expert \d$/),
      expect.stringMatching(/^\d+ %$/),
      expect.stringMatching(/^\d+ %$/),
    ]);
    await screenshot(page, 'step-panel-light');
    expect(await seriousViolations(page)).toEqual([]);
    await panel.getByRole('button', { name: 'the step after' }).click();
    await eventually(() => panel.locator('h2').textContent()).toBe('Step 151');
    await eventually(() => panel.locator('.findings').count()).toBe(0);
    await panel.getByRole('button', { name: 'Log lines, all ranks' }).click();
    expect(new URLSearchParams(page.url().split('#')[1]).get('query')).toContain('step = 151');
    await page.keyboard.press('1');
    await open('run=failed&record=201');
    await eventually(() => panel.textContent()).toContain('nothing is recorded of step 201');
    await panel.press('Escape');
    await eventually(() => panel.isVisible()).toBe(false);
  });

  it('tells on a phone in full width why a run failed', async () => {
    await open('run=failed', 390);
    const text = page.locator('.banner-text');
    await eventually(async () => (await text.boundingBox())?.width).toBeGreaterThan(300);
    await screenshot(page, 'failed-390-light');
  });
});
