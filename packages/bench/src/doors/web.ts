import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { TrainerError } from 'locmoe/internal/errors';
import { generateText } from 'locmoe/internal/inference/generate';
import { openInference } from 'locmoe/internal/inference/inference';
import { median } from '../statistics.js';
import { exportTrained } from './exported.js';
import type { Part } from './part.js';
import { peerPackage } from './peer-package.js';

/** With the start of the text below the window of 64 tokens. */
const MAX_TOKENS = 60;
const ROUNDS = 3;
const PAGE_TIMEOUT_MS = 60_000;
/** A browser loads modules only with their type. */
const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.css': 'text/css',
  '.svg': 'image/svg+xml',
};

/**
 * Exports the quickstart's model as a page, lets it write in Chromium, and checks its text against
 * `locmoe generate`.
 */
export const webPart: Part = async (context) => {
  const { chromium } = await peerPackage('playwright-core', () => import('playwright-core'));
  const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
  if (!existsSync(executablePath))
    throw new TrainerError('NO_RESOURCE', `no Chromium at ${executablePath}; name one in CHROMIUM`);
  const { folder, checkpoint } = await exportTrained(context, {
    to: 'web',
    name: 'tiny',
    sets: context.quick ? ['train.steps=20'] : [],
  });
  const inference = openInference(checkpoint);
  const server = await serve(folder);
  const browser = await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-gpu'] });
  try {
    const page = await browser.newPage();
    page.setDefaultTimeout(PAGE_TIMEOUT_MS);
    await page.goto(`http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
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
    return {
      figures: { webTokensPerS: median(speeds) },
      notes:
        `The recipe \`tiny\` in Chromium ${browser.version()}: greedy texts of up to ${MAX_TOKENS} tokens, ${ROUNDS} of each ` +
        'domain, each equal to that of `locmoe generate`; one thread of WebAssembly.',
    };
  } finally {
    await browser.close();
    server.close();
    inference.model.dispose();
  }
};

function serve(root: string): Promise<Server> {
  const server = createServer(({ url = '/' }, response) => {
    const file = path.join(root, url === '/' ? 'index.html' : url);
    if (!statSync(file, { throwIfNoEntry: false })?.isFile()) response.writeHead(404).end();
    else {
      const type = TYPES[path.extname(file)];
      response.writeHead(200, type ? { 'content-type': type } : {});
      createReadStream(file).pipe(response);
    }
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}
