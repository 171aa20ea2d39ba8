import type { MeasuredPart } from '../measure-parts.js';

/** What text costs on its way in, and a model on its way out. */
export interface DoorFigures {
  /** Text prepared a second: read, deduplicated, split, encoded. MB of 10^6 bytes of UTF-8. */
  readonly prepareMBPerS: number;
  /** Resident memory of the preparing process at its peak, MB of 10^6 bytes. */
  readonly preparePeakMemoryMB: number;
  /** Tokens a second of `locmoe generate`, one sequence. */
  readonly generateTokensPerS: number;
  /** Speed with the key/value cache over the speed without it. */
  readonly generateSpeedupByCache: number;
  /** Clients served at once by `locmoe api` without an error. */
  readonly apiConcurrentClients: number;
  /** Greatest absolute difference between logits of the ONNX graph and ours. */
  readonly onnxMaxLogitDifference: number;
  /** Tokens a second of the exported page in a browser. */
  readonly webTokensPerS: number;
  /** Seconds from an empty folder to an installed package that trains. */
  readonly packageInstallS: number;
}

export type DoorFigure = keyof DoorFigures;

export interface PartContext extends MeasuredPart {
  readonly quick: boolean;
  /** Folder for prepared datasets. */
  readonly dataDir: string;
}

export interface PartResult {
  readonly figures: Partial<DoorFigures>;
  /** Settings and sizes that the figures depend on, in one or two sentences of Markdown. */
  readonly notes: string;
}

/** Measures some of the figures. @throws if it cannot: its figures then stay as they were */
export type Part = (context: PartContext) => Promise<PartResult>;
