import { setTimeout as sleep } from 'node:timers/promises';
import type { JournalMember } from '@locmoe/run-format';
import type { Timeouts } from '../config/timeouts.js';
import { TrainerError } from '../errors.js';
import type { CoordinatorCommand, JoinRequest, Peer } from '../rpc/generated/messages.js';
import { VERSION } from '../rpc/version.js';
import { assertJoin } from './agent-messages.js';
import { Member, type MemberStatus, type SessionLink } from './member.js';

const GONE_POLL_MS = 20;

/** Nodes of a run, in the order of their ids. */
export class Membership {
  /** Members by node id; undefined where a place is free. */
  readonly #places: (Member | undefined)[];

  constructor(
    private readonly runId: string,
    private readonly numNodes: number,
    private readonly timeouts: Timeouts,
    /** Ends this process if another one leads the run; called before every broadcast. */
    private readonly assertLeads: () => void = () => undefined,
  ) {
    this.#places = Array.from({ length: numNodes });
  }

  get all(): readonly Member[] {
    return this.#places.filter((member) => member !== undefined);
  }

  /**
   * Assigns a node the place that it had in the previous generation if that is free, else the first free one;
   * the same process gets the same place again.
   *
   * @throws TrainerError `RUN_FULL` if all places are taken, `BAD_INPUT` if the node's version or address does not fit,
   *   `BAD_MESSAGE` if the request is malformed
   */
  join(request: JoinRequest): Member {
    const { host, pid, dataAddress, version, formerNode } = request;
    if (version !== VERSION)
      throw new TrainerError(
        'BAD_INPUT',
        `the node agent on ${host} (pid ${pid}) runs locmoe ${version || '(unknown)'}, this coordinator ${VERSION}: both must be the same`,
      );
    assertJoin(request);
    const known = this.all.find((each) => each.request.dataAddress === dataAddress);
    if (known?.request.host === host && known.request.pid === pid) return known;
    if (known !== undefined)
      throw new TrainerError(
        'BAD_INPUT',
        `node ${known.node} on ${known.request.host} (pid ${known.request.pid}) serves at ${dataAddress} already; the node agent on ${host} (pid ${pid}) needs an address of its own (--listen, --advertise)`,
      );
    const isFree =
      formerNode !== undefined && formerNode < this.numNodes && this.#places[formerNode] === undefined;
    const node = isFree ? formerNode : this.#places.indexOf(undefined);
    if (node < 0)
      throw new TrainerError(
        'RUN_FULL',
        `run ${this.runId} already has its ${this.numNodes} nodes; ${host} (pid ${pid}) is one too many (cluster.nodes)`,
      );
    const member = new Member(node, request);
    this.#places[node] = member;
    return member;
  }

  /** Frees the place of a node. */
  remove(node: number): void {
    this.#places[node]?.session?.close();
    this.#places[node] = undefined;
  }

  /**
   * Opens the session of a member: the first one, or another one after a session broke while its workers train.
   *
   * @throws TrainerError `BAD_INPUT` if the node has not joined from that address, or has a session
   */
  connect(node: number, dataAddress: string, session: SessionLink): void {
    const member = this.get(node);
    if (member.request.dataAddress !== dataAddress)
      throw new TrainerError('BAD_INPUT', `node ${node} was replaced by another node agent; join again`);
    if (member.isAwaited) member.hasReturned = true;
    else if (member.status === 'joined') member.become('connected');
    else throw new TrainerError('BAD_INPUT', `node ${node} already has a session`);
    member.session = session;
    member.heardOfMs = performance.now();
  }

  /** Restores the members of the previous coordinator, whose workers train; each is expected to open a session again. */
  adopt(members: readonly JournalMember[]): void {
    for (const { node, ...process } of members) {
      const member = new Member(node, { ...process, version: VERSION });
      member.become('connected');
      member.become('ready');
      this.#places[node] = member;
    }
  }

  /** Members that train and have no session. */
  get awaited(): Member[] {
    return this.all.filter(({ isAwaited }) => isAwaited);
  }

