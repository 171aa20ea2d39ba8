import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seriousViolations } from '../../packages/page/test/accessibility.js';
import { openAnew, screenshot, TestBrowser, whyNoBrowser } from '../../packages/page/test/browser.js';
import { addMetrics, stepRecord, writeRun } from '../../packages/page/test/run-fixture.js';
import { Locmoe, newestRun, trainArguments, UNHURRIED } from './support.js';

const reason = whyNoBrowser();
if (reason !== null) console.warn(`SKIPPED: the page is not tested in a browser: ${reason}`);

const eventually = <T>(value: () => T, timeout = 60_000) => expect.poll(value, { timeout });

/** Run in the browser, so written as text: the tests themselves know no document. */
const SEES_FLIGHT = `document.querySelector('.card.flight:not([hidden])')?.getBoundingClientRect().top < innerHeight`;

/** The failure report of the newest run. */
function failureOf(folder: string): { readonly rank: number } {
  return JSON.parse(readFileSync(path.join(newestRun(folder), 'failure.json'), 'utf8'));
}

/** The lines of a run's log, of all its processes. */
function logLines(
  runFolder: string,
): { readonly level: string; readonly msg: string; readonly rank?: number }[] {
  const logs = path.join(runFolder, 'logs');
  return readdirSync(logs)
    .filter((name) => name.endsWith('.ndjson'))
    .flatMap((name) => readFileSync(path.join(logs, name), 'utf8').split('\n').filter(Boolean))
    .map((line) => JSON.parse(line));
}

