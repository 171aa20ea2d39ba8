import { existsSync, readdirSync, renameSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isDiskFull } from '@locmoe/logs/append-file';
import { z } from 'zod';
import type { DeepReadonly } from './deep-readonly.js';
import { TrainerError, unsupported } from './errors.js';
import { type FailureReport, failureSchema, type PastFailure, pastFailureSchema } from './failure-report.js';
import { isOfThisMachine, processIdentity } from './process-identity.js';
import { readRegularFile } from './regular-file.js';

/**
 * The version of the JSON files in a run's folder: `run.json`, which contains it, `config.json`,
 * `metrics.ndjson`, `journal.ndjson` and `failure.json`. Flight files, traces and manifests may be copied
 * separately, so each has a version of its own.
 */
const RUN_VERSION = 1;
/** Runs of 0.1.0 contain no version. */
const headSchema = z.looseObject({ formatVersion: z.int().default(1), version: z.string().optional() });

/** Schema of `run.json`: enough for other commands to find a live run, or to see that it is over. */
const recordSchema = z.object({
  runId: z.string(),
  generation: z.number().int(),
  /** Address of the coordinator for others, host:port. */
  address: z.string(),
  /** Address of the coordinator for commands on its own machine. */
  localAddress: z.string().optional(),
  /** Address of the HTTP server, host:port. */
  http: z.string().optional(),
  /** Whether calls need the run's certificates or token. */
  isSecured: z.boolean().default(false),
  /** The machine on which `pid` is valid (`machineIdentity`). */
  machine: z.string().optional(),
  pid: z.number().int(),
  /** Distinguishes the coordinator's process from a later one with the same pid (`processIdentity`). */
  process: z.string(),
  state: z.string(),
  /** Who ended the run early, such as `SIGINT` or `locmoe stop`. */
  stopped: z.string().optional(),
  /** Whether the run is over but its process still serves it over HTTP. */
  lingers: z.boolean().optional(),
  /** When the run's first generation began. */
  startedAt: z.string(),
  /** When the current or last coordinator process began. */
  ledSince: z.string().optional(),
  /** Version of the program of that coordinator process. */
  version: z.string().optional(),
  /** The command that resumes from the last checkpoint if that process is lost. */
  resumeCommand: z.string().optional(),
  datasetDir: z.string(),
  /** Run and step of the checkpoint that the run began with; null if it began without a checkpoint. */
  forkedFrom: z.object({ runId: z.string(), step: z.number().int() }).nullable().default(null),
  /** Run and step of the checkpoint of which the run took only the weights. */
  initFrom: z
    .object({
      runId: z.string(),
      step: z.number().int(),
      /** How the run's model was grown from that of `initFrom` (`--inherit`); omitted if both are the same model. */
      inheritance: z.object({ noise: z.number(), seed: z.number() }).optional(),
    })
    .nullable()
    .default(null),
});
export type RunRecord = DeepReadonly<z.output<typeof recordSchema>>;

/**
 * A run's folder: `run.json`, `run.lock` (run-lock.ts), `token` (run-token.ts), `journal.ndjson`
 * (journal.ts), `config.json`, `metrics.ndjson`, `metrics-index/`, `summary.json`, `logs/`, `checkpoints/`,
 * `trace/`, `routes/` and `probe/` (routes-file.ts); after a failure `flight/`, `failure.json` if the last generation
 * failed, and `failure-<generation>.json` for earlier generations.
 */
export class RunFolder {
  readonly logs: string;
  readonly checkpoints: string;
  readonly metrics: string;
  /** The page's index of the metrics, kept beside them. */
  readonly metricsIndex: string;
  readonly flight: string;
  readonly trace: string;
  readonly routes: string;
  /** Routes of the same text at some steps, in the form of `routes`. */
  readonly probe: string;
  readonly lock: string;
  readonly token: string;
  readonly journal: string;

