import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type RouteRow, readRoutes } from '@locmoe/run-format/routes-file';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { RunList } from '../../packages/page/src/api-types.js';
import { seriousViolations } from '../../packages/page/test/accessibility.js';
import { openAnew, screenshot, TestBrowser, whyNoBrowser } from '../../packages/page/test/browser.js';
import { addMetrics, stepRecord, writeRun } from '../../packages/page/test/run-fixture.js';
import { loadTokenizer } from '../../src/data/tokenizer/tokenizer.js';
import { runCommand } from '../run-command.js';
import { CLI, Locmoe, newestRun, trainArguments } from './support.js';

const reason = whyNoBrowser();
if (reason !== null) console.warn(`SKIPPED: the page is not tested in a browser: ${reason}`);

const eventually = <T>(value: () => T) => expect.poll(value);

/** Some choices are dropped, by full experts and by experts that choose; a token has several choices. */
const SETS = [
  'logLevel=debug',
  'train.validateEvery=10',
  'train.checkpointEvery=5',
  'train.recordRoutes.every=4',
  'train.recordRoutes.share=1',
  'train.probeRoutes=true',
  'moe.router=locmoe-plus',
  'moe.selection=both',
  'moe.capacityFactor=0.6',
];
/** The run does at most four steps a second, which leaves the processors to the browser. */
const SLOW = { LOCMOE_FAIL: 'step.begun:*:sleep=250' };
/** The step whose routes are inspected. The micro model has 8 sequences of 32 tokens. */
const RECORDED = 8;
const SEQ_LEN = 32;

// These programs run in the browser and are text, since the tests are compiled without the DOM's types.
const COLORS_OF_CANVASES = `[...document.querySelectorAll('.chart canvas, .heat canvas')].map((canvas) => {
  const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
  return new Set(new Uint32Array(data.buffer)).size;
})`;
const FOCUSED = `document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent`;
const FOCUSED_RUN = 'document.activeElement.dataset.run ?? document.activeElement.className';
const SEES_FLIGHT = `document.querySelector('.card.flight:not([hidden])')?.getBoundingClientRect().top < innerHeight`;

