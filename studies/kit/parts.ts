import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { RunFolder } from '@locmoe/run-format';
import { EXIT, TrainerError } from 'locmoe/internal/errors';
import { formatDuration } from 'locmoe/internal/format';
import { type MeasuredPart, measureParts } from '../../packages/bench/src/measure-parts.js';
import { mean } from '../../packages/bench/src/statistics.js';
import { runTraining, type TrainingOptions } from '../../packages/bench/src/training.js';
import type { Place } from './study.js';

/** A step of a study whose result is kept. */
export interface Part {
  readonly name: string;
  /**
   * Kind of the part, such as "trained", printed when the part is done. Parts of a kind take about equally
   * long.
   */
  readonly kind: string;
  /** Everything that the result depends on: with another key, the part is done again. */
  readonly key: unknown;
  /** The parts that need the files of this one, in the folder that its result names as `checkpoint`. */
  readonly usedBy?: readonly Part[];
}

export interface TrainingPart extends Part, Pick<TrainingOptions, 'config' | 'sets'> {}

/** Folders of a study: one for its own files, one for prepared datasets. */
interface Folders {
  readonly workDir: string;
  readonly dataDir: string;
}

interface Kept<Result> {
  readonly seconds: number;
  readonly result: Result;
}

/** The parts of a study, each of which is done once: a second call continues where the first was stopped. */
export class Parts {
  readonly #store: ResultStore;
  readonly #folders: Folders;
  readonly #all: readonly Part[];
  readonly #missing: Set<Part>;
  readonly #seconds = new Map<string, number[]>();

  /** Prints how many parts are missing, and how long they will take. */
  constructor(folders: Folders, parts: readonly Part[]) {
    this.#store = new ResultStore(path.join(folders.workDir, 'results'));
    this.#folders = folders;
    this.#all = parts;
    this.#missing = new Set(parts);
    for (const part of parts) {
      const kept = this.#kept(part);
      if (kept !== null) this.#isDone(part, kept);
    }
    if (parts.length === 0) return;
    const left = this.#secondsLeft();
    const rest = left === null ? 'how long that takes is known later' : `about ${formatDuration(left)} left`;
    console.log(
      `${parts.length} parts, ${parts.length - this.#missing.size} of them kept from before; ${rest}`,
    );
  }

  /** The kept result of any part, even if it is not among these parts; null if there is none. */
  find<Result extends object>(part: Part): Result | null {
    return this.#kept<Result>(part)?.result ?? null;
  }

  /** Returns the kept result, or runs the part and keeps its result. */
  async do<Result extends object>(part: Part, run: () => Promise<Result>): Promise<Result> {
    const kept = this.#kept<Result>(part);
    if (kept !== null) return kept.result;
    const started = performance.now();
    const result = await run();
    const seconds = (performance.now() - started) / 1000;
    this.#isDone(part, this.#store.put(part.name, part.key, { seconds, result }));
    const left = this.#secondsLeft();
    const what = part.kind === part.name ? part.name : `${part.name}: ${part.kind}`;
    console.log(
      `[${this.#all.length - this.#missing.size}/${this.#all.length}] ${what} in ${formatDuration(seconds)}` +
        `${left === null ? '' : `, about ${formatDuration(left)} left`}`,
    );
    return result;
  }

  /**
   * Trains in a folder of the part's name.
   *
   * @param resultOf returns what is kept of the run
   * @param more further arguments of `locmoe train`
   * @throws TrainerError as `runTraining`
   */
  train<Result extends object>(
    part: TrainingPart,
    resultOf: (run: RunFolder) => Result,
    more: readonly string[] = [],
  ): Promise<Result> {
    const { workDir, dataDir } = this.#folders;
    const folder = path.join(workDir, 'runs', part.name);
    return this.do(part, async () => resultOf(await runTraining({ ...part, more, folder, dataDir })));
  }

  /** Mean seconds that parts of this kind took; NaN if none is done. */
  meanSeconds(kind: string): number {
    return mean(this.#seconds.get(kind) ?? []);
  }

  #isDone(part: Part, { seconds }: Kept<unknown>): void {
    this.#missing.delete(part);
    this.#seconds.set(part.kind, [...(this.#seconds.get(part.kind) ?? []), seconds]);
  }

