/** Formats 12345.6 as "12,346". */
export function formatCount(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** Formats 0.254 as "25 %". */
export function formatShare(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** Formats 131 as "2m11s". */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, '0')}s`;
  return `${Math.floor(whole / 3600)}h${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')}m`;
}

/** Formats 1234567 as "1.2 MB". */
export function formatSize(bytes: number): string {
  const [unit, name] = bytes >= 1e9 ? [1e9, 'GB'] : bytes >= 1e6 ? [1e6, 'MB'] : [1e3, 'kB'];
  const value = bytes / unit;
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${name}`;
}

/** Replaces control characters, which a byte-level model may emit and a terminal would obey. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return text.replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, '\ufffd');
}

/** Formats a count with its noun: "1 node", "2 nodes". */
export function formatNumberOf(count: number, thing: string): string {
  return `${formatCount(count)} ${thing}${count === 1 ? '' : 's'}`;
}

/** Returns the width of the terminal in columns; infinite where there is none, as in a pipe. */
function terminalColumns(): number {
  return process.stdout.columns || Number.POSITIVE_INFINITY;
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: colours have no width
const COLOR = /\x1b\[[\d;]*m/g;
/** Characters that take two columns. */
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]|\p{Emoji_Presentation}/gu;

function widthOf(text: string): number {
  const plain = text.replace(COLOR, '');
  return plain.length + (plain.match(WIDE)?.filter((wide) => wide.length === 1).length ?? 0);
}

/**
 * Breaks a line between words, and after a comma of JSON, where the terminal would break it within a word. A
 * word that is longer than a line, such as a path, stays whole so that it can be copied.
 *
 * @param indent prefix of the lines after the first
 */
export function wrapped(line: string, indent: string, columns = terminalColumns()): string {
  if (widthOf(line) <= columns) return line;
  const lines: string[] = [];
  for (const piece of line.split(/(?<=\S +)(?=\S)|(?<=,)(?=")/)) {
    const last = lines.at(-1);
    if (last === undefined) lines.push(piece);
    else if (widthOf((last + piece).trimEnd()) <= columns) lines[lines.length - 1] = last + piece;
    else lines.push(indent + piece);
  }
  return lines.map((each) => each.trimEnd()).join('\n');
}

const GAP = '  ';

/**
 * Aligns rows of cells in columns: the first column and `textColumns` (indices) to the left, the others to
 * the right. In a table that would be wider than the terminal, text columns and the heads of the others are
 * wrapped at spaces. Control characters, which may come from a file, are replaced.
 *
 * @param width columns of the terminal; infinite where there is none, so that every row is one line
 */
export function formatTable(
  given: readonly (readonly string[])[],
  { indent = '  ', textColumns = [] as readonly number[], width = terminalColumns() } = {},
): string {
  const rows = given.map((row) => row.map((cell) => printable(cell).replaceAll(/[\t\n]/g, ' ')));
  const isText = (column: number) => column === 0 || textColumns.includes(column);
  const columns = rows[0]!.map((_, column) => rows.map((row) => row[column]!));
  const widths = fittedWidths(
    columns.map((cells, column) => ({
      natural: longest(cells),
      least: longest(cells.flatMap((cell, row) => (row === 0 || isText(column) ? cell.split(' ') : cell))),
    })),
    width - indent.length,
  );
  const align = (text: string, column: number) =>
    isText(column) ? text.padEnd(widths[column]!) : text.padStart(widths[column]!);
  return rows
    .flatMap((row) => {
      const cells = row.map((cell, column) => folded(cell, widths[column]!));
      return Array.from({ length: longest(cells) }, (_, line) =>
        (indent + cells.map((lines, column) => align(lines[line] ?? '', column)).join(GAP)).trimEnd(),
      );
    })
    .join('\n');
}

function longest(all: readonly { readonly length: number }[]): number {
  return Math.max(0, ...all.map(({ length }) => length));
}

/** Narrows the widest columns until the table fits, none of them below its longest word. */
function fittedWidths(
  columns: readonly { readonly natural: number; readonly least: number }[],
  maxWidth: number,
): number[] {
  const widths = columns.map(({ natural }) => natural);
  let excess = widths.reduce((sum, width) => sum + width, 0) + GAP.length * (widths.length - 1) - maxWidth;
  for (; excess > 0; excess--) {
    const narrowed = widths.map((width, column) => (width > columns[column]!.least ? width : 0));
    const widest = narrowed.indexOf(Math.max(...narrowed));
    if (narrowed[widest] === 0) break;
    widths[widest]!--;
  }
  return widths;
}

/** Breaks a text into lines of whole words. */
function folded(text: string, width: number): string[] {
  if (text.length <= width) return [text];
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const line = `${lines.at(-1)} ${word}`;
    if (lines.length > 0 && line.length <= width) lines[lines.length - 1] = line;
    else lines.push(word);
  }
  return lines;
}