/** Follows a real run: it trains, fails, is resumed and finishes. */
describe.skipIf(reason !== null)('the page of a run', () => {
  let folder: string;
  let run: Locmoe;
  let url: string;
  let browser: TestBrowser;
  let page: Page;
  const header = () => page.textContent('.numbers');
  const banner = () => page.textContent('.banner:not([hidden])');
  const lines = () => page.locator('.line-body .row');
  const press = (key: string) => page.keyboard.press(key);
  /** Starts the training, or resumes it, and opens its page. */
  const train = async (steps: number, resume?: string) => {
    const sets = [`train.steps=${steps}`, ...SETS];
    const layout = { nodes: 2, workersPerNode: 1 };
    run = new Locmoe(trainArguments({ folder, ...layout, sets, ...(resume && { resume }) }), SLOW);
    [, url] = await run.until(/page: (http:\S+)/);
    await page?.close();
    page = await browser.page(url);
  };

  beforeAll(async () => {
    folder = mkdtempSync(path.join(tmpdir(), 'locmoe-page-'));
    browser = await TestBrowser.open();
    await train(100_000);
    await run.until(/step +\d{2,}\/100000/);
  });

  afterAll(async () => {
    await browser?.close();
    for (const pid of run?.descendants() ?? []) process.kill(pid, 'SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  describe('while it trains', () => {
    it('has no token left in its address, and opens without from then on, in this browser alone', async () => {
      expect(new URL(url).searchParams.get('token')).toMatch(/^[\w-]{43}$/);
      await page.waitForSelector('.chart .u-over');
      expect(page.url()).toBe(url.replace(/\?token=[^#]*/, ''));
      const again = await browser.page(page.url());
      await again.waitForSelector('.chart .u-over');
      await again.close();
      expect((await fetch(page.url())).status).toBe(401);
      const told = await runCommand('inspect', '--runs-dir', path.join(folder, 'runs'));
      expect(told.stdout, told.stderr).toContain(`its page: ${url}`);
    });

    it('draws every chart, and goes on as the run does', async () => {
      await page.waitForSelector('.heat-moment td');
      const inks = await page.evaluate<number[]>(COLORS_OF_CANVASES);
      expect(inks.length).toBeGreaterThanOrEqual(7);
      for (const numColors of inks) expect(numColors).toBeGreaterThan(3);
      const before = await stepOf(page);
      await eventually(() => stepOf(page)).toBeGreaterThan(before + 3);
      expect(await header()).toMatch(/running.*tokens\/s\d.*left\d/);
      await screenshot(page, 'overview-light');
    });

    it('leads from the step time to the timeline of a step, which mouse and keyboard read', async () => {
      const chart = page.locator('.chart', { hasText: 'Step time by part' }).locator('.u-over');
      const { width } = (await chart.boundingBox())!;
      await chart.click({ position: { x: width / 2, y: 40 } });
      await eventually(() => page.textContent('.timeline-about')).toMatch(
        /\d m?s from \d\d:\d\d:\d\d\.\d{3}/,
      );
      const step = Number(/view=timeline.*step=(\d+)/.exec(page.url())![1]);
      expect(await page.inputValue('.timeline-tools input')).toBe(String(step));
      const tip = page.locator('.timeline-tip');
      await page.locator('.timeline-lanes').focus();
      await press('ArrowRight');
      await eventually(() => tip.textContent()).toMatch(/rank0.*took\d/);
      await press('ArrowDown');
      await eventually(() => tip.textContent()).toMatch(/rank1.*took\d/);
      await press('Escape');
      await eventually(() => tip.isVisible()).toBe(false);
      const canvas = (await page.locator('.timeline-canvas').boundingBox())!;
      // Phases begin right of the names; their places differ in a step that waits for another rank.
      let share = 0.2;
      await eventually(async () => {
        share = share > 0.9 ? 0.2 : share + 0.05;
        await page.mouse.move(canvas.x + share * canvas.width, canvas.y + 52);
        return tip.textContent();
      }).toMatch(/(for|back)ward/);
      await screenshot(page, 'timeline');
      await press(']');
      await eventually(() => page.url()).toMatch(new RegExp(`step=${step + 1}`));
    });

    it('follows the log, pauses, goes on, and clears', async () => {
      await press('2');
      await page.click('.live');
      await eventually(() => lines().count()).toBeGreaterThan(10);
      const newest = async () => Number(await lines().first().locator('.step').textContent());
      const before = await newest();
      await eventually(newest).toBeGreaterThan(before);
      await page.click('button:has-text("Pause")');
      const paused = await lines().count();
      const step = await stepOf(page);
      await eventually(() => stepOf(page)).toBeGreaterThan(step + 3);
      expect(await lines().count()).toBe(paused);
      await page.click('button:has-text("Resume")');
      await eventually(() => lines().count()).toBeGreaterThan(paused);
      await page.click('button:has-text("Clear")');
      expect(await lines().count()).toBeLessThan(paused);
      await page.click('.live');
      expect(await page.textContent('.tail-status')).toBe('');
    });

    it('gets the routes of the steps as they are recorded', async () => {
      await press('5');
      await page.waitForSelector('.token');
      const newest = async () => Number(await page.inputValue('[aria-label="recorded step"]'));
      const first = await newest();
      expect(first % 4).toBe(0);
      await eventually(newest).toBeGreaterThan(first);
    });
  });

  it('says that it failed, why, and with which commands to go on', async () => {
    await press('1');
    await eventually(header).toMatch(/running.*left/);
    expect(browser.problems).toEqual([]);
    process.kill(run.pidsOf('worker')[1]!, 'SIGKILL');
    await eventually(header).toMatch(/^failed/);
    expect((await run.finished).code).toBe(3);
    expect(await banner()).toMatch(/This run failed: WORKER_DIED.*killed by SIGKILL/);
    expect(await banner()).toMatch(/resume\s*\S+cli\.js train --resume \S+.*cli\.js inspect --run \S+/);
    expect(await header()).not.toContain('left');
    await eventually(() => page.locator('.pins button.pin:not(.is-warning)').count()).toBe(1);
    // The cause is logged twice, when first seen and as the verdict; the other rank names the rank that it follows.
    const rank = failedRank(folder);
    const said = logLines(newestRun(folder));
    const cause = said.filter(({ level, msg }) => level !== 'debug' && /killed by SIGKILL/.test(msg));
    expect(cause.map(({ level }) => level)).toEqual(['error', 'error']);
    expect(
      said.filter(({ msg }) => msg === `rank ${1 - rank} stopped because of rank ${rank}`),
    ).toMatchObject([{ level: 'info', rank: 1 - rank }]);
    await page.click('.banner [aria-label="copy the command: resume"]');
    await eventually(() => page.textContent('.banner .copied')).toMatch(/copied|selected/);
  });

  it('leads from there to the flight record, and to the step, where the death of the rank is marked', async () => {
    const inspect = new Locmoe(['inspect', '--run', newestRun(folder)]);
    const [, address] = await inspect.until(/page: (http:\S+)/);
    await page.goto(address!);
    await page.getByRole('button', { name: 'Flight record' }).click();
    const rank = failedRank(folder);
    const flight = page.locator('.card.flight');
    await eventually(() => page.evaluate(SEES_FLIGHT)).toBe(true);
    // Whether the other rank was waiting, and in a collective, depends on the moment of the death.
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
    inspect.interrupt();
    expect((await inspect.finished).code).toBe(0);
  });

  it('says that it finished, and how long that took with and without pauses', async () => {
    const saved = Number(/step-0*(\d+)/.exec(latestCheckpoint(newestRun(folder)))![1]);
    await train(saved + 6, newestRun(folder));
    expect((await run.finished).code).toBe(0);
    await eventually(header).toMatch(/^finished.*took\d.*without pauses\d/);
    expect(await banner()).toContain('This run finished');
    // The sentences are those of the summary, which the coordinator writes after the run's end.
    await eventually(() => page.locator('.banner .meaning li').count()).toBeGreaterThan(2);
    const { meaning } = JSON.parse(readFileSync(path.join(newestRun(folder), 'summary.json'), 'utf8'));
    expect(await page.locator('.banner .meaning li').allTextContents()).toEqual(meaning);
  });

  describe('when it is over', () => {
    let inspect: Locmoe;
    let address: string;

    beforeAll(async () => {
      const runs = path.join(folder, 'runs');
      for (let number = 0; number < 40; number++) {
        const startedAt = `2025-01-${10 + (number % 20)}T00:00:00Z`;
        addMetrics(writeRun(runs, `old-${number}`, { startedAt }), stepRecord(1, { loss: 5 + number / 10 }));
      }
      const trained = readdirSync(runs).find((name) => name.startsWith('micro-'))!;
      inspect = new Locmoe(['inspect', '--run', path.join(runs, trained)]);
      address = (await inspect.until(/page: (http:\S+)/))[1]!;
      await page.goto(address);
      // The page has queried coordinators that no longer exist, which the browser reports as problems.
      browser.problems.length = 0;
      await openAnew(page, new URL(address).origin);
      await page.waitForSelector('.chart .u-over');
    });

    afterAll(async () => {
      inspect?.interrupt();
      expect((await inspect?.finished)?.code).toBe(0);
    });

    it('is served with the list of runs, which has its id, and under a policy', async () => {
      await eventually(() => page.url()).toContain(/run=[^&]+/.exec(address)![0]);
      const { headers } = await inspect.http();
      const { origin } = new URL(address);
      const list = (await (await fetch(`${origin}/api/runs`, { headers })).json()) as RunList;
      expect(list.runs[0]).toMatchObject({ runId: runId(address), state: 'finished' });
      expect((await fetch(origin, { headers })).headers.get('content-security-policy')).toContain(
        "script-src 'self'",
      );
      const query = encodeURIComponent(`{run="${runId(address)}"}`);
      const answer = await fetch(`${origin}/loki/api/v1/query_range?query=${query}&since=1h`, { headers });
      expect(answer.status).toBe(200);
    });

    it('tells of all its generations, pins the first error of the one that failed, and finds its lines', async () => {
      const rows = page.locator('.generations tbody tr');
      await eventually(() => rows.count()).toBe(2);
      expect(await rows.first().textContent()).toMatch(/^1\d{4}-.*killed by SIGKILL$/);
      expect(await rows.nth(1).textContent()).toMatch(/checkpoint of step \d+.* to \d+.*finished$/);
      expect(await page.textContent('.generations h2')).toMatch(/in all, .* without pauses, resumed/);
      await eventually(() => page.locator('.pins button.pin:not(.is-warning)').allTextContents()).toEqual([
        expect.stringMatching(/First error of generation 1.*SIGKILL/),
      ]);
      await page.click('.pins summary');
      await page.click('.pins button:not(.is-warning)');
      await page.click('.details button:has-text("on all ranks")');
      await eventually(() => page.locator('.line-body .row.level-error').count()).toBeGreaterThan(0);
    });

    it('shows its configuration, checkpoints, flight record and which rank is slow', async () => {
      await page.evaluate('document.activeElement.blur()');
      await press('4');
      await eventually(() => page.textContent('.facts')).toMatch(/routerlocmoe-plus.*kernels/);
      await page.fill('.config input[type="search"]', 'learningRate');
      expect(await page.locator('.settings th[scope="row"]').allTextContents()).toEqual(
        expect.arrayContaining(['train.learningRate', 'train.endLearningRate']),
      );
      await page.fill('.config input[type="search"]', '');
      await page.locator('.checkpoints button').first().click();
      await eventually(() => page.textContent('.checkpoints tbody tr')).toContain('all hashes are right');
      expect(await page.locator('.rank-times tbody tr').count()).toBe(2);
      expect(await page.textContent('.flight')).toMatch(/generation 1.*rank 0.*cli\.js flight/);
      await screenshot(page, 'details-light');
    });

    it('is chosen from the list by keyboard, searched and sorted, and compared', async () => {
      await page.evaluate('document.activeElement.blur()');
      await press('r');
      const focused = () => page.evaluate<string>(FOCUSED_RUN);
      await eventually(focused).toBe('run-search');
      await press('Escape');
      expect(await page.locator('.run-table').isVisible()).toBe(false);
      await press('r');
      await eventually(focused).toBe('run-search');
      expect(await page.locator('.run-table tbody tr').count()).toBe(15);
      expect(await seriousViolations(page), 'list of runs').toEqual([]);
      await page.keyboard.type('old-3');
      await eventually(() => page.locator('.run-table tbody tr').count()).toBe(11);
      await page.click('.run-table [data-sort="loss"]');
      await page.focus('.run-search');
      for (const name of ['old-3', 'old-30']) {
        await press('ArrowDown');
        expect(await focused()).toBe(name);
      }
      await page.click('[data-tick="old-30"]');
      await press('Escape');
      await press('1');
      await eventually(() => page.textContent('.differences')).toMatch(/differences.*namemicrotest/);
      expect(await page.locator('.chart .legend').first().textContent()).toContain('old-30');
    });

    it('fits a phone', async () => {
      await page.setViewportSize({ width: 390, height: 844 });
      for (const [key, ready] of [
        ['1', '.chart .u-over'],
        ['2', '.line-body .row'],
        ['4', '.config .settings'],
      ] as const) {
        await page.evaluate('document.activeElement.blur()');
        await press(key);
        await page.waitForSelector(ready);
        expect(await page.evaluate('document.documentElement.scrollWidth'), `view ${key}`).toBe(390);
      }
      expect(browser.problems).toEqual([]);
    });

    describe('in its routing', () => {
      let rows: RouteRow[];
      const open = async (hash: string) => {
        const { origin } = new URL(address);
        await openAnew(page, `${origin}/#run=${runId(address)}&view=routing&recorded=${RECORDED}${hash}`);
        await page.waitForSelector('.routing-body .token');
      };
      const tokens = () => page.locator('.routing-body .token');
      const state = () => Object.fromEntries(new URLSearchParams(page.url().split('#')[1]));
      const focused = () => page.evaluate<string>(FOCUSED);
      /** The recorded choices of a token of the first sequence. */
      const choicesOf = (position: number) =>
        rows.filter((row) => row.sequence === 0 && row.position === position);

      beforeAll(async () => {
        await page.setViewportSize({ width: 1440, height: 900 });
        const routes = path.join(folder, 'runs', runId(address), 'routes');
        const ofStep = (name: string) => name.startsWith(`step-${String(RECORDED).padStart(6, '0')}`);
        const files = readdirSync(routes).filter(ofStep).sort();
        rows = (await Promise.all(files.map((name) => readRoutes(path.join(routes, name))))).flat();
      });

      it('has the text of a step, with the experts of each token in each layer', async () => {
        await open('');
        expect(await tokens().count()).toBe(SEQ_LEN);
        const checkpoint = latestCheckpoint(path.join(folder, 'runs', runId(address)));
        const tokenizer = loadTokenizer(path.join(checkpoint, 'tokenizer.json'));
        const ids = Array.from({ length: SEQ_LEN }, (_, position) => choicesOf(position)[0]!.token);
        const shown = await page.locator('.routing-body .characters').allTextContents();
        // White space is shown as visible characters, and a character continued in the next token as an ellipsis.
        const plain = (text: string) => text.replaceAll(/[\s\d␣↵⇥…]/g, '');
        expect(plain(shown.join(''))).toBe(plain(tokenizer.decode(ids)));
        for (const position of [0, 9, 31]) {
          const chips = tokens().nth(position).locator('.expert-chip');
          const expected = choicesOf(position);
          expect(await chips.allTextContents()).toEqual(expected.map(({ expert }) => String(expert)));
          const classes = await Promise.all(
            expected.map((_, index) => chips.nth(index).getAttribute('class')),
          );
          expect(classes).toEqual(
            expected.map(({ outcome }) => `expert-chip is-${outcome.replace(' ', '-')}`),
          );
        }
        await page.selectOption('[aria-label="layers of the text"]', '2');
        expect(await tokens().first().locator('.takers').count()).toBe(1);
        await tokens().first().press('n');
        await eventually(() => state().recorded).not.toBe(String(RECORDED));
      });

      it('shows the way of a token that is clicked, with all that decided it', async () => {
        await open('');
        await tokens().nth(9).click();
        const way = page.locator('.way tbody tr');
        const expected = choicesOf(9);
        expect(await way.count()).toBe(expected.length);
        const head = await page.locator('.way thead th').allTextContents();
        const cells = async (name: string) => {
          const at = head.indexOf(name);
          return Promise.all(
            expected.map((_, index) => way.nth(index).locator('th, td').nth(at).textContent()),
          );
        };
        expect(await cells('layer')).toEqual(expected.map(({ layer }) => String(layer)));
        expect(await cells('on')).toEqual(
          expected.map((row) => `rank ${row.expertRank}, node ${row.expertNode}`),
        );
        for (const name of ['gate', 'score', 'margin', 'weight'] as const)
          expect(await cells(name)).toEqual(expected.map((row) => row[name]!.toFixed(3)));
        const words = { kept: /^kept, /, 'over capacity': /expert was full/, 'not chosen': /did not choose/ };
        for (const [index, text] of (await cells('outcome')).entries())
          expect(text).toMatch(words[expected[index]!.outcome]);
        expect(await page.locator('.way .picture').count()).toBe(expected.length);
        await screenshot(page, 'routing-way-light');
      });

      it('is reached by the keyboard: a token, its way, an expert, and back', async () => {
        await open('');
        await page.locator('[aria-label="layers of the text"]').focus();
        await press('Tab');
        expect(await focused()).toBe(await tokens().first().textContent());
        // The arrow keys move the selected token, and its details follow.
        for (const key of ['ArrowRight', 'Enter', 'ArrowRight']) await press(key);
        expect(state().token).toBe('2');
        for (const key of ['End', 'Home']) await press(key);
        expect(state().token).toBe('0');
        await press('Tab');
        expect(await focused()).toBe('close (Esc)');
        for (const key of ['Tab', 'Tab']) await press(key);
        const { layer, expert } = choicesOf(0)[0]!;
        expect(await focused()).toBe(`expert ${expert} of layer ${layer}: its tokens`);
        await press('Enter');
        await eventually(() => page.locator('.detail-card h2').textContent()).toContain(
          `Expert ${expert} of layer ${layer}`,
        );
        await press('Escape');
        await eventually(() => state().expert).toBeUndefined();
        expect(await focused()).toBe(await tokens().first().textContent());
        await press('Escape');
        expect(await page.locator('.detail-card').isVisible()).toBe(false);
        // All experts of the step are a single tab stop.
        await page.locator('[aria-label="what the load of experts shows"]').focus();
        await press('Tab');
        expect(await focused()).toMatch(/^layer 1, expert 0: /);
        await press('ArrowDown');
        expect(await focused()).toMatch(/^layer 2, expert 0: /);
        await press('Tab');
        expect(await focused()).not.toMatch(/^layer/);
      });

      it('shows of an expert its tokens and its load, and the bytes from rank to rank and from node to node', async () => {
        await open('&expert=1.0');
        const ofLayer = rows.filter(({ layer }) => layer === 1);
        const own = ofLayer.filter(({ expert }) => expert === 0);
        await eventually(() => page.locator('.detail-words').textContent()).toMatch(
          new RegExp(`^${own.length} of ${ofLayer.length} choices of the layer`),
        );
        const counts = new Map<number, number>();
        for (const { token } of own) counts.set(token, (counts.get(token) ?? 0) + 1);
        const taken = page.locator('.taken').first().locator('li .number:not(.hint)').first();
        expect(await taken.textContent()).toBe(String(Math.max(...counts.values())));
        await eventually(() => page.locator('.expert-load .curve').count()).toBe(1);
        expect(await page.locator('.routing-body .token.hit').count()).toBe(
          new Set(own.filter(({ sequence }) => sequence === 0).map(({ position }) => position)).size,
        );
        const bytes = rows
          .filter((row) => row.outcome === 'kept' && row.rank === 0 && row.expertRank === 1)
          .reduce((sum, row) => sum + row.bytes, 0);
        const cell = page.locator('.link-matrix tbody tr').first().locator('td').nth(1);
        expect(await cell.getAttribute('title')).toBe(
          `rank 0 to rank 1: ${bytes >= 1e3 ? `${(bytes / 1e3).toFixed(1)} kB` : `${bytes} B`}`,
        );
        await page.selectOption('[aria-label="places of the links"]', 'node');
        expect(await page.locator('.link-matrix tbody tr').count()).toBe(2);
      });

      it('is what a link says, fits a phone, and has nothing serious for axe, light and dark', async () => {
        // Each theme is checked with one of the links, as both links show all colours.
        for (const [hash, colorScheme] of [
          ['&sequence=3&token=17', 'light'],
          ['&sequence=3&expert=2.1', 'dark'],
        ] as const) {
          await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
          await page.setViewportSize({ width: 1440, height: 900 });
          await open(hash);
          await eventually(() => page.locator('.detail-body > *').count()).toBeGreaterThan(0);
          expect(await page.inputValue('[aria-label="recorded step"]')).toBe(String(RECORDED));
          expect(await page.inputValue('[aria-label="sequence"]')).toBe('3');
          if (hash.includes('token'))
            expect(await tokens().nth(17).getAttribute('aria-selected')).toBe('true');
          expect(await seriousViolations(page), `${hash}, ${colorScheme}`).toEqual([]);
          await page.setViewportSize({ width: 390, height: 844 });
          await eventually(() => page.evaluate('document.documentElement.scrollWidth')).toBe(390);
          await screenshot(page, `routing-390-${colorScheme}`);
        }
        await page.emulateMedia({ colorScheme: 'light' });
      });

      it('shows a text at each step of the training, by a slider that the keyboard moves', async () => {
        await open('');
        const watch = page.locator('.watch');
        const slider = watch.getByRole('slider');
        await slider.press('Home');
        expect(await watch.locator('.watch-step').textContent()).toBe('step 0');
        expect(await watch.locator('.is-changed').count()).toBe(0);
        const shown = () => watch.locator('.token').allTextContents();
        const first = await shown();
        await slider.press('End');
        expect(await watch.locator('.watch-step').textContent()).toMatch(/^step [1-9]/);
        const last = await shown();
        expect(last).toHaveLength(SEQ_LEN);
        expect(last).not.toEqual(first);
        await watch.locator('.token').first().click();
        expect(await watch.locator('.watch-history').textContent()).toMatch(
          /layer 1: expert \d.* from step 0/,
        );
      });

      it('says what is not recorded, and of a run without routes how to record', async () => {
        const { origin } = new URL(address);
        await openAnew(page, `${origin}/#run=old-1&view=routing`);
        await eventually(() => page.textContent('.no-routes')).toContain('train.recordRoutes');
        expect(await page.locator('.no-routes .command code').textContent()).toMatch(
          /^\S+cli\.js train --config .*config\.json --set train\.recordRoutes\.every=50$/,
        );
        expect(browser.problems).toEqual([]);
        await openAnew(page, `${origin}/#run=${runId(address)}&view=routing&recorded=3`);
        await eventually(() => page.textContent('.routing-problem')).toContain(
          'no routes are recorded of step 3',
        );
      });
    });

    it('leaves the token out of a file that others can read', async () => {
      const command = `exec '${process.execPath}' '${CLI}' inspect --run '${path.join(folder, 'runs', runId(address))}'`;
      for (const [mode, pattern] of [
        [0o644, /page: http:\/\/[\d.]+:\d+\/#run=\S+\n {2}its token is left out, .* --token-file FILE\n/],
        [0o600, /page: http:\/\/[\d.]+:\d+\/\?token=[\w-]{43}#run=/],
      ] as const) {
        const output = path.join(folder, `output-${mode}`);
        writeFileSync(output, '', { mode });
        const own = new Locmoe([`${command} >'${output}'`], {}, ['/bin/sh', '-c']);
        await eventually(() => readFileSync(output, 'utf8')).toMatch(pattern);
        own.interrupt();
        expect((await own.finished).code).toBe(0);
      }
    });
  });
});

/** The step that the header shows. */
async function stepOf(page: Page): Promise<number> {
  return Number(/step(\d+)/.exec((await page.textContent('.numbers'))!)?.[1]);
}

function runId(url: string): string {
  return decodeURIComponent(/run=([^&]+)/.exec(url)![1]!);
}

/** The folder of the newest checkpoint of a run. */
function latestCheckpoint(runFolder: string): string {
  const checkpoints = path.join(runFolder, 'checkpoints');
  const [name] = /step-\d+/.exec(readFileSync(path.join(checkpoints, 'latest'), 'utf8'))!;
  return path.join(checkpoints, name);
}

/** The rank that the failure report of the newest run names. */
function failedRank(folder: string): number {
  return JSON.parse(readFileSync(path.join(newestRun(folder), 'failure.json'), 'utf8')).rank;
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
