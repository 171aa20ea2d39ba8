export interface CalibrateOptions {
  /** Of this machine, for the reader. */
  readonly machine: string;
  readonly date: string;
  readonly command: string;
  /** A tenth of the time, for trying it out. */
  readonly quick: boolean;
  readonly log: (line: string) => void;
}
