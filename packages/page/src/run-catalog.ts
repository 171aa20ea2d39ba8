import {
  type FailureReport,
  generationsOf,
  listRuns,
  mayBeLive,
  type RunFolder,
  type RunGeneration,
  type RunRecord,
  readJournal,
  restartCostsOf,
  runOf,
} from '@locmoe/run-format';
import { machineIdentity } from '@locmoe/run-format/process-identity';
import type { LiveRun } from 'locmoe/internal/cli/packages';
import { runSchema } from 'locmoe/internal/config/schema';
import { TrainerError } from 'locmoe/internal/errors';
import { modelOutline } from 'locmoe/internal/model/describe';
import { fromHere, locmoeCommand, recordedCommand } from 'locmoe/internal/os/command-line';
import type { CheckpointCheck, CheckpointsReply, RunCommands, RunDetail, RunListItem } from './api-types.js';
import { Checkpoints, foldersIn } from './checkpoints.js';
import { MetricsTable } from './metrics-table.js';
import { type KnownConfig, type ListedRun, RunItems, readJson } from './run-item.js';

/** Size of the LRU cache of metrics. */
const MAX_OPEN_RUNS = 8;
/** Interval at which the index of a live run is updated. */
const KEEP_UP_MS = 10_000;

/** The requested run, checkpoint or step does not exist. */
export class NotFound extends Error {}

/** A number in the address is invalid. */
export class BadRequest extends Error {}

/** @throws NotFound with the message */
export function notFound(message: string): never {
  throw new NotFound(message);
}

/**
 * The runs of a folder; methods throw `NotFound` if there is no such run. Ids are looked up in the listing
 * and never joined to a path.
 */
export class RunCatalog {
  readonly #metrics = new Map<string, MetricsTable>();
  readonly #items = new RunItems();
  readonly #checkpoints = new Checkpoints();
  readonly #outlines = new Map<string, string | null>();
  /** The run that this process coordinates, in memory. */
  #live: (LiveRun & { readonly runId: string }) | null = null;
  /** Metrics of the run that this process coordinates. */
  #followed: MetricsTable | null = null;

  constructor(private readonly runsDir: string) {}

  list(): RunListItem[] {
    return listRuns(this.runsDir).map((run) => ({
      ...this.#items.of(run),
      ...this.#unrecorded(run.folder.runId),
    }));
  }

  run(runId: string): ListedRun {
    return runOf(this.runsDir, runId) ?? notFound(`no run ${runId}`);
  }

  detail(runId: string): RunDetail {
    const run = this.run(runId);
    const { folder, record } = run;
    const item = this.#items.of(run);
    const failure = item.state === 'finished' || item.isLive ? null : folder.readFailure();
    const generations = generationsOf(readJournal(folder.journal));
    const config = readJson<KnownConfig>(folder, 'config.json');
    return {
      ...item,
      ...this.#unrecorded(runId),
      ...restartCostsOf(generations),
      restartsLeft: item.isLive ? restartsLeft(config, generations) : null,
      generations,
      directory: folder.directory,
      version: record.version ?? null,
      host: record.machine?.split('/')[0] ?? null,
      isServedByCoordinator: isLedHere(record),
      commands: commandsOf(run, failure),
      config,
      outline: this.#outlineOf(runId, config),
      summary: readJson(folder, 'summary.json'),
      failure,
    };
  }

