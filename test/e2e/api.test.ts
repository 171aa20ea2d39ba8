import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { readRoutes } from '@locmoe/run-format/routes-file';
import OpenAI from 'openai';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { seriousViolations, THEMES } from '../../packages/page/test/accessibility.js';
import { screenshot, TestBrowser, whyNoBrowser } from '../../packages/page/test/browser.js';
import type { TokenRoutes } from '../../src/api/token-routes.js';
import { resolveCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { CORPUS_DIR } from '../../src/data/built-in/corpora.js';
import { createLoader } from '../../src/data/loader.js';
import { prepareDataset } from '../../src/data/prepare/prepare.js';
import { runningAt, shownTakers, toldTakers } from './chat-page.js';
import { DATA_DIR, Locmoe, locmoe, newestRun, pasted, trainArguments } from './support.js';

const NUM_SEQUENCES = 8;
const NUM_AT_ONCE = 40;
const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-api-'));
let run: string;
beforeAll(async () => {
  const sets = ['moe.router=locmoe-plus', 'train.steps=8'];
  const { code, stderr } = await new Locmoe(trainArguments({ folder, nodes: 1, workersPerNode: 1, sets }))
    .finished;
  expect(code, stderr).toBe(0);
  run = newestRun(folder);
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Starts `locmoe api` on a free port. */
async function start(...args: string[]) {
  const api = new Locmoe(['api', '--checkpoint', run, '--port', '0', ...args]);
  const [, port] = await api.until(/^api: http:\/\/[\d.]+:(\d+)\/v1$/m);
  return { api, url: `http://127.0.0.1:${port}` };
}

it("gives lm-evaluation-harness the log-likelihoods of locmoe eval, and locmoe generate's text", async () => {
  const { api, url } = await start();
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
      // What a rolling log-likelihood asks for: a token of context, then a window.
      const prompt = [...batch.tokenIds.subarray(begin, end), batch.targets[end - 1]];
      const model = `${manifest.runId}:${config.data.domains[batch.domains[i]]}`;
      const response = await fetch(`${url}/v1/completions`, {
        method: 'POST',
        body: JSON.stringify({
          model,
          prompt: [prompt],
          temperature: 0,
          max_tokens: 1,
          logprobs: 1,
          seed: 1234,
          echo: true,
        }),
      });
      const { choices } = (await response.json()) as OpenAI.Completion;
      const own = choices[0].logprobs!.token_logprobs!.slice(1, -1);
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

  // Many at once, while it still answers whether it is well.
  const slowest: number[] = [];
  const watch = setInterval(async () => {
    const asked = performance.now();
    await fetch(`${url}/health`);
    slowest.push(performance.now() - asked);
  }, 100);
  const answers = await Promise.all(
    Array.from({ length: NUM_AT_ONCE }, (_, i) =>
      client.completions.create({
        model: `${manifest.runId}:code`,
        prompt: `const x${i}`,
        max_tokens: 30,
        temperature: 0,
      }),
    ),
  );
  clearInterval(watch);
  expect(answers).toHaveLength(NUM_AT_ONCE);
  expect(Math.max(...slowest)).toBeLessThan(20_000);

  // Ctrl-C: what has begun is answered.
  const last = await client.completions.create({
    model: `${manifest.runId}:en`,
    prompt: 'The',
    max_tokens: 400,
    temperature: 0,
    stream: true,
  });
  const reasons: string[] = [];
  let isFirst = true;
  for await (const { choices } of last) {
    if (isFirst) api.interrupt();
    isFirst = false;
    reasons.push(...choices.flatMap(({ finish_reason }) => finish_reason ?? []));
  }
  expect(reasons).toHaveLength(1);
  expect((await api.finished).code).toBe(0);
  await api.expectNothingLeft();
});

it('serves on when nobody reads what it prints', async () => {
  const api = pasted(`locmoe api --checkpoint ${run} --port 0 | head -1`);
  const [, port] = await api.until(/^api: http:\/\/[\d.]+:(\d+)\/v1$/m);
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect((await fetch(`http://127.0.0.1:${port}/health`)).status).toBe(200);
  api.interrupt();
  await api.finished;
  await api.expectNothingLeft();
});

it('is open to other machines with a token alone', async () => {
  const refused = await locmoe('api', '--checkpoint', run, '--host', '0.0.0.0', '--port', '0');
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  expect(refused.stderr).toMatch(/^locmoe: --host 0\.0\.0\.0 can be reached.*--token-file FILE.*\n$/);
  const token = path.join(folder, 'token');
  writeFileSync(token, 'sesame-sesame-sesame\n');
  const { api, url } = await start('--host', '0.0.0.0', '--token-file', token);
  const models = (apiKey: string) =>
    new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 }).models.list();
  expect((await models('sesame-sesame-sesame')).data.map(({ id }) => id.split(':')[1])).toEqual([
    'en',
    'code',
  ]);
  await expect(models('wrong')).rejects.toMatchObject({ status: 401 });
  const taken = await locmoe('api', '--checkpoint', run, '--port', new URL(url).port);
  expect(taken.code).toBe(2);
  expect(taken.stderr).toMatch(/^locmoe: port \d+ on 127\.0\.0\.1 cannot be used.*--port.*\n$/);
  api.interrupt();
  expect((await api.finished).code).toBe(0);
});

it('tells the experts of a prompt that locmoe routes record writes for the same text', async () => {
  const { api, url } = await start();
  const text = path.join(folder, 'text.txt');
  writeFileSync(text, 'The router looks at a token and at what stands before it.');
  const file = path.join(folder, 'text.parquet');
  const recorded = await locmoe(
    'routes',
    'record',
    '--checkpoint',
    run,
    '--text',
    text,
    '--domain',
    'en',
    '--output',
    file,
  );
  expect(recorded.code, recorded.stderr).toBe(0);
  const rows = (await readRoutes(file)).filter(({ sequence }) => sequence === 0);
  const ids = rows.filter(({ layer, choice }) => layer === 1 && choice === 0).map(({ token }) => token);
  const { manifest } = resolveCheckpoint(run, () => undefined);
  const body = { model: `${manifest.runId}:en`, prompt: ids, max_tokens: 1, routes: true };
  const response = await fetch(`${url}/v1/completions`, { method: 'POST', body: JSON.stringify(body) });
  const { choices } = (await response.json()) as { choices: { routes: TokenRoutes[] }[] };
  const told = choices[0]!.routes.flatMap(({ id, layers }, position) =>
    layers.flatMap(({ layer, choices }) =>
      choices.map(({ expert, outcome, weight, score }) => ({
        layer,
        position,
        token: id,
        expert,
        outcome,
        weight,
        score,
      })),
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
  api.interrupt();
  await api.finished;
});

const noBrowser = whyNoBrowser();
if (noBrowser) console.warn(`SKIPPED: ${noBrowser}`);

describe.skipIf(noBrowser !== null)('its page', () => {
  let browser: TestBrowser;
  beforeAll(async () => {
    browser = await TestBrowser.open();
  });
  afterAll(() => browser?.close());

  it('continues a text as the API does, shows the experts of each token, and frees its place when it stops or goes', async () => {
    const { api, url } = await start();
    const [, own] = await api.until(/^page: (http:\S+)$/m);
    const page = await browser.page(own!);
    const asked: string[] = [];
    page.on('request', (request) => asked.push(request.url()));
    await page.reload();
    await page.getByText('This model was not trained on conversations: it continues your text.').waitFor();
    const message = page.getByLabel('Message');
    const cards = page.locator('article');
    const ask = async (text: string, tokens: number) => {
      await page.getByLabel('tokens', { exact: true }).fill(String(tokens));
      await message.fill(text);
      await message.press('Enter');
    };
    await page.getByLabel('temperature').fill('0');
    await ask('The state', 20);
    const first = cards.first();
    await first.getByText(/tokens\/s/).waitFor();
    const answerOf = async (prompt: string) => {
      const body = {
        model: `${path.basename(run)}:en`,
        prompt,
        max_tokens: 20,
        temperature: 0,
        routes: true,
      };
      const response = await fetch(`${url}/v1/completions`, { method: 'POST', body: JSON.stringify(body) });
      const { choices } = (await response.json()) as { choices: { text: string; routes: TokenRoutes[] }[] };
      return choices[0];
    };
    const { text } = await answerOf('The state');
    expect(await first.getAttribute('data-text')).toBe(text);
    expect(await first.locator('.token').count()).toBe(0);

    // From now on with experts; what was said before is read again.
    await page.getByLabel('experts').check();
    await ask('and', 20);
    const second = cards.nth(1);
    await second.getByText(/tokens\/s/).waitFor();
    const more = await answerOf(`The state${text}\nand`);
    expect(await second.getAttribute('data-text')).toBe(more.text);
    const shown = await shownTakers(second);
    expect(shown).toEqual(toldTakers(more.routes));
    expect(shown.flat(2).length).toBeGreaterThan(0);
    await second.getByRole('option').first().focus();
    await page.keyboard.press('ArrowRight');
    await expect.poll(() => page.locator('#detail').textContent()).toContain(`token ${more.routes[1]!.id},`);

    for (const theme of THEMES)
      for (const width of [1440, 390]) {
        await page.emulateMedia({ colorScheme: theme });
        await page.setViewportSize({ width, height: 844 });
        expect(await page.evaluate('document.documentElement.scrollWidth')).toBeLessThanOrEqual(width);
        expect(await seriousViolations(page), `${theme} ${width}`).toEqual([]);
        await screenshot(page, `chat-${theme}-${width}`);
      }

    const running = () => runningAt(url);
    await page.getByLabel('experts').uncheck();
    await ask('', 30_000);
    await expect.poll(running).toBe(1);
    await page.keyboard.press('Escape');
    await expect.poll(running).toBe(0);
    await cards.nth(2).getByText('stopped').waitFor();
    await ask('', 30_000);
    await expect.poll(running).toBe(1);
    const requests = asked.filter((each) => !each.startsWith(own!));
    await page.goto('about:blank');
    await expect.poll(running).toBe(0);
    expect(requests).toEqual([]);
    expect(browser.problems.splice(0)).toEqual([]);
    api.interrupt();
    expect((await api.finished).code).toBe(0);
  });

  it('asks for the token of the server, which stands in no address', async () => {
    const token = path.join(folder, 'token');
    writeFileSync(token, 'sesame-sesame-sesame\n');
    const { api, url } = await start('--token-file', token);
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
    await give('sesame-sesame-sesame');
    await page.locator('#composer').waitFor();
    await page.reload();
    await page.locator('#composer').waitFor();
    expect(asked.length).toBeGreaterThan(5);
    expect([page.url(), ...asked].filter((each) => each.includes('sesame'))).toEqual([]);
    api.interrupt();
    await api.finished;
  });
});
