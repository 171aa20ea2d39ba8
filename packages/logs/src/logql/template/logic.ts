import type { Arguments } from './arguments.js';
import { atLeast, exactly, type TemplateFunction } from './call-context.js';
import { isTrue, typeName, type Value } from './values.js';

/** Functions of text/template itself. */
export const LOGIC: Readonly<Record<string, TemplateFunction>> = {
  and: atLeast(1, ({ all }) => all.at(-1)!),
  or: atLeast(1, ({ all }) => all.at(-1)!),
  not: exactly(1, ({ all }) => !isTrue(all[0]!)),
  eq: atLeast(2, (args) => args.all.slice(1).some((value) => isEqual(args, args.all[0]!, value))),
  ne: exactly(2, (args) => !isEqual(args, args.all[0]!, args.all[1]!)),
  lt: exactly(2, (args) => order(args) < 0),
  le: exactly(2, (args) => order(args) <= 0),
  gt: exactly(2, (args) => order(args) > 0),
  ge: exactly(2, (args) => order(args) >= 0),
  len: exactly(1, (args) => BigInt(lengthOf(args))),
  index: atLeast(1, indexed),
};

function isEqual(args: Arguments, a: Value, b: Value): boolean {
  if (a !== null && b !== null && typeName(a) !== typeName(b))
    throw args.fail('incompatible types for comparison');
  return a === b;
}

function order(args: Arguments): number {
  const [a, b] = args.all as [Value, Value];
  if (typeName(a) !== typeName(b)) throw args.fail('incompatible types for comparison');
  if (!['string', 'int', 'float64'].includes(typeName(a))) throw args.fail('invalid type for comparison');
  if (a === b) return 0;
  return (a as string) < (b as string) ? -1 : 1;
}

function lengthOf(args: Arguments): number {
  const value = args.all[0]!;
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (Array.isArray(value)) return value.length;
  if (value instanceof Map) return value.size;
  throw args.fail(`len of type ${typeName(value)}`);
}

function indexed(args: Arguments): Value {
  let value = args.all[0]!;
  for (const key of args.all.slice(1)) {
    if (Array.isArray(value) && typeof key === 'bigint') {
      if (key < 0n || key >= value.length) throw args.fail(`index out of range: ${key}`);
      value = value[Number(key)]!;
    } else if (value instanceof Map && typeof key === 'string') value = value.get(key) ?? null;
    else throw args.fail(`cannot index ${typeName(value)} with ${typeName(key)}`);
  }
  return value;
}
