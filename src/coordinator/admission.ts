import { TrainerError } from '../errors.js';
import type { JoinReply, JoinRequest } from '../rpc/generated/messages.js';
import type { CoordinatorOptions } from './coordinator-options.js';
import type { Lifecycle } from './lifecycle.js';
import type { Member, SessionLink } from './member.js';
import type { Membership } from './membership.js';

export type AdmissionOptions = Pick<
  CoordinatorOptions,
  'identity' | 'logger' | 'listeners' | 'term' | 'nodesAreReplaceable'
>;

/** Lets nodes into a generation until it starts, frees the places of those that go before, and lets its own come back. */
export class Admission {
  readonly #options: AdmissionOptions;
  readonly #members: Membership;
  readonly #life: Lifecycle;

  constructor(options: AdmissionOptions, members: Membership, life: Lifecycle) {
    this.#options = options;
    this.#members = members;
    this.#life = life;
  }

  /** See CoordinatorOptions. */
  get term(): number {
    return this.#options.term ?? 1;
  }

  /** Another node may take the place of one that is gone. */
  get canReplace(): boolean {
    return this.#options.nodesAreReplaceable && this.#life.state.kind === 'waiting';
  }

  /**
   * @throws TrainerError `RUN_FULL` if all places are taken or the run has started, `BAD_INPUT` if the node
   *   does not fit
   */
  join(request: JoinRequest): JoinReply {
    const { identity, logger } = this.#options;
    const former = this.#members.awaited.find(
      ({ request: { host, pid } }) => host === request.host && pid === request.pid,
    );
    if (former !== undefined) this.miss(former, 'has ended its workers');
    this.#assertWaiting(request.host);
    const { node } = this.#members.join(request);
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

  /** Opens a member's session; when every node has one, all are told to start. */
  connect(node: number, dataAddress: string, session: SessionLink): void {
    const member = this.#members.get(node);
    const { host } = member.request;
    if (member.isAwaited) {
      this.#reconnect(node, dataAddress, session);
      return;
    }
    this.#assertWaiting(host);
    this.#members.connect(node, dataAddress, session);
    const { numConnected, numNodes } = this.#members;
    this.#tell(`node ${node} joined from ${host} (${numConnected} of ${numNodes})`);
    if (!this.#members.allAre('connected')) return;
    const members = this.#members.all.map(({ node, request: { host, pid, dataAddress } }) => ({
      node,
      host,
      pid,
      dataAddress,
    }));
    for (const listener of this.#options.listeners) listener.members?.(members);
    this.#life.apply({ type: 'nodes-complete' });
    const { snapshot = null } = this.#options.identity;
    this.#members.broadcast({ command: 'start', start: { peers: this.#members.peers, snapshot } });
  }

  /** Opens the session of a member that trains. */
  #reconnect(node: number, dataAddress: string, session: SessionLink): void {
    this.#members.reconnect(node, dataAddress, session);
    // The coordinator before this one may have fallen between its word and theirs.
    session.send({ command: 'begin', begin: {} });
    const { numConnected, numNodes } = this.#members;
    this.#tell(`node ${node} is back (${numConnected} of ${numNodes})`);
  }

  /** A node that is gone before the start frees its place for another. */
  free({ node, request }: Member, reason: string): void {
    this.#members.remove(node);
    const text = `node ${node} on ${request.host} (pid ${request.pid}) left before the start: ${reason}; its place is free again`;
    this.#options.logger.info({ node, host: request.host }, text);
    this.#tell(text);
  }

  /** A member that trained, and was to open a session again, cannot: the generation has to begin anew. */
  miss({ node, request }: Member, what: string): void {
    const message = `node agent on ${request.host} (pid ${request.pid}) ${what} after the coordinator was replaced`;
    const error = new TrainerError('NODE_LOST', message, { node });
    this.#life.apply({ type: 'failure', error, restarts: true });
  }

  #assertWaiting(host: string): void {
    const { runId } = this.#options.identity;
    const { kind } = this.#life.state;
    const isIncomplete =
      this.#life.isUnderWay && this.#members.all.some(({ isDone, session }) => !isDone && session === null);
    if (kind === 'restarting' || isIncomplete)
      throw new TrainerError('UNAVAILABLE', `run ${runId} is about to restart`);
    if (kind !== 'waiting')
      throw new TrainerError(
        'RUN_FULL',
        `run ${runId} is ${kind} with its ${this.#members.numNodes} nodes; the one on ${host} comes too late: nodes join before the start`,
      );
  }

  #tell(text: string): void {
    for (const listener of this.#options.listeners) listener.membership?.(text);
  }
}
