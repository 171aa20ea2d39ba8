import type { Operation } from '@locmoe/run-format/operations';
import { TrainerError } from '../errors.js';
import type { ByteRing } from './byte-ring.js';
import { IncomingMessage, OutgoingMessage } from './message.js';
import type { ShmSegment } from './shm-segment.js';
import { nodeOf, otherRanks, type Topology } from './topology.js';

/** A rank's two rings with one peer, and a pool of messages for them. */
class PeerLink {
  readonly #out: ByteRing;
  readonly #back: ByteRing;
  readonly #wrote: () => void;
  readonly #read: () => void;
  readonly #outgoing: OutgoingMessage[] = [];
  readonly #incoming: IncomingMessage[] = [];

  constructor(
    segment: ShmSegment,
    topology: Topology,
    private readonly peer: number,
  ) {
    const { rank, node, workersPerNode } = topology;
    const isLocal = nodeOf(topology, peer) === node;
    const bell = segment.doorbell(isLocal ? peer % workersPerNode : workersPerNode);
    const out = segment.ring(rank, peer);
    const back = segment.ring(peer, rank);
    this.#out = out;
    this.#back = back;
    const creditBytes = segment.shape.ringBytes / 4;
    this.#wrote = isLocal ? () => out.takeWantsData() && bell.ring() : () => bell.ring();
    this.#read = isLocal
      ? () => back.takeWantsSpace() && bell.ring()
      : () => back.uncredited >= creditBytes && bell.ring();
  }

  takeOutgoing(): OutgoingMessage {
    const free = this.#outgoing.find((message) => message.done);
    if (free) return free;
    const made = new OutgoingMessage(this.peer, this.#out, this.#wrote);
    this.#outgoing.push(made);
    return made;
  }

  takeIncoming(): IncomingMessage {
    const free = this.#incoming.find((message) => message.done);
    if (free) return free;
    const made = new IncomingMessage(this.peer, this.#back, this.#read);
    this.#incoming.push(made);
    return made;
  }
}

/** The links of a rank to all others. */
export class PeerLinks {
  readonly #links: readonly PeerLink[];

  constructor(
    segment: ShmSegment,
    private readonly topology: Topology,
  ) {
    this.#links = otherRanks(topology).reduce<PeerLink[]>((links, peer) => {
      links[peer] = new PeerLink(segment, topology, peer);
      return links;
    }, []);
  }

  /** @throws TrainerError `INTERNAL` if there is no such peer */
  to(peer: number, { purpose }: Operation): PeerLink {
    const link = this.#links[peer];
    if (link) return link;
    const { rank, worldSize } = this.topology;
    const what = `rank ${peer} is no peer in a world of ${worldSize} ranks`;
    throw new TrainerError('INTERNAL', what, { rank, operation: purpose });
  }
}
