export interface CalibrateOptions {
  /** Description of the machine, for readers. */
  readonly machine: string;
  readonly date: string;
  readonly command: string;
  /** A tenth of the time, for a trial. */
  readonly quick: boolean;
  readonly log: (line: string) => void;
}
