import { TrainerError } from '../errors.js';
import { nodeOf, otherRanks } from './topology.js';
import type { Operation, PendingTransfer, Transport } from './transport.js';

export interface AllToAllOptions {
  /** What goes to each rank, by destination, this rank included; each is the parts in order. */
  readonly sends: readonly (readonly Uint8Array[])[];
  /** Where the bytes of each rank go, by source, this rank included; sizes must equal what the source sends. */
  readonly receives: readonly (readonly Uint8Array[])[];
  readonly purpose: string;
  readonly layer?: number | undefined;
  /** Hash of the counts of all ranks from which the sizes follow (`hashCounts`); the same on every rank. */
  readonly countsHash?: number | undefined;
  /** Which ranks take part: all (the default), those of this node with this rank itself, or those of other nodes. */
  readonly reach?: 'world' | 'node' | 'other nodes' | undefined;
}

/**
 * All-to-all with uneven splits (all-to-all-v), flat: every pair of ranks is a message of its own, also between
 * nodes. The reference that the hierarchical form must equal bit by bit.
 *
 * @throws TrainerError as `Transport.transfer`
 */
export function allToAll(transport: Transport, options: AllToAllOptions): void {
  startAllToAll(transport, options).finish();
}

/** `allToAll` in the background. */
export function startAllToAll(transport: Transport, options: AllToAllOptions): PendingTransfer {
  // One step. With B bytes for each destination a rank sends (W - 1) B, of which (W - G) B leave the node; between
  // two nodes travel G * G messages each way.
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
    peers.map((to) => ({ to, parts: sends[to] })),
    peers.map((from) => ({ from, parts: receives[from] })),
    { aggregate: aggregate && reach !== 'node' },
  );
  if (reach !== 'other nodes') copyToSelf(sends[topology.rank], receives[topology.rank], operation);
  return pending;
}

function copyToSelf(from: readonly Uint8Array[], to: readonly Uint8Array[], operation: Operation): void {
  const total = (parts: readonly Uint8Array[]) => parts.reduce((sum, part) => sum + part.length, 0);
  if (total(from) !== total(to))
    throw new TrainerError(
      'INTERNAL',
      `${operation.kind} ${operation.purpose}: this rank sends itself ${total(from)} bytes and expects ${total(to)}`,
    );
  let index = 0;
  let offset = 0;
  for (const part of from) {
    for (let done = 0; done < part.length; ) {
      const target = to[index];
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
