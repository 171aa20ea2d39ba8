/** 12345.6 -> "12,346" */
export function formatCount(value: number): string {
  return Math.round(value).toLocaleString('en-US');
}

/** 0.254 -> "25 %" */
export function formatShare(share: number): string {
  return `${Math.round(share * 100)} %`;
}

/** 131 -> "2m11s" */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole}s`;
  if (whole < 3600) return `${Math.floor(whole / 60)}m${String(whole % 60).padStart(2, '0')}s`;
  return `${Math.floor(whole / 3600)}h${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')}m`;
}

/** 1234567 -> "1.2 MB" */
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

/** "1 node", "2 nodes" */
export function formatNumberOf(count: number, thing: string): string {
  return `${formatCount(count)} ${thing}${count === 1 ? '' : 's'}`;
}

/**
 * Aligns rows of cells in columns: to the left the first column and those given by index, to the right the
 * others.
 */
export function formatTable(
  rows: readonly (readonly string[])[],
  { indent = '  ', textColumns = [] as readonly number[] } = {},
): string {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  return rows
    .map((row) =>
      (
        indent +
        row
          .map((cell, column) =>
            column === 0 || textColumns.includes(column)
              ? cell.padEnd(widths[column])
              : cell.padStart(widths[column]),
          )
          .join('  ')
      ).trimEnd(),
    )
    .join('\n');
}