  /** A training whose checkpoint is gone is repeated if another part needs the checkpoint. */
  #kept<Result extends object>({ name, key, usedBy = [] }: Part): Kept<Result> | null {
    const kept = this.#store.get<Kept<Result>>(name, key);
    if (kept === null) return null;
    const isWhole =
      !('checkpoint' in kept.result) ||
      existsSync(String(kept.result.checkpoint)) ||
      usedBy.every((user) => this.#kept(user) !== null);
    return isWhole ? kept : null;
  }

  /** Null until a part of each missing kind has been done. */
  #secondsLeft(): number | null {
    const left = [...this.#missing].reduce((sum, { kind }) => sum + this.meanSeconds(kind), 0);
    return Number.isNaN(left) ? null : left;
  }
}

interface Stored {
  /** Digest of everything that the value depends on. */
  readonly key: string;
  readonly value: unknown;
}

/**
 * Finished parts of a study, one JSON file each, so that a study that was stopped can continue. A part is
 * reused only for the same key: after a change of the recipe it is done again.
 */
export class ResultStore {
  constructor(readonly directory: string) {}

  /** The stored value; null if there is none or its key differs. */
  get<T>(name: string, key: unknown): T | null {
    const file = this.#file(name);
    if (!existsSync(file)) return null;
    const kept = readKept(file);
    return kept.key === digestOf(key) ? (kept.value as T) : null;
  }

  /** Stores a value atomically, even if the process is killed. */
  put<T>(name: string, key: unknown, value: T): T {
    mkdirSync(this.directory, { recursive: true });
    const file = this.#file(name);
    writeFileSync(`${file}.tmp`, `${JSON.stringify({ key: digestOf(key), value })}\n`);
    renameSync(`${file}.tmp`, file);
    return value;
  }

  #file(name: string): string {
    return path.join(this.directory, `${name}.json`);
  }
}

/** @throws TrainerError `BAD_INPUT` if the file is damaged */
function readKept(file: string): Stored {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    throw new TrainerError('BAD_INPUT', `${file}: no JSON; delete it, and its run is made again`);
  }
}

/** Returns the digest by which a stored part is recognized. */
function digestOf(key: unknown): string {
  return createHash('sha256').update(JSON.stringify(key)).digest('hex');
}

/** Arguments of a part that measures its figures. */
export interface PartPlace extends MeasuredPart {
  readonly quick: boolean;
  readonly dataDir: string;
}

/**
 * Measures some figures of a study.
 *
 * @throws if it fails: these figures then stay as they were
 */
export type MeasurePart<Result> = (place: PartPlace) => Promise<Result>;

type StudyPlace = Pick<
  Place<{ readonly only: readonly string[] }, unknown>,
  'options' | 'quick' | 'workDir' | 'out' | 'dataDir' | 'fail'
>;

/**
 * Measures the parts one after the other; if one fails or is interrupted, the others keep their results. The
 * study fails if one of them does. Without `--only`, a call continues after the parts that an earlier one has
 * finished.
 *
 * @param parts functions that load each part when its turn comes
 * @param add adds the result of a part to the report
 * @throws TrainerError `BAD_INPUT` for an unknown part; `INTERRUPTED`
 */
export async function measureEach<Result extends object>(
  { options: { only }, quick, fail, ...place }: StudyPlace,
  parts: Readonly<Record<string, () => Promise<MeasurePart<Result>>>>,
  add: (name: string, result: Result) => Promise<void>,
): Promise<void> {
  const named = new Map(
    Object.keys(parts).map((name): [string, Part] => [name, { name, kind: name, key: { quick } }]),
  );
  const kept = only.length === 0 ? new Parts(place, [...named.values()]) : null;
  const code = await measureParts({
    ...place,
    parts,
    only,
    measure: async (name, measure, at) => {
      const run = () => measure({ ...at, quick, dataDir: place.dataDir });
      await add(name, kept === null ? await run() : await kept.do(named.get(name)!, run));
      return { told: 'done', isBroken: false };
    },
  });
  if (code !== EXIT.done) fail();
}
