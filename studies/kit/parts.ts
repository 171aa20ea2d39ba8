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
  /** Kind of the part, printed once it is done: "trained". Parts of a kind take about equally long. */
  readonly kind: string;
  /** Everything that its result depends on: with another key it is done again. */
  readonly key: unknown;
  /** The parts that need the files of this one, which its result names as `checkpoint`. */
  readonly usedBy?: readonly Part[];
}

export interface TrainingPart extends Part, Pick<TrainingOptions, 'config' | 'sets'> {}

/** Folders of a study: of what it makes, and of prepared datasets. */
interface Folders {
  readonly workDir: string;
  readonly dataDir: string;
}

interface Kept<Result> {
  readonly seconds: number;
  readonly result: Result;
}

/** The parts of a study, each of which is done once: a second call goes on where the first was stopped. */
export class Parts {
  readonly #store: ResultStore;
  readonly #folders: Folders;
  readonly #all: readonly Part[];
  readonly #missing: Set<Part>;
  readonly #seconds = new Map<string, number[]>();

  /** Says how much there is to do, and for how long. */
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

  /** The kept result of any part, also of one that is not among these; null if there is none. */
  find<Result extends object>(part: Part): Result | null {
    return this.#kept<Result>(part)?.result ?? null;
  }

  /** The kept result, or that of `run`, which is kept now. */
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
   * @param resultOf what is kept of the run
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

  /** Seconds that a part of this kind took; NaN if none is done. */
  meanSeconds(kind: string): number {
    return mean(this.#seconds.get(kind) ?? []);
  }

  #isDone(part: Part, { seconds }: Kept<unknown>): void {
    this.#missing.delete(part);
    this.#seconds.set(part.kind, [...(this.#seconds.get(part.kind) ?? []), seconds]);
  }

  /** A training without its checkpoint is done again if another part needs that. */
  #kept<Result extends object>({ name, key, usedBy = [] }: Part): Kept<Result> | null {
    const kept = this.#store.get<Kept<Result>>(name, key);
    if (kept === null) return null;
    const isWhole =
      !('checkpoint' in kept.result) ||
      existsSync(String(kept.result.checkpoint)) ||
      usedBy.every((user) => this.#kept(user) !== null);
    return isWhole ? kept : null;
  }

  /** Null before a part of each kind that is missing was done. */
  #secondsLeft(): number | null {
    const left = [...this.#missing].reduce((sum, { kind }) => sum + this.meanSeconds(kind), 0);
    return Number.isNaN(left) ? null : left;
  }
}

interface Stored {
  /** Digest of all that the value depends on. */
  readonly key: string;
  readonly value: unknown;
}

/**
 * Finished parts of a study, one JSON file each, so that one that was stopped goes on. A part is reused only for the
 * same key: a changed recipe does it again.
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

  /** Atomic, even if the process is killed. */
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

/** Measures some figures of a study. @throws if it cannot: these figures then stay as they were */
export type MeasurePart<Result> = (place: PartPlace) => Promise<Result>;

type StudyPlace = Pick<
  Place<{ readonly only: readonly string[] }, unknown>,
  'options' | 'quick' | 'workDir' | 'out' | 'dataDir' | 'fail'
>;

/**
 * Measures part after part, so that one that fails or is interrupted takes nothing from the others. The study fails if one of
 * them does. Without `--only` a call goes on after the parts that an earlier one has finished.
 *
 * @param parts loaded when their turn comes
 * @param add takes the result of a part into the report
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
