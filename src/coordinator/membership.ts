import { TrainerError } from '../errors.js';
import type { CoordinatorCommand, JoinRequest, Peer } from '../rpc/messages.js';

/** A node's open session, seen from the run: somewhere to send commands. */
export interface SessionLink {
  send(command: CoordinatorCommand): void;
}

/**
 * `joined`: has a node id. `connected`: has a session. `ready`: its workers wait for `begin`. `finished`: they ended
 * well. `left`: it closed its session in order after an abort. `lost`: its session broke or its process ended.
 */
export type MemberStatus = 'joined' | 'connected' | 'ready' | 'finished' | 'left' | 'lost';

export interface Member {
  readonly node: number;
  readonly request: JoinRequest;
  session: SessionLink | null;
  status: MemberStatus;
  heardOfMs: number;
}

/** The nodes of a run, in the order of their ids. */
export class Membership {
  readonly #members: Member[] = [];

  constructor(
    readonly runId: string,
    readonly numNodes: number,
  ) {}

  get all(): readonly Member[] {
    return this.#members;
  }

  /**
   * Gives a node its place; the same process asking again gets the same one.
   *
   * @throws TrainerError `BAD_INPUT` if all places are taken
   */
  join(request: JoinRequest): Member {
    const known = this.#members.find(
      ({ request: { dataAddress, pid } }) => dataAddress === request.dataAddress && pid === request.pid,
    );
    if (known !== undefined) return known;
    if (this.#members.length >= this.numNodes)
      throw new TrainerError(
        'BAD_INPUT',
        `run ${this.runId} already has its ${this.numNodes} nodes; ${request.host} (pid ${request.pid}) is one too many (cluster.nodes)`,
      );
    const member: Member = {
      node: this.#members.length,
      request,
      session: null,
      status: 'joined',
      heardOfMs: performance.now(),
    };
    this.#members.push(member);
    return member;
  }

  /** @throws TrainerError `BAD_INPUT` if the node has not joined, or has a session */
  connect(node: number, session: SessionLink): void {
    const member = this.get(node);
    if (member.status !== 'joined') throw new TrainerError('BAD_INPUT', `node ${node} already has a session`);
    member.session = session;
    member.status = 'connected';
    member.heardOfMs = performance.now();
  }

  /** @throws TrainerError `BAD_INPUT` if the node has not joined */
  get(node: number): Member {
    const member = this.#members[node];
    if (member === undefined) throw new TrainerError('BAD_INPUT', `node ${node} has not joined this run`);
    return member;
  }

  /** True once every node of the run has this status. */
  allAre(status: MemberStatus): boolean {
    return (
      this.#members.length === this.numNodes && this.#members.every((member) => member.status === status)
    );
  }

  get peers(): Peer[] {
    return this.#members.map(({ node, request }) => ({ node, address: request.dataAddress }));
  }

  broadcast(command: CoordinatorCommand): void {
    for (const { session } of this.#members) session?.send(command);
  }

  /** Members with a session, and with work to do, that were not heard of for `timeoutMs`. */
  silentFor(timeoutMs: number): Member[] {
    const now = performance.now();
    return this.#members.filter(
      ({ session, status, heardOfMs }) =>
        session !== null && status !== 'finished' && status !== 'left' && now - heardOfMs > timeoutMs,
    );
  }

  /** Moves all that was heard of forward: for that long this process itself stood still. */
  forgive(suspendedMs: number): void {
    for (const member of this.#members) member.heardOfMs += suspendedMs;
  }
}
