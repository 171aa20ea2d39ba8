import { setTimeout as sleep } from 'node:timers/promises';
import type { RunConfig } from '../config/schema.js';
import { GRACE } from '../config/timeouts.js';
import { EXIT } from '../errors.js';
import { createLogger, type Logger } from '../logger.js';
import type { CoordinatorClient } from '../rpc/coordinator-client.js';
import type { CoordinatorCommand, JoinReply } from '../rpc/generated/messages.js';
import { becauseOf } from '../run/abort-reason.js';
import { LastingSession } from './lasting-session.js';
import { LogShipper } from './log-shipper.js';
import { NodeRanks, type NodeRanksOptions } from './node-ranks.js';

export interface NodeAgentOptions extends Pick<NodeRanksOptions, 'rpc' | 'snapshots' | 'link' | 'pool'> {
  readonly join: JoinReply;
  /** host:port at which the peers reach this node. */
  readonly dataAddress: string;
  readonly client: CoordinatorClient;
  /** Takes each line of the log; null if only the coordinator gets it. */
  readonly output: ((line: string) => void) | null;
  /** Keeps training without a coordinator for `cluster.coordinatorTimeoutS`; false by default. */
  readonly outlivesCoordinator?: boolean;
  /** How long workers may take after an abort to give their ranks back or to exit before they are killed. */
  readonly abortGraceMs?: number;
}

/** How a node proceeds after a generation: it joins the next one, looks whether there is a next one, or ends. */
type Decision = 'rejoin' | 'look' | 'end';

/**
 * How a node's part in a generation ended: the node joins the next one, looks for the next one for
 * `cluster.coordinatorTimeoutS`, or ends with an exit code.
 */
export type NodeEnd = Exclude<Decision, 'end'> | number;

/**
 * One node of a run, which carries out the coordinator's commands with its ranks. Lifecycle: joined; `start` creates
 * the segment, starts the workers and connects to the peers; `begin`; then either all workers finish and the coordinator
 * says farewell, or anything fails anywhere, everything is torn down, and the coordinator says farewell or rejoin.
 */
export class NodeAgent {
  readonly #logger: Logger;
  readonly #shipper = new LogShipper();
  readonly #ranks: NodeRanks;
  readonly #session: LastingSession;
  #leaving: Promise<void> | null = null;
  #resolveEnded!: (end: NodeEnd) => void;
  #decide!: (decision: Decision) => void;
  /** Decision of the coordinator after a failure; the first one counts. */
  readonly #decision = new Promise<Decision>((resolve) => {
    this.#decide = resolve;
  });

  /** Resolves once everything of this node has ended. */
  readonly ended = new Promise<NodeEnd>((resolve) => {
    this.#resolveEnded = resolve;
  });

  constructor(private readonly options: NodeAgentOptions) {
    const { join, client, rpc, dataAddress, link } = options;
    const { runId, generation, node, term } = join;
    const config: RunConfig = JSON.parse(join.configJson);
    const log = (line: string) => {
      this.#shipper.push(line);
      options.output?.(line);
    };
    this.#logger = createLogger({
      level: config.logLevel,
      origin: { run: runId, generation, node },
      destination: { write: (line) => log(line.trimEnd()) },
    });
    rpc.onRefused = (line) => this.#logger.warn(line);
    const session = new LastingSession({
      client,
      member: { runId, generation, node, dataAddress, term },
      waitMs: options.outlivesCoordinator === true ? 1000 * config.cluster.coordinatorTimeoutS : 0,
      link,
      listener: {
        command: (command) => this.#onCommand(command),
        lost: (reason) => this.#onLost(reason),
        returned: () => this.#logger.warn('a coordinator is there again'),
        refused: (reason) => this.#lookElsewhere(reason),
        ended: (reason) => this.#leaveAlone(`the coordinator is gone: ${reason}`),
      },
    });
    this.#session = session;
    this.#shipper.connect({
      isReady: () => session.isReady,
      send: (lines, dropped) => session.send({ event: 'logs', logs: { lines, dropped } }),
    });
    this.#ranks = new NodeRanks({
      ...options,
      config,
      logger: this.#logger,
      shipper: this.#shipper,
      log,
      send: (event) => session.send(event),
    });
    this.#ranks.sendHeartbeat();
  }

  /** Asks the coordinator to end the run; before its start the node leaves instead. */
  requestStop(reason: string): void {
    if (this.#ranks.hasStarted)
      this.#session.send({ event: 'stop', stop: { reason: `${reason} on node ${this.options.join.node}` } });
    else {
      this.#decide('end');
      void this.#leave(null);
    }
  }

  /** False while the run waits for its other nodes. */
  get hasStarted(): boolean {
    return this.#ranks.hasStarted;
  }

  #onCommand(command: CoordinatorCommand): void {
    switch (command.command) {
      case 'start':
        void this.#ranks.start(command.start);
        break;
      case 'begin':
        this.#ranks.begin();
        break;
      case 'writeShards':
        this.#ranks.save({ type: 'write-shards', ...command.writeShards });
        break;
      case 'saveEnded':
        this.#ranks.save({ type: 'save-ended', ...command.saveEnded });
        break;
      case 'stop':
        this.#ranks.requestStop();
        break;
      case 'examine':
        void this.#ranks.examine(command.examine);
        break;
      case 'abort':
        void this.#leave(command.abort.reason);
        break;
      case 'rejoin':
        this.#decide('rejoin');
        void this.#leave('the run goes on with another generation');
        break;
      case 'farewell':
        this.#decide('end');
        void this.#leave(null);
        break;
      case 'fault':
        this.#ranks.inflict(command.fault);
        break;
      case 'recorded':
        // The outbox handles it.
        break;
      default:
        command satisfies never;
    }
  }

  /** @returns whether to wait for another coordinator */
  #onLost(reason: string): boolean {
    if (this.#leaving === null) this.#logger.warn(`the coordinator is gone, the workers go on: ${reason}`);
    // The coordinator fell silent between the abort and its decision.
    else this.#decide('look');
    return this.#leaving === null;
  }

  /** Leaves a generation that the coordinator has given up. */
  #lookElsewhere(reason: string): void {
    this.#decide('look');
    void this.#leave(reason);
  }

  /** Leaves without a coordinator, so the reason goes to standard error. */
  #leaveAlone(reason: string): void {
    if (this.options.output === null) process.stderr.write(`${reason}\n`);
    this.#decide('end');
    void this.#leave(reason);
  }

  /** Tears the node down once, after an abort (`reason`) or at the end of a good run (null). */
  #leave(reason: string | null): Promise<void> {
    if (reason !== null && this.#leaving === null) this.#ranks.sendHeartbeat();
    this.#leaving ??= this.#tearDown(reason);
    return this.#leaving;
  }

  async #tearDown(reason: string | null): Promise<void> {
    const snapshots = await this.#ranks.end(reason, this.options.abortGraceMs);
    this.#logger.info(reason === null ? 'node leaves' : `node leaves${becauseOf(reason)}`);
    this.#shipper.flush();
    this.#session.send({ event: 'leaving', leaving: { snapshots } });
    const late = sleep(GRACE.decisionMs, 'end' as const, { ref: false });
    const decision = reason === null ? 'end' : await Promise.race([this.#decision, late]);
    this.#shipper.close();
    await this.#session.close();
    if (decision !== 'end') this.#resolveEnded(decision);
    else this.#resolveEnded(reason === null ? EXIT.done : EXIT.failedRun);
  }
}
