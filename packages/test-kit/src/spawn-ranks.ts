import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { LinkSpeed } from 'locmoe/internal/agent/link-limit';
import type { RankProgress } from 'locmoe/internal/collectives/control-block';
import { TrainerError } from 'locmoe/internal/errors';
import { runnable } from 'locmoe/internal/os/start-thread';
import { endProgram, forkProgram, programBeside } from './fork-program.js';
import type {
  AgentSpec,
  AgentStats,
  FromAgent,
  Layout,
  RankFailure,
  RankOutcome,
  ToAgent,
} from './messages.js';

export interface SpawnOptions {
  /** Argument for `body` on every rank; must survive structured cloning. */
  readonly args?: unknown;
  readonly ringBytes?: number;
  /** Deadline for a collective that makes no progress. */
  readonly timeoutMs?: number;
  /** Deadline of the whole call. */
  readonly deadlineMs?: number;
  readonly interNodeLink?: LinkSpeed | null;
  readonly runId?: string;
  /** Variables that are added to the environment of all processes. */
  readonly env?: Readonly<Record<string, string>>;
  /** Whether a failed rank aborts the others, as in a real run. */
  readonly abortOnFailure?: boolean;
  /** Called once all ranks have started. */
  readonly whileRunning?: (cluster: Cluster) => Promise<void>;
  /** Ends all processes and rejects with its reason. */
  readonly signal?: AbortSignal | undefined;
}

/** Handle to the running processes, for tests that disturb them. */
export interface Cluster {
  readonly agentPids: readonly number[];
  readonly workerPids: readonly number[];
  readonly segmentPaths: readonly string[];
  abort(reason: string): void;
  requestStop(): void;
  /** Progress of each rank, as read by its agent. */
  progress(): Promise<RankProgress[]>;
}

export interface Outcome<T> {
  readonly ranks: readonly RankOutcome<T>[];
  readonly stats: readonly AgentStats[];
  /** Errors reported by the data planes of the agents. */
  readonly agentErrors: readonly RankFailure[];
}

const DEADLINE_MS = 300_000;

/**
 * Runs `program` (a file that calls `rankProgram`) as every rank of a world, with real processes: one agent
 * per node and its workers, shared memory and gRPC on the loopback. Resolves once all have ended; leaves no
 * process behind.
 *
 * @throws TrainerError `INTERNAL` if an agent fails before its ranks run, or at the deadline
 */
export async function spawnRanks<Result>(
  layout: Layout,
  program: URL,
  options: SpawnOptions = {},
): Promise<Outcome<Result>> {
  const { deadlineMs = DEADLINE_MS, signal } = options;
  signal?.throwIfAborted();
  const run = new RankRun<Result>(layout, options);
  let timer: NodeJS.Timeout | undefined;
  let stop: (() => void) | undefined;
  const cutShort = new Promise<never>((_, reject) => {
    const late = `${layout.numNodes} x ${layout.workersPerNode} ranks had no result within ${deadlineMs / 1000} s`;
    timer = setTimeout(() => reject(new TrainerError('INTERNAL', late)), deadlineMs);
    stop = () => reject(signal?.reason);
    signal?.addEventListener('abort', stop);
  });
  try {
    return await Promise.race([run.execute(runnable(fileURLToPath(program))), cutShort]);
  } finally {
    clearTimeout(timer);
    if (stop) signal?.removeEventListener('abort', stop);
    await run.end();
  }
}

class RankRun<Result> {
  readonly #agents: ChildProcess[] = [];
  readonly #ranks: RankOutcome<Result>[] = [];
  readonly #agentErrors: RankFailure[] = [];
  readonly #workerPids: number[] = [];
  #ending = false;

  constructor(
    private readonly layout: Layout,
    private readonly options: SpawnOptions,
  ) {}

