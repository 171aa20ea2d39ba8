import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { AxeResults } from 'axe-core';
import type { Page } from 'playwright-core';
import { openAnew } from './browser.js';

const AXE = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/**
 * Returns a line for each violated rule of axe that is not minor, such as a page without a heading, with the first
 * place.
 */
export async function seriousViolations(page: Page): Promise<string[]> {
  await page.evaluate(AXE);
  // By default axe would also collect the passed rules for every element of the page.
  const { violations } = await page.evaluate<AxeResults>(`axe.run({ resultTypes: ['violations'] })`);
  return violations
    .filter(({ impact }) => impact !== 'minor')
    .map(({ id, help, nodes }) => `${id}: ${help}: ${nodes.length} x, first ${nodes[0]!.html.slice(0, 160)}`);
}

/** Selector of what each view shows once it has its data. */
const SHOWN = {
  overview: '.heat:not([hidden]) canvas',
  logs: '.line-body .row',
  timeline: '.timeline-about:not(:empty)',
  details: '.config summary',
  routing: '.no-routes p',
} as const;

/** The views of the page. */
export const VIEWS = ['overview', 'logs', 'timeline', 'details', 'routing'] as const;
export const THEMES = ['light', 'dark'] as const;

/** Opens a view of a run that has traces, and waits until the view shows its data. */
export async function showView(
  page: Page,
  origin: string,
  runId: string,
  view: (typeof VIEWS)[number],
): Promise<void> {
  // There are few rows, as axe checks each of them.
  const query = view === 'logs' ? `&query=${encodeURIComponent(`{run="${runId}"} | json | step < 100`)}` : '';
  await openAnew(page, `${origin}/#run=${runId}&view=${view}${query}`);
  await page.waitForSelector(SHOWN[view]);
  // The details that a click opens are checked too.
  if (view === 'logs') await page.locator('.line-body .row .message').first().click();
  if (view === 'overview') await page.locator('.chart-menu summary').first().click();
}
