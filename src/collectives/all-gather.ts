import { otherRanks } from './topology.js';
import type { Transport } from './transport.js';

export type GatheredArray = Uint8Array | Int32Array | Float32Array | Float64Array;

export interface AllGatherOptions<Values extends GatheredArray> {
  /** This rank's values; of equal length on all ranks. */
  readonly mine: Values;
  readonly purpose: string;
  readonly layer?: number | undefined;
}

/** Where a rank's part may begin, so that any view of it fits. */
const ALIGNMENT_BYTES = 8;

/**
 * Gives every rank the values of every rank, by rank. The results are views of one new buffer, each a copy (this rank's
 * own too) that begins at a multiple of 8 bytes.
 *
 * @throws TrainerError as `Transport.transfer`
 */
export function allGather<Values extends GatheredArray>(
  transport: Transport,
  { mine, purpose, layer }: AllGatherOptions<Values>,
): Values[] {
  // One step; a rank sends (W - 1) B. Meant for small things (counts, scores): between nodes it sends each rank's
  // bytes once for every receiving rank, in one aggregated message for each pair of nodes.
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
    peers.map((from) => ({ from, parts: [bytesOfRank[from]] })),
    { aggregate: true },
  );
  bytesOfRank[rank].set(own);
  return bytesOfRank.map(({ byteOffset }) => viewLike(mine, all, byteOffset));
}

function viewLike<Values extends GatheredArray>(
  model: Values,
  buffer: ArrayBuffer,
  byteOffset: number,
): Values {
  // Not the constructor of bytes: that could be Buffer.
  const View = model instanceof Uint8Array ? Uint8Array : (model.constructor as Int32ArrayConstructor);
  return new View(buffer, byteOffset, model.length) as GatheredArray as Values;
}
