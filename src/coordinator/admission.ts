import { JOIN_RETRY_MS } from '../config/timeouts.js';
import { asTrainerError, TrainerError } from '../errors.js';
import { formatNumberOf } from '../format.js';
import type { JoinReply, JoinRequest } from '../rpc/generated/messages.js';
import type { CoordinatorOptions } from './coordinator-options.js';
import type { Lifecycle } from './lifecycle.js';
import type { Member, SessionLink } from './member.js';
import type { Membership } from './membership.js';

export type AdmissionOptions = Pick<
  CoordinatorOptions,
  | 'identity'
  | 'logger'
  | 'listeners'
  | 'term'
  | 'joinTimeoutMs'
  | 'grace'
  | 'nodesAreReplaceable'
  | 'numSufficing'
  | 'assertLeads'
>;

/** How long a node that has asked to join counts as waiting: three times the longest pause between its tries. */
const ASKING_MS = 3 * JOIN_RETRY_MS;

/**
 * Admits nodes to a generation until it starts, frees the places of those that leave before, and readmits those whose
 * session broke.
 */
export class Admission {
  #hasMissedNodes = false;
  /** When each node last asked to join while the run trains with fewer nodes than it may have, by its address. */
  readonly #askedMs = new Map<string, number>();

  constructor(
    private readonly options: AdmissionOptions,
    private readonly members: Membership,
    private readonly lifecycle: Lifecycle,
  ) {}

  /** Number of processes that have led the run, this one included. */
  get term(): number {
    return this.options.term ?? 1;
  }

  /** True if the generation is over because nodes did not join in time, and the other nodes suffice to continue. */
  get hasMissedNodes(): boolean {
    return this.#hasMissedNodes;
  }

  /** Number of nodes that wait to be taken in. */
  get numAsking(): number {
    const sinceMs = performance.now() - ASKING_MS;
    return [...this.#askedMs.values()].filter((askedMs) => askedMs > sinceMs).length;
  }

  /** How long the generation waits for all its nodes, in ms: not as long where those that are there suffice. */
  get timeoutMs(): number {
    const { joinTimeoutMs, grace } = this.options;
    const { numConnected } = this.members;
    return grace !== undefined && numConnected >= grace.numRejoining && this.#numSufficing(numConnected) > 0
      ? Math.min(grace.ms, joinTimeoutMs)
      : joinTimeoutMs;
  }

  #numSufficing(numNodes: number): number {
    return this.options.numSufficing?.(numNodes) ?? 0;
  }

  /** Ends this process if a caller has seen a later coordinator of the run, and another process leads it. */
  assertTerm(seen: number): void {
    if (seen > this.term) this.options.assertLeads?.();
  }

  /** True while another node may take the place of a node that is gone. */
  get canReplace(): boolean {
    return this.options.nodesAreReplaceable && this.lifecycle.state.kind === 'waiting';
  }

  /**
   * @throws TrainerError `RUN_FULL` if all places are taken or the run has started, `BAD_INPUT` if the node
   *   does not match the run
   */
  join(request: JoinRequest): JoinReply {
    const { identity, logger } = this.options;
    const former = this.members.awaited.find(
      ({ request: { host, pid } }) => host === request.host && pid === request.pid,
    );
    if (former !== undefined) this.miss(former, 'has ended its workers');
    const { node } = this.#place(request);
    logger.info({ node, host: request.host, pid: request.pid }, `node ${node} joined`);
    return {
      runId: identity.runId,
      generation: identity.generation,
      node,
      configJson: JSON.stringify(identity.config),
      runDir: identity.runDir,
      datasetDir: identity.datasetDir,
      resumeFrom: identity.resumeFrom ?? '',
      initFrom: identity.initFrom ?? '',
      inheritance: identity.inheritance ?? null,
      term: this.term,
    };
  }