  /** @throws TrainerError `BAD_INPUT` if the node has not joined */
  get(node: number): Member {
    const member = this.#places[node];
    if (member === undefined) throw new TrainerError('BAD_INPUT', `node ${node} has not joined this run`);
    return member;
  }

  get numConnected(): number {
    return this.all.filter(({ session }) => session !== null).length;
  }

  /** Ids of the nodes whose places are free. */
  get missing(): number[] {
    return [...this.#places.keys()].filter((node) => this.#places[node] === undefined);
  }

  /** Describes in words which nodes are here and how many are missing. */
  describe(): string {
    const here = this.all.filter(({ session }) => session !== null);
    const names = here.map(({ node, request }) => `node ${node} from ${request.host}`).join(', ');
    const missing = this.numNodes - here.length;
    return `${here.length} of ${this.numNodes} nodes are here${names && ` (${names})`}, ${missing} ${missing === 1 ? 'is' : 'are'} missing`;
  }

  /** Ids of the nodes that have left properly, and join the next generation. */
  get rejoining(): number[] {
    return this.all.filter(({ isDone }) => isDone).map(({ node }) => node);
  }

  /** Returns the name of a node's machine or container; null if it is not a member. */
  hostOf(node: number): string | null {
    return this.#places[node]?.request.host ?? null;
  }

  /** Tells whether every node of the run has this status. */
  allAre(status: MemberStatus): boolean {
    return this.#places.every((member) => member?.status === status);
  }

  get peers(): Peer[] {
    return this.all.map(({ node, request }) => ({ node, address: request.dataAddress, host: request.host }));
  }

  broadcast(command: CoordinatorCommand): void {
    this.assertLeads();
    for (const { session } of this.all) session?.send(command);
  }

  /** Returns the members with a session and unfinished work that were silent for `timeoutMs`. */
  silentFor(timeoutMs: number): Member[] {
    const now = performance.now();
    return this.all.filter(
      ({ session, isDone, heardOfMs }) => session !== null && !isDone && now - heardOfMs > timeoutMs,
    );
  }

  /** Members whose silence is long enough to explain the failures of others. */
  get suspects(): Member[] {
    return this.silentFor(this.timeouts.silentMs);
  }

  /** Members whose session is still expected to end properly. */
  get #answering(): Member[] {
    const silent = this.suspects;
    return this.all.filter(
      (member) => member.session !== null && member.status !== 'lost' && !silent.includes(member),
    );
  }

  /** Waits up to `graceMs` for the nodes that still answer to send their last log lines and end their sessions. */
  async untilGone(graceMs: number): Promise<void> {
    await until(() => this.#answering.length === 0, graceMs);
  }

  /**
   * Waits up to `graceMs` for the nodes that still answer to end their workers, and tells them to join the next generation.
   *
   * @returns pids of the agents that rejoin; the others have left the run
   */
  async moveToNextGeneration(graceMs: number): Promise<number[]> {
    await until(() => this.#answering.every(({ isDone }) => isDone), graceMs);
    for (const { isDone, session } of this.all)
      if (isDone) session?.send({ command: 'rejoin', rejoin: {} });
      else session?.close();
    return this.all.filter(({ isDone }) => isDone).map(({ request }) => request.pid);
  }

  /** Members that took too long to open a session. */
  get withoutSession(): Member[] {
    const now = performance.now();
    return this.all.filter(
      ({ status, heardOfMs }) => status === 'joined' && now - heardOfMs > this.timeouts.sessionMs,
    );
  }

  /** Extends all silence deadlines by the time for which this process stood still. */
  forgive(suspendedMs: number): void {
    for (const member of this.all) member.heardOfMs += suspendedMs;
  }
}

async function until(condition: () => boolean, graceMs: number): Promise<void> {
  const deadline = performance.now() + graceMs;
  while (!condition() && performance.now() < deadline) await sleep(GONE_POLL_MS);
}
