import type { Labels } from '../store/streams.js';

export const ERROR_LABEL = '__error__';
export const ERROR_DETAILS_LABEL = '__error_details__';

const NO_NAMES: ReadonlySet<string> = new Set();

/** A line in a pipeline. It shares the labels of its stream until a stage changes them. */
export class PipelineLine {
  labels: Labels;
  #own: Map<string, string> | null = null;

  /** @param base labels before any stage */
  constructor(
    public text: string,
    private readonly base: Labels,
  ) {
    this.labels = base;
  }

  /** Names of the labels that stages extracted or formatted. */
  get parsed(): ReadonlySet<string> {
    if (this.#own === null) return NO_NAMES;
    const added = [...this.#own].filter(([name, value]) => this.base.get(name) !== value);
    return new Set(added.map(([name]) => name));
  }

  /** Returns a mutable copy of the labels. */
  #edit(): Map<string, string> {
    this.#own ??= new Map(this.base);
    this.labels = this.#own;
    return this.#own;
  }

  set(name: string, value: string): void {
    this.#edit().set(name, value);
  }

  delete(name: string): void {
    this.#edit().delete(name);
  }

  /**
   * Adds an extracted label. As in Loki, it gets the suffix `_extracted` if the line had a label of this name
   * before any stage, and only the first value of a name counts.
   */
  extract(name: string, value: string): void {
    const key = this.base.has(name) ? `${name}_extracted` : name;
    if (!this.labels.has(key)) this.set(key, value);
  }

  /** Adds an empty label for a named field that the line does not have. */
  extractNothing(name: string): void {
    if (!this.labels.has(name)) this.set(name, '');
  }

  /** Sets `__error__` if it is not set yet. */
  fail(error: string, details: string): void {
    if (this.labels.has(ERROR_LABEL)) return;
    this.#edit().set(ERROR_LABEL, error).set(ERROR_DETAILS_LABEL, details);
  }
}
