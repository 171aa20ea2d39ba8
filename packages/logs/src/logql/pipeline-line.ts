import type { Labels } from '../store/streams.js';

export const ERROR_LABEL = '__error__';
export const ERROR_DETAILS_LABEL = '__error_details__';

/** A line on its way through a pipeline. Its labels are those of its stream until a stage changes them. */
export class PipelineLine {
  labels: Labels;
  #own: Map<string, string> | null = null;

  constructor(
    public text: string,
    readonly stream: Labels,
  ) {
    this.labels = stream;
  }

  /** The labels, to be changed. */
  edit(): Map<string, string> {
    this.#own ??= new Map(this.stream);
    this.labels = this.#own;
    return this.#own;
  }

  /**
   * Takes in a field of the line. One that has the name of a stream's label is told apart by a suffix, as in Loki; one
   * that only repeats the label is left out.
   */
  extract(name: string, value: string): void {
    const of = this.stream.get(name);
    if (of === value) return;
    this.edit().set(of === undefined ? name : `${name}_extracted`, value);
  }

  /** Marks the line with an error; the first one stays. */
  fail(error: string, details: string): void {
    if (this.labels.has(ERROR_LABEL)) return;
    this.edit().set(ERROR_LABEL, error).set(ERROR_DETAILS_LABEL, details);
  }
}
