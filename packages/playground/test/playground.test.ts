import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Kitoken } from 'kitoken/node';
import { soloTransport } from 'locmoe/internal/collectives/solo-transport';
import { createTrainState } from 'locmoe/internal/worker/state';
import { trainStep } from 'locmoe/internal/worker/train-step';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { NIGHTLY } from '../../../test/nightly.js';
import { serveFolder } from '../../export/test/serve-folder.js';
import { seriousViolations } from '../../page/test/accessibility.js';
import { screenshot, TestBrowser, whyNoBrowser } from '../../page/test/browser.js';
import { buildPlayground } from '../build.mjs';
import { configOf, drawBatch, tokenize } from '../src/training.js';

const reason = whyNoBrowser();
if (reason) console.warn(`SKIPPED: ${reason}`);

/** Sentences about things of one kind, so that two texts differ in their words. */
function textOf(things: readonly string[], verbs: readonly string[]): string {
  return Array.from({ length: 1500 }, (_, i) => {
    const [thing, other] = [things[i % things.length], things[(i * 7 + 3) % things.length]];
    return `the ${thing} ${verbs[(i * 5) % verbs.length]} a ${other}${i % 11 === 0 ? '.\n' : ', '}`;
  }).join('');
}

const TEXTS = {
  prose: textOf(['bird', 'river', 'garden', 'letter', 'window'], ['sees', 'remembers', 'leaves', 'wants']),
  code: textOf(['list', 'index', 'buffer', 'loop'], ['copies', 'returns', 'frees', 'sorts', 'maps']),
};

/** By day only a few steps: Chromium computes on the processor, where a step takes a second or two. */
const SETTINGS = { texts: TEXTS, router: 'locmoe-plus', numExperts: 4, dModel: 32, steps: NIGHTLY ? 25 : 3 };

describe.skipIf(reason !== null)('the page that trains', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-playground-'));
  let server: Server;
  let browser: TestBrowser;
  let page: Page;

  beforeAll(async () => {
    await buildPlayground(folder);
    writeFileSync(path.join(folder, 'samples.json'), JSON.stringify(TEXTS));
    [server, browser] = await Promise.all([
      serveFolder(folder),
      TestBrowser.open(['--enable-unsafe-webgpu']),
    ]);
    page = await browser.page(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    await page.getByLabel('prose').waitFor();
  });

  afterAll(async () => {
    await browser?.close();
    server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('says in one line which text is too short', async () => {
    await page.getByLabel('prose').fill('the bird sees a river');
    await page.getByRole('button', { name: 'Train' }).click();
    await page.getByText(/^prose: a text of \d+ tokens is too short; it takes 650$/).waitFor();
    await page.getByLabel('prose').fill(TEXTS.prose);
  });

  it('stops, and trains anew as Node does, on a server that knows nothing of headers', async () => {
    await page.getByLabel('router').selectOption(SETTINGS.router);
    await page.getByLabel('experts').fill(String(SETTINGS.numExperts));
    await page.getByLabel('width').fill(String(SETTINGS.dModel));
    await page.getByLabel('steps').fill(String(SETTINGS.steps));
    const train = page.getByRole('button', { name: 'Train' });
    await train.click();
    await page.getByText(/^[\d,]+ parameters on/).waitFor();
    await page.getByRole('button', { name: 'Stop' }).click();
    expect(await page.getByRole('status').textContent()).toMatch(/^stopped: /);
    await train.click();
    // Beside other tests a step takes up to ten times as long as alone.
    await page.getByText(/^done/).waitFor({ timeout: 240_000 });
    const shown = await page.getByRole('img').getAttribute('aria-label');
    const reports = [...shown!.matchAll(/step (\d+) ([\d.]+)/g)].map(([, step, loss]) => ({
      step: Number(step),
      loss: Number(loss),
    }));
    const losses = lossesInNode();
    reports.forEach(({ step, loss }, i) => {
      const since = losses.slice(reports[i - 1]?.step ?? 0, step);
      expect(loss).toBeCloseTo(since.reduce((sum, each) => sum + each, 0) / since.length, 3);
    });
    expect(reports.at(-1)!.step).toBe(SETTINGS.steps);
    expect(losses.at(-1)).toBeLessThan(losses[0]! - (NIGHTLY ? 0.5 : 0.2));
    // Each of the 64 tokens of a text that is held out has an expert.
    expect(await page.locator('.text').first().locator('.expert').count()).toBe(64);
    expect(await seriousViolations(page)).toEqual([]);
    await screenshot(page, 'playground');
    expect(browser.problems).toEqual([]);
  });

  it('says why it cannot train where WebGPU has no device', async () => {
    const without = await TestBrowser.open();
    try {
      const own = await without.page(page.url());
      await own.getByText('WebGPU has no device on this computer.').waitFor();
      expect(await own.getByRole('button', { name: 'Train' }).isEnabled()).toBe(false);
    } finally {
      await without.close();
    }
  });

  it('says what a device computes wrong', async () => {
    // Stands in for a driver that compiles a shader wrong. It has a server of its own, as the browser may keep the right program.
    const elsewhere = mkdtempSync(path.join(tmpdir(), 'locmoe-playground-'));
    cpSync(folder, elsewhere, { recursive: true });
    const file = path.join(elsewhere, 'trainer.js');
    const right = readFileSync(file, 'utf8');
    const wrong = right.replace('1 / sqrt(total(part, index)', '2 / sqrt(total(part, index)');
    expect(wrong).not.toBe(right);
    writeFileSync(file, wrong);
    const own = await serveFolder(elsewhere);
    try {
      const there = await browser.page(`http://127.0.0.1:${(own.address() as AddressInfo).port}/`);
      await there.getByRole('button', { name: 'Train' }).click();
      await there.getByText(/^WebGPU on .+, float32 computes layer norm wrong; update its driver$/).waitFor();
      await there.close();
    } finally {
      own.close();
      rmSync(elsewhere, { recursive: true, force: true });
    }
  });
});

/** Returns the losses of the trainer's own steps, which the processor computes. */
function lossesInNode(): number[] {
  const { texts, vocabSize } = tokenize(TEXTS, Kitoken);
  const state = createTrainState(configOf(SETTINGS, vocabSize), soloTransport(), null);
  const losses = Array.from({ length: SETTINGS.steps }, (_, i) => {
    const { report } = trainStep(state, { step: i + 1, batches: [drawBatch(texts, i + 1)] });
    return report.loss;
  });
  state.model.dispose();
  return losses;
}
