export { withSpread } from '../../packages/bench/src/statistics.js';

/** 0.1234 -> "12.3 %" */
export function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}

/** 0.1234 -> "+12.3 %" */
export function signedPercent(change: number): string {
  return `${change >= 0 ? '+' : ''}${percent(change)}`;
}

/** A Markdown table. The first row is the header; all columns but the first are right-aligned. */
export function table(rows: readonly (readonly string[])[]): string {
  const [header, ...body] = rows.map((row) => `| ${row.join(' | ')} |`);
  const columns = rows[0]!.map((_, column) => (column === 0 ? '---' : '---:'));
  return [header, `| ${columns.join(' | ')} |`, ...body].join('\n');
}

/** 0.0123 -> "+0.012", and nothing like "-0.000". */
export function signed(value: number, digits: number): string {
  const rounded = value.toFixed(digits);
  if (Number(rounded) === 0) return (0).toFixed(digits);
  return value > 0 ? `+${rounded}` : rounded;
}
