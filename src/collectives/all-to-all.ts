import type { Operation } from '@locmoe/run-format/operations';
import { TrainerError } from '../errors.js';
import { nodeOf, otherRanks } from './topology.js';
import type { PendingTransfer, Transport } from './transport.js';

export interface AllToAllOptions {
  /** Bytes for each rank, by destination, this rank included: the concatenation of the parts. */
  readonly sends: readonly (readonly Uint8Array[])[];
  /**
   * Buffers for the bytes of each rank, by source, this rank included; sizes must equal what the source
   * sends.
   */
  readonly receives: readonly (readonly Uint8Array[])[];
  readonly purpose: string;
  readonly layer?: number | undefined;
  /** Hash of all ranks' counts, from which the sizes follow (`hashCounts`); equal on every rank. */
  readonly countsHash?: number | undefined;
  /**
   * The ranks to send to: all (the default), those of this node including this rank, or those of other nodes.
   */
  readonly reach?: 'world' | 'node' | 'other nodes' | undefined;
}

/**
 * Flat all-to-all with uneven splits (all-to-all-v): one message for every pair of ranks, also between
 * nodes. The hierarchical form must give the same bits.
 *
 * @throws TrainerError as `Transport.transfer`
 */
export function allToAll(transport: Transport, options: AllToAllOptions): void {
  startAllToAll(transport, options).finish();
}

/** Starts an `allToAll`. */
export function startAllToAll(transport: Transport, options: AllToAllOptions): PendingTransfer {
  // One step. With B bytes per destination a rank sends (W - 1) B, of which (W - G) B leave the node; G * G
  // messages each way between two nodes.
  return startForm(transport, options, false);
}

/** Either form: `aggregate` is the hierarchical one. */
export function startForm(
  transport: Transport,
  options: AllToAllOptions,
  aggregate: boolean,
): PendingTransfer {
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
    { aggregate: aggregate && reach !== 'node' },
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