/** A run that fails, is resumed, loses its coordinator, is resumed again and finishes, while a page is open. */
describe.skipIf(reason !== null)('a page that is open when its run ends', () => {
  let folder: string;
  let run: Locmoe;
  let browser: TestBrowser;
  let page: Page;
  const header = () => page.textContent('.numbers');
  const banner = () => page.textContent('.banner:not([hidden])');
  const train = (sets: readonly string[], resume?: string) =>
    new Locmoe(
      trainArguments({
        folder,
        nodes: 2,
        workersPerNode: 1,
        sets: [...sets, 'train.checkpointEvery=5'],
        ...(resume === undefined ? {} : { resume }),
      }),
      UNHURRIED,
    );
  const openPage = async () => {
    const [, url] = await run.until(/page: (http:\S+)/, 120_000);
    await page?.close();
    page = await browser.page(url);
  };

  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'locmoe-end-'));
    browser = await TestBrowser.open();
    run = train(['train.steps=100000']);
    await openPage();
    await run.until(/step +\d{2,}\//, 120_000);
  });

  afterAll(async () => {
    await browser?.close();
    for (const pid of run?.descendants() ?? []) process.kill(pid, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  it('says that it failed, why, and with which commands to go on', async () => {
    await eventually(header).toMatch(/running.*left/);
    process.kill(run.pidsOf('worker')[1], 'SIGKILL');
    await eventually(header).toMatch(/^failed/);
    expect((await run.finished).code).toBe(3);
    expect(await banner()).toMatch(/This run failed: WORKER_DIED.*killed by SIGKILL/);
    expect(await banner()).toMatch(/resume\s*\S+cli\.js train --resume \S+.*cli\.js inspect --run \S+/);
    expect(await header()).not.toContain('left');
    await eventually(() => page.locator('.pins button.pin:not(.is-warning)').count()).toBe(1);
    // The first cause is told twice, as a first sight and as the verdict; the other rank names whom it follows.
    const { rank } = failureOf(folder);
    const said = logLines(newestRun(folder));
    expect(said.filter(({ msg }) => /killed by SIGKILL/.test(msg)).map(({ level }) => level)).toEqual([
      'error',
      'error',
    ]);
    expect(
      said.filter(({ msg }) => msg === `rank ${1 - rank} stopped because of rank ${rank}`),
    ).toMatchObject([{ level: 'info', rank: 1 - rank }]);
    await page.click('.banner [aria-label="copy the command: resume"]');
    await eventually(() => page.textContent('.banner .copied')).toMatch(/copied|selected/);
  });

  it('leads from there to the flight record, and to the step, where the death of the rank is marked', async () => {
    // Served as long as the test goes on.
    const inspect = new Locmoe(['inspect', '--run', newestRun(folder)]);
    const [, url] = await inspect.until(/page: (http:\S+)/);
    await page.goto(url);
    await page.getByRole('button', { name: 'Flight record' }).click();
    const { rank } = failureOf(folder);
    const flight = page.locator('.card.flight');
    await eventually(() => page.evaluate(SEES_FLIGHT)).toBe(true);
    // Whether the other rank had come to wait for it, and whether it was in a collective, depends on the moment of the death.
    const cause = await flight.locator('.cause').textContent();
    expect(cause).toMatch(
      new RegExp(
        `waiting for rank ${rank} on node ${rank}|^rank ${rank} (left|is in) .* its process \\d+ has died`,
      ),
    );
    const waits = await flight.locator('tbody').first().locator('tr td:nth-child(7)').allTextContents();
    expect(waits[rank]).toBe('');
    if (/waiting for/.test(cause ?? '')) expect(waits[1 - rank]).toBe(`rank ${rank}`);
    await screenshot(page, 'flight-record-light');
    await page.goBack();
    await page.getByRole('button', { name: /^Timeline of step \d+$/ }).click();
    await eventually(() => page.textContent('.timeline-about')).toMatch(
      new RegExp(`rank ${rank}: its process \\d+ has died \\([\\d.]+ m?s after the start\\)`),
    );
    await screenshot(page, 'rank-death-light');
  });

  it('says that its coordinator is gone, and since when nothing is heard of it', async () => {
    run = train(['train.steps=100000'], newestRun(folder));
    await openPage();
    await eventually(header).toMatch(/running · generation 2.*left/);
    process.kill(run.child.pid!, 'SIGKILL');
    await eventually(header).toMatch(/^no contact.*last heard of\d\d:\d\d:\d\d$/);
    expect(await banner()).toMatch(/The coordinator is gone: last heard of at .*at step \d+ of 100000/);
    expect(await banner()).toMatch(/cli\.js train --resume \S+.*cli\.js inspect --run \S+/);
    await screenshot(page, 'coordinator-gone-light');
    for (const pid of run.descendants()) process.kill(pid, 'SIGKILL');
    await run.finished;
  });

  it('says that it finished, and how long that took with and without pauses', async () => {
    const [, step] = /step-0*(\d+)/.exec(
      readFileSync(path.join(newestRun(folder), 'checkpoints/latest'), 'utf8'),
    )!;
    run = train([`train.steps=${Number(step) + 6}`], newestRun(folder));
    await openPage();
    expect((await run.finished).code).toBe(0);
    await eventually(header).toMatch(/^finished.*took\d.*without pauses\d/);
    expect(await banner()).toContain('This run finished');
  });

  describe('and whose history is looked at then', () => {
    let inspect: Locmoe;
    let url: string;

    beforeAll(async () => {
      inspect = new Locmoe(['inspect', '--run', newestRun(folder)]);
      const runs = path.join(folder, 'runs');
      for (let number = 0; number < 40; number++) {
        const startedAt = `2025-01-${10 + (number % 20)}T00:00:00Z`;
        addMetrics(writeRun(runs, `old-${number}`, { startedAt }), stepRecord(1, { loss: 5 + number / 10 }));
      }
      [, url] = await inspect.until(/page: (http:\S+)/);
      await page.goto(url);
      // Requests to the coordinators that were killed.
      browser.problems.length = 0;
      await openAnew(page, new URL(url).origin);
      await page.waitForSelector('.chart .u-over');
    });

    afterAll(() => inspect?.interrupt());

    it('has its id in the address, also where the page was opened without one', async () => {
      await eventually(() => page.url()).toContain(/run=[^&]+/.exec(url)![0]);
    });

    it('tells of all its generations, pins the first error of the one that failed, and finds its lines', async () => {
      const rows = page.locator('.generations tbody tr');
      await eventually(() => rows.count()).toBe(3);
      expect(await rows.first().textContent()).toMatch(/^1\d{4}-.*killed by SIGKILL$/);
      expect(await rows.nth(1).textContent()).toMatch(/checkpoint of step \d+.*its coordinator was lost$/);
      expect(await rows.nth(2).textContent()).toMatch(/checkpoint of step \d+.* to \d+.*finished$/);
      expect(await page.textContent('.generations h2')).toMatch(/in all, .* without pauses, resumed 2 times/);
      await eventually(() => page.locator('.pins button.pin:not(.is-warning)').allTextContents()).toEqual([
        expect.stringMatching(/First error of generation 1.*SIGKILL/),
      ]);
      await page.selectOption('[aria-label="x axis of the charts"]', 'time');
      await screenshot(page, 'generations-by-time-light');
      await page.click('.pins summary');
      await page.click('.pins button:not(.is-warning)');
      await page.click('.details button:has-text("on all ranks")');
      await eventually(() => page.locator('.line-body .row.level-error').count()).toBeGreaterThan(0);
      await page.keyboard.press('1');
    });

    it('shows its configuration, checkpoints, flight record and which rank is slow', async () => {
      await page.evaluate('document.activeElement.blur()');
      await page.keyboard.press('4');
      await eventually(() => page.textContent('.facts')).toMatch(/routerswitch.*kernels/);
      await page.fill('.config input[type="search"]', 'learningRate');
      expect(await page.locator('.settings th[scope="row"]').allTextContents()).toEqual(
        expect.arrayContaining(['train.learningRate', 'train.endLearningRate']),
      );
      await page.fill('.config input[type="search"]', '');
      await page.locator('.checkpoints button').first().click();
      await eventually(() => page.textContent('.checkpoints tbody tr')).toContain('all hashes are right');
      expect(await page.locator('.rank-times tbody tr').count()).toBe(2);
      expect(await page.textContent('.rank-times .note')).toContain(
        'and for a processor that other processes',
      );
      expect(await page.textContent('.flight')).toMatch(/generation 2.*rank 0.*cli\.js flight/);
      await screenshot(page, 'details-light');
    });

    it('is chosen from the list by keyboard, searched and sorted, and compared', async () => {
      await page.evaluate('document.activeElement.blur()');
      await page.keyboard.press('r');
      const focused = () =>
        page.evaluate<string>('document.activeElement.dataset.run ?? document.activeElement.className');
      await eventually(focused).toBe('run-search');
      await page.keyboard.press('Escape');
      expect(await page.locator('.run-table').isVisible()).toBe(false);
      await page.keyboard.press('r');
      await eventually(focused).toBe('run-search');
      expect(await page.locator('.run-table tbody tr').count()).toBe(15);
      await page.keyboard.type('old-3');
      await eventually(() => page.locator('.run-table tbody tr').count()).toBe(11);
      await page.click('.run-table [data-sort="loss"]');
      await page.focus('.run-search');
      await page.keyboard.press('ArrowDown');
      expect(await focused()).toBe('old-3');
      await page.keyboard.press('ArrowDown');
      expect(await focused()).toBe('old-30');
      await screenshot(page, 'runs-light');
      await page.click('[data-tick="old-30"]');
      await page.keyboard.press('Escape');
      await page.keyboard.press('1');
      await eventually(() => page.textContent('.differences')).toMatch(/differences.*namemicrotest/);
      expect(await page.locator('.chart .legend').first().textContent()).toContain('old-30');
    });

    it('fits a phone, and its list of runs has nothing that axe calls serious', async () => {
      await page.emulateMedia({ colorScheme: 'dark' });
      await page.setViewportSize({ width: 390, height: 844 });
      for (const [key, ready] of [
        ['1', '.chart .u-over'],
        ['2', '.line-body .row'],
        ['4', '.config .settings'],
      ]) {
        await page.evaluate('document.activeElement.blur()');
        await page.keyboard.press(key);
        await page.waitForSelector(ready);
        expect(await page.evaluate('document.documentElement.scrollWidth'), `view ${key}`).toBe(390);
        await screenshot(page, `phone-${key}-dark`);
      }
      await page.emulateMedia({ colorScheme: 'light' });
      await page.keyboard.press('r');
      await page.waitForSelector('.run-table tbody tr');
      expect(await seriousViolations(page), 'list of runs').toEqual([]);
      expect(browser.problems).toEqual([]);
    });
  });
});
