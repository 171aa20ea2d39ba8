import type { ChoiceColumns, SequenceRoutes } from '../api-routes.js';
import { type CompactColumns, LINKS, OUTCOMES } from './route-columns.js';
import type { RowRange, StepIndex } from './step-index.js';

/** Limits that keep an answer at some hundred kB. */
const MOST_CHOICES = 16_384;
const MOST_TOKENS = 512;
/** Significant digits of a float32. */
const DIGITS = 6;

/** Text of ids in their order; null without a tokenizer. */
export type TextsOf = (ids: readonly number[]) => readonly string[] | null;

/**
 * Returns the page of a sequence that contains the token with the index `from`: its tokens with their choices
 * in each layer.
 *
 * @returns null if the step has no such sequence
 */
export function sequenceRoutes(
  index: StepIndex,
  { sequence, from }: { readonly sequence: number; readonly from: number },
  textsOf: TextsOf,
): SequenceRoutes | null {
  const ranges = index.rangesOf.get(sequence);
  if (ranges === undefined) return null;
  const { columns } = index;
  const order = new TokenOrder(columns);
  const placesOf = ranges.map((range) => order.add(range));
  const rows = order.rows();
  const all = rows.map((row) => columns.token[row]!);
  const texts = textsOf(all);
  const perToken = Math.max(
    1,
    Math.ceil(ranges.reduce((sum, { begin, end }) => sum + end - begin, 0) / rows.length),
  );
  const size = Math.max(1, Math.min(MOST_TOKENS, Math.floor(MOST_CHOICES / perToken)));
  // Page boundaries are multiples of `size`, whichever token was requested.
  const first = size * Math.floor(Math.max(0, Math.min(from, rows.length - 1)) / size);
  const end = Math.min(rows.length, first + size);
  const shown = rows.slice(first, end);
  const row = ranges[0]!.begin;
  return {
    step: index.step,
    sequence,
    domain: index.domains[columns.domain[row]!]!,
    rank: columns.rank[row]!,
    node: columns.node[row]!,
    length: rows.length,
    from: first,
    tokens: {
      id: all.slice(first, end),
      document: shown.map((each) => columns.document[each]!),
      position: shown.map((each) => columns.position[each]!),
      text: texts?.slice(first, end) ?? null,
    },
    layers: index.layers.map((layer) => {
      const own = ranges.flatMap((range, at) =>
        range.layer === layer ? rowsBetween(range, placesOf[at]!, first, end) : [],
      );
      return { layer, ...choicesOf(index, own) };
    }),
  };
}

interface PlacedRow {
  readonly row: number;
  /** Index among the tokens of the answer. */
  readonly token: number;
}

/** @param places places of the tokens of the range's rows, from `TokenOrder` */
function rowsBetween({ begin }: RowRange, places: readonly Place[], first: number, end: number): PlacedRow[] {
  return places.flatMap(({ at }, offset) =>
    at >= first && at < end ? [{ row: begin + offset, token: at - first }] : [],
  );
}

function choicesOf({ columns }: StepIndex, rows: readonly PlacedRow[]): ChoiceColumns {
  const integers = (column: Int32Array) => rows.map(({ row }) => column[row]!);
  const floats = (column: Float32Array) =>
    rows.map(({ row }) => (Number.isFinite(column[row]) ? Number(column[row]!.toPrecision(DIGITS)) : null));
  return {
    token: rows.map(({ token }) => token),
    choice: integers(columns.choice),
    expert: integers(columns.expert),
    rank: integers(columns.expertRank),
    node: integers(columns.expertNode),
    gate: floats(columns.gate),
    bias: floats(columns.bias),
    preference: floats(columns.preference),
    score: floats(columns.score),
    margin: floats(columns.margin),
    entropy: floats(columns.entropy),
    gateExpert: integers(columns.gateExpert).map((expert) => (expert < 0 ? null : expert)),
    weight: floats(columns.weight),
    outcome: rows.map(({ row }) => OUTCOMES[columns.outcome[row]!]!),
    link: rows.map(({ row }) => LINKS[columns.link[row]!]!),
    bytes: integers(columns.bytes),
  };
}

/** A token of a sequence; `at` is its index, valid once all layers were added. */
interface Place {
  at: number;
  readonly row: number;
}

/**
 * The order of a sequence's tokens. With expert choice, a layer lacks tokens that no expert chose; in packed
 * samples, positions restart. A token that an earlier layer lacks is placed after the token before it.
 */
class TokenOrder {
  readonly #places: Place[] = [];
  readonly #known = new Map<string, Place>();

  constructor(private readonly columns: CompactColumns) {}

  /** @returns the token of each row */
  add({ begin, end }: RowRange): Place[] {
    const seen = new Map<string, number>();
    const places: Place[] = [];
    let key = '';
    for (let row = begin; row < end; row++) {
      const name = `${this.columns.document[row]} ${this.columns.position[row]}`;
      const isSame = row > begin && this.#isSameToken(row - 1, row);
      if (!isSame) {
        // A repeated position is padding, or a document that was packed twice.
        const times = seen.get(name) ?? 0;
        seen.set(name, times + 1);
        key = `${name} ${times}`;
      }
      const place = this.#known.get(key) ?? this.#insert(key, row, places.at(-1));
      places.push(place);
    }
    return places;
  }

  /** Returns a row of each token, in order. */
  rows(): number[] {
    this.#number();
    return this.#places.map(({ row }) => row);
  }

  #isSameToken(before: number, row: number): boolean {
    const { document, position, choice } = this.columns;
    return (
      document[before] === document[row] &&
      position[before] === position[row] &&
      choice[before]! < choice[row]!
    );
  }

  #insert(key: string, row: number, before: Place | undefined): Place {
    const place = { at: 0, row };
    this.#known.set(key, place);
    let at = before === this.#places.at(-1) ? this.#places.length : 0;
    if (at === 0 && before !== undefined) at = this.#places.indexOf(before) + 1;
    while (this.#comesFirst(this.#places[at], row, before)) at++;
    this.#places.splice(at, 0, place);
    return place;
  }

  /**
   * Whether a token that this layer lacks belongs between the previous token and this one, because it
   * continues the document of either.
   */
  #comesFirst(other: Place | undefined, row: number, before: Place | undefined): boolean {
    if (other === undefined) return false;
    const { document, position } = this.columns;
    const own = document[other.row];
    if (own === document[row]) return position[other.row]! < position[row]!;
    return before !== undefined && own === document[before.row];
  }

  #number(): void {
    this.#places.forEach((place, at) => {
      place.at = at;
    });
  }
}
