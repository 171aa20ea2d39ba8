import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { TestBrowser, whyNoBrowser } from '../../packages/page/test/browser.js';
import type { TokenRoutes } from '../../src/api/token-routes.js';
import { CHATML, writePublishedChat } from '../api/published-chat.js';
import { runningAt, shownTakers, toldTakers } from './chat-page.js';
import { Locmoe } from './support.js';

interface Asked {
  readonly messages: readonly { readonly role: string; readonly content: string }[];
}
interface Answered {
  readonly message: { readonly content: string };
  readonly routes: readonly TokenRoutes[];
}

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-conversation-'));
const noBrowser = whyNoBrowser();
if (noBrowser) console.warn(`SKIPPED: ${noBrowser}`);
let browser: TestBrowser | undefined;
beforeAll(async () => {
  if (noBrowser === null) browser = await TestBrowser.open();
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

it.skipIf(noBrowser !== null)(
  'the page holds a conversation in the form of the model, as a stream with the experts of each token, until it is stopped',
  async () => {
    const place = path.join(folder, 'published');
    writePublishedChat(place, CHATML);
    const api = new Locmoe(['api', '--checkpoint', place, '--port', '0']);
    const [, port] = await api.until(/^api: http:\/\/[\d.]+:(\d+)\/v1$/m);
    const url = `http://127.0.0.1:${port}`;
    const page = await browser!.page(url);
    const asked: Asked[] = [];
    page.on('request', (request) => {
      if (request.url().endsWith('/v1/chat/completions')) asked.push(request.postDataJSON());
    });
    await page.getByText('The model answers, and reads the whole conversation each time.').waitFor();
    const cards = page.locator('article');
    const ask = async (text: string, tokens: number) => {
      await page.getByLabel('tokens', { exact: true }).fill(String(tokens));
      await page.getByLabel('Message').fill(text);
      await page.getByLabel('Message').press('Enter');
    };
    await page.getByLabel('temperature').fill('0');
    await page.getByLabel('experts').check();
    const said: Asked['messages'][number][] = [];
    for (const [i, question] of ['who sat on the mat?', 'and on the cat?'].entries()) {
      await ask(question, 12);
      await cards
        .nth(i)
        .getByText(/tokens\/s/)
        .waitFor();
      said.push({ role: 'user', content: question });
      const body = { model: 'published', messages: said, max_tokens: 12, temperature: 0, routes: true };
      const response = await fetch(`${url}/v1/chat/completions`, {
        method: 'POST',
        body: JSON.stringify(body),
      });
      const [choice] = ((await response.json()) as { choices: Answered[] }).choices;
      const { content } = choice!.message;
      expect(content).not.toBe('');
      expect(await cards.nth(i).getAttribute('data-text')).toBe(content);
      // The page does not show again what the model had read before.
      const shown = await shownTakers(cards.nth(i));
      expect(shown).toEqual(toldTakers(choice!.routes).slice(-shown.length));
      expect(shown.length).toBeGreaterThan(12);
      said.push({ role: 'assistant', content });
    }
    await page.getByLabel('experts').uncheck();
    await ask('and then?', 30_000);
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
    await ask('go on', 4);
    await cards
      .nth(3)
      .getByText(/tokens\/s/)
      .waitFor();
    said.push({ role: 'user', content: 'and then?' }, { role: 'assistant', content: cut });
    const turns = [1, 3, 5].map((length) => said.slice(0, length));
    const last = [...said, { role: 'user', content: 'go on' }];
    expect(asked.map(({ messages }) => messages)).toEqual([...turns, last]);
    expect(await page.locator('#turns > .turn').allTextContents()).toEqual(
      said.flatMap(({ role, content }) => (role === 'user' ? [content] : [])).concat('go on'),
    );
    await page.getByRole('button', { name: 'New' }).click();
    expect(await cards.count()).toBe(0);
    expect(browser!.problems.splice(0)).toEqual([]);
    api.interrupt();
    expect((await api.finished).code).toBe(0);
  },
);
