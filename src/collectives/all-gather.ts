import { otherRanks } from './topology.js';
import type { Transport } from './transport.js';

export type GatheredArray = Uint8Array | Int32Array | Float32Array | Float64Array;

export interface AllGatherOptions<Values extends GatheredArray> {
  /** This rank's values; equal length on all ranks. */
  readonly mine: Values;
  readonly purpose: string;
  readonly layer?: number | undefined;
}

/** Alignment of each rank's part, for any typed array. */
const ALIGNMENT_BYTES = 8;

/**
 * Gives every rank the values of all ranks, in the order of the ranks. The results, including this rank's
 * own, are copies: views of one new buffer at multiples of 8 bytes.
 *
 * @throws TrainerError as `Transport.transfer`
 */
export function allGather<Values extends GatheredArray>(
  transport: Transport,
  { mine, purpose, layer }: AllGatherOptions<Values>,
): Values[] {
  // One step, in which each rank sends (W - 1) B. Meant for small messages (counts, scores): between nodes
  // each rank's bytes travel once for every receiving rank, in one aggregated message per pair of nodes.
  const { rank, worldSize } = transport.topology;
  const { byteLength } = mine;
  const stride = Math.ceil(byteLength / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  const all = new ArrayBuffer(worldSize * stride);
  const bytesOfRank = Array.from(
    { length: worldSize },
    (_, source) => new Uint8Array(all, source * stride, byteLength),
  );
  const own = new Uint8Array(mine.buffer, mine.byteOffset, byteLength);
  const peers = otherRanks(transport.topology);
  transport.transfer(
    { kind: 'all-gather', purpose, layer },
    peers.map((to) => ({ to, parts: [own] })),
    peers.map((from) => ({ from, parts: [bytesOfRank[from]!] })),
    { aggregate: true },
  );
  bytesOfRank[rank]!.set(own);
  return bytesOfRank.map(({ byteOffset }) => viewLike(mine, all, byteOffset));
}

function viewLike<Values extends GatheredArray>(
  model: Values,
  buffer: ArrayBuffer,
  byteOffset: number,
): Values {
  // A Uint8Array may be a Buffer, whose constructor takes other arguments.
  const View = model instanceof Uint8Array ? Uint8Array : (model.constructor as Int32ArrayConstructor);
  return new View(buffer, byteOffset, model.length) as GatheredArray as Values;
}
