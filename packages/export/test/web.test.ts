import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { generateText } from 'locmoe/internal/inference/generate';
import { type Inference, openInference } from 'locmoe/internal/inference/inference';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seriousViolations } from '../../page/test/accessibility.js';
import { screenshot, TestBrowser, whyNoBrowser } from '../../page/test/browser.js';
import { writeRoutes } from '../../page/test/routes-fixture.js';
import { writeFolder } from '../src/output-folder.js';
import { writeSubModel } from '../src/sub-model.js';
import { web } from '../src/web/web.js';
import { serveFolder } from './serve-folder.js';
import {
  ANSWER,
  fineTunedCheckpoint,
  ownRouting,
  QUESTION,
  TRIED_MIXTRAL,
  trainedCheckpoint,
} from './trained.js';

const PROMPTS = [
  'The experts of a rank',
  'a node, a run and its workers',
  'const step = 3;',
  '0 1 2 3, | --- |',
  'npm run',
  'zzz',
];
const GREEDY = { topP: 1, repetitionPenalty: 1, stop: [], temperature: 0, topK: 1, seed: 1 };
const reason = whyNoBrowser();
if (reason) console.warn(`SKIPPED: ${reason}`);

describe.skipIf(reason !== null)('the exported page', () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-web-'));
  const output = path.join(folder, 'somewhere/below');
  let inference: Inference;
  let server: Server;
  let browser: TestBrowser;
  let origin: string;
  let page: Page;
  /** The prompt of the newest card, for the tests that look at its tokens. */
  let shownPrompt: string;

  beforeAll(async () => {
    const checkpoint = trainedCheckpoint(mkdtempSync(path.join(folder, 'model-')), 'locmoe-plus');
    await writeFolder(output, (files) => web.write(checkpoint, files, 'float32'));
    inference = openInference(checkpoint);
    [server, browser] = await Promise.all([serveFolder(folder), TestBrowser.open()]);
    const { port } = server.address() as AddressInfo;
    origin = `http://127.0.0.1:${port}`;
    page = await browser.page(`${origin}/somewhere/below/`);
    await page.locator('#composer').waitFor();
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('has only files that a browser requests', () => {
    const names = readdirSync(output, { recursive: true, encoding: 'utf8' });
    expect(names).toContain('main.js');
    expect(names.filter((name) => /\.(map|d\.ts)$/.test(name))).toEqual([]);
  });

  /** Enters a prompt; once the generation is done, returns its card and the ids of all tokens. */
  async function write(domain: string, prompt: string, maxTokens: number, on = page) {
    await on.getByRole('radio', { name: domain }).check();
    await on.getByLabel('Begin with').fill(prompt);
    await on.getByLabel('tokens', { exact: true }).fill(String(maxTokens));
    await on.getByLabel('temperature').fill('0');
    await on.getByRole('button', { name: 'Write', exact: true }).click();
    const card = on.locator('article').first();
    await card.getByText(/tokens\/s/).waitFor();
    return card;
  }

  it('writes the text that `locmoe generate` writes, beyond the length of a sequence', async () => {
    const prompt = 'A token \u4e2d\u6587';
    for (const [domain, name] of ['prose', 'code'].entries()) {
      const own = generateText(inference, { ...GREEDY, prompt, domain, maxTokens: 40 });
      const card = await write(name, prompt, 40);
      expect(await card.locator('.tokens').getAttribute('data-text')).toBe(own);
    }
  });

  it('shows the experts that take each token, by weight', async () => {
    const { config, tokenizer } = inference;
    const { numExperts } = config.moe;
    const tokensOf = (prompt: string) => [tokenizer.endOfText, ...tokenizer.encode(prompt)];
    const takersOf = (ids: readonly number[]) => {
      const layers = ownRouting(inference, Int32Array.from(ids), 0);
      return ids.map((_, token) =>
        layers.map(({ weights }) =>
          [...Array(numExperts).keys()].filter((expert) => weights[token * numExperts + expert]! > 0),
        ),
      );
    };
    // The model is trained on texts of the checkout, so which tokens have an expert changes with them.
    shownPrompt = PROMPTS.find((each) => {
      const takers = takersOf(tokensOf(each)).flat();
      return takers.some(({ length }) => length === 0) && takers.some(({ length }) => length > 0);
    })!;
    const card = await write('prose', shownPrompt, 1);
    const shown = await card
      .locator('.token')
      .evaluateAll((tokens) =>
        tokens.map((token) =>
          [...token.querySelectorAll('.takers')].map((row) =>
            [...row.querySelectorAll('[data-expert]')].map((taker) =>
              Number(taker.getAttribute('data-expert')),
            ),
          ),
        ),
      );
    const ids = tokensOf(shownPrompt);
    expect(ids.length).toBeLessThan(config.model.seqLen);
    expect(shown.slice(0, ids.length)).toEqual(takersOf(ids));
  });

  it('is operated by keyboard', async () => {
    const card = page.locator('article').first();
    await card.getByRole('option').first().focus();
    await page.keyboard.press('ArrowRight');
    await page.keyboard.press('ArrowRight');
    // The end of text comes first.
    const id = inference.tokenizer.encode(shownPrompt)[1];
    await expect.poll(() => page.locator('#detail').textContent()).toContain(`token ${id}`);
    await page.keyboard.press('End');
    await expect.poll(() => page.locator('#detail').textContent()).toContain('generated');
  });

  it('fades the tokens of other experts', async () => {
    // An expert that some tokens chose, which depends on the processor's rounding.
    const expert = page.locator('.strip button:not([aria-label*=": 0 tokens"])').first();
    await expert.press('Enter');
    const bright = page.locator('.token:not(.dim)');
    const taken = Number(/: (\d+) tokens/.exec((await expert.getAttribute('aria-label'))!)![1]);
    expect(taken).toBeGreaterThan(0);
    expect(await bright.count()).toBe(taken);
    await screenshot(page, 'export-web');
    await expert.press('Enter');
    expect(await page.locator('.token.dim').count()).toBe(0);
  });

  it('of a sub-model it has the one domain and its experts, and writes its text', async () => {
    const whole = trainedCheckpoint(mkdtempSync(path.join(folder, 'model-')), 'moge');
    const cut = path.join(folder, 'part');
    await writeFolder(cut, (files) => writeSubModel(whole, files, 'code'));
    const part = openCheckpoint(cut);
    await writeFolder(path.join(folder, 'part-page'), (files) => web.write(part, files, 'float32'));
    const partPage = await browser.page(`${origin}/part-page/`);
    await partPage.locator('#composer').waitFor();
    expect(await partPage.locator('#about').textContent()).toContain('6 experts each; the router moge');
    expect(await partPage.getByRole('radio').count()).toBe(1);
    const card = await write('code', 'const ', 10, partPage);
    const own = generateText(openInference(part), { ...GREEDY, prompt: 'const ', domain: 0, maxTokens: 10 });
    expect(await card.locator('.tokens').getAttribute('data-text')).toBe(own);
    // Two experts of each device group for every token in both layers, except for the last token, which was generated
    // but not read.
    const takers = await card
      .locator('.takers')
      .evaluateAll((rows) =>
        rows.map((row) =>
          [...row.querySelectorAll('[data-expert]')].map((taker) =>
            Number(taker.getAttribute('data-expert')),
          ),
        ),
      );
    const read = takers.filter((experts) => experts.length > 0);
    expect(read.length).toBeGreaterThan(20);
    for (const experts of read) {
      expect(experts.filter((expert) => expert >= 6 && expert < 9)).toHaveLength(2);
      expect(experts.filter((expert) => expert >= 9)).toHaveLength(2);
      expect(experts).toHaveLength(4);
    }
    await partPage.close();
  });

  it('of a model of the second family it writes the text too', async () => {
    const [variant] = TRIED_MIXTRAL;
    const mixtral = trainedCheckpoint(mkdtempSync(path.join(folder, 'model-')), variant!);
    await writeFolder(path.join(folder, 'mixtral-page'), (files) => web.write(mixtral, files, 'float32'));
    const other = await browser.page(`${origin}/mixtral-page/`);
    await other.locator('#composer').waitFor();
    const card = await write('code', 'const ', 30, other);
    const own = generateText(openInference(mixtral), {
      ...GREEDY,
      prompt: 'const ',
      domain: 1,
      maxTokens: 30,
    });
    expect(await card.locator('.tokens').getAttribute('data-text')).toBe(own);
    await other.close();
  });

  it('words of the prompt stand as close as those that the model wrote', async () => {
    const card = await write('prose', 'The experts of a rank are numbered', 4);
    const token = card.locator('.token.prompt').nth(1);
    const { width } = (await token.boundingBox())!;
    expect(width).toBeLessThan(60);
  });

  it('says that a prompt better ends without a space', async () => {
    const prompt = page.getByLabel('Begin with');
    const hint = page.getByText('ends with a space');
    await prompt.fill('The ');
    await hint.waitFor();
    await prompt.fill('The');
    await hint.waitFor({ state: 'hidden' });
  });

  it('asks a fine-tuned model a question, and says that the model ended the answer', async () => {
    const asked = fineTunedCheckpoint(mkdtempSync(path.join(folder, 'model-')));
    await writeFolder(path.join(folder, 'asked-page'), (files) => web.write(asked, files, 'float32'));
    const asking = await browser.page(`${origin}/asked-page/`);
    await asking.getByLabel('Question').fill(QUESTION);
    await asking.getByLabel('temperature').fill('0');
    expect(await asking.getByRole('button', { name: /each/ }).count()).toBe(0);
    await asking.getByRole('button', { name: 'Ask' }).click();
    const card = asking.locator('article').first();
    await card.getByText('the model ended it').waitFor();
    expect(await card.locator('.tokens').getAttribute('data-text')).toBe(ANSWER);
    expect(await card.locator('.answer').textContent()).toBe(ANSWER);
    await screenshot(asking, 'export-web-question');
    await asking.close();
  });

  it('shows a text at steps of the training, with a slider, and a file of routes in its place', async () => {
    const place = path.join(folder, 'run');
    mkdirSync(place, { recursive: true });
    const checkpoint = trainedCheckpoint(place, 'switch');
    const write = () =>
      writeFolder(path.join(folder, 'watched'), (files) => web.write(checkpoint, files, 'float32', true));
    await expect(write()).rejects.toThrow(
      /^--with-routes: .*run\/probe has no routes up to step \d+; train with /,
    );
    const { step } = checkpoint.manifest;
    const ids = [...inference.tokenizer.encode('The experts of a rank')];
    for (const [at, expert] of [0, 1, step, step + 1].entries())
      writeRoutes(
        path.join(folder, 'run'),
        { step: expert, rank: 0 },
        ids.map((token, position) => ({ token, position, layer: 1, expert: position < at ? 1 : 0 })),
        'probe',
      );
    await write();
    const own = await browser.page(`${origin}/watched/`);
    const watch = own.locator('.watch');
    const slider = watch.getByRole('slider');
    const chips = () => watch.locator('.expert-chip').allTextContents();
    const changed = () => watch.locator('.is-changed .characters').allTextContents();
    const experts = (numMoved: number) => ids.map((_, position) => (position < numMoved ? '1' : '0'));
    await slider.press('Home');
    expect([await chips(), await changed()]).toEqual([experts(0), []]);
    await slider.press('ArrowRight');
    expect([await chips(), await changed()]).toEqual([experts(1), ['T']]);
    expect(await watch.locator('.watch-step').textContent()).toBe('step 1');
    // The last step is that of the checkpoint. A drag goes there too.
    const { x, y, width, height } = (await slider.boundingBox())!;
    await own.mouse.move(x + 8 + (width - 16) / 2, y + height / 2);
    await own.mouse.down();
    await own.mouse.move(x + width - 1, y + height / 2, { steps: 3 });
    await own.mouse.up();
    expect([await chips(), await watch.locator('.watch-step').textContent()]).toEqual([
      experts(2),
      `step ${step}`,
    ]);
    await slider.press('Home');
    await watch.getByRole('button', { name: 'play' }).click();
    await expect.poll(() => watch.locator('.watch-step').textContent()).toBe(`step ${step}`);
    await watch.getByRole('button', { name: 'play' }).waitFor();
    expect(await seriousViolations(own)).toEqual([]);

    const open = (name: string, text: string) =>
      watch
        .locator('input[type=file]')
        .setInputFiles({ name, mimeType: 'text/csv', buffer: Buffer.from(text) });
    await open('bad.csv', 'step,token,layer,expert\n1,0,1,1\n2,0,1,one\n');
    const problem = watch.getByRole('alert');
    await expect
      .poll(() => problem.textContent())
      .toBe('bad.csv, line 3: expert is "one"; give a whole number from 0');
    expect(await chips()).toEqual(experts(2));
    await open('good.csv', 'step,token,layer,expert,text\n1,0,1,1,ab\n2,0,1,3,ab\n');
    await expect.poll(chips).toEqual(['3']);
    expect([await problem.textContent(), await watch.locator('.characters').textContent()]).toEqual([
      '',
      'ab',
    ]);
    await own.close();
    // The slider alone, for a frame in another page.
    const alone = await browser.page(`${origin}/watched/inspect/watch/`);
    await alone.locator('.watch .token').first().waitFor();
    expect(await seriousViolations(alone)).toEqual([]);
    await alone.close();
  });

  it('stops, and has no problem to tell of', async () => {
    await page.getByLabel('tokens', { exact: true }).fill('2000');
    await page.getByRole('button', { name: 'Write one of each domain' }).click();
    const stop = page.getByRole('button', { name: 'Stop' });
    await stop.click();
    await expect.poll(() => stop.isDisabled()).toBe(true);
    expect(browser.problems).toEqual([]);
  });

  it('has only files of its own, none from elsewhere', () => {
    const html = readFileSync(path.join(output, 'index.html'), 'utf8');
    expect(html).not.toMatch(/(?:src|href)="(?:https?:)?\//);
  });
});
