import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { renderSvg } from '../render-svg.js';
import { drawCharts } from './charts.js';
import { figuresOf } from './figures.js';
import { type Comparison, headlineOf } from './headline.js';
import { reportMarkdown } from './markdown.js';

/**
 * Writes `fine-tuning.json`, `fine-tuning.md` and its pictures into the folder `out`.
 *
 * @returns the path of the Markdown file
 */
export async function writeReport(comparison: Comparison, out: string): Promise<string> {
  const figures = figuresOf(comparison.results);
  const headline = headlineOf(figures, comparison);
  writeFileSync(path.join(out, 'fine-tuning.json'), `${JSON.stringify(headline, null, 2)}\n`);
  const charts = drawCharts(figures);
  for (const { name, spec } of charts)
    writeFileSync(path.join(out, `fine-tuning-${name}.svg`), await renderSvg(spec));
  const file = path.join(out, 'fine-tuning.md');
  const previous = existsSync(file) ? readFileSync(file, 'utf8') : '';
  writeFileSync(file, reportMarkdown({ ...comparison, figures, headline, charts }, previous));
  return file;
}
