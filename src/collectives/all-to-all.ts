import type { Operation } from '@locmoe/run-format/operations';
import { TrainerError } from '../errors.js';
import { nodeOf, otherRanks } from './topology.js';
import type { PendingTransfer, Transport } from './transport.js';

export interface AllToAllOptions {
  /** Bytes for each rank, by destination, this rank included: the concatenation of the parts. */
  readonly sends: readonly (readonly Uint8Array[])[];
  /** Buffers for the bytes of each rank, by source, this rank included; sizes must equal what the source sends. */
  readonly receives: readonly (readonly Uint8Array[])[];
  readonly purpose: string;
  readonly layer?: number | undefined;
  /** Hash of all ranks' counts, from which the sizes follow (`hashCounts`); equal on every rank. */
  readonly countsHash?: number | undefined;
  /** The ranks to send to: all (the default), this node's ranks including this rank, or the ranks of other nodes. */
  readonly reach?: 'world' | 'node' | 'other nodes' | undefined;
}

/**
 * `flat`: one message for every pair of ranks, also between nodes. `hierarchical` (HetuMoE, arXiv 2203.14685,
 * section 3.2): flat inside a node; all bytes from one node to another travel as one aggregated message,
 * which the receiving agent scatters to its ranks. Both deliver the same bytes.
 */
export type AllToAllForm = 'hierarchical' | 'flat';

/**
 * Runs an all-to-all with uneven splits (all-to-all-v).
 *
 * @throws TrainerError as `Transport.transfer`
 */
export function allToAll(transport: Transport, options: AllToAllOptions, form: AllToAllForm = 'flat'): void {
  startAllToAll(transport, options, form).finish();
}

/** Starts an `allToAll`. */
export function startAllToAll(
  transport: Transport,
  options: AllToAllOptions,
  form: AllToAllForm = 'flat',
): PendingTransfer {
  // One step. With B bytes per destination, a rank sends (W - 1) B, of which (W - G) B leave the node. In
  // each direction between two nodes, `flat` sends G * G messages, `hierarchical` one.
  const { sends, receives, purpose, layer, countsHash, reach = 'world' } = options;
  const { topology } = transport;
  const operation: Operation = { kind: 'all-to-all', purpose, layer, countsHash };
  const isLocal = (peer: number) => nodeOf(topology, peer) === topology.node;
  const peers = otherRanks(topology).filter(
    (peer) => reach === 'world' || isLocal(peer) === (reach === 'node'),
  );
  const pending = transport.start(
    operation,
    peers.map((to) => ({ to, parts: sends[to]! })),
    peers.map((from) => ({ from, parts: receives[from]! })),
    { aggregate: form === 'hierarchical' && reach !== 'node' },
  );
  if (reach !== 'other nodes') copyToSelf(sends[topology.rank]!, receives[topology.rank]!, operation);
  return pending;
}

function copyToSelf(from: readonly Uint8Array[], to: readonly Uint8Array[], operation: Operation): void {
  const total = (parts: readonly Uint8Array[]) => parts.reduce((sum, part) => sum + part.length, 0);
  if (total(from) !== total(to))
    throw new TrainerError(
      'INTERNAL',
      `${operation.kind} ${operation.purpose}: this rank sends itself ${total(from)} bytes and expects ` +
        `${total(to)}`,
    );
  let index = 0;
  let offset = 0;
  for (const part of from) {
    for (let done = 0; done < part.length; ) {
      const target = to[index]!;
      const count = Math.min(part.length - done, target.length - offset);
      target.set(part.subarray(done, done + count), offset);
      done += count;
      offset += count;
      if (offset === target.length) {
        index++;
        offset = 0;
      }
    }
  }
}

const OFFSET_BASIS = 0x811c9dc5;
const PRIME = 0x01000193;

/**
 * Returns the hash of counts on which all ranks of an operation must agree (FNV-1a over 32-bit words). The hash is
 * never 0, which means "no counts".
 */
export function hashCounts(lists: Iterable<ArrayLike<number>>): number {
  let hash = OFFSET_BASIS;
  for (const list of lists) for (let i = 0; i < list.length; i++) hash = Math.imul(hash ^ list[i]!, PRIME);
  return hash >>> 0 || 1;
}
