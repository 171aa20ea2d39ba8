export { percent, signedPercent, withSpread } from '@locmoe/bench/internal/statistics';

/** Formats a Markdown table. The first row is the header; all columns but the first are right-aligned. */
export function table(rows: readonly (readonly string[])[]): string {
  const [header, ...body] = rows.map((row) => `| ${row.join(' | ')} |`);
  const columns = rows[0]!.map((_, column) => (column === 0 ? '---' : '---:'));
  return [header, `| ${columns.join(' | ')} |`, ...body].join('\n');
}

/** Values for a template: text by name, whether a section is shown, or the views of a repeated section. */
export interface View {
  readonly [name: string]: string | number | boolean | View | readonly View[] | null;
}

/** If the tags of a section stand on separate lines, their line breaks are removed with them. */
const SECTION = /\{\{([#^])([\w:-]+)\}\}(\n?)([\s\S]*?)\{\{\/\2\}\}(\n?)/g;
const VALUE = /\{\{([\w:-]+)\}\}/g;

/**
 * Fills a template in the manner of Mustache. `{{name}}` is replaced by a value. `{{#name}}...{{/name}}` is kept if the
 * value is neither false, null nor empty, once for each view of a list; otherwise `{{^name}}...{{/name}}` is kept.
 * Inside a section, its view takes precedence over the surrounding one. Several blank lines become one.
 *
 * @throws Error for a name without a value
 */
export function fill(template: string, view: View): string {
  return filled(template, view)
    .replaceAll(/\n{3,}/g, '\n\n')
    .trimEnd()
    .concat('\n');
}

function filled(template: string, view: View): string {
  return template
    .replaceAll(SECTION, (_, kind, name, lineBreak, inner, end) => {
      const value = lookUp(view, name);
      const isShown = Array.isArray(value)
        ? value.length > 0
        : value !== false && value !== null && value !== '';
      const after = lineBreak === '' ? end : '';
      if (kind === '^') return (isShown ? '' : filled(inner, view)) + after;
      if (!isShown) return after;
      const views = Array.isArray(value) ? value : [typeof value === 'object' ? value : {}];
      return views.map((each) => filled(inner, { ...view, ...each })).join('') + after;
    })
    .replaceAll(VALUE, (_, name) => String(lookUp(view, name)));
}

function lookUp(view: View, name: string): View[string] {
  const value = view[name];
  if (value === undefined) throw new Error(`the template has {{${name}}}, for which there is no value`);
  return value;
}