  #outlineOf(runId: string, config: KnownConfig | null): string | null {
    let text = this.#outlines.get(runId);
    if (text === undefined) {
      const { data } = runSchema.safeParse(config);
      try {
        text = data === undefined ? null : modelOutline(data);
      } catch (error) {
        if (!(error instanceof TrainerError)) throw error;
        text = null;
      }
      this.#outlines.set(runId, text);
    }
    return text;
  }

  /** While the disk is full, returns the step and loss that are missing in the run's files. */
  #unrecorded(
    runId: string,
  ): Pick<RunListItem, 'notRecordingSince'> & Partial<Pick<RunListItem, 'step' | 'loss'>> {
    const since = this.#live?.runId === runId ? this.#live.disk.notRecordingSince : null;
    if (this.#live === null || since === null) return { notRecordingSince: null };
    const { lastStep: step, lastLoss: loss } = this.#live.totals;
    return { notRecordingSince: since, step, loss };
  }

  metrics(runId: string): MetricsTable {
    return this.#metricsOf(this.run(runId));
  }

  #metricsOf(run: ListedRun): MetricsTable {
    const { runId } = run.folder;
    const open = this.#metrics.get(runId) ?? this.#open(run);
    // The most recently used entry is last.
    this.#metrics.delete(runId);
    this.#metrics.set(runId, open);
    for (const [oldest, table] of this.#metrics) {
      if (this.#metrics.size <= MAX_OPEN_RUNS) break;
      if (table !== this.#followed) this.#metrics.delete(oldest);
    }
    return open;
  }

  /** Maintains the index of a run that this process coordinates; the run's folder need not exist yet. */
  follow(runId: string, live: LiveRun): { step(): void } {
    this.#live = { runId, ...live };
    let keptUpAt = Number.NEGATIVE_INFINITY;
    return {
      step: () => {
        if (performance.now() - keptUpAt < KEEP_UP_MS) return;
        keptUpAt = performance.now();
        // The run is looked up only once, so that removing its folder does not end it here.
        const run = this.#followed === null ? runOf(this.runsDir, runId) : null;
        this.#followed ??= run && this.#metricsOf(run);
        this.#followed?.keepUp().catch(() => undefined);
      },
    };
  }

  /** Adds what is missing to the index of the run that this process coordinated. */
  async saveIndex(): Promise<void> {
    await this.#followed?.keepUp().catch(() => undefined);
  }

  #open(run: ListedRun): MetricsTable {
    const { metrics, metricsIndex } = run.folder;
    return new MetricsTable({
      path: metrics,
      indexDirectory: metricsIndex,
      startedAt: Date.parse(this.#items.of(run).startedAt),
      keepsIndex: () => {
        const record = run.folder.readRecord();
        const isOver = record === null || !mayBeLive(record);
        return { isOver, isMine: isOver || isLedHere(record) };
      },
    });
  }

  checkpoints(runId: string): CheckpointsReply {
    return this.#checkpoints.list(this.folderOf(runId).checkpoints);
  }

  /** Checks all files of a checkpoint. */
  async checkCheckpoint(runId: string, name: string): Promise<CheckpointCheck> {
    const check = await this.#checkpoints.check(this.folderOf(runId).checkpoints, name);
    return check ?? notFound(`run ${runId} has no checkpoint ${name}`);
  }

  folderOf(runId: string): RunFolder {
    return this.run(runId).folder;
  }
}

/** Whether this process coordinates, or coordinated, the run. */
function isLedHere(record: RunRecord): boolean {
  return record.pid === process.pid && record.machine === machineIdentity();
}

function commandsOf({ folder, record }: ListedRun, failure: FailureReport | null): RunCommands {
  const place = fromHere(folder.directory);
  const isSaved = foldersIn(folder.checkpoints).length > 0;
  const asRecorded = (command: string | null | undefined) =>
    recordedCommand(command ?? '') ?? locmoeCommand(['train', '--resume', place]);
  return {
    inspect: locmoeCommand(['inspect', '--run', place]),
    resume: isSaved ? asRecorded(failure?.resumeCommand ?? record.resumeCommand) : null,
    flight: locmoeCommand(['flight', place]),
  };
}

/** Counts restarts by the wall clock, as a reader sees them; the coordinator's own count is authoritative. */
function restartsLeft(config: KnownConfig | null, generations: readonly RunGeneration[]): number | null {
  if (config?.cluster?.maxRestarts === undefined) return null;
  const { maxRestarts, restartWindow } = config.cluster;
  const since = Date.now() - 1000 * restartWindow;
  const recent = generations.filter(
    ({ end, failure }) => end === 'restarted' && failure !== null && failure.time > since,
  );
  return maxRestarts - recent.length;
}