  constructor(readonly directory: string) {
    this.logs = path.join(directory, 'logs');
    this.checkpoints = path.join(directory, 'checkpoints');
    this.metrics = path.join(directory, 'metrics.ndjson');
    this.metricsIndex = path.join(directory, 'metrics-index');
    this.flight = path.join(directory, 'flight');
    this.trace = path.join(directory, 'trace');
    this.routes = path.join(directory, 'routes');
    this.probe = path.join(directory, 'probe');
    this.lock = path.join(directory, 'run.lock');
    this.token = path.join(directory, 'token');
    this.journal = path.join(directory, 'journal.ndjson');
  }

  get runId(): string {
    return path.basename(this.directory);
  }

  writeRecord(record: RunRecord): void {
    this.#writeJson('run.json', { formatVersion: RUN_VERSION, ...record });
  }

  /**
   * Returns null if the folder has no valid `run.json`.
   *
   * @throws TrainerError `BAD_INPUT` if it is of a later format version
   */
  readRecord(): RunRecord | null {
    const file = this.#file('run.json');
    const head = readJson(file, headSchema);
    if (head !== null && head.formatVersion > RUN_VERSION)
      throw unsupported(file, head.formatVersion, RUN_VERSION, head.version);
    return recordSchema.safeParse(head).data ?? null;
  }

  writeConfig(config: object): void {
    this.#writeJson('config.json', config);
  }

