import { allGather } from './all-gather.js';
import { type StartAllToAll, startAllToAll } from './all-to-all.js';
import { startHierarchicalAllToAll } from './hierarchical-all-to-all.js';
import type { Transport } from './transport.js';

/** The forms of the all-to-all; they give the same bytes. */
export const EXCHANGES = {
  hierarchical: startHierarchicalAllToAll,
  flat: startAllToAll,
} as const satisfies Record<string, StartAllToAll>;

export type ExchangeForm = keyof typeof EXCHANGES;

const WARM_UPS = 2;
const REPETITIONS = 7;
/** Where both take the same time, fewer messages are the better choice. */
const FASTER = 0.95;

export interface ExchangeChoice {
  readonly form: ExchangeForm;
  /** Median time of one exchange on the slowest rank, ms. */
  readonly ms: Readonly<Record<ExchangeForm, number>>;
}

/**
 * Times both forms of the all-to-all on the links that there are and picks the faster one. A collective: all ranks call
 * it and get the same answer.
 *
 * @param bytesPerPair what a rank sends to each other rank
 */
export function pickExchange(transport: Transport, bytesPerPair: number): ExchangeChoice {
  const { worldSize } = transport.topology;
  const parts = () => Array.from({ length: worldSize }, () => [new Uint8Array(bytesPerPair)]);
  const options = { sends: parts(), receives: parts(), purpose: 'pick exchange' };
  const medianOf = (form: ExchangeForm) => {
    const times = Array.from({ length: WARM_UPS + REPETITIONS }, () => {
      const started = performance.now();
      EXCHANGES[form](transport, options).finish();
      return performance.now() - started;
    });
    return times.slice(WARM_UPS).sort((a, b) => a - b)[REPETITIONS >> 1];
  };
  const mine = Float64Array.of(medianOf('hierarchical'), medianOf('flat'));
  const all = allGather(transport, { mine: new Uint8Array(mine.buffer), purpose: 'pick exchange' });
  const timesOf = all.map((bytes) => new Float64Array(bytes.slice().buffer));
  const slowest = (i: number) => Math.max(...timesOf.map((times) => times[i]));
  const ms = { hierarchical: slowest(0), flat: slowest(1) };
  return { form: ms.flat < FASTER * ms.hierarchical ? 'flat' : 'hierarchical', ms };
}
