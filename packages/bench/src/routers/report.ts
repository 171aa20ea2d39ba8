import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { RunConfig } from 'locmoe/config/schema';
import { machine } from '../machine.js';
import { renderSvg } from '../render-svg.js';
import type { Calibration } from './calibration.js';
import { drawCharts } from './charts.js';
import type { Comparison } from './comparison.js';
import type { CostRow } from './cost.js';
import { type Headline, headlineOf } from './headline.js';
import { reportMarkdown } from './markdown.js';

export interface ReportOptions {
  readonly comparison: Comparison;
  readonly calibration: Calibration;
  readonly cost: readonly CostRow[];
  readonly config: RunConfig;
  /** Number of runs of the complete comparison. */
  readonly numPlanned: number;
  readonly out: string;
  readonly command: string;
}

/**
 * Writes `routers.json`, `routers.md` and one `routers-*.svg` per chart into the folder `out`.
 *
 * @returns the content of `routers.json`
 */
export async function writeReport(options: ReportOptions): Promise<Headline> {
  const { comparison, out, command } = options;
  mkdirSync(out, { recursive: true });
  const headline = headlineOf(comparison, { machine: machine(), command });
  writeFileSync(path.join(out, 'routers.json'), `${JSON.stringify(headline, null, 2)}\n`);
  const charts = drawCharts(comparison);
  for (const { name, spec } of charts)
    writeFileSync(path.join(out, `routers-${name}.svg`), await renderSvg(spec));
  const markdown = path.join(out, 'routers.md');
  const previous = existsSync(markdown) ? readFileSync(markdown, 'utf8') : '';
  const report = { ...options, headline, charts, numExperts: options.config.moe.numExperts };
  writeFileSync(markdown, reportMarkdown(report, previous));
  return headline;
}
