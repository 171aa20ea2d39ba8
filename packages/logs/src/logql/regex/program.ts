import { LogsError } from '../../errors.js';
import type { Range, Regex } from './syntax.js';

/** An instruction of a nondeterministic automaton over bytes. */
export type Instruction =
  | { readonly op: 'byte'; readonly low: number; readonly high: number; readonly next: number }
  | { readonly op: 'split'; readonly next: readonly number[] }
  | {
      readonly op: 'assert';
      readonly what: Extract<Regex, { kind: 'assert' }>['what'];
      readonly next: number;
    }
  | { readonly op: 'match' };

/** An automaton; instruction 0 is the match, and `start` where it begins. */
export interface Program {
  readonly instructions: readonly Instruction[];
  readonly start: number;
}

const MAX_INSTRUCTIONS = 20_000;
const MATCH = 0;

/**
 * Compiles a tree to an automaton over the bytes of UTF-8, from its end to its beginning.
 *
 * @throws LogsError `BAD_INPUT` if it becomes too large (repetitions of repetitions)
 */
export function compileProgram(regex: Regex): Program {
  const instructions: Instruction[] = [{ op: 'match' }];
  const emit = (instruction: Instruction): number => {
    if (instructions.length >= MAX_INSTRUCTIONS)
      throw new LogsError('BAD_INPUT', 'regular expression is too large: its repetitions multiply');
    return instructions.push(instruction) - 1;
  };
  const split = (targets: readonly number[]) =>
    targets.length === 1 ? targets[0] : emit({ op: 'split', next: targets });

  const compile = (node: Regex, next: number): number => {
    switch (node.kind) {
      case 'set':
        return split(
          node.ranges
            .flatMap(utf8Ranges)
            .map((bytes) =>
              bytes.reduceRight((to, [low, high]) => emit({ op: 'byte', low, high, next: to }), next),
            ),
        );
      case 'sequence':
        return node.items.reduceRight((to, item) => compile(item, to), next);
      case 'choice':
        return split(node.items.map((item) => compile(item, next)));
      case 'assert':
        return emit({ op: 'assert', what: node.what, next });
      case 'repeat':
        return repeat(node, next);
    }
  };
  const repeat = ({ item, min, max }: Extract<Regex, { kind: 'repeat' }>, next: number): number => {
    let entry = next;
    if (max === Number.POSITIVE_INFINITY) {
      const loop = emit({ op: 'split', next: [] });
      instructions[loop] = { op: 'split', next: [compile(item, loop), next] };
      entry = loop;
    } else for (let i = min; i < max; i++) entry = split([compile(item, entry), next]);
    for (let i = 0; i < min; i++) entry = compile(item, entry);
    return entry;
  };
  const start = compile(regex, MATCH);
  return { instructions, start };
}

/** Last code point of 1, 2, 3 and 4 bytes. */
const LENGTH_ENDS = [0x7f, 0x7ff, 0xffff, 0x10ffff];

/** Sequences of byte ranges that together match exactly the code points of a range. */
function utf8Ranges([low, high]: Range): Range[][] {
  for (const end of LENGTH_ENDS)
    if (low <= end && end < high) return [...utf8Ranges([low, end]), ...utf8Ranges([end + 1, high])];
  if (high <= 0x7f) return [[[low, high]]];
  // Where a trailing byte does not run through all its values, the range is split.
  for (let bits = 6; bits <= 18; bits += 6) {
    const mask = (1 << bits) - 1;
    if (low >> bits === high >> bits) break;
    if ((low & mask) !== 0)
      return [...utf8Ranges([low, low | mask]), ...utf8Ranges([(low | mask) + 1, high])];
    if ((high & mask) !== mask)
      return [...utf8Ranges([low, (high & ~mask) - 1]), ...utf8Ranges([high & ~mask, high])];
  }
  const [from, to] = [encode(low), encode(high)];
  return [from.map((byte, i) => [byte, to[i]] as const)];
}

/** As UTF-8, also half a surrogate pair, which no text contains. */
function encode(code: number): number[] {
  const tail = (shift: number) => 0x80 | ((code >> shift) & 0x3f);
  if (code <= 0x7ff) return [0xc0 | (code >> 6), tail(0)];
  if (code <= 0xffff) return [0xe0 | (code >> 12), tail(6), tail(0)];
  return [0xf0 | (code >> 18), tail(12), tail(6), tail(0)];
}
