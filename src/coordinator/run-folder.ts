import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import type { RunConfig } from '../config/schema.js';
import { TrainerError } from '../errors.js';

/** What `run.json` says: enough for other commands to find a live run, or to tell that it is over. */
export interface RunRecord {
  readonly runId: string;
  readonly generation: number;
  /** Where the coordinator listens, host:port. */
  readonly address: string;
  readonly pid: number;
  readonly state: string;
  readonly startedAt: string;
  readonly datasetDir: string;
}

/**
 * A run's folder: `run.json`, `config.json`, `metrics.ndjson`, `summary.json`, `logs/`, `checkpoints/`.
 */
export class RunFolder {
  readonly logs: string;
  readonly checkpoints: string;
  readonly metrics: string;

  constructor(readonly directory: string) {
    this.logs = path.join(directory, 'logs');
    this.checkpoints = path.join(directory, 'checkpoints');
    this.metrics = path.join(directory, 'metrics.ndjson');
  }

  /** Makes the folder of a new run, named after the recipe and the time. */
  static create(runsDir: string, name: string, now = new Date()): RunFolder {
    const stamp = now.toISOString().replace(/[-:]/g, '').replace('T', '-').slice(0, 15);
    mkdirSync(runsDir, { recursive: true });
    for (let attempt = 0; ; attempt++) {
      const directory = path.resolve(runsDir, `${name}-${stamp}${attempt === 0 ? '' : `-${attempt}`}`);
      try {
        mkdirSync(directory);
        return new RunFolder(directory);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      }
    }
  }

  get runId(): string {
    return path.basename(this.directory);
  }

  writeRecord(record: RunRecord): void {
    this.#writeJson('run.json', record);
  }

  readRecord(): RunRecord | null {
    const file = path.join(this.directory, 'run.json');
    return existsSync(file) ? JSON.parse(readFileSync(file, 'utf8')) : null;
  }

  writeConfig(config: RunConfig): void {
    this.#writeJson('config.json', config);
  }

  writeSummary(summary: object): void {
    this.#writeJson('summary.json', summary);
  }

  /** Appends one JSON object to the metrics. */
  appendMetrics(record: object): void {
    appendFileSync(this.metrics, `${JSON.stringify(record)}\n`);
  }

  /** Takes back what was recorded after `step`: a run that is resumed there does those steps again. */
  dropMetricsAfter(step: number): void {
    if (!existsSync(this.metrics)) return;
    const kept = readFileSync(this.metrics, 'utf8')
      .split('\n')
      .filter((line) => line !== '' && JSON.parse(line).step <= step);
    writeFileSync(`${this.metrics}.tmp`, kept.map((line) => `${line}\n`).join(''));
    renameSync(`${this.metrics}.tmp`, this.metrics);
  }

  #writeJson(name: string, value: object): void {
    const file = path.join(this.directory, name);
    writeFileSync(`${file}.tmp`, `${JSON.stringify(value, null, 2)}\n`);
    renameSync(`${file}.tmp`, file);
  }
}

/** True if the run's coordinator is still alive. */
export function isLive(record: RunRecord): boolean {
  if (record.state === 'finished' || record.state === 'failed') return false;
  try {
    process.kill(record.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

/** All runs under `runsDir`, newest first. */
export function listRuns(runsDir: string): { folder: RunFolder; record: RunRecord }[] {
  if (!existsSync(runsDir)) return [];
  return readdirSync(runsDir)
    .map((name) => new RunFolder(path.resolve(runsDir, name)))
    .flatMap((folder) => {
      const record = folder.readRecord();
      return record === null ? [] : [{ folder, record }];
    })
    .sort((a, b) => b.record.startedAt.localeCompare(a.record.startedAt));
}

/**
 * The run a command speaks of: the named folder, or the newest.
 *
 * @throws TrainerError `BAD_INPUT` if there is none
 */
export function findRun(runsDir: string, named?: string): { folder: RunFolder; record: RunRecord } {
  if (named === undefined) {
    const [newest] = listRuns(runsDir);
    if (newest !== undefined) return newest;
    throw new TrainerError(
      'BAD_INPUT',
      `${runsDir}: no run here yet; start one with: locmoe train --config tiny`,
    );
  }
  const directory = existsSync(named) ? named : path.join(runsDir, named);
  const folder = new RunFolder(path.resolve(directory));
  const record = folder.readRecord();
  if (record === null)
    throw new TrainerError('BAD_INPUT', `--run ${named}: no run.json in ${folder.directory}`);
  return { folder, record };
}
