import { execFile } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { readRoutes } from '@locmoe/run-format/routes-file';
import { freePort } from '@locmoe/test-kit';
import OpenAI from 'openai';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seriousViolations } from '../../packages/page/test/accessibility.js';
import { screenshot, TestBrowser, whyNoBrowser } from '../../packages/page/test/browser.js';
import type { TokenRoutes } from '../../src/api/token-routes.js';
import { resolveCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { CORPUS_DIR } from '../../src/data/built-in/corpora.js';
import { createLoader } from '../../src/data/loader.js';
import { prepareDataset } from '../../src/data/prepare/prepare.js';
import { CHATML, writePublishedChat } from '../api/published-chat.js';
import { runningAt, shownTakers, toldTakers } from './chat-page.js';
import { DATA_DIR, Locmoe, locmoe, newestRun, trainArguments } from './support.js';

const NUM_SEQUENCES = 8;
const NUM_AT_ONCE = 12;
const TOKEN = 'sesame-sesame-sesame';
const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-api-'));

interface Choice {
  readonly text: string;
  readonly message: { readonly content: string };
  readonly routes: readonly TokenRoutes[];
}

interface Asked {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
}

/** Starts `locmoe api` on a free port. */
async function start(checkpoint: string, ...args: string[]) {
  const api = new Locmoe(['api', '--checkpoint', checkpoint, '--port', '0', ...args]);
  const [, port] = await api.until(/^api: http:\/\/[\d.]+:(\d+)\/v1$/m);
  return { api, url: `http://127.0.0.1:${port}` };
}

let run: string;
/** Serves the trained model for all tests but those of a token and of a conversation. */
let api: Locmoe;
let url: string;
beforeAll(async () => {
  const sets = ['moe.router=locmoe-plus', 'train.steps=4'];
  const { code, stderr } = await new Locmoe(trainArguments({ folder, nodes: 1, workersPerNode: 1, sets }))
    .finished;
  expect(code, stderr).toBe(0);
  run = newestRun(folder);
  ({ api, url } = await start(run));
});
afterAll(async () => {
  // The last test ends the API if all went well.
  if (api?.child.exitCode === null) api.interrupt();
  await api?.finished;
  rmSync(folder, { recursive: true, force: true });
});

/** The first choice of an answer. */
async function choiceOf(place: string, body: object, root = url): Promise<Choice> {
  const response = await fetch(`${root}/v1/${place}`, { method: 'POST', body: JSON.stringify(body) });
  return ((await response.json()) as { choices: Choice[] }).choices[0]!;
}

it("gives lm-evaluation-harness the log-likelihoods of locmoe eval, and locmoe generate's text", async () => {
  const { manifest } = resolveCheckpoint(run, () => undefined);
  const { config } = manifest;
  const dataset = await prepareDataset({
    ...config.data,
    dataDir: DATA_DIR,
    corpusDir: CORPUS_DIR,
    vocabSize: config.model.vocabSize,
    log: () => undefined,
  });
  const loader = createLoader({
    dataset,
    weights: undefined,
    seed: config.seed,
    globalBatch: config.train.globalBatch,
    seqLen: config.model.seqLen,
    rank: 0,
    worldSize: 1,
  });
  const evaluated = await locmoe('eval', '--checkpoint', run, '--json', '--sequences', `${NUM_SEQUENCES}`);
  const { domains } = JSON.parse(evaluated.stdout);
  const sums = new Map<number, { logLikelihood: number; tokens: number }>();
  for (const batch of loader.validationBatches(NUM_SEQUENCES))
    for (let i = 0; i < batch.numSequences; i++) {
      if (batch.valid[i] === 0) continue;
      const begin = i * batch.seqLen;
      const end = begin + batch.seqLen;
      // The request of a rolling log-likelihood: one token of context, then a window.
      const prompt = [...batch.tokenIds.subarray(begin, end), batch.targets[end - 1]];
      const model = `${manifest.runId}:${config.data.domains[batch.domains[i]]}`;
      const asked = { model, prompt: [prompt], temperature: 0, max_tokens: 1, logprobs: 1, echo: true };
      const { logprobs } = (await choiceOf('completions', { ...asked, seed: 1234 })) as Choice &
        OpenAI.CompletionChoice;
      const own = logprobs!.token_logprobs!.slice(1, -1);
      const sum = sums.get(batch.domains[i]) ?? { logLikelihood: 0, tokens: 0 };
      sum.logLikelihood += own.reduce((total, logProb) => total + logProb, 0);
      sum.tokens += own.length;
      sums.set(batch.domains[i], sum);
    }
  for (const [id, { loss, tokens }] of domains.entries()) {
    const sum = sums.get(id)!;
    expect(sum.tokens).toBe(tokens);
    expect(Math.abs(-sum.logLikelihood / sum.tokens - loss)).toBeLessThan(1e-4);
  }

  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
  const { choices } = await client.completions.create({
    model: `${manifest.runId}:en`,
    prompt: 'The state',
    max_tokens: 40,
    temperature: 0.8,
    seed: 1,
    ...({ top_k: 40 } as object),
  });
  const options = ['--prompt', 'The state', '--domain', 'en', '--max-tokens', '40'];
  const generated = await locmoe('generate', '--checkpoint', run, ...options);
  expect(`The state${choices[0].text}\n`).toBe(generated.stdout);

  // The API reports that it is healthy while it answers many requests at once.
  const answers = Promise.all(
    Array.from({ length: NUM_AT_ONCE }, (_, i) => {
      const prompt = `const x${i}`;
      return client.completions.create({ model: `${manifest.runId}:code`, prompt, max_tokens: 30 });
    }),
  );
  await expect.poll(() => runningAt(url)).toBeGreaterThan(0);
  expect(await answers).toHaveLength(NUM_AT_ONCE);
});

it('tells the experts of a prompt that locmoe routes record writes for the same text', async () => {
  const text = path.join(folder, 'text.txt');
  writeFileSync(text, 'The router looks at a token and at what stands before it.');
  const file = path.join(folder, 'text.parquet');
  const output = ['--domain', 'en', '--output', file];
  const recorded = await locmoe('routes', 'record', '--checkpoint', run, '--text', text, ...output);
  expect(recorded.code, recorded.stderr).toBe(0);
  const rows = (await readRoutes(file)).filter(({ sequence }) => sequence === 0);
  const ids = rows.filter(({ layer, choice }) => layer === 1 && choice === 0).map(({ token }) => token);
  const { manifest } = resolveCheckpoint(run, () => undefined);
  const body = { model: `${manifest.runId}:en`, prompt: ids, max_tokens: 1, routes: true };
  const answer = await choiceOf('completions', body);
  const told = answer.routes.flatMap(({ id: token, layers }, position) =>
    layers.flatMap(({ layer, choices }) =>
      choices.map(({ expert, outcome, weight, score }) => {
        return { layer, position, token, expert, outcome, weight, score };
      }),
    ),
  );
  const inOrder = (a: { position: number; layer: number }, b: typeof a) =>
    a.position - b.position || a.layer - b.layer;
  expect(told).toEqual(
    rows
      .map(({ layer, position, token, expert, outcome, weight, score }) => ({
        layer,
        position,
        token,
        expert,
        outcome,
        weight: expect.closeTo(weight, 5),
        score: expect.closeTo(score!, 5),
      }))
      .sort(inOrder),
  );
});

it('says where it is, what it serves, and a call that a shell takes as it stands', async () => {
  const example = async (server: Locmoe) => {
    const [, call] = await server.until(/^example: (curl .*)$/m);
    const { stdout } = await promisify(execFile)('sh', ['-c', `${call} --silent --show-error`]);
    return JSON.parse(stdout) as { object: string; usage: { completion_tokens: number } };
  };
  expect(await example(api)).toMatchObject({ object: 'text_completion' });
  const name = path.basename(run);
  await api.until(new RegExp(`^models: ${name}:en, ${name}:code\\ncontext: 32 tokens$`, 'm'));

  const file = path.join(folder, "a friend's token");
  writeFileSync(file, `${TOKEN}\n`);
  const place = path.join(folder, "it's published");
  writePublishedChat(place, CHATML);
  const { api: locked } = await start(place, '--token-file', file);
  expect(await example(locked)).toMatchObject({ object: 'chat.completion' });
  locked.interrupt();
  await locked.finished;
});

const noBrowser = whyNoBrowser();
if (noBrowser) console.warn(`SKIPPED: ${noBrowser}`);

describe.skipIf(noBrowser !== null)('its page', () => {
  let browser: TestBrowser;
  beforeAll(async () => {
    browser = await TestBrowser.open();
  });
  afterAll(() => browser?.close());

  /** Asks for a continuation or an answer of `tokens` tokens through the fields of the page. */
  const ask = async (page: Page, text: string, tokens: number) => {
    await page.getByLabel('tokens', { exact: true }).fill(String(tokens));
    await page.getByLabel('Message').fill(text);
    await page.getByLabel('Message').press('Enter');
  };
  // An answer that the model ends at its first token has no speed.
  const finished = (page: Page, card: number) =>
    page
      .locator('article')
      .nth(card)
      .getByText(/as long as asked|the model ended it/)
      .waitFor();

  it('begins with examples out of the validation text, and moves nothing that it shows', async () => {
    const { data } = (await (await fetch(`${url}/v1/models`)).json()) as { data: { examples: string[] }[] };
    const page = await browser.page('about:blank');
    // A shift in the frames that answer a key or a click does not count. The browser itself leaves out all shifts of half a second:
    // a busy machine may need longer for one frame, and the beginning of a quick answer would not be seen.
    await page.addInitScript(`
      shifts = [];
      new PerformanceObserver((list) => shifts.push(...list.getEntries())).observe({ type: 'layout-shift', buffered: true });
      acts = [];
      const act = () => {
        const begun = { begin: performance.now(), end: Infinity };
        acts.push(begun);
        requestAnimationFrame(() => requestAnimationFrame(() => { begun.end = performance.now(); }));
      };
      for (const type of ['keydown', 'pointerdown', 'input']) addEventListener(type, act, { capture: true });
    `);
    const buttons = page.locator('#examples button');
    const shift = () =>
      page.evaluate(`shifts.filter(({ startTime: at }) => !acts.some(({ begin, end }) => begin <= at && at <= end))
        .reduce((sum, { value }) => sum + value, 0)`);
    for (const [colorScheme, width] of [
      ['light', 1440],
      ['dark', 390],
    ] as const) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 844 });
      await page.goto(url);
      await buttons.first().waitFor();
      expect(await buttons.allTextContents()).toEqual(data[0]!.examples);
      for (const button of await buttons.all()) {
        const [box, composer] = [await button.boundingBox(), await page.locator('#composer').boundingBox()];
        expect(box!.y + box!.height).toBeLessThanOrEqual(composer!.y);
      }
      expect(await seriousViolations(page), colorScheme).toEqual([]);
      await screenshot(page, `chat-examples-${colorScheme}-${width}`);
      await page.getByLabel('tokens', { exact: true }).fill('120');
      await page.getByLabel('Message').focus();
      await page.keyboard.press('Shift+Tab');
      await page.keyboard.press('Enter');
      await finished(page, 0);
      expect(await page.locator('.given').textContent()).toBe(data[0]!.examples.at(-1));
      expect(await page.locator('#examples').isVisible()).toBe(false);
      expect(await page.evaluate('document.activeElement.name')).toBe('prompt');
      await page.getByLabel('experts').check();
      await ask(page, 'and', 120);
      await finished(page, 1);
      const [text, composer] = ['article:last-child .answer', '#composer'].map((each) => page.locator(each));
      const end = await text!.boundingBox();
      expect(end!.y + end!.height).toBeLessThanOrEqual((await composer!.boundingBox())!.y);
      expect(await shift(), `${width}`).toBeLessThan(0.02);
      await page.getByRole('button', { name: 'New' }).click();
      await buttons.first().waitFor();
    }
    expect(browser.problems.splice(0)).toEqual([]);
    await page.close();
  });

  it('continues a text as the API does, shows the experts of each token, and frees its place when it stops or goes', async () => {
    const [, own] = await api.until(/^page: (http:\S+)$/m);
    const page = await browser.page(own!);
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.reload();
    await page.getByText('This model was not trained on conversations: it continues your text.').waitFor();
    const cards = page.locator('article');
    await page.getByLabel('temperature').fill('0');
    await ask(page, 'The state', 20);
    await finished(page, 0);
    const first = cards.first();
    const fields = { model: `${path.basename(run)}:en`, max_tokens: 20, temperature: 0, routes: true };
    const answerOf = (prompt: string) => choiceOf('completions', { ...fields, prompt });
    const { text } = await answerOf('The state');
    expect(await first.getAttribute('data-text')).toBe(text);
    expect(await first.locator('.token').count()).toBe(0);

    // From here on the experts are shown; the earlier turns are read again.
    await page.getByLabel('experts').check();
    await ask(page, 'and', 20);
    await finished(page, 1);
    const second = cards.nth(1);
    const more = await answerOf(`The state${text}\nand`);
    expect(await second.getAttribute('data-text')).toBe(more.text);
    const shown = await shownTakers(second);
    expect(shown).toEqual(toldTakers(more.routes));
    expect(shown.flat(2).length).toBeGreaterThan(0);
    await second.getByRole('option').first().focus();
    await page.keyboard.press('ArrowRight');
    await expect.poll(() => page.locator('#detail').textContent()).toContain(`token ${more.routes[1]!.id},`);

    for (const [colorScheme, width] of [
      ['light', 1440],
      ['dark', 390],
    ] as const) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 844 });
      expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
      expect(await seriousViolations(page), colorScheme).toEqual([]);
      await screenshot(page, `chat-${colorScheme}-${width}`);
    }

    const running = () => runningAt(url);
    await page.getByLabel('experts').uncheck();
    await ask(page, '', 30_000);
    await expect.poll(running).toBe(1);
    await page.keyboard.press('Escape');
    await expect.poll(running).toBe(0);
    await cards.nth(2).getByText('stopped').waitFor();
    await ask(page, '', 30_000);
    await expect.poll(running).toBe(1);
    const requests = asked.filter((each) => !each.startsWith(own!));
    await page.goto('about:blank');
    await expect.poll(running).toBe(0);
    expect(requests).toEqual([]);
    expect(browser.problems.splice(0)).toEqual([]);
  });

  it('holds a conversation in the form of the model, as a stream with the experts of each token, until it is stopped', async () => {
    const place = path.join(folder, 'published');
    writePublishedChat(place, CHATML);
    const { api, url } = await start(place);
    const page = await browser.page(url);
    const asked: Asked[] = [];
    page.on('request', (request) => {
      if (request.url().endsWith('/v1/chat/completions')) asked.push(request.postDataJSON());
    });
    await page.getByText('The model answers, and reads the whole conversation each time.').waitFor();
    const cards = page.locator('article');
    await page.getByLabel('temperature').fill('0');
    await page.getByLabel('experts').check();
    const said: Asked['messages'][number][] = [];
    for (const [i, question] of ['who sat on the mat?', 'and on the cat?'].entries()) {
      await ask(page, question, 12);
      await finished(page, i);
      said.push({ role: 'user', content: question });
      const body = { model: 'published', messages: said, max_tokens: 12, temperature: 0, routes: true };
      const choice = await choiceOf('chat/completions', body, url);
      const { content } = choice.message;
      expect(content).not.toBe('');
      expect(await cards.nth(i).getAttribute('data-text')).toBe(content);
      // The page does not show the part of the prompt that the model had read before.
      const shown = await shownTakers(cards.nth(i));
      expect(shown).toEqual(toldTakers(choice.routes).slice(-shown.length));
      expect(shown.length).toBeGreaterThan(12);
      said.push({ role: 'assistant', content });
    }
    await page.getByLabel('experts').uncheck();
    await ask(page, 'and then?', 30_000);
    const written = async () => (await cards.nth(2).locator('.answer').textContent())!.length;
    await expect.poll(written).toBeGreaterThan(0);
    const before = await written();
    await expect.poll(written).toBeGreaterThan(before);
    expect(await runningAt(url)).toBe(1);
    await page.keyboard.press('Escape');
    await cards.nth(2).getByText('stopped').waitFor();
    await expect.poll(() => runningAt(url)).toBe(0);
    const cut = (await cards.nth(2).getAttribute('data-text'))!;
    expect(cut.length).toBeGreaterThan(before);
    await ask(page, 'go on', 4);
    await finished(page, 3);
    said.push({ role: 'user', content: 'and then?' }, { role: 'assistant', content: cut });
    const turns = [1, 3, 5].map((length) => said.slice(0, length));
    const last = [...said, { role: 'user', content: 'go on' }];
    expect(asked.map(({ messages }) => messages)).toEqual([...turns, last]);
    expect(await page.locator('#turns > .turn').allTextContents()).toEqual(
      said.flatMap(({ role, content }) => (role === 'user' ? [content] : [])).concat('go on'),
    );
    await page.getByRole('button', { name: 'New' }).click();
    expect(await cards.count()).toBe(0);
    expect(browser.problems.splice(0)).toEqual([]);
    api.interrupt();
    expect((await api.finished).code).toBe(0);
  });

  it('asks for the token of a server, which stands in no address and serves on though nobody reads its output', async () => {
    const refused = await locmoe('api', '--checkpoint', run, '--host', '0.0.0.0', '--port', '0');
    expect(refused).toMatchObject({ code: 2, stdout: '' });
    expect(refused.stderr).toMatch(/^locmoe: --host 0\.0\.0\.0 can be reached.*--token-file FILE.*\n$/);
    const file = path.join(folder, 'token');
    writeFileSync(file, `${TOKEN}\n`);
    const port = String(await freePort());
    const options = ['--host', '0.0.0.0', '--port', port, '--token-file', file];
    const api = new Locmoe(['api', '--checkpoint', run, ...options]);
    api.child.stdout!.destroy();
    const url = `http://127.0.0.1:${port}`;
    const health = () =>
      fetch(`${url}/health`).then(
        ({ status }) => status,
        () => 0,
      );
    await expect.poll(health).toBe(200);
    const models = (apiKey: string) =>
      new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 }).models.list();
    expect((await models(TOKEN)).data.map(({ id }) => id.split(':')[1])).toEqual(['en', 'code']);
    await expect(models('wrong')).rejects.toMatchObject({ status: 401 });
    const taken = await locmoe('api', '--checkpoint', run, '--port', port);
    expect(taken.code).toBe(2);
    expect(taken.stderr).toMatch(/^locmoe: port \d+ on 127\.0\.0\.1 cannot be used.*--port.*\n$/);

    const page = await browser.page(url);
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    const give = async (value: string) => {
      await page.getByLabel('Token of this server').fill(value);
      await page.keyboard.press('Enter');
    };
    await give('open');
    await page.getByText('The server does not take this token.').waitFor();
    expect(await page.locator('#composer').isVisible()).toBe(false);
    await give(TOKEN);
    await page.locator('#composer').waitFor();
    await page.reload();
    await page.locator('#composer').waitFor();
    expect(asked.length).toBeGreaterThan(5);
    expect([page.url(), ...asked].filter((each) => each.includes('sesame'))).toEqual([]);
    api.interrupt();
    await api.finished;
  });
});

it('answers at Ctrl-C what has begun, and leaves nothing', async () => {
  const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
  const asked = { model: `${path.basename(run)}:en`, prompt: 'The', max_tokens: 200 };
  const reasons: string[] = [];
  let isFirst = true;
  for await (const { choices } of await client.completions.create({ ...asked, stream: true })) {
    if (isFirst) api.interrupt();
    isFirst = false;
    reasons.push(...choices.flatMap(({ finish_reason }) => finish_reason ?? []));
  }
  expect(reasons).toHaveLength(1);
  expect((await api.finished).code).toBe(0);
  await api.expectNothingLeft();
});