  /** Opens a member's session, or reopens it while the member trains; tells all to start once every node has connected. */
  connect(node: number, dataAddress: string, session: SessionLink): void {
    const { isAwaited: returns, request } = this.members.get(node);
    if (!returns) this.#assertWaiting(request.host);
    this.members.connect(node, dataAddress, session);
    const { numConnected } = this.members;
    const { nodes: numNodes } = this.options.identity.config.cluster;
    const how = returns ? 'is back' : `joined from ${request.host}`;
    // The previous coordinator may have crashed before it sent `begin` to this node.
    if (returns) session.send({ command: 'begin', begin: {} });
    this.#tell(`node ${node} ${how} (${numConnected} of ${numNodes})`);
    if (!this.members.allAre('connected')) return;
    const members = this.members.all.map(({ node, request: { host, pid, dataAddress } }) => ({
      node,
      host,
      pid,
      dataAddress,
    }));
    for (const listener of this.options.listeners) listener.members?.(members);
    this.lifecycle.apply({ type: 'nodes-complete' });
    const { snapshot = null } = this.options.identity;
    const snapshotHolders = [...(this.options.identity.snapshotHolders ?? [])];
    this.members.broadcast({
      command: 'start',
      start: { peers: this.members.peers, snapshot, snapshotHolders },
    });
  }

  /** Frees the place of a node that is gone before the start. */
  free({ node, request }: Member, reason: string): void {
    this.members.remove(node);
    const text = `node ${node} on ${request.host} (pid ${request.pid}) left before the start: ${reason}; its place is free again`;
    this.options.logger.info({ node, host: request.host }, text);
    this.#tell(text);
  }

  /** Restarts the generation because a member that was expected to open a session again cannot. */
  miss({ node, request }: Member, what: string): void {
    const message = `node agent on ${request.host} (pid ${request.pid}) ${what} after the coordinator was replaced`;
    const error = new TrainerError('NODE_LOST', message, { node });
    this.lifecycle.apply({ type: 'failure', error, restarts: true });
  }

  /** Ends a generation that has just saved a checkpoint if the run can go on from there with nodes that wait for it. */
  takeIn(): void {
    const { nodes } = this.options.identity.config.cluster;
    const { numAsking } = this;
    if (this.lifecycle.state.kind !== 'running' || this.#numSufficing(nodes + numAsking) <= nodes) return;
    const message = `${formatNumberOf(numAsking, 'node')} more can take part`;
    this.lifecycle.apply({
      type: 'failure',
      error: new TrainerError('NODE_RETURNED', message),
      restarts: true,
    });
  }

  /** Ends the generation because not all nodes joined in time. */
  missNodes(error: TrainerError): void {
    this.#hasMissedNodes =
      this.options.grace !== undefined && this.#numSufficing(this.members.numConnected) > 0;
    if (this.#hasMissedNodes) this.lifecycle.apply({ type: 'failure', error, restarts: true });
    else if (this.options.nodesAreReplaceable) this.lifecycle.abort(error);
    // This process can restart the nodes that it started itself.
    else this.lifecycle.fail({ error, culprit: null });
  }

  /** @throws TrainerError `UNAVAILABLE` if the node is to wait for the next checkpoint; otherwise as `join` */
  #place(request: JoinRequest): Member {
    const { runId, config } = this.options.identity;
    const { nodes } = config.cluster;
    const { host, dataAddress } = request;
    try {
      this.#assertWaiting(host);
      return this.members.join(request);
    } catch (error) {
      const isFull = asTrainerError(error).code === 'RUN_FULL';
      const { kind } = this.lifecycle.state;
      const isOpen = ['waiting', 'starting', 'running'].includes(kind);
      if (!isFull || !isOpen || this.#numSufficing(nodes + 1) <= nodes) throw error;
      this.#askedMs.set(dataAddress, performance.now());
      throw new TrainerError(
        'UNAVAILABLE',
        `run ${runId} is ${kind} with ${formatNumberOf(nodes, 'node')}, and takes in the one on ${host} after its next checkpoint`,
      );
    }
  }

  #assertWaiting(host: string): void {
    const { runId, config } = this.options.identity;
    const { kind } = this.lifecycle.state;
    const isIncomplete =
      this.lifecycle.isUnderWay &&
      this.members.all.some(({ isDone, session }) => !isDone && session === null);
    if (kind === 'restarting' || isIncomplete)
      throw new TrainerError('UNAVAILABLE', `run ${runId} is about to restart`);
    if (kind !== 'waiting')
      throw new TrainerError(
        'RUN_FULL',
        `run ${runId} is ${kind} with its ${config.cluster.nodes} nodes; the one on ${host} comes too late: nodes join before the start`,
      );
  }

  #tell(text: string): void {
    for (const listener of this.options.listeners) listener.membership?.(text);
  }
}
