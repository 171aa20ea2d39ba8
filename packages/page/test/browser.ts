import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { type BrowserContext, chromium, type Locator, type Page } from 'playwright-core';
import { chromiumPath } from '../../../scripts/chromium.mjs';
import { NIGHTLY } from '../../../test/nightly.js';

/** The folder of the screenshots. */
const ARTIFACTS = path.join(import.meta.dirname, '../../../artifacts/page');
/** A small laptop. */
const VIEWPORT = { width: 1366, height: 768 };
const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Error of Chromium when the network addresses of the machine change, e.g. because other tests start containers. */
const NETWORK_CHANGED = 'net::ERR_NETWORK_CHANGED';

/** Null if there is a browser. */
export function whyNoBrowser(): string | null {
  return chromiumPath() === null
    ? 'no Chromium on this machine; as root on Debian: node scripts/chromium.mjs'
    : null;
}

/**
 * Points at a chart, whose place is measured each time, since content above it may load late and move it.
 *
 * @param placeOf pixels from the left edge of the plot, by its width
 * @returns the legend's text about the place of the pointer
 */
export async function pointAt(card: Locator, placeOf: (width: number) => number): Promise<string | null> {
  const plot = card.locator('.u-over');
  const { width } = (await plot.boundingBox()) ?? { width: 0 };
  await plot.hover({ position: { x: placeOf(width), y: 9 } });
  return card.locator('.legend .at').textContent();
}

/** A browser with its own profile, which records problems of its pages. */
export class TestBrowser {
  /** Console errors and warnings, exceptions, violations of the content security policy. */
  readonly problems: string[] = [];

  private constructor(
    readonly context: BrowserContext,
    readonly profile: string,
  ) {}

  /** @param args further arguments of Chromium */
  static async open(args: readonly string[] = []): Promise<TestBrowser> {
    const executablePath = chromiumPath();
    if (executablePath === null) throw new Error(String(whyNoBrowser()));
    const profile = mkdtempSync(path.join(tmpdir(), 'locmoe-browser-'));
    const context = await chromium.launchPersistentContext(profile, {
      executablePath,
      viewport: VIEWPORT,
      colorScheme: 'light',
      args: [...ARGS, ...args],
    });
    return new TestBrowser(context, profile);
  }

  async page(url: string): Promise<Page> {
    const page = await this.context.newPage();
    page.setDefaultTimeout(60_000);
    page.on('console', (message) => {
      const isProblem = ['error', 'warning'].includes(message.type());
      if (isProblem && !message.text().endsWith(NETWORK_CHANGED)) this.problems.push(message.text());
    });
    reloadWhatWasCutShort(page);
    page.on('pageerror', (error) => this.problems.push(String(error)));
    await page.goto(url);
    return page;
  }

  async close(): Promise<void> {
    await this.context.close();
    rmSync(this.profile, { recursive: true, force: true });
  }
}

/** Reloads a page of which a script or stylesheet failed to load; the page itself repeats its other requests. */
function reloadWhatWasCutShort(page: Page): void {
  let isCutShort = false;
  let reloaded: Promise<unknown> = Promise.resolve();
  // A test that navigates meanwhile waits, since the reload would interrupt it.
  const goto = page.goto.bind(page);
  page.goto = async (...args) => {
    await reloaded;
    return goto(...args);
  };
  page.on('requestfailed', (request) => {
    const isPart = ['script', 'stylesheet'].includes(request.resourceType());
    if (isPart && request.failure()?.errorText === NETWORK_CHANGED) isCutShort = true;
  });
  page.on('load', () => {
    // The blank page that `openAnew` loads in between is whole, and its reload would interrupt what follows.
    const isWhole = !isCutShort || page.url() === 'about:blank';
    isCutShort = false;
    if (isWhole) return;
    // The reload fails harmlessly if the test has ended.
    reloaded = page.reload().catch(() => undefined);
  });
}

/** Loads an address from scratch: if only the part after # differs, `goto` alone would keep the page. */
export async function openAnew(page: Page, url: string): Promise<void> {
  await page.goto('about:blank');
  await page.goto(url);
}

/** Takes a screenshot for people to look at; only by night, as nobody looks at those of every run by day. */
export async function screenshot(page: Page, name: string): Promise<void> {
  if (!NIGHTLY) return;
  mkdirSync(ARTIFACTS, { recursive: true });
  await page.screenshot({ path: path.join(ARTIFACTS, `${name}.png`) });
}
