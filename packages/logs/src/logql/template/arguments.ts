import type { Regex } from '../regex.js';
import { parseNumber } from '../units.js';
import { TemplateError, typeName, type Value } from './values.js';

/** Arguments of a function, whose types are checked as in Go. */
export class Arguments {
  constructor(
    private readonly name: string,
    readonly all: readonly Value[],
  ) {}

  string(index: number): string {
    const value = this.all[index]!;
    if (typeof value !== 'string') throw this.#wrongType(value, 'string');
    return value;
  }

  int(index: number): number {
    const value = this.all[index]!;
    if (typeof value !== 'bigint') throw this.#wrongType(value, 'int');
    return Number(value);
  }

  ints(): bigint[] {
    return this.all.map(toInt);
  }

  floats(): number[] {
    return this.all.map(toFloat);
  }

  fail(why: string): TemplateError {
    return new TemplateError(`error calling ${this.name}: ${why}`);
  }

  #wrongType(value: Value, expected: string): TemplateError {
    return this.fail(`wrong type for value; expected ${expected}; got ${typeName(value)}`);
  }
}

/** Converts a value to an integer; a text that is not an integer becomes 0. */
export function toInt(value: Value): bigint {
  if (typeof value === 'bigint') return value;
  if (typeof value === 'number')
    return Number.isFinite(value) ? BigInt.asIntN(64, BigInt(Math.trunc(value))) : 0n;
  if (typeof value === 'boolean') return value ? 1n : 0n;
  if (typeof value !== 'string') return 0n;
  const [, sign, digits] =
    /^([+-]?)(0[xX][0-9a-fA-F]+|0[bB][01]+|0[oO][0-7]+|0[0-7]*|[1-9]\d*)$/.exec(value) ?? [];
  if (digits === undefined) return 0n;
  const magnitude = BigInt(digits.replace(/^0(?=[0-7])/, '0o'));
  return BigInt.asIntN(64, sign === '-' ? -magnitude : magnitude);
}

/** Converts a value to a number; a text that is not a number becomes 0. */
export function toFloat(value: Value): number {
  if (typeof value === 'string') return parseNumber(value) ?? 0;
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean'
    ? Number(value)
    : 0;
}

/** Data that a template is applied to. */
export interface TemplateData {
  readonly labels: ReadonlyMap<string, string>;
  readonly text: string;
}

/** Context of functions: the line and the template. */
export interface CallContext {
  readonly data: TemplateData;
  regex(pattern: string): Regex;
  /** Counts work. @throws TemplateError beyond the limit per line */
  spend(steps: number): void;
}

export interface TemplateFunction {
  readonly least: number;
  readonly most: number;
  readonly call: (args: Arguments, context: CallContext) => Value;
}

export function exactly(count: number, call: TemplateFunction['call']): TemplateFunction {
  return { least: count, most: count, call };
}

export function atLeast(least: number, call: TemplateFunction['call']): TemplateFunction {
  return { least, most: Number.POSITIVE_INFINITY, call };
}
