import type { Value } from './values.js';

/** A template of Go's text/template. */
export type Template = readonly TemplateNode[];

export type TemplateNode =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'action'; readonly pipe: Pipe }
  | {
      readonly kind: 'if' | 'with';
      readonly pipe: Pipe;
      readonly then: Template;
      readonly else: Template;
    };

/** Commands, each of which gets the value of the previous one as its last argument. */
export interface Pipe {
  /** The `$x` of `$x := ...`; null if no variable is set. */
  readonly variable: string | null;
  /** Whether it is `$x = ...`, which sets a variable that has been declared before. */
  readonly isAssignment: boolean;
  readonly commands: readonly Command[];
}

/** A value, or a function and its arguments. */
export type Command = readonly [Operand, ...Operand[]];

export type Operand =
  | { readonly kind: 'literal'; readonly value: Value }
  | { readonly kind: 'function'; readonly name: string }
  /** `.a.b`, also `.` alone. */
  | { readonly kind: 'field'; readonly path: readonly string[] }
  | { readonly kind: 'variable'; readonly name: string; readonly path: readonly string[] }
  | { readonly kind: 'pipe'; readonly pipe: Pipe; readonly path: readonly string[] };
