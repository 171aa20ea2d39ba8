import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { machine } from '../machine.js';
import { renderSvg } from '../render-svg.js';
import { drawCharts } from './charts.js';
import { findingsOf, type Headline, headlineOf } from './headline.js';
import { type Report, reportMarkdown } from './markdown.js';

export interface ReportOptions
  extends Pick<
    Report,
    'comparison' | 'calibration' | 'cost' | 'recipe' | 'dense' | 'numExperts' | 'numPlanned'
  > {
  readonly out: string;
  readonly command: string;
}

/**
 * Writes `routers.json`, `routers.md` and one `routers-*.svg` per chart into the folder `out`, which is there.
 *
 * @returns the content of `routers.json`
 */
export async function writeReport(options: ReportOptions): Promise<Headline> {
  const { comparison, out, command } = options;
  const findings = findingsOf(comparison);
  const headline = headlineOf(comparison, findings, { machine: machine(), command });
  writeFileSync(path.join(out, 'routers.json'), `${JSON.stringify(headline, null, 2)}\n`);
  const charts = drawCharts(comparison, findings);
  for (const { name, spec } of charts)
    writeFileSync(path.join(out, `routers-${name}.svg`), await renderSvg(spec));
  const markdown = path.join(out, 'routers.md');
  const previous = existsSync(markdown) ? readFileSync(markdown, 'utf8') : '';
  writeFileSync(markdown, reportMarkdown({ ...options, findings, headline, charts }, previous));
  return headline;
}