  /**
   * Reads the configuration with which the run trained last; null if there is no readable one.
   *
   * @param schema the trainer's schema, or one with the fields that a reader needs
   */
  readConfig<Config>(schema: z.ZodType<Config>): Config | null {
    return readJson(this.#file('config.json'), schema);
  }

  writeSummary(summary: object): void {
    this.#writeJson('summary.json', summary);
  }

  /** Reads the part of `summary.json` that other commands show; null if the run has not ended by itself. */
  readSummary(): { readonly seconds: number } | null {
    return readJson(this.#file('summary.json'), z.object({ seconds: z.number() }));
  }

  writeFailure(report: FailureReport): void {
    if (readJson(this.#file('failure.json'), pastFailureSchema)?.generation !== report.generation)
      this.archiveFailure();
    this.#writeJson('failure.json', report);
  }

  /**
   * Renames the failure report of an earlier generation after its number, as the next generation may end
   * differently.
   */
  archiveFailure(): void {
    const file = this.#file('failure.json');
    const failure = readJson(file, pastFailureSchema);
    if (failure !== null) renameSync(file, this.#file(`failure-${failure.generation}.json`));
  }

  /** Reads why the last generation failed; null if there is no readable file. */
  readFailure(): FailureReport | null {
    return readJson(this.#file('failure.json'), failureSchema);
  }

  /** Reads the failures of all generations, newest first. */
  failures(): PastFailure[] {
    if (!existsSync(this.directory)) return [];
    return readdirSync(this.directory)
      .filter((name) => /^failure(-\d+)?\.json$/.test(name))
      .flatMap((name) => readJson(this.#file(name), pastFailureSchema) ?? [])
      .sort((a, b) => b.generation - a.generation);
  }

  #file(name: string): string {
    return path.join(this.directory, name);
  }

  #writeJson(name: string, value: object): void {
    const file = this.#file(name);
    const text = `${JSON.stringify(value, null, 2)}\n`;
    try {
      writeFileSync(`${file}.tmp`, text);
      renameSync(`${file}.tmp`, file);
    } catch (error) {
      rmSync(`${file}.tmp`, { force: true });
      if (!isDiskFull(error) || !existsSync(file)) throw error;
      // The disk has no room for a new file, but the old file's block can be overwritten.
      writeFileSync(file, text, { flag: 'r+' });
      truncateSync(file, Buffer.byteLength(text));
    }
  }
}

/** Returns null if the file does not exist or does not match the schema. */
function readJson<T>(file: string, schema: z.ZodType<T>): T | null {
  try {
    return schema.parse(JSON.parse(readRegularFile(file).toString()));
  } catch {
    return null;
  }
}

function namesIn(runsDir: string): string[] {
  try {
    return readdirSync(runsDir);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const problem = code === 'ENOTDIR' ? `${path.resolve(runsDir)} is not a folder` : message;
    throw new TrainerError('NO_RESOURCE', `--runs-dir ${runsDir}: ${problem}`);
  }
}

/**
 * Returns the run with the given id, which must be the name of a folder in `runsDir`; null if there is none.
 *
 * @throws TrainerError as `readRecord`
 */
export function runOf(runsDir: string, runId: string): { folder: RunFolder; record: RunRecord } | null {
  if (!existsSync(runsDir) || !namesIn(runsDir).includes(runId)) return null;
  const folder = new RunFolder(path.resolve(runsDir, runId));
  const record = folder.readRecord();
  return record === null ? null : { folder, record };
}

/**
 * Returns all runs under `runsDir` that this version can read, ordered by the last start or resumption, newest first.
 */
export function listRuns(runsDir: string): { folder: RunFolder; record: RunRecord }[] {
  if (!existsSync(runsDir)) return [];
  return namesIn(runsDir)
    .filter((name) => !name.startsWith('.'))
    .map((name) => new RunFolder(path.resolve(runsDir, name)))
    .flatMap((folder) => {
      try {
        const record = folder.readRecord();
        return record === null ? [] : [{ folder, record }];
      } catch {
        return [];
      }
    })
    .sort((a, b) => lastStartOf(b.record).localeCompare(lastStartOf(a.record)));
}

/** Whether the coordinator of a run may be alive; one on another machine is while the record says so. */
export function mayBeLive({ state, pid, process, machine }: RunRecord): boolean {
  if (state === 'finished' || state === 'failed') return false;
  return !isOfThisMachine({ machine }) || processIdentity(pid) === process;
}

function lastStartOf({ ledSince, startedAt }: RunRecord): string {
  return ledSince ?? startedAt;
}

/** Whether access to a folder is denied, so that a run in it cannot be read. */
function isForeign(directory: string): boolean {
  try {
    statSync(path.join(directory, 'run.json'));
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EACCES';
  }
}

function ofAnotherUser(runId: string, directory: string): TrainerError {
  return new TrainerError('BAD_INPUT', `run ${runId} belongs to another user: ${directory} cannot be read`);
}

/** Returns the folder of the run in `runsDir` with this name; `named`, a path, if there is none. */
export function placeNamed(named: string, runsDir: string): string {
  const run = path.join(runsDir, named);
  return !named.includes(path.sep) && existsSync(path.join(run, 'run.json')) ? run : named;
}

/**
 * Returns the run that a command refers to: the named folder or id, otherwise the newest run.
 *
 * @throws TrainerError `BAD_INPUT` if there is none, or it is of a later format version
 */
export function findRun(runsDir: string, named?: string): { folder: RunFolder; record: RunRecord } {
  if (named === undefined) {
    const [newest] = listRuns(runsDir);
    if (newest !== undefined) return newest;
    const names = existsSync(runsDir) ? namesIn(runsDir) : [];
    for (const name of names) new RunFolder(path.resolve(runsDir, name)).readRecord();
    const foreign = names.find((name) => isForeign(path.join(runsDir, name)));
    if (foreign !== undefined) throw ofAnotherUser(foreign, path.resolve(runsDir, foreign));
    throw new TrainerError('BAD_INPUT', `${runsDir}: no run here yet; the command train starts one`);
  }
  const place = placeNamed(named, runsDir);
  const directory = existsSync(place) ? place : path.resolve(runsDir, named);
  if (isForeign(directory)) throw ofAnotherUser(path.basename(directory), path.resolve(directory));
  if (named.includes(path.sep) && !existsSync(directory))
    throw new TrainerError('BAD_INPUT', `${named} does not exist; give the name or the folder of a run`);
  const folder = new RunFolder(path.resolve(directory));
  const record = folder.readRecord();
  if (record === null)
    throw new TrainerError(
      'BAD_INPUT',
      `run ${named}: ${folder.directory} holds no readable run.json; give the name or the folder of a run`,
    );
  return { folder, record };
}
