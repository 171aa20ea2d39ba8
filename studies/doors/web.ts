import type { AddressInfo } from 'node:net';
import { TrainerError } from 'locmoe/internal/errors';
import { generateText } from 'locmoe/internal/inference/generate';
import { openInference } from 'locmoe/internal/inference/inference';
import { median } from '../../packages/bench/src/statistics.js';
import { serveFolder } from '../../packages/export/test/serve-folder.js';
import { TestBrowser } from '../../packages/page/test/browser.js';
import type { DoorPart } from './figures.js';
import { exportTrained } from './trained.js';

/** The text starts before the window of 64 tokens. */
const MAX_TOKENS = 60;
const ROUNDS = 3;
const PAGE_TIMEOUT_MS = 60_000;
/**
 * Exports the quickstart's model as a page, lets it write in Chromium, and checks its text against
 * `locmoe generate`.
 */
export const webPart: DoorPart = async (context) => {
  const { folder, checkpoint } = await exportTrained(context, {
    to: 'web',
    name: 'tiny',
    sets: context.quick ? ['train.steps=20'] : [],
  });
  const inference = openInference(checkpoint);
  const server = await serveFolder(folder);
  const browser = await TestBrowser.open();
  try {
    const page = await browser.page(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
    page.setDefaultTimeout(PAGE_TIMEOUT_MS);
    await page.getByLabel('temperature').fill('0');
    await page.getByLabel('tokens', { exact: true }).fill(String(MAX_TOKENS));
    const speeds: number[] = [];
    for (let round = 0; round < ROUNDS; round++)
      for (const [domain, name] of inference.config.data.domains.entries()) {
        context.signal.throwIfAborted();
        await page.getByRole('radio', { name, exact: true }).check();
        await page.getByRole('button', { name: 'Write', exact: true }).click();
        const card = page.locator('article').first();
        const state = await card.getByText(/tokens\/s/).textContent();
        const own = generateText(inference, {
          prompt: '',
          domain,
          maxTokens: MAX_TOKENS,
          seed: 1,
          stop: [],
          temperature: 0,
          topK: null,
          topP: 1,
          repetitionPenalty: 1,
        });
        const written = (await card.locator('.tokens').getAttribute('data-text')) ?? '';
        if (written !== own)
          throw new TrainerError(
            'INTERNAL',
            `domain ${name}: the page writes ${JSON.stringify(written)}, locmoe generate ${JSON.stringify(own)}`,
          );
        speeds.push(Number.parseFloat(state!));
      }
    const { product } = await (await browser.context.newCDPSession(page)).send('Browser.getVersion');
    return {
      figures: { webTokensPerS: median(speeds) },
      notes:
        `The recipe \`tiny\` in Chromium ${product.split('/')[1]}: greedy texts of up to ${MAX_TOKENS} tokens, ${ROUNDS} of each ` +
        'domain, each equal to that of `locmoe generate`; one thread of WebAssembly.',
    };
  } finally {
    await browser.close();
    server.close();
    inference.model.dispose();
  }
};
