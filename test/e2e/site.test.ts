import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { serveFolder } from '../../packages/export/test/serve-folder.js';
import { seriousViolations } from '../../packages/page/test/accessibility.js';
import { screenshot, TestBrowser, whyNoBrowser } from '../../packages/page/test/browser.js';
import { ROOT } from './support.js';

const SITE = path.join(ROOT, 'docs/.vitepress/dist');
let printed = '';

beforeAll(() => {
  printed = execFileSync(process.execPath, ['docs/site.mjs'], { cwd: ROOT, encoding: 'utf8' });
  console.log(printed);
}, 600_000);

describe('the site', () => {
  it('has no link that leads nowhere, and says what it weighs', () => {
    expect(printed).toMatch(/^broken links: 0$/m);
    expect(Number(/^all: ([\d.]+) MB$/m.exec(printed)?.[1])).toBeLessThan(40);
  });

  it('tells programs of every page', () => {
    const list = readFileSync(path.join(SITE, 'llms.txt'), 'utf8');
    const pages = [...list.matchAll(/\]\((\S+\.md)\)/g)].map(([, page]) => page);
    expect(pages).toEqual(expect.arrayContaining(['index.md', 'tutorials/router.md', 'results/step.md']));
    for (const page of pages) {
      const text = readFileSync(path.join(ROOT, 'docs', page), 'utf8');
      expect(readFileSync(path.join(SITE, page), 'utf8')).toBe(text);
      expect(readFileSync(path.join(SITE, 'llms-full.txt'), 'utf8')).toContain(text);
    }
  });
});

const reason = whyNoBrowser();
if (reason) console.warn(`SKIPPED: ${reason}`);

describe.skipIf(reason !== null)('the site in a browser', () => {
  let server: Server;
  let browser: TestBrowser;
  let origin: string;

  beforeAll(async () => {
    [server, browser] = await Promise.all([serveFolder(SITE), TestBrowser.open()]);
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    await browser?.close();
    server?.close();
  });

  it('runs a model whose experts take tokens, in the theme of the site', async () => {
    const page = await browser.page(`${origin}/index.html`);
    const model = page.frameLocator('.exported-model');
    const settled = async (key: string) => {
      await model.getByRole('slider', { name: 'step' }).press(key);
      return Number(/\d+/.exec((await model.locator('.watch h3').textContent())!));
    };
    // The gate learns: little more than chance of its choices at the beginning are those at the end.
    expect([(await settled('Home')) < 60, await settled('End')]).toEqual([true, 100]);
    await model.getByRole('button', { name: 'Write one of each domain' }).click();
    await expect.poll(() => model.getByText(/tokens\/s/).count()).toBe(4);
    expect(await model.locator('.takers [data-expert]').count()).toBeGreaterThan(10);
    await page.getByRole('switch').first().click();
    expect(await model.locator('html').getAttribute('data-theme')).toBe('dark');
    await screenshot(page, 'site-model');
    const alone = await browser.page(`${origin}/model/index.html`);
    for (const theme of ['dark', 'light']) {
      expect(await alone.locator('html').getAttribute('data-theme')).toBe(theme);
      await alone.locator('#composer').waitFor();
      expect(await seriousViolations(alone)).toEqual([]);
      await alone.getByRole('button', { name: 'dark or light' }).click();
    }
    expect(browser.problems).toEqual([]);
  });

  it('finds a section by its words', async () => {
    const page = await browser.page(`${origin}/index.html`);
    const words = page.getByRole('searchbox');
    // A click before the page's program has loaded is lost.
    await expect
      .poll(async () => {
        if (!(await words.isVisible())) await page.getByRole('button', { name: 'Search' }).first().click();
        return words.isVisible();
      })
      .toBe(true);
    await words.fill('replay recorded choices');
    await page.getByRole('option').first().click();
    await page.waitForURL(/\/routes\.html#replay/);
    // The search also finds names of the API and names in their signatures, and leads to the reference.
    await page.getByRole('button', { name: 'Search' }).first().click();
    const first = page.getByRole('option').first();
    for (const [name, found] of [
      ['AbortSignal', /Names of the API.*Options/],
      ['loadModel', /Names of the API.*loadModel/],
    ] as const) {
      await words.fill(name);
      await expect.poll(() => first.textContent()).toMatch(found);
    }
    await first.click();
    await page.waitForURL(/\/names\.html#loadmodel/);
    expect(await page.locator('#loadmodel + p a').getAttribute('href')).toMatch(
      /^\/api\/functions\/.*loadModel\.html$/,
    );
    await page.goto(`${origin}/api/index.html`);
    expect(await page.getByRole('heading', { level: 1 }).textContent()).toContain('locmoe');
    expect(browser.problems).toEqual([]);
  });

  it('scrolls no page sideways on a telephone', async () => {
    const page = await browser.page(`${origin}/index.html`);
    await page.setViewportSize({ width: 390, height: 844 });
    for (const name of ['index', 'training', 'configuration', 'results/routers', 'tutorials/cluster']) {
      await page.goto(`${origin}/${name}.html`);
      const isTooWide = 'document.documentElement.scrollWidth > document.documentElement.clientWidth';
      expect(await page.evaluate(isTooWide), name).toBe(false);
    }
  });
});
