import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import type { LinkSpeed } from '../src/agent/link-limit.js';
import type { WorkerProgress } from '../src/collectives/control-block.js';
import { ShmTransport } from '../src/collectives/shm-transport.js';
import { topologyOf } from '../src/collectives/topology.js';
import { asTrainerError, type ErrorCode, type ErrorContext } from '../src/errors.js';

export interface Layout {
  readonly numNodes: number;
  readonly workersPerNode: number;
}

export interface SpawnOptions {
  /** Handed to every rank's function; must survive structured cloning. */
  readonly args?: unknown;
  readonly ringBytes?: number;
  readonly timeoutMs?: number;
  readonly interNodeLink?: LinkSpeed | null;
  readonly runId?: string;
  /** Whether the failure of one rank aborts the others, as in a real run. */
  readonly abortOnFailure?: boolean;
  /** Called once all ranks have started. */
  readonly whileRunning?: (cluster: Cluster) => Promise<void>;
}

/** A running set of processes, for tests that disturb it. */
export interface Cluster {
  readonly agentPids: readonly number[];
  readonly workerPids: readonly number[];
  readonly segmentPaths: readonly string[];
  abort(reason: string): void;
  requestStop(): void;
  /** What each rank is doing, read by its agent. */
  progress(): Promise<WorkerProgress[]>;
}

export interface RankFailure {
  readonly code: ErrorCode;
  readonly line: string;
  readonly message: string;
  readonly context: ErrorContext;
}

export interface RankOutcome<T> {
  readonly rank: number;
  readonly result?: T;
  readonly error?: RankFailure;
  readonly signal: string | null;
}

export interface Outcome<T> {
  readonly ranks: readonly RankOutcome<T>[];
  readonly stats: readonly { readonly framesSent: number; readonly bytesSent: number }[];
  /** Errors that the agents' data planes reported. */
  readonly agentErrors: readonly RankFailure[];
}

/** What an agent process of a test is started with. */
export interface AgentSpec extends Layout {
  readonly node: number;
  readonly runId: string;
  readonly ringBytes: number;
  readonly timeoutMs: number;
  readonly interNodeLink: LinkSpeed | null;
  readonly program: string;
  readonly args: unknown;
}

export type ToAgent =
  | { readonly type: 'spec'; readonly spec: AgentSpec }
  | { readonly type: 'connect'; readonly addresses: readonly string[] }
  | { readonly type: 'abort'; readonly reason: string }
  | { readonly type: 'stop' }
  | { readonly type: 'progress' };

export type FromAgent =
  | { readonly type: 'listening'; readonly address: string; readonly segmentPath: string }
  | { readonly type: 'started'; readonly pids: readonly number[] }
  | { readonly type: 'rank'; readonly outcome: RankOutcome<unknown> }
  | { readonly type: 'error'; readonly error: RankFailure }
  | { readonly type: 'progress'; readonly progress: readonly WorkerProgress[] }
  | { readonly type: 'done'; readonly stats: { readonly framesSent: number; readonly bytesSent: number } };

/** What a worker process of a test is started with. */
export interface RankSpec extends Layout {
  readonly rank: number;
  readonly segmentPath: string;
  readonly timeoutMs: number;
  readonly args: unknown;
}

export type FromRank =
  | { readonly type: 'result'; readonly result: unknown }
  | { readonly type: 'error'; readonly error: RankFailure };

/** The plain-object form of an error, for messages between processes. */
export function failureOf(thrown: unknown): RankFailure {
  const error = asTrainerError(thrown);
  const { code, line, message, context } = error;
  return { code, line: code === 'INTERNAL' ? `${line}\n${error.stack}` : line, message, context };
}

/** Starts TypeScript directly in a process of its own. */
export function forkTypeScript(program: string): ChildProcess {
  return fork(program, { execArgv: ['--import', 'tsx'], serialization: 'advanced' });
}

/** Resolves once a process has ended and all its messages were received; Node tells of the exit before. */
export function endOf(child: ChildProcess): Promise<{ code: number | null; signal: string | null }> {
  const drained = child.connected ? once(child, 'disconnect') : Promise.resolve();
  return new Promise((resolve) => {
    child.once('exit', (code, signal) => void drained.then(() => resolve({ code, signal })));
  });
}

/** The body of a rank program: runs `body` with this rank's transport and reports what it returns or throws. */
export function rankProgram<Args, Result>(
  body: (transport: ShmTransport, args: Args) => Result | Promise<Result>,
): void {
  const report = (message: FromRank) => process.send?.(message, () => process.exit());
  process.once('message', async (spec: RankSpec) => {
    try {
      const transport = new ShmTransport({
        segmentPath: spec.segmentPath,
        generation: 1,
        topology: topologyOf(spec.rank, spec.numNodes, spec.workersPerNode),
        timeoutMs: spec.timeoutMs,
      });
      report({ type: 'result', result: await body(transport, spec.args as Args) });
    } catch (error) {
      report({ type: 'error', error: failureOf(error) });
    }
  });
}

