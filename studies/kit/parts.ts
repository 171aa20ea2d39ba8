import { existsSync } from 'node:fs';
import path from 'node:path';
import type { RunFolder } from '@locmoe/run-format';
import { formatDuration } from 'locmoe/internal/format';
import { mean } from '../../packages/bench/src/statistics.js';
import { runTraining, type TrainingOptions } from '../../packages/bench/src/training.js';
import { type Published, ResultStore } from './result-store.js';

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

/** A part that is a training. */
export interface TrainingPart extends Part, Pick<TrainingOptions, 'config' | 'sets'> {}

/** Folders of a study: of what it makes, and of prepared datasets. */
interface Folders {
  readonly workDir: string;
  readonly dataDir: string;
}

interface Kept<Result> {
  /** Null if it was done elsewhere. */
  readonly seconds: number | null;
  readonly result: Result;
}

/** The parts of a study, each of which is done once: a second call goes on where the first was stopped. */
export class Parts {
  readonly #store: ResultStore;
  readonly #folders: Folders;
  readonly #all: readonly Part[];
  readonly #missing: Set<Part>;
  /** Durations of parts by kind. */
  readonly #seconds = new Map<string, number[]>();

  /**
   * Says how much there is to do, and for how long.
   *
   * @param published results of parts, by name and digest of their key, that need not be made again
   */
  constructor(folders: Folders, parts: readonly Part[], published: readonly Published[] = []) {
    const kept = published.map((each) => ({ ...each, value: { seconds: null, result: each.value } }));
    this.#store = new ResultStore(path.join(folders.workDir, 'results'), kept);
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
    if (seconds === null) return;
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
