import type { Instant } from '../../store/instant.js';
import type { Regex } from '../regex.js';
import type { Arguments } from './arguments.js';
import type { Value } from './values.js';

/** Data that a template is applied to. */
export interface TemplateData {
  readonly labels: ReadonlyMap<string, string>;
  readonly text: string;
  readonly at: Instant;
}

/** Context of functions: the line and the template. */
export interface CallContext {
  readonly data: TemplateData;
  regex(pattern: string): Regex;
  /** Counts work. @throws TemplateError beyond the limit of a line */
  spend(steps: number): void;
}

export interface TemplateFunction {
  /** Numbers of arguments. */
  readonly least: number;
  readonly most: number;
  readonly call: (args: Arguments, context: CallContext) => Value;
}

/** A function of exactly `count` arguments. */
export function exactly(count: number, call: TemplateFunction['call']): TemplateFunction {
  return { least: count, most: count, call };
}

export function atLeast(least: number, call: TemplateFunction['call']): TemplateFunction {
  return { least, most: Number.POSITIVE_INFINITY, call };
}
