import { Arguments } from './arguments.js';
import type { CallContext, TemplateFunction } from './call-context.js';
import { LOGIC } from './logic.js';
import { MATHS } from './maths.js';
import { STRINGS } from './strings.js';
import { TIMES } from './times.js';
import { TemplateError, type Value } from './values.js';

const FUNCTIONS: ReadonlyMap<string, TemplateFunction> = new Map(
  Object.entries({ ...LOGIC, ...MATHS, ...STRINGS, ...TIMES }),
);

export function isFunction(name: string): boolean {
  return FUNCTIONS.has(name);
}

/** @throws TemplateError for arguments that the function does not take */
export function callFunction(name: string, args: readonly Value[], context: CallContext): Value {
  const { least, most, call } = FUNCTIONS.get(name)!;
  if (args.length < least || args.length > most)
    throw new TemplateError(
      `wrong number of args for ${name}: want ${least === most ? '' : 'at least '}${least} got ${args.length}`,
    );
  return call(new Arguments(name, args), context);
}
