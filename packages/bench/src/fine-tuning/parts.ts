import { existsSync } from 'node:fs';
import { formatDuration, formatNumberOf } from 'locmoe/internal/format';
import { ResultStore } from '../routers/result-store.js';
import { mean } from '../statistics.js';
import { type Model, modelId } from './models.js';

/** What is done for each model, in this order, and what is said of it then. */
const KINDS = { base: 'trained', before: 'asked', tuned: 'fine-tuned', after: 'asked again' } as const;
export type PartKind = keyof typeof KINDS;

export interface Part {
  readonly model: Model;
  readonly kind: PartKind;
  /** Everything that its result depends on. */
  readonly key: unknown;
  /** The parts that need the checkpoint of this one. */
  readonly usedBy: readonly Part[];
}

interface Kept<Result> {
  readonly seconds: number;
  readonly result: Result;
}

/** The parts of the comparison: each is done once and kept. Says how much there is to do, and for how long. */
export class Parts {
  readonly #store: ResultStore;
  readonly #all: readonly Part[];
  readonly #missing: Set<Part>;
  /** What parts of each kind took. */
  readonly #seconds: Readonly<Record<PartKind, number[]>> = { base: [], before: [], tuned: [], after: [] };

  constructor(folder: string, parts: readonly Part[]) {
    this.#store = new ResultStore(folder);
    this.#all = parts;
    this.#missing = new Set(parts);
    for (const part of parts) {
      const kept = this.#kept(part);
      if (kept !== null) this.#isDone(part, kept);
    }
  }

  /** The plan, in one line. */
  describe(): string {
    const [models, parts] = [this.#all.length / Object.keys(KINDS).length, this.#all.length];
    const left = this.#secondsLeft();
    const rest =
      left === null
        ? 'how long that takes is known after the first model'
        : `about ${formatDuration(left)} left`;
    return `${formatNumberOf(models, 'model')}, each ${Object.values(KINDS).join(', ')}: ${parts} parts, ${parts - this.#missing.size} of them kept from before; ${rest}`;
  }

  /** The kept result, or that of `run`, which is kept now. */
  async do<Result extends object>(part: Part, run: () => Promise<Result>): Promise<Result> {
    const kept = this.#kept<Result>(part);
    if (kept !== null) return kept.result;
    const started = performance.now();
    const result = await run();
    const done = { seconds: (performance.now() - started) / 1000, result };
    this.#isDone(part, this.#store.put(nameOf(part), part.key, done));
    const left = this.#secondsLeft();
    const took = `${modelId(part.model)} ${KINDS[part.kind]} in ${formatDuration(done.seconds)}`;
    const number = `${this.#all.length - this.#missing.size}/${this.#all.length}`;
    console.log(`[${number}] ${took}${left === null ? '' : `, about ${formatDuration(left)} left`}`);
    return result;
  }

  /** Seconds that a part of this kind took; NaN if none is done. */
  meanSeconds(kind: PartKind): number {
    return mean(this.#seconds[kind]);
  }

  #isDone(part: Part, { seconds }: Kept<unknown>): void {
    this.#missing.delete(part);
    this.#seconds[part.kind].push(seconds);
  }

  /** A training without its checkpoint is done again if another part needs that. */
  #kept<Result extends object>(part: Part): Kept<Result> | null {
    const kept = this.#store.get<Kept<Result>>(nameOf(part), part.key);
    if (kept === null) return null;
    const isWhole =
      !('checkpoint' in kept.result) ||
      existsSync(String(kept.result.checkpoint)) ||
      part.usedBy.every((user) => this.#kept(user) !== null);
    return isWhole ? kept : null;
  }

  /** Null before a part of each kind that is missing was done. */
  #secondsLeft(): number | null {
    const left = [...this.#missing].reduce((sum, { kind }) => sum + this.meanSeconds(kind), 0);
    return Number.isNaN(left) ? null : left;
  }
}

function nameOf({ model, kind }: Part): string {
  return `${modelId(model)}-${kind}`;
}
