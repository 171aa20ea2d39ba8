import { setImmediate as turn } from 'node:timers/promises';
import type { LogStore } from '@locmoe/logs';
import { reportMeasures } from '@locmoe/run-format';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { Coordinator } from 'locmoe/internal/coordinator/coordinator';
import { RunLeader } from 'locmoe/internal/coordinator/run-leader';
import { addCoordinatorService } from 'locmoe/internal/coordinator/service';
import { createLogger } from 'locmoe/internal/logger';
import { formatAddress } from 'locmoe/internal/rpc/address';
import { CoordinatorClient } from 'locmoe/internal/rpc/coordinator-client';
import type { AgentEvent, LayerReport, StepReport } from 'locmoe/internal/rpc/generated/messages';
import { loadProto } from 'locmoe/internal/rpc/load-proto';
import { NO_SECURITY } from 'locmoe/internal/rpc/security';
import { createRpcServer, listen } from 'locmoe/internal/rpc/server';
import { VERSION } from 'locmoe/internal/rpc/version';
import type { RunListener } from 'locmoe/internal/run/run-listener';
import { framed, type RawCall, RawClient } from './raw-grpc.js';

export const METHODS = loadProto('coordinator', 'locmoe.coordinator.v1.Coordinator');
export const RUN_ID = 'fuzz-run';
export const GENERATION = 2;
const STATE_MS = 5_000;

const config = loadConfig('tiny', { nodes: 2, workersPerNode: 1 });
const { numExperts } = config.moe;

export const dataAddress = (node: number) => `127.0.0.1:${node + 1}`;

/** What identifies the session of a member. */
export function memberMetadata(
  node: number,
  generation = GENERATION,
  runId = RUN_ID,
): Record<string, string> {
  return {
    'run-id': runId,
    generation: String(generation),
    node: String(node),
    'data-address': dataAddress(node),
  };
}

const experts = () => Array.from({ length: numExperts }, () => 1);
const layer: LayerReport = {
  layer: config.model.numDenseLayers,
  rowBytes: 64,
  measures: reportMeasures([
    {
      routed: experts(),
      kept: experts(),
      overCapacity: experts(),
      notChosen: experts(),
      capacity: experts(),
      sameWorker: 1,
      sameNode: 1,
      otherNode: 2,
      gateCosine: [0.5, 4],
    },
  ]),
};
const stepReport = (rank: number): StepReport => ({
  step: 1,
  rank,
  loss: 2.5,
  auxiliaryLoss: 0.1,
  gradientNorm: 1,
  learningRate: 1e-3,
  tokens: 64,
  measures: {},
  stepMs: 5,
  skipped: false,
  bytesSameNode: 64,
  bytesOtherNode: 64,
  rowBytesTo: [0, 64],
  allToAllMs: 1,
  allToAllWaitMs: 1,
  cpuMs: 1,
  queuedMs: 0,
  layers: [layer],
  partsMs: { forward: 1, backward: 1, exchange: 1, allReduce: 1, optimizer: 1, waiting: 0 },
  startMs: {},
});

/** Events that node `node` may send while the run trains. */
export function eventsOf(node: number): AgentEvent[] {
  const worker = {
    rank: node,
    pid: 7,
    step: 1,
    phase: 'forward',
    operation: 'all-to-all',
    processState: 'R',
    residentBytes: 1 << 28,
    idleMs: 3,
    layer: 1,
    sequence: 4,
    waitingFor: -1,
    stalledMs: 0,
    stoppedMs: 0,
  };
  return [
    { event: 'heartbeat', heartbeat: { workers: [worker], logQueueLines: 2 } },
    { event: 'step', step: stepReport(node) },
    { event: 'logs', logs: { lines: ['{"level":30,"msg":"a line"}'], dropped: 1 } },
    {
      event: 'validation',
      validation: { step: 1, domains: [{ domain: config.data.domains[0]!, loss: 2, tokens: 64 }] },
    },
    {
      event: 'saving',
      saving: {
        rank: node,
        step: 1,
        generation: GENERATION,
        bytes: 64,
        isLast: false,
        keepStep: -1,
        sharedCrc32: 7,
        metrics: { loss: 2 },
      },
    },
    {
      event: 'failure',
      failure: {
        rank: node,
        pid: 7,
        code: 'WORKER_DIED',
        message: 'ended',
        step: 1,
        layer: -1,
        operation: '',
        timeMs: 1,
        exitCode: 1,
        signal: '',
      },
    },
    { event: 'stop', stop: { reason: 'a test' } },
    { event: 'finished', finished: { stoppedEarly: false } },
    { event: 'leaving', leaving: { snapshots: [] } },
  ];
}

/** Wait for the reports of other ranks after a failure; short, as there are none. */
const EVIDENCE_MS = 1;

/** A live coordinator of two nodes with its service; its listeners check everything that it accepts. */
export class CoordinatorTarget {
  /** What was accepted but should have been refused. */
  readonly problems: string[] = [];
  /** The node that is sending now. */
  speaker = 0;
  readonly #rpc = createRpcServer();
  readonly #leader: RunLeader;
  readonly #runDir: string;
  readonly #logs: LogStore;
  client!: CoordinatorClient;
  raw!: RawClient;

