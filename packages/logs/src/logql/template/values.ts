/** Go's int is a bigint, its float64 a number; the map contains the labels. */
export type Value = string | bigint | number | boolean | ReadonlyMap<string, string>;

/** An error that says why a template cannot be applied to a line. */
export class TemplateError extends Error {}

/** Returns Go's name for the type of a value. */
export function typeName(value: Value): string {
  if (typeof value === 'string') return 'string';
  if (typeof value === 'bigint') return 'int';
  if (typeof value === 'number') return 'float64';
  if (typeof value === 'boolean') return 'bool';
  return 'map[string]string';
}

/** Whether a value counts as true: false, 0 and empty values do not. */
export function isTrue(value: Value): boolean {
  if (value instanceof Map) return value.size > 0;
  return Boolean(value);
}

/** Formats a value like Go's `%v`. */
export function textOf(value: Value): string {
  if (typeof value === 'number') return floatText(value);
  if (value instanceof Map) {
    const pairs = [...value].sort(([a], [b]) => (a < b ? -1 : 1));
    return `map[${pairs.map(([name, text]) => `${name}:${text}`).join(' ')}]`;
  }
  return String(value);
}

/** Formats a number in the shortest way, with an exponent below 1e-4 and from 1e+06 on. */
function floatText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const exponent = Number(value.toExponential().split('e')[1]);
  return exponent < -4 || exponent >= 6 ? exponential(value.toExponential()) : String(value);
}

/** Writes JavaScript's `1e+6` as Go's `1e+06`. */
function exponential(text: string): string {
  return text.replace(/e([+-])(\d)$/, 'e$10$2');
}
