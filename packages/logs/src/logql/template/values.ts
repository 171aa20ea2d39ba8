import { GoTime } from './go-time.js';

/** Go's int is a bigint, its float64 a number, its nil null. */
export type Value =
  | string
  | bigint
  | number
  | boolean
  | null
  | GoTime
  | readonly Value[]
  | ReadonlyMap<string, Value>;

/** Why a template cannot be applied to a line. */
export class TemplateError extends Error {}

/** Go's name for the type of a value. */
export function typeName(value: Value): string {
  if (value === null) return 'nil';
  if (typeof value === 'string') return 'string';
  if (typeof value === 'bigint') return 'int';
  if (typeof value === 'number') return 'float64';
  if (typeof value === 'boolean') return 'bool';
  if (value instanceof GoTime) return 'time.Time';
  return Array.isArray(value) ? '[]interface {}' : 'map[string]interface {}';
}

/** False, 0, nil and whatever is empty are false. */
export function isTrue(value: Value): boolean {
  if (value instanceof GoTime) return true;
  if (Array.isArray(value)) return value.length > 0;
  if (value instanceof Map) return value.size > 0;
  return Boolean(value);
}

/** Formats a value like Go's `%v`. */
export function textOf(value: Value): string {
  if (value === null) return '<no value>';
  if (typeof value === 'number') return floatText(value);
  if (value instanceof GoTime) return value.text;
  if (Array.isArray(value)) return `[${value.map(textOf).join(' ')}]`;
  if (value instanceof Map) {
    const names: string[] = [...value.keys()].sort();
    return `map[${names.map((name) => `${name}:${textOf(value.get(name))}`).join(' ')}]`;
  }
  return String(value);
}

/** The shortest digits, with an exponent below 1e-4 and from 1e+06 on. */
export function floatText(value: number): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '+Inf' : '-Inf';
  if (value === 0) return Object.is(value, -0) ? '-0' : '0';
  const exponent = Number(value.toExponential().split('e')[1]);
  return exponent < -4 || exponent >= 6 ? exponential(value.toExponential()) : String(value);
}

/** Writes JavaScript's `1e+6` as Go's `1e+06`. */
export function exponential(text: string): string {
  return text.replace(/e([+-])(\d)$/, 'e$10$2');
}