  private constructor(runDir: string, logs: LogStore, generation: number) {
    this.#runDir = runDir;
    this.#logs = logs;
    this.#leader = new RunLeader(this.#coordinatorOf(generation));
  }

  /** A run that waits for its nodes. */
  static async start(runDir: string, logs: LogStore, generation = GENERATION): Promise<CoordinatorTarget> {
    const target = new CoordinatorTarget(runDir, logs, generation);
    await target.#listen();
    return target;
  }

  async #listen(): Promise<void> {
    addCoordinatorService(this.#rpc.server, this.#leader, this.#logs);
    const address = formatAddress(await listen(this.#rpc, { host: '127.0.0.1', port: 0 }, '--port'));
    this.client = new CoordinatorClient(address, NO_SECURITY);
    this.raw = new RawClient(address);
  }

  #coordinatorOf(generation: number): Coordinator {
    return new Coordinator({
      identity: {
        runId: RUN_ID,
        generation,
        config,
        runDir: this.#runDir,
        datasetDir: this.#runDir,
        resumeFrom: null,
        resumedStep: 0,
        initFrom: null,
      },
      logs: this.#logs,
      listeners: [this.#observer()],
      joinTimeoutMs: 60_000,
      nodesAreReplaceable: true,
      mayRestart: () => true,
      evidenceWindowMs: EVIDENCE_MS,
      logger: createLogger({
        level: 'fatal',
        origin: { run: RUN_ID, generation },
        destination: { write: () => undefined },
      }),
    });
  }

  /** The coordinator of the current generation. */
  get coordinator(): Coordinator {
    return this.#leader.current;
  }

  /** Fails the generation by a member's report, so that the next one waits for its nodes. */
  async restart(session: RawCall): Promise<void> {
    const failure = eventsOf(0).find(({ event }) => event === 'failure')!;
    session.write(framed(METHODS.Session.requestSerialize(failure)));
    await this.#until('restarting');
    this.coordinator.close();
    this.#leader.advance(this.#coordinatorOf(this.coordinator.identity.generation + 1));
  }

  /** Lets both nodes join, or ask for their places again. */
  async join(): Promise<void> {
    for (const node of [0, 1])
      await this.client.join({
        host: `host-${node}`,
        pid: node + 1,
        dataAddress: dataAddress(node),
        version: VERSION,
      });
  }

  /** Lets both nodes join and open their sessions. */
  async begin(): Promise<RawCall[]> {
    await this.join();
    const { generation } = this.coordinator.identity;
    const sessions = [0, 1].map((node) =>
      this.raw.open(METHODS.Session.path, memberMetadata(node, generation)),
    );
    await this.#until('starting');
    for (const session of sessions) session.write(framed(METHODS.Session.requestSerialize({ ready: {} })));
    await this.#until('running');
    return sessions;
  }

  async #until(state: string): Promise<void> {
    const deadline = performance.now() + STATE_MS;
    while (this.coordinator.lifecycle.state.kind !== state) {
      if (performance.now() > deadline)
        throw new Error(`the run is ${this.coordinator.lifecycle.state.kind}, not ${state}`);
      await turn();
    }
  }

  /** Records events that no node of the run, or not the one that is sending, can have sent. */
  #observer(): RunListener {
    const expect = (isSo: boolean, what: string) => {
      if (!isSo) this.problems.push(`taken from node ${this.speaker}: ${what}`);
    };
    const isCount = (value: number) => Number.isSafeInteger(value) && value >= 0;
    return {
      rankStep: (report) => {
        const { step, rank, layers, loss, auxiliaryLoss, gradientNorm, learningRate } = report;
        expect(rank === this.speaker, `a step of rank ${rank}`);
        expect(step >= 1 && step <= config.train.steps, `step ${step}`);
        for (const each of [loss, auxiliaryLoss, gradientNorm, learningRate])
          expect(Number.isFinite(each), `${each} in a step`);
        for (const { measures } of layers)
          expect(
            ['routed', 'kept', 'overCapacity', 'notChosen'].every((name) => {
              const { counts, values } = measures[name]!;
              const numbers = values.length === 0 ? counts : values;
              return numbers.length === numExperts && numbers.every(isCount);
            }),
            'counts that are not of the experts',
          );
      },
      heartbeat: (node, { workers }) => {
        expect(node === this.speaker, `a heartbeat of node ${node}`);
        expect(workers.length <= 1, `${workers.length} workers`);
        for (const { rank, pid, idleMs } of workers)
          expect(
            rank === this.speaker && isCount(pid) && Number.isFinite(idleMs),
            `worker ${rank}, ${pid}, ${idleMs}`,
          );
      },
      validation: ({ domains }) => {
        expect(this.speaker === 0, 'a validation');
        for (const { domain, loss } of domains)
          expect(config.data.domains.includes(domain as 'en') && Number.isFinite(loss), `${domain}: ${loss}`);
      },
      checkpoint: ({ step }) => expect(false, `a checkpoint of step ${step} that no rank has written`),
      logLines: (node) => expect(node === this.speaker, `log lines of node ${node}`),
    };
  }

  close(): void {
    this.coordinator.close();
    this.raw.close();
    this.client.close();
    this.#rpc.close();
  }
}
