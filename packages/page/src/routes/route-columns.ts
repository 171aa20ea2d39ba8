import type { RouteColumn, RouteColumns, RouteLink, RouteOutcome } from '@locmoe/run-format/routes-file';

export const OUTCOMES: readonly RouteOutcome[] = ['kept', 'over capacity', 'not chosen'];
export const LINKS: readonly RouteLink[] = ['rank', 'node', 'network'];

/** Floating-point columns, in which NaN stands for null. */
const FLOATS = ['gate', 'bias', 'preference', 'score', 'margin', 'entropy', 'weight'] as const;
/** Integer columns, in which -1 stands for null. */
const INTEGERS = [
  ...(['rank', 'node', 'layer', 'sequence', 'document', 'position', 'token', 'choice'] as const),
  ...(['expert', 'expertRank', 'expertNode', 'gateExpert', 'bytes'] as const),
] as const;
/** Columns of strings, stored as indices. */
const CODES = ['domain', 'outcome', 'link'] as const;

/** Choices by column, 84 bytes each. */
export type CompactColumns = Readonly<Record<(typeof FLOATS)[number], Float32Array>> &
  Readonly<Record<(typeof INTEGERS)[number], Int32Array>> &
  Readonly<Record<(typeof CODES)[number], Uint16Array>>;

/** Keeps columns of routes as they are read. */
export class CompactRoutes {
  readonly domains: string[] = [];
  readonly #parts = new Map<RouteColumn, (Float32Array | Int32Array | Uint16Array)[]>();
  length = 0;

  add(columns: RouteColumns): void {
    this.length += columns.step.length;
    const keep = (name: RouteColumn, part: Float32Array | Int32Array | Uint16Array) => {
      const parts = this.#parts.get(name) ?? [];
      parts.push(part);
      this.#parts.set(name, parts);
    };
    for (const name of FLOATS)
      keep(
        name,
        Float32Array.from(columns[name], (value) => value ?? Number.NaN),
      );
    for (const name of INTEGERS)
      keep(
        name,
        Int32Array.from(columns[name], (value) => value ?? -1),
      );
    const lists = { domain: this.domains, outcome: [...OUTCOMES], link: [...LINKS] };
    for (const name of CODES) {
      const values: ArrayLike<string> = columns[name];
      const list: string[] = lists[name];
      keep(
        name,
        Uint16Array.from(values, (value) => codeOf(list, value)),
      );
    }
  }

  /** Returns all choices that were added, in order, and gives up the memory. */
  take(): CompactColumns {
    const entries = [...FLOATS, ...INTEGERS, ...CODES].map((name) => {
      const parts = this.#parts.get(name) ?? [];
      this.#parts.delete(name);
      const Whole = FLOATS.includes(name as 'gate')
        ? Float32Array
        : CODES.includes(name as 'link')
          ? Uint16Array
          : Int32Array;
      const whole = new Whole(this.length);
      let at = 0;
      for (const part of parts) {
        whole.set(part, at);
        at += part.length;
      }
      return [name, whole];
    });
    return Object.fromEntries(entries) as CompactColumns;
  }
}

function codeOf(list: string[], value: string): number {
  const found = list.indexOf(value);
  return found < 0 ? list.push(value) - 1 : found;
}
