import type { Labels } from '../store/streams.js';

export const ERROR_LABEL = '__error__';
export const ERROR_DETAILS_LABEL = '__error_details__';

/** A line in a pipeline. It shares the labels of its stream until a stage changes them. */
export class PipelineLine {
  labels: Labels;
  #own: Map<string, string> | null = null;

  constructor(
    public text: string,
    readonly stream: Labels,
  ) {
    this.labels = stream;
  }

  /** A mutable copy of the labels. */
  edit(): Map<string, string> {
    this.#own ??= new Map(this.stream);
    this.labels = this.#own;
    return this.#own;
  }

  /**
   * Adds an extracted label. As in Loki it gets the suffix `_extracted` if the stream has a label of this
   * name; it is left out if it repeats that label's value.
   */
  extract(name: string, value: string): void {
    const of = this.stream.get(name);
    if (of === value) return;
    this.edit().set(of === undefined ? name : `${name}_extracted`, value);
  }

  /** Sets `__error__`, unless it is set. */
  fail(error: string, details: string): void {
    if (this.labels.has(ERROR_LABEL)) return;
    this.edit().set(ERROR_LABEL, error).set(ERROR_DETAILS_LABEL, details);
  }
}
