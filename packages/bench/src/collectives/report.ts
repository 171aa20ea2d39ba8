import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { machine } from '../machine.js';
import { renderSvg } from '../render-svg.js';
import { drawCharts } from './charts.js';
import { type Headline, headlineOf } from './headline.js';
import { reportMarkdown } from './markdown.js';
import type { Measurements } from './measurements.js';

export interface ReportOptions {
  readonly measured: Measurements;
  readonly out: string;
  readonly command: string;
}

/**
 * Writes `collectives.json`, `collectives.md` and one `collectives-*.svg` per chart into the folder `out`.
 *
 * @returns the content of `collectives.json`
 */
export async function writeReport({ measured, out, command }: ReportOptions): Promise<Headline> {
  const headline = headlineOf(measured, { machine: machine(), command });
  writeFileSync(path.join(out, 'collectives.json'), `${JSON.stringify(headline, null, 2)}\n`);
  const charts = drawCharts(measured);
  for (const { name, spec } of charts)
    writeFileSync(path.join(out, `collectives-${name}.svg`), await renderSvg(spec));
  const markdown = path.join(out, 'collectives.md');
  const previous = existsSync(markdown) ? readFileSync(markdown, 'utf8') : '';
  writeFileSync(markdown, reportMarkdown({ measured, headline, charts }, previous));
  return headline;
}
