import { mkdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { listRuns, MetricsReader, type MetricsRecord, type RunFolder } from '@locmoe/run-format';
import { freePort } from '@locmoe/test-kit';
import { TrainerError } from 'locmoe/internal/errors';
import { type Leader, LocmoeProcess } from '../training.js';

/** Time for the nodes to exit after their coordinator. */
const LEAVE_MS = 15_000;

/** `locmoe serve`, restarted whenever it is killed, and its nodes. */
class SupervisedCluster implements Leader {
  readonly #start: () => LocmoeProcess;
  readonly #startNode: () => LocmoeProcess;
  readonly #nodes: LocmoeProcess[];
  #coordinator: LocmoeProcess;
  #isEnding = false;
  isAlive = true;
  readonly exited: Promise<number | null>;

  /** @param training options of the training @param output file that receives the output of all processes */
  static async start(
    training: readonly string[],
    numNodes: number,
    output: string,
  ): Promise<SupervisedCluster> {
    const address = `127.0.0.1:${await freePort()}`;
    const start = () =>
      new LocmoeProcess(['serve', ...training, '--listen', address, '--resume-or-start'], output);
    // A node that is added waits while the run does without it.
    const node = ['node', '--coordinator', address, '--quiet', '--allow-faults', '--forever'];
    return new SupervisedCluster(start, () => new LocmoeProcess(node, output), numNodes);
  }

  private constructor(start: () => LocmoeProcess, startNode: () => LocmoeProcess, numNodes: number) {
    this.#start = start;
    this.#startNode = startNode;
    this.#nodes = Array.from({ length: numNodes }, startNode);
    this.#coordinator = start();
    this.exited = this.#supervise();
  }

  async #supervise(): Promise<number | null> {
    let code = await this.#coordinator.exited;
    while (code === null && !this.#isEnding) {
      this.#coordinator = this.#start();
      code = await this.#coordinator.exited;
    }
    const end = (signal: NodeJS.Signals) => {
      for (const node of this.#nodes) node.kill(signal);
    };
    end('SIGTERM');
    const timer = setTimeout(() => end('SIGKILL'), LEAVE_MS);
    await Promise.all(this.#nodes.map(({ exited }) => exited));
    clearTimeout(timer);
    this.isAlive = false;
    return code;
  }

  addNode(): void {
    this.#nodes.push(this.#startNode());
  }

  kill(signal: NodeJS.Signals): void {
    this.#isEnding = true;
    this.#coordinator.kill(signal);
  }
}

/** A step that was done, even if a failure has undone it since. */
export interface SeenStep {
  readonly step: number;
  /** Wall clock, ms since 1970. */
  readonly time: number;
}

export interface TrainingArguments {
  readonly config: string;
  readonly sets: readonly string[];
  /** Receives the run's folder and the command's output. */
  readonly folder: string;
  readonly dataDir: string;
  readonly more?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Ends every wait for the training. */
  readonly signal: AbortSignal;
}

const START_MS = 120_000;
const END_MS = 60_000;
const POLL_MS = 20;

/** A training in separate processes, whose folder is followed while it runs. */
export class TrainingProcess {
  readonly #leader: Leader;
  readonly #reader: MetricsReader;
  /** Records in order of time. */
  readonly steps: SeenStep[] = [];

  /**
   * Starts `locmoe train`. Resolves once it trains.
   *
   * @throws TrainerError `INTERNAL` if it ends before or does not start to train; the reason of its signal
   */
  static start(training: TrainingArguments): Promise<TrainingProcess> {
    const leader = new LocmoeProcess(['train', ...optionsOf(training)], outputOf(training), training.env);
    return TrainingProcess.#follow(leader, training);
  }

  /** Starts `locmoe serve` under a supervisor, with its nodes; otherwise like `start`. */
  static async startSupervised(training: TrainingArguments, numNodes: number): Promise<TrainingProcess> {
    const leader = await SupervisedCluster.start(optionsOf(training), numNodes, outputOf(training));
    return TrainingProcess.#follow(leader, training);
  }

  static async #follow(leader: Leader, training: TrainingArguments): Promise<TrainingProcess> {
    const { signal } = training;
    const deadline = performance.now() + START_MS;
    while (leader.isAlive && performance.now() < deadline && !signal.aborted) {
      const [found] = listRuns(training.folder);
      if (found?.record.state === 'running') return new TrainingProcess(leader, found.folder, signal);
      await sleep(POLL_MS);
    }
    await endOf(leader);
    signal.throwIfAborted();
    throw new TrainerError('INTERNAL', `a training does not begin: see ${outputOf(training)}`);
  }

  private constructor(
    leader: Leader,
    readonly folder: RunFolder,
    readonly signal: AbortSignal,
  ) {
    this.#leader = leader;
    this.#reader = new MetricsReader(folder.metrics, {
      // Earlier records are reported again, with the same times.
      begin: () => 0,
      add: (record) => this.#add(record),
    });
  }

  #add(record: MetricsRecord): void {
    if (record.type === 'step' && record.time > (this.steps.at(-1)?.time ?? 0)) this.steps.push(record);
  }

  /** Starts another node for a training that was started by `startSupervised`. */
  addNode(): void {
    if (this.#leader instanceof SupervisedCluster) this.#leader.addNode();
  }

  async look(): Promise<void> {
    await this.#reader.update();
  }

  /**
   * Waits until `find` returns something.
   *
   * @throws TrainerError `INTERNAL` if the training ends before, or after `timeoutMs`; the reason of its
   *   signal
   */
  async until<T>(what: string, timeoutMs: number, find: () => T | undefined): Promise<T> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      this.signal.throwIfAborted();
      await this.look();
      const found = find();
      if (found !== undefined) return found;
      if (!this.#leader.isAlive || performance.now() > deadline)
        throw new TrainerError(
          'INTERNAL',
          `run ${this.folder.directory} ${this.#leader.isAlive ? 'goes on' : 'ended'} without ${what}`,
        );
      await sleep(POLL_MS);
    }
  }

  /**
   * Requests a final checkpoint and the end, and forces the end if necessary.
   *
   * @returns its exit code; null if it had to be killed
   */
  async stop(): Promise<number | null> {
    const code = await endOf(this.#leader);
    await this.look();
    return code;
  }
}

/** Requests the end, and forces it if necessary. */
async function endOf(leader: Leader): Promise<number | null> {
  if (leader.isAlive) leader.kill('SIGINT');
  const timer = setTimeout(() => leader.kill('SIGKILL'), END_MS);
  const code = await leader.exited;
  clearTimeout(timer);
  return code;
}

function outputOf({ folder }: TrainingArguments): string {
  mkdirSync(folder, { recursive: true });
  return path.join(folder, 'output.txt');
}

function optionsOf({ config, sets, folder, dataDir, more = [] }: TrainingArguments): string[] {
  const places = ['--config', config, '--runs-dir', folder, '--data-dir', dataDir];
  return [...places, '--no-samples', '--no-http', ...sets.flatMap((set) => ['--set', set]), ...more];
}