  async execute(program: string): Promise<Outcome<Result>> {
    const agentFile = programBeside(import.meta.url, 'agent');
    for (let node = 0; node < this.layout.numNodes; node++)
      this.#agents.push(forkProgram(agentFile, this.options.env));
    const ended = this.#agents.map((agent, node) => this.#follow(agent, node));
    const runId = this.options.runId ?? `ranks-${process.pid}-${Math.random().toString(36).slice(2)}`;
    const listening = await Promise.all(
      this.#agents.map((agent, node) => {
        const answer = next(agent, 'listening');
        const message: ToAgent = { type: 'spec', spec: this.#specOf(node, runId, program) };
        agent.send(message, () => undefined);
        return answer;
      }),
    );
    const started = this.#agents.map((agent) => next(agent, 'started'));
    this.#sendToAll({ type: 'connect', addresses: listening.map(({ address }) => address) });
    this.#workerPids.push(...(await Promise.all(started)).flatMap(({ pids }) => pids));
    await this.options.whileRunning?.(this.#cluster(listening.map(({ segmentPath }) => segmentPath)));
    const stats = await Promise.all(ended);
    this.#ranks.sort((a, b) => a.rank - b.rank);
    return { ranks: this.#ranks, stats, agentErrors: this.#agentErrors };
  }

  #specOf(node: number, runId: string, program: string): AgentSpec {
    const { ringBytes = 1 << 16, timeoutMs = 10_000, interNodeLink = null, args } = this.options;
    return { ...this.layout, node, runId, ringBytes, timeoutMs, interNodeLink, program, args };
  }

  /** Collects the reports of an agent until it is done or gone. */
  #follow(agent: ChildProcess, node: number): Promise<AgentStats> {
    return new Promise((resolve) => {
      agent.on('message', (message: FromAgent) => {
        if (message.type === 'rank') {
          this.#ranks.push(message.outcome as RankOutcome<Result>);
          this.#abortOthers(message.outcome);
        } else if (message.type === 'error') this.#agentErrors.push(message.error);
        else if (message.type === 'done') resolve(message.stats);
      });
      agent.on('exit', (code, signal) => {
        if (code !== 0 && code !== null && !this.#ending)
          console.error(`agent ${node} ended with ${code} ${signal ?? ''}`);
        resolve({ framesSent: 0, bytesSent: 0 });
      });
    });
  }

  #abortOthers({ rank, error, signal }: RankOutcome<unknown>): void {
    if (this.options.abortOnFailure === false) return;
    if (error || signal)
      this.#sendToAll({ type: 'abort', reason: `rank ${rank} failed: ${error?.line ?? signal}` });
  }

  #sendToAll(message: ToAgent): void {
    // The agent may already have exited; its exit is reported separately.
    for (const agent of this.#agents) if (agent.connected) agent.send(message, () => undefined);
  }

  #cluster(segmentPaths: readonly string[]): Cluster {
    return {
      agentPids: this.#agents.map(({ pid }) => pid ?? 0),
      workerPids: this.#workerPids,
      segmentPaths,
      abort: (reason) => this.#sendToAll({ type: 'abort', reason }),
      requestStop: () => this.#sendToAll({ type: 'stop' }),
      progress: async () => {
        const answers = this.#agents.map((agent) => next(agent, 'progress'));
        this.#sendToAll({ type: 'progress' });
        return (await Promise.all(answers)).flatMap(({ progress }) => progress);
      },
    };
  }

  async end(): Promise<void> {
    this.#ending = true;
    await Promise.all(this.#agents.map(endProgram));
  }
}

/** Waits for the next message of one type; rejects if the agent ends before. */
function next<T extends FromAgent['type']>(
  agent: ChildProcess,
  type: T,
): Promise<Extract<FromAgent, { type: T }>> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null, signal: NodeJS.Signals | null) =>
      reject(new Error(`the agent ended (${signal ?? code}) before '${type}'`));
    const onMessage = (message: FromAgent) => {
      if (message.type !== type) return;
      agent.removeListener('message', onMessage);
      agent.removeListener('exit', onExit);
      resolve(message as Extract<FromAgent, { type: T }>);
    };
    agent.on('message', onMessage);
    agent.once('exit', onExit);
  });
}
