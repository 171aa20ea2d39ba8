import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type Picture, renderSvg } from './picture.js';
import { STUDIES } from './read-yaml.js';
import { fill, type View } from './text.js';

/** Text between these markers is kept when a report is written again. */
const WHY_BEGINS = '<!-- why: what is written between these two marks is kept -->';
const WHY_ENDS = '<!-- /why -->';
const NO_REASON_YET = '_Nothing written yet._';

/** Values for the template of a study, and its pictures in order; null for a picture without data. */
export interface Report {
  readonly view: View;
  readonly pictures?: readonly (Picture | null)[];
  /** Figures of the page for other programs, written as NAME.json; for a study whose measurements are not that file. */
  readonly figures?: object;
}

/**
 * Fills studies/NAME/report.md and draws the pictures. Besides the values of the study, the template can use
 * `{{machine}}`, `{{command}}`, `{{why}}` (the section that people write into the page), `{{pictures}}` and
 * each `{{picture:NAME}}`.
 *
 * @returns the path of the page
 */
export async function writeReport(
  name: string,
  { view, pictures = [], figures }: Report,
  { machine, command }: { readonly machine: string; readonly command: string },
  out: string,
): Promise<string> {
  const drawn = pictures.filter((each) => each !== null);
  const shown = drawn.map((each) => [`picture:${each.name}`, markdownOf(name, each)] as const);
  const file = path.join(out, `${name}.md`);
  const previous = existsSync(file) ? readFileSync(file, 'utf8') : '';
  const text = fill(readFileSync(path.join(STUDIES, name, 'report.md'), 'utf8'), {
    ...view,
    machine,
    command,
    why: keptReasons(previous),
    pictures: shown.map(([, markdown]) => markdown).join('\n\n'),
    ...Object.fromEntries(shown),
  });
  for (const { name: picture, spec } of drawn)
    writeFileSync(path.join(out, `${name}-${picture}.svg`), await renderSvg(spec));
  writeFileSync(file, text);
  if (figures !== undefined)
    writeFileSync(path.join(out, `${name}.json`), `${JSON.stringify(figures, null, 2)}\n`);
  return file;
}

function markdownOf(study: string, { name, title, caption }: Picture): string {
  return `![${title}](${study}-${name}.svg)\n\n*${title}.* ${caption}`;
}

/** Returns the section of the previous page that people wrote, with its markers. */
function keptReasons(previous: string): string {
  const [begin, end] = [previous.indexOf(WHY_BEGINS), previous.indexOf(WHY_ENDS)];
  const written = begin < 0 || end < begin ? '' : previous.slice(begin + WHY_BEGINS.length, end).trim();
  return `${WHY_BEGINS}\n${written || NO_REASON_YET}\n${WHY_ENDS}`;
}