/**
 * Runs `program` (a TypeScript file that calls `rankProgram`) as every rank of a world, with real processes: one
 * agent for each node and its workers, shared memory and gRPC on the loopback. Resolves once all have ended.
 */
export async function spawnRanks<Result>(
  layout: Layout,
  program: URL,
  options: SpawnOptions = {},
): Promise<Outcome<Result>> {
  const run = new TestRun<Result>(layout, options);
  try {
    return await run.execute(fileURLToPath(program));
  } finally {
    run.killAll();
  }
}

class TestRun<Result> {
  private readonly agents: ChildProcess[] = [];
  private readonly ranks: RankOutcome<Result>[] = [];
  private readonly agentErrors: RankFailure[] = [];
  private readonly workerPids: number[] = [];

  constructor(
    private readonly layout: Layout,
    private readonly options: SpawnOptions,
  ) {}

  async execute(program: string): Promise<Outcome<Result>> {
    const agentFile = fileURLToPath(new URL('./test-agent.ts', import.meta.url));
    for (let node = 0; node < this.layout.numNodes; node++) this.agents.push(forkTypeScript(agentFile));
    const ended = this.agents.map((agent, node) => this.follow(agent, node));
    const runId = this.options.runId ?? `test-${process.pid}-${Math.random().toString(36).slice(2)}`;
    const listening = await Promise.all(
      this.agents.map((agent, node) => {
        const answer = next(agent, 'listening');
        agent.send({ type: 'spec', spec: this.specOf(node, runId, program) } satisfies ToAgent);
        return answer;
      }),
    );
    const started = this.agents.map((agent) => next(agent, 'started'));
    this.tell({ type: 'connect', addresses: listening.map(({ address }) => address) });
    this.workerPids.push(...(await Promise.all(started)).flatMap(({ pids }) => pids));
    await this.options.whileRunning?.(this.cluster(listening.map(({ segmentPath }) => segmentPath)));
    const stats = await Promise.all(ended);
    this.ranks.sort((a, b) => a.rank - b.rank);
    return { ranks: this.ranks, stats, agentErrors: this.agentErrors };
  }

  private specOf(node: number, runId: string, program: string): AgentSpec {
    const { ringBytes = 1 << 16, timeoutMs = 10_000, interNodeLink = null, args } = this.options;
    return { ...this.layout, node, runId, ringBytes, timeoutMs, interNodeLink, program, args };
  }

  /** Collects what an agent reports until it is done or gone. */
  private follow(agent: ChildProcess, node: number): Promise<{ framesSent: number; bytesSent: number }> {
    return new Promise((resolve) => {
      agent.on('message', (message: FromAgent) => {
        if (message.type === 'rank') {
          this.ranks.push(message.outcome as RankOutcome<Result>);
          this.spread(message.outcome);
        } else if (message.type === 'error') this.agentErrors.push(message.error);
        else if (message.type === 'done') resolve(message.stats);
      });
      agent.on('exit', (code, signal) => {
        if (code !== 0 && code !== null)
          console.error(`test agent ${node} ended with ${code} ${signal ?? ''}`);
        resolve({ framesSent: 0, bytesSent: 0 });
      });
    });
  }

  private spread({ rank, error, signal }: RankOutcome<unknown>): void {
    if (this.options.abortOnFailure === false) return;
    if (error || signal)
      this.tell({ type: 'abort', reason: `rank ${rank} failed: ${error?.line ?? signal}` });
  }

  private tell(message: ToAgent): void {
    // An agent may end while it is told; its exit is reported on its own.
    for (const agent of this.agents) if (agent.connected) agent.send(message, () => undefined);
  }

  private cluster(segmentPaths: readonly string[]): Cluster {
    return {
      agentPids: this.agents.map(({ pid }) => pid ?? 0),
      workerPids: this.workerPids,
      segmentPaths,
      abort: (reason) => this.tell({ type: 'abort', reason }),
      requestStop: () => this.tell({ type: 'stop' }),
      progress: async () => {
        const answers = this.agents.map((agent) => next(agent, 'progress'));
        this.tell({ type: 'progress' });
        return (await Promise.all(answers)).flatMap(({ progress }) => progress);
      },
    };
  }

  killAll(): void {
    for (const agent of this.agents) if (agent.exitCode === null) agent.kill('SIGKILL');
  }
}

/** The next message of one type; rejects if the agent ends before. */
function next<T extends FromAgent['type']>(
  agent: ChildProcess,
  type: T,
): Promise<Extract<FromAgent, { type: T }>> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number | null) => reject(new Error(`the agent ended (${code}) before '${type}'`));
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
