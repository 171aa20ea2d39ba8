import { mapTuple } from '../map-tuple.js';
import { allGather } from './all-gather.js';
import { type AllToAllForm, allToAll } from './all-to-all.js';
import type { Transport } from './transport.js';

const WARM_UPS = 2;
const REPETITIONS = 7;
/** `flat` must be faster by this factor: at equal speed, fewer messages are better. */
const FASTER = 0.95;

export interface FormChoice {
  readonly form: AllToAllForm;
  /** Median time of one all-to-all on the slowest rank, ms. */
  readonly ms: Readonly<Record<AllToAllForm, number>>;
}

/**
 * Times both forms of the all-to-all on the actual links and picks the faster one. A collective: all ranks
 * call it and get the same answer.
 *
 * @param bytesPerPair bytes from a rank to each other rank
 */
export function pickForm(transport: Transport, bytesPerPair: number): FormChoice {
  const { worldSize } = transport.topology;
  const parts = () => Array.from({ length: worldSize }, () => [new Uint8Array(bytesPerPair)]);
  const options = { sends: parts(), receives: parts(), purpose: 'pick exchange' };
  const medianOf = (form: AllToAllForm) => {
    const times = Array.from({ length: WARM_UPS + REPETITIONS }, () => {
      const started = performance.now();
      allToAll(transport, options, form);
      return performance.now() - started;
    });
    return times.slice(WARM_UPS).sort((a, b) => a - b)[REPETITIONS >> 1]!;
  };
  const mine = [medianOf('hierarchical'), medianOf('flat')] as const;
  const [hierarchical, flat] = slowestOfRanks(transport, mine, 'pick exchange');
  return { form: flat < FASTER * hierarchical ? 'flat' : 'hierarchical', ms: { hierarchical, flat } };
}

/** Returns the element-wise maximum over all ranks; a collective. */
export function slowestOfRanks<const Numbers extends readonly number[]>(
  transport: Transport,
  mine: Numbers,
  purpose: string,
): { readonly [I in keyof Numbers]: number } {
  const ofRanks = allGather(transport, { mine: Float64Array.from(mine), purpose });
  return mapTuple(mine, (_, i) => Math.max(...ofRanks.map((numbers) => numbers[i]!)));
}
