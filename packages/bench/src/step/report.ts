import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { renderSvg } from '../render-svg.js';
import { drawCharts } from './charts.js';
import { type Headline, headlineOf } from './headline.js';
import { reportMarkdown } from './markdown.js';
import { type Cell, configOf, sizesOf } from './models.js';
import type { Results } from './results.js';
import { LEAST_STEPS } from './step-run.js';
import type { TorchPeer } from './torch-peer.js';

export interface ReportOptions {
  readonly results: Results;
  readonly sgemmFlopsPerS: number;
  readonly peer: TorchPeer;
  readonly recipe: string;
  readonly sets: readonly string[];
  readonly machine: string;
  readonly command: string;
  readonly out: string;
}

/**
 * Writes `step.json`, `step.md` and one `step-*.svg` per chart into the folder `out`.
 *
 * @returns the content of `step.json`
 */
export async function writeReport(options: ReportOptions): Promise<Headline> {
  const { results, out, recipe, sets } = options;
  const cellConfig = (cell: Cell) => configOf(cell, 'switch', LEAST_STEPS, recipe, sets);
  const cellSizes = (cell: Cell) => sizesOf(cell, recipe, sets);
  const headline = headlineOf({ ...options, configOf: cellConfig });
  writeFileSync(path.join(out, 'step.json'), `${JSON.stringify(headline, null, 2)}\n`);
  const charts = drawCharts(results, cellSizes);
  for (const { name, spec } of charts)
    writeFileSync(path.join(out, `step-${name}.svg`), await renderSvg(spec));
  const markdown = path.join(out, 'step.md');
  const previous = existsSync(markdown) ? readFileSync(markdown, 'utf8') : '';
  writeFileSync(
    markdown,
    reportMarkdown({ ...options, charts, configOf: cellConfig, sizesOf: cellSizes }, previous),
  );
  return headline;
}
